// An adapter's file: llama.cpp's format, as its convert_lora_to_gguf.py writes it.
#include <algorithm>
#include <cmath>
#include <functional>
#include <unordered_map>

#include "core/error.h"
#include "model/adapter.h"
#include "quant/registry.h"

namespace pyslm::model {
namespace {

constexpr int64_t kMaxRank = 4096;
constexpr std::string_view kSuffixA = ".lora_a", kSuffixB = ".lora_b";

// Where the matrices of one base tensor go, and the base tensor's size.
struct Target {
  LowRank* matrices;
  int64_t outputs, inputs;
};

std::unordered_map<std::string, Target> targets_of(const Weights& weights, Adapter& adapter) {
  std::unordered_map<std::string, Target> targets;
  const auto offer = [&](const std::string& name, const PackedWeight& weight, LowRank& matrices) {
    if (weight) targets[name + ".weight"] = {&matrices, weight.rows(), weight.cols()};
  };
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    const LayerWeights& layer = weights.layers[i];
    const std::string prefix = "blk." + std::to_string(i) + ".";
    const auto at = [&](LinearKind kind) -> LowRank& {
      return adapter.layers[i][static_cast<size_t>(kind)];
    };
    offer(prefix + "attn_qkv", layer.qkv.weight, at(LinearKind::kQkv));
    offer(prefix + "attn_q", layer.q.weight, at(LinearKind::kQ));
    offer(prefix + "attn_k", layer.k.weight, at(LinearKind::kK));
    offer(prefix + "attn_v", layer.v.weight, at(LinearKind::kV));
    offer(prefix + "attn_output", layer.attn_out.weight, at(LinearKind::kAttnOut));
    offer(prefix + "ffn_gate", layer.gate.weight, at(LinearKind::kGate));
    offer(prefix + "ffn_up", layer.up.weight, at(LinearKind::kUp));
    offer(prefix + "ffn_down", layer.down.weight, at(LinearKind::kDown));
  }
  offer("output", weights.output.weight, adapter.output);
  return targets;
}

void check_kind(const gguf::Reader& reader, const ArchSpec& spec) {
  const std::string type = reader.string("general.type", "model");
  if (type != "adapter")
    fail(ErrorKind::kUnsupported, "the file is a ", type.substr(0, 40), ", not an adapter");
  const std::string kind = reader.string("adapter.type");
  if (kind != "lora")
    fail(ErrorKind::kUnsupported, "the adapter's type is \"", kind.substr(0, 40),
         "\"; allowed: lora");
  const std::string architecture = reader.string("general.architecture");
  if (architecture != spec.architecture)
    fail(ErrorKind::kUnsupported, "the adapter is for ", architecture.substr(0, 40),
         ", and the model is ", spec.architecture);
}

std::vector<float> read_matrix(const gguf::Reader& reader, const gguf::TensorInfo& tensor,
                               int64_t rows, int64_t cols) {
  if (tensor.shape != std::array<int64_t, 4>{cols, rows, 1, 1})
    fail(ErrorKind::kGGUF, "tensor '", tensor.name, "' has shape ", tensor.shape[0], " x ",
         tensor.shape[1], "; expected from the model: ", cols, " x ", rows);
  const DTypeInfo& type = dtype_info(tensor.type);
  if (cols % type.block_elems != 0)
    fail(ErrorKind::kGGUF, "tensor '", tensor.name, "' has rows of ", cols, " elements of type ",
         type.name, "; allowed: a multiple of ", type.block_elems);
  std::vector<uint8_t> blocks(tensor.num_bytes);
  reader.read(tensor, 0, blocks.size(), blocks.data());
  std::vector<float> values(static_cast<size_t>(rows * cols));
  quant::format(tensor.type).dequantize(blocks.data(), values.data(), rows * cols);
  for (const float value : values)
    if (!std::isfinite(value))
      fail(ErrorKind::kGGUF, "tensor '", tensor.name, "' holds ", value,
           "; allowed: finite numbers");
  return values;
}

void load_pair(ThreadPool& pool, const gguf::Reader& reader, const gguf::TensorInfo& a,
               const gguf::TensorInfo& b, double alpha, float scale, const Target& target) {
  const int64_t rank = a.shape[1];
  if (rank < 1 || rank > kMaxRank)
    fail(ErrorKind::kGGUF, "tensor '", a.name, "' has rank ", rank, "; allowed: 1 to ", kMaxRank);
  const std::vector<float> down = read_matrix(reader, a, rank, target.inputs);
  std::vector<float> up = read_matrix(reader, b, target.outputs, rank);
  const auto factor = static_cast<float>(scale * alpha / static_cast<double>(rank));
  for (float& value : up) value *= factor;
  target.matrices->a = PackedWeight::pack(pool, DType::kF32, down.data(), rank, target.inputs);
  target.matrices->b = PackedWeight::pack(pool, DType::kF32, up.data(), target.outputs, rank);
}

// "blk.0.attn_q.weight.lora_a" -> "blk.0.attn_q.weight"; empty where the name ends otherwise.
std::string base_of(const std::string& name, std::string_view suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : std::string();
}

const gguf::TensorInfo& other_half(const gguf::Reader& reader, const gguf::TensorInfo& tensor,
                                   const std::string& name) {
  const gguf::TensorInfo* other = reader.tensor(name);
  if (other == nullptr)
    fail(ErrorKind::kGGUF, "tensor '", tensor.name, "' is there and '", name,
         "' is not; an adapter has both");
  return *other;
}

}  // namespace

Adapter load_adapter(ThreadPool& pool, const std::string& path, float scale, const ArchSpec& spec,
                     const Weights& weights) {
  if (!std::isfinite(scale) || std::fabs(scale) > 1e4f)
    fail(ErrorKind::kInvalid, "the adapter's scale is ", scale, "; allowed: -10000 to 10000");
  if (!spec.causal)
    fail(ErrorKind::kUnsupported, "the architecture ", spec.architecture,
         " is an encoder; adapters change models that generate");
  const gguf::Reader reader(path);
  check_kind(reader, spec);
  const double alpha = reader.number("adapter.lora.alpha", -1e6, 1e6);
  Adapter adapter;
  adapter.layers.resize(weights.layers.size());
  const auto targets = targets_of(weights, adapter);
  for (const gguf::TensorInfo& tensor : reader.tensors()) {
    const bool is_a = tensor.name.ends_with(kSuffixA);
    const std::string base = base_of(tensor.name, is_a ? kSuffixA : kSuffixB);
    const auto target = targets.find(base);
    if (target == targets.end())
      fail(ErrorKind::kUnsupported, "tensor '", tensor.name.substr(0, 80),
           "' changes what cannot be adapted; allowed: .lora_a and .lora_b of the model's "
           "attention, feed-forward and output matrices");
    const std::string other = base + std::string(is_a ? kSuffixB : kSuffixA);
    const gguf::TensorInfo& half = other_half(reader, tensor, other);
    if (!is_a) continue;
    load_pair(pool, reader, tensor, half, alpha, scale, target->second);
    const LowRank& loaded = *target->second.matrices;
    adapter.rank = std::max(adapter.rank, static_cast<int32_t>(loaded.a.rows()));
    adapter.num_bytes += loaded.a.num_bytes() + loaded.b.num_bytes();
  }
  if (adapter.rank == 0)
    fail(ErrorKind::kGGUF, "the adapter has no tensors; at least one pair is needed");
  return adapter;
}

}  // namespace pyslm::model
