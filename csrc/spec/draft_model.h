// A smaller model of the same vocabulary that guesses ahead for several requests at once, in a
// paged cache of its own.
//
// It draws with the request's own sampler: for one seed and position the two models use the same
// random number, so that they agree as often as their distributions overlap, at any temperature.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "model/runner.h"
#include "sampling/sampler.h"
#include "sched/batch.h"
#include "sched/block_manager.h"
#include "sched/scheduler.h"
#include "sched/sequence.h"

namespace pyslm {

// What a request wants guessed.
struct DraftJob {
  const Sequence* target;
  const Sampler* sampler;
  int32_t most = 0;             // tokens at most
  std::vector<int32_t> tokens;  // the guess
};

class DraftModel {
 public:
  // chunk: rows of a step. The runner must outlive it.
  DraftModel(Runner* runner, int32_t chunk);

  int num_vocab() const { return runner_->num_vocab(); }
  // Guesses for all jobs, `depth` tokens at most. A job whose prompt the draft model has yet to
  // read gets some of it read, and no guess.
  void guess(std::vector<DraftJob>& jobs, int32_t depth);
  // The request has ended.
  void forget(uint64_t id);
  // Seconds that a token of a guess took lately, for all jobs together.
  double step_seconds() const { return step_seconds_; }

 private:
  struct Guessing {
    DraftJob* job;
    Sequence* sequence;
  };

  Sequence& follow(const Sequence& target);
  // Takes blocks from those that guess nothing now, if need be.
  bool reserve(const Guessing& one, int32_t rows, const std::vector<Guessing>& all);
  std::vector<ScheduledSpan> plan_catch_up(const std::vector<Guessing>& all);
  // Computes the rows and appends a token to each sequence whose newest row was among them.
  void run(const std::vector<ScheduledSpan>& plan, const std::vector<Guessing>& all);
  void draw(const Guessing& one, const float* logits);
  void drop_all_but(const std::vector<Guessing>& kept);

  Runner* runner_;
  int32_t chunk_;
  BlockManager blocks_;
  std::unordered_map<uint64_t, std::unique_ptr<Sequence>> sequences_;
  SamplerWorkspace workspace_;
  double step_seconds_ = 0;
};

}  // namespace pyslm
