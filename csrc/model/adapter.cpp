#include "model/adapter.h"

#include <algorithm>

#include "core/error.h"

namespace pyslm::model {
namespace {

constexpr int64_t kGrain = 8;  // rows that a thread takes at a time

}  // namespace

void AdapterRows::plan(const Batch& batch, const AdapterSet& adapters) {
  groups_.clear();
  std::map<int32_t, size_t> group_of;
  for (const SequenceSpan& span : batch.spans) {
    if (span.adapter < 0) continue;
    const auto found = adapters.find(span.adapter);
    if (found == adapters.end())
      fail(ErrorKind::kInvalid, "the batch has adapter ", span.adapter, ", which is not loaded");
    const auto [at, is_new] = group_of.try_emplace(span.adapter, groups_.size());
    if (is_new) groups_.push_back({found->second, {}});
    std::vector<int32_t>& rows = groups_[at->second].rows;
    for (int32_t i = 0; i < span.num_rows; ++i) rows.push_back(span.first_row + i);
  }
}

void AdapterRows::keep(std::span<const int32_t> rows) {
  for (Group& group : groups_) {
    std::vector<int32_t> kept;
    for (size_t i = 0; i < rows.size(); ++i)
      if (std::binary_search(group.rows.begin(), group.rows.end(), rows[i]))
        kept.push_back(static_cast<int32_t>(i));
    group.rows = std::move(kept);
  }
}

void AdapterRows::add(const cpu::Context& context, int layer, LinearKind kind,
                      const cpu::Activations& x, float* out, int64_t out_stride, float scale) {
  for (const Group& group : groups_)
    add(context, group.adapter->layers[layer][static_cast<size_t>(kind)], group.rows, x, out,
        out_stride, scale);
}

void AdapterRows::add_output(const cpu::Context& context, const cpu::Activations& x, float* out,
                             int64_t out_stride) {
  for (const Group& group : groups_)
    add(context, group.adapter->output, group.rows, x, out, out_stride, 1.0f);
}

void AdapterRows::add(const cpu::Context& context, const LowRank& matrices,
                      const std::vector<int32_t>& rows, const cpu::Activations& x, float* out,
                      int64_t out_stride, float scale) {
  if (!matrices || rows.empty()) return;
  const int count = static_cast<int>(rows.size());
  const int64_t rank = matrices.a.rows(), outputs = matrices.b.rows();
  inner_.resize(static_cast<size_t>(count * rank));
  delta_.resize(static_cast<size_t>(count * outputs));
  cpu::MatmulJob down{.weight = &matrices.a, .out = inner_.data(), .out_stride = rank};
  cpu::matmul(context, count == x.rows() ? x : gather(context, rows, x), {&down, 1});
  middle_.set(context, cpu::Activations::kFloat, inner_.data(), rank, count,
              static_cast<int>(rank));
  cpu::MatmulJob up{.weight = &matrices.b, .out = delta_.data(), .out_stride = outputs};
  cpu::matmul(context, middle_, {&up, 1});
  context.pool->parallel_for(count, kGrain, [&](int, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      context.kernels->add(out + rows[i] * out_stride, delta_.data() + i * outputs, scale,
                           static_cast<int32_t>(outputs));
  });
}

const cpu::Activations& AdapterRows::gather(const cpu::Context& context,
                                            const std::vector<int32_t>& rows,
                                            const cpu::Activations& x) {
  const int count = static_cast<int>(rows.size()), dim = x.dim();
  gathered_.resize(static_cast<size_t>(count) * dim);
  context.pool->parallel_for(count, kGrain, [&](int, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) x.copy_row(rows[i], gathered_.data() + i * dim);
  });
  input_.set(context, cpu::Activations::kFloat, gathered_.data(), dim, count, dim);
  return input_;
}

}  // namespace pyslm::model
