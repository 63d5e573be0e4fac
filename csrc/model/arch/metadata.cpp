#include "model/arch/metadata.h"

#include <algorithm>

#include "core/error.h"

namespace pyslm::model {
namespace {

// Far above any model we run and far below where int arithmetic on products would overflow.
constexpr int64_t kMaxHidden = 1 << 16, kMaxLayers = 1 << 10, kMaxHeads = 1 << 10;
constexpr int64_t kMaxHeadDim = 1 << 12, kMaxFfn = 1 << 20, kMaxVocab = 1 << 22;
constexpr int64_t kMaxContext = 1 << 24;

// The vocabulary is as long as the tokenizer's list; files without a tokenizer say it in a key, or
// only by the shape of the embedding table.
int read_vocab(const Metadata& metadata) {
  const gguf::Reader& reader = metadata.reader();
  if (const gguf::Value* tokens = reader.find("tokenizer.ggml.tokens"))
    if (const auto* array = std::get_if<gguf::Array>(&tokens->data))
      if (array->size() > 0 && array->size() <= kMaxVocab) return static_cast<int>(array->size());
  const gguf::TensorInfo* table = reader.tensor("token_embd.weight");
  const int64_t rows = table ? std::clamp<int64_t>(table->shape[1], 1, kMaxVocab) : 1;
  return metadata.integer("vocab_size", 1, kMaxVocab, rows);
}

Pooling read_pooling(const Metadata& metadata, Pooling absent) {
  // 0: none, 1: mean, 2: cls, 3: last, 4: rank. A file that names none leaves the choice to us.
  switch (metadata.integer("pooling_type", 0, 255, 0)) {
    case 0:
      return absent;
    case 1:
      return Pooling::kMean;
    case 2:
      return Pooling::kCls;
    case 3:
      return Pooling::kLast;
    case 4:
      return Pooling::kRank;
  }
  fail(ErrorKind::kUnsupported, metadata.key("pooling_type"), " is ",
       metadata.integer("pooling_type", 0, 255),
       "; supported: 1 (mean), 2 (cls), 3 (last), 4 (rank)");
}

void refuse_experts(const Metadata& metadata) {
  for (const char* name : {"expert_count", "moe_every_n_layers"})
    if (const int count = metadata.integer(name, 0, 1 << 16, 0); count > 0)
      fail(ErrorKind::kUnsupported, metadata.key(name), " is ", count,
           ": a mixture of experts; supported: dense models");
}

RopeScaling read_scaling(const Metadata& metadata) {
  const bool has_factor = metadata.has("rope.scaling.factor") || metadata.has("rope.scale_linear");
  const std::string type =
      metadata.reader().string(metadata.key("rope.scaling.type"), has_factor ? "linear" : "none");
  if (type == "none") return RopeScaling::kNone;
  if (type == "linear") return RopeScaling::kLinear;
  if (type == "yarn") return RopeScaling::kYarn;
  if (type == "longrope") return RopeScaling::kLongRope;
  fail(ErrorKind::kUnsupported, metadata.key("rope.scaling.type"), " is '", type.substr(0, 64),
       "'; supported: none, linear, yarn, longrope");
}

}  // namespace

int Metadata::per_layer(std::string_view name, int64_t min, int64_t max, int layers) const {
  const std::vector<int64_t> values = reader_.integers(key(name), min, max);
  if (values.empty() || (values.size() != 1 && values.size() != static_cast<size_t>(layers)))
    fail(ErrorKind::kGGUF, key(name), " has ", values.size(),
         " values; allowed: 1, or one for each", " of the ", layers, " layers");
  for (int64_t value : values)
    if (value != values[0])
      fail(ErrorKind::kUnsupported, key(name), " differs between layers (", values[0], " and ",
           value, "); supported: one value for all");
  return static_cast<int>(values[0]);
}

std::vector<bool> Metadata::sliding_layers(int layers, int default_period) const {
  constexpr const char* kPattern = "attention.sliding_window_pattern";
  const gguf::Value* value = reader_.find(key(kPattern));
  if (value && value->type == gguf::ValueType::kArray) {
    std::vector<bool> sliding = reader_.booleans(key(kPattern));
    if (sliding.size() != static_cast<size_t>(layers))
      fail(ErrorKind::kGGUF, key(kPattern), " has ", sliding.size(), " values; allowed: one for",
           " each of the ", layers, " layers");
    return sliding;
  }
  const int period = integer(kPattern, 1, kMaxLayers, default_period);
  std::vector<bool> sliding(layers);
  for (int i = 0; i < layers; ++i) sliding[i] = i % period < period - 1;
  return sliding;
}

ArchSpec base_spec(const Metadata& metadata) {
  refuse_experts(metadata);
  ArchSpec spec;
  spec.architecture = metadata.architecture();
  spec.hidden = metadata.integer("embedding_length", 1, kMaxHidden);
  const int layers = metadata.integer("block_count", 1, kMaxLayers);
  spec.layers.resize(layers);
  spec.context_train = metadata.integer("context_length", 1, kMaxContext);
  spec.ffn = metadata.per_layer("feed_forward_length", 1, kMaxFfn, layers);
  spec.num_heads = metadata.per_layer("attention.head_count", 1, kMaxHeads, layers);
  spec.num_kv_heads = metadata.has("attention.head_count_kv")
                          ? metadata.per_layer("attention.head_count_kv", 1, kMaxHeads, layers)
                          : spec.num_heads;
  if (!metadata.has("attention.key_length") && spec.hidden % spec.num_heads != 0)
    fail(ErrorKind::kGGUF, metadata.key("embedding_length"), " is ", spec.hidden,
         ", no multiple of the ", spec.num_heads, " heads, and attention.key_length is absent");
  const int head_dim = std::max(1, spec.hidden / spec.num_heads);
  spec.key_dim = metadata.integer("attention.key_length", 1, kMaxHeadDim, head_dim);
  spec.value_dim = metadata.integer("attention.value_length", 1, kMaxHeadDim, spec.key_dim);
  spec.vocab = read_vocab(metadata);
  return spec;
}

ArchSpec decoder_spec(const Metadata& metadata) {
  ArchSpec spec = base_spec(metadata);
  spec.norm_eps = static_cast<float>(metadata.number("attention.layer_norm_rms_epsilon", 0.0, 1.0));
  spec.attention_scale = static_cast<float>(metadata.number("attention.scale", 0.0, 1e4, 0.0));
  spec.ropes = {rope_spec(metadata, spec)};
  spec.pooling = read_pooling(metadata, Pooling::kLast);
  if (spec.pooling == Pooling::kRank)
    fail(ErrorKind::kUnsupported, metadata.key("pooling_type"),
         " is 4 (rank); supported for encoders (bert, nomic-bert) only");
  return spec;
}

ArchSpec encoder_spec(const Metadata& metadata) {
  ArchSpec spec = base_spec(metadata);
  spec.causal = false;
  spec.norms = NormPlacement::kPost;
  spec.norm_eps = static_cast<float>(metadata.number("attention.layer_norm_epsilon", 0.0, 1.0));
  spec.pooling = read_pooling(metadata, Pooling::kMean);
  for (LayerSpec& layer : spec.layers) layer.rope = -1;
  return spec;
}

RopeSpec rope_spec(const Metadata& metadata, const ArchSpec& spec) {
  RopeSpec rope;
  rope.n_rot = metadata.integer("rope.dimension_count", 2, kMaxHeadDim, spec.key_dim);
  rope.base = metadata.number("rope.freq_base", 1.0, 1e12, 10000.0);
  rope.scaling = read_scaling(metadata);
  rope.original_context =
      metadata.integer("rope.scaling.original_context_length", 1, kMaxContext, spec.context_train);
  rope.attn_factor = metadata.number("rope.scaling.attn_factor", 0.0, 100.0, 0.0);
  if (rope.scaling == RopeScaling::kLinear || rope.scaling == RopeScaling::kYarn) {
    const double linear = metadata.number("rope.scale_linear", 0.0, 1e6, 0.0);
    const double factor = metadata.number("rope.scaling.factor", 0.0, 1e6, linear);
    rope.factor = factor > 0.0 ? factor : 1.0;  // 0 stands for none, as in the peers
  }
  if (rope.scaling == RopeScaling::kYarn) {
    rope.beta_fast = metadata.number("rope.scaling.yarn_beta_fast", 1e-3, 1e6, 32.0);
    rope.beta_slow = metadata.number("rope.scaling.yarn_beta_slow", 1e-3, 1e6, 1.0);
    if (metadata.number("rope.scaling.yarn_log_multiplier", -1e3, 1e3, 0.0) != 0.0)
      fail(ErrorKind::kUnsupported, metadata.key("rope.scaling.yarn_log_multiplier"),
           " is set; supported: YaRN without it");
  }
  return rope;
}

void set_sliding_window(const Metadata& metadata, ArchSpec& spec, const std::vector<bool>& sliding,
                        int default_window) {
  const int window = metadata.integer("attention.sliding_window", 0, kMaxContext, default_window);
  // A window no shorter than the context never masks anything; it is full attention.
  if (window == 0 || window >= spec.context_train) return;
  for (size_t i = 0; i < sliding.size(); ++i)
    if (sliding[i]) spec.layers[i].window = window;
}

}  // namespace pyslm::model
