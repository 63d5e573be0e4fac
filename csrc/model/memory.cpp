#include "model/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace pyslm::model {
namespace {

constexpr int64_t kUnknown = std::numeric_limits<int64_t>::max();

// A file of one number; cgroup v2 writes "max" for no limit, v1 a number near 2^63.
int64_t read_number(const std::string& path) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : kUnknown;
}

int64_t meminfo_available() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  int64_t kib = 0;
  while (file >> name >> kib) {
    std::getline(file, unit);
    if (name == "MemAvailable:") return kib * 1024;
  }
  return kUnknown;
}

// "key value" lines of memory.stat.
int64_t read_stat(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  int64_t value = 0;
  while (file >> name >> value)
    if (name == key) return value;
  return 0;
}

// The page cache that a cgroup's usage counts goes away under pressure: it is available.
int64_t cgroup_left(const std::string& directory, const char* limit_file, const char* usage_file,
                    const char* cache_key) {
  const int64_t limit = read_number(directory + limit_file);
  const int64_t usage = read_number(directory + usage_file);
  if (limit == kUnknown || usage == kUnknown) return kUnknown;
  return std::max<int64_t>(0, limit - usage + read_stat(directory + "/memory.stat", cache_key));
}

// The limit of each ancestor holds too. Lines of /proc/self/cgroup: "0::/path" (v2) and
// "4:memory:/path" (v1); inside a container the path is often that of the root.
int64_t cgroup_available() {
  int64_t left =
      std::min(cgroup_left("/sys/fs/cgroup", "/memory.max", "/memory.current", "inactive_file"),
               cgroup_left("/sys/fs/cgroup/memory", "/memory.limit_in_bytes",
                           "/memory.usage_in_bytes", "total_inactive_file"));
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const bool v2 = line.rfind("0::", 0) == 0;
    const size_t v1 = line.find(":memory:");
    if (!v2 && v1 == std::string::npos) continue;
    std::string path = v2 ? line.substr(3) : line.substr(v1 + 8);
    for (; path.size() > 1; path.resize(std::max<size_t>(1, path.rfind('/'))))
      left =
          std::min(left, v2 ? cgroup_left("/sys/fs/cgroup" + path, "/memory.max", "/memory.current",
                                          "inactive_file")
                            : cgroup_left("/sys/fs/cgroup/memory" + path, "/memory.limit_in_bytes",
                                          "/memory.usage_in_bytes", "total_inactive_file"));
  }
  return left;
}

int64_t address_space_left() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnknown;
  const int64_t pages = read_number("/proc/self/statm");
  const int64_t used = pages == kUnknown ? 0 : pages * sysconf(_SC_PAGESIZE);
  return std::max<int64_t>(0, static_cast<int64_t>(limit.rlim_cur) - used);
}

}  // namespace

int64_t available_memory_bytes() {
  return std::min({meminfo_available(), cgroup_available(), address_space_left()});
}

}  // namespace pyslm::model
