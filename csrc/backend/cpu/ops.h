// The CPU's operations, each one parallel region over the thread pool. All matrices are float32,
// row-major, one row per token; `rows` is the number of tokens in the step.
//
// Determinism: an element of any result depends only on its own row's inputs (and, for attention,
// on its own sequence's cache), summed in one fixed order, whatever the number of rows or threads.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "kernels/packed_weight.h"
#include "kernels/table.h"
#include "kv/paged_cache.h"
#include "sched/batch.h"

namespace pyslm::cpu {

struct Context {
  const Kernels* kernels;
  ThreadPool* pool;
};

// The input of matrix products: rows in float32 and/or quantized to int8 in blocks of 32 (with
// scale and sums), interleaved by groups of rows as the micro-kernels read them. Buffers are kept
// between calls.
class Activations {
 public:
  enum Form : unsigned { kFloat = 1, kInt8 = 2 };
  // The forms that a weight of this type reads.
  static unsigned forms_for(DType weight_type);

  // x [rows x dim], row stride in floats.
  void set(const Context&, unsigned forms, const float* x, int64_t stride, int rows, int dim);
  // RMS norm fused: y = x / sqrt(mean(x^2) + eps) * weight.
  void set_rms_norm(const Context&, unsigned forms, const float* x, int64_t stride, int rows,
                    int dim, const float* weight, float eps);
  // Gated activation fused: act(gate) * up. gate and up have their own row strides.
  using Gate = GateKind;  // up == nullptr: act(gate) alone
  void set_gated(const Context&, unsigned forms, Gate gate, const float* gate_x,
                 int64_t gate_stride, const float* up, int64_t up_stride, int rows, int dim);

  int rows() const { return rows_; }
  int dim() const { return dim_; }
  unsigned forms() const { return forms_; }
  const ActLayout& layout() const { return layout_; }
  // Row r as float[dim]; only with kFloat.
  void copy_row(int32_t r, float* out) const;

 private:
  int rows_ = 0, dim_ = 0;
  unsigned forms_ = 0;
  ActLayout layout_{};
  std::vector<uint8_t> buffer_;
  struct Piece {  // columns [begin, end) of a group of rows
    int32_t first, rows;
    int64_t begin, end;
  };

  void resize(const Context&, unsigned forms, int rows, int dim);
  template <class Body>
  void for_pieces(const Context&, Body&& body);
  template <class Make>
  void pack_made(const Context&, Make&& make);
};

// out = a . w^T (+ bias), or out += scale * (a . w^T + bias) where accumulate is set.
struct MatmulJob {
  const PackedWeight* weight;   // [n x dim]
  const float* bias = nullptr;  // [n]
  float* out;                   // [rows x n], row stride out_stride
  int64_t out_stride;
  bool accumulate = false;
  float scale = 1.0f;  // only with accumulate
};
// All jobs read the same activations and run as one parallel region.
void matmul(const Context&, const Activations& a, std::span<const MatmulJob> jobs);

void rms_norm(const Context&, const float* x, int64_t x_stride, const float* weight, float eps,
              float* y, int64_t y_stride, int rows, int dim);
// In place, each head of each row by itself: x [rows x heads x head_dim], weight [head_dim].
void rms_norm_heads(const Context&, float* x, int64_t stride, int rows, int heads, int head_dim,
                    const float* weight, float eps);
void layer_norm(const Context&, const float* x, int64_t x_stride, const float* weight,
                const float* bias /* may be null */, float eps, float* y, int64_t y_stride,
                int rows, int dim);
void add(const Context&, float* x, int64_t x_stride, const float* y, int64_t y_stride, float scale,
         int rows, int dim);  // x += scale * y
void multiply(const Context&, float* x, int64_t stride, float factor, int rows, int dim);
void softcap(const Context&, float* x, int64_t stride, float cap, int rows,
             int dim);  // cap*tanh(x/cap)
// Rows of an embedding table.
void embed(const Context&, const PackedWeight& table, std::span<const int32_t> tokens, float scale,
           float* out, int64_t out_stride);

// cos and sin for each row and rotated pair, times attn_factor. Made once per step and rope
// setting.
struct RopeTable {
  int pairs = 0;               // n_rot / 2
  std::vector<float> cos_sin;  // [rows x pairs x 2]
};
struct RopeConfig {
  int n_rot = 0;  // rotated channels of a head
  double base = 10000.0;
  double freq_scale = 1.0;  // linear scaling: positions are multiplied by this
  float attn_factor = 1.0f;
  std::vector<float> factors;  // [n_rot / 2], divides the frequencies; empty: none
};
void fill_rope_table(const Context&, const RopeConfig&, std::span<const int32_t> positions,
                     RopeTable&);
enum class RopeStyle { kNorm /* adjacent pairs */, kNeox /* halves */ };
void rope(const Context&, RopeStyle, const RopeTable&, float* x, int64_t stride, int rows,
          int heads, int head_dim);

struct AttentionArgs {
  const Batch* batch;
  int group;  // cache group: which block tables
  const PagedCache* cache;
  int layer;  // layer within the cache group
  int num_heads;
  float scale;                   // applied to q . k
  float softcap = 0;             // 0: none
  int window = 0;                // keys with position <= query - window are masked; 0: none
  bool causal = true;            // false: every key of the sequence (encoders)
  const float* sinks = nullptr;  // [num_heads]; extra logit in each softmax
};
// Writes the rows' keys and values into the cache, at their positions.
void write_kv(const Context&, const AttentionArgs&, const float* k, int64_t k_stride,
              const float* v, int64_t v_stride);
// q [rows x num_heads x key_dim] -> out [rows x num_heads x value_dim]. Keys and values are those
// of the cache, after write_kv. Without `causal`, keys are positions [0, start + num_rows).
void attention(const Context&, const AttentionArgs&, const float* q, int64_t q_stride, float* out,
               int64_t out_stride);

}  // namespace pyslm::cpu
