// A request that asks for the vector of a text.
#pragma once

#include "engine/task.h"
#include "model/pooling.h"

namespace pyslm {

class Embedding final : public Task {
 public:
  Embedding(Pooling pooling, int hidden_size)
      : pooler_(pooling, hidden_size), hidden_size_(hidden_size) {}

  void process(Sequence&, const float* rows, int32_t num_rows, SamplerWorkspace&) override {
    for (int32_t row = 0; row < num_rows; ++row) pooler_.add(rows + int64_t{row} * hidden_size_);
    num_rows_ = num_rows;
  }

  Progress commit(Sequence& sequence, RequestUpdate& update) override {
    sequence.next_output += num_rows_;
    if (sequence.next_output < sequence.num_tokens()) return {num_rows_, FinishReason::kNone};
    update.embedding = pooler_.finish();
    return {num_rows_, FinishReason::kStop};
  }

 private:
  Pooler pooler_;
  int hidden_size_;
  int32_t num_rows_ = 0;  // of the step under way
};

}  // namespace pyslm
