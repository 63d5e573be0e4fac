#include "model/weights.h"

#include <cmath>

#include "core/error.h"
#include "quant/registry.h"

namespace pyslm::model {
namespace {

// The first shape[0] elements: all of a 1-D tensor, row 0 of a 2-D one.
std::vector<float> read_vector(const gguf::Reader& reader, const gguf::TensorInfo& tensor) {
  const DTypeInfo& type = dtype_info(tensor.type);
  const int64_t n = tensor.shape[0];
  if (n % type.block_elems != 0)
    fail(ErrorKind::kGGUF, "tensor '", tensor.name, "' has ", n, " elements of type ", type.name,
         "; allowed: a multiple of ", type.block_elems);
  std::vector<uint8_t> blocks(n / type.block_elems * type.block_bytes);
  reader.read(tensor, 0, blocks.size(), blocks.data());
  std::vector<float> values(n);
  quant::format(tensor.type).dequantize(blocks.data(), values.data(), n);
  for (float value : values)
    if (!std::isfinite(value))
      fail(ErrorKind::kGGUF, "tensor '", tensor.name, "' holds ", value,
           "; allowed: finite numbers");
  return values;
}

}  // namespace

void load_tensors(ThreadPool& pool, const gguf::Reader& reader,
                  const std::vector<TensorSlot>& slots, const LoadProgress& progress,
                  Weights& weights) {
  uint64_t total_bytes = 0, done_bytes = 0;
  for (const TensorSlot& slot : slots) total_bytes += slot.info->num_bytes;
  for (const TensorSlot& slot : slots) {
    if (slot.matrix) {
      if (!*slot.matrix) *slot.matrix = PackedWeight::load(pool, reader, *slot.info);
      weights.num_bytes += slot.matrix->num_bytes();
    } else {
      *slot.vector = read_vector(reader, *slot.info);
      weights.num_bytes += static_cast<int64_t>(slot.vector->size() * sizeof(float));
    }
    done_bytes += slot.info->num_bytes;
    if (progress) progress(slot.info->name, done_bytes, total_bytes);
  }
}

}  // namespace pyslm::model
