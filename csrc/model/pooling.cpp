#include "model/pooling.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace pyslm::model {
namespace {

void mean(const float* rows, int64_t num_rows, int dim, float* out) {
  std::vector<double> sums(dim, 0.0);
  for (int64_t r = 0; r < num_rows; ++r)
    for (int c = 0; c < dim; ++c) sums[c] += rows[r * dim + c];
  for (int c = 0; c < dim; ++c) out[c] = static_cast<float>(sums[c] / num_rows);
}

void normalize(float* x, int dim) {
  double squares = 0.0;
  for (int c = 0; c < dim; ++c) squares += static_cast<double>(x[c]) * x[c];
  if (squares == 0.0) return;
  const double scale = 1.0 / std::sqrt(squares);
  for (int c = 0; c < dim; ++c) x[c] = static_cast<float>(x[c] * scale);
}

}  // namespace

void pool_and_normalize(Pooling pooling, const float* rows, int64_t num_rows, int dim, float* out) {
  switch (pooling) {
    case Pooling::kMean:
      mean(rows, num_rows, dim, out);
      break;
    case Pooling::kCls:
      std::copy_n(rows, dim, out);
      break;
    case Pooling::kLast:
      std::copy_n(rows + (num_rows - 1) * dim, dim, out);
      break;
  }
  normalize(out, dim);
}

}  // namespace pyslm::model
