#include "bindings/bindings.h"

namespace pyslm::bindings {

void bind_model(py::module_&) {}

}  // namespace pyslm::bindings
