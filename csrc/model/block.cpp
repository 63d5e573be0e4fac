#include "model/block.h"

namespace pyslm::model {
namespace {

using Gate = cpu::Activations::Gate;

Gate gate_of(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return Gate::kSilu;
    case Activation::kGeluTanh:
      return Gate::kGeluTanh;
    case Activation::kGeluErf:
      return Gate::kGeluErf;
  }
  return Gate::kSilu;
}

cpu::AttentionArgs attention_args(const ArchSpec& spec, int layer, const Batch& batch,
                                  const PagedCache& cache) {
  const LayerSpec& layer_spec = spec.layers[layer];
  cpu::AttentionArgs args{};
  args.batch = &batch;
  args.group = layer_spec.cache_group;
  args.cache = &cache;
  args.layer = layer_spec.cache_index;
  args.num_heads = spec.num_heads;
  args.scale = spec.attention_scale;
  args.softcap = spec.attention_softcap;
  args.window = layer_spec.window;
  args.causal = spec.causal;
  return args;
}

cpu::MatmulJob job(const Linear& linear, float* out, int64_t out_stride) {
  cpu::MatmulJob result{};
  result.weight = &linear.weight;
  result.bias = linear.bias_or_null();
  result.out = out;
  result.out_stride = out_stride;
  return result;
}

void rope_and_norm(const cpu::Context& context, const ArchSpec& spec, int layer,
                   const LayerWeights& weights, int rows, Workspace& workspace) {
  float* q = workspace.qkv.data();
  float* k = q + spec.q_size();
  const int64_t stride = spec.qkv_size();
  if (spec.qk_norm) {
    cpu::rms_norm_heads(context, q, stride, rows, spec.num_heads, spec.key_dim,
                        weights.q_norm.weight.data(), spec.norm_eps);
    cpu::rms_norm_heads(context, k, stride, rows, spec.num_kv_heads, spec.key_dim,
                        weights.k_norm.weight.data(), spec.norm_eps);
  }
  const int rope = spec.layers[layer].rope;
  if (rope < 0) return;
  const auto style =
      spec.rope_pairs == RopePairs::kHalves ? cpu::RopeStyle::kNeox : cpu::RopeStyle::kNorm;
  // The heads of K follow those of Q in memory: one call turns both.
  cpu::rope(context, style, workspace.ropes[rope], q, stride, rows,
            spec.num_heads + spec.num_kv_heads, spec.key_dim);
}

}  // namespace

unsigned forms(std::initializer_list<const Linear*> linears) {
  unsigned needed = 0;
  for (const Linear* linear : linears)
    if (*linear) needed |= cpu::Activations::forms_for(linear->weight.type());
  return needed;
}

unsigned qkv_forms(const LayerWeights& weights) {
  return forms({&weights.qkv, &weights.q, &weights.k, &weights.v});
}

unsigned up_forms(const LayerWeights& weights) { return forms({&weights.gate, &weights.up}); }

void fill_ropes(const cpu::Context& context, std::span<const cpu::RopeConfig> configs,
                const Batch& batch, Workspace& workspace) {
  workspace.ropes.resize(configs.size());
  for (size_t i = 0; i < configs.size(); ++i)
    cpu::fill_rope_table(context, configs[i], batch.positions, workspace.ropes[i]);
}

void project_qkv(const cpu::Context& context, const ArchSpec& spec, int layer,
                 const LayerWeights& weights, const Batch& batch, const PagedCache& cache,
                 Workspace& workspace) {
  const int rows = batch.num_rows();
  const int64_t stride = spec.qkv_size();
  float* q = workspace.qkv.resize(rows * stride);
  float* k = q + spec.q_size();
  float* v = k + spec.k_size();
  if (weights.qkv) {
    const cpu::MatmulJob jobs[] = {job(weights.qkv, q, stride)};
    cpu::matmul(context, workspace.outer, jobs);
    workspace.adapters.add(context, layer, LinearKind::kQkv, workspace.outer, q, stride);
  } else {
    const cpu::MatmulJob jobs[] = {job(weights.q, q, stride), job(weights.k, k, stride),
                                   job(weights.v, v, stride)};
    cpu::matmul(context, workspace.outer, jobs);
    workspace.adapters.add(context, layer, LinearKind::kQ, workspace.outer, q, stride);
    workspace.adapters.add(context, layer, LinearKind::kK, workspace.outer, k, stride);
    workspace.adapters.add(context, layer, LinearKind::kV, workspace.outer, v, stride);
  }
  rope_and_norm(context, spec, layer, weights, rows, workspace);
  cpu::write_kv(context, attention_args(spec, layer, batch, cache), k, stride, v, stride);
}

void attend(const cpu::Context& context, const ArchSpec& spec, int layer, const Batch& batch,
            const PagedCache& cache, Workspace& workspace) {
  const int64_t out_stride = int64_t{spec.num_heads} * spec.value_dim;
  float* out = workspace.attn.resize(batch.num_rows() * out_stride);
  cpu::attention(context, attention_args(spec, layer, batch, cache), workspace.qkv.data(),
                 spec.qkv_size(), out, out_stride);
}

void feed_forward(const cpu::Context& context, const ArchSpec& spec, int layer,
                  const LayerWeights& weights, Workspace& workspace) {
  const int rows = workspace.outer.rows();
  const int64_t stride = int64_t{spec.gated ? 2 : 1} * spec.ffn;
  float* gate = workspace.ffn.resize(rows * stride);
  float* up = spec.gated ? gate + spec.ffn : nullptr;
  if (weights.gate) {
    const cpu::MatmulJob jobs[] = {job(weights.gate, gate, stride), job(weights.up, up, stride)};
    cpu::matmul(context, workspace.outer, jobs);
    workspace.adapters.add(context, layer, LinearKind::kGate, workspace.outer, gate, stride);
    workspace.adapters.add(context, layer, LinearKind::kUp, workspace.outer, up, stride);
  } else {  // fused rows of gate and up, or no gate at all
    const cpu::MatmulJob jobs[] = {job(weights.up, gate, stride)};
    cpu::matmul(context, workspace.outer, jobs);
    workspace.adapters.add(context, layer, LinearKind::kUp, workspace.outer, gate, stride);
  }
  const unsigned needed = forms({&weights.down}) | workspace.adapters.forms();
  workspace.inner.set_gated(context, needed, gate_of(spec.activation), gate, stride, up, stride,
                            rows, spec.ffn);
}

}  // namespace pyslm::model
