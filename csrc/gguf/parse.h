// One GGUF file -> its metadata and tensor index. Split sets are put together by the Reader.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "gguf/cursor.h"
#include "gguf/reader.h"

namespace pyslm::gguf {

// Ordered, so that keys chosen to collide cannot make a file slow to open.
using Metadata = std::map<std::string, Value, std::less<>>;

struct ParsedFile {
  uint32_t version = 0;
  uint32_t alignment = 32;
  std::vector<std::string> keys;  // in file order
  Metadata values;
  std::vector<TensorInfo> tensors;
};

// file_index is what the tensors' `file` becomes. Throws Error kGGUF, kUnsupported or kIO.
ParsedFile parse_file(const File& file, int file_index, Budget& budget);

const char* value_type_name(ValueType type);
std::string describe_type(const Value& value);  // "uint32", "array[string]"

}  // namespace pyslm::gguf
