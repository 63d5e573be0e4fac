// bert: BERT, MiniLM, bge, e5. Learned positions, biases everywhere, GELU in its exact (erf) form,
// which is what these models were trained with.
#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

ArchSpec bert(const Metadata& metadata) {
  ArchSpec spec = encoder_spec(metadata);
  spec.learned_positions = true;
  spec.activation = Activation::kGeluErf;
  spec.gated = false;
  spec.qkv_bias = Presence::kRequired;
  spec.linear_bias = Presence::kRequired;
  return spec;
}

const RegisterArchitecture kBert("bert", bert);

}  // namespace
}  // namespace pyslm::model
