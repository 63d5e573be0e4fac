// The blocks of one cache group: who holds them, what they hold, and which go next. Ids only: the
// storage is PagedCache. Not thread-safe; the scheduler owns it.
//
//   held     by one sequence or by several that share a prefix: num_holders > 0
//   free     num_holders == 0, in a queue. One with a tag still holds the keys and values of a
//            prefix and may be shared again; allocating it evicts them.
//
// The queue is an intrusive list, so that a block leaves its middle in O(1). Allocation takes the
// front. A freed block without a tag goes to the front (its memory is warm), one with a tag to the
// back, so that prefixes are evicted least recently used first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pyslm {

struct PrefixNode;

// The prefix whose keys and values a block holds; node == nullptr: none that others may use.
struct PrefixTag {
  PrefixNode* node = nullptr;
  int32_t slot = 0;  // which of the node's blocks it is
};

class BlockPool {
 public:
  explicit BlockPool(int32_t num_blocks);

  int32_t num_blocks() const { return static_cast<int32_t>(blocks_.size()); }
  int32_t num_free() const { return num_free_; }
  int32_t num_tagged() const { return num_tagged_; }      // held or free
  int32_t num_resident() const { return num_resident_; }  // whose memory was touched

  // The front of the queue, with one holder. The caller removes its tag, if it has one, with
  // untag(). Error(kInternal) if none is free: callers ask num_free() first.
  int32_t allocate();
  void share(int32_t block);    // one holder more; the block may be free
  void release(int32_t block);  // one holder less; Error(kInternal) for a block without holders

  void tag(int32_t block, PrefixTag tag);
  PrefixTag tag_of(int32_t block) const { return at(block).tag; }
  PrefixTag untag(int32_t block);
  int32_t num_holders(int32_t block) const { return at(block).num_holders; }

  std::vector<int32_t> free_blocks() const;  // in the order of the queue
  // The free blocks without a tag whose memory was touched, and forgets that it was: the caller
  // gives it back to the system.
  std::vector<int32_t> take_unused_memory();

 private:
  struct Block {
    int32_t num_holders = 0;
    int32_t previous = -1, next = -1;  // in the queue
    PrefixTag tag;
    bool resident = false;
  };

  const Block& at(int32_t block) const { return blocks_[static_cast<size_t>(block)]; }
  Block& at(int32_t block) { return blocks_[static_cast<size_t>(block)]; }
  void push_front(int32_t block);
  void push_back(int32_t block);
  void unlink(int32_t block);

  std::vector<Block> blocks_;
  int32_t front_ = -1, back_ = -1;
  int32_t num_free_ = 0, num_tagged_ = 0, num_resident_ = 0;
};

}  // namespace pyslm
