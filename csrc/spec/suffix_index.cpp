#include "spec/suffix_index.h"

#include <algorithm>
#include <utility>

namespace pyslm {
namespace {

// Three token ids of 21 bits; larger ones collide, which the comparison of tokens finds out.
uint64_t gram_at(std::span<const int32_t> tokens, int32_t last) {
  uint64_t gram = 0;
  for (int32_t i = last - SuffixIndex::kGram + 1; i <= last; ++i) {
    gram = gram << 21 ^ static_cast<uint64_t>(tokens[static_cast<size_t>(i)]);
  }
  return gram;
}

int32_t agreement(std::span<const int32_t> tokens, int32_t end, int32_t earlier_end) {
  const int32_t most = std::min(earlier_end + 1, SuffixIndex::kLongest);
  int32_t length = 0;
  while (length < most && tokens[static_cast<size_t>(end - length)] ==
                              tokens[static_cast<size_t>(earlier_end - length)]) {
    ++length;
  }
  return length;
}

}  // namespace

// The gram at the very end is left for later: it would match itself.
void SuffixIndex::extend(std::span<const int32_t> tokens) {
  const auto end = static_cast<int32_t>(tokens.size()) - 1;
  for (auto last = static_cast<int32_t>(previous_.size()); last < end; ++last) {
    previous_.push_back(-1);
    if (last < kGram - 1) continue;
    const auto [entry, is_new] = latest_.try_emplace(gram_at(tokens, last), last);
    if (!is_new) previous_.back() = std::exchange(entry->second, last);
  }
}

SuffixIndex::Match SuffixIndex::find(std::span<const int32_t> tokens) {
  extend(tokens);
  const auto end = static_cast<int32_t>(tokens.size()) - 1;
  Match best;
  if (end < kGram - 1) return best;
  const auto found = latest_.find(gram_at(tokens, end));
  int32_t candidate = found == latest_.end() ? -1 : found->second;
  for (int32_t i = 0; i < kCandidates && candidate >= 0; ++i) {
    const int32_t length = agreement(tokens, end, candidate);
    if (length >= kGram && length > best.length) best = {candidate + 1, length};
    candidate = previous_[static_cast<size_t>(candidate)];
  }
  return best;
}

}  // namespace pyslm
