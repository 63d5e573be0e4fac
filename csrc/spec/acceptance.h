// How often guesses come out right: learned while the engine runs, from every guess whose outcome
// is known, also from those that were not acted on.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace pyslm {

enum class DraftSource { kLookup, kModel };

// What is known of one request's guesses, by their source; recent ones weigh more.
struct RequestAcceptance {
  std::array<double, 2> hits{}, trials{};
};

class Acceptance {
 public:
  // The chance that the next token of a guess is right, given that those before it are. Lookup:
  // the longer the match, the better.
  double chance(DraftSource source, int32_t match_length, const RequestAcceptance& own) const {
    const double prior = rates_[bucket(source, match_length)];
    const auto s = static_cast<size_t>(source);
    return (kPriorWeight * prior + own.hits[s]) / (kPriorWeight + own.trials[s]);
  }
  void observe(DraftSource source, int32_t match_length, bool hit, RequestAcceptance& own) {
    double& rate = rates_[bucket(source, match_length)];
    rate += kRateStep * (static_cast<double>(hit) - rate);
    const auto s = static_cast<size_t>(source);
    own.hits[s] = own.hits[s] * kMemory + static_cast<double>(hit);
    own.trials[s] = own.trials[s] * kMemory + 1;
  }

 private:
  static constexpr double kPriorWeight = 4;
  static constexpr double kRateStep = 0.02;
  static constexpr double kMemory = 0.93;      // about the last 14 outcomes
  static constexpr size_t kLookupBuckets = 4;  // matches of 3, 4-7, 8-15, 16 and more

  static size_t bucket(DraftSource source, int32_t match_length) {
    if (source == DraftSource::kModel) return kLookupBuckets;
    const int width = std::bit_width(static_cast<uint32_t>(match_length));
    return static_cast<size_t>(std::clamp(width - 2, 0, static_cast<int>(kLookupBuckets) - 1));
  }

  std::array<double, kLookupBuckets + 1> rates_ = {0.4, 0.55, 0.7, 0.8, 0.7};
};

}  // namespace pyslm
