// The packed form of a weight matrix, the same on every tier.
//
// A tile is 16 rows. Along k it is cut into blocks of 32, eight quads of 4 k each. The codes of one
// quad of all 16 rows make one vector of 64 bytes: byte 4 * row + (k % 4). Codes of fewer than 8
// bits are split into planes, each a few such vectors that share their bytes:
//
//   low plane, 8 bits: 8 vectors     quad j: vector j
//              4 bits: 4 vectors     quad j: vector j & 3, bits 4 * (j >> 2) and up
//              2 bits: 2 vectors     quad j: vector j & 1, bits 2 * (j >> 1) and up
//   high plane, 2 bits: 2 vectors    as the 2-bit low plane
//               1 bit:  1 vector     quad j: bit j
//
//   tile: [cols / 32][low plane | high plane]   then its scales, at scales_offset(cols):
//     kHalf        [cols / 32][16] half d
//     kHalfMin     [cols / 32]{[16] half d, [16] half m}
//     kE8M0        [cols / 32][16] uint8 exponent
//     kSuper32     [cols / 256]{[16] half d, [8][16] int8 scale}
//     kSuper32Min  [cols / 256]{[16] half d, [16] half dmin, [8][16] uint8 scale, [8][16] uint8
//     min} kSuper16     [cols / 256]{[16] half d, [16][16] int8 scale} kSuper16Min  [cols /
//     256]{[16] half d, [16] half dmin, [16][16] uint8 scale | min << 4}
//
// F32 tiles are [cols][16] floats, F16 [cols][16] halfs, BF16 [cols / 2][16][2] (k pairs, so that a
// vector of pairs feeds vdpbf16ps, and widens by one shift or mask).
//
// Functions here have internal linkage, as in every header that the ISA objects include: a copy
// compiled for one tier must not be linked into code that runs on another.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace pyslm::layout {

// Raised with every change of what is drawn above: packed weights that an older one left on disk
// are then packed afresh.
static constexpr int kVersion = 1;

enum class Scales { kHalf, kHalfMin, kE8M0, kSuper32, kSuper32Min, kSuper16, kSuper16Min };

struct Format {
  int low_bits, high_bits;  // of a code
  int zero;                 // weight = scale * (code - zero); 0 with minima or a table
  bool signed_codes;        // codes, or the table's entries, are int8
  Scales scales;
  const int8_t* table;  // code -> int8, or null
};

static constexpr int8_t kIQ4Table[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                         1,    13,   25,  38,  53,  69,  89,  113};
static constexpr int8_t kMXFP4Table[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static constexpr Format kQ4_0{4, 0, 8, false, Scales::kHalf, nullptr};
static constexpr Format kQ4_1{4, 0, 0, false, Scales::kHalfMin, nullptr};
static constexpr Format kQ5_0{4, 1, 16, false, Scales::kHalf, nullptr};
static constexpr Format kQ5_1{4, 1, 0, false, Scales::kHalfMin, nullptr};
static constexpr Format kQ8_0{8, 0, 0, true, Scales::kHalf, nullptr};
static constexpr Format kQ2_K{2, 0, 0, false, Scales::kSuper16Min, nullptr};
static constexpr Format kQ3_K{2, 1, 4, false, Scales::kSuper16, nullptr};
static constexpr Format kQ4_K{4, 0, 0, false, Scales::kSuper32Min, nullptr};
static constexpr Format kQ5_K{4, 1, 0, false, Scales::kSuper32Min, nullptr};
static constexpr Format kQ6_K{4, 2, 32, false, Scales::kSuper16, nullptr};
static constexpr Format kIQ4_NL{4, 0, 0, true, Scales::kHalf, kIQ4Table};
static constexpr Format kIQ4_XS{4, 0, 0, true, Scales::kSuper32, kIQ4Table};
static constexpr Format kMXFP4{4, 0, 0, true, Scales::kE8M0, kMXFP4Table};

[[maybe_unused]] static constexpr bool has_min(const Format& f) {
  return f.scales == Scales::kHalfMin || f.scales == Scales::kSuper32Min ||
         f.scales == Scales::kSuper16Min;
}
[[maybe_unused]] static constexpr bool sub16(const Format& f) {  // a scale per 16 weights, not 32
  return f.scales == Scales::kSuper16 || f.scales == Scales::kSuper16Min;
}
[[maybe_unused]] static constexpr int plane_bytes(const Format& f) {
  return 64 * (f.low_bits + f.high_bits);
}
[[maybe_unused]] static constexpr int64_t scales_offset(const Format& f, int64_t cols) {
  return cols / 32 * plane_bytes(f);
}
[[maybe_unused]] static constexpr int64_t scales_bytes(const Format& f, int64_t cols) {
  switch (f.scales) {
    case Scales::kHalf:
      return cols / 32 * 32;
    case Scales::kHalfMin:
      return cols / 32 * 64;
    case Scales::kE8M0:
      return cols / 32 * 16;
    case Scales::kSuper32:
      return cols / 256 * (32 + 128);
    case Scales::kSuper32Min:
      return cols / 256 * (64 + 256);
    case Scales::kSuper16:
      return cols / 256 * (32 + 256);
    case Scales::kSuper16Min:
      return cols / 256 * (64 + 256);
  }
  return 0;
}

[[maybe_unused]] static constexpr const Format* int8_format(DType type) {  // null for float types
  switch (type) {
    case DType::kQ4_0:
      return &kQ4_0;
    case DType::kQ4_1:
      return &kQ4_1;
    case DType::kQ5_0:
      return &kQ5_0;
    case DType::kQ5_1:
      return &kQ5_1;
    case DType::kQ8_0:
      return &kQ8_0;
    case DType::kQ2_K:
      return &kQ2_K;
    case DType::kQ3_K:
      return &kQ3_K;
    case DType::kQ4_K:
      return &kQ4_K;
    case DType::kQ5_K:
      return &kQ5_K;
    case DType::kQ6_K:
      return &kQ6_K;
    case DType::kIQ4_NL:
      return &kIQ4_NL;
    case DType::kIQ4_XS:
      return &kIQ4_XS;
    case DType::kMXFP4:
      return &kMXFP4;
    default:
      return nullptr;
  }
}

[[maybe_unused]] static constexpr int64_t tile_bytes(DType type, int64_t cols) {
  int64_t bytes = 0;
  if (const Format* f = int8_format(type))
    bytes = scales_offset(*f, cols) + scales_bytes(*f, cols);
  else if (type == DType::kF32)
    bytes = cols * 64;
  else
    bytes = (cols + 1) / 2 * 64;  // F16; BF16 in pairs
  return (bytes + 63) / 64 * 64;
}

}  // namespace pyslm::layout
