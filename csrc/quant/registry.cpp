#include "quant/registry.h"

#include <array>
#include <cmath>

#include "core/error.h"
#include "quant/bf16.h"
#include "quant/f16.h"
#include "quant/f32.h"
#include "quant/iq4_nl.h"
#include "quant/iq4_xs.h"
#include "quant/mxfp4.h"
#include "quant/q2_k.h"
#include "quant/q3_k.h"
#include "quant/q4_0.h"
#include "quant/q4_1.h"
#include "quant/q4_k.h"
#include "quant/q5_0.h"
#include "quant/q5_1.h"
#include "quant/q5_k.h"
#include "quant/q6_k.h"
#include "quant/q8_0.h"

namespace pyslm::quant {
namespace {

template <class Block>
void dequantize_all(const void* blocks, float* out, int64_t num_elems) {
  const auto* block = static_cast<const Block*>(blocks);
  for (int64_t i = 0; i < num_elems; i += Block::kElems) dequantize(block++, out + i);
}

template <class Block>
void quantize_all(const float* x, const float* importance, void* blocks, int64_t num_elems) {
  auto* block = static_cast<Block*>(blocks);
  for (int64_t i = 0; i < num_elems; i += Block::kElems)
    quantize(x + i, importance ? importance + i : nullptr, block++);
}

template <class Block>
constexpr Format read_only() {
  return {Block::kType, dequantize_all<Block>, nullptr};
}

template <class Block>
constexpr Format read_write() {
  return {Block::kType, dequantize_all<Block>, quantize_all<Block>};
}

constexpr std::array kFormats{
    read_write<BlockF32>(),   read_write<BlockF16>(),   read_write<BlockBF16>(),
    read_write<BlockQ4_0>(),  read_write<BlockQ4_1>(),  read_write<BlockQ5_0>(),
    read_write<BlockQ5_1>(),  read_write<BlockQ8_0>(),  read_write<BlockQ2_K>(),
    read_write<BlockQ3_K>(),  read_write<BlockQ4_K>(),  read_write<BlockQ5_K>(),
    read_write<BlockQ6_K>(),  read_only<BlockIQ4_NL>(), read_only<BlockIQ4_XS>(),
    read_write<BlockMXFP4>(),
};

}  // namespace

const Format& format(DType type) {
  for (const auto& entry : kFormats)
    if (entry.type == type) return entry;
  fail(ErrorKind::kUnsupported, "tensor type ", gguf_type_name(static_cast<uint32_t>(type)),
       " holds no weights that can be decoded");
}

std::span<const Format> all_formats() { return kFormats; }

void check_finite(const float* x, int64_t num_elems) {
  for (int64_t i = 0; i < num_elems; ++i)
    if (!std::isfinite(x[i]))
      fail(ErrorKind::kInvalid, "element ", i, " is ", x[i],
           "; only finite numbers can be quantized");
}

}  // namespace pyslm::quant
