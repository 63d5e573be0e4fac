#include "core/private_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "core/error.h"

namespace pyslm {
namespace {

constexpr std::string_view kTemporary = ".tmp";
constexpr int kOpenFlags = O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;

[[noreturn]] void fail_with_errno(const char* action, const std::string& path) {
  fail(ErrorKind::kIO, "cannot ", action, " ", path, ": ", std::strerror(errno));
}

std::string octal(mode_t mode) {
  std::string digits = "0000";
  for (int i = 3; i >= 0; --i, mode >>= 3) digits[static_cast<size_t>(i)] += mode & 7;
  return digits;
}

void make_directories(const std::string& path) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    // An ancestor that cannot be made but is there (a read-only root, say) shows below.
    if (::mkdir(part.c_str(), 0700) != 0 && end == std::string::npos && errno != EEXIST)
      fail_with_errno("make the directory", path);
    if (end == std::string::npos) return;
  }
}

void check_owner(const struct stat& status, mode_t mode, const std::string& path) {
  if (status.st_uid != ::geteuid())
    fail(ErrorKind::kIO, path, " belongs to user ", status.st_uid, ", not to ", ::geteuid());
  if ((status.st_mode & 07777) != mode)
    fail(ErrorKind::kIO, path, " has mode ", octal(status.st_mode & 07777),
         "; allowed: ", octal(mode));
}

void check_file(const struct stat& status, const std::string& path) {
  if (!S_ISREG(status.st_mode)) fail(ErrorKind::kIO, path, " is not a regular file");
  check_owner(status, 0600, path);
  if (status.st_nlink != 1) fail(ErrorKind::kIO, path, " has ", status.st_nlink, " names");
}

int64_t nanoseconds(const struct timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

#if defined(__APPLE__)
const struct timespec& access_time(const struct stat& status) { return status.st_atimespec; }
#else
const struct timespec& access_time(const struct stat& status) { return status.st_atim; }
#endif

}  // namespace

PrivateDirectory::PrivateDirectory(const std::string& path) : path_(path) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos)  // "~" without a home, say
    fail(ErrorKind::kIO, "the directory '", path, "' is not an absolute path");
  // With a slash at the end, O_NOFOLLOW would follow.
  while (path_.size() > 1 && path_.back() == '/') path_.pop_back();
  make_directories(path_);
  directory_ = Descriptor(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | kOpenFlags));
  struct stat status;
  if (!directory_ || ::fstat(directory_.get(), &status) != 0)
    fail_with_errno("open the directory", path_);
  check_owner(status, 0700, path_);
}

Descriptor PrivateDirectory::open(const std::string& name) const {
  Descriptor file(::openat(directory_.get(), name.c_str(), O_RDONLY | kOpenFlags));
  if (!file && errno == ENOENT) return {};
  struct stat status;
  if (!file || ::fstat(file.get(), &status) != 0) fail_with_errno("open", path_of(name));
  check_file(status, path_of(name));
  if (::flock(file.get(), LOCK_SH | LOCK_NB) != 0) fail_with_errno("lock", path_of(name));
  return file;
}

void PrivateDirectory::touch(const Descriptor& file) {
  struct timespec times[2] = {};
  times[0].tv_nsec = UTIME_NOW;
  times[1].tv_nsec = UTIME_OMIT;
  (void)::futimens(file.get(), times);  // at worst, evicted early
}

Descriptor PrivateDirectory::create_temporary(const std::string& name) const {
  const std::string temporary = name + std::string(kTemporary);
  const int flags = O_RDWR | O_CREAT | O_EXCL | kOpenFlags;
  Descriptor file(::openat(directory_.get(), temporary.c_str(), flags, 0600));
  if (!file && errno == EEXIST) {
    if (!remove_unused(temporary)) return {};
    file = Descriptor(::openat(directory_.get(), temporary.c_str(), flags, 0600));
    if (!file && errno == EEXIST) return {};
  }
  if (!file) fail_with_errno("write", path_of(temporary));
  // Between the two calls another process may have taken the file for an abandoned one.
  struct stat status;
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return {};
  if (::fchmod(file.get(), 0600) != 0 || ::fstat(file.get(), &status) != 0)
    fail_with_errno("write", path_of(temporary));
  if (status.st_nlink != 1) return {};
  return file;
}

void PrivateDirectory::publish(const Descriptor& temporary, const std::string& name) const {
  const std::string from = name + std::string(kTemporary);
  if (::fsync(temporary.get()) != 0) fail_with_errno("write", path_of(from));
  if (::renameat(directory_.get(), from.c_str(), directory_.get(), name.c_str()) != 0)
    fail_with_errno("rename", path_of(from));
}

void PrivateDirectory::discard_temporary(const std::string& name) const noexcept {
  ::unlinkat(directory_.get(), (name + std::string(kTemporary)).c_str(), 0);
}

std::vector<std::string> PrivateDirectory::names(std::string_view suffix) const {
  const int copy = ::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const opened = copy < 0 ? nullptr : ::fdopendir(copy);
  if (!opened) {
    if (copy >= 0) ::close(copy);
    fail_with_errno("list", path_);
  }
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opened, &::closedir);
  std::vector<std::string> found;
  while (const dirent* item = ::readdir(stream.get()))
    if (std::string_view(item->d_name).ends_with(suffix)) found.emplace_back(item->d_name);
  return found;
}

std::vector<PrivateDirectory::Entry> PrivateDirectory::entries(std::string_view suffix) const {
  std::vector<Entry> found;
  for (std::string& name : names(suffix)) {
    struct stat status;
    if (::fstatat(directory_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (!S_ISREG(status.st_mode)) continue;
    found.push_back(
        {std::move(name), static_cast<uint64_t>(status.st_size), nanoseconds(access_time(status))});
  }
  return found;
}

bool PrivateDirectory::remove_unused(const std::string& name) const noexcept {
  const Descriptor file(::openat(directory_.get(), name.c_str(), O_RDONLY | kOpenFlags));
  if (!file) return errno == ENOENT;
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return false;
  return ::unlinkat(directory_.get(), name.c_str(), 0) == 0;
}

void PrivateDirectory::remove(const std::string& name, const Descriptor& file) const noexcept {
  struct stat named, opened;
  if (::fstatat(directory_.get(), name.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0) return;
  if (::fstat(file.get(), &opened) != 0 || named.st_ino != opened.st_ino) return;
  ::unlinkat(directory_.get(), name.c_str(), 0);
}

void PrivateDirectory::remove_abandoned() const noexcept {
  try {
    for (const std::string& name : names(kTemporary)) remove_unused(name);
  } catch (...) {  // they will be met again
  }
}

uint64_t PrivateDirectory::free_bytes() const {
  struct statvfs status;
  if (::fstatvfs(directory_.get(), &status) != 0) fail_with_errno("examine", path_);
  return uint64_t{status.f_bavail} * status.f_frsize;
}

}  // namespace pyslm
