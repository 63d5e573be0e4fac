// Sets of tokens as bits: token t is bit t % 32 of word t / 32.
#pragma once

#include <bit>
#include <cstdint>

namespace pyslm {

// Whether fewer than `limit` are set; looks no further once it is told.
inline bool fewer_bits_than(const uint32_t* bits, int32_t num_vocab, int32_t limit) {
  int32_t count = 0;
  for (int32_t i = 0; i < (num_vocab + 31) / 32 && count < limit; ++i) {
    if (bits[i] != 0) count += std::popcount(bits[i]);
  }
  return count < limit;
}

// Calls body(token) in ascending order for as long as it returns true. Bits from num_vocab on are
// not looked at.
template <class Body>
void for_each_bit(const uint32_t* bits, int32_t num_vocab, Body&& body) {
  for (int32_t begin = 0; begin < num_vocab; begin += 32) {
    for (uint32_t word = bits[begin / 32]; word != 0; word &= word - 1) {
      const int32_t token = begin + std::countr_zero(word);
      if (token >= num_vocab || !body(token)) return;
    }
  }
}

}  // namespace pyslm
