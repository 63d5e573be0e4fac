// What a Reader holds; shared by reader.cpp and typed_access.cpp only.
#pragma once

#include <map>

#include "gguf/parse.h"

namespace pyslm::gguf {

struct Reader::Impl {
  std::vector<File> files;
  std::vector<std::string> paths;
  uint64_t total_bytes = 0;
  ParsedFile parsed;  // metadata of the first file, tensors of all
  std::map<std::string_view, size_t, std::less<>> index;  // into parsed.tensors

  explicit Impl(const std::string& path);
  ParsedFile open(const std::string& path, Budget& budget);
  void open_siblings(int64_t num_files, Budget& budget);
  void check_shard(const ParsedFile& shard, int64_t number, int64_t num_files) const;
  void build_index();
};

}  // namespace pyslm::gguf
