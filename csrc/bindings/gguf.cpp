#include "bindings/bindings.h"

namespace pyslm::bindings {

void bind_gguf(py::module_&) {}

}  // namespace pyslm::bindings
