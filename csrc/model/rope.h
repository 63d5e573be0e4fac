// From a rope setting of the metadata and the factor tensors of the file to what the rope
// operation takes.
#pragma once

#include <vector>

#include "backend/cpu/ops.h"
#include "model/spec.h"
#include "model/weights.h"

namespace pyslm::model {

// Long or short factors are chosen by the configured context, never by the current length: keys
// in the cache must not change their meaning while a sequence grows.
cpu::RopeConfig rope_config(const RopeSpec& spec, const ArchSpec& arch, const Weights& weights,
                            int context_length);
std::vector<cpu::RopeConfig> rope_configs(const ArchSpec& arch, const Weights& weights,
                                          int context_length);

}  // namespace pyslm::model
