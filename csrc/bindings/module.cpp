#include <cstring>

#include "bindings/bindings.h"

namespace {

namespace py = pybind11;

const char* python_class(pyslm::ErrorKind kind) {
  switch (kind) {
    case pyslm::ErrorKind::kGGUF:
      return "GGUFError";
    case pyslm::ErrorKind::kUnsupported:
      return "UnsupportedModelError";
    case pyslm::ErrorKind::kMemory:
      return "InsufficientMemoryError";
    case pyslm::ErrorKind::kInvalid:
      return "InvalidRequestError";
    case pyslm::ErrorKind::kContext:
      return "ContextLengthError";
    case pyslm::ErrorKind::kNotFound:
      return "ModelNotFoundError";
    case pyslm::ErrorKind::kIO:
      return "ModelFileError";
    case pyslm::ErrorKind::kInternal:
      return "PyslmError";
    case pyslm::ErrorKind::kQueueFull:
      return "QueueFullError";
    case pyslm::ErrorKind::kPrefixCache:
      return "PrefixCacheError";
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
      // A message may quote bytes of a file or path that are not UTF-8.
      auto text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
          e.what(), static_cast<Py_ssize_t>(std::strlen(e.what())), "backslashreplace"));
      py::set_error(cls, text ? text : py::str("unprintable error"));
    }
  });
  using namespace pyslm::bindings;
  bind_gguf(m);
  bind_quant(m);
  bind_kernels(m);
  bind_timing(m);
  bind_model(m);
  bind_engine(m);
}
