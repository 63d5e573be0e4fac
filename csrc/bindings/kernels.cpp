#include "bindings/bindings.h"

namespace pyslm::bindings {

void bind_kernels(py::module_&) {}

}  // namespace pyslm::bindings
