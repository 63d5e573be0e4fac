#include "engine/engine.h"

#include <cstring>

#include "bindings/bindings.h"
#include "bindings/engine_testing.h"

namespace pyslm::bindings {
namespace {

// What `object` holds as T, or a TypeError that says what is wanted.
template <class T>
T cast_or_type_error(const py::object& object, const char* wanted) {
  try {
    return object.cast<T>();
  } catch (const py::cast_error&) {
    throw py::type_error(std::string(wanted) + ", not " +
                         py::repr(object).cast<std::string>().substr(0, 80));
  }
}

// Anything that reads as a sequence of integers; an int32 array is copied as a whole.
std::vector<int32_t> token_ids(const py::object& ids) {
  if (py::isinstance<py::array_t<int32_t>>(ids)) {
    const auto array = py::array_t<int32_t, py::array::c_style>::ensure(ids);
    if (!array || array.ndim() != 1) {
      fail(ErrorKind::kInvalid, "token ids must have one dimension");
    }
    return {array.data(), array.data() + array.size()};
  }
  return cast_or_type_error<std::vector<int32_t>>(
      ids, "token ids must be a sequence of integers of 32 bits");
}

// One string or several, as str (UTF-8) or bytes.
std::vector<std::string> byte_strings(const py::object& strings) {
  if (py::isinstance<py::str>(strings) || py::isinstance<py::bytes>(strings)) {
    return {strings.cast<std::string>()};
  }
  return cast_or_type_error<std::vector<std::string>>(strings,
                                                      "needed: str, bytes or a list of them");
}

std::vector<py::bytes> as_bytes(const std::vector<std::string>& strings) {
  return {strings.begin(), strings.end()};
}

py::dict bias_dict(const SamplingParams& params) {
  py::dict result;
  for (const auto& [token, bias] : params.logit_bias) result[py::int_(token)] = bias;
  return result;
}

void set_bias(SamplingParams& params, const std::map<int32_t, float>& bias) {
  params.logit_bias.assign(bias.begin(), bias.end());
}

std::string params_repr(const py::object& self) {
  std::string text = "SamplingParams(";
  const char* separator = "";
  for (const py::handle name : self.attr("fields")) {
    text +=
        separator + name.cast<std::string>() + "=" + py::repr(self.attr(name)).cast<std::string>();
    separator = ", ";
  }
  return text + ")";
}

// Keyword arguments are the fields; anything else is a TypeError, as for a Python function.
SamplingParams make_params(const py::kwargs& fields) {
  const py::object params = py::cast(SamplingParams{});
  for (const auto& [name, value] : fields) {
    if (!params.attr("fields").contains(name)) {
      throw py::type_error("SamplingParams has no field '" + name.cast<std::string>() + "'");
    }
    params.attr(name) = value;
  }
  return params.cast<SamplingParams>();
}

void bind_strings(py::class_<SamplingParams>& cls, const char* name,
                  std::vector<std::string> SamplingParams::* field) {
  cls.def_property(
      name, [field](const SamplingParams& p) { return as_bytes(p.*field); },
      [field](SamplingParams& p, const py::object& strings) { p.*field = byte_strings(strings); });
}

void bind_params(py::module_& m) {
  using P = SamplingParams;
  py::class_<P> cls(m, "SamplingParams",
                    "How the next token is chosen. All fields are keyword arguments; the defaults "
                    "leave the model's distribution as it is. Engine.add() checks the ranges.");
  cls.def(py::init(&make_params));
  const py::tuple fields = py::make_tuple(
      "max_tokens", "min_tokens", "priority", "cache_salt", "adapter", "temperature", "top_k",
      "top_p", "min_p", "typical_p", "top_n_sigma", "xtc_probability", "xtc_threshold",
      "repetition_penalty", "presence_penalty", "frequency_penalty", "penalty_last_n",
      "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
      "dry_sequence_breakers", "logit_bias", "allowed_token_ids", "bad_token_ids", "bad_words",
      "seed", "sample_index", "logprobs", "stop_token_ids", "stop", "include_stop_text",
      "ignore_eos", "grammar_type", "grammar", "forced_tokens");
  cls.attr("fields") = fields;
  cls.def_readwrite("max_tokens", &P::max_tokens)
      .def_readwrite("min_tokens", &P::min_tokens)
      .def_readwrite("priority", &P::priority)
      .def_readwrite("cache_salt", &P::cache_salt)
      .def_readwrite("adapter", &P::adapter)
      .def_readwrite("temperature", &P::temperature)
      .def_readwrite("top_k", &P::top_k)
      .def_readwrite("top_p", &P::top_p)
      .def_readwrite("min_p", &P::min_p)
      .def_readwrite("typical_p", &P::typical_p)
      .def_readwrite("top_n_sigma", &P::top_n_sigma)
      .def_readwrite("xtc_probability", &P::xtc_probability)
      .def_readwrite("xtc_threshold", &P::xtc_threshold)
      .def_readwrite("repetition_penalty", &P::repetition_penalty)
      .def_readwrite("presence_penalty", &P::presence_penalty)
      .def_readwrite("frequency_penalty", &P::frequency_penalty)
      .def_readwrite("penalty_last_n", &P::penalty_last_n)
      .def_readwrite("dry_multiplier", &P::dry_multiplier)
      .def_readwrite("dry_base", &P::dry_base)
      .def_readwrite("dry_allowed_length", &P::dry_allowed_length)
      .def_readwrite("dry_penalty_last_n", &P::dry_penalty_last_n)
      .def_property("logit_bias", &bias_dict, &set_bias)
      .def_readwrite("allowed_token_ids", &P::allowed_token_ids)
      .def_readwrite("bad_token_ids", &P::bad_token_ids)
      .def_readwrite("forced_tokens", &P::forced_tokens)
      .def_readwrite("seed", &P::seed)
      .def_readwrite("sample_index", &P::sample_index)
      .def_readwrite("grammar_type", &P::grammar_type)
      .def_readwrite("grammar", &P::grammar)
      .def_readwrite("logprobs", &P::logprobs)
      .def_readwrite("stop_token_ids", &P::stop_token_ids)
      .def_readwrite("include_stop_text", &P::include_stop_text)
      .def_readwrite("ignore_eos", &P::ignore_eos)
      .def("validate", &validate, py::arg("num_vocab"),
           "Raises InvalidRequestError naming the field, its value and its range.")
      .def("__repr__", &params_repr);
  bind_strings(cls, "stop", &P::stop);
  bind_strings(cls, "bad_words", &P::bad_words);
  bind_strings(cls, "dry_sequence_breakers", &P::dry_sequence_breakers);
}

py::object finish_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone:
      return py::none();
    case FinishReason::kStop:
      return py::str("stop");
    case FinishReason::kLength:
      return py::str("length");
    case FinishReason::kAbort:
      return py::str("abort");
    case FinishReason::kError:
      return py::str("error");
  }
  return py::none();
}

