// Entry points for tests, benchmarks and `pyslm doctor`; the engine does not pass through here.
#include <optional>
#include <string>
#include <vector>

#include "backend/cpu/ops.h"
#include "bindings/bindings.h"
#include "isa/select.h"
#include "kernels/layout.h"
#include "kernels/packed_weight.h"

namespace pyslm::bindings {

DType weight_type(const std::string& name) {
  for (const DTypeInfo& info : all_dtypes())
    if (info.weight && name == info.name) return info.type;
  fail(ErrorKind::kInvalid, "'", name, "' is no weight format");
}

namespace {

using FloatArray = py::array_t<float, py::array::c_style | py::array::forcecast>;
using ByteArray = py::array_t<uint8_t, py::array::c_style>;

py::dict isa_info() {
  py::list compiled, supported;
  for (const TierInfo& tier : isa_tiers()) {
    if (tier.kernels) compiled.append(tier.name);
    if (tier.kernels && tier.supported) supported.append(tier.name);
  }
  py::dict info;
  info["active"] = select_kernels().name;
  info["compiled"] = compiled;
  info["supported"] = supported;
  return info;
}

// x [m, cols] times the transpose of a weight given as file blocks [rows, row bytes].
FloatArray matmul(const std::string& tier, const std::string& type, ByteArray blocks, int64_t rows,
                  FloatArray x, int threads, std::optional<FloatArray> bias,
                  std::optional<FloatArray> accumulate_into, float scale) {
  const int m = static_cast<int>(x.shape(0)), cols = static_cast<int>(x.shape(1));
  const DTypeInfo& info = dtype_info(weight_type(type));
  if (cols % info.block_elems != 0 ||
      blocks.size() != rows * (cols / info.block_elems) * info.block_bytes)
    fail(ErrorKind::kInvalid, "blocks and x do not match: ", blocks.size(), " bytes for ", rows,
         " x ", cols);
  ThreadPool pool(threads);
  const cpu::Context ctx{&kernels_named(tier), &pool};
  const PackedWeight w = PackedWeight::pack(pool, info.type, blocks.data(), rows, cols);
  FloatArray out({static_cast<py::ssize_t>(m), static_cast<py::ssize_t>(rows)});
  if (accumulate_into) std::copy_n(accumulate_into->data(), m * rows, out.mutable_data());
  cpu::Activations a;
  a.set(ctx, cpu::Activations::forms_for(info.type), x.data(), cols, m, cols);
  const cpu::MatmulJob job{&w,   bias ? bias->data() : nullptr, out.mutable_data(),
                           rows, accumulate_into.has_value(),   scale};
  cpu::matmul(ctx, a, {&job, 1});
  return out;
}

FloatArray packed_rows(const std::string& type, ByteArray blocks, int64_t rows, int64_t cols) {
  ThreadPool pool(1);
  const PackedWeight w = PackedWeight::pack(pool, weight_type(type), blocks.data(), rows, cols);
  FloatArray out({rows, cols});
  for (int64_t r = 0; r < rows; ++r) w.row(r, out.mutable_data() + r * cols);
  return out;
}

// One sequence: its first `start` tokens are in the cache, the queries are those of the rest.
// k, v [tokens, kv_heads, dim]; q [tokens - start, heads, dim]. Blocks behind the window are freed.
FloatArray attention(const std::string& tier, const std::string& kv_type, FloatArray q,
                     FloatArray k, FloatArray v, float scale, float softcap, int window,
                     bool causal, std::optional<FloatArray> sinks, int block_tokens, int threads) {
  const int tokens = static_cast<int>(k.shape(0)), rows = static_cast<int>(q.shape(0));
  ThreadPool pool(threads);
  const cpu::Context ctx{&kernels_named(tier), &pool};
  const int blocks = (tokens + block_tokens - 1) / block_tokens;
  const KvShape shape{parse_kv_type(kv_type),
                      1,
                      static_cast<int>(k.shape(1)),
                      static_cast<int>(k.shape(2)),
                      static_cast<int>(v.shape(2)),
                      block_tokens,
                      blocks};
  PagedCache cache(shape);
  Batch batch;
  batch.groups.resize(1);
  batch.groups[0].max_blocks = blocks;
  for (int b = 0; b < blocks; ++b)
    batch.groups[0].block_table.push_back(blocks - 1 - b);  // any order
  batch.spans.push_back({0, tokens, 0});
  cpu::AttentionArgs args{&batch, 0,       &cache, 0,      static_cast<int>(q.shape(1)),
                          scale,  softcap, window, causal, sinks ? sinks->data() : nullptr};
  const int64_t kv = k.shape(1);
  cpu::write_kv(ctx, args, k.data(), kv * k.shape(2), v.data(), kv * v.shape(2));
  batch.spans[0] = {0, rows, tokens - rows};
  for (int b = 0; window > 0 && (b + 1) * block_tokens <= tokens - rows - window + 1; ++b)
    batch.groups[0].block_table[static_cast<size_t>(b)] = -1;  // freed, as the scheduler would
  FloatArray out({static_cast<py::ssize_t>(rows), q.shape(1), v.shape(2)});
  cpu::attention(ctx, args, q.data(), q.shape(1) * q.shape(2), out.mutable_data(),
                 q.shape(1) * v.shape(2));
  return out;
}

FloatArray row_op(const std::string& tier, const std::string& op, FloatArray x,
                  std::optional<FloatArray> second, std::optional<FloatArray> third, float number) {
  const Kernels& kernels = kernels_named(tier);
  const int dim = static_cast<int>(x.size());
  FloatArray y(x.size());
  const float* const a = x.data();
  const float* const b = second ? second->data() : nullptr;
  const float* const c = third ? third->data() : nullptr;
  float* const out = y.mutable_data();
  std::copy_n(a, dim, out);
  if (op == "rms_norm")
    kernels.rms_norm(a, b, number, out, dim);
  else if (op == "layer_norm")
    kernels.layer_norm(a, b, c, number, out, dim);
  else if (op == "silu")
    kernels.gate(GateKind::kSilu, a, b, out, dim);
  else if (op == "gelu_tanh")
    kernels.gate(GateKind::kGeluTanh, a, b, out, dim);
  else if (op == "gelu_erf")
    kernels.gate(GateKind::kGeluErf, a, b, out, dim);
  else if (op == "relu2")
    kernels.gate(GateKind::kRelu2, a, b, out, dim);
  else if (op == "add")
    kernels.add(out, b, number, dim);
  else if (op == "multiply")
    kernels.multiply(out, number, dim);
  else if (op == "softcap")
    kernels.softcap(out, number, dim);
  else
    fail(ErrorKind::kInvalid, "no row operation '", op, "'");
  return y;
}

// x [rows, heads, head_dim] rotated at the given positions.
FloatArray rope(const std::string& tier, bool neox, FloatArray x,
                const std::vector<int32_t>& positions, int n_rot, double base, double freq_scale,
                float attn_factor, const std::vector<float>& factors) {
  ThreadPool pool(1);
  const cpu::Context ctx{&kernels_named(tier), &pool};
  const int rows = static_cast<int>(x.shape(0)), heads = static_cast<int>(x.shape(1));
  const int head_dim = static_cast<int>(x.shape(2));
  if (positions.size() != static_cast<size_t>(rows) || n_rot > head_dim)
    fail(ErrorKind::kInvalid, positions.size(), " positions for ", rows, " rows, n_rot ", n_rot);
  FloatArray out({x.shape(0), x.shape(1), x.shape(2)});
  std::copy_n(x.data(), x.size(), out.mutable_data());
  cpu::RopeTable table;
  cpu::fill_rope_table(ctx, {n_rot, base, freq_scale, attn_factor, factors}, positions, table);
  cpu::rope(ctx, neox ? cpu::RopeStyle::kNeox : cpu::RopeStyle::kNorm, table, out.mutable_data(),
            int64_t{heads} * head_dim, rows, heads, head_dim);
  return out;
}

// How often each index was visited when one pool runs `regions` regions over [0, count).
std::vector<int64_t> pool_visits(int threads, int regions, int64_t count, int64_t grain) {
  ThreadPool pool(threads);
  std::vector<int64_t> visits(static_cast<size_t>(count));
  for (int region = 0; region < regions; ++region)
    pool.parallel_for(count, grain, [&](int thread, int64_t begin, int64_t end) {
      const bool sound = thread >= 0 && thread < threads && begin < end && end - begin <= grain;
      for (int64_t i = begin; i < end; ++i) visits[static_cast<size_t>(i)] += sound ? 1 : -1000000;
    });
  return visits;
}

}  // namespace

void bind_kernels(py::module_& m) {
  using namespace py::literals;
  m.def("isa_info", &isa_info,
        "ISA tiers: the active one, those compiled, those this CPU can run.");
  m.def("default_num_threads", &default_num_threads);
  m.def(
      "packed_bytes",
      [](const std::string& type, int64_t rows, int64_t cols) {
        return (rows + 15) / 16 * layout::tile_bytes(weight_type(type), cols);
      },
      "type"_a, "rows"_a, "cols"_a);
  m.def("_matmul", &matmul, "tier"_a, "type"_a, "blocks"_a, "rows"_a, "x"_a, "threads"_a = 1,
        "bias"_a = std::nullopt, "accumulate_into"_a = std::nullopt, "scale"_a = 1.0f);
  m.def("_packed_rows", &packed_rows, "type"_a, "blocks"_a, "rows"_a, "cols"_a);
  m.def("_attention", &attention, "tier"_a, "kv_type"_a, "q"_a, "k"_a, "v"_a, "scale"_a,
        "softcap"_a = 0.0f, "window"_a = 0, "causal"_a = true, "sinks"_a = std::nullopt,
        "block_tokens"_a = 32, "threads"_a = 1);
  m.def("_row_op", &row_op, "tier"_a, "op"_a, "x"_a, "second"_a = std::nullopt,
        "third"_a = std::nullopt, "number"_a = 0.0f);
  m.def("_rope", &rope, "tier"_a, "neox"_a, "x"_a, "positions"_a, "n_rot"_a, "base"_a = 10000.0,
        "freq_scale"_a = 1.0, "attn_factor"_a = 1.0f, "factors"_a = std::vector<float>{});
  m.def("_pool_visits", &pool_visits, "threads"_a, "regions"_a, "count"_a, "grain"_a,
        py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyslm::bindings
