// The graph of causal models: a batch of rows in, hidden states or logits of the wanted rows out.
#pragma once

#include <span>

#include "backend/cpu/ops.h"
#include "kv/paged_cache.h"
#include "model/block.h"
#include "model/runner.h"
#include "model/spec.h"
#include "model/weights.h"
#include "sched/batch.h"

namespace pyslm::model {

// Error(kInvalid) unless the batch is consistent with the model and the caches: a runner is the
// last place where a wrong block id can be told from a stray write.
void check_batch(const ArchSpec& spec, std::span<const PagedCache> caches, const Batch& batch);

// Holds no state of its own: several callers may share it, each with caches and a workspace.
class Decoder {
 public:
  Decoder(cpu::Context context, const ArchSpec& spec, const Weights& weights,
          std::vector<cpu::RopeConfig> ropes);

  // In the workspace until its next use.
  StepOutputs forward(const Batch& batch, std::span<const PagedCache> caches,
                      Workspace& workspace) const;

 private:
  // Leaves the residual stream of `wanted`, which ascend, and of no other rows in workspace.x.
  void run_layers(const Batch& batch, std::span<const int32_t> wanted,
                  std::span<const PagedCache> caches, Workspace& workspace) const;
  // [rows x hidden] in workspace.x -> [rows x vocab]
  const float* logits(int rows, Workspace& workspace) const;
  void embed(const Batch& batch, Workspace& workspace) const;
  void finish_layer(int layer, int rows, Workspace& workspace) const;
  void add_branch(int layer, LinearKind kind, const Linear& linear, const Norm& post_norm, int rows,
                  Workspace& workspace) const;

  cpu::Context context_;
  const ArchSpec& spec_;
  const Weights& weights_;
  std::vector<cpu::RopeConfig> ropes_;
};

}  // namespace pyslm::model
