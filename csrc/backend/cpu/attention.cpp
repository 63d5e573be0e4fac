#include <algorithm>
#include <limits>

#include "backend/cpu/ops.h"
#include "backend/cpu/scratch.h"
#include "core/error.h"

namespace pyslm::cpu {
namespace {

int kv_index(DType type) { return type == DType::kF16 ? 0 : type == DType::kBF16 ? 1 : 2; }

// Block pointers of every span for one layer; null where a block was freed.
struct BlockPointers {
  std::vector<const uint8_t*> pointers;
  int32_t columns;
  explicit BlockPointers(const AttentionArgs& args) {
    const GroupTable& table = args.batch->groups[static_cast<size_t>(args.group)];
    columns = table.max_blocks;
    pointers.resize(table.block_table.size());
    for (size_t i = 0; i < pointers.size(); ++i)
      pointers[i] =
          table.block_table[i] < 0 ? nullptr : args.cache->block(args.layer, table.block_table[i]);
  }
  const uint8_t* const* of(size_t span) const {
    return pointers.data() + span * static_cast<size_t>(columns);
  }
};

// Query vectors of one span and KV head, cut into items of at most `most`.
struct Work {
  size_t span;
  int32_t kv_head, first, count;  // query vectors [first, first + count)
};

std::vector<Work> plan(const AttentionArgs& args, int32_t most) {
  const KvShape& shape = args.cache->shape();
  const int32_t group = args.num_heads / shape.num_kv_heads;
  std::vector<Work> work;
  for (size_t s = 0; s < args.batch->spans.size(); ++s) {
    const int32_t vectors = args.batch->spans[s].num_rows * group;
    const int32_t items = (vectors + most - 1) / most,
                  step = items ? (vectors + items - 1) / items : 1;
    // Long items first: the last rows of a prompt see the most keys.
    for (int32_t first = (items - 1) * step; first >= 0; first -= step)
      for (int32_t h = 0; h < shape.num_kv_heads; ++h)
        if (first < vectors) work.push_back({s, h, first, std::min(step, vectors - first)});
  }
  return work;
}

}  // namespace

void write_kv(const Context& ctx, const AttentionArgs& args, const float* k, int64_t k_stride,
              const float* v, int64_t v_stride) {
  const KvShape& shape = args.cache->shape();
  const GroupTable& table = args.batch->groups[static_cast<size_t>(args.group)];
  const int kind = kv_index(shape.type);
  const int64_t head_bytes = shape.key_bytes() + shape.value_bytes();
  for (size_t s = 0; s < args.batch->spans.size(); ++s) {
    const SequenceSpan& span = args.batch->spans[s];
    const int32_t* blocks = table.block_table.data() + s * static_cast<size_t>(table.max_blocks);
    ctx.pool->parallel_for(span.num_rows, 16, [&](int, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int32_t position = span.start + static_cast<int32_t>(i),
                      slot = position % shape.block_tokens;
        uint8_t* block = args.cache->block(args.layer, blocks[position / shape.block_tokens]);
        const float* k_row = k + (span.first_row + i) * k_stride;
        const float* v_row = v + (span.first_row + i) * v_stride;
        for (int h = 0; h < shape.num_kv_heads; ++h, block += head_bytes) {
          ctx.kernels->write_key[kind](block, slot, shape.key_dim,
                                       k_row + int64_t{h} * shape.key_dim);
          ctx.kernels->write_value[kind](block + shape.key_bytes(), slot, shape.value_dim,
                                         shape.block_tokens, v_row + int64_t{h} * shape.value_dim);
        }
      }
    });
  }
}

void attention(const Context& ctx, const AttentionArgs& args, const float* q, int64_t q_stride,
               float* out, int64_t out_stride) {
  const KvShape& shape = args.cache->shape();
  const int32_t group = args.num_heads / shape.num_kv_heads;
  const BlockPointers blocks(args);
  const std::vector<Work> work = plan(args, ctx.kernels->attention_queries);
  ctx.pool->parallel_for(
      static_cast<int64_t>(work.size()), 1, [&](int, int64_t begin, int64_t end) {
        for (int64_t w = begin; w < end; ++w) {
          const Work& job = work[static_cast<size_t>(w)];
          const SequenceSpan& span = args.batch->spans[job.span];
          AttentionItem item;
          item.blocks = blocks.of(job.span);
          item.head_offset = job.kv_head * (shape.key_bytes() + shape.value_bytes());
          item.block_tokens = shape.block_tokens;
          item.key_dim = shape.key_dim, item.value_dim = shape.value_dim;
          item.key_bytes = shape.key_bytes();
          item.num_keys = span.start + span.num_rows;
          item.num_queries = job.count;
          item.scale = args.scale, item.softcap = args.softcap;
          item.scratch = thread_scratch(attention_scratch_bytes(shape.key_dim, shape.value_dim));
          for (int32_t i = 0; i < job.count; ++i) {
            const int32_t row = (job.first + i) / group,
                          head = job.kv_head * group + (job.first + i) % group;
            const int32_t position = span.start + row;
            const int64_t at = span.first_row + row;
            item.q[i] = q + at * q_stride + int64_t{head} * shape.key_dim;
            item.out[i] = out + at * out_stride + int64_t{head} * shape.value_dim;
            item.last[i] = args.causal ? position : item.num_keys - 1;
            item.first[i] = args.window > 0 ? std::max(0, position - args.window + 1) : 0;
            item.sink[i] = args.sinks ? args.sinks[head] : -std::numeric_limits<float>::infinity();
          }
          ctx.kernels->attention[kv_index(shape.type)](item);
        }
      });
}

}  // namespace pyslm::cpu
