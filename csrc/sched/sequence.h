// One request as the scheduler sees it: tokens, how many of them are in the cache, and the blocks
// that hold them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include "kv/prefix_tree.h"

namespace pyslm {

// The blocks of one sequence in one cache group, by position: block i holds the tokens
// [i * block_tokens, (i + 1) * block_tokens). Those before first_held slid out of the window and
// went back to the pool; their entries are -1.
struct BlockTable {
  std::vector<int32_t> blocks;
  int32_t first_held = 0;

  int32_t num_held() const { return static_cast<int32_t>(blocks.size()) - first_held; }
};

enum class SequenceStatus { kWaiting, kRunning, kFinished };

struct Sequence {
  uint64_t id = 0;              // ascending in order of arrival: the lower, the older
  std::vector<int32_t> tokens;  // prompt, then output
  int32_t prompt_length = 0;
  int32_t num_computed = 0;        // leading tokens whose keys and values are in the cache
  int32_t next_output = 0;         // the first row whose output is still wanted, by position
  bool wants_hidden = false;       // ... as hidden states, not as logits
  std::vector<int32_t> draft;      // guesses at the tokens to come, checked by the next step
  std::vector<BlockTable> tables;  // one per cache group
  SequenceStatus status = SequenceStatus::kWaiting;
  int32_t priority = 0;    // the lower, the earlier
  int32_t num_cached = 0;  // prompt tokens that others had computed
  bool was_preempted = false;

  // Where it stands in the tree of shared prefixes, while it runs: its first num_units units.
  PrefixScope scope = kCommonScope;
  PrefixNode* prefix_end = nullptr;
  int32_t num_units = 0;

  int32_t num_tokens() const { return static_cast<int32_t>(tokens.size()); }
  int32_t num_owed() const { return num_tokens() - num_computed; }
  // Rows up to here must be computed, not found: their outputs are wanted.
  int32_t most_cached() const { return std::min(next_output, num_tokens() - 1); }
  // Its tokens, then its draft.
  int32_t token_at(int32_t position) const {
    const int32_t beyond = position - num_tokens();
    return beyond < 0 ? tokens[static_cast<size_t>(position)] : draft[static_cast<size_t>(beyond)];
  }
  // Only its newest token is missing: one row gives the next. Otherwise it computes its prompt, or
  // after a preemption all that it had.
  bool decoding() const { return num_computed > 0 && num_owed() == 1; }
  // Who is served first.
  bool before(const Sequence& other) const {
    return std::tie(priority, id) < std::tie(other.priority, other.id);
  }
};

}  // namespace pyslm
