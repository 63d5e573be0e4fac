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
#include "grammar/compiler.h"
#include "grammar/matcher.h"

namespace pyslm {

// One request's grammar: first a ticket, then a matcher.
struct Guide {
  std::shared_ptr<GrammarTicket> ticket;
  std::unique_ptr<GrammarMatcher> matcher;
  std::vector<uint32_t> mask;  // [ceil(num_vocab / 32)] tokens that may come next
  std::optional<Error> error;  // why the last mask could not be made

  void fill_mask();
  // Leading tokens of these that the grammar allows.
  size_t num_allowed(const std::vector<int32_t>& tokens);
  // True where the token completes the grammar, so that nothing can follow.
  bool advance(int32_t token);
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
