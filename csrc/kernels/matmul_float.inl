// Matrix products of packed F32, F16 and BF16 weights with float activations. Lane = output row;
// each output is one chain of fused multiply-adds in ascending k. Few rows: several tiles side by
// side hide the latency of the chain; bound: bytes of the tiles. Many rows: one weight vector feeds
// up to kGroup accumulators; bound: one multiply-add per weight and row.
namespace pyslm {
namespace {

// Two consecutive k of one tile, as floats.
template <DType Type>
[[gnu::always_inline]] inline void load_pair(const uint8_t* tile, int64_t pair, F& even, F& odd) {
  if constexpr (Type == DType::kF32) {
    const float* p = reinterpret_cast<const float*>(tile) + pair * 32;
    even = fload(p);
    odd = fload(p + 16);
  } else if constexpr (Type == DType::kF16) {
    even = fload_half(halfs(tile + pair * 64));
    odd = fload_half(halfs(tile + pair * 64 + 32));
  } else {
    const I both = iload(reinterpret_cast<const int32_t*>(tile + pair * 64));
    even = fbits(ishl<16>(both));
    odd = fbits(iand(both, 0xffff0000u));
  }
}

template <DType Type>
inline F load_last(const uint8_t* tile, int64_t k) {  // the last k of an odd number
  if constexpr (Type == DType::kF32)
    return fload(reinterpret_cast<const float*>(tile) + k * 16);
  else if constexpr (Type == DType::kF16)
    return fload_half(halfs(tile + k * 32));
  else
    return fbits(ishl<16>(iload(reinterpret_cast<const int32_t*>(tile + k / 2 * 64))));
}

template <DType Type, int N, int T>
void float_tiles(const MatmulArgs& args, int64_t tile, const float* x, int32_t row) {
  F acc[T][N];
  PYSLM_UNROLL
  for (int t = 0; t < T; ++t) {
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) acc[t][n] = fzero();
  }
  const uint8_t* w = args.tiles + tile * args.tile_bytes;
  for (int64_t pair = 0; pair < args.cols / 2; ++pair) {
    PYSLM_UNROLL
    for (int t = 0; t < T; ++t) {
      F even, odd;
      load_pair<Type>(w + t * args.tile_bytes, pair, even, odd);
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n) {
        acc[t][n] = fma(even, fset(x[2 * pair * N + n]), acc[t][n]);
        acc[t][n] = fma(odd, fset(x[(2 * pair + 1) * N + n]), acc[t][n]);
      }
    }
  }
  if (args.cols % 2 != 0) {
    PYSLM_UNROLL
    for (int t = 0; t < T; ++t) {
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n)
        acc[t][n] = fma(load_last<Type>(w + t * args.tile_bytes, args.cols - 1),
                        fset(x[(args.cols - 1) * N + n]), acc[t][n]);
    }
  }
  PYSLM_UNROLL
  for (int t = 0; t < T; ++t) {
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) store_outputs(args, tile + t, row + n, acc[t][n]);
  }
}

template <DType Type, int N = kGroup>
void float_group(int n, const MatmulArgs& args, int64_t begin, int64_t end, const float* x,
                 int32_t row) {
  if constexpr (N > 0) {
    if (n != N) return float_group<Type, N - 1>(n, args, begin, end, x, row);
    constexpr int T = N == 1 ? 4 : N <= 4 ? 2 : 1;
    int64_t tile = begin;
    for (; tile + T <= end; tile += T) float_tiles<Type, N, T>(args, tile, x, row);
    for (; tile < end; ++tile) float_tiles<Type, N, 1>(args, tile, x, row);
  }
}

// Tiles outside, groups inside: a chunk of a few tiles stays in cache while all rows pass.
template <DType Type>
void matmul_float(const MatmulArgs& args, int64_t begin, int64_t end) {
  const int32_t rows = args.act->rows, group = args.act->group;
  const int64_t step = rows > group ? 1 : end - begin;
  for (int64_t tile = begin; tile < end; tile += step)
    for (int32_t row = 0; row < rows; row += group) {
      const int n = rows - row < group ? rows - row : group;
      const int64_t stop = tile + step < end ? tile + step : end;
      float_group<Type>(n, args, tile, stop, args.act->f32 + static_cast<int64_t>(row) * args.cols,
                        row);
    }
}

}  // namespace
}  // namespace pyslm
