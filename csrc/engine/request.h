// Everything the engine holds of one request.
#pragma once

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/task.h"
#include "sched/sequence.h"

namespace pyslm {

using Clock = std::chrono::steady_clock;

struct Request {
  Sequence sequence;
  std::unique_ptr<Task> task;
  RequestUpdate pending;  // what the next poll takes, but for the text
  bool has_news = false;
  Clock::time_point arrived = Clock::now();
  Clock::time_point first_output_at{};

  Request(RequestId id, std::vector<int32_t> prompt, std::unique_ptr<Task> what)
      : task(std::move(what)) {
    pending.id = id;
    pending.prompt_tokens = static_cast<int32_t>(prompt.size());
    sequence.id = id;
    sequence.prompt_length = pending.prompt_tokens;
    sequence.next_output = sequence.prompt_length - 1;
    sequence.tokens = std::move(prompt);
  }

  // The grammar is not compiled yet; the scheduler does not know the request.
  bool compiling() const {
    const Guide* guide = task->guide();
    return guide != nullptr && guide->compiling();
  }
  bool finished() const { return pending.finish != FinishReason::kNone; }
};

}  // namespace pyslm
