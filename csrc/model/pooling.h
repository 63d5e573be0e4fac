// Sentence embeddings from the hidden states of a text's tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pyslm {

// kRank: the first row's first number is how well a text pair fits (a cross-encoder's head).
enum class Pooling { kMean, kCls, kLast, kRank };

// Takes the hidden states of one text's tokens as they come, first to last.
class Pooler {
 public:
  Pooler(Pooling pooling, int dim) : pooling_(pooling), sums_(static_cast<size_t>(dim), 0.0) {}

  // Rows before this one, of a text of `num_tokens`, are of no use.
  static int32_t first_needed(Pooling pooling, int32_t num_tokens) {
    return pooling == Pooling::kLast ? num_tokens - 1 : 0;
  }
  void add(const float* row);  // [dim]
  // Of Euclidean length 1, or all zero; with kRank the one number.
  std::vector<float> finish() const;

 private:
  Pooling pooling_;
  std::vector<double> sums_;  // [dim]
  int64_t num_rows_ = 0;
};

}  // namespace pyslm
