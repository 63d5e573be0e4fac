#include "grammar/compiler.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pyslm {
namespace {

// The library recurses through rules and references that refer to each other in a chain: 10 to 25
// kB each, and an overflow would end the process. kMaxGrammarBytes (validate.cpp) bounds the chain
// to what this stack holds; masks and clones do not recurse. The limits are below the library's
// defaults: what a hostile grammar may take is bounded to fractions of a second per compilation and
// to tens of megabytes per output that follows it.
constexpr size_t kStackBytes = size_t{512} << 20;  // reserved; only what is touched is taken
constexpr size_t kMaxLexerStates = 25'000;         // up to 2 kB each
constexpr size_t kMaxGrammarSize = 100'000;
constexpr size_t kMaxItemsInRow = 2'000;
constexpr uint64_t kInitialLexerFuel = 1'000'000;
constexpr uint64_t kStepLexerFuel = 200'000;
constexpr size_t kStepMaxItems = 50'000;

llg::Tokenizer* make_tokenizer(const llg::Api& api, const GrammarConfig& config) {
  std::vector<uint32_t> lengths;
  std::string bytes;
  for (const std::string& token : config.token_bytes) {
    lengths.push_back(static_cast<uint32_t>(token.size()));
    bytes += token;
  }
  const std::vector<uint32_t> ends(config.end_tokens.begin(), config.end_tokens.end());
  llg::TokenizerInit init = {};
  init.struct_size = sizeof init;
  init.vocab_size = static_cast<uint32_t>(lengths.size());
  init.tok_eos = ends.front();
  init.token_lens = lengths.data();
  init.token_bytes = reinterpret_cast<const uint8_t*>(bytes.data());
  init.use_approximate_greedy_tokenize_fn = true;  // only for forced text, which we do not use
  init.tok_eos_extra = ends.data() + 1;
  init.tok_eos_extra_count = static_cast<uint32_t>(ends.size() - 1);
  std::array<char, 512> error{};
  llg::Tokenizer* tokenizer = api.new_tokenizer(&init, error.data(), error.size());
  if (tokenizer == nullptr) {
    fail(ErrorKind::kUnsupported,
         "structured output is not possible with this vocabulary: ", error.data());
  }
  return tokenizer;
}

}  // namespace

bool GrammarTicket::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

void GrammarTicket::wait_for(std::chrono::milliseconds time) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return done_; });
}

std::unique_ptr<GrammarMatcher> GrammarTicket::take() {
  const std::lock_guard lock(mutex_);
  if (error_) throw *error_;
  return std::move(matcher_);
}

GrammarCompiler::GrammarCompiler(GrammarConfig config) : config_(std::move(config)) {
  if (config_.token_bytes.empty() || config_.end_tokens.empty()) {
    fail(ErrorKind::kUnsupported,
         "structured output needs a vocabulary with an end token; this model has none");
  }
  for (const int32_t token : config_.end_tokens) {
    if (token >= 0 && static_cast<size_t>(token) < num_vocab()) continue;
    fail(ErrorKind::kInvalid, "end_tokens names token ", token, "; allowed: 0 to ",
         num_vocab() - 1);
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kStackBytes);
  for (int i = 0; i < std::max(1, config_.num_threads); ++i) {
    pthread_t thread;
    if (pthread_create(&thread, &attributes, &work_of, this) == 0) threads_.push_back(thread);
  }
  pthread_attr_destroy(&attributes);
  if (threads_.empty()) {
    fail(ErrorKind::kMemory, "the system gives no thread with a stack of ", kStackBytes,
         " bytes, which compiling grammars takes; raise the limit on virtual memory");
  }
}

GrammarCompiler::~GrammarCompiler() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  has_work_.notify_all();
  for (const pthread_t thread : threads_) pthread_join(thread, nullptr);
}

std::shared_ptr<GrammarTicket> GrammarCompiler::compile(GrammarSource source) {
  auto ticket = std::make_shared<GrammarTicket>();
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(source), ticket});
  }
  has_work_.notify_one();
  return ticket;
}

