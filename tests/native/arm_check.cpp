// Compares every ARM tier with the scalar one, to the bit, through the same calls that the engine
// makes: products of every format, attention over every cache type, and what works on rows.
// test_arm.py builds it with a cross compiler and runs it under qemu-aarch64.
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "backend/cpu/ops.h"
#include "core/half.h"
#include "isa/select.h"
#include "kernels/layout.h"

namespace pyslm {
namespace {

std::mt19937 rng(20240607);
int comparisons = 0, failures = 0;

using Floats = std::vector<float>;

Floats random_floats(size_t count, float spread = 1.0f) {
  std::normal_distribution<float> normal(0.0f, spread);
  Floats x(count);
  for (float& v : x) v = normal(rng);
  return x;
}

void compare(const std::string& what, const Floats& got, const Floats& want) {
  ++comparisons;
  if (got.size() == want.size() && std::memcmp(got.data(), want.data(), got.size() * 4) == 0)
    return;
  ++failures;
  size_t at = 0;
  while (at < got.size() && std::memcmp(&got[at], &want[at], 4) == 0) ++at;
  std::printf("DIFFERS %s: at %zu, %.9g for %.9g\n", what.c_str(), at, static_cast<double>(got[at]),
              static_cast<double>(want[at]));
}

// Blocks of any codes whose half-precision scales are finite.
std::vector<uint8_t> random_blocks(const DTypeInfo& info, int64_t elems) {
  std::vector<uint8_t> bytes(static_cast<size_t>(elems / info.block_elems * info.block_bytes));
  if (info.block_elems > 1) {
    for (uint8_t& b : bytes) {
      b = static_cast<uint8_t>(rng());
      if ((b & 0x7c) == 0x7c) b ^= 0x40;
    }
    return bytes;
  }
  const Floats x = random_floats(static_cast<size_t>(elems));
  for (size_t i = 0; i < x.size(); ++i) {
    const uint16_t half = info.type == DType::kF16 ? fp32_to_fp16(x[i]) : fp32_to_bf16(x[i]);
    if (info.type == DType::kF32)
      std::memcpy(bytes.data() + 4 * i, &x[i], 4);
    else
      std::memcpy(bytes.data() + 2 * i, &half, 2);
  }
  return bytes;
}

Floats product(const cpu::Context& ctx, const PackedWeight& w, const Floats& x, int m,
               const Floats& bias) {
  Floats out(static_cast<size_t>(m * w.rows()), 0.5f);
  cpu::Activations a;
  const int cols = static_cast<int>(w.cols());
  a.set(ctx, cpu::Activations::forms_for(w.type()), x.data(), cols, m, cols);
  const cpu::MatmulJob job{&w, bias.data(), out.data(), w.rows(), m % 2 == 0, 0.75f};
  cpu::matmul(ctx, a, {&job, 1});
  return out;
}

void check_products(const cpu::Context& scalar, const cpu::Context& tier) {
  constexpr int64_t kRows = 37;
  for (const DTypeInfo& info : all_dtypes()) {
    if (!info.weight) continue;
    const int64_t cols = info.block_elems == 1 ? 67 : 512;
    const auto blocks = random_blocks(info, kRows * cols);
    const PackedWeight w = PackedWeight::pack(*tier.pool, info.type, blocks.data(), kRows, cols);
    const Floats bias = random_floats(kRows);
    for (int m : {1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 16, 25}) {
      const Floats x = random_floats(static_cast<size_t>(m * cols));
      compare(std::string(info.name) + " rows " + std::to_string(m), product(tier, w, x, m, bias),
              product(scalar, w, x, m, bias));
    }
  }
}

struct AttentionCase {
  int tokens, rows, kv_heads, group, key_dim, value_dim, window;
  float softcap;
  bool causal, sinks;
};

struct AttentionInputs {
  Floats q, k, v, sinks;
};

Floats attend(const cpu::Context& ctx, const AttentionCase& c, DType type,
              const AttentionInputs& in) {
  constexpr int kBlock = 32;
  const int blocks = (c.tokens + kBlock - 1) / kBlock, heads = c.kv_heads * c.group;
  PagedCache cache(KvShape{type, 1, c.kv_heads, c.key_dim, c.value_dim, kBlock, blocks});
  Batch batch;
  batch.groups.resize(1);
  batch.groups[0].max_blocks = blocks;
  for (int b = 0; b < blocks; ++b) batch.groups[0].block_table.push_back(blocks - 1 - b);
  batch.spans.push_back({0, c.tokens, 0});
  const cpu::AttentionArgs args{
      &batch, 0,         &cache,   0,        heads,
      0.125f, c.softcap, c.window, c.causal, c.sinks ? in.sinks.data() : nullptr};
  cpu::write_kv(ctx, args, in.k.data(), int64_t{c.kv_heads} * c.key_dim, in.v.data(),
                int64_t{c.kv_heads} * c.value_dim);
  batch.spans[0] = {0, c.rows, c.tokens - c.rows};
  Floats out(static_cast<size_t>(c.rows * heads * c.value_dim));
  cpu::attention(ctx, args, in.q.data(), int64_t{heads} * c.key_dim, out.data(),
                 int64_t{heads} * c.value_dim);
  return out;
}

void check_attention(const cpu::Context& scalar, const cpu::Context& tier) {
  const AttentionCase cases[] = {
      {1, 1, 1, 1, 8, 8, 0, 0, true, false},      {47, 3, 2, 3, 80, 96, 0, 0, true, false},
      {300, 5, 2, 4, 64, 64, 40, 30, true, true}, {530, 2, 1, 5, 128, 64, 0, 0, true, true},
      {61, 61, 1, 1, 32, 32, 0, 0, false, false},
  };
  for (const AttentionCase& c : cases) {
    const auto heads = static_cast<size_t>(c.kv_heads * c.group),
               kv = static_cast<size_t>(c.tokens * c.kv_heads);
    const AttentionInputs in{random_floats(static_cast<size_t>(c.rows * c.key_dim) * heads),
                             random_floats(kv * static_cast<size_t>(c.key_dim)),
                             random_floats(kv * static_cast<size_t>(c.value_dim)),
                             random_floats(heads)};
    for (DType type : {DType::kF16, DType::kBF16, DType::kQ8_0})
      compare(
          std::string("attention ") + dtype_info(type).name + " tokens " + std::to_string(c.tokens),
          attend(tier, c, type, in), attend(scalar, c, type, in));
  }
}

Floats row_results(const Kernels& kernels, int dim, const Floats& x, const Floats& w,
                   const Floats& b) {
  Floats all, y(x.size());
  const auto keep = [&] {
    all.insert(all.end(), y.begin(), y.end());
    y = x;
  };
  y = x;
  kernels.rms_norm(x.data(), w.data(), 1e-6f, y.data(), dim), keep();
  kernels.layer_norm(x.data(), w.data(), b.data(), 1e-5f, y.data(), dim), keep();
  for (GateKind kind : {GateKind::kSilu, GateKind::kGeluTanh, GateKind::kGeluErf, GateKind::kRelu2})
    kernels.gate(kind, x.data(), w.data(), y.data(), dim), keep();
  kernels.add(y.data(), w.data(), 0.3f, dim), keep();
  kernels.multiply(y.data(), 0.3f, dim), keep();
  kernels.softcap(y.data(), 2.0f, dim), keep();
  if (dim % 4 == 0)
    for (bool neox : {false, true}) kernels.rope(neox, w.data(), dim / 4, y.data(), 1, dim), keep();
  return all;
}

void check_rows(const Kernels& scalar, const Kernels& tier) {
  for (int dim : {1, 15, 16, 17, 100, 1024})
    for (float spread : {0.01f, 3.0f, 60.0f, 1e-39f}) {
      const auto size = static_cast<size_t>(dim);
      const Floats x = random_floats(size, spread), w = random_floats(size),
                   b = random_floats(size);
      compare("rows of " + std::to_string(dim), row_results(tier, dim, x, w, b),
              row_results(scalar, dim, x, w, b));
    }
}

}  // namespace
}  // namespace pyslm

int main() {
  using namespace pyslm;
  ThreadPool pool(2);
  const cpu::Context scalar{&kernels_named("scalar"), &pool};
  std::string names;
  for (const TierInfo& tier : isa_tiers()) {
    if (!tier.kernels || !tier.supported || std::string(tier.name) == "scalar") continue;
    const cpu::Context ctx{tier.kernels, &pool};
    const int before = failures;
    check_products(scalar, ctx);
    check_attention(scalar, ctx);
    check_rows(*scalar.kernels, *tier.kernels);
    names += std::string(" ") + tier.name;
    if (failures != before) std::printf("tier %s fails\n", tier.name);
  }
  std::printf("tiers:%s; %d comparisons, %d differ\n", names.c_str(), comparisons, failures);
  return failures == 0 ? 0 : 1;
}
