// granite: Granite 3.x and 4.x dense. llama with four multipliers: on the embeddings, on both
// residual branches, on the attention scores, and a divisor of the logits.
#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

ArchSpec granite(const Metadata& metadata) {
  ArchSpec spec = decoder_spec(metadata);
  // 0 stands for "not set" in files of the converter.
  const auto multiplier = [&](const char* name) {
    const double value = metadata.number(name, 0.0, 1e6, 0.0);
    return value > 0.0 ? static_cast<float>(value) : 1.0f;
  };
  spec.embedding_scale = multiplier("embedding_scale");
  spec.residual_scale = multiplier("residual_scale");
  spec.logit_scale = 1.0f / multiplier("logit_scale");
  // This family uses the flag to say whether it ropes at all.
  if (!metadata.reader().boolean(metadata.key("rope.scaling.finetuned"), true))
    for (LayerSpec& layer : spec.layers) layer.rope = -1;
  return spec;
}

const RegisterArchitecture kGranite("granite", granite);

}  // namespace
}  // namespace pyslm::model
