// The text of one request on its way out: bytes go in token by token and come out once no stop
// string can claim them, in whole UTF-8 characters.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/stop_matcher.h"

namespace pyslm {

// Length of `bytes` without a UTF-8 character that has begun at its end and may yet be completed.
// Bytes that no continuation can make valid count as whole: they are the reader's to replace.
size_t whole_utf8_prefix(std::string_view bytes);

class TextBuffer {
 public:
  TextBuffer(std::vector<std::string> stops, bool include_stop_text)
      : stops_(std::move(stops)), matcher_(stops_), include_stop_text_(include_stop_text) {}

  // Adds a token's bytes. Returns the stop string that ends the text here, or nullptr. The first to
  // be complete wins, the longest of several complete at once, so that the result does not depend
  // on how the text is cut into tokens. After a stop nothing more may be added.
  // may_stop false: stop strings that end in these bytes count as text.
  const std::string* append(std::string_view bytes, bool may_stop = true);

  // No more bytes come: what was held back is free.
  void finish() { finished_ = true; }

  // The bytes released since the last call.
  std::string take();

 private:
  std::vector<std::string> stops_;
  StopMatcher matcher_;
  std::string pending_;  // not yet taken
  bool include_stop_text_;
  bool finished_ = false;
};

}  // namespace pyslm
