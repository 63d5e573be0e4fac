#include "gguf/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace pyslm::gguf {
namespace {

[[noreturn]] void fail_open(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    fail(ErrorKind::kNotFound, "no such model file: ", path);
  }
  fail(ErrorKind::kIO, "cannot open ", path, ": ", std::strerror(error));
}

}  // namespace

File::File(const std::string& path) : path_(path) {
  if (path.find('\0') != std::string::npos) {
    fail(ErrorKind::kNotFound, "no such model file: the path holds a NUL byte");
  }
  // O_NONBLOCK, since opening a FIFO would otherwise wait for its writer; regular files ignore it.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) fail_open(path, errno);
  struct stat status;
  const int failed = ::fstat(descriptor_, &status);
  if (failed || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    if (failed) fail(ErrorKind::kIO, "cannot examine ", path);
    fail(ErrorKind::kIO, path,
         S_ISDIR(status.st_mode) ? " is a directory" : " is not a regular file",
         "; give the path of a .gguf file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_) {}

File& File::operator=(File&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

FileIdentity File::identity() const {
  struct stat status;
  if (::fstat(descriptor_, &status) != 0) fail(ErrorKind::kIO, "cannot examine ", path_);
#if defined(__APPLE__)
  const struct timespec modified = status.st_mtimespec, changed = status.st_ctimespec;
#else
  const struct timespec modified = status.st_mtim, changed = status.st_ctim;
#endif
  const auto nanoseconds = [](const struct timespec& time) {
    return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  };
  return {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
          static_cast<uint64_t>(status.st_size), nanoseconds(modified), nanoseconds(changed)};
}

void File::read(uint64_t offset, void* out, uint64_t n) const {
  constexpr uint64_t kMaxPerCall = 1u << 30;  // Linux reads at most 2 GiB at once
  auto* to = static_cast<char*>(out);
  while (n > 0) {
    const ssize_t got =
        ::pread(descriptor_, to, std::min(n, kMaxPerCall), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(ErrorKind::kIO, "cannot read ", path_, ": ", std::strerror(errno));
    if (got == 0) {
      fail(ErrorKind::kIO, path_, " has become shorter while being read: nothing at offset ",
           offset, "; it had ", size_, " bytes when it was opened");
    }
    to += got;
    offset += static_cast<uint64_t>(got);
    n -= static_cast<uint64_t>(got);
  }
}

}  // namespace pyslm::gguf
