// Passes over a vocabulary of logits. Bound: bytes from the second- or third-level cache. Sums go
// block by block, each over 4 x 16 lanes in one order, so that every tier gives the same bits.
namespace pyslm {
namespace {

// Calls each(offset, lanes) for the vectors of [0, n); lanes past the end hold `fill`.
template <class Each>
[[gnu::always_inline]] inline void for_vectors(const float* x, int64_t n, float fill, Each each) {
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    each(Int<0>{}, i, fload(x + i));
    each(Int<1>{}, i + 16, fload(x + i + 16));
    each(Int<2>{}, i + 32, fload(x + i + 32));
    each(Int<3>{}, i + 48, fload(x + i + 48));
  }
  for (; i < n; i += 16)
    each(Int<0>{}, i, fload_part(x + i, static_cast<int32_t>(n - i < 16 ? n - i : 16), fill));
}

inline float largest(const F* lanes) {
  return freduce_max(fmax(fmax(lanes[0], lanes[1]), fmax(lanes[2], lanes[3])));
}

inline float total(const F* lanes) {
  return freduce_add(fadd(fadd(lanes[0], lanes[1]), fadd(lanes[2], lanes[3])));
}

void keep_allowed(const float* x, const uint32_t* bits, int64_t n, float* out) {
  const F never = fset(-__builtin_inff());
  for (int64_t i = 0; i < n; i += 32) {
    const uint32_t word = bits[i / 32];
    const auto left = static_cast<int32_t>(n - i < 32 ? n - i : 32);
    if (left == 32) {
      fstore(out + i, word == 0 ? never : fselect_bits(word, fload(x + i), never));
      fstore(out + i + 16, word == 0 ? never : fselect_bits(word >> 16, fload(x + i + 16), never));
    } else {
      for (int32_t j = 0; j < left; ++j) {
        out[i + j] = ((word >> j) & 1) != 0 ? x[i + j] : -__builtin_inff();
      }
    }
  }
}

void scan_logits(const float* x, int64_t n, float* block_max, int32_t* unusable) {
  constexpr float kInf = __builtin_inff();
  F bad = fzero();
  for (int64_t begin = 0; begin < n; begin += kLogitBlock) {
    const int64_t count = n - begin < kLogitBlock ? n - begin : kLogitBlock;
    F max[4] = {fset(-kInf), fset(-kInf), fset(-kInf), fset(-kInf)};
    for_vectors(x + begin, count, -kInf, [&](auto c, int64_t, F v) __attribute__((always_inline)) {
      constexpr int C = decltype(c)::value;
      max[C] = fselect_lt(max[C], v, v, max[C]);  // false for NaN
      bad = fmax(bad, fselect_lt(v, fset(kInf), fzero(), fset(1.0f)));
    });
    block_max[begin / kLogitBlock] = largest(max);
  }
  *unusable = freduce_max(bad) > 0.0f;
}

double exponentiate(const float* x, int64_t n, float max, float scale, float* z, float* mass,
                    double* block_sums) {
  double all = 0;
  for (int64_t begin = 0; begin < n; begin += kLogitBlock) {
    const int64_t count = n - begin < kLogitBlock ? n - begin : kLogitBlock;
    F sums[4] = {fzero(), fzero(), fzero(), fzero()};
    for_vectors(x + begin, count, -__builtin_inff(),
                [&](auto c, int64_t i, F v) __attribute__((always_inline)) {
                  constexpr int C = decltype(c)::value;
                  const int64_t at = begin + i, left = n - at;
                  const auto lanes = static_cast<int32_t>(left < 16 ? left : 16);
                  const F score = fmul(fsub(v, fset(max)), fset(scale)), e = vexp(score);
                  sums[C] = fadd(sums[C], e);
                  if (z) fstore_part(z + at, lanes, score);
                  fstore_part(mass + at, lanes, e);
                });
    const double sum = total(sums);
    if (block_sums) block_sums[begin / kLogitBlock] = sum;
    all += sum;
  }
  return all;
}

double sum_from(const float* mass, int64_t n, float least) {
  double all = 0;
  for (int64_t begin = 0; begin < n; begin += kLogitBlock) {
    const int64_t count = n - begin < kLogitBlock ? n - begin : kLogitBlock;
    F sums[4] = {fzero(), fzero(), fzero(), fzero()};
    for_vectors(mass + begin, count, 0.0f,
                [&](auto c, int64_t, F v) __attribute__((always_inline)) {
                  constexpr int C = decltype(c)::value;
                  sums[C] = fadd(sums[C], fselect_lt(v, fset(least), fzero(), v));
                });
    all += total(sums);
  }
  return all;
}

}  // namespace
}  // namespace pyslm
