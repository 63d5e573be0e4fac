#include "kv/prefix_tree.h"

#include <algorithm>
#include <random>

namespace pyslm {
namespace {

uint64_t mix(uint64_t x) {  // the finalizer of SplitMix64
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

uint64_t random_seed() {
  std::random_device device;
  return static_cast<uint64_t>(device()) << 32 | device();
}

}  // namespace

PrefixTree::PrefixTree(int32_t unit_tokens, int32_t num_slots)
    : unit_tokens_(unit_tokens), num_slots_(num_slots), seed_(random_seed()) {}

PrefixNode* PrefixTree::find_root(const PrefixScope& scope) const {
  const auto found = roots_.find(scope);
  return found == roots_.end() ? nullptr : found->second.get();
}

PrefixNode* PrefixTree::root(const PrefixScope& scope) {
  std::unique_ptr<PrefixNode>& root = roots_[scope];
  if (!root) {
    root = std::make_unique<PrefixNode>();
    root->hash = mix(seed_ + reinterpret_cast<uintptr_t>(root.get()));
  }
  return root.get();
}

uint64_t PrefixTree::hash_of(const PrefixNode* parent, const int32_t* tokens) const {
  uint64_t hash = parent->hash;
  for (int32_t i = 0; i < unit_tokens_; ++i) {
    hash = mix(hash + 0x9E3779B97F4A7C15 + static_cast<uint32_t>(tokens[i]));
  }
  return hash;
}

PrefixNode* PrefixTree::find_child(const PrefixNode* parent, const int32_t* tokens) const {
  auto [at, end] = nodes_.equal_range(hash_of(parent, tokens));
  for (; at != end; ++at) {
    PrefixNode* node = at->second.get();
    if (node->parent == parent && std::equal(node->tokens.begin(), node->tokens.end(), tokens)) {
      return node;
    }
  }
  return nullptr;
}

PrefixNode* PrefixTree::child(PrefixNode* parent, const int32_t* tokens) {
  if (PrefixNode* found = find_child(parent, tokens)) return found;
  auto node = std::make_unique<PrefixNode>();
  node->parent = parent;
  node->tokens.assign(tokens, tokens + unit_tokens_);
  node->blocks.assign(static_cast<size_t>(num_slots_), -1);
  node->hash = hash_of(parent, tokens);
  ++parent->num_children;
  return nodes_.emplace(node->hash, std::move(node))->second.get();
}

void PrefixTree::move_end(PrefixNode* from, PrefixNode* to) {
  if (to != nullptr) ++to->num_ends;
  if (from == nullptr) return;
  --from->num_ends;
  drop_unneeded(from);
}

void PrefixTree::set_block(PrefixNode* node, int32_t slot, int32_t block) {
  node->blocks[static_cast<size_t>(slot)] = block;
  ++node->num_blocks;
}

void PrefixTree::clear_block(PrefixNode* node, int32_t slot) {
  node->blocks[static_cast<size_t>(slot)] = -1;
  --node->num_blocks;
  drop_unneeded(node);
}

void PrefixTree::drop_unneeded(PrefixNode* node) {
  while (node->num_ends == 0 && node->num_children == 0 && node->num_blocks == 0) {
    PrefixNode* parent = node->parent;
    if (parent == nullptr) {
      std::erase_if(roots_, [&](const auto& entry) { return entry.second.get() == node; });
      return;
    }
    auto [at, end] = nodes_.equal_range(node->hash);
    nodes_.erase(std::find_if(at, end, [&](const auto& e) { return e.second.get() == node; }));
    --parent->num_children;
    node = parent;
  }
}

int32_t PrefixTree::num_faults() const {
  std::unordered_map<const PrefixNode*, int32_t> num_children;
  for (const auto& [hash, node] : nodes_) ++num_children[node->parent];
  int32_t faults = 0;
  const auto check = [&](const PrefixNode& node) {
    const auto there = std::count_if(node.blocks.begin(), node.blocks.end(),
                                     [](int32_t block) { return block >= 0; });
    const bool needed = node.num_children + node.num_blocks + node.num_ends > 0;
    faults += !needed || node.num_children != num_children[&node] || node.num_blocks != there;
  };
  for (const auto& [hash, node] : nodes_) check(*node);
  for (const auto& [scope, root] : roots_) check(*root);
  return faults;
}

std::vector<const PrefixNode*> PrefixTree::nodes_of(const PrefixScope& scope) const {
  std::vector<const PrefixNode*> result;
  const PrefixNode* root = find_root(scope);
  if (root == nullptr) return result;
  std::unordered_multimap<const PrefixNode*, const PrefixNode*> children;
  for (const auto& [hash, node] : nodes_) children.emplace(node->parent, node.get());
  std::vector<const PrefixNode*> stack{root};
  while (!stack.empty()) {
    const PrefixNode* node = stack.back();
    stack.pop_back();
    if (node != root) result.push_back(node);
    auto [at, end] = children.equal_range(node);
    for (; at != end; ++at) stack.push_back(at->second);
  }
  return result;
}

}  // namespace pyslm
