// smollm3: llama in which every fourth layer knows no positions (NoPE).
#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

constexpr int kNoRopeInterval = 4;  // GGUF has no key for it

ArchSpec smollm3(const Metadata& metadata) {
  ArchSpec spec = decoder_spec(metadata);
  for (int i = 0; i < spec.num_layers(); ++i)
    if ((i + 1) % kNoRopeInterval == 0) spec.layers[i].rope = -1;
  return spec;
}

const RegisterArchitecture kSmollm3("smollm3", smollm3);

}  // namespace
}  // namespace pyslm::model
