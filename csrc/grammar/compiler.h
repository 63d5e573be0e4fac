// Compiles grammars on threads of its own, so that the step loop never waits for one; keeps the
// last ones compiled. The vocabulary is prepared at the first need (a second for 150k tokens).
#pragma once

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "grammar/matcher.h"

namespace pyslm {

// type: "json_schema", "regex", "lark" (llguidance's dialects); text: the grammar itself.
struct GrammarSource {
  std::string type;
  std::string text;
  bool operator==(const GrammarSource&) const = default;
};

struct GrammarConfig {
  std::string library;                   // llguidance's shared library
  std::vector<std::string> token_bytes;  // [num_vocab]; control tokens as 0xFF + their name
  std::vector<int32_t> end_tokens;       // the model's own; at least one
  int num_threads = 2;
  size_t cache_entries = 32;
  size_t cache_bytes = size_t{4} << 20;  // of grammar text
};

// A compilation under way, or over.
class GrammarTicket {
 public:
  bool done() const;
  // Until done, or the time is up.
  void wait_for(std::chrono::milliseconds time) const;
  // After done(), once: the matcher at its start. Throws the Error that stopped the compilation.
  std::unique_ptr<GrammarMatcher> take();

 private:
  friend class GrammarCompiler;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool done_ = false;
  std::unique_ptr<GrammarMatcher> matcher_;
  std::optional<Error> error_;
};

class GrammarCompiler {
 public:
  explicit GrammarCompiler(GrammarConfig config);
  ~GrammarCompiler();  // waits for compilations in progress

  // Returns at once.
  std::shared_ptr<GrammarTicket> compile(GrammarSource source);

  size_t num_vocab() const { return config_.token_bytes.size(); }
  int64_t num_compiled() const;  // grammars compiled, as against found in the cache

 private:
  struct Job {
    GrammarSource source;
    std::weak_ptr<GrammarTicket> ticket;  // expired: nobody waits any more
  };
  struct Cached {
    GrammarSource source;
    std::shared_ptr<const GrammarMatcher> start;
  };

  static void* work_of(void* compiler);
  void work();
  void run(const Job& job);
  std::shared_ptr<const GrammarMatcher> find_or_compile(const GrammarSource& source);
  std::unique_ptr<GrammarMatcher> clone(const GrammarMatcher& start);
  std::shared_ptr<const GrammarMatcher> find(const GrammarSource& source);
  void remember(const GrammarSource& source, std::shared_ptr<const GrammarMatcher> start);
  std::shared_ptr<const GrammarVocabulary> vocabulary();

  const GrammarConfig config_;
  std::mutex vocabulary_mutex_;
  std::shared_ptr<const GrammarVocabulary> vocabulary_;
  std::mutex clone_mutex_;  // a start may be asked for twice at once

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable has_work_;
  bool closing_ = false;
  std::deque<Job> jobs_;
  std::list<Cached> cache_;  // the last used first
  size_t cached_bytes_ = 0;
  int64_t num_compiled_ = 0;
  std::vector<pthread_t> threads_;
};

}  // namespace pyslm
