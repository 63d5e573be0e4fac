// Storage of keys and values in fixed blocks of tokens. One PagedCache serves one cache group (the
// layers that share a block table). Address space for all blocks is reserved at once and physical
// pages come with the first write, so memory grows with use.
//
// A block of one layer holds, for each KV head, a K part and a V part:
//   K: tiles of 16 tokens in the packed-weight layout (lane = token), so that QK^T is the same
//      micro-kernel as a matrix product; V: token rows, lane = channel.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "core/dtype.h"

namespace pyslm {

struct KvShape {
  DType type = DType::kF16;  // kF16, kBF16 or kQ8_0
  int num_layers = 0;        // layers of this group
  int num_kv_heads = 0;
  int key_dim = 0;  // channels of one head of K
  int value_dim = 0;
  int block_tokens = 32;   // 16 or 32
  int32_t num_blocks = 0;  // capacity of the pool

  int64_t key_bytes() const;  // one KV head's K part of a block
  int64_t value_bytes() const;
  int64_t block_bytes() const;  // one block of one layer: num_kv_heads * (key + value)
};

DType parse_kv_type(std::string_view name);  // "f16", "bf16", "q8_0"; else Error(kInvalid)

class PagedCache {
 public:
  explicit PagedCache(const KvShape& shape);  // Error(kMemory) if address space is refused
  ~PagedCache();
  PagedCache(PagedCache&&) noexcept;

  const KvShape& shape() const { return shape_; }
  uint8_t* block(int layer, int32_t block) const {
    return base_ + (static_cast<int64_t>(layer) * shape_.num_blocks + block) * shape_.block_bytes();
  }
  // Gives the physical pages of blocks [first, first + count) back to the system; their content is
  // lost.
  void release(int32_t first, int32_t count);

 private:
  KvShape shape_;
  uint8_t* base_ = nullptr;
  int64_t reserved_bytes_ = 0;
};

}  // namespace pyslm
