#include "kernels/packed_weight.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <new>
#include <vector>

#include "core/aligned.h"
#include "core/error.h"
#include "core/half.h"
#include "core/thread_pool.h"
#include "gguf/reader.h"
#include "kernels/layout.h"
#include "kernels/pack_codes.h"

namespace pyslm {
namespace {

using layout::Format;

// Places 4 codes of one row at quad j of a plane.
inline void put_quad(uint8_t* plane, int bits, int j, int lane, uint32_t codes) {
  const int vector = bits == 8 ? j : bits == 4 ? j & 3 : bits == 2 ? j & 1 : 0;
  const int shift = bits == 8 ? 0 : bits == 4 ? 4 * (j >> 2) : bits == 2 ? 2 * (j >> 1) : j;
  uint32_t word;
  std::memcpy(&word, plane + 64 * vector + 4 * lane, 4);
  word |= codes << shift;
  std::memcpy(plane + 64 * vector + 4 * lane, &word, 4);
}

inline uint32_t get_quad(const uint8_t* plane, int bits, int j, int lane) {
  const int vector = bits == 8 ? j : bits == 4 ? j & 3 : bits == 2 ? j & 1 : 0;
  const int shift = bits == 8 ? 0 : bits == 4 ? 4 * (j >> 2) : bits == 2 ? 2 * (j >> 1) : j;
  uint32_t word;
  std::memcpy(&word, plane + 64 * vector + 4 * lane, 4);
  return (word >> shift) & (0x01010101u * ((1u << bits) - 1));
}

// One row of file blocks into lane `lane` of a zeroed tile.
template <class Block>
void pack_row(const Format& f, const uint8_t* row, int64_t cols, uint8_t* tile, int lane) {
  const int planes = layout::plane_bytes(f);
  const int64_t area = layout::scales_bytes(f, cols) / (cols / Block::kElems);
  uint8_t* scales = tile + layout::scales_offset(f, cols);
  const uint32_t low_mask = 0x01010101u * ((1u << f.low_bits) - 1);
  for (int64_t at = 0; at < cols; at += Block::kElems, row += sizeof(Block), scales += area) {
    Block block;
    uint8_t codes[Block::kElems];
    std::memcpy(&block, row, sizeof(Block));
    pack::codes_of(block, codes);
    pack::put_scales(block, scales, lane);
    for (int q = 0; q < Block::kElems / 4; ++q) {
      uint8_t* const planes_at = tile + (at / 32 + q / 8) * planes;
      uint32_t word;
      std::memcpy(&word, codes + 4 * q, 4);
      put_quad(planes_at, f.low_bits, q % 8, lane, word & low_mask);
      if (f.high_bits) {
        const uint32_t high = (word & ~low_mask) >> f.low_bits;
        put_quad(planes_at + 64 * f.low_bits, f.high_bits, q % 8, lane, high);
      }
    }
  }
}

void pack_float_row(DType type, const uint8_t* row, int64_t cols, uint8_t* tile, int lane) {
  const int size = type == DType::kF32 ? 4 : 2;
  for (int64_t k = 0; k < cols; ++k) {
    const int64_t slot = type == DType::kBF16 ? (k / 2 * 16 + lane) * 2 + k % 2 : k * 16 + lane;
    std::memcpy(tile + slot * size, row + k * size, size);
  }
}

void pack_any_row(DType type, const uint8_t* row, int64_t cols, uint8_t* tile, int lane) {
  using namespace quant;
  const Format* f = layout::int8_format(type);
  switch (type) {
    case DType::kQ4_0:
      return pack_row<BlockQ4_0>(*f, row, cols, tile, lane);
    case DType::kQ4_1:
      return pack_row<BlockQ4_1>(*f, row, cols, tile, lane);
    case DType::kQ5_0:
      return pack_row<BlockQ5_0>(*f, row, cols, tile, lane);
    case DType::kQ5_1:
      return pack_row<BlockQ5_1>(*f, row, cols, tile, lane);
    case DType::kQ8_0:
      return pack_row<BlockQ8_0>(*f, row, cols, tile, lane);
    case DType::kQ2_K:
      return pack_row<BlockQ2_K>(*f, row, cols, tile, lane);
    case DType::kQ3_K:
      return pack_row<BlockQ3_K>(*f, row, cols, tile, lane);
    case DType::kQ4_K:
      return pack_row<BlockQ4_K>(*f, row, cols, tile, lane);
    case DType::kQ5_K:
      return pack_row<BlockQ5_K>(*f, row, cols, tile, lane);
    case DType::kQ6_K:
      return pack_row<BlockQ6_K>(*f, row, cols, tile, lane);
    case DType::kIQ4_NL:
      return pack_row<BlockIQ4_NL>(*f, row, cols, tile, lane);
    case DType::kIQ4_XS:
      return pack_row<BlockIQ4_XS>(*f, row, cols, tile, lane);
    case DType::kMXFP4:
      return pack_row<BlockMXFP4>(*f, row, cols, tile, lane);
    default:
      return pack_float_row(type, row, cols, tile, lane);
  }
}

int64_t row_bytes(DType type, int64_t cols) {
  const DTypeInfo& info = dtype_info(type);
  return cols / info.block_elems * info.block_bytes;
}

void check_shape(std::string_view name, DType type, int64_t rows, int64_t cols) {
  const DTypeInfo& info = dtype_info(type);
  if (!info.weight)
    fail(ErrorKind::kUnsupported, "tensor ", name, " has type ", info.name,
         ", which no matrix product reads");
  if (rows < 1 || cols < 1 || cols % info.block_elems != 0)
    fail(ErrorKind::kUnsupported, "tensor ", name, " is ", rows, " x ", cols, "; rows of ",
         info.name, " must be a positive multiple of ", info.block_elems, " long");
  constexpr int64_t kMost = int64_t{1} << 31;  // so that no product below can overflow
  if (rows >= kMost || cols >= kMost)
    fail(ErrorKind::kUnsupported, "tensor ", name, " is ", rows, " x ", cols,
         "; each must be below 2^31");
}

float half_at(const uint8_t* area, int lane) {
  uint16_t half;
  std::memcpy(&half, area + 2 * lane, 2);
  return fp16_to_fp32(half);
}

// Scale and minimum of weight k in lane `lane`, as load_scales() of the kernels computes them.
struct ScaleMin {
  float scale, minimum;
};
ScaleMin scale_at(const Format& f, const uint8_t* scales, int64_t k, int lane) {
  using layout::Scales;
  const int64_t b = k / 32, s16 = k % 256 / 16, s32 = k % 256 / 32;
  switch (f.scales) {
    case Scales::kHalf:
      return {half_at(scales + b * 32, lane), 0};
    case Scales::kHalfMin:
      return {half_at(scales + b * 64, lane), half_at(scales + b * 64 + 32, lane)};
    case Scales::kE8M0: {
      const uint32_t e = scales[b * 16 + lane];
      return {__builtin_bit_cast(float, e < 2 ? 0x00200000u << e : (e - 1) << 23), 0};
    }
    case Scales::kSuper32: {
      const uint8_t* at = scales + k / 256 * 160;
      return {half_at(at, lane) * static_cast<int8_t>(at[32 + s32 * 16 + lane]), 0};
    }
    case Scales::kSuper32Min: {
      const uint8_t* at = scales + k / 256 * 320;
      return {half_at(at, lane) * at[64 + s32 * 16 + lane],
              -(half_at(at + 32, lane) * at[192 + s32 * 16 + lane])};
    }
    case Scales::kSuper16: {
      const uint8_t* at = scales + k / 256 * 288;
      return {half_at(at, lane) * static_cast<int8_t>(at[32 + s16 * 16 + lane]), 0};
    }
    case Scales::kSuper16Min: {
      const uint8_t* at = scales + k / 256 * 320;
      const uint8_t both = at[64 + s16 * 16 + lane];
      return {half_at(at, lane) * (both & 15), -(half_at(at + 32, lane) * (both >> 4))};
    }
  }
  return {0, 0};
}

void unpack_row(const Format& f, const uint8_t* tile, int64_t cols, int lane, float* out) {
  const uint8_t* scales = tile + layout::scales_offset(f, cols);
  const int part = layout::sub16(f) ? 16 : 32;
  for (int64_t at = 0; at < cols; at += part) {
    const ScaleMin s = scale_at(f, scales, at, lane);
    const uint8_t* planes = tile + at / 32 * layout::plane_bytes(f);
    for (int q = 0; q < part / 4; ++q) {
      const int j = static_cast<int>(at % 32 / 4) + q;
      uint32_t word = get_quad(planes, f.low_bits, j, lane);
      if (f.high_bits)
        word |= get_quad(planes + 64 * f.low_bits, f.high_bits, j, lane) << f.low_bits;
      for (int i = 0; i < 4; ++i) {
        const uint8_t code = static_cast<uint8_t>(word >> (8 * i));
        const int value = f.table          ? f.table[code]
                          : f.signed_codes ? static_cast<int8_t>(code)
                                           : code - f.zero;
        const float product = s.scale * static_cast<float>(value);
        out[at + 4 * q + i] = layout::has_min(f) ? product + s.minimum : product;  // -0 stays -0
      }
    }
  }
}

void unpack_float_row(DType type, const uint8_t* tile, int64_t cols, int lane, float* out) {
  for (int64_t k = 0; k < cols; ++k) {
    const int64_t slot = type == DType::kBF16 ? (k / 2 * 16 + lane) * 2 + k % 2 : k * 16 + lane;
    if (type == DType::kF32) {
      std::memcpy(out + k, tile + slot * 4, 4);
    } else {
      uint16_t bits;
      std::memcpy(&bits, tile + slot * 2, 2);
      out[k] = type == DType::kF16 ? fp16_to_fp32(bits) : bf16_to_fp32(bits);
    }
  }
}

// Packs with rows fetched by fetch(first_row, count, buffer); its exceptions reach the caller.
template <class Fetch>
void pack_tiles(ThreadPool& pool, DType type, int64_t rows, int64_t cols, uint8_t* out,
                Fetch fetch) {
  const int64_t bytes = row_bytes(type, cols), tile_bytes = layout::tile_bytes(type, cols);
  std::mutex mutex;
  std::exception_ptr error;
  pool.parallel_for((rows + 15) / 16, 4, [&](int, int64_t begin, int64_t end) {
    try {
      std::vector<uint8_t> buffer(static_cast<size_t>(16 * bytes));
      for (int64_t tile = begin; tile < end; ++tile) {
        const int64_t count = std::min<int64_t>(16, rows - tile * 16);
        fetch(tile * 16, count, buffer.data());
        for (int lane = 0; lane < count; ++lane)
          pack_any_row(type, buffer.data() + lane * bytes, cols, out + tile * tile_bytes, lane);
      }
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex);
      if (!error) error = std::current_exception();
    }
  });
  if (error) std::rethrow_exception(error);
}

}  // namespace

