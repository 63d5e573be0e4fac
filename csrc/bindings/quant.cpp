#include <string>

#include "bindings/bindings.h"
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

using FloatArray = py::array_t<float, py::array::c_style>;

// Importance must be finite and not negative; one bad number would spoil its whole block unseen.
void check_importance(const float* importance, int64_t num_elems) {
  for (int64_t i = 0; i < num_elems; ++i)
    if (!(importance[i] >= 0) || !std::isfinite(importance[i]))
      fail(ErrorKind::kInvalid, "importance ", i, " is ", importance[i],
           "; allowed: finite numbers from 0 on");
}

py::array_t<uint8_t> quantize(const std::string& type, const FloatArray& x,
                              const std::optional<FloatArray>& importance) {
  const DTypeInfo& info = type_named(type);
  const quant::Format& format = quant::format(info.type);
  if (!format.quantize) fail(ErrorKind::kInvalid, info.name, " can be read but not written");
  const int64_t num_elems = x.size(), num_blocks = num_blocks_of(info, num_elems);
  if (importance && importance->size() != num_elems)
    fail(ErrorKind::kInvalid, importance->size(), " importances for ", num_elems, " elements");
  py::array_t<uint8_t> out(num_blocks * info.block_bytes);
  uint8_t* to = out.mutable_data();
  const float* from = x.data();
  const float* weights = importance ? importance->data() : nullptr;
  py::gil_scoped_release release;
  quant::check_finite(from, num_elems);
  if (weights) check_importance(weights, num_elems);
  format.quantize(from, weights, to, num_elems);
  return out;
}

// name -> (elements per block, bytes per block, can be written)
py::dict weight_formats() {
  py::dict formats;
  for (const auto& format : quant::all_formats()) {
    const DTypeInfo& info = dtype_info(format.type);
    formats[info.name] =
        py::make_tuple(info.block_elems, info.block_bytes, format.quantize != nullptr);
  }
  return formats;
}

}  // namespace

void bind_quant(py::module_& m) {
  m.def("weight_formats", weight_formats,
        "Name -> (elements per block, bytes per block, whether quantize() writes it).");
  m.def("quantize", quantize, py::arg("type"), py::arg("x"), py::arg("importance") = py::none(),
        "float32 [n] -> uint8 blocks. importance, float32 [n]: weights of the squared errors.");
  m.def("dequantize", dequantize, py::arg("type"), py::arg("data"), py::arg("num_elems"),
        "Blocks, as anything with contiguous bytes -> float32 [num_elems].");
}

}  // namespace pyslm::bindings
