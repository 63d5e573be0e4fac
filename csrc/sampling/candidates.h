// The tokens still in play while a distribution is cut down, and the buffers that do it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sampling/select.h"

namespace pyslm {

// The first `count` entries of each array; arrays only grow, since growing anew would clear them.
struct Candidates {
  std::vector<int32_t> ids;   // ascending: the fixed order of every sum and of the draw
  std::vector<float> scores;  // (logit - largest logit) / temperature: at most 0
  std::vector<float> mass;    // exp(score): probability, not normalised
  size_t count = 0;
  double total = 0;  // sum of mass

  void reserve(size_t capacity) {
    ids.resize(capacity);
    scores.resize(capacity);
    mass.resize(capacity);
  }
};

// Shared by the samplers of one thread: several megabytes for a vocabulary of 150k, which would be
// too much to keep for each request.
struct SamplerWorkspace {
  Candidates candidates;
  std::vector<float> adjusted;   // [num_vocab] logits after bias and penalties
  std::vector<float> scratch;    // [num_vocab]
  std::vector<int32_t> indices;  // [num_vocab]
  std::vector<int32_t> counts;   // [num_vocab] all zero between uses
  std::vector<ScoredToken> best;
  std::vector<float> block_max;    // of the logits at hand, by blocks of kLogitBlock
  std::vector<double> block_sums;  // of their mass

  void reserve(size_t num_vocab) {
    if (scratch.size() >= num_vocab) return;
    candidates.reserve(num_vocab);
    adjusted.resize(num_vocab);
    scratch.resize(num_vocab);
    indices.resize(num_vocab);
    counts.resize(num_vocab, 0);
  }
};

}  // namespace pyslm
