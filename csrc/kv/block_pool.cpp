#include "kv/block_pool.h"

#include <utility>

#include "core/error.h"

namespace pyslm {

BlockPool::BlockPool(int32_t num_blocks) {
  if (num_blocks < 1) {
    fail(ErrorKind::kInvalid, "a cache pool of ", num_blocks, " blocks; allowed: at least 1");
  }
  blocks_.resize(static_cast<size_t>(num_blocks));
  for (int32_t block = 0; block < num_blocks; ++block) push_back(block);
}

int32_t BlockPool::allocate() {
  if (front_ < 0) fail(ErrorKind::kInternal, "no free block among ", num_blocks());
  const int32_t block = front_;
  unlink(block);
  at(block).num_holders = 1;
  if (!std::exchange(at(block).resident, true)) ++num_resident_;
  return block;
}

void BlockPool::share(int32_t block) {
  if (at(block).num_holders == 0) unlink(block);
  ++at(block).num_holders;
}

void BlockPool::release(int32_t block) {
  if (block < 0 || block >= num_blocks() || at(block).num_holders == 0) {
    fail(ErrorKind::kInternal, "block ", block, " of ", num_blocks(), " freed but not allocated");
  }
  if (--at(block).num_holders > 0) return;
  if (at(block).tag.node != nullptr) {
    push_back(block);
  } else {
    push_front(block);
  }
}

void BlockPool::tag(int32_t block, PrefixTag tag) {
  at(block).tag = tag;
  ++num_tagged_;
}

PrefixTag BlockPool::untag(int32_t block) {
  const PrefixTag tag = std::exchange(at(block).tag, {});
  if (tag.node != nullptr) --num_tagged_;
  return tag;
}

std::vector<int32_t> BlockPool::free_blocks() const {
  std::vector<int32_t> result;
  for (int32_t block = front_; block >= 0; block = at(block).next) result.push_back(block);
  return result;
}

std::vector<int32_t> BlockPool::take_unused_memory() {
  std::vector<int32_t> result;
  for (int32_t block = front_; block >= 0; block = at(block).next) {
    if (!at(block).resident || at(block).tag.node != nullptr) continue;
    at(block).resident = false;
    --num_resident_;
    result.push_back(block);
  }
  return result;
}

void BlockPool::push_front(int32_t block) {
  at(block).previous = -1;
  at(block).next = front_;
  (front_ < 0 ? back_ : at(front_).previous) = block;
  front_ = block;
  ++num_free_;
}

void BlockPool::push_back(int32_t block) {
  at(block).next = -1;
  at(block).previous = back_;
  (back_ < 0 ? front_ : at(back_).next) = block;
  back_ = block;
  ++num_free_;
}

void BlockPool::unlink(int32_t block) {
  const int32_t previous = at(block).previous, next = at(block).next;
  (previous < 0 ? front_ : at(previous).next) = next;
  (next < 0 ? back_ : at(next).previous) = previous;
  at(block).previous = at(block).next = -1;
  --num_free_;
}

}  // namespace pyslm
