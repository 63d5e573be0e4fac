// pybind11 glue, thin: argument conversion and the GIL, no logic. One file per part of the core.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>

#include "core/dtype.h"
#include "core/error.h"

namespace pyslm::bindings {

namespace py = pybind11;

// Error(kInvalid) unless it names a format that a matrix may have.
DType weight_type(const std::string& name);

void bind_gguf(py::module_& m);
void bind_quant(py::module_& m);
void bind_kernels(py::module_& m);  // entry points for tests
void bind_timing(py::module_& m);   // and for benchmarks and `pyslm doctor`
void bind_model(py::module_& m);
void bind_engine(py::module_& m);

}  // namespace pyslm::bindings
