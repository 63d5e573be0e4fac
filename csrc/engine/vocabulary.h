// What the engine knows of its tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace pyslm {

struct EngineVocabulary {
  int num_vocab = 0;
  std::vector<std::string> token_bytes;     // empty for control tokens; may be shorter
  std::unordered_set<int32_t> stop_tokens;  // end every request

  std::string_view bytes_of(int32_t token) const {
    const auto index = static_cast<size_t>(token);
    return index < token_bytes.size() ? std::string_view(token_bytes[index]) : std::string_view();
  }
};

}  // namespace pyslm
