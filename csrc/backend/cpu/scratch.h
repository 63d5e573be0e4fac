// Memory of a thread's own for the length of one kernel call, 64-byte aligned, kept between calls.
#pragma once

#include <cstdint>
#include <memory>
#include <new>

namespace pyslm::cpu {

inline uint8_t* thread_scratch(int64_t bytes) {
  struct Free {
    void operator()(uint8_t* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };
  thread_local std::unique_ptr<uint8_t[], Free> memory;
  thread_local int64_t capacity = 0;
  if (bytes > capacity) {
    memory.reset(
        static_cast<uint8_t*>(::operator new[](static_cast<size_t>(bytes), std::align_val_t{64})));
    capacity = bytes;
  }
  return memory.get();
}

}  // namespace pyslm::cpu
