// The one exception of the native core. `kind` chooses the Python class in pyslm/errors.py;
// the message says what was seen, what is allowed and what to do.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace pyslm {

enum class ErrorKind {
  kGGUF,         // GGUFError: the file breaks a rule of the format
  kUnsupported,  // UnsupportedModelError: a valid file that we cannot run; names what we can
  kMemory,       // InsufficientMemoryError: refused before allocating, with the numbers
  kInvalid,      // InvalidRequestError: an argument out of range
  kContext,      // ContextLengthError: prompt + output do not fit the context
  kNotFound,     // ModelNotFoundError: no such file
  kIO,           // ModelFileError: cannot open or read
  kInternal,     // PyslmError: a defect of ours
  kQueueFull,    // QueueFullError: as many requests wait as are allowed
  kPrefixCache,  // PrefixCacheError: saved prefixes that are damaged or of another model
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// fail(ErrorKind::kInvalid, "top_p is ", p, "; allowed: 0 to 1")
template <class... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  throw Error(kind, out.str());
}

}  // namespace pyslm
