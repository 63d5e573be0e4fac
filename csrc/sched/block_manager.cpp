#include "sched/block_manager.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace pyslm {
namespace {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int32_t common_unit(const std::vector<CacheGroupInfo>& groups) {
  int64_t unit = 1;
  for (const CacheGroupInfo& info : groups) {
    if (info.window < 0 || info.num_blocks < 1 || info.block_tokens < 1) {
      fail(ErrorKind::kInvalid, "a cache group of ", info.num_blocks, " blocks of ",
           info.block_tokens, " tokens with window ", info.window,
           "; blocks and tokens must be at least 1, window 0 or more");
    }
    unit = std::lcm(unit, int64_t{info.block_tokens});
    if (unit > 1 << 20) {
      fail(ErrorKind::kInvalid, "cache groups whose blocks meet only every ", unit,
           " tokens; allowed: up to ", 1 << 20);
    }
  }
  return static_cast<int32_t>(unit);
}

int32_t count_slots(const std::vector<CacheGroupInfo>& groups) {
  const int32_t unit = common_unit(groups);
  int32_t slots = 0;
  for (const CacheGroupInfo& info : groups) slots += unit / info.block_tokens;
  return slots;
}

}  // namespace

BlockManager::BlockManager(const std::vector<CacheGroupInfo>& groups, bool prefix_caching)
    : prefix_caching_(prefix_caching),
      num_slots_(count_slots(groups)),
      tree_(common_unit(groups), num_slots_) {
  int32_t first_slot = 0;
  for (const CacheGroupInfo& info : groups) {
    const int32_t unit_blocks = tree_.unit_tokens() / info.block_tokens;
    groups_.push_back({info, BlockPool(info.num_blocks), first_slot, unit_blocks});
    first_slot += unit_blocks;
  }
}

std::vector<PrefixNode*> BlockManager::find_hit(const Sequence& sequence) const {
  std::vector<PrefixNode*> hit = find_units(sequence);
  const auto covered = [&](const Group& group) { return covers(group, sequence, hit); };
  while (!hit.empty() && !std::all_of(groups_.begin(), groups_.end(), covered)) hit.pop_back();
  return hit;
}

// Those that follow one another in the tree, with all blocks of the groups of full attention.
std::vector<PrefixNode*> BlockManager::find_units(const Sequence& sequence) const {
  std::vector<PrefixNode*> found;
  const int32_t unit_tokens = tree_.unit_tokens();
  if (!prefix_caching_ || sequence.num_computed != sequence.num_units * unit_tokens) return found;
  const PrefixNode* node =
      sequence.prefix_end ? sequence.prefix_end : tree_.find_root(sequence.scope);
  for (int32_t index = sequence.num_units; node != nullptr; ++index) {
    if ((index + 1) * unit_tokens > sequence.most_cached()) break;
    PrefixNode* next = tree_.find_child(node, unit(sequence, index));
    const auto whole = [&](const Group& g) { return g.info.window > 0 || has_blocks(*next, g); };
    if (next == nullptr || !std::all_of(groups_.begin(), groups_.end(), whole)) break;
    found.push_back(next);
    node = next;
  }
  return found;
}

bool BlockManager::has_blocks(const PrefixNode& node, const Group& group) {
  const auto first = node.blocks.begin() + group.first_slot;
  return std::all_of(first, first + group.unit_blocks, [](int32_t block) { return block >= 0; });
}

// Whether the hit has every block that rows after it need.
bool BlockManager::covers(const Group& group, const Sequence& sequence,
                          const std::vector<PrefixNode*>& hit) const {
  if (group.info.window == 0) return true;  // find_units() saw to it
  const int32_t begin = sequence.num_computed / group.info.block_tokens;
  const int32_t end = begin + static_cast<int32_t>(hit.size()) * group.unit_blocks;
  const int32_t first = first_needed(group, end * group.info.block_tokens);
  for (int32_t block = std::max(begin, first); block < end; ++block) {
    const PrefixNode* node = hit[static_cast<size_t>((block - begin) / group.unit_blocks)];
    const int32_t slot = group.first_slot + (block - begin) % group.unit_blocks;
    if (node->blocks[static_cast<size_t>(slot)] < 0) return false;
  }
  return true;
}

// The next row at position p sees the tokens (p - window, p].
int32_t BlockManager::first_needed(const Group& group, int32_t num_computed) const {
  if (group.info.window == 0) return 0;
  return std::max(0, num_computed - group.info.window + 1) / group.info.block_tokens;
}

int64_t BlockManager::num_shared(size_t group, const std::vector<PrefixNode*>& hit) const {
  const Group& g = groups_[group];
  int64_t shared = 0;
  for (const PrefixNode* node : hit) {
    for (int32_t i = 0; i < g.unit_blocks; ++i) {
      const int32_t block = node->blocks[static_cast<size_t>(g.first_slot + i)];
      shared += block >= 0 && g.pool.num_holders(block) > 0;
    }
  }
  return shared;
}

void BlockManager::open(Sequence& sequence) {
  if (!prefix_caching_) return;
  PrefixNode* root = tree_.root(sequence.scope);
  tree_.move_end(nullptr, root);
  sequence.prefix_end = root;
}

