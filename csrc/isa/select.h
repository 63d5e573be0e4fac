// Which tier runs: the best that the CPU has, or the one that PYSLM_ISA names.
#pragma once

#include <string>
#include <vector>

#include "kernels/table.h"

namespace pyslm {

struct TierInfo {
  const char* name;
  const Kernels* kernels;  // null: this compiler could not build it
  bool supported;          // by this CPU
};

// Every tier of this architecture, worst first.
const std::vector<TierInfo>& isa_tiers();
// Error(kInvalid) when PYSLM_ISA names no tier, or one that is not built or that this CPU lacks.
const Kernels& select_kernels();
const Kernels& kernels_named(const std::string& name);

}  // namespace pyslm
