// Which tensors an architecture has, by their GGUF names.
#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <unordered_set>

#include "core/error.h"
#include "model/weights.h"

namespace pyslm::model {
namespace {

class Planner {
 public:
  Planner(const ArchSpec& spec, const gguf::Reader& reader) : spec_(spec), reader_(reader) {}

  void global(Weights& weights);
  void layer(const std::string& prefix, LayerWeights& layer);
  std::vector<TensorSlot> finish();

 private:
  const gguf::TensorInfo* find(const std::string& name, Presence presence);
  void check_shape(const gguf::TensorInfo& tensor, std::initializer_list<int64_t> shape) const;
  void matrix(const std::string& name, int64_t rows, int64_t cols, PackedWeight& out,
              Presence presence = Presence::kRequired);
  void vector(const std::string& name, int64_t n, std::vector<float>& out,
              Presence presence = Presence::kRequired);
  void linear(const std::string& name, int64_t rows, int64_t cols, Linear& out, Presence bias);
  void norm(const std::string& name, int64_t n, Norm& out);
  void attention(const std::string& prefix, LayerWeights& layer);
  void feed_forward(const std::string& prefix, LayerWeights& layer);
  void rope_factors(Weights& weights);

  const ArchSpec& spec_;
  const gguf::Reader& reader_;
  std::vector<TensorSlot> slots_;
  std::unordered_set<std::string> known_;
};

std::string shape_text(std::initializer_list<int64_t> shape) {
  std::string text;
  for (int64_t n : shape) text += (text.empty() ? "" : " x ") + std::to_string(n);
  return text;
}

std::string shape_text(const gguf::TensorInfo& tensor) {
  std::string text;
  for (int i = 0; i < tensor.n_dims; ++i)
    text += (text.empty() ? "" : " x ") + std::to_string(tensor.shape[i]);
  return text;
}

const gguf::TensorInfo* Planner::find(const std::string& name, Presence presence) {
  known_.insert(name);
  const gguf::TensorInfo* tensor = reader_.tensor(name);
  if (!tensor && presence == Presence::kRequired)
    fail(ErrorKind::kGGUF, "tensor '", name, "' is missing; the architecture ", spec_.architecture,
         " requires it (is the file complete?)");
  return tensor;
}

// Shapes are given as in the file: the innermost dimension first.
void Planner::check_shape(const gguf::TensorInfo& tensor,
                          std::initializer_list<int64_t> shape) const {
  bool same = true;
  size_t i = 0;
  for (int64_t n : shape) same = same && tensor.shape[i++] == n;
  for (; i < tensor.shape.size(); ++i) same = same && tensor.shape[i] == 1;
  if (!same)
    fail(ErrorKind::kGGUF, "tensor '", tensor.name, "' has shape ", shape_text(tensor),
         "; expected from the metadata: ", shape_text(shape));
}

void Planner::matrix(const std::string& name, int64_t rows, int64_t cols, PackedWeight& out,
                     Presence presence) {
  const gguf::TensorInfo* tensor = find(name, presence);
  if (!tensor) return;
  check_shape(*tensor, {cols, rows});
  slots_.push_back({tensor, &out, nullptr});
}

void Planner::vector(const std::string& name, int64_t n, std::vector<float>& out,
                     Presence presence) {
  const gguf::TensorInfo* tensor = find(name, presence);
  if (!tensor) return;
  check_shape(*tensor, {n});
  slots_.push_back({tensor, nullptr, &out});
}

void Planner::linear(const std::string& name, int64_t rows, int64_t cols, Linear& out,
                     Presence bias) {
  matrix(name + ".weight", rows, cols, out.weight);
  if (bias != Presence::kAbsent) vector(name + ".bias", rows, out.bias, bias);
}

void Planner::norm(const std::string& name, int64_t n, Norm& out) {
  vector(name + ".weight", n, out.weight);
  if (spec_.norms == NormPlacement::kPost) vector(name + ".bias", n, out.bias, Presence::kOptional);
}

void Planner::attention(const std::string& prefix, LayerWeights& layer) {
  if (reader_.tensor(prefix + "attn_qkv.weight")) {
    linear(prefix + "attn_qkv", spec_.qkv_size(), spec_.hidden, layer.qkv, spec_.qkv_bias);
  } else {
    linear(prefix + "attn_q", spec_.q_size(), spec_.hidden, layer.q, spec_.qkv_bias);
    linear(prefix + "attn_k", spec_.k_size(), spec_.hidden, layer.k, spec_.qkv_bias);
    linear(prefix + "attn_v", spec_.v_size(), spec_.hidden, layer.v, spec_.qkv_bias);
  }
  if (spec_.qk_norm) {
    norm(prefix + "attn_q_norm", spec_.key_dim, layer.q_norm);
    norm(prefix + "attn_k_norm", spec_.key_dim, layer.k_norm);
  }
  linear(prefix + "attn_output", spec_.hidden, int64_t{spec_.num_heads} * spec_.value_dim,
         layer.attn_out, spec_.linear_bias);
}

void Planner::feed_forward(const std::string& prefix, LayerWeights& layer) {
  const int64_t ffn = spec_.ffn;
  if (spec_.gated && !spec_.fused_gate_up)
    linear(prefix + "ffn_gate", ffn, spec_.hidden, layer.gate, spec_.linear_bias);
  linear(prefix + "ffn_up", spec_.fused_gate_up ? 2 * ffn : ffn, spec_.hidden, layer.up,
         spec_.linear_bias);
  linear(prefix + "ffn_down", spec_.hidden, ffn, layer.down, spec_.linear_bias);
}

void Planner::layer(const std::string& prefix, LayerWeights& layer) {
  const int64_t hidden = spec_.hidden;
  switch (spec_.norms) {
    case NormPlacement::kPrePost:
      norm(prefix + "post_attention_norm", hidden, layer.attn_post_norm);
      norm(prefix + "post_ffw_norm", hidden, layer.ffn_post_norm);
      [[fallthrough]];
    case NormPlacement::kPre:
      norm(prefix + "attn_norm", hidden, layer.attn_norm);
      norm(prefix + "ffn_norm", hidden, layer.ffn_norm);
      break;
    case NormPlacement::kPost:
      norm(prefix + "attn_output_norm", hidden, layer.attn_post_norm);
      norm(prefix + "layer_output_norm", hidden, layer.ffn_post_norm);
      break;
  }
  attention(prefix, layer);
  feed_forward(prefix, layer);
  known_.insert(prefix + "attn_rot_embd.weight");  // old files: frequencies, computed here
}

void Planner::rope_factors(Weights& weights) {
  const bool any = std::any_of(spec_.ropes.begin(), spec_.ropes.end(),
                               [](const RopeSpec& rope) { return rope.tensor_factors; });
  if (!any) return;
  const int64_t pairs = spec_.ropes[0].n_rot / 2;
  const Presence lengths =
      spec_.ropes[0].scaling == RopeScaling::kLongRope || reader_.tensor("rope_factors_long.weight")
          ? Presence::kRequired
          : Presence::kOptional;
  vector("rope_freqs.weight", pairs, weights.rope_freqs, Presence::kOptional);
  vector("rope_factors_long.weight", pairs, weights.rope_factors_long, lengths);
  vector("rope_factors_short.weight", pairs, weights.rope_factors_short, lengths);
}

void Planner::global(Weights& weights) {
  matrix("token_embd.weight", spec_.vocab, spec_.hidden, weights.token_embd);
  rope_factors(weights);
  if (spec_.causal) {
    norm("output_norm", spec_.hidden, weights.output_norm);
    matrix("output.weight", spec_.vocab, spec_.hidden, weights.output.weight, Presence::kOptional);
    vector("output.bias", spec_.vocab, weights.output.bias, Presence::kOptional);
    return;
  }
  norm("token_embd_norm", spec_.hidden, weights.embd_norm);
  if (spec_.learned_positions)
    matrix("position_embd.weight", spec_.context_train, spec_.hidden, weights.position_embd);
  if (const gguf::TensorInfo* types = find("token_types.weight", Presence::kOptional)) {
    check_shape(*types, {spec_.hidden, types->shape[1]});  // any number of types; type 0 is used
    slots_.push_back({types, nullptr, &weights.token_type});
  }
  if (spec_.pooling == Pooling::kRank) {
    if (reader_.tensor("cls.weight"))
      linear("cls", spec_.hidden, spec_.hidden, weights.rank_dense, Presence::kOptional);
    linear("cls.output", 1, spec_.hidden, weights.rank_output, Presence::kOptional);
  }
  // Heads of other tasks (next sentence, pooler), which sentence embeddings do not use.
  for (const char* name : {"cls.weight", "cls.bias", "cls.output.weight", "cls.output.bias"})
    known_.insert(name);
}

std::vector<TensorSlot> Planner::finish() {
  for (const gguf::TensorInfo& tensor : reader_.tensors())
    if (!known_.count(tensor.name))
      fail(ErrorKind::kUnsupported, "tensor '", tensor.name.substr(0, 64), "' (",
           shape_text(tensor), ") is not part of the architecture ", spec_.architecture,
           " as pyslm knows it; leaving it out would give wrong results");
  return std::move(slots_);
}

}  // namespace

std::vector<TensorSlot> plan_tensors(const ArchSpec& spec, const gguf::Reader& reader,
                                     Weights& weights) {
  Planner planner(spec, reader);
  weights.layers.resize(spec.layers.size());
  planner.global(weights);
  for (size_t i = 0; i < weights.layers.size(); ++i)
    planner.layer("blk." + std::to_string(i) + ".", weights.layers[i]);
  return planner.finish();
}

}  // namespace pyslm::model
