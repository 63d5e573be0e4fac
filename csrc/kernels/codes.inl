// From packed planes to the operands of the dot products, and from packed scales to floats.
// Included by each ISA tier after its dialect.
namespace pyslm {
namespace {

template <int V>
struct Int {
  static constexpr int value = V;
};
template <class Body>
[[gnu::always_inline]] inline void for_quads(Body&& body) {
  body(Int<0>{});
  body(Int<1>{});
  body(Int<2>{});
  body(Int<3>{});
  body(Int<4>{});
  body(Int<5>{});
  body(Int<6>{});
  body(Int<7>{});
}

using layout::Format;
using layout::Scales;

// Vector and right shift of quad j within a plane of `bits` bits; see layout.h.
constexpr int quad_vector(int bits, int j) {
  return bits == 8 ? j : bits == 4 ? j & 3 : bits == 2 ? j & 1 : 0;
}
constexpr int quad_shift(int bits, int j) {
  return bits == 8 ? 0 : bits == 4 ? 4 * (j >> 2) : bits == 2 ? 2 * (j >> 1) : j;
}

// The operand of quad J: one vector of 16 rows x 4 k, in the form that dot() takes.
template <const Format& Fmt, int J>
[[gnu::always_inline]] inline B operand(const uint8_t* block) {
  B code = bload(block + 64 * quad_vector(Fmt.low_bits, J));
  if constexpr (Fmt.low_bits < 8)
    code = band(bshr<quad_shift(Fmt.low_bits, J)>(code), bset((1 << Fmt.low_bits) - 1));
  if constexpr (Fmt.high_bits > 0) {
    const B high = bload(block + 64 * (Fmt.low_bits + quad_vector(Fmt.high_bits, J)));
    constexpr int kMask = ((1 << Fmt.high_bits) - 1) << Fmt.low_bits;
    code = bor(code, band(bshr<quad_shift(Fmt.high_bits, J) - Fmt.low_bits>(high), bset(kMask)));
  }
  if constexpr (Fmt.table != nullptr)
    return as_signed(blut(Fmt.table, code));
  else if constexpr (Fmt.signed_codes)
    return as_signed(code);
  else if constexpr (Fmt.zero != 0)
    return centre<Fmt.zero>(code);
  else
    return code;
}

// What the products of unpacked operands still depend on: formats that agree in it share code.
struct Shape {
  bool sub16, minima, signed_codes;
  int zero;
  int chain;  // quads whose sums of pairs 16 bits hold; 1 where the dialect has no need of them
};

// An activation is at least -128, a sum of pairs at most 2^15.
#if defined(PYSLM_PAIR_SUMS)
constexpr int chain_of(const Format& f) {
  if (f.signed_codes) return 1;
  const int pair = 2 * 128 * ((1 << (f.low_bits + f.high_bits)) - 1);
  int chain = 8;
  while (chain * pair >= 1 << 15) chain /= 2;
  return chain;
}
#else
constexpr int chain_of(const Format&) { return 1; }
#endif
constexpr Shape shape_of(const Format& f) {
  const bool minima = layout::has_min(f),
             one_form = kBiased && !minima;  // biased: all forms are one
  return {layout::sub16(f), minima, one_form || f.signed_codes, one_form ? 0 : f.zero, chain_of(f)};
}

// The integer sum of some quads' products. Without dot-product instructions, products of few bits
// are added up in 16 bits and widened once a chain: two instructions a quad in place of three. Such
// a sum starts from nothing and gets its start in the end, when the registers of pairs are free.
template <Shape S>
struct Sum {
  I total;
#if defined(PYSLM_PAIR_SUMS)
  B pairs;
#endif

