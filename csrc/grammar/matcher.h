// Where one output stands in its grammar.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "grammar/llguidance_api.h"
#include "grammar/watchdog.h"

namespace pyslm {

// The vocabulary as llguidance holds it; lives as long as any matcher over it.
class GrammarVocabulary {
 public:
  static constexpr std::chrono::milliseconds kMostTime{1000};  // of one mask or one token

  GrammarVocabulary(const llg::Api& api, llg::Tokenizer* tokenizer)
      : api(api), tokenizer(tokenizer), watchdog(api, kMostTime) {}
  ~GrammarVocabulary() { api.free_tokenizer(tokenizer); }
  GrammarVocabulary(const GrammarVocabulary&) = delete;
  GrammarVocabulary& operator=(const GrammarVocabulary&) = delete;

  const llg::Api& api;
  llg::Tokenizer* const tokenizer;
  mutable Watchdog watchdog;
};

// Not thread-safe; clones are independent of each other.
class GrammarMatcher {
 public:
  // Takes the handle; Error(kInvalid) with its reason where it carries an error.
  GrammarMatcher(std::shared_ptr<const GrammarVocabulary> vocabulary, llg::Matcher* handle);
  ~GrammarMatcher();
  GrammarMatcher(const GrammarMatcher&) = delete;
  GrammarMatcher& operator=(const GrammarMatcher&) = delete;

  std::unique_ptr<GrammarMatcher> clone() const;

  // Sets bit t of `mask` where token t may come next; where nothing but the end may, the bits of
  // the end tokens. Error(kInvalid) where the grammar needs more time or space than its limits.
  void fill_mask(std::span<uint32_t> mask);

  // Moves on by a token that the mask allows. Error(kInvalid) as above.
  void consume(int32_t token);

  // How many of these, from the first on, could be consumed one after the other.
  size_t num_allowed(std::span<const int32_t> tokens);

  // Nothing can follow any more.
  bool complete() const { return api().is_stopped(handle_); }

 private:
  const llg::Api& api() const { return vocabulary_->api; }
  Watched& watched();
  [[noreturn]] void fail_with_reason() const;

  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  llg::Matcher* handle_;
  std::optional<Watched> watched_;
};

}  // namespace pyslm
