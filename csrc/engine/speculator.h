// How far the next step looks ahead. Drafts change how fast tokens come, never which: a draft token
// counts only where the sampler draws it.
//
// Every request that decodes makes a guess (what followed when its last tokens stood there before;
// a draft model). Of all guesses' tokens those are checked that raise the expected tokens per
// second most: by their chance of being right, at what a step of that many rows costs. Both are
// learned while the engine runs, so that drafts end where they do not pay.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/generation.h"
#include "sched/sequence.h"
#include "spec/acceptance.h"
#include "spec/step_cost.h"

namespace pyslm {

struct SpeculationConfig {
  int32_t max_draft = 0;  // tokens of one sequence that a step may check; 0: no speculation
  bool adaptive = true;   // false: always as many as there are guesses (tests)
};

// A sequence that decodes, and what generates for it.
struct Decoding {
  Sequence* sequence;
  Generation* generation;
};

class Speculator {
 public:
  explicit Speculator(SpeculationConfig config) : config_(config) {}

  bool enabled() const { return config_.max_draft > 0; }
  // Makes each one's guess.
  void guess(const std::vector<Decoding>& decoding) const;
  // How far a draft model should guess for these, whose guesses are empty, when each token takes it
  // so many seconds for all of them.
  int32_t model_depth(const std::vector<Decoding>& wanting, double draft_seconds);
  // Sets each one's draft, a prefix of its guess, which may be empty.
  void choose_drafts(const std::vector<Decoding>& decoding) const;
  // Between process() and commit() of the step.
  void learn(const Decoding& decoding);
  // Of a step that only decoded.
  void observe_step(int32_t rows, double seconds) { cost_.observe(rows, seconds); }

  int32_t most_tokens(const Decoding& decoding) const;

 private:
  SpeculationConfig config_;
  Acceptance acceptance_;
  StepCost cost_;
  int32_t num_pauses_ = 0;  // of the draft model, since it last guessed
};

}  // namespace pyslm
