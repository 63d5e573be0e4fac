// Attention of up to kGroup query vectors of one KV head over the paged cache.
//
// Keys go by spans of 256 at absolute positions. Within a span: scores (lane = key), their maximum,
// p = exp(score - maximum), sum of p over fixed lanes, and sum of p v (lane = channel) in ascending
// key order; spans merge in ascending order by the usual rescaling. A masked key has p = 0 exactly
// and adds nothing, so neither the other queries of the item nor the chunking of a prompt can
// change a result. (V. Dao et al. 2022, "FlashAttention"; the fixed spans are for reproducibility.)
//
// Bound: decode, bytes of K and V; prompts, one multiply-add per channel, key and query, twice.
namespace pyslm {
namespace {

constexpr float kNegInf = -__builtin_inff();

// The item's queries as the micro-kernels read them, scores and outputs.
struct AttentionScratch {
  float* q;          // [key_dim][n]
  int8_t* q8;        // [dim32 / 4][n][4]
  float* q8_scale;   // [dim32 / 32][n]
  int32_t* q8_bias;  // [dim32 / 32][n]
  float* scores;     // [n][256], then p
  float* part;       // [n][value_dim16], this span
  float* total;      // [n][value_dim16]
};

inline AttentionScratch carve(const AttentionItem& item) {
  const int64_t key = round_up(item.key_dim, 32), value = round_up(item.value_dim, 16);
  float* p = reinterpret_cast<float*>(item.scratch);
  AttentionScratch s;
  s.q = p, p += key * 16;
  s.q8 = reinterpret_cast<int8_t*>(p), p += key * 4;
  s.q8_scale = p, p += key / 2;
  s.q8_bias = reinterpret_cast<int32_t*>(p), p += key / 2;
  s.scores = p, p += 16 * kAttentionSpan;
  s.part = p, p += 16 * value;
  s.total = p;
  return s;
}

template <Kv Type>
[[gnu::noinline]] void load_queries(const AttentionItem& item, const AttentionScratch& s) {
  const int32_t n = item.num_queries;
  for (int32_t i = 0; i < n; ++i) {
    if constexpr (Type == Kv::kQ8) {
      for (int32_t d = 0; d < item.key_dim; d += 32) {
        float padded[32];
        int8_t codes[32];
        int32_t sums[2];
        for (int j = 0; j < 32; ++j) padded[j] = d + j < item.key_dim ? item.q[i][d + j] : 0.0f;
        s.q8_scale[d / 32 * n + i] = quantize32(padded, codes, sums);
        s.q8_bias[d / 32 * n + i] = -128 * (sums[0] + sums[1]);
        PYSLM_UNROLL
        for (int j = 0; j < 8; ++j)
          __builtin_memcpy(s.q8 + ((d / 4 + j) * n + i) * 4, codes + 4 * j, 4);
      }
    } else {
      for (int32_t d = 0; d < item.key_dim; ++d) s.q[d * n + i] = item.q[i][d];
    }
  }
}

// q . k of N queries with the 16 keys of each of T tiles.
template <Kv Type, int N, int T>
[[gnu::always_inline]] inline void dot_keys(const AttentionItem& item, const AttentionScratch& s,
                                            const uint8_t* const* tiles, F (*acc)[N]) {
  PYSLM_UNROLL
  for (int t = 0; t < T; ++t) {
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) acc[t][n] = fzero();
  }
  if constexpr (Type == Kv::kQ8) {
    const int32_t padded = round_up(item.key_dim, 32);
    for (int32_t b = 0; b < padded / 32; ++b) {
      PYSLM_UNROLL
      for (int t = 0; t < T; ++t) {
        I sums[N];
        PYSLM_UNROLL
        for (int n = 0; n < N; ++n) sums[n] = signed_init(s.q8_bias + b * N + n);
        PYSLM_UNROLL
        for (int j = 0; j < 8; ++j) {
          const B keys = as_signed(bload(tiles[t] + (b * 8 + j) * 64));
          PYSLM_UNROLL
          for (int n = 0; n < N; ++n)
            sums[n] = dot_s(sums[n], keys, quad(s.q8 + ((b * 8 + j) * N + n) * 4));
        }
        const F scale = fload_half(halfs(tiles[t] + padded * 16 + b * 32));
        PYSLM_UNROLL
        for (int n = 0; n < N; ++n)
          acc[t][n] = fma(fmul(fcvt(sums[n]), scale), fset(s.q8_scale[b * N + n]), acc[t][n]);
      }
    }
  } else {
    for (int32_t d = 0; d < item.key_dim; ++d) {
      PYSLM_UNROLL
      for (int t = 0; t < T; ++t) {
        const F keys = load16<Type>(halfs(tiles[t]) + d * 16);
        PYSLM_UNROLL
        for (int n = 0; n < N; ++n) acc[t][n] = fma(keys, fset(s.q[d * N + n]), acc[t][n]);
      }
    }
  }
}

struct Span {
  int32_t begin;   // absolute position of the span, a multiple of 256
  int32_t lo, hi;  // keys to visit, relative to begin, multiples of 16
};

template <Kv Type, int N, int T>
void score_tiles(const AttentionItem& item, const AttentionScratch& s, const Span& span,
                 int32_t at) {
  const uint8_t* tiles[T];
  F acc[T][N];
  PYSLM_UNROLL
  for (int t = 0; t < T; ++t) {
    const int32_t position = span.begin + at + 16 * t;
    tiles[t] = item.blocks[position / item.block_tokens] + item.head_offset +
               position % item.block_tokens / 16 * key_tile_bytes(Type, item.key_dim);
  }
  dot_keys<Type, N, T>(item, s, tiles, acc);
  PYSLM_UNROLL
  for (int t = 0; t < T; ++t) {
    PYSLM_UNROLL
    for (int n = 0; n < N; ++n) fstore(s.scores + n * kAttentionSpan + at + 16 * t, acc[t][n]);
  }
}

// q . k to scores: scale, cap, and -inf for what query n does not see.
[[gnu::noinline]] void mask_scores(const AttentionItem& item, int32_t n, const Span& span,
                                   float* scores) {
  const F scale = fset(item.scale), cap = fset(item.softcap);
  for (int32_t i = span.lo; i < span.hi; i += 16) {
    F score = fmul(fload(scores + i), scale);
    if (item.softcap > 0) score = fmul(vtanh(fdiv(score, cap)), cap);
    const int32_t position = span.begin + i;
    fstore(scores + i,
           fkeep(score, item.first[n] - position, item.last[n] + 1 - position, kNegInf));
  }
}

// Scores to p in place; returns the maximum and the sum. No key in sight: maximum -inf, p 0.
[[gnu::noinline]] float span_softmax(float* scores, const Span& span, float* sum) {
  F top = fset(kNegInf), total = fzero();
  for (int32_t i = span.lo; i < span.hi; i += 16) top = fmax(fload(scores + i), top);
  const float maximum = freduce_max(top);
  const F shift = fset(maximum == kNegInf ? 0.0f : maximum);
  for (int32_t i = span.lo; i < span.hi; i += 16) {
    const F p = vexp(fsub(fload(scores + i), shift));
    fstore(scores + i, p);
    total = fadd(total, p);
  }
  *sum = freduce_add(total);
  return maximum;
}

// sum of p v over the span's keys for C vectors of 16 channels from d on.
template <Kv Type, int N, int C>
void weigh_values(const AttentionItem& item, const AttentionScratch& s, const Span& span,
                  int32_t d) {
  F acc[N][C];
  PYSLM_UNROLL
  for (int n = 0; n < N; ++n) {
    PYSLM_UNROLL
    for (int c = 0; c < C; ++c) acc[n][c] = fzero();
  }
  const int32_t left = item.num_keys - span.begin, stop = span.hi < left ? span.hi : left;
  for (int32_t at = span.lo; at < stop;) {
    const int32_t position = span.begin + at, slot = position % item.block_tokens;
    const uint8_t* values =
        item.blocks[position / item.block_tokens] + item.head_offset + item.key_bytes;
    int32_t end = at + item.block_tokens - slot;
    if (end > stop) end = stop;
    for (int32_t i = slot; at < end; ++at, ++i) {
      PYSLM_UNROLL
      for (int c = 0; c < C; ++c) {
        const F v = load_value<Type>(values, i, d + 16 * c, item.value_dim, item.block_tokens);
        PYSLM_UNROLL
        for (int n = 0; n < N; ++n)
          acc[n][c] = fma(v, fset(s.scores[n * kAttentionSpan + at]), acc[n][c]);
      }
    }
  }
  const int32_t value = round_up(item.value_dim, 16);
  PYSLM_UNROLL
  for (int n = 0; n < N; ++n) {
    PYSLM_UNROLL
    for (int c = 0; c < C; ++c) fstore(s.part + n * value + d + 16 * c, acc[n][c]);
  }
}

template <Kv Type, int N>
void weigh_all(const AttentionItem& item, const AttentionScratch& s, const Span& span) {
  constexpr int C = N <= 2 ? 4 : N <= 6 ? 2 : 1;
  const int32_t value = round_up(item.value_dim, 16);
  int32_t d = 0;
  for (; d + 16 * C <= value; d += 16 * C) weigh_values<Type, N, C>(item, s, span, d);
  for (; d < value; d += 16) weigh_values<Type, N, 1>(item, s, span, d);
}

struct Running {
  float maximum = kNegInf, sum = 0.0f;
};

// total = total * a + part * b, on the common maximum.
[[gnu::noinline]] void merge(Running& run, float maximum, float sum, float* total,
                             const float* part, int32_t dim) {
  if (maximum == kNegInf) return;
  const float top = run.maximum > maximum ? run.maximum : maximum;
  const float a = exp1(run.maximum - top), b = exp1(maximum - top);
  for (int32_t d = 0; d < dim; d += 16)
    fstore(total + d, fma(fload(total + d), fset(a), fmul(fload(part + d), fset(b))));
  run.sum = __builtin_fmaf(run.sum, a, sum * b);
  run.maximum = top;
}

[[gnu::noinline]] void finish(const AttentionItem& item, int32_t n, Running run,
                              const float* total) {
  float factor = 1.0f;
  if (item.sink[n] > kNegInf) {
    const float top = run.maximum > item.sink[n] ? run.maximum : item.sink[n];
    factor = exp1(run.maximum - top);
    run.sum = __builtin_fmaf(run.sum, factor, exp1(item.sink[n] - top));
  }
  const F inverse = fset(run.sum > 0.0f ? factor / run.sum : 0.0f);
  for (int32_t d = 0; d < item.value_dim; d += 16)
    fstore_part(item.out[n] + d, item.value_dim - d, fmul(fload(total + d), inverse));
}

template <Kv Type, int N>
void attend(const AttentionItem& item) {
  const AttentionScratch s = carve(item);
  const int32_t value = round_up(item.value_dim, 16);
  load_queries<Type>(item, s);
  int32_t first = item.first[0], last = item.last[0];
  for (int n = 1; n < N; ++n) {
    first = item.first[n] < first ? item.first[n] : first;
    last = item.last[n] > last ? item.last[n] : last;
  }
  Running run[N];
  for (int32_t i = 0; i < N * value; ++i) s.total[i] = 0.0f;
  constexpr int T = N <= 2 ? 4 : N <= 6 ? 2 : 1;
  for (int32_t begin = first / kAttentionSpan * kAttentionSpan; begin <= last;
       begin += kAttentionSpan) {
    Span span{begin, 0, kAttentionSpan};
    if (first > begin) span.lo = (first - begin) / 16 * 16;
    if (last - begin < kAttentionSpan) span.hi = (last - begin) / 16 * 16 + 16;
    int32_t at = span.lo;
    for (; at + 16 * T <= span.hi; at += 16 * T) score_tiles<Type, N, T>(item, s, span, at);
    for (; at < span.hi; at += 16) score_tiles<Type, N, 1>(item, s, span, at);
    float maximum[N], sum[N];
    for (int n = 0; n < N; ++n) {
      float* const scores = s.scores + n * kAttentionSpan;
      mask_scores(item, n, span, scores);
      maximum[n] = span_softmax(scores, span, &sum[n]);
    }
    weigh_all<Type, N>(item, s, span);
    for (int n = 0; n < N; ++n)
      merge(run[n], maximum[n], sum[n], s.total + n * value, s.part + n * value, value);
  }
  for (int n = 0; n < N; ++n) finish(item, n, run[n], s.total + n * value);
}

template <Kv Type, int N = kGroup>
void attend_any(const AttentionItem& item) {
  if constexpr (N > 0) {
    if (item.num_queries == N)
      attend<Type, N>(item);
    else
      attend_any<Type, N - 1>(item);
  }
}

template <Kv Type>
void attention(const AttentionItem& item) {
  attend_any<Type>(item);
}

}  // namespace
}  // namespace pyslm
