// phi3: Phi-3, Phi-3.5 and Phi-4-mini. Q, K and V in one tensor, gate and up in another; rope on
// halves, on a part of the head in Phi-4-mini, with long and short factors in the models of 128 k
// context.
#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

ArchSpec phi3(const Metadata& metadata) {
  ArchSpec spec = decoder_spec(metadata);
  spec.rope_pairs = RopePairs::kHalves;
  spec.fused_gate_up = true;
  // Phi-3-mini-4k was trained with a window of 2047 tokens in every layer, and the reference
  // implementation masks so. llama.cpp has the key ignored since its #13676, because Phi-4-mini's
  // 262144 is no window at all; but without the mask Phi-3-mini-4k derails beyond 2048 tokens
  // (its #7709). Both come right when a window counts exactly where it is shorter than the
  // context, which is what set_sliding_window does.
  set_sliding_window(metadata, spec, std::vector<bool>(spec.layers.size(), true), 0);
  return spec;
}

const RegisterArchitecture kPhi3("phi3", phi3);

}  // namespace
}  // namespace pyslm::model
