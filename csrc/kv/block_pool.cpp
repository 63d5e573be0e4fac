#include "kv/block_pool.h"

#include <numeric>

#include "core/error.h"

namespace pyslm {

BlockPool::BlockPool(int32_t num_blocks) {
  if (num_blocks < 1) {
    fail(ErrorKind::kInvalid, "a cache pool of ", num_blocks, " blocks; allowed: at least 1");
  }
  free_.resize(static_cast<size_t>(num_blocks));
  std::iota(free_.rbegin(), free_.rend(), 0);
  owned_.resize(static_cast<size_t>(num_blocks), false);
}

int32_t BlockPool::allocate() {
  if (free_.empty()) fail(ErrorKind::kInternal, "no free block among ", num_blocks());
  const int32_t block = free_.back();
  free_.pop_back();
  owned_[static_cast<size_t>(block)] = true;
  return block;
}

void BlockPool::free(int32_t block) {
  if (block < 0 || block >= num_blocks() || !owned_[static_cast<size_t>(block)]) {
    fail(ErrorKind::kInternal, "block ", block, " of ", num_blocks(), " freed but not allocated");
  }
  owned_[static_cast<size_t>(block)] = false;
  free_.push_back(block);
}

}  // namespace pyslm
