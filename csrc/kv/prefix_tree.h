// Which prefixes of token sequences have keys and values in the cache: a tree whose nodes stand for
// `unit_tokens` tokens each, after all those of their ancestors.
//
//   root (salt, adapter) ── tokens 0..31 ─┬─ tokens 32..63 ── ...
//                                         └─ tokens 32..63 ── ...
//
// A child is found by a 64-bit hash and then compared: same parent node, same tokens. Nodes are
// unique, so by induction the whole prefix, its salt and its adapter are compared, exactly.
//
// A node's blocks may be evicted one by one, in any order. The node stays while a sequence ends in
// it, it has children or it has blocks: children whose ancestors were evicted are of use to sliding
// windows, and to all once the ancestors have been computed again.
//
// Not thread-safe; the block manager owns it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace pyslm {

struct PrefixNode {
  PrefixNode* parent = nullptr;  // null for a root
  std::vector<int32_t> tokens;   // [unit_tokens]; none in a root
  std::vector<int32_t> blocks;   // [num_slots] pool ids, -1 where not in the cache; none in a root
  uint64_t hash = 0;
  int32_t num_children = 0;
  int32_t num_blocks = 0;  // entries of `blocks` that are not -1
  int32_t num_ends = 0;    // sequences that end here
};

// Prefixes are shared only between requests of the same scope.
using PrefixScope = std::pair<std::string, int32_t>;  // salt, adapter (-1: none)
inline const PrefixScope kCommonScope{{}, -1};

class PrefixTree {
 public:
  PrefixTree(int32_t unit_tokens, int32_t num_slots);

  int32_t unit_tokens() const { return unit_tokens_; }
  size_t num_nodes() const { return nodes_.size(); }

  PrefixNode* find_root(const PrefixScope& scope) const;  // null where there is none
  PrefixNode* root(const PrefixScope& scope);             // made where there is none
  // The child for `tokens` [unit_tokens].
  PrefixNode* find_child(const PrefixNode* parent, const int32_t* tokens) const;
  PrefixNode* child(PrefixNode* parent, const int32_t* tokens);

  // A sequence ends in `to` (null: in none any more) and no longer in `from` (null: in none so
  // far). Drops nodes that nothing needs.
  void move_end(PrefixNode* from, PrefixNode* to);
  void set_block(PrefixNode* node, int32_t slot, int32_t block);
  void clear_block(PrefixNode* node, int32_t slot);

  // Nodes and roots that nothing needs, or whose counts are wrong.
  int32_t num_faults() const;

  // Every node of a scope but its root, parents before children.
  std::vector<const PrefixNode*> nodes_of(const PrefixScope& scope) const;

 private:
  uint64_t hash_of(const PrefixNode* parent, const int32_t* tokens) const;
  void drop_unneeded(PrefixNode* node);

  int32_t unit_tokens_;
  int32_t num_slots_;
  uint64_t seed_;  // of this process: nobody can prepare tokens that collide
  std::unordered_multimap<uint64_t, std::unique_ptr<PrefixNode>> nodes_;
  std::map<PrefixScope, std::unique_ptr<PrefixNode>> roots_;
};

}  // namespace pyslm
