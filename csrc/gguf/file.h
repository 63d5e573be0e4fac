// A regular file opened for positioned reads. Not mapped: a mapped file that is truncated under us
// would be a SIGBUS, a short pread is an error that we can report.
#pragma once

#include <cstdint>
#include <string>

#include "gguf/identity.h"

namespace pyslm::gguf {

class File {
 public:
  explicit File(const std::string& path);  // Error kNotFound or kIO
  ~File();
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }  // when opened
  FileIdentity identity() const;           // now
  // Reads exactly n bytes; Error kIO where the file has become shorter. Thread-safe.
  void read(uint64_t offset, void* out, uint64_t n) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

}  // namespace pyslm::gguf
