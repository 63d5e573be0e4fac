// Operations that treat each row by itself.
#include <algorithm>
#include <cmath>

#include "backend/cpu/ops.h"

namespace pyslm::cpu {
namespace {

constexpr int64_t kRowGrain = 8;

template <class Body>
void for_rows(const Context& ctx, int64_t rows, Body&& body) {
  ctx.pool->parallel_for(rows, kRowGrain, [&](int, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) body(r);
  });
}

}  // namespace

void rms_norm(const Context& ctx, const float* x, int64_t x_stride, const float* weight, float eps,
              float* y, int64_t y_stride, int rows, int dim) {
  for_rows(ctx, rows, [&](int64_t r) {
    ctx.kernels->rms_norm(x + r * x_stride, weight, eps, y + r * y_stride, dim);
  });
}

void rms_norm_heads(const Context& ctx, float* x, int64_t stride, int rows, int heads, int head_dim,
                    const float* weight, float eps) {
  for_rows(ctx, rows, [&](int64_t r) {
    for (int h = 0; h < heads; ++h) {
      float* const head = x + r * stride + int64_t{h} * head_dim;
      ctx.kernels->rms_norm(head, weight, eps, head, head_dim);
    }
  });
}

void layer_norm(const Context& ctx, const float* x, int64_t x_stride, const float* weight,
                const float* bias, float eps, float* y, int64_t y_stride, int rows, int dim) {
  for_rows(ctx, rows, [&](int64_t r) {
    ctx.kernels->layer_norm(x + r * x_stride, weight, bias, eps, y + r * y_stride, dim);
  });
}

void add(const Context& ctx, float* x, int64_t x_stride, const float* y, int64_t y_stride,
         float scale, int rows, int dim) {
  for_rows(ctx, rows,
           [&](int64_t r) { ctx.kernels->add(x + r * x_stride, y + r * y_stride, scale, dim); });
}

void multiply(const Context& ctx, float* x, int64_t stride, float factor, int rows, int dim) {
  for_rows(ctx, rows, [&](int64_t r) { ctx.kernels->multiply(x + r * stride, factor, dim); });
}

void softcap(const Context& ctx, float* x, int64_t stride, float cap, int rows, int dim) {
  for_rows(ctx, rows, [&](int64_t r) { ctx.kernels->softcap(x + r * stride, cap, dim); });
}

void embed(const Context& ctx, const PackedWeight& table, std::span<const int32_t> tokens,
           float scale, float* out, int64_t out_stride) {
  for_rows(ctx, static_cast<int64_t>(tokens.size()), [&](int64_t r) {
    float* const row = out + r * out_stride;
    table.row(tokens[static_cast<size_t>(r)], row);
    if (scale != 1.0f) ctx.kernels->multiply(row, scale, static_cast<int32_t>(table.cols()));
  });
}

void fill_rope_table(const Context& ctx, const RopeConfig& config,
                     std::span<const int32_t> positions, RopeTable& table) {
  const int pairs = config.n_rot / 2;
  table.pairs = pairs;
  table.cos_sin.resize(positions.size() * static_cast<size_t>(pairs) * 2);
  std::vector<double> frequency(static_cast<size_t>(pairs));
  for (int i = 0; i < pairs; ++i) {
    const auto at = static_cast<size_t>(i);
    frequency[at] = std::pow(config.base, -2.0 * i / config.n_rot) * config.freq_scale;
    if (!config.factors.empty()) frequency[at] /= static_cast<double>(config.factors[at]);
  }
  for_rows(ctx, static_cast<int64_t>(positions.size()), [&](int64_t r) {
    float* const row = table.cos_sin.data() + r * pairs * 2;
    for (int i = 0; i < pairs; ++i) {
      const double angle = positions[static_cast<size_t>(r)] * frequency[static_cast<size_t>(i)];
      row[2 * i] = static_cast<float>(std::cos(angle)) * config.attn_factor;
      row[2 * i + 1] = static_cast<float>(std::sin(angle)) * config.attn_factor;
    }
  });
}

void rope(const Context& ctx, RopeStyle style, const RopeTable& table, float* x, int64_t stride,
          int rows, int heads, int head_dim) {
  for_rows(ctx, rows, [&](int64_t r) {
    ctx.kernels->rope(style == RopeStyle::kNeox, table.cos_sin.data() + r * table.pairs * 2,
                      table.pairs, x + r * stride, heads, head_dim);
  });
}

}  // namespace pyslm::cpu
