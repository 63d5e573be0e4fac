// What works on one row at a time: norms, activations, rope, and placing a row into the layout of
// the matrix products. Bound: bytes of the row, which are in cache.
namespace pyslm {
namespace {

// Sums over a row: four chains over vectors 0, 4, 8, ..; 1, 5, 9, ..; ..., then a fixed tree.
template <class Term>
inline float sum_row(int32_t dim, Term term) {
  F acc[4] = {fzero(), fzero(), fzero(), fzero()};
  for (int32_t i = 0, v = 0; i < dim; i += 16, ++v) acc[v & 3] = term(i, acc[v & 3]);
  return freduce_add(fadd(fadd(acc[0], acc[1]), fadd(acc[2], acc[3])));
}

inline float sqrt1(float x) { return __builtin_sqrtf(x); }

float rms_inverse(const float* x, float eps, int32_t dim) {
  const float square = sum_row(dim, [&](int32_t i, F acc) {
    const F v = fload_part(x + i, dim - i, 0.0f);
    return fma(v, v, acc);
  });
  return 1.0f / sqrt1(square / static_cast<float>(dim) + eps);
}

void scale(const float* x, float factor, const float* weight, float* y, int32_t dim) {
  for (int32_t i = 0; i < dim; i += 16) {
    F v = fmul(fload_part(x + i, dim - i, 0.0f), fset(factor));
    if (weight) v = fmul(v, fload_part(weight + i, dim - i, 0.0f));
    fstore_part(y + i, dim - i, v);
  }
}

void rms_norm(const float* x, const float* weight, float eps, float* y, int32_t dim) {
  scale(x, rms_inverse(x, eps, dim), weight, y, dim);
}

void layer_norm(const float* x, const float* weight, const float* bias, float eps, float* y,
                int32_t dim) {
  const float mean =
      sum_row(dim, [&](int32_t i, F acc) { return fadd(acc, fload_part(x + i, dim - i, 0.0f)); }) /
      static_cast<float>(dim);
  const float square = sum_row(dim, [&](int32_t i, F acc) {
    const F v = fsub(fload_part(x + i, dim - i, mean), fset(mean));
    return fma(v, v, acc);
  });
  const F inverse = fset(1.0f / sqrt1(square / static_cast<float>(dim) + eps));
  for (int32_t i = 0; i < dim; i += 16) {
    F v = fmul(fsub(fload_part(x + i, dim - i, 0.0f), fset(mean)), inverse);
    v = fmul(v, fload_part(weight + i, dim - i, 0.0f));
    if (bias) v = fadd(v, fload_part(bias + i, dim - i, 0.0f));
    fstore_part(y + i, dim - i, v);
  }
}

inline F activation(GateKind kind, F x) {
  switch (kind) {
    case GateKind::kSilu:
      return fmul(x, sigmoid(x));
    case GateKind::kGeluTanh: {  // 0.5 (1 + tanh u) = sigmoid(2u)
      const F inner = fmul(x, fma(fmul(x, x), fset(0.044715f), fset(1.0f)));
      return fmul(x, sigmoid(fmul(inner, fset(1.5957691216057308f))));
    }
    case GateKind::kGeluErf:
      return fmul(fmul(x, fset(0.5f)), fadd(fset(1.0f), verf(fmul(x, fset(0.70710678118654752f)))));
    case GateKind::kRelu2: {
      const F positive = fmax(x, fzero());
      return fmul(positive, positive);
    }
  }
  return x;
}

void gate(GateKind kind, const float* gate_x, const float* up, float* y, int32_t dim) {
  for (int32_t i = 0; i < dim; i += 16) {
    F v = activation(kind, fload_part(gate_x + i, dim - i, 0.0f));
    if (up) v = fmul(v, fload_part(up + i, dim - i, 0.0f));
    fstore_part(y + i, dim - i, v);
  }
}

void add(float* x, const float* y, float scale, int32_t dim) {
  for (int32_t i = 0; i < dim; i += 16)
    fstore_part(
        x + i, dim - i,
        fma(fload_part(y + i, dim - i, 0.0f), fset(scale), fload_part(x + i, dim - i, 0.0f)));
}

void multiply(float* x, float factor, int32_t dim) {
  for (int32_t i = 0; i < dim; i += 16)
    fstore_part(x + i, dim - i, fmul(fload_part(x + i, dim - i, 0.0f), fset(factor)));
}

void softcap(float* x, float cap, int32_t dim) {
  for (int32_t i = 0; i < dim; i += 16) {
    const F v = fdiv(fload_part(x + i, dim - i, 0.0f), fset(cap));
    fstore_part(x + i, dim - i, fmul(vtanh(v), fset(cap)));
  }
}

// (a, b) -> (a cos - b sin, b cos + a sin); each product rounded once, then one fused step.
void rope(bool neox, const float* cos_sin, int32_t pairs, float* x, int32_t heads,
          int32_t head_dim) {
  for (int32_t h = 0; h < heads; ++h) {
    float* const head = x + h * head_dim;
    for (int32_t i = 0; i < pairs; ++i) {
      float& a = neox ? head[i] : head[2 * i];
      float& b = neox ? head[i + pairs] : head[2 * i + 1];
      const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1], first = a;
      a = __builtin_fmaf(first, c, -(b * s));
      b = __builtin_fmaf(b, c, first * s);
    }
  }
}

// 127 / top, or 0 where the quotient would not be finite or the block is worth nothing.
inline float inverse_step(float top) { return top > 1e-30f ? 127.0f / top : 0.0f; }

// 32 values to int8: d = max|x| / 127. Returns d; sums are of each half's 16 codes.
inline float quantize32(const float* x, int8_t* codes, int32_t* sums) {
  const F lo = fload(x), hi = fload(x + 16);
  const float top = freduce_max(fmax(fabs(lo), fabs(hi)));
  const F inverse = fset(inverse_step(top));
  const I a = iround(fmul(lo, inverse)), b = iround(fmul(hi, inverse));
  istore_i8(codes, a);
  istore_i8(codes + 16, b);
  sums[0] = ireduce_add(a);
  sums[1] = ireduce_add(b);
  return top / 127.0f;
}

void pack_rows(const ActLayout& act, int32_t first, const float* x, int64_t stride, int64_t begin,
               int64_t end) {
  const int32_t dim = act.dim;
  const int32_t n = act.rows - first < act.group ? act.rows - first : act.group;
  if (act.f32) {
    float* out = act.f32 + static_cast<int64_t>(first) * dim + begin * n;
    for (int64_t k = 0; k < end - begin; ++k)
      for (int32_t r = 0; r < n; ++r) *out++ = x[r * stride + k];
  }
  if (!act.q8) return;
  const int64_t blocks = dim / 32;
  int8_t* const q8 = act.q8 + static_cast<int64_t>(first) * dim;
  float* const scale = act.scale + first * blocks;
  int32_t* const bias32 = act.bias32 + first * blocks;
  int32_t* const bias16 = act.bias16 + first * blocks * 2;
  for (int64_t b = begin / 32; b < end / 32; ++b) {
    for (int32_t r = 0; r < n; ++r) {
      int8_t codes[32];
      int32_t sums[2];
      scale[b * n + r] = quantize32(x + r * stride + b * 32 - begin, codes, sums);
      bias32[b * n + r] = -128 * (sums[0] + sums[1]);
      bias16[2 * b * n + r] = -128 * sums[0];
      bias16[(2 * b + 1) * n + r] = -128 * sums[1];
      for (int j = 0; j < 8; ++j)
        __builtin_memcpy(q8 + ((b * 8 + j) * n + r) * 4, codes + 4 * j, 4);
    }
  }
}

}  // namespace
}  // namespace pyslm
