#include "bindings/bindings.h"
#include "gguf/parse.h"
#include "gguf/reader.h"

namespace pyslm::bindings {
namespace {

using gguf::Array;
using gguf::Reader;
using gguf::StringArray;
using gguf::TensorInfo;

py::object steal_checked(PyObject* object) {
  if (!object) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

py::object to_bytes(std::string_view text) {
  return steal_checked(
      PyBytes_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size())));
}

// str, or bytes where the file's bytes are not UTF-8 (token fragments).
py::object to_text(std::string_view text) {
  PyObject* decoded =
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), nullptr);
  if (decoded) return py::reinterpret_steal<py::object>(decoded);
  if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) throw py::error_already_set();
  PyErr_Clear();
  return to_bytes(text);
}

template <class Items, class Convert>
py::list to_list(const Items& items, Convert&& convert) {
  py::list out(items.size());
  for (size_t i = 0; i < items.size(); ++i) out[i] = convert(items[i]);
  return out;
}

py::object array_to_python(const Array& array) {
  const bool bools = array.element == gguf::ValueType::kBool;
  return std::visit(
      [bools](const auto& items) -> py::object {
        using Items = std::decay_t<decltype(items)>;
        if constexpr (std::is_same_v<Items, StringArray>) {
          return to_list(items, to_text);
        } else {
          return to_list(items, [bools](auto item) -> py::object {
            return bools ? py::object(py::bool_(item != 0)) : py::cast(item);
          });
        }
      },
      array.items);
}

py::object value_to_python(const gguf::Value& value) {
  return std::visit(
      [](const auto& data) -> py::object {
        using Data = std::decay_t<decltype(data)>;
        if constexpr (std::is_same_v<Data, std::string>)
          return to_text(data);
        else if constexpr (std::is_same_v<Data, Array>)
          return array_to_python(data);
        else
          return py::cast(data);
      },
      value.data);
}

const gguf::Value& value_at(const Reader& reader, const std::string& key) {
  const auto* value = reader.find(key);
  if (!value) throw py::key_error(key);
  return *value;
}

py::list string_array(const Reader& reader, const std::string& key) {
  const auto& value = value_at(reader, key);
  const auto* array = std::get_if<Array>(&value.data);
  const auto* strings = array ? std::get_if<StringArray>(&array->items) : nullptr;
  if (!strings) {
    fail(ErrorKind::kGGUF, reader.files().front(), ": key '", key, "' is ",
         gguf::describe_type(value), "; it must be array[string]");
  }
  return to_list(*strings, to_bytes);
}

py::object read_tensor(const Reader& reader, const std::string& name, uint64_t begin,
                       std::optional<uint64_t> n) {
  const auto* tensor = reader.tensor(name);
  if (!tensor) throw py::key_error(name);
  if (begin > tensor->num_bytes || n.value_or(0) > tensor->num_bytes - begin) {
    fail(ErrorKind::kInvalid, "cannot read ", n.value_or(0), " bytes at ", begin, " of tensor '",
         name, "': it has ", tensor->num_bytes, " bytes");  // before the bytes object is allocated
  }
  const uint64_t count = n.value_or(tensor->num_bytes - begin);
  py::object out =
      steal_checked(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(count)));
  char* data = PyBytes_AS_STRING(out.ptr());
  py::gil_scoped_release unlocked;
  reader.read(*tensor, begin, count, data);
  return out;
}

std::unique_ptr<Reader> open_reader(const py::object& path) {
  const auto encoded = py::module_::import("os").attr("fsencode")(path).cast<std::string>();
  py::gil_scoped_release unlocked;
  return std::make_unique<Reader>(encoded);
}

py::list file_names(const Reader& reader) {
  const auto decode = py::module_::import("os").attr("fsdecode");
  return to_list(reader.files(), [&](const std::string& path) { return decode(py::bytes(path)); });
}

py::tuple shape_of(const TensorInfo& tensor) {
  py::tuple shape(tensor.n_dims);
  for (int i = 0; i < tensor.n_dims; ++i) shape[i] = tensor.shape[static_cast<size_t>(i)];
  return shape;
}

