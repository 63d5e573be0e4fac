// The one currency between the scheduler and whatever computes (CPU, CUDA, MLX, ONNX Runtime).
//
//   rows:       one per token that this step computes, the sequences' spans laid end to end
//   spans:      one per sequence
//   groups:     one per cache group of the model (full attention; sliding window), each with a
//               block table [num_spans x max_blocks] of pool block ids, -1 where freed or absent
#pragma once

#include <cstdint>
#include <vector>

namespace pyslm {

struct SequenceSpan {
  int32_t first_row;        // index of its first row in the batch
  int32_t num_rows;         // tokens of this sequence computed in this step
  int32_t start;            // position of its first row == tokens already in the cache
  int32_t state_slot = -1;  // recurrent-state slot; -1 where the model has none
  int32_t adapter = -1;     // LoRA adapter; -1 for none
};

struct GroupTable {
  int32_t max_blocks = 0;            // columns of block_table
  std::vector<int32_t> block_table;  // [num_spans x max_blocks]
};

struct Batch {
  std::vector<int32_t> tokens;     // [rows]
  std::vector<float> embeddings;   // [rows x hidden] in place of tokens; usually empty
  std::vector<int32_t> positions;  // [rows]
  std::vector<SequenceSpan> spans;
  std::vector<GroupTable> groups;
  std::vector<int32_t> output_rows;  // rows whose logits are wanted, ascending
  std::vector<int32_t> hidden_rows;  // rows whose hidden states are, ascending; none is in both
  int32_t num_rows() const { return static_cast<int32_t>(positions.size()); }
};

}  // namespace pyslm
