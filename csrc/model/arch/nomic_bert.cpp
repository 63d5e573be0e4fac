// nomic-bert: nomic-embed-text v1 and v1.5. The skeleton of BERT with rope on halves, SwiGLU, Q, K
// and V in one tensor, and no biases in the published models.
#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

ArchSpec nomic_bert(const Metadata& metadata) {
  ArchSpec spec = encoder_spec(metadata);
  spec.rope_pairs = RopePairs::kHalves;
  spec.ropes = {rope_spec(metadata, spec)};
  for (LayerSpec& layer : spec.layers) layer.rope = 0;
  return spec;
}

const RegisterArchitecture kNomicBert("nomic-bert", nomic_bert);

}  // namespace
}  // namespace pyslm::model
