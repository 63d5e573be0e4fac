// The tokens still in play while a distribution is cut down, and the buffers that do it.
#pragma once

#include <cstdint>
#include <vector>

#include "sampling/select.h"

namespace pyslm {

struct Candidates {
  std::vector<int32_t> ids;   // ascending: the fixed order of every sum and of the draw
  std::vector<float> scores;  // (logit - largest logit) / temperature: at most 0
  std::vector<float> mass;    // exp(score): probability, not normalised
  double total = 0;           // sum of mass

  int64_t size() const { return static_cast<int64_t>(ids.size()); }
};

// Shared by the samplers of one thread: several megabytes for a vocabulary of 150k, which would be
// too much to keep for each request.
struct SamplerWorkspace {
  Candidates candidates;
  std::vector<float> adjusted;  // [num_vocab] logits after bias and penalties
  std::vector<float> scratch;   // [num_vocab]
  std::vector<ScoredToken> best;
  std::vector<int32_t> counts;  // [num_vocab] all zero between uses
};

}  // namespace pyslm
