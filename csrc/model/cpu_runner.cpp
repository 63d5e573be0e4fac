#include "model/cpu_runner.h"

#include <algorithm>
#include <map>

#include "core/error.h"
#include "gguf/reader.h"
#include "isa/select.h"
#include "model/arch/architecture.h"
#include "model/memory.h"
#include "model/pooling.h"
#include "model/rope.h"

namespace pyslm::model {
namespace {

constexpr int kMaxThreads = 1024, kMaxSequences = 1 << 16, kMaxBatchRows = 1 << 16;

void check_range(const char* name, int value, int min, int max) {
  if (value < min || value > max)
    fail(ErrorKind::kInvalid, name, " is ", value, "; allowed: ", min, " to ", max);
}

RunnerConfig checked(RunnerConfig config) {
  check_range("threads", config.threads, 0, kMaxThreads);
  check_range("max_sequences", config.max_sequences, 1, kMaxSequences);
  check_range("max_batch_rows", config.max_batch_rows, 1, kMaxBatchRows);
  if (config.block_tokens != 16 && config.block_tokens != 32)
    fail(ErrorKind::kInvalid, "block_tokens is ", config.block_tokens, "; allowed: 16, 32");
  if (config.threads == 0) config.threads = default_num_threads();
  return config;
}

FileInfo file_info(const gguf::Reader& reader) {
  FileInfo info;
  info.name = reader.string("general.name", "");
  info.has_chat_template = reader.find("tokenizer.chat_template") != nullptr;
  info.file_bytes = static_cast<int64_t>(reader.total_bytes());
  std::map<std::string, int> counts;
  std::map<std::string, int64_t> elements;
  for (const gguf::TensorInfo& tensor : reader.tensors()) {
    const char* type = dtype_info(tensor.type).name;
    ++counts[type];
    info.num_parameters += tensor.num_elements();
    if ((elements[type] += tensor.num_elements()) > elements[info.file_type]) info.file_type = type;
  }
  info.tensor_types.assign(counts.begin(), counts.end());
  return info;
}

}  // namespace

CpuRunner::CpuRunner(const std::string& path, const RunnerConfig& config)
    : config_(checked(config)),
      kv_type_(parse_kv_type(config.kv_type)),
      pool_(config_.threads),
      context_{&select_kernels(), &pool_} {
  load(path);
  std::vector<cpu::RopeConfig> ropes = rope_configs(spec_, weights_, sizes_.context_length);
  if (!spec_.causal) {
    encoder_.emplace(context_, spec_, weights_, std::move(ropes));
    return;
  }
  decoder_.emplace(context_, spec_, weights_, std::move(ropes));
  for (const KvShape& shape : kv_shapes(spec_, kv_type_, config_.block_tokens, sizes_.num_blocks))
    caches_.emplace_back(shape);
}

CpuRunner::~CpuRunner() = default;

void CpuRunner::load(const std::string& path) {
  const gguf::Reader reader(path);
  spec_ = read_spec(reader);
  // An encoder takes a text in one step, whatever its length.
  if (!spec_.causal) config_.max_batch_rows = std::max(config_.max_batch_rows, spec_.context_train);
  const std::vector<TensorSlot> slots = plan_tensors(spec_, reader, weights_);

  SizeRequest request;
  request.kv_type = kv_type_;
  request.block_tokens = config_.block_tokens;
  request.context_length = config_.context_length;
  request.max_sequences = spec_.causal ? config_.max_sequences : 2;
  request.max_batch_rows = config_.max_batch_rows;
  request.kv_memory = config_.kv_memory;
  for (const TensorSlot& slot : slots) request.tensor_bytes += slot.info->num_bytes;
  request.available_bytes = available_memory_bytes();
  sizes_ = plan_sizes(spec_, request);

  file_ = file_info(reader);
  const bool mapped = packed_cache_.map(config_.weight_cache, reader, slots);
  load_tensors(pool_, reader, slots, config_.progress, weights_);
  if (!mapped) packed_cache_.store(reader, slots);
}

const Decoder& CpuRunner::decoder() const {
  if (!decoder_)
    fail(ErrorKind::kInvalid, "the architecture ", spec_.architecture,
         " is an encoder: it gives embeddings, not logits; use embed");
  packed_cache_.check();
  return *decoder_;
}

std::vector<CacheGroupInfo> CpuRunner::cache_groups() const {
  std::vector<CacheGroupInfo> groups;
  if (encoder_) return groups;
  for (const CacheGroupSpec& group : model::cache_groups(spec_))
    groups.push_back({group.window, sizes_.num_blocks, config_.block_tokens});
  return groups;
}

StepOutputs CpuRunner::forward(const Batch& batch) {
  if (encoder_) return encode(batch);
  const Decoder& model = decoder();
  check_batch(spec_, caches_, batch);
  const std::lock_guard lock(mutex_);
  {
    const std::lock_guard adapters(adapter_mutex_);
    workspace_.adapters.plan(batch, adapters_);
  }
  return model.forward(batch, caches_, workspace_);
}

int32_t CpuRunner::load_adapter(const std::string& path, float scale) {
  const std::lock_guard lock(mutex_);
  auto adapter =
      std::make_shared<const Adapter>(model::load_adapter(pool_, path, scale, spec_, weights_));
  const std::lock_guard adapters(adapter_mutex_);
  adapters_.emplace(next_adapter_, std::move(adapter));
  return next_adapter_++;
}

bool CpuRunner::has_adapter(int32_t id) const {
  const std::lock_guard lock(adapter_mutex_);
  return adapters_.contains(id);
}

void CpuRunner::unload_adapter(int32_t id) {
  const std::lock_guard lock(adapter_mutex_);
  adapters_.erase(id);
}

void CpuRunner::parallel(int count, const std::function<void(int thread, int index)>& body) {
  const std::lock_guard lock(mutex_);
  pool_.parallel_for(
      count, 1, [&](int thread, int64_t begin, int64_t) { body(thread, static_cast<int>(begin)); });
}

ModelInfo CpuRunner::info() const {
  ModelInfo info;
  static_cast<FileInfo&>(info) = file_;
  info.spec = spec_;
  info.cache_groups = cache_groups();
  info.weight_bytes = weights_.num_bytes;
  if (decoder_) info.kv_bytes_per_token = sizes_.kv_bytes_per_token;
  for (const PagedCache& cache : caches_)
    info.kv_bytes +=
        cache.shape().num_layers * cache.shape().num_blocks * cache.shape().block_bytes();
  info.context_length = sizes_.context_length;
  info.threads = pool_.num_threads();
  info.kv_type = config_.kv_type;
  info.isa = context_.kernels->name;
  info.weight_cache = packed_cache_.status();
  return info;
}

void CpuRunner::check_sequences(const std::vector<std::span<const int32_t>>& sequences) const {
  for (size_t s = 0; s < sequences.size(); ++s) {
    if (sequences[s].empty())
      fail(ErrorKind::kInvalid, "sequence ", s, " has no tokens; allowed: at least 1");
    if (sequences[s].size() > static_cast<size_t>(sizes_.context_length))
      fail(ErrorKind::kContext, "sequence ", s, " has ", sequences[s].size(),
           " tokens; the context holds ", sizes_.context_length);
    for (int32_t token : sequences[s])
      if (token < 0 || token >= spec_.vocab)
        fail(ErrorKind::kInvalid, "token id ", token, "; allowed: 0 to ", spec_.vocab - 1);
  }
}

void CpuRunner::each_row(const std::vector<std::span<const int32_t>>& sequences,
                         const std::vector<int>& chunks, const RowSink& sink) {
  const Decoder& model = decoder();
  check_sequences(sequences);
  Workspace workspace;
  Evaluation evaluation;
  evaluation.sequences = sequences;
  evaluation.chunks = chunks;
  evaluation.kv_type = kv_type_;
  evaluation.block_tokens = config_.block_tokens;
  const int longest = chunks.empty() ? 1 : *std::max_element(chunks.begin(), chunks.end());
  evaluation.max_rows = std::min(config_.max_batch_rows, std::max(kLogitRows, longest));
  const auto step = [&](const Batch& batch, std::span<const PagedCache> caches) {
    check_batch(spec_, caches, batch);
    const std::lock_guard lock(mutex_);
    return model.forward(batch, caches, workspace).logits;
  };
  evaluate(spec_, evaluation, spec_.vocab, step, sink);
}

void CpuRunner::logits(const std::vector<std::span<const int32_t>>& sequences,
                       const std::vector<int>& chunks, const std::vector<float*>& out) {
  each_row(sequences, chunks, [&](size_t s, int64_t position, int64_t rows, const float* values) {
    std::copy_n(values, rows * spec_.vocab, out[s] + position * spec_.vocab);
  });
}

}  // namespace pyslm::model
