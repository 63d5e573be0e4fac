// The weights of a model, packed once from the tensors of its file.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "gguf/reader.h"
#include "kernels/packed_weight.h"
#include "model/spec.h"

namespace pyslm::model {

struct Linear {
  PackedWeight weight;      // [outputs x inputs]
  std::vector<float> bias;  // [outputs], or empty
  const float* bias_or_null() const { return bias.empty() ? nullptr : bias.data(); }
  explicit operator bool() const { return static_cast<bool>(weight); }
};

struct Norm {
  std::vector<float> weight, bias;  // bias: LayerNorm only, empty where the file has none
  const float* bias_or_null() const { return bias.empty() ? nullptr : bias.data(); }
};

struct LayerWeights {
  Norm attn_norm;       // before attention; empty in encoders
  Linear qkv;           // either all three, the rows of Q first,
  Linear q, k, v;       // or each by itself
  Norm q_norm, k_norm;  // [key_dim]
  Linear attn_out;
  Norm attn_post_norm;  // gemma: on attention's output; encoders: on the sum
  Norm ffn_norm;
  Linear gate, up, down;  // gate empty where there is none, or where `up` holds its rows first
  Norm ffn_post_norm;
};

struct Weights {
  PackedWeight token_embd;        // [vocab x hidden]
  PackedWeight position_embd;     // [context_train x hidden]
  std::vector<float> token_type;  // [hidden], of type 0
  Norm embd_norm, output_norm;
  std::vector<LayerWeights> layers;
  Linear output;                   // [vocab x hidden]; weight empty where tied to token_embd
  Linear rank_dense, rank_output;  // of rerankers: [hidden x hidden], may be absent; [1 x hidden]
  std::vector<float> rope_freqs, rope_factors_long, rope_factors_short;  // [n_rot / 2]
  int64_t num_bytes = 0;  // of all the above in memory

  const PackedWeight& head() const { return output ? output.weight : token_embd; }
};

// One tensor of the file and where it goes.
struct TensorSlot {
  const gguf::TensorInfo* info;
  PackedWeight* matrix;        // this,
  std::vector<float>* vector;  // or this: the first shape[0] elements as floats
};

// Called after each tensor; may throw to stop the loading.
using LoadProgress =
    std::function<void(const std::string& tensor, uint64_t done_bytes, uint64_t total_bytes)>;

// Every tensor that the spec asks for, looked up and its shape checked; nothing is read yet. A
// missing tensor or another shape is kGGUF; a tensor that the architecture does not know would be
// silently left out of the computation, and is kUnsupported.
std::vector<TensorSlot> plan_tensors(const ArchSpec& spec, const gguf::Reader& reader,
                                     Weights& weights);
// Matrices that have their data already are left as they are.
void load_tensors(ThreadPool& pool, const gguf::Reader& reader,
                  const std::vector<TensorSlot>& slots, const LoadProgress& progress,
                  Weights& weights);

}  // namespace pyslm::model
