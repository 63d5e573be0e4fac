// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a
// counter-based generator. A draw is a pure function of (seed, sample index, position), so it does
// not depend on the batch, on preemption, or on how many draws came before it.
#pragma once

#include <array>
#include <cstdint>

namespace pyslm {

using PhiloxCounter = std::array<uint32_t, 4>;
using PhiloxKey = std::array<uint32_t, 2>;

inline PhiloxCounter philox4x32(PhiloxCounter c, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(p0)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return c;
}

// Uniform in [0, 1), 53 bits. `position` is the index in its sequence of the token being drawn;
// `stream` tells apart the numbers that one token needs.
enum class RandomStream : uint32_t { kToken = 0, kXtc = 1, kAllowed = 1024 };

constexpr uint32_t kRetry = 16;  // streams kToken + kRetry and up, and so for kAllowed

inline double uniform_draw(uint64_t seed, uint32_t sample_index, uint64_t position,
                           RandomStream stream = RandomStream::kToken) {
  const PhiloxKey key = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  const PhiloxCounter r =
      philox4x32({static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32),
                  sample_index, static_cast<uint32_t>(stream)},
                 key);
  const uint64_t bits = (uint64_t{r[0]} << 32) | r[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace pyslm
