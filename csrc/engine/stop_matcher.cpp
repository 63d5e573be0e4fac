#include "engine/stop_matcher.h"

#include <algorithm>

namespace pyslm {

StopMatcher::Automaton::Automaton(const std::string& text) : pattern(text), border(text.size(), 0) {
  uint32_t length = 0;
  for (size_t i = 1; i < pattern.size(); ++i) {
    while (length > 0 && pattern[i] != pattern[length]) length = border[length - 1];
    if (pattern[i] == pattern[length]) ++length;
    border[i] = length;
  }
}

bool StopMatcher::Automaton::feed(char byte) {
  if (state == pattern.size()) state = border[state - 1];
  while (state > 0 && pattern[state] != byte) state = border[state - 1];
  if (pattern[state] == byte) ++state;
  return state == pattern.size();
}

StopMatcher::StopMatcher(const std::vector<std::string>& stops) {
  for (const std::string& stop : stops) automata_.emplace_back(stop);
}

int StopMatcher::feed(char byte) {
  int found = -1;
  num_held_ = 0;
  for (size_t i = 0; i < automata_.size(); ++i) {
    const bool complete = automata_[i].feed(byte);
    num_held_ = std::max<size_t>(num_held_, automata_[i].state);
    if (!complete) continue;
    const auto length = [&](int index) {
      return index < 0 ? 0 : automata_[static_cast<size_t>(index)].pattern.size();
    };
    if (length(static_cast<int>(i)) > length(found)) found = static_cast<int>(i);
  }
  return found;
}

}  // namespace pyslm
