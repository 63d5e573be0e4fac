#include "gguf/tensor_index.h"

#include <numeric>

namespace pyslm::gguf {
namespace {

constexpr uint64_t kMaxNameBytes = 64 << 10;
constexpr uint64_t kMaxElements = uint64_t{1} << 60;

std::string supported_types() {
  std::string names;
  for (const auto& info : all_dtypes())
    names += (names.empty() ? "" : ", ") + std::string(info.name);
  return names;
}

std::string read_name(Cursor& cursor) {
  std::string name = cursor.string(kMaxNameBytes);
  if (name.empty()) cursor.fail_here(ErrorKind::kGGUF, "the name of the tensor is empty");
  for (const char c : name) {
    if (c <= 0x20 || c >= 0x7f) {
      cursor.fail_here(ErrorKind::kGGUF, quote(name), " is not printable ASCII");
    }
  }
  return name;
}

void read_shape(Cursor& cursor, TensorInfo& tensor) {
  const uint32_t n_dims = cursor.scalar<uint32_t>();
  if (n_dims < 1 || n_dims > 4) {
    cursor.fail_here(ErrorKind::kGGUF, n_dims, " dimensions; allowed: 1 to 4");
  }
  tensor.n_dims = static_cast<int>(n_dims);
  tensor.shape = {1, 1, 1, 1};
  uint64_t elements = 1;
  for (uint32_t i = 0; i < n_dims; ++i) {
    const uint64_t dim = cursor.scalar<uint64_t>();
    if (dim < 1 || dim > kMaxElements / elements) {
      cursor.fail_here(ErrorKind::kGGUF, "dimension ", i, " is ", dim,
                       "; allowed: at least 1, with a product of all up to 2^60");
    }
    elements *= dim;
    tensor.shape[i] = static_cast<int64_t>(dim);
  }
}

const DTypeInfo& read_dtype(Cursor& cursor) {
  const uint32_t type = cursor.scalar<uint32_t>();
  const DTypeInfo* info = find_dtype(type);
  if (!info) {
    cursor.fail_here(ErrorKind::kUnsupported, "tensor type ", type, " (", gguf_type_name(type),
                     "); supported: ", supported_types());
  }
  return *info;
}

TensorInfo read_tensor_info(Cursor& cursor, uint64_t i, uint32_t alignment) {
  TensorInfo tensor;
  cursor.set_subject("tensor " + std::to_string(i));
  tensor.name = read_name(cursor);
  cursor.set_subject("tensor " + quote(tensor.name));
  read_shape(cursor, tensor);
  const DTypeInfo& info = read_dtype(cursor);
  tensor.type = info.type;
  if (tensor.shape[0] % info.block_elems != 0) {
    cursor.fail_here(ErrorKind::kGGUF, "rows of ", tensor.shape[0], " elements; ", info.name,
                     " needs a multiple of ", info.block_elems);
  }
  // At most 2^60 elements of at most 8 bytes: no overflow.
  const auto blocks = static_cast<uint64_t>(tensor.num_elements() / info.block_elems);
  tensor.num_bytes = blocks * static_cast<uint64_t>(info.block_bytes);
  tensor.offset = cursor.scalar<uint64_t>();  // within the data section, until place() moves it
  if (tensor.offset % alignment != 0) {
    cursor.fail_here(ErrorKind::kGGUF, "data offset ", tensor.offset,
                     " is not a multiple of the alignment ", alignment);
  }
  return tensor;
}

template <class... Parts>
[[noreturn]] void fail_placing(const File& file, const TensorInfo& tensor, const Parts&... parts) {
  fail(ErrorKind::kGGUF, file.path(), ": tensor ", quote(tensor.name), ": ", parts...);
}

// Makes the offset absolute, after proving that the data lies inside the file.
void place(TensorInfo& tensor, uint64_t data_begin, const File& file) {
  const uint64_t data_bytes = file.size() > data_begin ? file.size() - data_begin : 0;
  if (tensor.offset > data_bytes || tensor.num_bytes > data_bytes - tensor.offset) {
    fail_placing(file, tensor, "its ", tensor.num_bytes, " bytes at data offset ", tensor.offset,
                 " reach beyond the ", data_bytes, " bytes of the data section (offset ",
                 data_begin, " to ", file.size(), "); is the file truncated?");
  }
  tensor.offset += data_begin;
}

void check_overlap(const std::vector<TensorInfo>& tensors, const File& file) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return tensors[a].offset < tensors[b].offset; });
  for (size_t i = 1; i < order.size(); ++i) {
    const TensorInfo& before = tensors[order[i - 1]];
    const TensorInfo& tensor = tensors[order[i]];
    if (before.num_bytes > tensor.offset - before.offset) {
      fail_placing(file, tensor, "its data at offset ", tensor.offset, " overlaps that of tensor ",
                   quote(before.name), " (offset ", before.offset, ", ", before.num_bytes,
                   " bytes)");
    }
  }
}

}  // namespace

std::vector<TensorInfo> read_tensor_index(Cursor& cursor, uint64_t num_tensors, const File& file,
                                          int file_index, uint32_t alignment) {
  std::vector<TensorInfo> tensors;
  tensors.reserve(num_tensors);
  for (uint64_t i = 0; i < num_tensors; ++i) {
    tensors.push_back(read_tensor_info(cursor, i, alignment));
    tensors.back().file = file_index;
  }
  const uint64_t data_begin = (cursor.offset() + alignment - 1) / alignment * alignment;
  for (auto& tensor : tensors) place(tensor, data_begin, file);
  check_overlap(tensors, file);
  return tensors;
}

}  // namespace pyslm::gguf
