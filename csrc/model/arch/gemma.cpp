// gemma: Gemma 1 and CodeGemma. Llama's graph with GELU gates, embeddings times sqrt(hidden) and
// heads of a size of their own; the head is tied to the embeddings.
#include <cmath>

#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

ArchSpec gemma(const Metadata& metadata) {
  ArchSpec spec = decoder_spec(metadata);
  spec.rope_pairs = RopePairs::kHalves;
  spec.activation = Activation::kGeluTanh;
  spec.embedding_scale = std::sqrt(static_cast<float>(spec.hidden));
  return spec;
}

const RegisterArchitecture kGemma("gemma", gemma);

}  // namespace
}  // namespace pyslm::model
