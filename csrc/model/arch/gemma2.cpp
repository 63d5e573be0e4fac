// gemma2: norms before and after each part, GELU gates, soft caps on attention scores and logits,
// embeddings times sqrt(hidden), and a sliding window in every other layer, the first included.
#include <cmath>

#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

// The head's size, except for the 27 B model, which divides by hidden / heads instead.
float query_scale(const ArchSpec& spec) {
  const int dim = spec.num_layers() == 46 ? spec.hidden / spec.num_heads : spec.key_dim;
  return 1.0f / std::sqrt(static_cast<float>(dim));
}

ArchSpec gemma2(const Metadata& metadata) {
  ArchSpec spec = decoder_spec(metadata);
  spec.rope_pairs = RopePairs::kHalves;
  spec.norms = NormPlacement::kPrePost;
  spec.activation = Activation::kGeluTanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden));
  spec.attention_scale = query_scale(spec);
  // Files from before the keys existed are all of the published models, which share these values.
  spec.attention_softcap =
      static_cast<float>(metadata.number("attn_logit_softcapping", 0.0, 1e6, 50.0));
  spec.logit_softcap =
      static_cast<float>(metadata.number("final_logit_softcapping", 0.0, 1e6, 30.0));
  set_sliding_window(metadata, spec, metadata.sliding_layers(spec.num_layers(), 2), 4096);
  return spec;
}

const RegisterArchitecture kGemma2("gemma2", gemma2);

}  // namespace
}  // namespace pyslm::model
