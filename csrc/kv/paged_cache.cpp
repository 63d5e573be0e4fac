#include "kv/paged_cache.h"

#include <sys/mman.h>

#include <string>
#include <utility>

#include "core/error.h"

namespace pyslm {
namespace {

int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

}  // namespace

DType parse_kv_type(std::string_view name) {
  if (name == "f16") return DType::kF16;
  if (name == "bf16") return DType::kBF16;
  if (name == "q8_0") return DType::kQ8_0;
  fail(ErrorKind::kInvalid, "kv_type '", name, "' is not one of: f16, bf16, q8_0");
}

// As kernels/kv.inl draws them.
int64_t KvShape::key_bytes() const {
  const int64_t padded = round_up(key_dim, 32);
  const int64_t tile = type == DType::kQ8_0 ? padded * 16 + padded : int64_t{key_dim} * 32;
  return round_up(block_tokens / 16 * tile, 64);
}

int64_t KvShape::value_bytes() const {
  const int64_t padded = round_up(value_dim, 32);
  const int64_t token = type == DType::kQ8_0 ? padded + padded / 16 : round_up(value_dim, 16) * 2;
  return round_up(block_tokens * token, 64);
}

int64_t KvShape::block_bytes() const { return num_kv_heads * (key_bytes() + value_bytes()); }

PagedCache::PagedCache(const KvShape& shape) : shape_(shape) {
  reserved_bytes_ = shape.num_layers * int64_t{shape.num_blocks} * shape.block_bytes();
  if (reserved_bytes_ == 0) return;
  void* p = mmap(nullptr, static_cast<size_t>(reserved_bytes_), PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED)
    fail(ErrorKind::kMemory, "the system refused address space for a KV cache of ", reserved_bytes_,
         " bytes (", shape.num_blocks, " blocks of ", shape.block_tokens, " tokens, ",
         shape.num_layers, " layers); ask for a smaller context or fewer sequences");
  base_ = static_cast<uint8_t*>(p);
}

PagedCache::~PagedCache() {
  if (base_) munmap(base_, static_cast<size_t>(reserved_bytes_));
}

PagedCache::PagedCache(PagedCache&& other) noexcept
    : shape_(other.shape_),
      base_(std::exchange(other.base_, nullptr)),
      reserved_bytes_(other.reserved_bytes_) {}

void PagedCache::release(int32_t first_block, int32_t count) {
  constexpr uintptr_t kPage = 4096;
  for (int layer = 0; layer < shape_.num_layers; ++layer) {
    const auto begin = reinterpret_cast<uintptr_t>(block(layer, first_block));
    const uintptr_t end = begin + static_cast<uintptr_t>(count * shape_.block_bytes());
    const uintptr_t first = (begin + kPage - 1) / kPage * kPage;
    const uintptr_t last = end / kPage * kPage;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
  }
}

}  // namespace pyslm
