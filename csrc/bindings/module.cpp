#include "bindings/bindings.h"

namespace {

namespace py = pybind11;

const char* python_class(pyslm::ErrorKind kind) {
  switch (kind) {
    case pyslm::ErrorKind::kGGUF: return "GGUFError";
    case pyslm::ErrorKind::kUnsupported: return "UnsupportedModelError";
    case pyslm::ErrorKind::kMemory: return "InsufficientMemoryError";
    case pyslm::ErrorKind::kInvalid: return "InvalidRequestError";
    case pyslm::ErrorKind::kContext: return "ContextLengthError";
    case pyslm::ErrorKind::kIO: return "ModelFileError";
    case pyslm::ErrorKind::kInternal: return "PyslmError";
  }
  return "PyslmError";
}

}  // namespace

PYBIND11_MODULE(_native, m) {
  m.doc() = "Native core of pyslm.";
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const pyslm::Error& e) {
      py::object cls = py::module_::import("pyslm.errors").attr(python_class(e.kind()));
      py::set_error(cls, e.what());
    }
  });
  using namespace pyslm::bindings;
  bind_gguf(m);
  bind_quant(m);
  bind_kernels(m);
  bind_model(m);
  bind_engine(m);
}
