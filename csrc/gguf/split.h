// Names of split sets: prefix-00001-of-00003.gguf.
#pragma once

#include <optional>
#include <string>

namespace pyslm::gguf {

struct ShardName {
  std::string prefix;
  int number;  // from 1
  int count;
};

std::optional<ShardName> parse_shard_name(const std::string& path);
std::string shard_path(const ShardName& name, int number);

}  // namespace pyslm::gguf
