// What is done with the outputs of one request's rows: text is generated (generation.h), tokens are
// scored (scoring.h) or a vector is made (embedding.h).
#pragma once

#include <string>

#include "engine/engine.h"
#include "engine/guided.h"
#include "sampling/candidates.h"
#include "sched/sequence.h"

namespace pyslm {

// What one step gave a request.
struct Progress {
  int32_t num_outputs = 0;  // of the rows with outputs, the leading ones that count
  FinishReason finish = FinishReason::kNone;
};

class Task {
 public:
  virtual ~Task() = default;

  // Outputs of the sequence's rows from next_output on, as many as the step computed: [num_rows x
  // num_vocab or hidden_size]. Without the engine's lock; what is found waits for commit().
  virtual void process(Sequence& sequence, const float* rows, int32_t num_rows,
                       SamplerWorkspace& workspace) = 0;
  // Under the lock: puts into the update what process() found, and moves sequence.next_output on.
  virtual Progress commit(Sequence& sequence, RequestUpdate& update) = 0;

  // The grammar of its output, where it has one.
  virtual Guide* guide() { return nullptr; }
  // Nothing more will be processed.
  virtual void finish() {}
  // Text bytes released since the last call.
  virtual std::string take_bytes() { return {}; }
};

}  // namespace pyslm