py::object none_if_empty(const std::string& text) {
  if (text.empty()) return py::none();
  return py::bytes(text).attr("decode")("utf-8", "replace");
}

std::vector<std::vector<std::pair<int32_t, float>>> logprob_pairs(const RequestUpdate& update) {
  std::vector<std::vector<std::pair<int32_t, float>>> result;
  for (const auto& token : update.logprobs) {
    auto& row = result.emplace_back();
    for (const TokenLogprob& entry : token) row.emplace_back(entry.token, entry.logprob);
  }
  return result;
}

py::object embedding_array(const RequestUpdate& update) {
  if (update.embedding.empty()) return py::none();
  return py::array_t<float>(static_cast<py::ssize_t>(update.embedding.size()),
                            update.embedding.data());
}

void bind_update(py::module_& m) {
  using U = RequestUpdate;
  py::class_<U>(m, "RequestUpdate", "What happened to one request since the last poll.")
      .def_readonly("id", &U::id)
      .def_readonly("tokens", &U::tokens, "list[int]: newly committed")
      .def_property_readonly("bytes", [](const U& u) { return py::bytes(u.bytes); })
      .def_property_readonly("logprobs", &logprob_pairs,
                             "list of list of (id, logprob): the token's own, then the top n")
      .def_property_readonly("embedding", &embedding_array,
                             "float32 [hidden], with the end of an embedding; else None")
      .def_property_readonly(
          "finish", [](const U& u) { return finish_name(u.finish); },
          "None, 'stop', 'length', 'abort' or 'error'")
      .def_property_readonly("stop_reason", [](const U& u) { return none_if_empty(u.stop_reason); })
      .def_property_readonly("error", [](const U& u) { return none_if_empty(u.error); })
      .def_property_readonly(
          "error_is_request", [](const U& u) { return u.error_kind == ErrorKind::kInvalid; },
          "the error lies in what the request asks for")
      .def_readonly("prompt_tokens", &U::prompt_tokens)
      .def_readonly("output_tokens", &U::output_tokens)
      .def_readonly("cached_tokens", &U::cached_tokens)
      .def_readonly("prompt_seconds", &U::prompt_seconds)
      .def_readonly("decode_seconds", &U::decode_seconds);
}

