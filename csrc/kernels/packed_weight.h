// A weight matrix rearranged for the kernels: tiles of 16 rows, in which one vector holds the same
// four k of all 16 rows. The layout is the same on every tier; quant/pack.h draws it.
#pragma once

#include <cstdint>
#include <memory>

#include "core/dtype.h"

namespace pyslm {

class ThreadPool;
namespace gguf {
class Reader;
struct TensorInfo;
}  // namespace gguf

class PackedWeight {
 public:
  PackedWeight() = default;

  DType type() const { return type_; }
  int64_t rows() const { return rows_; }  // outputs (before padding to 16)
  int64_t cols() const { return cols_; }  // inputs, the inner dimension
  int64_t tiles() const { return (rows_ + 15) / 16; }
  int64_t tile_bytes() const { return tile_bytes_; }
  int64_t num_bytes() const { return tiles() * tile_bytes_; }
  const uint8_t* tile(int64_t t) const { return data_ + t * tile_bytes_; }
  explicit operator bool() const { return data_ != nullptr; }

  // Reads rows [row_begin, row_begin + rows) of a 2-D tensor with pread and packs them, in
  // parallel. A 1-D or 3-D tensor, a type that is no weight, or cols no multiple of its block:
  // Error.
  static PackedWeight load(ThreadPool& pool, const gguf::Reader& reader,
                           const gguf::TensorInfo& tensor, int64_t row_begin, int64_t rows);
  static PackedWeight load(ThreadPool& pool, const gguf::Reader& reader,
                           const gguf::TensorInfo& tensor);
  // Packs rows of file blocks that are already in memory (tests, LoRA).
  static PackedWeight pack(ThreadPool& pool, DType type, const void* blocks, int64_t rows,
                           int64_t cols);

  // What load(tensor) would give, with no data yet; its errors.
  static PackedWeight unloaded(const gguf::TensorInfo& tensor);
  // The same matrix over data that were packed before: num_bytes() of them, 64-byte aligned, which
  // live as long as their owner.
  PackedWeight with_data(const uint8_t* data, std::shared_ptr<void> owner) const;

  // Row r dequantized, equal to the file's own decoding of it up to one rounding: float[cols].
  void row(int64_t r, float* out) const;

 private:
  DType type_ = DType::kF32;
  int64_t rows_ = 0, cols_ = 0, tile_bytes_ = 0;
  const uint8_t* data_ = nullptr;
  std::shared_ptr<void> owner_;
};

}  // namespace pyslm