  // Quad j of a part. Chains end with it.
  template <int kQuads>
  [[gnu::always_inline]] inline void add([[maybe_unused]] int j, B w, Quad a) {
    if constexpr (S.signed_codes) {
      total = dot_s(total, w, a);
    } else if constexpr (S.chain == 1) {
      total = dot_u(total, w, a);
    } else {
#if defined(PYSLM_PAIR_SUMS)
      constexpr int kChain = S.chain < kQuads ? S.chain : kQuads;
      pairs = j % kChain == 0 ? dot_pairs(w, a) : add_pairs(pairs, dot_pairs(w, a));
      if (j % kChain == kChain - 1)
        total = j < kChain ? widen_pairs(pairs) : iadd(total, widen_pairs(pairs));
#endif
    }
  }
};

// What an integer sum starts from, given -128 * (sum of the activations it will meet).
template <Shape S>
[[gnu::always_inline]] inline I init(const int32_t* bias) {
  if constexpr (S.signed_codes)
    return signed_init(bias);
  else if constexpr (S.zero != 0)
    return centre_init<S.zero>(bias);
  else
    return izero();
}

inline F e8m0_scale(
    const uint8_t* p) {  // 2^(e - 128): half of the E8M0 value, as codes are doubled
  const I e = iload_u8(p);
  const F x = fcvt(e), normal = fbits(ishl<23>(iadd(e, iset(-1))));
  return fselect_lt(x, fset(0.5f), fset(0x1p-128f),
                    fselect_lt(x, fset(1.5f), fset(0x1p-127f), normal));
}

inline const uint16_t* halfs(const uint8_t* p) { return reinterpret_cast<const uint16_t*>(p); }
inline const int8_t* signed_bytes(const uint8_t* p) { return reinterpret_cast<const int8_t*>(p); }

// Scales of block b: scale[s] for its one or two parts; minimum[s], divided by the -128 of `bias`.
template <const Format& Fmt>
[[gnu::always_inline]] inline void load_scales(const uint8_t* base, int64_t b, F* scale,
                                               F* minimum) {
  if constexpr (Fmt.scales == Scales::kHalf) {
    scale[0] = fload_half(halfs(base + b * 32));
  } else if constexpr (Fmt.scales == Scales::kHalfMin) {
    scale[0] = fload_half(halfs(base + b * 64));
    minimum[0] = fmul(fload_half(halfs(base + b * 64 + 32)), fset(-1.0f / 128));
  } else if constexpr (Fmt.scales == Scales::kE8M0) {
    scale[0] = e8m0_scale(base + b * 16);
  } else if constexpr (Fmt.scales == Scales::kSuper32) {
    const uint8_t* super = base + b / 8 * 160;
    scale[0] = fmul(fload_half(halfs(super)), fload_i8(signed_bytes(super + 32 + b % 8 * 16)));
  } else if constexpr (Fmt.scales == Scales::kSuper32Min) {
    const uint8_t* super = base + b / 8 * 320;
    scale[0] = fmul(fload_half(halfs(super)), fload_u8(super + 64 + b % 8 * 16));
    minimum[0] = fmul(fmul(fload_half(halfs(super + 32)), fload_u8(super + 192 + b % 8 * 16)),
                      fset(1.0f / 128));
  } else if constexpr (Fmt.scales == Scales::kSuper16) {
    const uint8_t* super = base + b / 8 * 288;
    const F d = fload_half(halfs(super));
    for (int s = 0; s < 2; ++s)
      scale[s] = fmul(d, fload_i8(signed_bytes(super + 32 + (b % 8 * 2 + s) * 16)));
  } else {
    const uint8_t* super = base + b / 8 * 320;
    const F d = fload_half(halfs(super)), dmin = fload_half(halfs(super + 32));
    for (int s = 0; s < 2; ++s) {
      const I both = iload_u8(super + 64 + (b % 8 * 2 + s) * 16);
      scale[s] = fmul(d, fcvt(iand(both, 15)));
      minimum[s] = fmul(fmul(dmin, fcvt(isar<4>(both))), fset(1.0f / 128));
    }
  }
}

}  // namespace
}  // namespace pyslm
