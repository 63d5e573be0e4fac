// Matrix products of packed 2- to 8-bit weights with int8 activations.
//
// Lane = output row. For each block of 32 k, eight quads go through the integer dot product; the
// sum is exact on every tier. Then, in this order, the same everywhere:
//     t = float(sum) * scale         (two parts: t = fma(float(sum1), scale1, t))
//     t = fma(float(bias), minimum, t)                       where the format has minima
//     acc = fma(t, activation scale, acc)
// so that tiers agree to the bit, and so do one row and many.
//
// Up to two groups of kDirect rows (decode) the codes are unpacked in registers; bound for one row:
// bytes of the tile. More rows: the tile is unpacked once into `scratch` and each group of rows
// runs over it; bound: per 32 k and row, 8 dot products + 2 (+1 minima, +1 two parts) float
// operations on the same ports, i.e. at most 80 % of the dot-product peak.
namespace pyslm {
namespace {

struct Group {  // one group of activation rows
  const int8_t* q8;
  const float* scale;
  const int32_t* bias32;
  const int32_t* bias16;
};

inline Group group_at(const ActLayout& act, int32_t row) {
  const int64_t first = row, dim = act.dim;
  return {act.q8 + first * dim, act.scale + first * (dim / 32), act.bias32 + first * (dim / 32),
          act.bias16 + first * (dim / 16)};
}

// Adds the bias, then writes or accumulates one vector of 16 outputs of row `row`.
[[gnu::noinline]] void store_outputs(const MatmulArgs& args, int64_t tile, int32_t row, F y) {
  const int64_t column = tile * 16, left = args.rows - column;
  float* out = args.out + row * args.out_stride + column;
  float padded[16], bias[16];
  if (left >= 16) {
    if (args.bias) y = fadd(y, fload(args.bias + column));
    if (args.accumulate) y = fma(y, fset(args.scale), fload(out));
    fstore(out, y);
    return;
  }
  for (int i = 0; i < 16; ++i) bias[i] = args.bias && i < left ? args.bias[column + i] : 0.0f;
  for (int i = 0; i < 16; ++i) padded[i] = args.accumulate && i < left ? out[i] : 0.0f;
  if (args.bias) y = fadd(y, fload(bias));
  if (args.accumulate) y = fma(y, fset(args.scale), fload(padded));
  fstore(padded, y);
  for (int i = 0; i < left; ++i) out[i] = padded[i];
}

// Folds the integer sums of one block into acc, for row n of N.
template <Shape S, int N>
[[gnu::always_inline]] inline F fold(F acc, const Sum<S>* sums, const F* scale, const F* minimum,
                                     const Group& g, int64_t b, int n) {
  constexpr int kParts = S.sub16 ? 2 : 1;
  F t = fmul(fcvt(sums[0].total), scale[0]);
  if constexpr (kParts == 2) t = fma(fcvt(sums[1].total), scale[1], t);
  if constexpr (S.minima) {
    if constexpr (kParts == 1) {
      t = fma(fcvt(iset(g.bias32[b * N + n])), minimum[0], t);
    } else {
      t = fma(fcvt(iset(g.bias16[2 * b * N + n])), minimum[0], t);
      t = fma(fcvt(iset(g.bias16[(2 * b + 1) * N + n])), minimum[1], t);
    }
  }
  return fma(t, fset(g.scale[b * N + n]), acc);
}

template <Shape S, int N>
[[gnu::always_inline]] inline I start(const Group& g, int64_t b, int part, int n) {
  if constexpr (S.sub16)
    return init<S>(g.bias16 + (2 * b + part) * N + n);
  else
    return init<S>(g.bias32 + b * N + n);
}
template <Shape S, int N>
[[gnu::always_inline]] inline void begin(Sum<S>& sum, const Group& g, int64_t b, int part, int n) {
  if constexpr (S.chain == 1) sum.total = start<S, N>(g, b, part, n);
}
template <Shape S, int N>
[[gnu::always_inline]] inline void end(Sum<S>& sum, const Group& g, int64_t b, int part, int n) {
  if constexpr (S.chain > 1 && S.zero != 0) sum.total = iadd(sum.total, start<S, N>(g, b, part, n));
}

// Memory is read in one sweep (tiles lie end to end), but the hardware's prefetchers stop at every
// page and lose the second stream, the scales: asking 2 KiB ahead reads 1.3 to 1.6 times as fast
// here.
template <const Format& Fmt>
[[gnu::always_inline]] inline void prefetch_ahead(const uint8_t* block, const uint8_t* scales,
                                                  int64_t scale_bytes, int64_t b,
                                                  int64_t num_blocks, int64_t tile_bytes) {
  constexpr int64_t kAhead = 2048;
  for_quads([&](auto j) __attribute__((always_inline)) {  // a block is at most eight lines
    constexpr int kLine = 64 * decltype(j)::value;
    if constexpr (kLine < layout::plane_bytes(Fmt)) __builtin_prefetch(block + kAhead + kLine);
  });
  // The scales of 16 blocks on, of this tile or the next.
  const int64_t next = b + 16;
  const uint8_t* at = next < num_blocks ? scales + next * scale_bytes
                                        : scales + tile_bytes + (next - num_blocks) * scale_bytes;
  __builtin_prefetch(at);
}

// One of two groups on a tile: each fetches half of the next tile while it computes, so that memory
// is never idle. Into the second cache, since the first holds little more than the tile in work.
template <const Format& Fmt>
[[gnu::always_inline]] inline void prefetch_half(const uint8_t* half, int64_t b, int64_t bytes) {
  constexpr int kLines = layout::plane_bytes(Fmt) / 128 + 1;  // and of the scales
  for_quads([&](auto j) __attribute__((always_inline)) {
    constexpr int kLine = decltype(j)::value;
    if constexpr (kLine < kLines) __builtin_prefetch(half + b * bytes + 64 * kLine, 0, 2);
  });
}

// Few rows: unpack in registers.
template <const Format& Fmt, int N, bool kHalf>
void direct_tiles(const MatmulArgs& args, int64_t first, int64_t last, int32_t row) {
  constexpr Shape S = shape_of(Fmt);
  constexpr int kParts = S.sub16 ? 2 : 1, kQuads = 8 / kParts;
  const int64_t num_blocks = args.cols / 32, scales_at = layout::scales_offset(Fmt, args.cols);
  const int64_t scale_bytes = layout::scales_bytes(Fmt, args.cols) / num_blocks;
  const Group g = group_at(*args.act, row);
  for (int64_t tile = first; tile < last; ++tile) {
    const uint8_t* codes = args.tiles + tile * args.tile_bytes;
    const uint8_t* scales = codes + scales_at;
    const uint8_t* half = codes + args.tile_bytes + (row > 0 ? args.tile_bytes / 2 : 0);
    const int64_t half_bytes = args.tile_bytes / num_blocks / 2;
    F acc[N];
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) acc[n] = fzero();
    for (int64_t b = 0; b < num_blocks; ++b) {
      const uint8_t* block = codes + b * layout::plane_bytes(Fmt);
      if constexpr (kHalf)
        prefetch_half<Fmt>(half, b, half_bytes);
      else
        prefetch_ahead<Fmt>(block, scales, scale_bytes, b, num_blocks, args.tile_bytes);
      Sum<S> sums[N][2];
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n) {
        PYSLM_UNROLL
        for (int part = 0; part < kParts; ++part) begin<S, N>(sums[n][part], g, b, part, n);
      }
      const int8_t* a = g.q8 + b * 32 * N;
      for_quads([&](auto j) __attribute__((always_inline)) {
        constexpr int J = decltype(j)::value, kPart = J / kQuads;
        const B w = operand<Fmt, J>(block);
        PYSLM_UNROLL
        for (int n = 0; n < N; ++n)
          sums[n][kPart].template add<kQuads>(J % kQuads, w, quad(a + (J * N + n) * 4));
      });
      F scale[2], minimum[2];
      load_scales<Fmt>(scales, b, scale, minimum);
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n) {
        PYSLM_UNROLL
        for (int part = 0; part < kParts; ++part) end<S, N>(sums[n][part], g, b, part, n);
      }
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n) acc[n] = fold<S, N>(acc[n], sums[n], scale, minimum, g, b, n);
    }
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) store_outputs(args, tile, row + n, acc[n]);
  }
}

