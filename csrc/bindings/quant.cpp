#include "bindings/bindings.h"

#include <string>
#include <vector>

#include "quant/registry.h"

namespace pyslm::bindings {
namespace {

const DTypeInfo& type_named(const std::string& name) {
  std::string known;
  for (const auto& format : quant::all_formats()) {
    const DTypeInfo& info = dtype_info(format.type);
    if (name == info.name) return info;
    known += known.empty() ? "" : ", ";
    known += info.name;
  }
  fail(ErrorKind::kInvalid, "unknown tensor type '", name, "'; known: ", known);
}

int64_t num_blocks_of(const DTypeInfo& info, int64_t num_elems) {
  if (num_elems < 0 || num_elems % info.block_elems != 0)
    fail(ErrorKind::kInvalid, num_elems, " elements do not divide into ", info.name, " blocks of ",
         info.block_elems);
  return num_elems / info.block_elems;
}

py::array_t<float> dequantize(const std::string& type, const py::buffer& data, int64_t num_elems) {
  const DTypeInfo& info = type_named(type);
  const int64_t num_blocks = num_blocks_of(info, num_elems);
  const py::buffer_info bytes = data.request();
  if (!PyBuffer_IsContiguous(bytes.view(), 'C'))
    fail(ErrorKind::kInvalid, "the bytes are not contiguous; pass a contiguous copy");
  const int64_t num_bytes = bytes.size * bytes.itemsize;
  if (num_bytes % info.block_bytes != 0 || num_bytes / info.block_bytes != num_blocks)
    fail(ErrorKind::kInvalid, num_bytes, " bytes for ", num_elems, " elements of ", info.name, "; ",
         info.block_elems, " elements take ", info.block_bytes, " bytes");
  py::array_t<float> out(num_elems);
  float* to = out.mutable_data();
  py::gil_scoped_release release;
  quant::format(info.type).dequantize(bytes.ptr, to, num_elems);
  return out;
}

}  // namespace

void bind_quant(py::module_& m) {
  m.def("dequantize", dequantize, py::arg("type"), py::arg("data"), py::arg("num_elems"));
}

}  // namespace pyslm::bindings
