// The part of BlockManager that is not of a step: memory, prefixes from files, checks.
#include <algorithm>
#include <map>

#include "core/error.h"
#include "sched/block_manager.h"

namespace pyslm {

void BlockManager::evict_all() {
  for (Group& group : groups_) {
    for (const int32_t block : group.pool.free_blocks()) {
      const PrefixTag tag = group.pool.untag(block);
      if (tag.node != nullptr) tree_.clear_block(tag.node, tag.slot);
    }
  }
}

std::vector<int32_t> BlockManager::take_unused_memory(size_t group) {
  return groups_[group].pool.take_unused_memory();
}

size_t BlockManager::group_of_slot(int32_t slot) const {
  size_t group = 0;
  while (slot >= groups_[group].first_slot + groups_[group].unit_blocks) ++group;
  return group;
}

PrefixNode* BlockManager::load_node(PrefixNode* parent, const std::vector<int32_t>& tokens) {
  PrefixNode* node = tree_.child(parent ? parent : tree_.root(kCommonScope), tokens.data());
  tree_.move_end(nullptr, node);
  return node;
}

int32_t BlockManager::place_loaded(PrefixNode* node, int32_t slot) {
  Group& group = groups_[group_of_slot(slot)];
  const std::vector<int32_t>& blocks = node->blocks;
  if (group.pool.num_free() == 0 || blocks[static_cast<size_t>(slot)] >= 0) return -1;
  const int32_t block = group.pool.allocate();
  if (group.pool.tag_of(block).node != nullptr) {  // what was computed here is worth no less
    group.pool.release(block);
    return -1;
  }
  group.pool.tag(block, {node, slot});
  tree_.set_block(node, slot, block);
  return block;
}

void BlockManager::verify(const std::vector<const Sequence*>& sequences) const {
  for (size_t g = 0; g < groups_.size(); ++g) {
    const Group& group = groups_[g];
    std::map<int32_t, int32_t> holders;
    for (const Sequence* sequence : sequences) {
      if (g >= sequence->tables.size()) continue;
      for (const int32_t block : sequence->tables[g].blocks) holders[block] += block >= 0;
    }
    std::vector<int32_t> free = group.pool.free_blocks();
    if (static_cast<int32_t>(free.size()) != group.pool.num_free()) {
      fail(ErrorKind::kInternal, "the queue of group ", g, " has ", free.size(), " blocks, not ",
           group.pool.num_free());
    }
    std::sort(free.begin(), free.end());
    for (int32_t block = 0; block < group.pool.num_blocks(); ++block) {
      const bool is_free = std::binary_search(free.begin(), free.end(), block);
      if (group.pool.num_holders(block) == holders[block] && is_free == (holders[block] == 0)) {
        continue;
      }
      fail(ErrorKind::kInternal, "block ", block, " of group ", g, " counts ",
           group.pool.num_holders(block), " holders and has ", holders[block],
           "; in the queue: ", is_free);
    }
    verify_tags(group);
  }
  if (tree_.num_faults() > 0) {
    fail(ErrorKind::kInternal, tree_.num_faults(),
         " nodes of the prefix tree are kept for nothing");
  }
}

void BlockManager::verify_tags(const Group& group) const {
  int32_t num_tagged = 0;
  for (int32_t block = 0; block < group.pool.num_blocks(); ++block) {
    const PrefixTag tag = group.pool.tag_of(block);
    if (tag.node == nullptr) continue;
    ++num_tagged;
    if (tag.node->blocks[static_cast<size_t>(tag.slot)] == block) continue;
    fail(ErrorKind::kInternal, "block ", block, " belongs to a prefix that does not know of it");
  }
  if (num_tagged != group.pool.num_tagged()) {
    fail(ErrorKind::kInternal, num_tagged, " blocks hold prefixes, not ", group.pool.num_tagged());
  }
}

}  // namespace pyslm
