// gemma3: gemma2 with normed Q and K in place of the soft cap on attention, five sliding layers to
// one that sees all, and a rope base of their own (10000, unscaled) for the sliding ones.
#include <cmath>

#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

// The 27 B model divides by hidden / heads, all others by the head's size.
float query_scale(const ArchSpec& spec) {
  const int dim = spec.num_layers() == 62 ? spec.hidden / spec.num_heads : spec.key_dim;
  return 1.0f / std::sqrt(static_cast<float>(dim));
}

void add_local_rope(const Metadata& metadata, ArchSpec& spec) {
  RopeSpec local;
  local.n_rot = spec.ropes[0].n_rot;
  local.base = metadata.number("rope.freq_base_swa", 1.0, 1e12, 10000.0);
  local.original_context = spec.context_train;
  local.tensor_factors = false;
  spec.ropes.push_back(local);
}

ArchSpec gemma3(const Metadata& metadata) {
  ArchSpec spec = decoder_spec(metadata);
  spec.rope_pairs = RopePairs::kHalves;
  spec.norms = NormPlacement::kPrePost;
  spec.qk_norm = true;
  spec.activation = Activation::kGeluTanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden));
  spec.attention_scale = query_scale(spec);
  spec.logit_softcap =
      static_cast<float>(metadata.number("final_logit_softcapping", 0.0, 1e6, 0.0));
  if (metadata.integer("attention.sliding_window", 0, 1 << 24, 0) > 0) {
    const std::vector<bool> sliding = metadata.sliding_layers(spec.num_layers(), 6);
    add_local_rope(metadata, spec);
    // The local rope belongs to the layer whether or not its window ever masks anything.
    for (int i = 0; i < spec.num_layers(); ++i) spec.layers[i].rope = sliding[i] ? 1 : 0;
    set_sliding_window(metadata, spec, sliding, 0);
  }
  return spec;
}

const RegisterArchitecture kGemma3("gemma3", gemma3);

}  // namespace
}  // namespace pyslm::model
