#include "engine/speculator.h"

#include <algorithm>

namespace pyslm {
namespace {

// One more row has to promise this much more, else noise in the costs would decide.
constexpr double kLeastGain = 1.02;
constexpr int32_t kMostPauses = 100;

// One token of one guess.
struct Prospect {
  double chance;  // that it and all before it are right
  size_t owner;   // index of its request
};

}  // namespace

// The last token that a request may give is never computed, so never a draft's.
int32_t Speculator::most_tokens(const Decoding& decoding) const {
  return std::min(config_.max_draft, decoding.generation->room() - 1);
}

void Speculator::guess(const std::vector<Decoding>& decoding) const {
  for (const Decoding& d : decoding) d.generation->guess(*d.sequence, most_tokens(d));
}

int32_t Speculator::model_depth(const std::vector<Decoding>& wanting, double draft_seconds) {
  const auto base = static_cast<int32_t>(wanting.size());
  const int32_t most = std::min(config_.max_draft, StepCost::kMaxRows / std::max(1, base) - 1);
  if (!config_.adaptive) return most;
  double chance = 0;  // the mean of all
  for (const Decoding& d : wanting) {
    chance += acceptance_.chance(DraftSource::kModel, 0, d.generation->acceptance()) / base;
  }
  int32_t best = 0;
  double best_rate = base / cost_.at(base) * kLeastGain;
  double expected = base, all_right = base;
  for (int32_t depth = 1; depth <= most; ++depth) {
    expected += all_right *= chance;
    const double rate = expected / (cost_.at(base * (depth + 1)) + depth * draft_seconds);
    if (rate <= best_rate) continue;
    best_rate = rate;
    best = depth;
  }
  // A model that does not pay is asked now and then: what is asked of it may have changed.
  if (best == 0 && ++num_pauses_ >= kMostPauses) best = std::min(1, most);
  if (best > 0) num_pauses_ = 0;
  return best;
}

void Speculator::choose_drafts(const std::vector<Decoding>& decoding) const {
  std::vector<Prospect> prospects;
  for (size_t i = 0; i < decoding.size(); ++i) {
    Generation& generation = *decoding[i].generation;
    const Guess& guess = generation.last_guess();
    decoding[i].sequence->draft.clear();
    const double chance =
        acceptance_.chance(guess.source, guess.match_length, generation.acceptance());
    double all_right = 1;
    for (size_t t = 0; t < guess.tokens.size(); ++t) {
      prospects.push_back({all_right *= chance, i});
    }
  }
  std::stable_sort(prospects.begin(), prospects.end(),
                   [](const Prospect& a, const Prospect& b) { return a.chance > b.chance; });
  const auto base = static_cast<int32_t>(decoding.size());
  const auto most = std::min<size_t>(prospects.size(), StepCost::kMaxRows - std::min(base, 255));
  double expected = base;
  double best_rate = base / cost_.at(base) * kLeastGain;
  size_t best = config_.adaptive ? 0 : most;
  for (size_t n = 0; n < most && config_.adaptive; ++n) {
    expected += prospects[n].chance;
    const double rate = expected / cost_.at(base + static_cast<int32_t>(n) + 1);
    if (rate <= best_rate) continue;
    best_rate = rate;
    best = n + 1;
  }
  for (size_t n = 0; n < best; ++n) {
    const Decoding& owner = decoding[prospects[n].owner];
    std::vector<int32_t>& draft = owner.sequence->draft;
    draft.push_back(owner.generation->last_guess().tokens[draft.size()]);
  }
}

void Speculator::learn(const Decoding& decoding) { decoding.generation->judge_guess(acceptance_); }

}  // namespace pyslm
