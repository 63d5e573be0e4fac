#include "engine/text_buffer.h"

#include <algorithm>
#include <cstdint>

namespace pyslm {
namespace {

// Bytes of the character that `lead` begins; 1 for anything that begins none.
size_t character_bytes(uint8_t lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 1;
}

}  // namespace

size_t whole_utf8_prefix(std::string_view bytes) {
  const size_t reach = std::min<size_t>(bytes.size(), 3);
  for (size_t back = 1; back <= reach; ++back) {
    const auto byte = static_cast<uint8_t>(bytes[bytes.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;  // a continuation: its lead is further back
    return character_bytes(byte) > back ? bytes.size() - back : bytes.size();
  }
  return bytes.size();
}

const std::string* TextBuffer::append(std::string_view bytes, bool may_stop) {
  for (const char byte : bytes) {
    pending_.push_back(byte);
    const int found = matcher_.feed(byte);
    if (found < 0 || !may_stop) continue;
    const std::string& stop = stops_[static_cast<size_t>(found)];
    if (!include_stop_text_) pending_.resize(pending_.size() - stop.size());
    finished_ = true;
    return &stop;
  }
  return nullptr;
}

std::string TextBuffer::take() {
  size_t count = pending_.size();
  if (!finished_) {
    const size_t unclaimed = pending_.size() - matcher_.num_held();
    count = whole_utf8_prefix(std::string_view(pending_).substr(0, unclaimed));
  }
  std::string released = pending_.substr(0, count);
  pending_.erase(0, count);
  return released;
}

}  // namespace pyslm
