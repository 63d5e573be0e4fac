// Half-precision and bfloat16 conversions in plain integer code, exact to the bit on every machine:
// round to nearest even, subnormals, infinities; a NaN keeps the top of its payload and is quiet.
// Internal linkage throughout, so that a copy compiled for one ISA tier never serves another.
#pragma once

#include <cstdint>

namespace pyslm {

// 1 sign, 5 exponent, 10 mantissa bits -> the same number as float.
[[maybe_unused]] static constexpr float fp16_to_fp32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, a normal float
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, magnitude) | sign);
  }
  uint32_t bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (exponent == 31) bits = sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0u);
  return __builtin_bit_cast(float, bits);
}

// The nearest half; from 65520 on, infinity.
[[maybe_unused]] static constexpr uint16_t fp32_to_fp16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  uint32_t half = 0;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  } else if (magnitude >= 0x47800000u) {  // 2^16 and above
    half = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {  // normal; a carry may run up to infinity, as it should
    const uint32_t rebiased = magnitude - 0x38000000u;
    half = (rebiased + 0xfffu + ((rebiased >> 13) & 1u)) >> 13;
  } else if (magnitude > 0x33000000u) {  // subnormal; 2^-25 itself ties to zero
    const uint32_t shift = 126 - (magnitude >> 23);
    const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
    const uint32_t rest = mantissa & ((1u << shift) - 1), tie = 1u << (shift - 1);
    half = mantissa >> shift;
    if (rest > tie || (rest == tie && (half & 1u))) ++half;
  }
  return static_cast<uint16_t>(sign | half);
}

[[maybe_unused]] static constexpr float bf16_to_fp32(uint16_t value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value) << 16);
}

[[maybe_unused]] static constexpr uint16_t fp32_to_bf16(float value) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 64u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace pyslm
