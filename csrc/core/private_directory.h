// A directory of files that belong to this user alone, shared by the user's processes.
//
// The directory is 0700 and ours, the files are 0600, ours and have one name; whatever is not so is
// refused, and no symbolic link is followed in the last component of a path. A file appears under
// its name only when it is complete. Readers hold a shared lock on what they read and writers an
// exclusive one on what they write, so that a file without a lock is in nobody's use; nobody ever
// truncates or rewrites a file that has its name.
//
// All failures are Error(kIO) with the reason.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/descriptor.h"

namespace pyslm {

class PrivateDirectory {
 public:
  struct Entry {
    std::string name;
    uint64_t num_bytes;
    int64_t last_used_ns;  // since the epoch
  };

  // Opens the directory, making it (and its parents) where it is missing.
  explicit PrivateDirectory(const std::string& path);

  const std::string& path() const { return path_; }
  std::string path_of(const std::string& name) const { return path_ + "/" + name; }

  // A file opened for reading and locked as in use; an empty descriptor where there is none.
  Descriptor open(const std::string& name) const;
  // Notes that a file was used, for `Entry::last_used_ns`.
  static void touch(const Descriptor& file);

  // A new empty file that will become `name`, locked for writing; an empty descriptor where another
  // process is writing one. What a killed process left is replaced.
  Descriptor create_temporary(const std::string& name) const;
  // The complete file takes its name, once its bytes are on the disk.
  void publish(const Descriptor& temporary, const std::string& name) const;
  void discard_temporary(const std::string& name) const noexcept;

  // Files whose name ends in `suffix`; temporary ones and what is not ours left out.
  std::vector<Entry> entries(std::string_view suffix) const;
  // Removes a file unless it is in use; whether it is gone.
  bool remove_unused(const std::string& name) const noexcept;
  // Removes a file found to be bad, in use or not, if `file` is what bears the name.
  void remove(const std::string& name, const Descriptor& file) const noexcept;
  // What processes that were killed left behind.
  void remove_abandoned() const noexcept;

  uint64_t free_bytes() const;  // for this user, in the file system

 private:
  std::vector<std::string> names(std::string_view suffix) const;

  std::string path_;
  Descriptor directory_;
};

}  // namespace pyslm
