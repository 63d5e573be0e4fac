// Prompt lookup: where the end of a text stood before, what followed it then may follow again
// (Saxena 2023; suffix decoding, Oliaro et al. 2024).
//
//   tokens:  ... a b c d e ... x b c d | ?       the longest earlier match of the end is "b c d",
//                                               so the guess is "e ..."
//
// Every kGram tokens are hashed to where they last ended; the ends before are chained. A lookup
// compares the few latest of them and costs the same however long the text is.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace pyslm {

class SuffixIndex {
 public:
  static constexpr int32_t kGram = 2;      // the shortest match
  static constexpr int32_t kLongest = 32;  // matches are compared up to here
  static constexpr int32_t kCandidates =
      8;  // ends of the same gram that are compared, latest first

  struct Match {
    int32_t next = 0;    // position after the earlier occurrence
    int32_t length = 0;  // tokens that agree; 0: there is none
  };

  // `tokens`: all of the text so far, of which earlier calls have seen a prefix.
  Match find(std::span<const int32_t> tokens);

 private:
  void extend(std::span<const int32_t> tokens);

  std::unordered_map<uint64_t, int32_t> latest_;  // gram -> position of its last token
  std::vector<int32_t>
      previous_;  // position of a gram's end -> that of the same gram before, or -1
};

}  // namespace pyslm
