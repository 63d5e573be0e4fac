// Finds stop strings in a stream of bytes, however it is cut into pieces. One Knuth-Morris-Pratt
// automaton per string; the state is the length of the longest suffix of the stream that begins
// the string, which is also how many bytes must be held back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pyslm {

class StopMatcher {
 public:
  explicit StopMatcher(const std::vector<std::string>& stops);

  // Takes one byte. Returns the index of the stop string that it completes, the longest of several
  // (it begins first), or -1.
  int feed(char byte);

  // Bytes at the end of the stream that may begin a stop string.
  size_t num_held() const { return num_held_; }

 private:
  struct Automaton {
    std::string pattern;
    // border[i]: length of the longest proper prefix of pattern[0..i] that is also its suffix
    std::vector<uint32_t> border;
    uint32_t state = 0;

    explicit Automaton(const std::string& text);
    bool feed(char byte);  // true where the pattern is complete
  };

  std::vector<Automaton> automata_;
  size_t num_held_ = 0;
};

}  // namespace pyslm
