// pybind11 glue, thin: argument conversion and the GIL, no logic. One file per part of the core.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "core/error.h"

namespace pyslm::bindings {

namespace py = pybind11;

void bind_gguf(py::module_& m);
void bind_quant(py::module_& m);
void bind_kernels(py::module_& m);  // entry points for tests, benchmarks and `pyslm doctor`
void bind_model(py::module_& m);
void bind_engine(py::module_& m);

}  // namespace pyslm::bindings