template <const Format& Fmt, bool kHalf, int N = kDirect>
void direct_group(int n, const MatmulArgs& args, int64_t begin, int64_t end, int32_t row) {
  if constexpr (N > 0) {
    if (n == N)
      direct_tiles<Fmt, N, kHalf>(args, begin, end, row);
    else
      direct_group<Fmt, kHalf, N - 1>(n, args, begin, end, row);
  }
}

// A tile unpacked: [cols / 4][64] operands, then float scales and minima, a vector per part.
struct Unpacked {
  uint8_t* codes;
  float* scale;
  float* minimum;
};

// What is fetched while a group computes: its share of the packed tile after this one, a piece with
// each block, else unpacking would wait for memory with nothing else to do.
struct Ahead {
  const uint8_t* from;
  int64_t block_bytes;

  [[gnu::always_inline]] void fetch(int64_t b) const {
    for (int64_t at = 0; at < block_bytes; at += 64)
      __builtin_prefetch(from + b * block_bytes + at, 0, 2);
  }
};

template <const Format& Fmt>
void unpack_tile(const uint8_t* codes, int64_t cols, const Unpacked& out) {
  constexpr int kParts = layout::sub16(Fmt) ? 2 : 1;
  const uint8_t* scales = codes + layout::scales_offset(Fmt, cols);
  for (int64_t b = 0; b < cols / 32; ++b) {
    const uint8_t* block = codes + b * layout::plane_bytes(Fmt);
    for_quads([&](auto j) __attribute__((always_inline)) {
      constexpr int J = decltype(j)::value;
      bstore(out.codes + (b * 8 + J) * 64, operand<Fmt, J>(block));
    });
    F scale[2], minimum[2];
    load_scales<Fmt>(scales, b, scale, minimum);
    PYSLM_UNROLL
    for (int part = 0; part < kParts; ++part) {
      fstore(out.scale + (b * kParts + part) * 16, scale[part]);
      if constexpr (layout::has_min(Fmt))
        fstore(out.minimum + (b * kParts + part) * 16, minimum[part]);
    }
  }
}

