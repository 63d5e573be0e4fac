#include "engine/prefix_stream.h"

#include <unordered_map>
#include <utility>
#include <vector>

#include "core/error.h"

namespace pyslm {
namespace {

constexpr uint32_t kMagic = 0x504B5631;  // "1VKP"

struct Header {
  uint32_t magic = kMagic;
  int32_t unit_tokens = 0;
  int32_t num_slots = 0;
  int32_t num_nodes = 0;
};

std::vector<int64_t> slot_bytes(const BlockManager& blocks, const Runner& runner) {
  std::vector<int64_t> bytes;
  for (int32_t slot = 0; slot < blocks.num_slots(); ++slot) {
    bytes.push_back(runner.block_bytes(static_cast<int>(blocks.group_of_slot(slot))));
    if (bytes.back() == 0) {
      fail(ErrorKind::kUnsupported, "this backend keeps its cache to itself: prefixes can be ",
           "neither saved nor loaded");
    }
  }
  return bytes;
}

template <class T>
void write(const Engine::Sink& sink, const std::vector<T>& values) {
  sink(values.data(), values.size() * sizeof(T));
}

template <class T>
std::vector<T> read(const Engine::Source& source, size_t count) {
  std::vector<T> values(count);
  source(values.data(), count * sizeof(T));
  return values;
}

// Holds the nodes and blocks that are being filled, and lets go of them from the end: of a prefix
// the last block is the first to be evicted.
class Loader {
 public:
  Loader(BlockManager& blocks, Runner& runner) : blocks_(blocks), runner_(runner) {}
  ~Loader() {
    for (; !placed_.empty(); placed_.pop_back()) {
      blocks_.release_loaded(placed_.back().first, placed_.back().second);
    }
    for (; !nodes_.empty(); nodes_.pop_back()) blocks_.release_loaded(nodes_.back());
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  int64_t num_placed() const { return static_cast<int64_t>(placed_.size()); }

  PrefixNode* add_node(int32_t parent, const std::vector<int32_t>& tokens) {
    if (parent < -1 || parent >= static_cast<int32_t>(nodes_.size())) {
      fail(ErrorKind::kPrefixCache, "node ", nodes_.size(), " of the prefix cache has parent ",
           parent, "; allowed: -1 or an earlier one");
    }
    PrefixNode* above = parent < 0 ? nullptr : nodes_[static_cast<size_t>(parent)];
    nodes_.push_back(blocks_.load_node(above, tokens));
    return nodes_.back();
  }

  void fill(PrefixNode* node, int32_t slot, const std::vector<uint8_t>& content) {
    const int32_t block = blocks_.place_loaded(node, slot);
    if (block < 0) return;
    const size_t group = blocks_.group_of_slot(slot);
    placed_.emplace_back(group, block);
    runner_.write_block(static_cast<int>(group), block, content.data());
  }

 private:
  BlockManager& blocks_;
  Runner& runner_;
  std::vector<PrefixNode*> nodes_;
  std::vector<std::pair<size_t, int32_t>> placed_;  // group, block
};

}  // namespace

void save_prefixes(const BlockManager& blocks, const Runner& runner, const Engine::Sink& sink) {
  const std::vector<int64_t> bytes = slot_bytes(blocks, runner);
  const std::vector<const PrefixNode*> nodes = blocks.prefixes().nodes_of(kCommonScope);
  write(sink, std::vector<Header>{{.unit_tokens = blocks.prefixes().unit_tokens(),
                                   .num_slots = blocks.num_slots(),
                                   .num_nodes = static_cast<int32_t>(nodes.size())}});
  write(sink, bytes);
  std::unordered_map<const PrefixNode*, int32_t> index;
  std::vector<uint8_t> content;
  for (const PrefixNode* node : nodes) {
    const auto parent = index.find(node->parent);
    write(sink, std::vector<int32_t>{parent == index.end() ? -1 : parent->second});
    index.emplace(node, static_cast<int32_t>(index.size()));
    write(sink, node->tokens);
    std::vector<uint8_t> present;
    for (const int32_t block : node->blocks) present.push_back(block >= 0);
    write(sink, present);
    for (size_t slot = 0; slot < node->blocks.size(); ++slot) {
      if (node->blocks[slot] < 0) continue;
      content.resize(static_cast<size_t>(bytes[slot]));
      const size_t group = blocks.group_of_slot(static_cast<int32_t>(slot));
      runner.read_block(static_cast<int>(group), node->blocks[slot], content.data());
      write(sink, content);
    }
  }
}

int64_t load_prefixes(BlockManager& blocks, Runner& runner, const Engine::Source& source) {
  const std::vector<int64_t> bytes = slot_bytes(blocks, runner);
  const Header header = read<Header>(source, 1)[0];
  if (header.magic != kMagic || header.unit_tokens != blocks.prefixes().unit_tokens() ||
      header.num_slots != blocks.num_slots() || header.num_nodes < 0 ||
      read<int64_t>(source, bytes.size()) != bytes) {
    fail(ErrorKind::kPrefixCache, "the prefix cache was written with blocks of another shape");
  }
  Loader loader(blocks, runner);
  for (int32_t i = 0; i < header.num_nodes; ++i) {
    const int32_t parent = read<int32_t>(source, 1)[0];
    const auto tokens = read<int32_t>(source, static_cast<size_t>(header.unit_tokens));
    PrefixNode* node = loader.add_node(parent, tokens);
    const auto present = read<uint8_t>(source, bytes.size());
    for (size_t slot = 0; slot < bytes.size(); ++slot) {
      if (!present[slot]) continue;
      const auto content = read<uint8_t>(source, static_cast<size_t>(bytes[slot]));
      loader.fill(node, static_cast<int32_t>(slot), content);
    }
  }
  return loader.num_placed();
}

}  // namespace pyslm
