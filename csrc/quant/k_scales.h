// The 12 bytes that hold eight 6-bit scales and eight 6-bit minima in Q4_K and Q5_K.
//
//   byte k (0..3)      bits 0..5: scale k       bits 6..7: upper 2 bits of scale k + 4
//   byte 4 + k         bits 0..5: min k         bits 6..7: upper 2 bits of min k + 4
//   byte 8 + k         low nibble: low 4 bits of scale k + 4, high nibble: of min k + 4
#pragma once

#include <cstdint>

namespace pyslm::quant {

static inline int k_scale(const uint8_t scales[12], int j) {
  if (j < 4) return scales[j] & 63;
  return (scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4;
}

static inline int k_min(const uint8_t scales[12], int j) {
  if (j < 4) return scales[j + 4] & 63;
  return (scales[j + 4] >> 4) | (scales[j] >> 6) << 4;
}

// scale, min: eight numbers of 0..63 each.
static inline void pack_k_scales(const uint8_t scale[8], const uint8_t min[8], uint8_t out[12]) {
  for (int k = 0; k < 4; ++k) {
    out[k] = static_cast<uint8_t>(scale[k] | scale[k + 4] >> 4 << 6);
    out[k + 4] = static_cast<uint8_t>(min[k] | min[k + 4] >> 4 << 6);
    out[k + 8] = static_cast<uint8_t>((scale[k + 4] & 15) | (min[k + 4] & 15) << 4);
  }
}

}  // namespace pyslm::quant
