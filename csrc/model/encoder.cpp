#include "model/encoder.h"

#include <algorithm>
#include <cmath>

namespace pyslm::model {

Encoder::Encoder(cpu::Context context, const ArchSpec& spec, const Weights& weights,
                 std::vector<cpu::RopeConfig> ropes)
    : context_(context), spec_(spec), weights_(weights), ropes_(std::move(ropes)) {}

void Encoder::embed(const Batch& batch, Workspace& workspace) const {
  const int rows = batch.num_rows();
  const int64_t hidden = spec_.hidden;
  float* x = workspace.x.resize(rows * hidden);
  float* sum = workspace.branch.resize(2 * rows * hidden);
  cpu::embed(context_, weights_.token_embd, batch.tokens, spec_.embedding_scale, sum, hidden);
  if (!weights_.token_type.empty())  // row stride 0: the same vector for every row
    cpu::add(context_, sum, hidden, weights_.token_type.data(), 0, 1.0f, rows, spec_.hidden);
  if (spec_.learned_positions) {
    float* positions = sum + rows * hidden;
    cpu::embed(context_, weights_.position_embd, batch.positions, 1.0f, positions, hidden);
    cpu::add(context_, sum, hidden, positions, hidden, 1.0f, rows, spec_.hidden);
  }
  cpu::layer_norm(context_, sum, hidden, weights_.embd_norm.weight.data(),
                  weights_.embd_norm.bias_or_null(), spec_.norm_eps, x, hidden, rows, spec_.hidden);
}

void Encoder::add_and_norm(const Linear& linear, float* x, const Norm& norm, float* out, int rows,
                           Workspace& workspace) const {
  cpu::MatmulJob job{};
  job.weight = &linear.weight;
  job.bias = linear.bias_or_null();
  job.out = x;
  job.out_stride = spec_.hidden;
  job.accumulate = true;
  cpu::matmul(context_, workspace.inner, {&job, 1});
  cpu::layer_norm(context_, x, spec_.hidden, norm.weight.data(), norm.bias_or_null(),
                  spec_.norm_eps, out, spec_.hidden, rows, spec_.hidden);
}

void Encoder::run_layer(int layer, const Batch& batch, const PagedCache& scratch,
                        Workspace& workspace) const {
  const LayerWeights& weights = weights_.layers[layer];
  const int rows = batch.num_rows();
  const int attn_dim = spec_.num_heads * spec_.value_dim;
  float* x = workspace.x.data();
  float* middle = workspace.branch.data();
  workspace.outer.set(context_, qkv_forms(weights), x, spec_.hidden, rows, spec_.hidden);
  project_qkv(context_, spec_, layer, weights, batch, scratch, workspace);
  attend(context_, spec_, layer, batch, scratch, workspace);
  workspace.inner.set(context_, forms({&weights.attn_out}), workspace.attn.data(), attn_dim, rows,
                      attn_dim);
  add_and_norm(weights.attn_out, x, weights.attn_post_norm, middle, rows, workspace);
  workspace.outer.set(context_, up_forms(weights), middle, spec_.hidden, rows, spec_.hidden);
  feed_forward(context_, spec_, layer, weights, workspace);
  add_and_norm(weights.down, middle, weights.ffn_post_norm, x, rows, workspace);
}

const float* Encoder::hidden(const Batch& batch, const PagedCache& scratch,
                             Workspace& workspace) const {
  embed(batch, workspace);
  fill_ropes(context_, ropes_, batch, workspace);
  for (int i = 0; i < spec_.num_layers(); ++i) run_layer(i, batch, scratch, workspace);
  if (spec_.pooling == Pooling::kRank) rank(batch, workspace);
  return workspace.x.data();
}

// As BERT's sequence classifiers: output(tanh(dense(first row))), or output(first row) alone.
void Encoder::rank(const Batch& batch, Workspace& workspace) const {
  const int64_t hidden = spec_.hidden;
  const int texts = static_cast<int>(batch.spans.size());
  float* x = workspace.x.data();
  float* first = workspace.branch.resize(texts * hidden);
  for (int t = 0; t < texts; ++t)
    std::copy_n(x + batch.spans[t].first_row * hidden, hidden, first + t * hidden);
  const auto apply = [&](const Linear& linear, float* out, int64_t outputs) {
    workspace.outer.set(context_, forms({&linear}), first, hidden, texts, spec_.hidden);
    const cpu::MatmulJob job{
        .weight = &linear.weight, .bias = linear.bias_or_null(), .out = out, .out_stride = outputs};
    cpu::matmul(context_, workspace.outer, {&job, 1});
  };
  if (weights_.rank_dense) {
    float* dense = workspace.hidden.resize(texts * hidden);
    apply(weights_.rank_dense, dense, hidden);
    std::transform(dense, dense + texts * hidden, first, [](float v) { return std::tanh(v); });
  }
  std::vector<float> scores(static_cast<size_t>(texts));
  apply(weights_.rank_output, scores.data(), 1);
  for (int t = 0; t < texts; ++t) x[batch.spans[t].first_row * hidden] = scores[t];
}

}  // namespace pyslm::model
