// Entry points for tests of the engine and its parts: the submodule _native.testing.
#pragma once

#include "bindings/bindings.h"

namespace pyslm::bindings {

void bind_engine_testing(py::module_& m);

}  // namespace pyslm::bindings