int32_t BlockManager::adopt(Sequence& sequence, const std::vector<PrefixNode*>& hit) {
  if (hit.empty()) return 0;
  const int32_t num_tokens = static_cast<int32_t>(hit.size()) * tree_.unit_tokens();
  const int32_t num_computed = sequence.num_computed + num_tokens;
  for (size_t g = 0; g < groups_.size(); ++g) {
    Group& group = groups_[g];
    BlockTable& table = sequence.tables[g];
    const int32_t first = first_needed(group, num_computed);
    for (const PrefixNode* node : hit) {
      for (int32_t i = 0; i < group.unit_blocks; ++i) {
        const bool needed = static_cast<int32_t>(table.blocks.size()) >= first;
        const int32_t block = needed ? node->blocks[static_cast<size_t>(group.first_slot + i)] : -1;
        if (block >= 0) group.pool.share(block);
        table.blocks.push_back(block);
      }
    }
  }
  tree_.move_end(sequence.prefix_end, hit.back());
  sequence.prefix_end = hit.back();
  sequence.num_units += static_cast<int32_t>(hit.size());
  sequence.num_computed = num_computed;
  release_behind_window(sequence);
  return num_tokens;
}

bool BlockManager::reserve(Sequence& sequence, int32_t num_rows) {
  const auto missing = [&](size_t g) {
    const int64_t total = ceil_div(sequence.num_computed + num_rows, groups_[g].info.block_tokens);
    return total - static_cast<int64_t>(sequence.tables[g].blocks.size());
  };
  for (size_t g = 0; g < groups_.size(); ++g) {
    if (missing(g) > groups_[g].pool.num_free()) return false;
  }
  for (size_t g = 0; g < groups_.size(); ++g) {
    for (int64_t n = missing(g); n > 0; --n) {
      sequence.tables[g].blocks.push_back(allocate(groups_[g]));
    }
  }
  return true;
}

int32_t BlockManager::allocate(Group& group) {
  const int32_t block = group.pool.allocate();
  if (const PrefixTag tag = group.pool.untag(block); tag.node != nullptr) {
    tree_.clear_block(tag.node, tag.slot);
  }
  return block;
}

void BlockManager::publish(Sequence& sequence) {
  if (!prefix_caching_) return;
  while ((sequence.num_units + 1) * tree_.unit_tokens() <= sequence.num_computed) {
    PrefixNode* node = tree_.child(sequence.prefix_end, unit(sequence, sequence.num_units));
    for (size_t g = 0; g < groups_.size(); ++g) {
      Group& group = groups_[g];
      const int32_t first = sequence.num_units * group.unit_blocks;
      for (int32_t i = 0; i < group.unit_blocks; ++i) {
        const int32_t slot = group.first_slot + i;
        const int32_t block = sequence.tables[g].blocks[static_cast<size_t>(first + i)];
        // Of two sequences that computed the same unit, the first to finish it shares it.
        if (block < 0 || node->blocks[static_cast<size_t>(slot)] >= 0) continue;
        group.pool.tag(block, {node, slot});
        tree_.set_block(node, slot, block);
      }
    }
    tree_.move_end(sequence.prefix_end, node);
    sequence.prefix_end = node;
    ++sequence.num_units;
  }
}

void BlockManager::release_behind_window(Sequence& sequence) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    BlockTable& table = sequence.tables[g];
    const int32_t first = first_needed(groups_[g], sequence.num_computed);
    for (; table.first_held < first; ++table.first_held) {
      int32_t& block = table.blocks[static_cast<size_t>(table.first_held)];
      if (block >= 0) groups_[g].pool.release(block);
      block = -1;
    }
  }
}

void BlockManager::release(Sequence& sequence) {
  for (size_t g = 0; g < groups_.size(); ++g) {
    BlockTable& table = sequence.tables[g];
    // Last first, so that a prefix is evicted from its end.
    while (table.num_held() > 0) {
      groups_[g].pool.release(table.blocks.back());
      table.blocks.pop_back();
    }
    table = {};
  }
  tree_.move_end(sequence.prefix_end, nullptr);
  sequence.prefix_end = nullptr;
  sequence.num_units = 0;
  sequence.num_computed = 0;
}

bool BlockManager::may_wait_for_unit(const Sequence& sequence) const {
  const int32_t unit_tokens = tree_.unit_tokens();
  return prefix_caching_ && sequence.num_computed == sequence.num_units * unit_tokens &&
         (sequence.num_units + 1) * unit_tokens <= sequence.most_cached();
}

bool BlockManager::same_unit(const Sequence& earlier, const Sequence& later) const {
  const int32_t unit_tokens = tree_.unit_tokens();
  return earlier.prefix_end == later.prefix_end &&
         (earlier.num_units + 1) * unit_tokens <= earlier.num_tokens() &&
         std::equal(unit(earlier, earlier.num_units),
                    unit(earlier, earlier.num_units) + unit_tokens, unit(later, later.num_units));
}

}  // namespace pyslm
