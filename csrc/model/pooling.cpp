#include "model/pooling.h"

#include <cmath>

namespace pyslm {

void Pooler::add(const float* row) {
  const bool first_counts = pooling_ == Pooling::kCls || pooling_ == Pooling::kRank;
  if (num_rows_++ > 0 && first_counts) return;
  if (pooling_ == Pooling::kMean) {
    for (size_t c = 0; c < sums_.size(); ++c) sums_[c] += row[c];
  } else {
    sums_.assign(row, row + sums_.size());
  }
}

std::vector<float> Pooler::finish() const {
  if (pooling_ == Pooling::kRank) return {static_cast<float>(sums_[0])};
  const double count = pooling_ == Pooling::kMean ? static_cast<double>(num_rows_) : 1.0;
  std::vector<float> result(sums_.size());
  double squares = 0.0;
  for (size_t c = 0; c < sums_.size(); ++c) {
    result[c] = static_cast<float>(sums_[c] / count);
    squares += static_cast<double>(result[c]) * result[c];
  }
  if (squares == 0.0) return result;
  const double scale = 1.0 / std::sqrt(squares);
  for (float& value : result) value = static_cast<float>(value * scale);
  return result;
}

}  // namespace pyslm
