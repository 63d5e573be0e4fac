// Which blocks of one cache group are free. Ids only: the storage is PagedCache. Not thread-safe;
// the scheduler owns it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pyslm {

class BlockPool {
 public:
  explicit BlockPool(int32_t num_blocks);

  int32_t num_blocks() const { return static_cast<int32_t>(owned_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()); }

  // The block freed last, so that memory already touched is used again. Error(kInternal) if none
  // is free: callers ask num_free() first.
  int32_t allocate();
  // Error(kInternal) for a block that is not allocated.
  void free(int32_t block);

 private:
  std::vector<int32_t> free_;  // a stack
  std::vector<bool> owned_;
};

}  // namespace pyslm
