// What a step costs by its number of rows, learned while the engine runs. On a CPU the first row
// pays for reading the weights; the others are cheap until the arithmetic takes longer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace pyslm {

class StepCost {
 public:
  static constexpr int32_t kMaxRows = 256;  // larger steps are no decodes

  void observe(int32_t rows, double seconds);
  // Seconds; 1 for one row where nothing is known. Rises with the rows.
  double at(int32_t rows) const;

 private:
  // Rows 1, 2, 3, 4, 5-6, 7-8, 9-12, 13-16, 17-24, ...: two to an octave.
  static constexpr size_t kBuckets = 15;
  static constexpr double kAssumedSlope = 0.12;  // of one row's time, for each row more

  static size_t bucket(int32_t rows);
  static double center(size_t bucket);  // in rows

  std::array<double, kBuckets> seconds_{};  // 0: not seen yet
};

}  // namespace pyslm
