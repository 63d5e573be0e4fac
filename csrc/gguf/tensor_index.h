// Reads the tensor infos that follow the metadata, and proves each tensor's extent.
#pragma once

#include <cstdint>
#include <vector>

#include "gguf/cursor.h"
#include "gguf/reader.h"

namespace pyslm::gguf {

// Smallest tensor info: name length, one letter, n_dims, one dim, type, offset.
inline constexpr uint64_t kMinTensorInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;
// TensorInfo (twice while a split set is put together) and its entries in indexes.
inline constexpr uint64_t kTensorMemory = 320;

// `num_tensors` has been charged to the budget. On return every tensor lies inside the file, at an
// aligned offset, and no two overlap.
std::vector<TensorInfo> read_tensor_index(Cursor& cursor, uint64_t num_tensors, const File& file,
                                          int file_index, uint32_t alignment);

}  // namespace pyslm::gguf
