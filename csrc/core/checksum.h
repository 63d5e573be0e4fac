// A 64-bit checksum for data at rest: it finds damage, not forgery. Every step is a bijection of
// the lane for a given word and of the word for a given lane, so that a change within one word is
// always found, and any other one but for a chance of 2^-64.
//
// Eight independent lanes of xor, multiply, rotate: about 8 bytes a cycle, more than memory gives.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pyslm {

inline uint64_t checksum64(const void* data, size_t num_bytes) {
  constexpr uint64_t kPrime = 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio, odd
  constexpr int kLanes = 8;
  const auto step = [](uint64_t lane, uint64_t word) {
    return std::rotl((lane ^ word) * kPrime, 29);
  };
  uint64_t lanes[kLanes];
  for (uint64_t i = 0; i < kLanes; ++i) lanes[i] = (i + 1) * kPrime ^ num_bytes;
  const auto* bytes = static_cast<const unsigned char*>(data);
  for (; num_bytes >= 8 * kLanes; num_bytes -= 8 * kLanes, bytes += 8 * kLanes) {
    uint64_t words[kLanes];
    std::memcpy(words, bytes, sizeof(words));
    for (int i = 0; i < kLanes; ++i) lanes[i] = step(lanes[i], words[i]);
  }
  uint64_t tail[kLanes] = {};
  if (num_bytes) std::memcpy(tail, bytes, num_bytes);
  for (int i = 0; i < kLanes; ++i) lanes[i] = step(lanes[i], tail[i]);
  uint64_t all = 0;
  for (uint64_t lane : lanes) all = step(all, lane);
  return all ^ all >> 32;
}

}  // namespace pyslm
