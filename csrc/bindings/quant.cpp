#include "bindings/bindings.h"

namespace pyslm::bindings {

void bind_quant(py::module_&) {}

}  // namespace pyslm::bindings
