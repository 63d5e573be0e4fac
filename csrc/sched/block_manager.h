// The blocks of all cache groups: reserves them for sequences, shares those of equal prefixes and
// takes them back.
//
// Prefixes are shared in units of `unit_tokens`, the least number of tokens that fills whole blocks
// in every group. A hit of L tokens needs, in groups of full attention, all blocks before L; in a
// group with a sliding window only those that the row at L sees.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kv/block_pool.h"
#include "kv/prefix_tree.h"
#include "model/runner.h"
#include "sched/sequence.h"

namespace pyslm {

class BlockManager {
 public:
  BlockManager(const std::vector<CacheGroupInfo>& groups, bool prefix_caching);

  size_t num_groups() const { return groups_.size(); }
  const CacheGroupInfo& info(size_t group) const { return groups_[group].info; }
  const BlockPool& pool(size_t group) const { return groups_[group].pool; }
  const PrefixTree& prefixes() const { return tree_; }

  // The units after those it has that the cache holds, as many as help. At least one token is left
  // to compute. Empty where the sequence stands within a unit.
  std::vector<PrefixNode*> find_hit(const Sequence& sequence) const;
  // Of a hit's blocks in a group: those that other sequences hold.
  int64_t num_shared(size_t group, const std::vector<PrefixNode*>& hit) const;
  // Lets the sequence begin, in its scope's tree. Before all else.
  void open(Sequence& sequence);
  // The hit's tokens become computed. Returns how many.
  int32_t adopt(Sequence& sequence, const std::vector<PrefixNode*>& hit);

  // Blocks for the next rows, in all groups or none.
  bool reserve(Sequence& sequence, int32_t num_rows);
  // Rows were computed: others may use the units that are now whole.
  void publish(Sequence& sequence);
  void release_behind_window(Sequence& sequence);
  // All its blocks. It has computed nothing any more.
  void release(Sequence& sequence);

  // Evicts every prefix that no sequence holds.
  void evict_all();
  std::vector<int32_t> take_unused_memory(size_t group);

  // Prefixes from a file: nodes are made from the root on, each of their blocks placed and filled;
  // then all are let go, children first. place_loaded() gives a block to fill, or -1 where none is
  // free that holds no prefix, or where the node has that block.
  PrefixNode* load_node(PrefixNode* parent, const std::vector<int32_t>& tokens);  // null: the root
  int32_t place_loaded(PrefixNode* node, int32_t slot);
  void release_loaded(size_t group, int32_t block) { groups_[group].pool.release(block); }
  void release_loaded(PrefixNode* node) { tree_.move_end(node, nullptr); }
  size_t group_of_slot(int32_t slot) const;
  int32_t num_slots() const { return num_slots_; }

  // Error(kInternal) unless every block is accounted for by these sequences and the tree.
  void verify(const std::vector<const Sequence*>& sequences) const;

  // The next unit lies wholly before the sequence's newest token and none of it is computed:
  // another may compute it instead.
  bool may_wait_for_unit(const Sequence& sequence) const;
  // `earlier` is computing the unit that `later` needs next.
  bool same_unit(const Sequence& earlier, const Sequence& later) const;

 private:
  struct Group {
    CacheGroupInfo info;
    BlockPool pool;
    int32_t first_slot = 0;  // in PrefixNode::blocks
    int32_t unit_blocks = 0;
  };

  const int32_t* unit(const Sequence& sequence, int32_t index) const {
    return sequence.tokens.data() + int64_t{index} * tree_.unit_tokens();
  }
  std::vector<PrefixNode*> find_units(const Sequence& sequence) const;
  static bool has_blocks(const PrefixNode& node, const Group& group);
  bool covers(const Group& group, const Sequence& sequence,
              const std::vector<PrefixNode*>& hit) const;
  int32_t first_needed(const Group& group, int32_t num_computed) const;
  int32_t allocate(Group& group);
  void verify_tags(const Group& group) const;

  std::vector<Group> groups_;
  bool prefix_caching_;
  int32_t num_slots_ = 0;
  PrefixTree tree_;
};

}  // namespace pyslm