int64_t GrammarCompiler::num_compiled() const {
  const std::lock_guard lock(mutex_);
  return num_compiled_;
}

void* GrammarCompiler::work_of(void* compiler) {
  static_cast<GrammarCompiler*>(compiler)->work();
  return nullptr;
}

void GrammarCompiler::work() {
  while (true) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      has_work_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
      if (closing_) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    run(job);
  }
}

void GrammarCompiler::run(const Job& job) {
  if (job.ticket.expired()) return;
  std::unique_ptr<GrammarMatcher> matcher;
  std::optional<Error> error;
  try {
    const auto start = find_or_compile(job.source);
    matcher = clone(*start);
    // The first mask makes the most new states. Made once here, it is quick when its time comes.
    std::vector<uint32_t> mask((num_vocab() + 31) / 32);
    matcher->fill_mask(mask);
  } catch (const Error& problem) {
    error = problem;
  } catch (const std::exception& problem) {
    error = Error(ErrorKind::kInternal, std::string("compiling a grammar: ") + problem.what());
  }
  const std::shared_ptr<GrammarTicket> ticket = job.ticket.lock();
  if (!ticket) return;
  {
    const std::lock_guard lock(ticket->mutex_);
    ticket->matcher_ = std::move(matcher);
    ticket->error_ = std::move(error);
    ticket->done_ = true;
  }
  ticket->changed_.notify_all();
}

std::shared_ptr<const GrammarMatcher> GrammarCompiler::find_or_compile(
    const GrammarSource& source) {
  if (auto found = find(source)) return found;
  const std::shared_ptr<const GrammarVocabulary> words = vocabulary();
  const llg::Api& api = words->api;
  llg::ConstraintInit init = {};
  api.init_defaults(&init, words->tokenizer);
  init.log_stderr_level = 0;
  init.log_buffer_level = 0;
  init.limits = {.max_items_in_row = kMaxItemsInRow,
                 .initial_lexer_fuel = kInitialLexerFuel,
                 .step_lexer_fuel = kStepLexerFuel,
                 .step_max_items = kStepMaxItems,
                 .max_lexer_states = kMaxLexerStates,
                 .max_grammar_size = kMaxGrammarSize,
                 .precompute_large_lexemes = true,
                 .verbose_errors = false};
  auto start = std::make_shared<const GrammarMatcher>(
      words, api.new_matcher(&init, source.type.c_str(), source.text.c_str()));
  remember(source, start);
  return start;
}

std::unique_ptr<GrammarMatcher> GrammarCompiler::clone(const GrammarMatcher& start) {
  const std::lock_guard lock(clone_mutex_);
  return start.clone();
}

std::shared_ptr<const GrammarMatcher> GrammarCompiler::find(const GrammarSource& source) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(cache_.begin(), cache_.end(),
                                  [&](const Cached& entry) { return entry.source == source; });
  if (found == cache_.end()) return nullptr;
  cache_.splice(cache_.begin(), cache_, found);
  return found->start;
}

void GrammarCompiler::remember(const GrammarSource& source,
                               std::shared_ptr<const GrammarMatcher> start) {
  const std::lock_guard lock(mutex_);
  ++num_compiled_;
  cache_.push_front({source, std::move(start)});
  cached_bytes_ += source.text.size();
  while (cache_.size() > config_.cache_entries ||
         (cached_bytes_ > config_.cache_bytes && cache_.size() > 1)) {
    cached_bytes_ -= cache_.back().source.text.size();
    cache_.pop_back();
  }
}

std::shared_ptr<const GrammarVocabulary> GrammarCompiler::vocabulary() {
  const std::lock_guard lock(vocabulary_mutex_);
  if (!vocabulary_) {
    const llg::Api& api = llg::load(config_.library);
    vocabulary_ = std::make_shared<const GrammarVocabulary>(api, make_tokenizer(api, config_));
  }
  return vocabulary_;
}

}  // namespace pyslm