void bind_stats(py::module_& m) {
  py::class_<EngineStats>(m, "EngineStats")
      .def_readonly("num_running", &EngineStats::num_running)
      .def_readonly("num_waiting", &EngineStats::num_waiting)
      .def_readonly("num_compiling", &EngineStats::num_compiling, "wait for their grammar")
      .def_readonly("num_preemptions", &EngineStats::num_preemptions)
      .def_readonly("free_blocks", &EngineStats::free_blocks, "list[int]: per cache group")
      .def_readonly("cached_blocks", &EngineStats::cached_blocks, "hold prefixes, free or not")
      .def_readonly("resident_blocks", &EngineStats::resident_blocks, "take memory")
      .def_readonly("prompt_tokens", &EngineStats::prompt_tokens)
      .def_readonly("cached_tokens", &EngineStats::cached_tokens)
      .def_readonly("output_tokens", &EngineStats::output_tokens)
      .def_readonly("draft_tokens", &EngineStats::draft_tokens, "checked ahead")
      .def_readonly("accepted_tokens", &EngineStats::accepted_tokens, "of them, found right")
      .def_readonly("num_steps", &EngineStats::num_steps)
      .def_readonly("step_seconds", &EngineStats::step_seconds)
      .def_readonly("forward_seconds", &EngineStats::forward_seconds, "of them, in the runner");
}

void save_prefixes(Engine& engine, const py::function& write) {
  const py::gil_scoped_release no_gil;
  engine.save_prefixes([&](const void* data, size_t num_bytes) {
    const py::gil_scoped_acquire gil;
    write(py::bytes(static_cast<const char*>(data), num_bytes));
  });
}

int64_t load_prefixes(Engine& engine, const py::function& read) {
  const py::gil_scoped_release no_gil;
  return engine.load_prefixes([&](void* data, size_t num_bytes) {
    const py::gil_scoped_acquire gil;
    const std::string piece = read(num_bytes).cast<std::string>();
    if (piece.size() != num_bytes) {
      fail(ErrorKind::kPrefixCache, "the prefix cache ends ", num_bytes - piece.size(),
           " bytes early");
    }
    std::memcpy(data, piece.data(), num_bytes);
  });
}

void bind_grammar_compiler(py::module_& m) {
  py::class_<GrammarCompiler, std::shared_ptr<GrammarCompiler>>(
      m, "GrammarCompiler", "Compiles grammars on its own threads with llguidance's library.")
      .def(py::init([](std::string library, std::vector<std::string> token_bytes,
                       std::vector<int32_t> end_tokens, int num_threads, size_t cache_entries) {
             return std::make_shared<GrammarCompiler>(
                 GrammarConfig{.library = std::move(library),
                               .token_bytes = std::move(token_bytes),
                               .end_tokens = std::move(end_tokens),
                               .num_threads = num_threads,
                               .cache_entries = cache_entries});
           }),
           py::arg("library"), py::arg("token_bytes"), py::arg("end_tokens"), py::kw_only(),
           py::arg("num_threads") = GrammarConfig{}.num_threads,
           py::arg("cache_entries") = GrammarConfig{}.cache_entries)
      .def_property_readonly("num_compiled", &GrammarCompiler::num_compiled,
                             "grammars compiled, as against found in the cache");
}

}  // namespace

