#include "spec/step_cost.h"

#include <algorithm>
#include <bit>

namespace pyslm {

size_t StepCost::bucket(int32_t rows) {
  const auto n = static_cast<uint32_t>(std::clamp(rows, 1, kMaxRows));
  if (n <= 2) return n - 1;
  const auto octave = static_cast<uint32_t>(std::bit_width(n - 1)) - 1;  // 3-4: 1, 5-8: 2
  const uint32_t middle = 3u << (octave - 1);  // the larger half begins after it
  return 2 * octave + (n > middle ? 1 : 0);
}

double StepCost::center(size_t bucket) {
  if (bucket < 2) return static_cast<double>(bucket + 1);
  const size_t octave = bucket / 2;
  const double half = static_cast<double>(size_t{1} << (octave - 1));
  const double first = 2 * half + 1 + (bucket % 2 == 1 ? half : 0);
  return first + (half - 1) / 2;
}

void StepCost::observe(int32_t rows, double seconds) {
  if (rows > kMaxRows || seconds <= 0) return;
  double& known = seconds_[bucket(rows)];
  // Noise only ever adds: a faster step counts for more than a slower one.
  const double step = seconds < known ? 0.3 : 0.1;
  known = known == 0 ? seconds : known + step * (seconds - known);
}

// Between buckets that were seen: a line. Beyond the last: the assumed slope.
double StepCost::at(int32_t rows) const {
  const double n = std::min(rows, kMaxRows);
  double below_rows = 0, below = 0, least = 0;
  for (size_t b = 0; b < kBuckets; ++b) {
    if (seconds_[b] == 0) continue;
    const double here = std::max(seconds_[b], least);  // more rows are never cheaper
    const double here_rows = center(b);
    if (below == 0 && n <= here_rows) {
      return here * (1 + kAssumedSlope * (n - 1)) / (1 + kAssumedSlope * (here_rows - 1));
    }
    if (n <= here_rows) return below + (here - below) * (n - below_rows) / (here_rows - below_rows);
    below = least = here;
    below_rows = here_rows;
  }
  if (below == 0) return 1 + kAssumedSlope * (n - 1);
  return below * (1 + kAssumedSlope * (n - 1)) / (1 + kAssumedSlope * (below_rows - 1));
}

}  // namespace pyslm
