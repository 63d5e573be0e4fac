// qwen2: Qwen2, Qwen2.5 and models distilled into them. llama with biases on Q, K and V and rope
// on halves.
#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

ArchSpec qwen2(const Metadata& metadata) {
  ArchSpec spec = decoder_spec(metadata);
  spec.rope_pairs = RopePairs::kHalves;
  spec.qkv_bias = Presence::kRequired;
  return spec;
}

const RegisterArchitecture kQwen2("qwen2", qwen2);

}  // namespace
}  // namespace pyslm::model
