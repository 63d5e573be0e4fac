// The C functions that llguidance's Python wheel exports, called without Python: masks made through
// the GIL wait for every busy Python thread. Declarations after the library's public C header
// (parser/llguidance.h, version 1.9); load() checks that the library at hand is of that version and
// lays its structures out as written here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace pyslm::llg {

struct Tokenizer;           // opaque
struct Matcher;             // opaque
struct CancellationHandle;  // opaque

// What one grammar may cost; 0 stands for the library's own default.
struct ParserLimits {
  size_t max_items_in_row;
  uint64_t initial_lexer_fuel;
  uint64_t step_lexer_fuel;
  size_t step_max_items;
  size_t max_lexer_states;
  size_t max_grammar_size;
  bool precompute_large_lexemes;
  bool verbose_errors;
};

struct ConstraintInit {
  const Tokenizer* tokenizer;
  uint32_t log_buffer_level;
  uint32_t log_stderr_level;
  bool ff_tokens_ok;
  bool backtrack_ok;
  ParserLimits limits;
  uint8_t reserved[256];  // zero: fields that a later 1.9.x may append
};

using TokenizeFn = size_t (*)(const void* user_data, const uint8_t* bytes, size_t num_bytes,
                              uint32_t* tokens, size_t capacity);

struct TokenizerInit {  // LlgTokenizerInitV2
  size_t struct_size;
  uint32_t vocab_size;
  uint32_t tok_eos;
  const uint32_t* token_lens;
  const uint8_t* token_bytes;
  const char* tokenizer_json;
  bool tokenize_assumes_string;
  TokenizeFn tokenize_fn;
  bool use_approximate_greedy_tokenize_fn;
  const void* tokenize_user_data;
  const char* const* slices;
  const uint32_t* tok_eos_extra;
  uint32_t tok_eos_extra_count;
};

struct Api {
  const char* (*get_version)();
  Tokenizer* (*new_tokenizer)(const TokenizerInit*, char* error, size_t error_capacity);
  void (*free_tokenizer)(Tokenizer*);
  void (*init_defaults)(ConstraintInit*, const Tokenizer*);
  Matcher* (*new_matcher)(const ConstraintInit*, const char* type, const char* text);
  Matcher* (*clone_matcher)(const Matcher*);
  void (*free_matcher)(Matcher*);
  const char* (*get_error)(Matcher*);
  int32_t (*compute_mask_into)(Matcher*, uint32_t* mask, size_t mask_bytes);
  int32_t (*consume_token)(Matcher*, uint32_t token);
  // How many of the tokens could be consumed; negative for an error.
  int32_t (*validate_tokens)(Matcher*, const uint32_t* tokens, size_t count);
  bool (*is_stopped)(const Matcher*);
  // Of an idle matcher. cancel() may then be called from another thread while the matcher works.
  CancellationHandle* (*get_cancellation_handle)(Matcher*);
  bool (*is_cancelled)(const Matcher*);
  void (*cancel)(const CancellationHandle*);
  void (*free_cancellation_handle)(CancellationHandle*);
};

// Opens the shared library at `path`; once per process and never closed. Error(kUnsupported) where
// it cannot be opened, lacks a function or is another version.
const Api& load(const std::string& path);

}  // namespace pyslm::llg