PackedWeight PackedWeight::load(ThreadPool& pool, const gguf::Reader& reader,
                                const gguf::TensorInfo& tensor, int64_t row_begin, int64_t rows) {
  const int64_t cols = tensor.shape[0], have = tensor.shape[1];
  if (tensor.shape[2] != 1 || tensor.shape[3] != 1 || row_begin < 0 || rows > have - row_begin)
    fail(ErrorKind::kUnsupported, "tensor ", tensor.name, " has rows 0 to ", have, "; asked for ",
         rows, " from ", row_begin);
  check_shape(tensor.name, tensor.type, rows, cols);
  PackedWeight w;
  w.type_ = tensor.type, w.rows_ = rows, w.cols_ = cols;
  w.tile_bytes_ = layout::tile_bytes(tensor.type, cols);
  auto memory = allocate_zeroed(static_cast<size_t>(w.num_bytes()));
  const int64_t bytes = row_bytes(tensor.type, cols);
  pack_tiles(pool, tensor.type, rows, cols, memory.get(),
             [&](int64_t first, int64_t n, uint8_t* to) {
               reader.read(tensor, static_cast<uint64_t>((row_begin + first) * bytes),
                           static_cast<uint64_t>(n * bytes), to);
             });
  w.data_ = memory.get();
  w.owner_ = std::move(memory);
  return w;
}

