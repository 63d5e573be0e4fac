// Everything the engine holds of one request.
#pragma once

#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "engine/guided.h"
#include "engine/text_buffer.h"
#include "sampling/sampler.h"
#include "sched/sequence.h"

namespace pyslm {

using Clock = std::chrono::steady_clock;

struct Request {
  Sequence sequence;
  Sampler sampler;
  TextBuffer text;
  RequestUpdate pending;  // what the next poll takes, but for the text
  bool has_news = false;
  std::unique_ptr<Guide> guide;  // where the output follows a grammar
  Clock::time_point arrived = Clock::now();
  Clock::time_point first_token_at{};

  Request(RequestId id, std::vector<int32_t> prompt, Sampler chooser)
      : sampler(std::move(chooser)),
        text(sampler.params().stop, sampler.params().include_stop_text) {
    pending.id = id;
    pending.prompt_tokens = static_cast<int32_t>(prompt.size());
    sequence.id = id;
    sequence.prompt_length = pending.prompt_tokens;
    sequence.tokens = std::move(prompt);
  }

  // The grammar is not compiled yet; the scheduler does not know the request.
  bool compiling() const { return guide != nullptr && guide->matcher == nullptr; }
  bool finished() const { return pending.finish != FinishReason::kNone; }
};

}  // namespace pyslm
