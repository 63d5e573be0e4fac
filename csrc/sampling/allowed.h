// The tokens that may come next by a grammar.
#pragma once

#include <cstdint>

namespace pyslm {

// Asking for one token costs microseconds, for the set of all a hundred times as much.
class AllowedTokens {
 public:
  virtual ~AllowedTokens() = default;
  virtual bool has(int32_t token) = 0;
  // Bit t % 32 of word t / 32 where token t may come; valid until the grammar moves on.
  virtual const uint32_t* bits() = 0;
};

}  // namespace pyslm
