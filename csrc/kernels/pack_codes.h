// From one file block of each format to what the packed layout stores of it: its codes, one per
// byte, and its scales, written at one lane of the layout's scale area.
#pragma once

#include <cstring>

#include "quant/iq4_nl.h"
#include "quant/iq4_xs.h"
#include "quant/mxfp4.h"
#include "quant/q2_k.h"
#include "quant/q3_k.h"
#include "quant/q4_0.h"
#include "quant/q4_1.h"
#include "quant/q4_k.h"
#include "quant/q5_0.h"
#include "quant/q5_1.h"
#include "quant/q5_k.h"
#include "quant/q6_k.h"
#include "quant/q8_0.h"

namespace pyslm::pack {

using namespace quant;

inline void nibbles32(const uint8_t* qs, uint8_t* codes) {  // low nibbles first, then high
  for (int i = 0; i < 16; ++i) {
    codes[i] = qs[i] & 15;
    codes[i + 16] = qs[i] >> 4;
  }
}
inline void nibbles256(const uint8_t* qs, uint8_t* codes) {  // 64 at a time
  for (int j = 0; j < 4; ++j)
    for (int i = 0; i < 32; ++i) {
      codes[64 * j + i] = qs[32 * j + i] & 15;
      codes[64 * j + 32 + i] = qs[32 * j + i] >> 4;
    }
}
inline void pairs256(const uint8_t* qs, uint8_t* codes) {  // two bits, 128 at a time
  for (int h = 0; h < 2; ++h)
    for (int j = 0; j < 4; ++j)
      for (int i = 0; i < 32; ++i) codes[128 * h + 32 * j + i] = qs[32 * h + i] >> (2 * j) & 3;
}
inline void fifth_bits32(const uint8_t* qh, uint8_t* codes) {
  uint32_t bits;
  std::memcpy(&bits, qh, 4);
  for (int i = 0; i < 32; ++i) codes[i] |= (bits >> i & 1) << 4;
}

inline void codes_of(const BlockQ4_0& b, uint8_t* codes) { nibbles32(b.qs, codes); }
inline void codes_of(const BlockQ4_1& b, uint8_t* codes) { nibbles32(b.qs, codes); }
inline void codes_of(const BlockQ5_0& b, uint8_t* codes) {
  nibbles32(b.qs, codes);
  fifth_bits32(b.qh, codes);
}
inline void codes_of(const BlockQ5_1& b, uint8_t* codes) {
  nibbles32(b.qs, codes);
  fifth_bits32(b.qh, codes);
}
inline void codes_of(const BlockQ8_0& b, uint8_t* codes) { std::memcpy(codes, b.qs, 32); }
inline void codes_of(const BlockIQ4_NL& b, uint8_t* codes) { nibbles32(b.qs, codes); }
inline void codes_of(const BlockMXFP4& b, uint8_t* codes) { nibbles32(b.qs, codes); }
inline void codes_of(const BlockQ2_K& b, uint8_t* codes) { pairs256(b.qs, codes); }
inline void codes_of(const BlockQ3_K& b, uint8_t* codes) {
  pairs256(b.qs, codes);
  for (int j = 0; j < 8; ++j)
    for (int i = 0; i < 32; ++i) codes[32 * j + i] |= (b.hmask[i] >> j & 1) << 2;
}
inline void codes_of(const BlockQ4_K& b, uint8_t* codes) { nibbles256(b.qs, codes); }
inline void codes_of(const BlockQ5_K& b, uint8_t* codes) {
  nibbles256(b.qs, codes);
  for (int j = 0; j < 8; ++j)
    for (int i = 0; i < 32; ++i) codes[32 * j + i] |= (b.qh[i] >> j & 1) << 4;
}
inline void codes_of(const BlockQ6_K& b, uint8_t* codes) {
  for (int h = 0; h < 2; ++h)
    for (int i = 0; i < 64; ++i) {
      codes[128 * h + i] = b.ql[64 * h + i] & 15;
      codes[128 * h + 64 + i] = b.ql[64 * h + i] >> 4;
    }
  for (int h = 0; h < 2; ++h)
    for (int j = 0; j < 4; ++j)
      for (int i = 0; i < 32; ++i)
        codes[128 * h + 32 * j + i] |= (b.qh[32 * h + i] >> (2 * j) & 3) << 4;
}
inline void codes_of(const BlockIQ4_XS& b, uint8_t* codes) {
  for (int j = 0; j < 8; ++j) nibbles32(b.qs + 16 * j, codes + 32 * j);
}

// Scale areas, as layout.h draws them; `area` is that of this block or super-block.
inline void put_half(uint8_t* area, int lane, uint16_t half) {
  std::memcpy(area + 2 * lane, &half, 2);
}

template <class Block>
  requires(Block::kElems == 32)
inline void put_scales(const Block& b, uint8_t* area, int lane) {
  if constexpr (requires { b.e; }) {
    area[lane] = b.e;
  } else {
    put_half(area, lane, b.d);
    if constexpr (requires { b.m; }) put_half(area + 32, lane, b.m);
  }
}
inline void put_scales(const BlockQ2_K& b, uint8_t* area, int lane) {
  put_half(area, lane, b.d);
  put_half(area + 32, lane, b.dmin);
  for (int s = 0; s < 16; ++s) area[64 + 16 * s + lane] = b.scales[s];
}
inline void put_scales(const BlockQ3_K& b, uint8_t* area, int lane) {
  put_half(area, lane, b.d);
  for (int s = 0; s < 16; ++s)
    area[32 + 16 * s + lane] = static_cast<uint8_t>(q3_k_scale(b.scales, s));
}
template <class Block>
  requires(requires(Block b) { b.dmin; } && sizeof(Block::scales) == 12)
inline void put_scales(const Block& b, uint8_t* area, int lane) {  // Q4_K, Q5_K
  put_half(area, lane, b.d);
  put_half(area + 32, lane, b.dmin);
  for (int s = 0; s < 8; ++s) {
    area[64 + 16 * s + lane] = static_cast<uint8_t>(k_scale(b.scales, s));
    area[192 + 16 * s + lane] = static_cast<uint8_t>(k_min(b.scales, s));
  }
}
inline void put_scales(const BlockQ6_K& b, uint8_t* area, int lane) {
  put_half(area, lane, b.d);
  for (int s = 0; s < 16; ++s) area[32 + 16 * s + lane] = static_cast<uint8_t>(b.scales[s]);
}
inline void put_scales(const BlockIQ4_XS& b, uint8_t* area, int lane) {
  put_half(area, lane, b.d);
  for (int s = 0; s < 8; ++s) area[32 + 16 * s + lane] = static_cast<uint8_t>(iq4_xs_scale(&b, s));
}

}  // namespace pyslm::pack
