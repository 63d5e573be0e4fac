#include "model/sizing.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace pyslm::model {
namespace {

constexpr int kLeastContext = 512;           // what an unspecified context may shrink to
constexpr double kPackedPerFileByte = 1.06;  // the bound of the packed layouts

int blocks_for(int64_t tokens, int block_tokens) {
  return static_cast<int>((tokens + block_tokens - 1) / block_tokens);
}

// Buffers of one step: the residual stream and its branches, Q/K/V, attention, gate and up, the
// two inputs of matrix products in float32 and int8; and the logits of one row per sequence.
int64_t workspace_bytes(const ArchSpec& spec, const SizeRequest& request) {
  const int64_t attn = int64_t{spec.num_heads} * spec.value_dim;
  const int64_t floats_per_row =
      3 * int64_t{spec.hidden} + spec.qkv_size() + attn + 2 * int64_t{spec.ffn};
  const int64_t activation_bytes_per_row = 6 * (spec.hidden + std::max<int64_t>(attn, spec.ffn));
  const int64_t logits = spec.causal ? 4 * int64_t{request.max_sequences} * spec.vocab : 0;
  return request.max_batch_rows * (4 * floats_per_row + activation_bytes_per_row) + logits;
}

int64_t block_bytes(const ArchSpec& spec, const SizeRequest& request) {
  int64_t bytes = 0;
  for (const KvShape& shape : kv_shapes(spec, request.kv_type, request.block_tokens, 1))
    bytes += shape.num_layers * shape.block_bytes();
  return bytes;
}

std::string mib(int64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

[[noreturn]] void refuse(const Sizes& sizes, int context, int64_t kv, int64_t available) {
  fail(ErrorKind::kMemory, "the model needs ", mib(sizes.weight_bytes + sizes.workspace_bytes + kv),
       " (weights ", mib(sizes.weight_bytes), ", KV cache of ", context, " tokens ", mib(kv),
       ", workspace ", mib(sizes.workspace_bytes), "), available: ", mib(available),
       "; use a file of fewer bits, a smaller context_length, or kv_type q8_0");
}

}  // namespace

std::vector<KvShape> kv_shapes(const ArchSpec& spec, DType kv_type, int block_tokens,
                               int32_t num_blocks) {
  std::vector<KvShape> shapes;
  for (const CacheGroupSpec& group : cache_groups(spec)) {
    KvShape shape;
    shape.type = kv_type;
    shape.num_layers = group.num_layers;
    shape.num_kv_heads = spec.num_kv_heads;
    shape.key_dim = spec.key_dim;
    shape.value_dim = spec.value_dim;
    shape.block_tokens = block_tokens;
    shape.num_blocks = num_blocks;
    shapes.push_back(shape);
  }
  return shapes;
}

Sizes plan_sizes(const ArchSpec& spec, const SizeRequest& request) {
  if (request.context_length < 0 || request.context_length > spec.context_train)
    fail(ErrorKind::kInvalid, "context_length is ", request.context_length,
         "; this model allows 1 to ", spec.context_train, " (0: its own)");
  Sizes sizes;
  sizes.weight_bytes = static_cast<int64_t>(request.tensor_bytes * kPackedPerFileByte);
  sizes.workspace_bytes = workspace_bytes(spec, request);
  const int64_t bytes_per_block = block_bytes(spec, request);
  sizes.kv_bytes_per_token = bytes_per_block / request.block_tokens;

  const int wanted = request.context_length ? request.context_length : spec.context_train;
  const int least = request.context_length ? wanted : std::min(wanted, kLeastContext);
  const int64_t left = request.available_bytes - sizes.weight_bytes - sizes.workspace_bytes;
  int64_t fitting_blocks = std::max<int64_t>(0, left) / bytes_per_block;
  const int least_blocks = blocks_for(least, request.block_tokens);
  if (fitting_blocks < least_blocks)
    refuse(sizes, least, least_blocks * bytes_per_block, request.available_bytes);
  if (request.kv_memory > 0) {
    const int64_t budget_blocks = request.kv_memory / bytes_per_block;
    if (budget_blocks < least_blocks)
      fail(ErrorKind::kInvalid, "kv_memory is ", request.kv_memory, " bytes, which hold ",
           budget_blocks * request.block_tokens, " tokens; a context of ", least, " takes ",
           least_blocks * bytes_per_block, " bytes. Lower context_length or raise kv_memory");
    fitting_blocks = std::min(fitting_blocks, budget_blocks);
  }
  sizes.context_length =
      static_cast<int>(std::min<int64_t>(wanted, fitting_blocks * request.block_tokens));
  // A stated budget may hold more than the requests that run: the rest keeps prefixes.
  const int64_t all =
      request.kv_memory > 0
          ? fitting_blocks
          : int64_t{blocks_for(sizes.context_length, request.block_tokens)} * request.max_sequences;
  sizes.num_blocks = static_cast<int32_t>(
      std::min<int64_t>({all, fitting_blocks, std::numeric_limits<int32_t>::max()}));
  return sizes;
}

}  // namespace pyslm::model
