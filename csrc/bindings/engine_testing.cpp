#include "bindings/engine_testing.h"

#include <optional>

#include "engine/test_runner.h"
#include "engine/text_buffer.h"
#include "sampling/rng.h"
#include "sampling/sampler.h"
#include "sched/fair_shares.h"
#include "spec/step_cost.h"
#include "spec/suffix_index.h"

namespace pyslm::bindings {
namespace {

using Logits = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Tokens = std::vector<int32_t>;

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

using TokenBytes = std::vector<std::string>;

// A sampler that knows the tokens' texts, as the engine prepares it.
struct Prepared {
  Prepared(const Logits& logits, const SamplingParams& params, uint32_t sample_index,
           const TokenBytes& token_bytes, const Tokens& end_tokens)
      : sampler(params, static_cast<int>(logits.size()), sample_index), token_bytes(token_bytes) {
    sampler.prepare(token_bytes, {end_tokens.begin(), end_tokens.end()});
  }
  TokenHistory history(const Tokens& tokens, int32_t prompt_length) const {
    return {tokens, prompt_length, &token_bytes};
  }

  Sampler sampler;
  const TokenBytes& token_bytes;
};

// A grammar that allows these tokens at every position.
class FixedSet final : public AllowedTokens {
 public:
  FixedSet(const Tokens& tokens, size_t num_vocab) : bits_((num_vocab + 31) / 32) {
    for (const int32_t token : tokens) {
      bits_.at(static_cast<size_t>(token) / 32) |= uint32_t{1} << (token % 32);
    }
  }
  bool has(int32_t token) override { return (bits_[token / 32] >> (token % 32) & 1) != 0; }
  const uint32_t* bits() override { return bits_.data(); }