PackedWeight PackedWeight::load(ThreadPool& pool, const gguf::Reader& reader,
                                const gguf::TensorInfo& tensor) {
  return load(pool, reader, tensor, 0, tensor.shape[1]);
}

PackedWeight PackedWeight::pack(ThreadPool& pool, DType type, const void* blocks, int64_t rows,
                                int64_t cols) {
  check_shape("in memory", type, rows, cols);
  PackedWeight w;
  w.type_ = type, w.rows_ = rows, w.cols_ = cols;
  w.tile_bytes_ = layout::tile_bytes(type, cols);
  auto memory = allocate_zeroed(static_cast<size_t>(w.num_bytes()));
  const int64_t bytes = row_bytes(type, cols);
  const uint8_t* from = static_cast<const uint8_t*>(blocks);
  pack_tiles(pool, type, rows, cols, memory.get(), [&](int64_t first, int64_t n, uint8_t* to) {
    std::memcpy(to, from + first * bytes, static_cast<size_t>(n * bytes));
  });
  w.data_ = memory.get();
  w.owner_ = std::move(memory);
  return w;
}

PackedWeight PackedWeight::unloaded(const gguf::TensorInfo& tensor) {
  if (tensor.shape[2] != 1 || tensor.shape[3] != 1)
    fail(ErrorKind::kUnsupported, "tensor ", tensor.name, " has more than 2 dimensions");
  check_shape(tensor.name, tensor.type, tensor.shape[1], tensor.shape[0]);
  PackedWeight w;
  w.type_ = tensor.type, w.rows_ = tensor.shape[1], w.cols_ = tensor.shape[0];
  w.tile_bytes_ = layout::tile_bytes(w.type_, w.cols_);
  return w;
}

PackedWeight PackedWeight::with_data(const uint8_t* data, std::shared_ptr<void> owner) const {
  PackedWeight w = *this;
  w.data_ = data;
  w.owner_ = std::move(owner);
  return w;
}

void PackedWeight::row(int64_t r, float* out) const {
  const int lane = static_cast<int>(r % 16);
  if (const Format* f = layout::int8_format(type_))
    unpack_row(*f, tile(r / 16), cols_, lane, out);
  else
    unpack_float_row(type_, tile(r / 16), cols_, lane, out);
}

}  // namespace pyslm
