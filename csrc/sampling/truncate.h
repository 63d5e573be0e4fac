// Cutting a distribution down to its likely part. Each function takes the candidates that the one
// before it left, normalised over them, and always leaves at least one.
#pragma once

#include "sampling/candidates.h"

namespace pyslm {

// So few tokens may come that the others are best left out from the start.
bool few_allowed(const uint32_t* allowed, int32_t num_vocab);

// All tokens, or the k with the largest logits (exactly k; equal logits: lower ids).
// k <= 0 or k >= num_vocab: all. `allowed`, where given, has a bit for each token above -inf; where
// they are few, no others become candidates, and the rest costs next to nothing.
void start_candidates(const float* logits, int32_t num_vocab, float max_logit, float temperature,
                      int32_t top_k, SamplerWorkspace& work, const uint32_t* allowed = nullptr);

// Locally typical sampling (Meister et al. 2022): the fewest tokens with mass p, those first whose
// information content is nearest to the entropy.
void keep_typical(float typical_p, SamplerWorkspace& work);

// Nucleus sampling (Holtzman et al. 2020): the fewest tokens with mass p, most likely first. The
// token that crosses p stays.
void keep_top_p(float top_p, SamplerWorkspace& work);

// Tokens at least min_p times as likely as the most likely one (Nguyen et al. 2024).
void keep_min_p(float min_p, SamplerWorkspace& work);

// XTC, "exclude top choices" (p-e-w, oobabooga/text-generation-webui#6335): of the tokens with at
// least this probability only the least likely stays.
void drop_top_choices(float threshold, SamplerWorkspace& work);

}  // namespace pyslm
