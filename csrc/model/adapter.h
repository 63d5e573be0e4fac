// LoRA (Hu et al. 2021): small matrices that change what a model's linear layers give.
//
//   y = W x + scale * B (A x)        A [rank x inputs], B [outputs x rank], scale = alpha / rank
//
// A batch may mix rows of several adapters and of none. Each adapter's rows are gathered, so that
// its two products run once for a layer; a row's sums are made in the order that the float kernels
// fix, whatever else is in the batch.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/ops.h"
#include "model/spec.h"
#include "model/weights.h"
#include "sched/batch.h"

namespace pyslm::model {

enum class LinearKind { kQkv, kQ, kK, kV, kAttnOut, kGate, kUp, kDown, kNumber };

// A and B of one linear layer, with the scale in B.
struct LowRank {
  PackedWeight a, b;
  explicit operator bool() const { return static_cast<bool>(a); }
};

struct Adapter {
  std::vector<std::array<LowRank, static_cast<size_t>(LinearKind::kNumber)>> layers;
  LowRank output;    // of the output layer
  int32_t rank = 0;  // the largest
  int64_t num_bytes = 0;
};

// Reads an adapter in llama.cpp's GGUF format, for the model of these weights. scale: a factor on
// top of alpha / rank. Error(kGGUF) where a tensor has the wrong shape or lacks its other half,
// Error(kUnsupported) for another architecture or a tensor that cannot be adapted.
Adapter load_adapter(ThreadPool& pool, const std::string& path, float scale, const ArchSpec& spec,
                     const Weights& weights);

using AdapterSet = std::map<int32_t, std::shared_ptr<const Adapter>>;

// Which rows of a step have which adapter, and the work on them.
class AdapterRows {
 public:
  // Error(kInvalid) where a span has an adapter that the set lacks.
  void plan(const Batch& batch, const AdapterSet& adapters);
  // From here on row i is what was row rows[i].
  void keep(std::span<const int32_t> rows);

  // Forms that inputs of linear layers must have for add() besides those of the weights.
  unsigned forms() const { return groups_.empty() ? 0u : unsigned{cpu::Activations::kFloat}; }
  // out[row] += scale * B (A x[row]) for the rows that have an adapter with these matrices.
  void add(const cpu::Context& context, int layer, LinearKind kind, const cpu::Activations& x,
           float* out, int64_t out_stride, float scale = 1.0f);
  void add_output(const cpu::Context& context, const cpu::Activations& x, float* out,
                  int64_t out_stride);

 private:
  struct Group {
    std::shared_ptr<const Adapter> adapter;
    std::vector<int32_t> rows;
  };
  void add(const cpu::Context& context, const LowRank& matrices, const std::vector<int32_t>& rows,
           const cpu::Activations& x, float* out, int64_t out_stride, float scale);

  const cpu::Activations& gather(const cpu::Context& context, const std::vector<int32_t>& rows,
                                 const cpu::Activations& x);

  std::vector<Group> groups_;
  cpu::Activations input_, middle_;
  std::vector<float> gathered_, inner_, delta_;
};

}  // namespace pyslm::model
