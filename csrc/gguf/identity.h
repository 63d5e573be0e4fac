// What tells whether a file is still the same one, without reading it.
#pragma once

#include <cstdint>

namespace pyslm::gguf {

struct FileIdentity {
  uint64_t device = 0, inode = 0, num_bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;  // mtime, ctime
  bool operator==(const FileIdentity&) const = default;
};

}  // namespace pyslm::gguf
