// What `benchmarks/` and `pyslm doctor` time: kernels, the memory, the arithmetic units, the pool.
#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/ops.h"
#include "bindings/bindings.h"
#include "isa/select.h"
#include "kernels/packed_weight.h"

namespace pyslm::bindings {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// Seconds of each of `repeats` products of a [rows x cols] weight of random bytes with m rows.
std::vector<double> time_matmul(const std::string& tier, const std::string& type, int64_t rows,
                                int cols, int m, int threads, int repeats) {
  ThreadPool pool(threads);
  const cpu::Context ctx{&kernels_named(tier), &pool};
  const DTypeInfo& info = dtype_info(weight_type(type));
  std::vector<uint8_t> blocks(
      static_cast<size_t>(rows * (cols / info.block_elems) * info.block_bytes), 0x11);
  const PackedWeight w = PackedWeight::pack(pool, info.type, blocks.data(), rows, cols);
  std::vector<float> x(static_cast<size_t>(m) * static_cast<size_t>(cols), 0.5f);
  std::vector<float> out(static_cast<size_t>(m) * static_cast<size_t>(rows));
  cpu::Activations a;
  a.set(ctx, cpu::Activations::forms_for(info.type), x.data(), cols, m, cols);
  const cpu::MatmulJob job{&w, nullptr, out.data(), rows};
  cpu::matmul(ctx, a, {&job, 1});
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    cpu::matmul(ctx, a, {&job, 1});
    seconds.push_back(seconds_since(begin));
  }
  return seconds;
}

// Bytes per second that `threads` threads read from a buffer far larger than the caches: the best
// of a few passes.
double read_bandwidth(int threads, int64_t mebibytes) {
  ThreadPool pool(threads);
  const int64_t words = mebibytes * (int64_t{1} << 20) / 8;
  std::vector<uint64_t> buffer(static_cast<size_t>(words), 1);
  std::vector<uint64_t> sums(static_cast<size_t>(threads) * 8);
  double best = std::numeric_limits<double>::infinity();
  for (int pass = 0; pass < 4; ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    pool.parallel_for(words, 1 << 17, [&](int thread, int64_t lo, int64_t hi) {
      uint64_t sum[8] = {};
      for (int64_t i = lo; i + 8 <= hi; i += 8)
        for (int j = 0; j < 8; ++j) sum[j] += buffer[static_cast<size_t>(i + j)];
      for (uint64_t part : sum) sums[static_cast<size_t>(thread) * 8] += part;
    });
    best = std::min(best, seconds_since(begin));
  }
  if (sums[0] == std::numeric_limits<uint64_t>::max()) return 0;  // keeps the reads alive
  return static_cast<double>(words) * 8 / best;
}

// Operations per second of the tier's int8 or float units over all threads: the best of a few
// passes.
double arithmetic_peak(const std::string& tier, bool int8, int threads) {
  ThreadPool pool(threads);
  const Kernels& kernels = kernels_named(tier);
  constexpr int64_t kRounds = 1 << 18;
  double best = std::numeric_limits<double>::infinity();
  volatile float sink = 0;
  for (int pass = 0; pass < 5; ++pass) {
    const auto begin = std::chrono::steady_clock::now();
    pool.parallel_for(threads * 4, 1, [&](int, int64_t, int64_t) {
      sink = int8 ? static_cast<float>(kernels.int8_peak(kRounds)) : kernels.float_peak(kRounds);
    });
    best = std::min(best, seconds_since(begin));
  }
  return static_cast<double>(kRounds) * (int8 ? 1536 : 384) * threads * 4 / best;
}

// Seconds of each of `repeats` decode steps of attention over one layer: `sequences` of `tokens`
// each. scattered: their blocks lie in any order, else one after the other.
std::vector<double> time_attention(const std::string& kv_type, int tokens, int sequences, int heads,
                                   int kv_heads, int dim, bool scattered, int threads,
                                   int repeats) {
  constexpr int kBlockTokens = 32;
  ThreadPool pool(threads);
  const cpu::Context ctx{&select_kernels(), &pool};
  const int blocks = (tokens + kBlockTokens - 1) / kBlockTokens;
  PagedCache cache(
      {parse_kv_type(kv_type), 1, kv_heads, dim, dim, kBlockTokens, blocks * sequences});
  std::vector<int32_t> order(static_cast<size_t>(blocks) * static_cast<size_t>(sequences));
  std::iota(order.begin(), order.end(), 0);
  if (scattered) std::shuffle(order.begin(), order.end(), std::mt19937(1));
  Batch batch;
  batch.groups.resize(1);
  batch.groups[0].max_blocks = blocks;
  batch.groups[0].block_table = order;
  const cpu::AttentionArgs args{&batch, 0, &cache, 0, heads, 0.1f, 0.0f, 0, true, nullptr};
  const int64_t width = int64_t{kv_heads} * dim;
  const std::vector<float> kv(static_cast<size_t>(tokens * width), 0.25f);
  for (int s = 0; s < sequences; ++s) {
    batch.spans = {{s, tokens, 0}};
    cpu::write_kv(ctx, args, kv.data(), width, kv.data(), width);
  }
  batch.spans.clear();
  for (int s = 0; s < sequences; ++s) batch.spans.push_back({s, 1, tokens - 1});
  const int64_t out_width = int64_t{heads} * dim;
  const std::vector<float> q(static_cast<size_t>(sequences * out_width), 0.5f);
  std::vector<float> out(q.size());
  std::vector<double> seconds;
  for (int i = 0; i < repeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    cpu::attention(ctx, args, q.data(), out_width, out.data(), out_width);
    seconds.push_back(seconds_since(begin));
  }
  return seconds;
}

// Seconds that a parallel region takes beyond the work of its threads, each of which is busy for so
// many microseconds: the mean over so many regions.
double time_region(int threads, int regions, double microseconds) {
  ThreadPool pool(threads);
  const double busy = microseconds * 1e-6;
  const auto region = [&](int, int64_t, int64_t) {
    const auto begin = std::chrono::steady_clock::now();
    while (seconds_since(begin) < busy) continue;
  };
  for (int i = 0; i < 100; ++i) pool.parallel_for(threads, 1, region);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < regions; ++i) pool.parallel_for(threads, 1, region);
  return seconds_since(begin) / regions - busy;
}

}  // namespace

void bind_timing(py::module_& m) {
  using namespace py::literals;
  m.def("read_bandwidth", &read_bandwidth, "threads"_a, "mebibytes"_a = 256,
        py::call_guard<py::gil_scoped_release>());
  m.def("time_matmul", &time_matmul, "tier"_a, "type"_a, "rows"_a, "cols"_a, "m"_a, "threads"_a,
        "repeats"_a, py::call_guard<py::gil_scoped_release>());
  m.def("arithmetic_peak", &arithmetic_peak, "tier"_a, "int8"_a, "threads"_a,
        py::call_guard<py::gil_scoped_release>());
  m.def("time_attention", &time_attention, "kv_type"_a, "tokens"_a, "sequences"_a, "heads"_a,
        "kv_heads"_a, "dim"_a, "scattered"_a, "threads"_a, "repeats"_a,
        py::call_guard<py::gil_scoped_release>());
  m.def("time_region", &time_region, "threads"_a, "regions"_a, "microseconds"_a,
        py::call_guard<py::gil_scoped_release>());
}

}  // namespace pyslm::bindings