void bind_engine(py::module_& m) {
  bind_params(m);
  bind_update(m);
  bind_stats(m);
  bind_grammar_compiler(m);
  // Whatever runs a model derives from it; the module of models may have bound it already.
  if (!py::detail::get_type_info(typeid(Runner))) py::class_<Runner>(m, "Runner");
  using NoGil = py::call_guard<py::gil_scoped_release>;
  py::class_<Engine>(m, "Engine", "Runs many requests together over one model, step by step.")
      .def(py::init([](Runner& runner, int max_sequences, int prefill_chunk,
                       std::vector<std::string> token_bytes, std::vector<int32_t> stop_tokens,
                       bool prefix_caching, int max_queued, int max_draft, bool adaptive_draft) {
             return std::make_unique<Engine>(&runner,
                                             EngineConfig{.max_sequences = max_sequences,
                                                          .prefill_chunk = prefill_chunk,
                                                          .prefix_caching = prefix_caching,
                                                          .max_queued = max_queued,
                                                          .max_draft = max_draft,
                                                          .adaptive_draft = adaptive_draft},
                                             std::move(token_bytes), std::move(stop_tokens));
           }),
           py::arg("runner"), py::arg("max_sequences") = EngineConfig{}.max_sequences,
           py::arg("prefill_chunk") = EngineConfig{}.prefill_chunk,
           py::arg("token_bytes") = std::vector<std::string>{},
           py::arg("stop_tokens") = std::vector<int32_t>{}, py::kw_only(),
           py::arg("prefix_caching") = EngineConfig{}.prefix_caching,
           py::arg("max_queued") = EngineConfig{}.max_queued,
           py::arg("max_draft") = EngineConfig{}.max_draft,
           py::arg("adaptive_draft") = EngineConfig{}.adaptive_draft, py::keep_alive<1, 2>())
      .def("use_grammars", &Engine::use_grammars, py::arg("compiler"),
           "From here on requests may carry a grammar.")
      .def("use_draft_model", &Engine::use_draft_model, py::arg("runner"), py::keep_alive<1, 2>(),
           NoGil(), "From here on this model of the same vocabulary guesses ahead.")
      .def(
          "add",
          [](Engine& engine, const py::object& ids, const SamplingParams& params) {
            std::vector<int32_t> prompt = token_ids(ids);
            const SamplingParams copy = params;
            const py::gil_scoped_release no_gil;
            return engine.add(std::move(prompt), copy);
          },
          py::arg("ids"), py::arg("params"),
          "Adds a request; returns its id. Raises ContextLengthError or InvalidRequestError.")
      .def(
          "add_scoring",
          [](Engine& engine, const py::object& ids, int32_t first, int32_t num_top,
             const std::string& cache_salt, int32_t priority, int32_t adapter) {
            std::vector<int32_t> tokens = token_ids(ids);
            const py::gil_scoped_release no_gil;
            return engine.add_scoring(std::move(tokens), first, num_top,
                                      {cache_salt, priority, adapter});
          },
          py::arg("ids"), py::arg("first") = 1, py::arg("num_top") = 0, py::kw_only(),
          py::arg("cache_salt") = "", py::arg("priority") = 0, py::arg("adapter") = -1,
          "Asks how likely ids[first:] are; the updates have them with their logprobs.")
      .def(
          "add_embedding",
          [](Engine& engine, const py::object& ids, const std::string& cache_salt, int32_t priority,
             int32_t adapter) {
            std::vector<int32_t> tokens = token_ids(ids);
            const py::gil_scoped_release no_gil;
            return engine.add_embedding(std::move(tokens), {cache_salt, priority, adapter});
          },
          py::arg("ids"), py::kw_only(), py::arg("cache_salt") = "", py::arg("priority") = 0,
          py::arg("adapter") = -1, "Asks for the vector of a text; the last update has it.")
      .def("unload_adapter", &Engine::unload_adapter, py::arg("adapter"), NoGil(),
           "InvalidRequestError where requests still use it.")
      .def("abort", &Engine::abort, py::arg("id"), NoGil(),
           "Ends a request, within a step; False where it is unknown or has finished.")
      .def("step", &Engine::step, NoGil(),
           "Computes one step for all running requests; returns how many remain unfinished.")
      .def("poll", &Engine::poll, py::arg("id"), NoGil(),
           "The news of a request since the last poll, or None; forgets it once finished.")
      .def("poll_many", &Engine::poll_many, py::arg("ids"), NoGil(),
           "The news of those that have any; ids that are not known any more are passed over.")
      .def("stats", &Engine::stats, NoGil())
      .def("trim", &Engine::trim, NoGil(),
           "Forgets cached prefixes and gives the memory of free blocks back to the system.")
      .def("save_prefixes", &save_prefixes, py::arg("write"),
           "Calls write(bytes) with pieces of what load_prefixes() reads.")
      .def("load_prefixes", &load_prefixes, py::arg("read"),
           "Calls read(n), which gives n bytes; returns how many blocks were filled.")
      .def("verify", &Engine::verify, NoGil(), "For tests: PyslmError where a block is lost.");
  bind_engine_testing(m);
}

}  // namespace pyslm::bindings
