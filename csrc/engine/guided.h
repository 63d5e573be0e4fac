// The constrained side of the engine: what a request holds of its grammar, and the thread that
// fills the masks of a step while the forward pass runs.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "core/error.h"
#include "engine/vocabulary.h"
#include "grammar/compiler.h"
#include "grammar/matcher.h"
#include "sampling/allowed.h"

namespace pyslm {

// One request's grammar: first a ticket, then a matcher.
class Guide final : public AllowedTokens {
 public:
  Guide(std::shared_ptr<GrammarTicket> ticket, const EngineVocabulary* vocabulary);

  const std::shared_ptr<GrammarTicket>& ticket() const { return ticket_; }
  bool compiling() const { return matcher_ == nullptr; }
  // Takes the compiled grammar. Throws what kept it from compiling.
  void begin() { matcher_ = ticket_->take(); }

  // Error(kInvalid) where the grammar cannot be followed further, as is bits().
  bool has(int32_t token) override;
  const uint32_t* bits() override;
  // As bits() would do, which then has nothing left to do but to throw.
  void prepare_bits() noexcept;
  // Leading tokens of these that the grammar allows.
  size_t num_allowed(const std::vector<int32_t>& tokens);
  // True where the token completes the grammar, so that nothing can follow.
  bool advance(int32_t token);

 private:
  std::shared_ptr<GrammarTicket> ticket_;
  std::unique_ptr<GrammarMatcher> matcher_;
  const EngineVocabulary& vocabulary_;
  std::vector<uint32_t> mask_;  // [ceil(num_vocab / 32)]
  bool mask_ready_ = false;
  std::optional<Error> error_;  // why the mask could not be made
};

class MaskFiller {
 public:
  MaskFiller() = default;
  ~MaskFiller();
  MaskFiller(const MaskFiller&) = delete;
  MaskFiller& operator=(const MaskFiller&) = delete;

  // Begins to fill the masks of these, which stay untouched until join().
  void start(std::vector<Guide*> guides);
  // Helps with what is left and waits for the rest. Safe to call without start().
  void join();

 private:
  void work();
  void fill_all();

  std::vector<Guide*> guides_;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool busy_ = false, closing_ = false;  // under mutex_
  std::thread thread_;                   // begun with the first mask
};

// Joins at the end of a scope, whatever ends it.
class MasksUnderWay {
 public:
  MasksUnderWay(MaskFiller& filler, std::vector<Guide*> guides) : filler_(filler) {
    filler_.start(std::move(guides));
  }
  ~MasksUnderWay() { filler_.join(); }
  MasksUnderWay(const MasksUnderWay&) = delete;
  MasksUnderWay& operator=(const MasksUnderWay&) = delete;
  void join() { filler_.join(); }

 private:
  MaskFiller& filler_;
};

}  // namespace pyslm
