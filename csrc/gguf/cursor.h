// Walks the header of a GGUF file: little-endian fields through a buffer, each checked against the
// bytes that are left before anything is allocated for it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "gguf/file.h"

namespace pyslm::gguf {

static_assert(std::endian::native == std::endian::little, "GGUF fields are read as they lie");

// A name from a file, for a message: control characters escaped, long ones cut.
std::string quote(std::string_view name);

// What the index of a file may cost: 4 bytes per byte of file and 64 MiB, of which the cursor's
// buffer, allocator overhead and temporaries get a share.
class Budget {
 public:
  void add_file(uint64_t num_bytes) { left_ += 3 * num_bytes; }
  bool charge(uint64_t num_bytes) {
    if (num_bytes > left_) return false;
    left_ -= num_bytes;
    return true;
  }

 private:
  uint64_t left_ = uint64_t{48} << 20;
};

class Cursor {
 public:
  Cursor(const File& file, Budget& budget)
      : file_(file), budget_(budget), buffer_(std::min<uint64_t>(file.size(), kBufferBytes)) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return file_.size() - offset_; }
  void set_subject(std::string subject) { subject_ = std::move(subject); }

  template <class T>
  T scalar() {
    field_ = offset_;
    T value;
    copy(&value, sizeof(T));
    return value;
  }

  // A count of things of at least `min_bytes` each in the file: never more than can be there.
  uint64_t count(const char* things, uint64_t min_bytes) {
    const uint64_t n = scalar<uint64_t>();
    if (n > remaining() / min_bytes) {
      fail_here(ErrorKind::kGGUF, n, " ", things, " cannot fit in the ", remaining(),
                " bytes that are left of the file");
    }
    return n;
  }

  // Appends a string (u64 length, then bytes) to `out`; returns its length.
  uint64_t append_string(std::string& out, uint64_t max_bytes, uint64_t memory_per_byte = 1) {
    const uint64_t n = count("string bytes", 1);
    if (n > max_bytes) {
      fail_here(ErrorKind::kGGUF, "a string of ", n, " bytes; allowed here: ", max_bytes);
    }
    charge(n, memory_per_byte);
    const size_t begin = out.size();
    out.resize(begin + n);
    copy(out.data() + begin, n);
    return n;
  }
  std::string string(uint64_t max_bytes = UINT64_MAX) {
    std::string out;
    append_string(out, max_bytes);
    return out;
  }

  // Accounts for n items of `bytes_each` in memory before they are allocated.
  void charge(uint64_t n, uint64_t bytes_each) {
    if (n > UINT64_MAX / bytes_each || !budget_.charge(n * bytes_each)) {
      fail_here(ErrorKind::kGGUF, n, " entries would need more memory than the metadata of a file",
                " of ", file_.size(), " bytes may take");
    }
  }

  // Throws an Error that names the file, the offset of the last field read and the subject.
  template <class... Parts>
  [[noreturn]] void fail_here(ErrorKind kind, const Parts&... parts) const {
    fail(kind, file_.path(), ": offset ", field_, ", ", subject_, ": ", parts...);
  }

 private:
  static constexpr uint64_t kBufferBytes = 256 << 10;

  void copy(void* out, uint64_t n) {
    if (n <= buffered_end_ - offset_) {
      std::memcpy(out, buffer_.data() + (offset_ - buffer_begin_), n);
      offset_ += n;
      return;
    }
    copy_slowly(static_cast<char*>(out), n);
  }
  void copy_slowly(char* out, uint64_t n);

  const File& file_;
  Budget& budget_;
  std::vector<char> buffer_;
  uint64_t buffer_begin_ = 0;  // file offset of buffer_[0]
  uint64_t buffered_end_ = 0;  // file offset one past the last valid byte of the buffer
  uint64_t offset_ = 0;
  uint64_t field_ = 0;
  std::string subject_ = "header";
};

}  // namespace pyslm::gguf
