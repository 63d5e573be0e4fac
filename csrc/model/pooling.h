// Sentence embeddings from the hidden states of a text's tokens.
#pragma once

#include <cstdint>

#include "model/spec.h"

namespace pyslm::model {

// rows [num_rows x dim], first to last token of one text -> out [dim], of Euclidean length 1 (or
// all zero). With kLast only the last row is looked at, with kCls the first.
void pool_and_normalize(Pooling pooling, const float* rows, int64_t num_rows, int dim, float* out);

}  // namespace pyslm::model
