#include "gguf/cursor.h"

namespace pyslm::gguf {

std::string quote(std::string_view name) {
  constexpr size_t kMaxShown = 100;
  constexpr char kHex[] = "0123456789abcdef";
  std::string out = "'";
  for (const char c : name.substr(0, kMaxShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      out += c;
    } else {
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out + (name.size() > kMaxShown ? "...'" : "'");
}

void Cursor::copy_slowly(char* out, uint64_t n) {
  if (n > remaining()) {
    fail_here(ErrorKind::kGGUF, "the file is truncated: ", n, " bytes are needed at offset ",
              offset_, ", but it ends at ", file_.size());
  }
  while (n > 0) {
    if (offset_ == buffered_end_) {
      const uint64_t fill = std::min<uint64_t>(buffer_.size(), remaining());
      file_.read(offset_, buffer_.data(), fill);
      buffer_begin_ = offset_;
      buffered_end_ = offset_ + fill;
    }
    const uint64_t take = std::min(n, buffered_end_ - offset_);
    std::memcpy(out, buffer_.data() + (offset_ - buffer_begin_), take);
    out += take;
    offset_ += take;
    n -= take;
  }
}

}  // namespace pyslm::gguf
