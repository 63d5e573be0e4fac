// The two halves of a transformer layer that decoder and encoder share, between the norms.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/cpu/ops.h"
#include "model/adapter.h"
#include "model/rope.h"
#include "model/spec.h"
#include "model/weights.h"

namespace pyslm::model {

// A float buffer that keeps its memory between calls and does not clear it.
class Buffer {
 public:
  float* resize(int64_t size) {
    if (size > static_cast<int64_t>(storage_.size())) storage_.resize(size);
    return storage_.data();
  }
  float* data() { return storage_.data(); }

 private:
  std::vector<float> storage_;
};

// What one forward pass needs besides weights and cache. One per caller: results live in it.
struct Workspace {
  cpu::Activations outer;  // [rows x hidden], normed: the input of qkv, of gate and up, of the head
  cpu::Activations inner;  // the input of attn_out [rows x heads * value_dim] and down [rows x ffn]
  std::vector<cpu::RopeTable> ropes;  // per rope setting
  Buffer x;                           // [rows x hidden], the residual stream
  Buffer qkv;                         // [rows x qkv_size]: heads of Q, then K, then V
  Buffer attn;                        // [rows x heads * value_dim]
  Buffer ffn;                         // [rows x 2 * ffn]: gate, then up
  Buffer branch;                      // [2 x rows x hidden]: before and after a post-norm
  AdapterRows adapters;               // of the step under way
  Buffer logits;                      // [output_rows x vocab]
  Buffer hidden;                      // [wanted rows x hidden], after the final norm
};

void fill_ropes(const cpu::Context& context, std::span<const cpu::RopeConfig> configs,
                const Batch& batch, Workspace& workspace);

// Normed rows in workspace.outer -> Q, K and V, roped, in workspace.qkv, K and V in the cache too.
void project_qkv(const cpu::Context& context, const ArchSpec& spec, int layer,
                 const LayerWeights& weights, const Batch& batch, const PagedCache& cache,
                 Workspace& workspace);
// workspace.qkv and the cache -> workspace.attn.
void attend(const cpu::Context& context, const ArchSpec& spec, int layer, const Batch& batch,
            const PagedCache& cache, Workspace& workspace);
// Normed rows in workspace.outer -> the gated activations in workspace.inner, ready for `down`.
void feed_forward(const cpu::Context& context, const ArchSpec& spec, int layer,
                  const LayerWeights& weights, Workspace& workspace);

// The union of the forms that matrices of one call read.
unsigned forms(std::initializer_list<const Linear*> linears);
unsigned qkv_forms(const LayerWeights& weights);
unsigned up_forms(const LayerWeights& weights);

}  // namespace pyslm::model
