// pyslm._native.Model: a CpuRunner, and the few functions about architectures.
#include <chrono>

#include "bindings/bindings.h"
#include "model/arch/architecture.h"
#include "model/cpu_runner.h"
#include "model/weights.h"

namespace pyslm::bindings {
namespace {

using model::ArchSpec;
using model::CpuRunner;
using TokenArray = py::array_t<int32_t, py::array::c_style>;
using FloatArray = py::array_t<float, py::array::c_style>;

std::span<const int32_t> tokens_of(const TokenArray& ids) {
  if (ids.ndim() != 1)
    fail(ErrorKind::kInvalid, "token ids have ", ids.ndim(), " dimensions; allowed: 1");
  return {ids.data(), static_cast<size_t>(ids.size())};
}

std::vector<std::span<const int32_t>> tokens_of(const std::vector<TokenArray>& sequences) {
  std::vector<std::span<const int32_t>> spans;
  for (const TokenArray& ids : sequences) spans.push_back(tokens_of(ids));
  return spans;
}

// Called without the GIL after each tensor, with the fraction done: an exception of the callback,
// or Ctrl-C, stops the loading. Not more often than a person sees: each call may wait for the GIL,
// which a thread that builds the tokenizer meanwhile holds for long.
model::LoadProgress load_progress(const py::object& callback) {
  using Clock = std::chrono::steady_clock;
  return [&callback, told = Clock::time_point{}](const std::string&, uint64_t done_bytes,
                                                 uint64_t total_bytes) mutable {
    const Clock::time_point now = Clock::now();
    if (done_bytes < total_bytes && now - told < std::chrono::milliseconds(100)) return;
    told = now;
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
    if (!callback.is_none())
      callback(static_cast<double>(done_bytes) / static_cast<double>(total_bytes));
  };
}

std::unique_ptr<CpuRunner> load(const std::string& path, int threads, const std::string& kv_type,
                                int context_length, int max_sequences, int max_batch_rows,
                                int block_tokens, int64_t kv_memory, const py::object& weight_cache,
                                uint64_t weight_cache_least, uint64_t weight_cache_limit,
                                const py::object& progress) {
  std::string directory;
  if (!weight_cache.is_none())
    directory = py::module_::import("os").attr("fsencode")(weight_cache).cast<std::string>();
  const model::RunnerConfig config{threads,
                                   kv_type,
                                   context_length,
                                   max_sequences,
                                   max_batch_rows,
                                   block_tokens,
                                   kv_memory,
                                   {directory, weight_cache_least, weight_cache_limit},
                                   load_progress(progress)};
  const py::gil_scoped_release no_gil;
  return std::make_unique<CpuRunner>(path, config);
}

py::dict spec_dict(const ArchSpec& spec) {
  py::dict d;
  d["architecture"] = spec.architecture;
  d["generates"] = spec.causal;  // false: an encoder
  d["hidden_size"] = spec.hidden;
  d["num_layers"] = spec.num_layers();
  d["num_heads"] = spec.num_heads;
  d["num_kv_heads"] = spec.num_kv_heads;
  d["key_dim"] = spec.key_dim;
  d["value_dim"] = spec.value_dim;
  d["ffn_size"] = spec.ffn;
  d["vocab_size"] = spec.vocab;
  d["trained_context_length"] = spec.context_train;
  d["norm_eps"] = spec.norm_eps;
  d["qk_norm"] = spec.qk_norm;
  d["embedding_scale"] = spec.embedding_scale;
  d["residual_scale"] = spec.residual_scale;
  d["attention_scale"] = spec.attention_scale;
  d["attention_softcap"] = spec.attention_softcap;
  d["logit_scale"] = spec.logit_scale;
  d["logit_softcap"] = spec.logit_softcap;
  d["pooling"] = model::pooling_name(spec.pooling);
  std::vector<int> windows, ropes;
  for (const model::LayerSpec& layer : spec.layers) {
    windows.push_back(layer.window);
    ropes.push_back(layer.rope);
  }
  d["layer_windows"] = windows;
  d["layer_ropes"] = ropes;
  return d;
}

py::list rope_list(const ArchSpec& spec) {
  constexpr const char* kScalings[] = {"none", "linear", "yarn", "longrope"};
  py::list ropes;
  for (const model::RopeSpec& rope : spec.ropes) {
    py::dict d;
    d["n_rot"] = rope.n_rot;
    d["base"] = rope.base;
    d["scaling"] = kScalings[static_cast<int>(rope.scaling)];
    d["factor"] = rope.factor;
    d["original_context"] = rope.original_context;
    ropes.append(d);
  }
  return ropes;
}

py::dict info(const CpuRunner& runner) {
  const model::ModelInfo info = runner.info();
  py::dict d = spec_dict(info.spec);
  d["ropes"] = rope_list(info.spec);
  d["context_length"] = info.context_length;
  d["file_bytes"] = info.file_bytes;
  d["num_parameters"] = info.num_parameters;
  d["name"] = info.name;
  d["file_type"] = info.file_type;
  d["has_chat_template"] = info.has_chat_template;
  d["isa"] = info.isa;
  d["weight_bytes"] = info.weight_bytes;
  d["kv_type"] = info.kv_type;
  d["kv_bytes_per_token"] = info.kv_bytes_per_token;
  d["kv_bytes"] = info.kv_bytes;
  d["threads"] = info.threads;
  d["weight_cache"] = info.weight_cache;
  py::dict types;
  for (const auto& [name, count] : info.tensor_types) types[name.c_str()] = count;
  d["tensor_types"] = types;
  py::list groups;
  for (const CacheGroupInfo& group : info.cache_groups) {
    py::dict g;
    g["window"] = group.window;
    g["num_blocks"] = group.num_blocks;
    g["block_tokens"] = group.block_tokens;
    groups.append(g);
  }
  d["cache_groups"] = groups;
  return d;
}

// The metadata of a file as a spec, every tensor's presence and shape checked, nothing loaded.
py::dict read_spec(const std::string& path) {
  const gguf::Reader reader(path);
  const ArchSpec spec = model::read_spec(reader);
  model::Weights weights;
  model::plan_tensors(spec, reader, weights);
  py::dict d = spec_dict(spec);
  d["ropes"] = rope_list(spec);
  return d;
}

std::vector<std::tuple<std::string, uint64_t, std::string>> verify_weight_cache(
    const py::object& directory, bool remove) {
  const auto path = py::module_::import("os").attr("fsencode")(directory).cast<std::string>();
  const py::gil_scoped_release no_gil;
  std::vector<std::tuple<std::string, uint64_t, std::string>> result;
  for (model::PackedCacheFinding& finding : model::verify_packed_cache(path, remove))
    result.emplace_back(finding.name, finding.num_bytes, finding.problem);
  return result;
}

py::list run_together(CpuRunner& runner, const std::vector<TokenArray>& sequences,
                      const std::vector<int>& chunks) {
  py::list results;
  std::vector<float*> out;
  for (const TokenArray& ids : sequences) {
    FloatArray rows({ids.size(), static_cast<py::ssize_t>(runner.num_vocab())});
    out.push_back(rows.mutable_data());
    results.append(rows);
  }
  const auto spans = tokens_of(sequences);
  const py::gil_scoped_release no_gil;
  runner.logits(spans, chunks, out);
  return results;
}

py::object logits(CpuRunner& runner, const TokenArray& ids, std::optional<int> chunk) {
  return run_together(runner, {ids}, {chunk.value_or(CpuRunner::kLogitRows)})[0];
}

}  // namespace

void bind_model(py::module_& m) {
  m.def("architectures", &model::architecture_names,
        "Names of the architectures that can be run, as in general.architecture.");
  m.def("read_spec", &read_spec, py::arg("path"),
        "The architecture of a GGUF file as a dict; checks every tensor's shape, loads none.");

  m.def("verify_weight_cache", &verify_weight_cache, py::arg("directory"), py::arg("remove"),
        "Reads every entry; list of (file name, bytes, problem or ''). Bad ones are removed.");

  if (!py::detail::get_type_info(typeid(Runner))) py::class_<Runner>(m, "Runner");
  py::class_<CpuRunner, Runner>(m, "Model")
      .def(py::init(&load), py::arg("path"), py::kw_only(), py::arg("threads") = 0,
           py::arg("kv_type") = "f16", py::arg("context_length") = 0, py::arg("max_sequences") = 16,
           py::arg("max_batch_rows") = 512, py::arg("block_tokens") = 32, py::arg("kv_memory") = 0,
           py::arg("weight_cache") = py::none(), py::arg("weight_cache_least") = 0,
           py::arg("weight_cache_limit") = 0, py::arg("progress") = py::none(),
           "Loads a GGUF file. progress(fraction_done) after each tensor. weight_cache: directory "
           "of packed weights, for files of at least so many bytes, bounded to so many bytes.")
      .def("settle_weight_cache", &CpuRunner::settle_weight_cache, py::arg("seconds"),
           py::arg("checks") = true, py::call_guard<py::gil_scoped_release>(),
           "Waits until packed weights are stored, and checked; whether that is so.")
      .def_property_readonly("info", &info)
      .def("load_adapter", &CpuRunner::load_adapter, py::arg("path"), py::arg("scale") = 1.0f,
           py::call_guard<py::gil_scoped_release>(),
           "Reads a LoRA adapter (GGUF); returns its number, for SamplingParams.adapter.")
      .def("logits", &logits, py::arg("ids"), py::arg("chunk") = py::none(),
           "ids int32 [n] -> float32 [n, vocab], as a fresh sequence, `chunk` rows a step.")
      .def("forward_batch", &run_together, py::arg("sequences"), py::arg("chunks"),
           "Runs fresh sequences together, each advancing by its chunk (a list of one: the same "
           "for all) -> list of float32 [n, vocab].");
}

}  // namespace pyslm::bindings
