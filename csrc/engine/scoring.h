// A request that asks how likely given tokens are after those before them.
#pragma once

#include <utility>
#include <vector>

#include "engine/task.h"
#include "sampling/logprobs.h"

namespace pyslm {

class Scoring final : public Task {
 public:
  // targets[i] stands after the i-th row with an output.
  Scoring(std::vector<int32_t> targets, int32_t num_top, int num_vocab)
      : targets_(std::move(targets)), num_top_(num_top), num_vocab_(num_vocab) {}

  void process(Sequence&, const float* rows, int32_t num_rows,
               SamplerWorkspace& workspace) override {
    workspace.reserve(static_cast<size_t>(num_vocab_));
    found_.clear();
    for (int32_t row = 0; row < num_rows; ++row) {
      const int32_t target = targets_[static_cast<size_t>(num_done_ + row)];
      found_.push_back(
          top_logprobs(rows + int64_t{row} * num_vocab_, num_vocab_, target, num_top_, workspace));
    }
  }

  Progress commit(Sequence& sequence, RequestUpdate& update) override {
    const auto num_rows = static_cast<int32_t>(found_.size());
    for (int32_t row = 0; row < num_rows; ++row) {
      update.tokens.push_back(targets_[static_cast<size_t>(num_done_ + row)]);
      update.logprobs.push_back(std::move(found_[static_cast<size_t>(row)]));
    }
    num_done_ += num_rows;
    sequence.next_output += num_rows;
    const bool done = num_done_ == static_cast<int32_t>(targets_.size());
    return {num_rows, done ? FinishReason::kStop : FinishReason::kNone};
  }

 private:
  std::vector<int32_t> targets_;
  int32_t num_top_;
  int num_vocab_;
  int32_t num_done_ = 0;
  std::vector<std::vector<TokenLogprob>> found_;  // of the step under way
};

}  // namespace pyslm
