#include "model/decoder.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "core/error.h"

namespace pyslm::model {
namespace {

// Rows of either kind, ascending.
std::vector<int32_t> wanted_rows(const Batch& batch) {
  std::vector<int32_t> rows;
  std::merge(batch.output_rows.begin(), batch.output_rows.end(), batch.hidden_rows.begin(),
             batch.hidden_rows.end(), std::back_inserter(rows));
  return rows;
}

// Where each of `rows` stands in `all`, which has them.
std::vector<int32_t> places_of(std::span<const int32_t> rows, std::span<const int32_t> all) {
  std::vector<int32_t> places;
  auto at = all.begin();
  for (const int32_t row : rows) {
    at = std::lower_bound(at, all.end(), row);
    places.push_back(static_cast<int32_t>(at - all.begin()));
  }
  return places;
}

// Moves the wanted rows to the front. They ascend, so a row never lands on one still to be moved.
void keep_rows(float* x, int64_t stride, std::span<const int32_t> rows) {
  for (size_t i = 0; i < rows.size(); ++i)
    if (rows[i] != static_cast<int32_t>(i))
      std::memcpy(x + i * stride, x + rows[i] * stride, stride * sizeof(float));
}

}  // namespace

Decoder::Decoder(cpu::Context context, const ArchSpec& spec, const Weights& weights,
                 std::vector<cpu::RopeConfig> ropes)
    : context_(context), spec_(spec), weights_(weights), ropes_(std::move(ropes)) {}

void Decoder::embed(const Batch& batch, Workspace& workspace) const {
  const int64_t hidden = spec_.hidden;
  float* x = workspace.x.resize(batch.num_rows() * hidden);
  if (!batch.embeddings.empty()) {  // images and the like: already at the scale of the model
    std::memcpy(x, batch.embeddings.data(), batch.embeddings.size() * sizeof(float));
    return;
  }
  cpu::embed(context_, weights_.token_embd, batch.tokens, spec_.embedding_scale, x, hidden);
}

// x += residual_scale * norm(linear(inner)); the norm only where the architecture has one.
void Decoder::add_branch(int layer, LinearKind kind, const Linear& linear, const Norm& post_norm,
                         int rows, Workspace& workspace) const {
  const int64_t hidden = spec_.hidden;
  float* x = workspace.x.data();
  cpu::MatmulJob job{};
  job.weight = &linear.weight;
  job.bias = linear.bias_or_null();
  job.out_stride = hidden;
  if (post_norm.weight.empty()) {
    job.out = x;
    job.accumulate = true;
    job.scale = spec_.residual_scale;
    cpu::matmul(context_, workspace.inner, {&job, 1});
    workspace.adapters.add(context_, layer, kind, workspace.inner, x, hidden, spec_.residual_scale);
    return;
  }
  float* branch = workspace.branch.resize(2 * rows * hidden);
  float* normed = branch + rows * hidden;
  job.out = branch;
  cpu::matmul(context_, workspace.inner, {&job, 1});
  workspace.adapters.add(context_, layer, kind, workspace.inner, branch, hidden);
  cpu::rms_norm(context_, branch, hidden, post_norm.weight.data(), spec_.norm_eps, normed, hidden,
                rows, spec_.hidden);
  cpu::add(context_, x, hidden, normed, hidden, spec_.residual_scale, rows, spec_.hidden);
}

// From attention's output on, rows do not see each other any more.
void Decoder::finish_layer(int layer, int rows, Workspace& workspace) const {
  const LayerWeights& weights = weights_.layers[layer];
  const unsigned more = workspace.adapters.forms();
  const int attn_dim = spec_.num_heads * spec_.value_dim;
  workspace.inner.set(context_, forms({&weights.attn_out}) | more, workspace.attn.data(), attn_dim,
                      rows, attn_dim);
  add_branch(layer, LinearKind::kAttnOut, weights.attn_out, weights.attn_post_norm, rows,
             workspace);
  workspace.outer.set_rms_norm(context_, up_forms(weights) | more, workspace.x.data(), spec_.hidden,
                               rows, spec_.hidden, weights.ffn_norm.weight.data(), spec_.norm_eps);
  feed_forward(context_, spec_, layer, weights, workspace);
  add_branch(layer, LinearKind::kDown, weights.down, weights.ffn_post_norm, rows, workspace);
}

void Decoder::run_layers(const Batch& batch, std::span<const int32_t> wanted,
                         std::span<const PagedCache> caches, Workspace& workspace) const {
  embed(batch, workspace);
  fill_ropes(context_, ropes_, batch, workspace);
  int rows = batch.num_rows();
  for (int i = 0; i < spec_.num_layers(); ++i) {
    const LayerWeights& weights = weights_.layers[i];
    const PagedCache& cache = caches[spec_.layers[i].cache_group];
    workspace.outer.set_rms_norm(context_, qkv_forms(weights) | workspace.adapters.forms(),
                                 workspace.x.data(), spec_.hidden, rows, spec_.hidden,
                                 weights.attn_norm.weight.data(), spec_.norm_eps);
    project_qkv(context_, spec_, i, weights, batch, cache, workspace);
    if (i == spec_.num_layers() - 1) {
      // Nobody reads the other rows after the last layer's cache is written.
      rows = static_cast<int>(wanted.size());
      if (rows == 0) return;
      attend(context_, spec_, i, batch, cache, workspace);
      keep_rows(workspace.attn.data(), int64_t{spec_.num_heads} * spec_.value_dim, wanted);
      keep_rows(workspace.x.data(), spec_.hidden, wanted);
      workspace.adapters.keep(wanted);
    } else {
      attend(context_, spec_, i, batch, cache, workspace);
    }
    finish_layer(i, rows, workspace);
  }
}

StepOutputs Decoder::forward(const Batch& batch, std::span<const PagedCache> caches,
                             Workspace& workspace) const {
  const std::vector<int32_t> wanted = wanted_rows(batch);
  run_layers(batch, wanted, caches, workspace);
  StepOutputs outputs;
  if (!batch.hidden_rows.empty()) {
    const int rows = static_cast<int>(wanted.size());
    float* hidden = workspace.hidden.resize(int64_t{rows} * spec_.hidden);
    cpu::rms_norm(context_, workspace.x.data(), spec_.hidden, weights_.output_norm.weight.data(),
                  spec_.norm_eps, hidden, spec_.hidden, rows, spec_.hidden);
    keep_rows(hidden, spec_.hidden, places_of(batch.hidden_rows, wanted));
    outputs.hidden = hidden;
  }
  if (!batch.output_rows.empty()) {
    const std::vector<int32_t> places = places_of(batch.output_rows, wanted);
    keep_rows(workspace.x.data(), spec_.hidden, places);
    workspace.adapters.keep(places);
    outputs.logits = logits(static_cast<int>(batch.output_rows.size()), workspace);
  }
  return outputs;
}

const float* Decoder::logits(int rows, Workspace& workspace) const {
  float* logits = workspace.logits.resize(int64_t{rows} * spec_.vocab);
  const PackedWeight& head = weights_.head();
  workspace.outer.set_rms_norm(
      context_, cpu::Activations::forms_for(head.type()) | workspace.adapters.forms(),
      workspace.x.data(), spec_.hidden, rows, spec_.hidden, weights_.output_norm.weight.data(),
      spec_.norm_eps);
  cpu::MatmulJob job{};
  job.weight = &head;
  job.bias = weights_.output.bias_or_null();
  job.out = logits;
  job.out_stride = spec_.vocab;
  cpu::matmul(context_, workspace.outer, {&job, 1});
  workspace.adapters.add_output(context_, workspace.outer, logits, spec_.vocab);
  if (spec_.logit_scale != 1.0f)
    cpu::multiply(context_, logits, spec_.vocab, spec_.logit_scale, rows, spec_.vocab);
  if (spec_.logit_softcap > 0.0f)
    cpu::softcap(context_, logits, spec_.vocab, spec_.logit_softcap, rows, spec_.vocab);
  return logits;
}

}  // namespace pyslm::model
