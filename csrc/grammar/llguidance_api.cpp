#include "grammar/llguidance_api.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>
#include <string_view>

#include "core/error.h"

namespace pyslm::llg {
namespace {

constexpr std::string_view kVersion = "llguidance@1.9.";

template <class Function>
void find(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  if (function == nullptr) {
    fail(ErrorKind::kUnsupported, "the llguidance library lacks the function ", name,
         "; install llguidance 1.9");
  }
}

// The library fills in defaults that its header states: found at the right places, the structures
// are as we declare them.
void check_layout(const Api& api) {
  ConstraintInit init = {};
  api.init_defaults(&init, nullptr);
  const ParserLimits& limits = init.limits;
  if (init.tokenizer == nullptr && limits.max_items_in_row == 2000 &&
      limits.initial_lexer_fuel == 1'000'000 && limits.step_lexer_fuel == 200'000 &&
      limits.step_max_items == 50'000 && limits.max_lexer_states == 250'000 &&
      limits.max_grammar_size == 500'000) {
    return;
  }
  fail(ErrorKind::kUnsupported,
       "the llguidance library lays out its structures in an unknown way; install llguidance 1.9");
}

std::unique_ptr<Api> open(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    fail(ErrorKind::kUnsupported,
         "structured output needs llguidance, which cannot be loaded: ", dlerror());
  }
  auto api = std::make_unique<Api>();
  find(library, "llg_get_version", api->get_version);
  const std::string_view version = api->get_version();
  if (!version.starts_with(kVersion)) {
    fail(ErrorKind::kUnsupported, "the llguidance library is ", version, "; needed: ", kVersion,
         "x");
  }
  find(library, "llg_new_tokenizer_v2", api->new_tokenizer);
  find(library, "llg_free_tokenizer", api->free_tokenizer);
  find(library, "llg_constraint_init_set_defaults", api->init_defaults);
  find(library, "llg_new_matcher", api->new_matcher);
  find(library, "llg_clone_matcher", api->clone_matcher);
  find(library, "llg_free_matcher", api->free_matcher);
  find(library, "llg_matcher_get_error", api->get_error);
  find(library, "llg_matcher_compute_mask_into", api->compute_mask_into);
  find(library, "llg_matcher_consume_token", api->consume_token);
  find(library, "llg_matcher_validate_tokens", api->validate_tokens);
  find(library, "llg_matcher_is_stopped", api->is_stopped);
  find(library, "llg_matcher_get_cancellation_handle", api->get_cancellation_handle);
  find(library, "llg_matcher_is_cancelled", api->is_cancelled);
  find(library, "llg_cancel", api->cancel);
  find(library, "llg_free_cancellation_handle", api->free_cancellation_handle);
  check_layout(*api);
  return api;
}

}  // namespace

const Api& load(const std::string& path) {
  static std::mutex mutex;
  static std::map<std::string, std::unique_ptr<Api>> opened;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Api>& api = opened[path];
  if (!api) api = open(path);
  return *api;
}

}  // namespace pyslm::llg
