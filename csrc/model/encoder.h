// The graph of encoders (BERT, nomic-bert): every token of a text sees all of its others.
#pragma once

#include "backend/cpu/ops.h"
#include "kv/paged_cache.h"
#include "model/block.h"
#include "model/spec.h"
#include "model/weights.h"
#include "sched/batch.h"

namespace pyslm::model {

class Encoder {
 public:
  Encoder(cpu::Context context, const ArchSpec& spec, const Weights& weights,
          std::vector<cpu::RopeConfig> ropes);

  // Whole texts, each a span that starts at position 0; `scratch` is a cache of one layer, for the
  // duration of the call. -> [hidden_rows x hidden], in the workspace until its next use.
  const float* hidden(const Batch& batch, const PagedCache& scratch, Workspace& workspace) const;

 private:
  void embed(const Batch& batch, Workspace& workspace) const;
  // Each text's score in place of the first number of its first row.
  void rank(const Batch& batch, Workspace& workspace) const;
  void run_layer(int layer, const Batch& batch, const PagedCache& scratch,
                 Workspace& workspace) const;
  // x += linear(inner), then LayerNorm of that into `out`.
  void add_and_norm(const Linear& linear, float* x, const Norm& norm, float* out, int rows,
                    Workspace& workspace) const;

  cpu::Context context_;
  const ArchSpec& spec_;
  const Weights& weights_;
  std::vector<cpu::RopeConfig> ropes_;
};

}  // namespace pyslm::model
