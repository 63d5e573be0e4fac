// DRY, "don't repeat yourself" (p-e-w, oobabooga/text-generation-webui#5677): a token that would go
// on repeating a stretch of the text becomes less likely, exponentially in how long the stretch is.
#pragma once

#include "sampling/candidates.h"
#include "sampling/params.h"
#include "sampling/penalties.h"

namespace pyslm {

// Over the last dry_penalty_last_n tokens, prompt and output. For every token x of them, let n be
// the length of the longest stretch before x that the text also ends with, holding no sequence
// breaker in the text's end. With n >= dry_allowed_length, x loses
// dry_multiplier * dry_base ^ (n - dry_allowed_length).
void apply_dry(float* logits, const TokenHistory& history, const SamplingParams& params,
               SamplerWorkspace& work);

}  // namespace pyslm