 private:
  std::vector<uint32_t> bits_;
};

py::array_t<double> sampler_probabilities(const Logits& logits, const SamplingParams& params,
                                          const Tokens& history, int32_t prompt_length,
                                          const TokenBytes& token_bytes, const Tokens& end_tokens,
                                          int64_t position) {
  SamplerWorkspace work;
  const Prepared prepared(logits, params, 0, token_bytes, end_tokens);
  return to_array(prepared.sampler.probabilities(
      logits.data(), prepared.history(history, prompt_length), work, position));
}

std::vector<int32_t> sampler_draws(const Logits& logits, const SamplingParams& params,
                                   const std::vector<int64_t>& positions, uint32_t sample_index,
                                   const Tokens& history, int32_t prompt_length,
                                   const TokenBytes& token_bytes, const Tokens& end_tokens,
                                   const std::optional<Tokens>& grammar) {
  const Prepared prepared(logits, params, sample_index, token_bytes, end_tokens);
  std::optional<FixedSet> allowed;
  if (grammar) allowed.emplace(*grammar, static_cast<size_t>(logits.size()));
  SamplerWorkspace work;
  std::vector<int32_t> tokens;
  for (const int64_t position : positions) {
    tokens.push_back(prepared.sampler.sample(logits.data(),
                                             prepared.history(history, prompt_length), position,
                                             work, nullptr, allowed ? &*allowed : nullptr));
  }
  return tokens;
}

// Appends pieces until a stop string is found: (what was released after each, the stop or None).
py::tuple text_buffer_run(const std::vector<std::string>& pieces,
                          const std::vector<std::string>& stops, bool include_stop_text) {
  TextBuffer buffer(stops, include_stop_text);
  py::list released;
  for (const std::string& piece : pieces) {
    const std::string* stop = buffer.append(piece);
    released.append(py::bytes(buffer.take()));
    if (stop != nullptr) return py::make_tuple(released, py::bytes(*stop));
  }
  buffer.finish();
  released.append(py::bytes(buffer.take()));
  return py::make_tuple(released, py::none());
}

// As a request that grows one token at a time asks: (next, length) after each token.
std::vector<std::pair<int32_t, int32_t>> suffix_matches(const Tokens& tokens) {
  SuffixIndex index;
  std::vector<std::pair<int32_t, int32_t>> matches;
  for (size_t n = 1; n <= tokens.size(); ++n) {
    const SuffixIndex::Match match = index.find({tokens.data(), n});
    matches.emplace_back(match.next, match.length);
  }
  return matches;
}

std::vector<double> step_costs(const std::vector<std::pair<int32_t, double>>& observed,
                               const std::vector<int32_t>& rows) {
  StepCost cost;
  for (const auto& [count, seconds] : observed) cost.observe(count, seconds);
  std::vector<double> result;
  for (const int32_t count : rows) result.push_back(cost.at(count));
  return result;
}

std::vector<CacheGroupInfo> group_infos(
    const std::vector<std::tuple<int32_t, int32_t, int32_t>>& groups) {
  std::vector<CacheGroupInfo> infos;
  for (const auto& [window, num_blocks, block_tokens] : groups) {
    infos.push_back({.window = window, .num_blocks = num_blocks, .block_tokens = block_tokens});
  }
  return infos;
}

void bind_test_runner(py::module_& m) {
  using Groups = std::vector<std::tuple<int32_t, int32_t, int32_t>>;
  const TestRunnerConfig defaults;
  py::class_<TestRunner, Runner>(m, "TestRunner",
                                 "A runner without a model: logits are hashes of the tokens that a "
                                 "position sees, read through its block tables.")
      .def(py::init([](int num_vocab, int context_length, int max_batch_rows, const Groups& groups,
                       int32_t nan_token, int32_t failing_token, int step_microseconds,
                       double deviation, bool whole_sequences, const std::string& pooling) {
             return std::make_unique<TestRunner>(TestRunnerConfig{
                 num_vocab, context_length, max_batch_rows, group_infos(groups), nan_token,
                 failing_token, step_microseconds, deviation, whole_sequences,
                 pooling == "mean" ? Pooling::kMean : Pooling::kLast});
           }),
           py::kw_only(), py::arg("num_vocab") = defaults.num_vocab,
           py::arg("context_length") = defaults.context_length,
           py::arg("max_batch_rows") = defaults.max_batch_rows,
           py::arg("groups") = Groups{{0, 64, 32}}, py::arg("nan_token") = defaults.nan_token,
           py::arg("failing_token") = defaults.failing_token,
           py::arg("step_microseconds") = defaults.step_microseconds,
           py::arg("deviation") = defaults.deviation,
           py::arg("whole_sequences") = defaults.whole_sequences, py::arg("pooling") = "last")
      .def("expected_logits",
           [](const TestRunner& runner, const Tokens& tokens) {
             return to_array(runner.expected_logits(tokens));
           })
      .def("expected_hidden", [](const TestRunner& runner, const Tokens& tokens) {
        return to_array(runner.expected_hidden(tokens));
      });
}

}  // namespace

void bind_engine_testing(py::module_& parent) {
  py::module_ m = parent.def_submodule("testing", "Entry points for pyslm's own tests.");
  m.def("philox4x32", &philox4x32, py::arg("counter"), py::arg("key"));
  m.def("fair_shares", &fair_shares, py::arg("owed"), py::arg("budget"));
  m.def("sampler_probabilities", &sampler_probabilities, py::arg("logits"), py::arg("params"),
        py::arg("history") = Tokens{}, py::arg("prompt_length") = 0,
        py::arg("token_bytes") = TokenBytes{}, py::arg("end_tokens") = Tokens{},
        py::arg("position") = 0,
        "float64 [num_vocab]: the distribution that the sampler draws from");
  m.def("sampler_draws", &sampler_draws, py::arg("logits"), py::arg("params"), py::arg("positions"),
        py::arg("sample_index") = 0, py::arg("history") = Tokens{}, py::arg("prompt_length") = 0,
        py::arg("token_bytes") = TokenBytes{}, py::arg("end_tokens") = Tokens{},
        py::arg("grammar") = py::none(),
        "one draw per position; grammar: the tokens that one would allow at each");
  m.def("text_buffer_run", &text_buffer_run, py::arg("pieces"), py::arg("stops"),
        py::arg("include_stop_text") = false);
  m.def("suffix_matches", &suffix_matches, py::arg("tokens"));
  m.def("step_costs", &step_costs, py::arg("observed"), py::arg("rows"));
  bind_test_runner(m);
}

}  // namespace pyslm::bindings