// The typed access of the native core, as the model loader uses it.
void bind_typed_access(py::class_<Reader>& cls) {
  const auto min = py::arg("min"), max = py::arg("max");
  const auto key = py::arg("key");
  cls.def("integer",
          py::overload_cast<std::string_view, int64_t, int64_t>(&Reader::integer, py::const_), key,
          min, max)
      .def("integer",
           py::overload_cast<std::string_view, int64_t, int64_t, int64_t>(&Reader::integer,
                                                                          py::const_),
           key, min, max, py::arg("absent"))
      .def("number",
           py::overload_cast<std::string_view, double, double>(&Reader::number, py::const_), key,
           min, max)
      .def("number",
           py::overload_cast<std::string_view, double, double, double>(&Reader::number, py::const_),
           key, min, max, py::arg("absent"))
      .def("boolean", &Reader::boolean, key, py::arg("absent"))
      .def(
          "string",
          [](const Reader& r, const std::string& name) { return to_text(r.string(name)); }, key)
      .def(
          "string",
          [](const Reader& r, const std::string& name, const std::string& absent) {
            return to_text(r.string(name, absent));
          },
          key, py::arg("absent"))
      .def("integers", &Reader::integers, key, min, max)
      .def("numbers", &Reader::numbers, key)
      .def("booleans", &Reader::booleans, key);
}

void bind_tensor_info(py::module_& m) {
  py::class_<TensorInfo>(m, "GGUFTensor", "One tensor of a GGUF file.")
      .def_readonly("name", &TensorInfo::name)
      .def_property_readonly("type", [](const TensorInfo& t) { return dtype_info(t.type).name; })
      .def_property_readonly("shape", shape_of, "Innermost (contiguous) dimension first.")
      .def_readonly("offset", &TensorInfo::offset, "Absolute, in bytes, within its file.")
      .def_readonly("num_bytes", &TensorInfo::num_bytes)
      .def_readonly("file", &TensorInfo::file, "Index into GGUFReader.files.")
      .def_property_readonly("num_elements", &TensorInfo::num_elements)
      .def("__repr__", [](const TensorInfo& t) {
        return "GGUFTensor(name=" + py::repr(py::str(t.name)).cast<std::string>() + ", type='" +
               dtype_info(t.type).name + "', shape=" + py::repr(shape_of(t)).cast<std::string>() +
               ")";
      });
}

}  // namespace

void bind_gguf(py::module_& m) {
  bind_tensor_info(m);
  py::class_<Reader> cls(m, "GGUFReader", "Metadata and tensor index of a GGUF file or split set.");
  bind_typed_access(cls);
  cls.def(py::init(&open_reader), py::arg("path"))
      .def_property_readonly("version", &Reader::version)
      .def_property_readonly("alignment", &Reader::alignment)
      .def_property_readonly("files", &file_names)
      .def_property_readonly("total_bytes", &Reader::total_bytes)
      .def(
          "keys", [](const Reader& r) { return r.keys(); }, "Keys in file order.")
      .def("__contains__",
           [](const Reader& r, const std::string& key) { return r.find(key) != nullptr; })
      .def(
          "get",
          [](const Reader& r, const std::string& key) { return value_to_python(value_at(r, key)); },
          py::arg("key"), "The value; KeyError where absent. Text that is not UTF-8 is bytes.")
      .def(
          "get",
          [](const Reader& r, const std::string& key, const py::object& absent) {
            const auto* value = r.find(key);
            return value ? value_to_python(*value) : absent;
          },
          py::arg("key"), py::arg("default"))
      .def(
          "value_type",
          [](const Reader& r, const std::string& key) {
            return gguf::describe_type(value_at(r, key));
          },
          py::arg("key"), "'uint32', 'string', 'array[float32]'.")
      .def("string_array", &string_array, py::arg("key"), "An array of strings as list[bytes].")
      .def(
          "tensors", [](const Reader& r) { return r.tensors(); }, "Tensors in file order.")
      .def("read", &read_tensor, py::arg("name"), py::arg("begin") = 0, py::arg("n") = py::none(),
           "Bytes [begin, begin + n) of a tensor's data; KeyError where there is no such tensor.");
}

}  // namespace pyslm::bindings
