// A runner for tests of the engine, with no model behind it. Each token leaves a record in a paged
// store, a hash of all tokens up to it, as keys and values are functions of the whole prefix; the
// logits are hashes of the records that its position can see, read back through the block tables.
// A wrong table, a token missed, a block freed too early, shared by unequal prefixes or written
// while shared: each shows as different output, or is refused here with Error(kInternal).
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "model/runner.h"

namespace pyslm {

struct TestRunnerConfig {
  int num_vocab = 64;
  int context_length = 1024;
  int max_batch_rows = 512;
  std::vector<CacheGroupInfo> groups = {CacheGroupInfo{.window = 0, .num_blocks = 64}};
  int32_t nan_token = -1;      // logits after this token are NaN
  int32_t failing_token = -1;  // forward() throws where a batch holds this token
  int step_microseconds = 0;   // how long forward() takes at least
  double deviation = 0;        // share of rows whose logits are another model's
  bool whole_sequences = false;
  Pooling pooling = Pooling::kLast;
};

class TestRunner final : public Runner {
 public:
  static constexpr int kHiddenSize = 3;

  explicit TestRunner(TestRunnerConfig config);

  int num_vocab() const override { return config_.num_vocab; }
  int hidden_size() const override { return kHiddenSize; }
  int context_length() const override { return config_.context_length; }
  bool whole_sequences() const override { return config_.whole_sequences; }
  Pooling pooling() const override { return config_.pooling; }
  int max_batch_rows() const override { return config_.max_batch_rows; }
  std::vector<CacheGroupInfo> cache_groups() const override { return config_.groups; }
  StepOutputs forward(const Batch& batch) override;
  int64_t block_bytes(int group) const override;
  void read_block(int group, int32_t block, uint8_t* out) const override;
  void write_block(int group, int32_t block, const uint8_t* data) override;
  void release_blocks(int group, std::span<const int32_t> blocks) override;  // overwrites them

  // The logits after the last of `tokens`, [num_vocab], with no blocks involved: what forward()
  // must give for a sequence that holds them.
  std::vector<float> expected_logits(std::span<const int32_t> tokens) const;
  // Likewise the hidden state, [kHiddenSize].
  std::vector<float> expected_hidden(std::span<const int32_t> tokens) const;

 private:
  void check(const Batch& batch) const;
  void check_tables(const Batch& batch) const;
  void check_table(const Batch& batch, size_t group) const;
  void write(const Batch& batch);
  uint64_t state_of_row(const Batch& batch, int32_t row) const;
  uint64_t expected_state(std::span<const int32_t> tokens) const;
  static void append_hidden(uint64_t state, std::vector<float>& rows);
  uint64_t read_state(const Batch& batch, size_t span, int32_t position) const;
  size_t slot(const Batch& batch, size_t group, size_t span, int32_t position) const;
  void fill_logits(uint64_t state, int32_t last_token, float* logits) const;

  TestRunnerConfig config_;
  std::vector<std::vector<uint64_t>> store_;  // per group: [num_blocks x block_tokens]
  std::vector<float> logits_, hidden_;
  std::atomic<bool> busy_{false};
};

}  // namespace pyslm
