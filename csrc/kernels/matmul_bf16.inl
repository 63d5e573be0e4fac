// Products of packed BF16 weights with activations rounded to bfloat16 (nearest even), two k at a
// time by vdpbf16ps, which adds both products to the float32 sum with a rounding each and takes
// subnormals for zero. In place of the BF16 product of matmul_float.inl, and like it one chain per
// output in ascending k, whatever the number of rows: one row and many agree to the bit. Tiers do
// not: this one is within 2^-8 of the sum of absolute products (2^-9 for each activation's
// rounding, and the sum's).
//
// A group's activations are first rounded into `scratch` as [cols / 2][n][2], 2 instructions per
// pair of k; bound: half a vdpbf16ps per weight vector and row, twice the rate of multiply-adds.
namespace pyslm {
namespace {

inline __m512 dot_bf16(__m512 acc, __m512i w, __m512i x) {
  __m512bh a, b;
  __builtin_memcpy(&a, &w, 64);
  __builtin_memcpy(&b, &x, 64);
  return _mm512_dpbf16_ps(acc, a, b);
}

inline __m512i round_two(__m512 high, __m512 low) {
  const __m512bh both = _mm512_cvtne2ps_pbh(high, low);
  __m512i words;
  __builtin_memcpy(&words, &both, 64);
  return words;
}

// One row: its pairs lie in order already.
inline void round_row(const float* x, int64_t cols, uint32_t* pairs) {
  for (int64_t k = 0; k < cols; k += 32, pairs += 16) {
    const int32_t left = static_cast<int32_t>(cols - k < 32 ? cols - k : 32);
    const F low = fload_part(x + k, left, 0.0f);
    const F high = left > 16 ? fload_part(x + k + 16, left - 16, 0.0f) : fzero();
    _mm512_storeu_si512(pairs, round_two(high, low));
  }
}

// x [cols][n] to pairs [(cols + 1) / 2][n] of bfloat16, the even k low; an odd last k pairs with 0.
inline void round_pairs(const float* x, int64_t cols, int n, uint32_t* pairs) {
  const __m512i zip = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                       23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __mmask16 rows = static_cast<__mmask16>((1u << n) - 1);
  for (int64_t k = 0; k < cols; k += 2, x += 2 * n, pairs += n) {
    const __m512 even = _mm512_maskz_loadu_ps(rows, x);
    const __m512 odd = _mm512_maskz_loadu_ps(k + 1 < cols ? rows : __mmask16{0}, x + n);
    // Whole vectors, whose tails the next ones overwrite: masked stores are slow on some CPUs.
    _mm512_storeu_si512(pairs, _mm512_permutexvar_epi16(zip, round_two(odd, even)));
  }
}

template <int N, int T>
void bf16_tiles(const MatmulArgs& args, int64_t tile, const uint32_t* pairs, int32_t row) {
  __m512 acc[T][N];
  PYSLM_UNROLL
  for (int t = 0; t < T; ++t) {
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) acc[t][n] = fzero();
  }
  const uint8_t* w = args.tiles + tile * args.tile_bytes;
  for (int64_t pair = 0; pair < (args.cols + 1) / 2; ++pair) {
    PYSLM_UNROLL
    for (int t = 0; t < T; ++t) {
      const __m512i v = bload(w + t * args.tile_bytes + pair * 64);
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n)
        acc[t][n] = dot_bf16(acc[t][n], v, iset(static_cast<int32_t>(pairs[pair * N + n])));
    }
  }
  PYSLM_UNROLL
  for (int t = 0; t < T; ++t) {
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) store_outputs(args, tile + t, row + n, acc[t][n]);
  }
}

template <int N = kGroup>
void bf16_group(int n, const MatmulArgs& args, int64_t begin, int64_t end, const uint32_t* pairs,
                int32_t row) {
  if constexpr (N > 0) {
    if (n != N) return bf16_group<N - 1>(n, args, begin, end, pairs, row);
    constexpr int T = N == 1 ? 8 : N <= 4 ? 4 : N <= 6 ? 2 : 1;  // chains to hide a latency of 6
    int64_t tile = begin;
    for (; tile + T <= end; tile += T) bf16_tiles<N, T>(args, tile, pairs, row);
    if constexpr (T == 8)
      for (; tile + 4 <= end; tile += 4) bf16_tiles<N, 4>(args, tile, pairs, row);
    for (; tile < end; ++tile) bf16_tiles<N, 1>(args, tile, pairs, row);
  }
}

void matmul_bf16(const MatmulArgs& args, int64_t begin, int64_t end) {
  const int32_t rows = args.act->rows, group = args.act->group;
  uint32_t* const pairs = reinterpret_cast<uint32_t*>(args.scratch);
  for (int32_t row = 0; row < rows; row += group) {
    const int n = rows - row < group ? rows - row : group;
    const float* const x = args.act->f32 + static_cast<int64_t>(row) * args.cols;
    if (n == 1)
      round_row(x, args.cols, pairs);
    else
      round_pairs(x, args.cols, n, pairs);
    bf16_group<>(n, args, begin, end, pairs, row);
  }
}

static_assert(kGroup * 2 * 4096 + 128 <= matmul_scratch_bytes(4096), "pairs must fit the scratch");

}  // namespace
}  // namespace pyslm
