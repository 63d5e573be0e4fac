#include <algorithm>

#include "backend/cpu/ops.h"
#include "backend/cpu/scratch.h"
#include "kernels/layout.h"

namespace pyslm::cpu {
namespace {

constexpr int64_t kPieceColumns = 512;  // a few microseconds of packing

constexpr int64_t align64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Rows per group: as few groups as the tier allows, all of nearly the same size.
int32_t balanced_group(int32_t rows, const Kernels& kernels) {
  const int32_t most = rows <= 2 * kernels.direct_group ? kernels.direct_group : kernels.group;
  const int32_t groups = (rows + most - 1) / most;
  return std::max(1, (rows + groups - 1) / groups);
}

}  // namespace

unsigned Activations::forms_for(DType weight_type) {
  return layout::int8_format(weight_type) ? kInt8 : kFloat;
}

void Activations::resize(const Context& ctx, unsigned forms, int rows, int dim) {
  rows_ = rows, dim_ = dim, forms_ = forms;
  layout_ = ActLayout{};
  layout_.rows = rows, layout_.dim = dim;
  layout_.group = balanced_group(rows, *ctx.kernels);
  const int64_t cells = int64_t{rows} * dim, blocks = int64_t{rows} * (dim / 32);
  const int64_t float_bytes = forms & kFloat ? align64(cells * 4) : 0;
  const int64_t int8_bytes =
      forms & kInt8 ? align64(cells) + 2 * align64(blocks * 4) + align64(blocks * 8) : 0;
  const size_t bytes = static_cast<size_t>(float_bytes + int8_bytes + 64);
  if (buffer_.size() < bytes) buffer_.resize(bytes);
  uint8_t* p = reinterpret_cast<uint8_t*>(align64(reinterpret_cast<int64_t>(buffer_.data())));
  if (forms & kFloat) layout_.f32 = reinterpret_cast<float*>(p), p += float_bytes;
  if (forms & kInt8) {
    layout_.q8 = reinterpret_cast<int8_t*>(p), p += align64(cells);
    layout_.scale = reinterpret_cast<float*>(p), p += align64(blocks * 4);
    layout_.bias32 = reinterpret_cast<int32_t*>(p), p += align64(blocks * 4);
    layout_.bias16 = reinterpret_cast<int32_t*>(p);
  }
}

// Pieces are whole groups of rows, whose bytes lie together: threads that shared a group would
// write to the same cache lines. With few groups each is cut along its columns.
template <class Body>
void Activations::for_pieces(const Context& ctx, Body&& body) {
  const int64_t groups = (rows_ + layout_.group - 1) / layout_.group;
  const int64_t columns = groups < int64_t{ctx.pool->num_threads()} * 8 ? kPieceColumns : dim_;
  const int64_t cuts = (dim_ + columns - 1) / columns;
  ctx.pool->parallel_for(groups * cuts, 1, [&](int, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const auto first = static_cast<int32_t>(i / cuts) * layout_.group;
      const int64_t from = i % cuts * columns;
      body(Piece{first, std::min(layout_.group, rows_ - first), from,
                 std::min<int64_t>(from + columns, dim_)});
    }
  });
}

// Rows that a kernel makes on the way: make(row, y) writes its columns of the piece.
template <class Make>
void Activations::pack_made(const Context& ctx, Make&& make) {
  for_pieces(ctx, [&](const Piece& piece) {
    const int64_t width = piece.end - piece.begin, stride = (width + 15) / 16 * 16;
    float* const made = reinterpret_cast<float*>(thread_scratch(piece.rows * stride * 4));
    for (int32_t r = 0; r < piece.rows; ++r) {
      make(piece.first + r, piece.begin, static_cast<int32_t>(width), made + r * stride);
    }
    ctx.kernels->pack_rows(layout_, piece.first, made, stride, piece.begin, piece.end);
  });
}

void Activations::set(const Context& ctx, unsigned forms, const float* x, int64_t stride, int rows,
                      int dim) {
  resize(ctx, forms, rows, dim);
  for_pieces(ctx, [&](const Piece& piece) {
    ctx.kernels->pack_rows(layout_, piece.first, x + piece.first * stride + piece.begin, stride,
                           piece.begin, piece.end);
  });
}

// Each piece finds its rows' factors by itself: a pass over a row costs a twentieth of packing it.
void Activations::set_rms_norm(const Context& ctx, unsigned forms, const float* x, int64_t stride,
                               int rows, int dim, const float* weight, float eps) {
  resize(ctx, forms, rows, dim);
  pack_made(ctx, [&](int64_t row, int64_t begin, int32_t width, float* y) {
    const float* const from = x + row * stride;
    const float factor = ctx.kernels->rms_inverse(from, eps, dim);
    ctx.kernels->scale(from + begin, factor, weight ? weight + begin : nullptr, y, width);
  });
}

void Activations::set_gated(const Context& ctx, unsigned forms, Gate gate, const float* gate_x,
                            int64_t gate_stride, const float* up, int64_t up_stride, int rows,
                            int dim) {
  resize(ctx, forms, rows, dim);
  pack_made(ctx, [&](int64_t row, int64_t begin, int32_t width, float* y) {
    ctx.kernels->gate(gate, gate_x + row * gate_stride + begin,
                      up ? up + row * up_stride + begin : nullptr, y, width);
  });
}

void Activations::copy_row(int32_t r, float* out) const {
  const int32_t first = r / layout_.group * layout_.group;
  const int32_t n = std::min(layout_.rows - first, layout_.group);
  const float* from = layout_.f32 + int64_t{first} * dim_ + (r - first);
  for (int k = 0; k < dim_; ++k) out[k] = from[int64_t{k} * n];
}

void matmul(const Context& ctx, const Activations& a, std::span<const MatmulJob> jobs) {
  int64_t tiles = 0;
  for (const MatmulJob& job : jobs) tiles += job.weight->tiles();
  // Decode streams tiles: long runs, but enough of them to even out the threads. Prompts do a lot
  // of work per tile: few at a time.
  const int64_t share = tiles / (int64_t{ctx.pool->num_threads()} * 8);
  const int64_t grain = std::clamp<int64_t>(share, 1, a.rows() > 16 ? 4 : 64);
  ctx.pool->parallel_for(tiles, grain, [&](int, int64_t begin, int64_t end) {
    uint8_t* const scratch = thread_scratch(matmul_scratch_bytes(a.dim()));
    int64_t first = 0;  // of this job, in the concatenation of all
    for (const MatmulJob& job : jobs) {
      const PackedWeight& w = *job.weight;
      const int64_t lo = std::max(begin, first) - first;
      const int64_t hi = std::min(end, first + w.tiles()) - first;
      first += w.tiles();
      if (lo >= hi) continue;
      const MatmulArgs args{w.tile(0),      w.tile_bytes(), w.rows(), w.cols(),
                            &a.layout(),    job.bias,       job.out,  job.out_stride,
                            job.accumulate, job.scale,      scratch};
      ctx.kernels->matmul[static_cast<int>(w.type())](args, lo, hi);
    }
  });
}

}  // namespace pyslm::cpu
