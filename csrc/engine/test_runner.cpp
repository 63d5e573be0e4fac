#include "engine/test_runner.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <map>
#include <thread>

#include "core/error.h"

namespace pyslm {
namespace {

// The finalizer of SplitMix64.
uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// `before`: the record of the token before it, 0 where there is none.
uint64_t record_of(uint64_t before, int32_t token, int32_t position) {
  return mix(mix(before + (static_cast<uint64_t>(token) << 32 | static_cast<uint32_t>(position))) +
             0x9E3779B97F4A7C15);
}

// A window of one token does not reach the token before.
bool sees_previous(int32_t position, int32_t window) { return position > 0 && window != 1; }

// Sensitive to the order of the records.
uint64_t combine(uint64_t state, uint64_t record) { return mix(state * 31 + record); }

int32_t first_seen(int32_t position, int32_t window) {
  return window == 0 ? 0 : std::max(0, position - window + 1);
}

// One forward() at a time: the engine promises it.
class Exclusive {
 public:
  explicit Exclusive(std::atomic<bool>& busy) : busy_(busy) {
    if (busy_.exchange(true)) fail(ErrorKind::kInternal, "two threads are in forward()");
  }
  ~Exclusive() { busy_ = false; }

 private:
  std::atomic<bool>& busy_;
};

}  // namespace

TestRunner::TestRunner(TestRunnerConfig config) : config_(std::move(config)) {
  for (const CacheGroupInfo& group : config_.groups) {
    store_.emplace_back(static_cast<size_t>(group.num_blocks) *
                        static_cast<size_t>(group.block_tokens));
  }
}

StepOutputs TestRunner::forward(const Batch& batch) {
  const Exclusive exclusive(busy_);
  check(batch);
  write(batch);
  const auto vocab = static_cast<size_t>(config_.num_vocab);
  logits_.assign(batch.output_rows.size() * vocab, 0.0f);
  float* out = logits_.data();
  for (const int32_t row : batch.output_rows) {
    fill_logits(state_of_row(batch, row), batch.tokens[static_cast<size_t>(row)], out);
    out += vocab;
  }
  hidden_.clear();
  for (const int32_t row : batch.hidden_rows) append_hidden(state_of_row(batch, row), hidden_);
  std::this_thread::sleep_for(std::chrono::microseconds(config_.step_microseconds));
  return {.logits = logits_.data(), .hidden = hidden_.data()};
}

uint64_t TestRunner::state_of_row(const Batch& batch, int32_t row) const {
  size_t span = 0;
  while (batch.spans[span].first_row + batch.spans[span].num_rows <= row) ++span;
  return read_state(batch, span, batch.positions[static_cast<size_t>(row)]);
}

void TestRunner::append_hidden(uint64_t state, std::vector<float>& rows) {
  for (int i = 0; i < kHiddenSize; ++i) {
    rows.push_back(static_cast<float>(mix(state + static_cast<uint64_t>(i)) >> 40) * 0x1p-24f);
  }
}

std::vector<float> TestRunner::expected_hidden(std::span<const int32_t> tokens) const {
  std::vector<float> row;
  append_hidden(expected_state(tokens), row);
  return row;
}

std::vector<float> TestRunner::expected_logits(std::span<const int32_t> tokens) const {
  std::vector<float> logits(static_cast<size_t>(config_.num_vocab));
  fill_logits(expected_state(tokens), tokens.back(), logits.data());
  return logits;
}

uint64_t TestRunner::expected_state(std::span<const int32_t> tokens) const {
  const int32_t last = static_cast<int32_t>(tokens.size()) - 1;
  uint64_t state = 0;
  for (const CacheGroupInfo& group : config_.groups) {
    uint64_t record = 0;
    for (int32_t p = 0; p <= last; ++p) {
      const uint64_t before = sees_previous(p, group.window) ? record : 0;
      record = record_of(before, tokens[static_cast<size_t>(p)], p);
      if (p >= first_seen(last, group.window)) state = combine(state, record);
    }
  }
  return state;
}

int64_t TestRunner::block_bytes(int group) const {
  return config_.groups[static_cast<size_t>(group)].block_tokens *
         static_cast<int64_t>(sizeof(uint64_t));
}

void TestRunner::read_block(int group, int32_t block, uint8_t* out) const {
  const auto bytes = static_cast<size_t>(block_bytes(group));
  const auto* store = reinterpret_cast<const uint8_t*>(store_[static_cast<size_t>(group)].data());
  std::memcpy(out, store + static_cast<size_t>(block) * bytes, bytes);
}

void TestRunner::write_block(int group, int32_t block, const uint8_t* data) {
  const auto bytes = static_cast<size_t>(block_bytes(group));
  auto* store = reinterpret_cast<uint8_t*>(store_[static_cast<size_t>(group)].data());
  std::memcpy(store + static_cast<size_t>(block) * bytes, data, bytes);
}

void TestRunner::release_blocks(int group, std::span<const int32_t> blocks) {
  const std::vector<uint8_t> rubbish(static_cast<size_t>(block_bytes(group)), 0xEE);
  for (const int32_t block : blocks) write_block(group, block, rubbish.data());
}

void TestRunner::check(const Batch& batch) const {
  const int32_t rows = batch.num_rows();
  if (rows < 1 || rows > config_.max_batch_rows) {
    fail(ErrorKind::kInternal, "a batch of ", rows, " rows; allowed: 1 to ",
         config_.max_batch_rows);
  }
  if (batch.tokens.size() != batch.positions.size()) {
    fail(ErrorKind::kInternal, batch.tokens.size(), " tokens for ", rows, " rows");
  }
  int32_t next_row = 0;
  for (const SequenceSpan& span : batch.spans) {
    if (span.first_row != next_row || span.num_rows < 1) {
      fail(ErrorKind::kInternal, "spans do not lie end to end at row ", next_row);
    }
    for (int32_t i = 0; i < span.num_rows; ++i) {
      if (batch.positions[static_cast<size_t>(span.first_row + i)] == span.start + i) continue;
      fail(ErrorKind::kInternal, "positions of a span do not ascend from its start");
    }
    next_row += span.num_rows;
  }
  if (next_row != rows) fail(ErrorKind::kInternal, "spans cover ", next_row, " of ", rows, " rows");
  const auto& wanted = batch.output_rows;
  if (std::adjacent_find(wanted.begin(), wanted.end(), std::greater_equal<>()) != wanted.end()) {
    fail(ErrorKind::kInternal, "output rows do not ascend");
  }
  check_tables(batch);
  if (std::find(batch.tokens.begin(), batch.tokens.end(), config_.failing_token) !=
      batch.tokens.end()) {
    fail(ErrorKind::kInternal, "the test runner was asked to fail on token ",
         config_.failing_token);
  }
}

void TestRunner::check_tables(const Batch& batch) const {
  if (batch.groups.size() != config_.groups.size()) {
    fail(ErrorKind::kInternal, batch.groups.size(), " block tables; expected ",
         config_.groups.size());
  }
  for (size_t g = 0; g < batch.groups.size(); ++g) {
    const GroupTable& table = batch.groups[g];
    if (table.block_table.size() != batch.spans.size() * static_cast<size_t>(table.max_blocks)) {
      fail(ErrorKind::kInternal, "a block table of ", table.block_table.size(), " entries for ",
           batch.spans.size(), " spans x ", table.max_blocks);
    }
    check_table(batch, g);
  }
}

// Sequences share a block only at the same place, and only if none of them writes to it.
void TestRunner::check_table(const Batch& batch, size_t group) const {
  const CacheGroupInfo& info = config_.groups[group];
  const auto columns = static_cast<size_t>(batch.groups[group].max_blocks);
  struct Use {
    size_t column;
    bool written;
  };
  std::map<int32_t, Use> uses;
  for (size_t s = 0; s < batch.spans.size(); ++s) {
    for (size_t column = 0; column < columns; ++column) {
      const int32_t block = batch.groups[group].block_table[s * columns + column];
      if (block == -1) continue;
      const auto end = static_cast<int32_t>(column + 1) * info.block_tokens;
      const bool written = end > batch.spans[s].start;
      const auto [use, is_new] = uses.try_emplace(block, Use{column, written});
      const bool shared = !is_new && use->second.column == column && !use->second.written;
      if (block >= 0 && block < info.num_blocks && (is_new || (shared && !written))) continue;
      fail(ErrorKind::kInternal, "block ", block, " of group ", group,
           " is out of range, or written by one sequence and held by another");
    }
  }
}

void TestRunner::write(const Batch& batch) {
  for (size_t s = 0; s < batch.spans.size(); ++s) {
    const SequenceSpan& span = batch.spans[s];
    for (int32_t i = 0; i < span.num_rows; ++i) {
      const auto row = static_cast<size_t>(span.first_row + i);
      for (size_t g = 0; g < store_.size(); ++g) {
        const int32_t position = batch.positions[row];
        const bool chained = sees_previous(position, config_.groups[g].window);
        const uint64_t before = chained ? store_[g][slot(batch, g, s, position - 1)] : 0;
        store_[g][slot(batch, g, s, position)] = record_of(before, batch.tokens[row], position);
      }
    }
  }
}

uint64_t TestRunner::read_state(const Batch& batch, size_t span, int32_t position) const {
  uint64_t state = 0;
  for (size_t g = 0; g < store_.size(); ++g) {
    for (int32_t p = first_seen(position, config_.groups[g].window); p <= position; ++p) {
      state = combine(state, store_[g][slot(batch, g, span, p)]);
    }
  }
  return state;
}

// Where the store of a group keeps a position of a span.
size_t TestRunner::slot(const Batch& batch, size_t group, size_t span, int32_t position) const {
  const int32_t block_tokens = config_.groups[group].block_tokens;
  const GroupTable& table = batch.groups[group];
  const int32_t column = position / block_tokens;
  const int32_t block = column < table.max_blocks
                            ? table.block_table[span * static_cast<size_t>(table.max_blocks) +
                                                static_cast<size_t>(column)]
                            : -1;
  if (block < 0) {
    fail(ErrorKind::kInternal, "position ", position, " of group ", group, " has no block");
  }
  return static_cast<size_t>(block) * static_cast<size_t>(block_tokens) +
         static_cast<size_t>(position % block_tokens);
}

// Even pseudo-random values in [-4, 4).
void TestRunner::fill_logits(uint64_t state, int32_t last_token, float* logits) const {
  if (static_cast<double>(mix(state ^ 0xD1F7) >> 11) * 0x1p-53 < config_.deviation) state = ~state;
  for (int i = 0; i < config_.num_vocab; ++i) {
    const uint64_t bits = mix(state + 0x9E3779B97F4A7C15 * static_cast<uint64_t>(i + 1));
    logits[i] = static_cast<float>(bits >> 40) * 0x1p-21f - 4.0f;
  }
  if (last_token == config_.nan_token) logits[0] = std::numeric_limits<float>::quiet_NaN();
}

}  // namespace pyslm
