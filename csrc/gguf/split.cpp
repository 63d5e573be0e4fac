#include "gguf/split.h"

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace pyslm::gguf {
namespace {

std::optional<int> five_digits(std::string_view text) {
  if (text.size() != 5) return std::nullopt;
  int number = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + (c - '0');
  }
  return number;
}

}  // namespace

std::optional<ShardName> parse_shard_name(const std::string& path) {
  constexpr std::string_view kPattern = "-00001-of-00003.gguf";
  if (path.size() <= kPattern.size()) return std::nullopt;
  const std::string_view tail = std::string_view(path).substr(path.size() - kPattern.size());
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf") {
    return std::nullopt;
  }
  const auto number = five_digits(tail.substr(1, 5));
  const auto count = five_digits(tail.substr(10, 5));
  if (!number || !count || *number < 1 || *number > *count) return std::nullopt;
  return ShardName{path.substr(0, path.size() - kPattern.size()), *number, *count};
}

std::string shard_path(const ShardName& name, int number) {
  char tail[64];
  std::snprintf(tail, sizeof(tail), "-%05d-of-%05d.gguf", number, name.count);
  return name.prefix + tail;
}

}  // namespace pyslm::gguf
