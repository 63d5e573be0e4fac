#include "bindings/bindings.h"

namespace pyslm::bindings {

void bind_engine(py::module_&) {}

}  // namespace pyslm::bindings