// N rows against one unpacked tile.
template <Shape S, int N>
void tile_group(const MatmulArgs& args, int64_t tile, const Unpacked& w, const Group& g,
                int32_t row, const Ahead& ahead) {
  constexpr int kParts = S.sub16 ? 2 : 1, kQuads = 8 / kParts;
  const int64_t num_blocks = args.cols / 32;
  const uint8_t* codes = w.codes;
  const int8_t* a = g.q8;
  F acc[N];
  PYSLM_UNROLL
  for (int n = 0; n < N; ++n) acc[n] = fzero();
  for (int64_t b = 0; b < num_blocks; ++b) {
    ahead.fetch(b);
    F t[N];
    PYSLM_UNROLL
    for (int part = 0; part < kParts; ++part) {
      Sum<S> sums[N];
#if defined(PYSLM_DOT_MATRIX)  // signed operands, no bias
      I totals[N];
      dot_matrix<N, kQuads>(totals, codes, a);
      for (int n = 0; n < N; ++n) sums[n].total = totals[n];
      codes += 64 * kQuads, a += 4 * N * kQuads;
#else
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n) begin<S, N>(sums[n], g, b, part, n);
      PYSLM_UNROLL
      for (int j = 0; j < kQuads; ++j, codes += 64, a += 4 * N) {
        const B v = bload(codes);
        PYSLM_UNROLL
        for (int n = 0; n < N; ++n) sums[n].template add<kQuads>(j, v, quad(a + 4 * n));
      }
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n) end<S, N>(sums[n], g, b, part, n);
#endif
      const F scale = fload(w.scale + (b * kParts + part) * 16);
      PYSLM_UNROLL
      for (int n = 0; n < N; ++n)
        t[n] = part == 0 ? fmul(fcvt(sums[n].total), scale) : fma(fcvt(sums[n].total), scale, t[n]);
    }
    if constexpr (S.minima) {
      const int32_t* bias = kParts == 1 ? g.bias32 : g.bias16;
      PYSLM_UNROLL
      for (int part = 0; part < kParts; ++part) {
        const F minimum = fload(w.minimum + (b * kParts + part) * 16);
        PYSLM_UNROLL
        for (int n = 0; n < N; ++n)
          t[n] = fma(fcvt(iset(bias[(b * kParts + part) * N + n])), minimum, t[n]);
      }
    }
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) acc[n] = fma(t[n], fset(g.scale[b * N + n]), acc[n]);
  }
  PYSLM_UNROLL
  for (int n = 0; n < N; ++n) store_outputs(args, tile, row + n, acc[n]);
}

template <Shape S, int N = kGroup>
void any_group(int n, const MatmulArgs& args, int64_t tile, const Unpacked& w, const Group& g,
               int32_t row, const Ahead& ahead) {
  if constexpr (N > 0) {
    if (n == N)
      tile_group<S, N>(args, tile, w, g, row, ahead);
    else
      any_group<S, N - 1>(n, args, tile, w, g, row, ahead);
  }
}

template <const Format& Fmt>
void matmul_int8(const MatmulArgs& args, int64_t begin, int64_t end) {
  const int32_t rows = args.act->rows, group = args.act->group;
  if (rows <= 2 * kDirect) {  // a tile stays in the first cache between its two groups
    if (rows <= group) return direct_group<Fmt, false>(rows, args, begin, end, 0);
    for (int64_t tile = begin; tile < end; ++tile)
      for (int32_t row = 0; row < rows; row += group)
        direct_group<Fmt, true>(rows - row < group ? rows - row : group, args, tile, tile + 1, row);
    return;
  }
  const int64_t num_blocks = args.cols / 32, parts = num_blocks * (layout::sub16(Fmt) ? 2 : 1);
  const int64_t share = args.tile_bytes / num_blocks / ((rows + group - 1) / group) + 1;
  float* const scale = reinterpret_cast<float*>(args.scratch + args.cols * 16);
  const Unpacked w{args.scratch, scale, scale + parts * 16};
  for (int64_t tile = begin; tile < end; ++tile) {
    const uint8_t* packed = args.tiles + tile * args.tile_bytes;
    unpack_tile<Fmt>(packed, args.cols, w);
    Ahead ahead{packed + args.tile_bytes, share};
    for (int32_t row = 0; row < rows; row += group, ahead.from += share * num_blocks) {
      const int n = rows - row < group ? rows - row : group;
      any_group<shape_of(Fmt)>(n, args, tile, w, group_at(*args.act, row), row, ahead);
    }
  }
}

}  // namespace
}  // namespace pyslm
