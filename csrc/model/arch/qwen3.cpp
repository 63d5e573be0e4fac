// qwen3: Qwen3 dense, Qwen3-Embedding. Each head of Q and K is RMS-normed before rope; the head's
// size is independent of the hidden size.
#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

ArchSpec qwen3(const Metadata& metadata) {
  ArchSpec spec = decoder_spec(metadata);
  spec.rope_pairs = RopePairs::kHalves;
  spec.qk_norm = true;
  return spec;
}

const RegisterArchitecture kQwen3("qwen3", qwen3);

}  // namespace
}  // namespace pyslm::model
