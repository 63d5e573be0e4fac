// A model on the CPU: opens a GGUF file, packs its weights and implements Runner over them.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "kv/paged_cache.h"
#include "model/adapter.h"
#include "model/decoder.h"
#include "model/encoder.h"
#include "model/evaluate.h"
#include "model/packed_cache.h"
#include "model/runner.h"
#include "model/sizing.h"
#include "model/spec.h"
#include "model/weights.h"

namespace pyslm::model {

struct RunnerConfig {
  int threads = 0;  // 0: the physical cores that this process may use
  std::string kv_type = "f16";
  int context_length = 0;    // tokens of one sequence; 0: the model's own, or what memory holds
  int max_sequences = 16;    // whose context the block pool should hold at once, memory allowing
  int max_batch_rows = 512;  // rows of a step
  int block_tokens = 32;     // 16 or 32
  int64_t kv_memory = 0;     // bytes of all blocks; 0: context_length times max_sequences
  PackedCacheConfig weight_cache;
  LoadProgress progress;
};

// What a file says of itself beyond its architecture.
struct FileInfo {
  std::string name;                                       // general.name; may be empty
  std::string file_type;                                  // of most of its weights
  std::vector<std::pair<std::string, int>> tensor_types;  // type, number of tensors
  int64_t file_bytes = 0, num_parameters = 0;
  bool has_chat_template = false;
};

struct ModelInfo : FileInfo {
  ArchSpec spec;
  std::vector<CacheGroupInfo> cache_groups;
  // kv_bytes: what the pool of blocks takes when all of it is in use.
  int64_t weight_bytes = 0, kv_bytes_per_token = 0, kv_bytes = 0;
  int context_length = 0, threads = 0;
  std::string kv_type, isa;
  std::string weight_cache;  // where the weights came from, and why
};

// Thread-safe: one computation runs at a time. What forward returns lives until its next call;
// logits has buffers of its own and does not disturb it.
class CpuRunner final : public Runner {
 public:
  CpuRunner(const std::string& path, const RunnerConfig& config);
  ~CpuRunner() override;

  int num_vocab() const override { return spec_.vocab; }
  int hidden_size() const override { return spec_.hidden; }
  int context_length() const override { return sizes_.context_length; }
  Pooling pooling() const override { return spec_.pooling; }
  int max_batch_rows() const override { return config_.max_batch_rows; }
  std::vector<CacheGroupInfo> cache_groups() const override;
  bool whole_sequences() const override { return !spec_.causal; }
  // Error(kInvalid) for a batch that does not fit the model, or logits of an encoder.
  StepOutputs forward(const Batch& batch) override;
  // Returns its number. The errors of load_adapter().
  int32_t load_adapter(const std::string& path, float scale);
  bool has_adapter(int32_t id) const override;
  void unload_adapter(int32_t id) override;
  int num_threads() const override { return pool_.num_threads(); }
  void parallel(int count, const std::function<void(int thread, int index)>& body) override;
  int64_t block_bytes(int group) const override;
  void read_block(int group, int32_t block, uint8_t* out) const override;
  void write_block(int group, int32_t block, const uint8_t* data) override;
  void release_blocks(int group, std::span<const int32_t> blocks) override;

  ModelInfo info() const;
  // Waits until packed weights are stored (and checked); see PackedCache::settle.
  bool settle_weight_cache(double seconds, bool checks) {
    return packed_cache_.settle(seconds, checks);
  }
  const ArchSpec& spec() const { return spec_; }

  // Logits of every position of fresh sequences that run together, sequence s advancing by
  // chunks[s] rows a step (one entry: the same for all) -> out[s] [tokens x vocab].
  void logits(const std::vector<std::span<const int32_t>>& sequences,
              const std::vector<int>& chunks, const std::vector<float*>& out);
  // A good number of rows for a step that wants the logits of every row: of a vocabulary of 256 k
  // they are 128 MiB.
  static constexpr int kLogitRows = 128;

 private:
  void load(const std::string& path);
  void check_sequences(const std::vector<std::span<const int32_t>>& sequences) const;
  const Decoder& decoder() const;
  // Gives the logits of every position of fresh sequences to `sink`, as they come.
  void each_row(const std::vector<std::span<const int32_t>>& sequences,
                const std::vector<int>& chunks, const RowSink& sink);
  StepOutputs encode(Batch batch);

  RunnerConfig config_;
  DType kv_type_;
  ArchSpec spec_;
  Weights weights_;
  Sizes sizes_;
  FileInfo file_;
  PackedCache packed_cache_;
  ThreadPool pool_;
  cpu::Context context_;
  std::optional<Decoder> decoder_;
  std::optional<Encoder> encoder_;
  std::vector<PagedCache> caches_;
  std::optional<PagedCache> scratch_;  // of the encoder
  Workspace workspace_;
  std::mutex mutex_;                  // of the pool and the workspace
  mutable std::mutex adapter_mutex_;  // held for a moment only; taken after `mutex_`
  AdapterSet adapters_;
  int32_t next_adapter_ = 0;
};

}  // namespace pyslm::model
