// Reads GGUF files (versions 2 and 3, single or split). Knows no model. A file is hostile until
// proven otherwise: every count, length, offset and type is checked before it is used, and a
// violation is an Error(kGGUF) that names the file offset, the key or tensor, and the rule.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/dtype.h"
#include "gguf/identity.h"

namespace pyslm::gguf {

enum class ValueType : uint32_t {
  kU8 = 0,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64,
};

// An array keeps numbers widened (all integers and bools to int64, or uint64 for kU64; floats to
// double) and strings as one byte arena with offsets, so that a 256 k-entry vocabulary is two
// allocations.
struct StringArray {
  std::string bytes;
  std::vector<uint64_t> ends;  // ends[i] = one past string i within bytes
  size_t size() const { return ends.size(); }
  std::string_view operator[](size_t i) const {
    const uint64_t begin = i ? ends[i - 1] : 0;
    return std::string_view(bytes).substr(begin, ends[i] - begin);
  }
};
struct Array {
  ValueType element;
  std::variant<std::vector<int64_t>, std::vector<uint64_t>, std::vector<double>, StringArray> items;
  size_t size() const;
};
struct Value {
  ValueType type;
  std::variant<int64_t, uint64_t, double, bool, std::string, Array> data;
};

struct TensorInfo {
  std::string name;
  DType type;
  int n_dims;
  std::array<int64_t, 4> shape;  // shape[0] is the innermost (contiguous); unused dims are 1
  uint64_t offset;               // absolute, in file `file`
  uint64_t num_bytes;
  int file;  // index into files(); 0 unless split
  int64_t num_elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
};

class Reader {
 public:
  // Opens the file and, where it is the first of a split set, its siblings. Throws Error kIO when a
  // file cannot be opened, kGGUF when it breaks the format, kUnsupported for a tensor type we
  // refuse.
  explicit Reader(const std::string& path);
  ~Reader();
  Reader(Reader&&) noexcept;
  Reader& operator=(Reader&&) noexcept;

  uint32_t version() const;
  uint32_t alignment() const;
  const std::vector<std::string>& files() const;
  uint64_t total_bytes() const;                  // of all files
  std::vector<FileIdentity> identities() const;  // of all files, as they are now
  const std::vector<std::string>& keys() const;  // in file order

  const Value* find(std::string_view key) const;
  // Typed access: a present key of another type, or out of [min, max], is a kGGUF error; an absent
  // key gives the default, or an error where none is passed. Integers accept every integer type.
  int64_t integer(std::string_view key, int64_t min, int64_t max) const;
  int64_t integer(std::string_view key, int64_t min, int64_t max, int64_t absent) const;
  double number(std::string_view key, double min, double max) const;  // finite; ints accepted
  double number(std::string_view key, double min, double max, double absent) const;
  bool boolean(std::string_view key, bool absent) const;
  std::string string(std::string_view key) const;
  std::string string(std::string_view key, std::string_view absent) const;
  // Integer arrays; a lone integer counts as an array of one (head_count_kv may be either).
  std::vector<int64_t> integers(std::string_view key, int64_t min, int64_t max) const;
  std::vector<double> numbers(std::string_view key) const;
  std::vector<bool> booleans(std::string_view key) const;

  const std::vector<TensorInfo>& tensors() const;  // in file order
  const TensorInfo* tensor(std::string_view name) const;
  // Reads bytes [begin, begin + n) of the tensor's data with pread; short reads and requests past
  // its end are errors. Thread-safe.
  void read(const TensorInfo& tensor, uint64_t begin, uint64_t n, void* out) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pyslm::gguf
