// The step loop over a Runner: schedule, run, process, commit. Holds the requests, their tokens and
// blocks; knows nothing of text beyond the bytes of each token (for stop strings and streaming).
// Thread-safe: any thread may add, abort or poll while another is inside step().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "grammar/compiler.h"
#include "model/runner.h"
#include "sampling/logprobs.h"
#include "sampling/params.h"

namespace pyslm {

using RequestId = uint64_t;

enum class FinishReason { kNone, kStop /* stop token or string */, kLength, kAbort, kError };

// What happened to one request since the last poll.
struct RequestUpdate {
  RequestId id;
  std::vector<int32_t> tokens;  // newly committed
  std::string bytes;            // newly released text bytes: held back while a stop
                                // string may be forming; never splits a UTF-8 character
                                // except at the end of the request
  std::vector<std::vector<TokenLogprob>> logprobs;  // per new token: itself first, then the top n
  std::vector<float> embedding;                     // with kStop of an embedding: its vector
  FinishReason finish = FinishReason::kNone;
  std::string stop_reason;  // the stop string, or the stop token's id, that matched
  std::string error;        // with kError: what went wrong, for this request only
  ErrorKind error_kind = ErrorKind::kInternal;
  int32_t prompt_tokens = 0, output_tokens = 0;
  int32_t cached_tokens = 0;  // of the prompt: not computed but found in the prefix cache
  double prompt_seconds = 0, decode_seconds = 0;  // wall time to the first token; and after it
};

struct EngineConfig {
  int max_sequences = 16;
  int prefill_chunk = 512;  // rows a step may spend on prompts
  bool prefix_caching = true;
  int max_queued = -1;  // requests beyond max_sequences that may wait; -1: any number
  int max_draft = 0;    // tokens that a step may check ahead for one request; 0: no speculation
  bool adaptive_draft = true;  // fewer where more do not pay
};

// Who may share computed prompts with a request, and when it runs.
struct RequestScope {
  std::string cache_salt;  // only those of the same salt
  int32_t priority = 0;    // the lower, the earlier
  int32_t adapter = -1;    // LoRA adapter of the runner; -1: none
};

// Since the engine was made.
struct EngineTotals {
  int64_t prompt_tokens = 0;  // of all requests whose prompts were computed,
  int64_t cached_tokens = 0;  // and how many of them were found in the prefix cache
  int64_t output_tokens = 0;
  int64_t draft_tokens = 0;     // checked ahead,
  int64_t accepted_tokens = 0;  // and how many of them came out right
  int64_t num_steps = 0;
  double step_seconds = 0;     // wall time of steps that computed,
  double forward_seconds = 0;  // and of the runner within them
};

struct EngineStats : EngineTotals {
  int32_t num_running = 0, num_waiting = 0;
  int32_t num_compiling = 0;  // wait for their grammar
  int64_t num_preemptions = 0;
  // Per cache group. Free blocks may hold cached prefixes; resident ones take memory.
  std::vector<int32_t> free_blocks, cached_blocks, resident_blocks;
};

class Engine {
 public:
  // token_bytes[i]: the text bytes of token i (empty for control tokens); stop_tokens end every
  // request (end of sequence, end of turn).
  Engine(Runner* runner, const EngineConfig& config, std::vector<std::string> token_bytes,
         std::vector<int32_t> stop_tokens);
  ~Engine();

  // From here on requests may carry a grammar.
  void use_grammars(std::shared_ptr<GrammarCompiler> compiler);

  // From here on a smaller model of the same vocabulary, which must outlive the engine, guesses
  // ahead for requests whose own text does not say what may come. Error(kInvalid) without
  // max_draft.
  void use_draft_model(Runner* draft);

  // All three: Error(kContext, kInvalid, kQueueFull).
  RequestId add(std::vector<int32_t> prompt, const SamplingParams& params);
  // How likely tokens[first..] are, each after all before it. The update has them with logprobs,
  // their own and the num_top most likely.
  RequestId add_scoring(std::vector<int32_t> tokens, int32_t first, int32_t num_top,
                        const RequestScope& scope);
  // One vector of the text, pooled as the runner says.
  RequestId add_embedding(std::vector<int32_t> tokens, const RequestScope& scope);
  // Error(kInvalid) where requests that have not ended use it, or it is not loaded.
  void unload_adapter(int32_t adapter);
  bool abort(RequestId id);
  // One step over all running requests. Returns how many requests remain unfinished. What the
  // runner throws comes out here; the requests stay as they were before the step.
  int step();
  // Takes the pending update of one request (nullopt: nothing new); a finished request is forgotten
  // once its last update has been taken, and from then on an Error(kInvalid).
  std::optional<RequestUpdate> poll(RequestId id);
  // Of those among them that have news. Ids that are not known any more are passed over.
  std::vector<RequestUpdate> poll_many(const std::vector<RequestId>& ids);
  EngineStats stats() const;

  // Forgets all cached prefixes and gives the memory of free blocks back to the system. Without it
  // only blocks that hold nothing go back, whenever no request is left.
  void trim();
  // Writes the cached prefixes of requests without a salt, piece by piece. Between steps.
  using Sink = std::function<void(const void* data, size_t num_bytes)>;
  void save_prefixes(const Sink& sink);
  // Reads what save_prefixes() wrote into free blocks, as far as they go; returns how many blocks.
  // `source` fills its argument or throws. The caller sees to it that the file is of this model:
  // of its numbers only the sizes are checked (Error(kPrefixCache)).
  using Source = std::function<void(void* data, size_t num_bytes)>;
  int64_t load_prefixes(const Source& source);
  // Error(kInternal) unless every block is accounted for. For tests.
  void verify() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pyslm
