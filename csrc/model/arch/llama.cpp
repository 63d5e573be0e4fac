// llama: Llama 1 to 3.x, Mistral 7B, SmolLM2, TinyLlama and the many models of that shape. The
// base from which the other families differ: RMS norm before, grouped-query attention, rope on
// neighbouring channels (the converter permutes Q and K to that order), SwiGLU, a head that may be
// tied to the embeddings. Llama 3.x adds rope_freqs; some files have biases.
#include "model/arch/architecture.h"

namespace pyslm::model {
namespace {

ArchSpec llama(const Metadata& metadata) { return decoder_spec(metadata); }

const RegisterArchitecture kLlama("llama", llama);

}  // namespace
}  // namespace pyslm::model
