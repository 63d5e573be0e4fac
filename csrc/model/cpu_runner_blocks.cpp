// Whole blocks of the cache, over all layers of their group: [layers x block_bytes of a layer].
#include <cstring>

#include "model/cpu_runner.h"

namespace pyslm::model {

int64_t CpuRunner::block_bytes(int group) const {
  const KvShape& shape = caches_[static_cast<size_t>(group)].shape();
  return shape.num_layers * shape.block_bytes();
}

void CpuRunner::read_block(int group, int32_t block, uint8_t* out) const {
  const PagedCache& cache = caches_[static_cast<size_t>(group)];
  const auto bytes = static_cast<size_t>(cache.shape().block_bytes());
  for (int layer = 0; layer < cache.shape().num_layers; ++layer, out += bytes) {
    std::memcpy(out, cache.block(layer, block), bytes);
  }
}

void CpuRunner::write_block(int group, int32_t block, const uint8_t* data) {
  const PagedCache& cache = caches_[static_cast<size_t>(group)];
  const auto bytes = static_cast<size_t>(cache.shape().block_bytes());
  for (int layer = 0; layer < cache.shape().num_layers; ++layer, data += bytes) {
    std::memcpy(cache.block(layer, block), data, bytes);
  }
}

// Neighbours go together: fewer calls, and the pages that they share go too.
void CpuRunner::release_blocks(int group, std::span<const int32_t> blocks) {
  for (size_t first = 0; first < blocks.size();) {
    size_t end = first + 1;
    while (end < blocks.size() && blocks[end] == blocks[end - 1] + 1) ++end;
    caches_[static_cast<size_t>(group)].release(blocks[first], static_cast<int32_t>(end - first));
    first = end;
  }
}

}  // namespace pyslm::model
