// What the engine knows of its tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/error.h"

namespace pyslm {

struct EngineVocabulary {
  int num_vocab = 0;
  std::vector<std::string> token_bytes;     // empty for control tokens; may be shorter
  std::unordered_set<int32_t> stop_tokens;  // end every request

  // Error(kInvalid) unless all of them are tokens.
  void check(const char* what, const std::vector<int32_t>& tokens) const {
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (tokens[i] >= 0 && tokens[i] < num_vocab) continue;
      fail(ErrorKind::kInvalid, what, " has token id ", tokens[i], " at index ", i,
           "; allowed: 0 to ", num_vocab - 1, " (the vocabulary of this model)");
    }
  }
  std::string_view bytes_of(int32_t token) const {
    const auto index = static_cast<size_t>(token);
    return index < token_bytes.size() ? std::string_view(token_bytes[index]) : std::string_view();
  }
};

}  // namespace pyslm
