// Page-aligned zeroed memory, in huge pages where the system offers them.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/error.h"

namespace pyslm {

// Error(kMemory) when the system refuses.
inline std::shared_ptr<uint8_t> allocate_zeroed(size_t bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  void* p =
      mmap(nullptr, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) fail(ErrorKind::kMemory, "the system refused ", bytes, " bytes of memory");
#if defined(MADV_HUGEPAGE)
  if (bytes >= kHugePage) madvise(p, bytes, MADV_HUGEPAGE);
#endif
  return {static_cast<uint8_t*>(p), [bytes](uint8_t* q) { munmap(q, bytes ? bytes : 1); }};
}

}  // namespace pyslm
