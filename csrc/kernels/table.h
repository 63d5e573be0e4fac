// Every CPU entry point that exists once per ISA tier: pointers to whole kernels, never to a dot
// product. Dispatch happens once per operation and range of rows. No STL here: the ISA objects
// include this header, and nothing inline may leak out of them.
#pragma once

#include <cstdint>

namespace pyslm {

// Activations as the micro-kernels read them. Rows come in groups of `group` (the last may be
// smaller); a group of n rows interleaves as [..][n], so that one k of all its rows is contiguous.
// `bias` holds -128 * (sum of the int8 values): it undoes the +128 of weights that must be unsigned
// (VNNI), and carries the minima of formats that have them.
struct ActLayout {
  int32_t rows = 0, dim = 0, group = 1;
  float* f32 = nullptr;       // [dim][n] per group; null unless wanted
  int8_t* q8 = nullptr;       // [dim/4][n][4] per group; null unless wanted
  float* scale = nullptr;     // [dim/32][n] per group
  int32_t* bias32 = nullptr;  // [dim/32][n] per group
  int32_t* bias16 = nullptr;  // [dim/16][n] per group
};

struct MatmulArgs {
  const uint8_t* tiles;  // packed weight; layout.h
  int64_t tile_bytes;
  int64_t rows, cols;  // outputs, inputs
  const ActLayout* act;
  const float* bias;  // [rows] or null
  float* out;         // [act rows x rows], row stride out_stride
  int64_t out_stride;
  bool accumulate;  // out += scale * result
  float scale;
  uint8_t* scratch;  // matmul_scratch_bytes(cols) of this thread's own, 64-byte aligned
};

enum class GateKind : int32_t { kSilu, kGeluTanh, kGeluErf, kRelu2 };

// One (sequence, KV head, tile of query vectors) of attention. A query vector is a (row, head)
// pair.
struct AttentionItem {
  const uint8_t* const* blocks;  // each block of the sequence; null where freed
  int64_t head_offset;           // where this KV head's part of a block begins
  int32_t block_tokens;
  int32_t key_dim, value_dim;
  int64_t key_bytes;            // V follows K at this offset
  int32_t num_keys;             // positions [0, num_keys) hold keys
  int32_t num_queries;          // at most Kernels::attention_queries
  const float* q[16];           // [key_dim] each
  float* out[16];               // [value_dim] each
  int32_t first[16], last[16];  // keys seen by query i: positions first <= p <= last
  float sink[16];               // extra logit; -inf for none
  float scale, softcap;
  uint8_t* scratch;  // attention_scratch_bytes(key_dim, value_dim)
};

constexpr int kNumTypes = 40;  // GGUF type numbers up to MXFP4

struct Kernels {
  const char* name;
  int32_t group;              // most rows of one activation group
  int32_t direct_group;       // and where there are no more than twice as many rows as this
  int32_t attention_queries;  // most query vectors of one AttentionItem

  // Output rows of tiles [begin, end), all activation rows. Indexed by GGUF type number.
  void (*matmul[kNumTypes])(const MatmulArgs& args, int64_t begin, int64_t end);

  // Places columns [begin, end) of the group of rows that starts with `first` into the layout, in
  // each form that it has. x: those columns of the first row, the next row `stride` floats on.
  // begin, and end unless it is that of the row: multiples of 32.
  void (*pack_rows)(const ActLayout& act, int32_t first, const float* x, int64_t stride,
                    int64_t begin, int64_t end);
  // rms_norm in two: 1 / sqrt(mean(x^2) + eps), and y = x * factor * weight (which may be null).
  float (*rms_inverse)(const float* x, float eps, int32_t dim);
  void (*scale)(const float* x, float factor, const float* weight, float* y, int32_t dim);
  void (*rms_norm)(const float* x, const float* weight, float eps, float* y, int32_t dim);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, float* y,
                     int32_t dim);
  void (*gate)(GateKind kind, const float* gate, const float* up, float* y, int32_t dim);
  void (*add)(float* x, const float* y, float scale, int32_t dim);
  void (*multiply)(float* x, float factor, int32_t dim);
  void (*softcap)(float* x, float cap, int32_t dim);
  void (*rope)(bool neox, const float* cos_sin, int32_t pairs, float* x, int32_t heads,
               int32_t head_dim);

  // KV cache, by type: 0 F16, 1 BF16, 2 Q8_0. `slot` is the token's index within its block.
  void (*write_key[3])(uint8_t* block, int32_t slot, int32_t dim, const float* k);
  void (*write_value[3])(uint8_t* block, int32_t slot, int32_t dim, int32_t block_tokens,
                         const float* v);
  void (*attention[3])(const AttentionItem& item);

  // Sampling, over [n] logits in blocks of kLogitBlock.
  // out[t] = x[t] where bit t % 32 of word t / 32 is set, else -inf. `out` may be `x`.
  void (*keep_allowed)(const float* x, const uint32_t* bits, int64_t n, float* out);
  // block_max[b]: the largest of a block that
  // is no NaN, -inf where there is none. unusable: a NaN or +inf was seen.
  void (*scan_logits)(const float* x, int64_t n, float* block_max, int32_t* unusable);
  // z[i] = (x[i] - max) * scale, mass[i] = exp(z[i]), 0 below -87.3; returns the sum of mass, and
  // those of its blocks. z and block_sums may be null; z may be x.
  double (*exponentiate)(const float* x, int64_t n, float max, float scale, float* z, float* mass,
                         double* block_sums);
  // The sum of those that are at least so large.
  double (*sum_from)(const float* mass, int64_t n, float least);

  // Rooflines: so many rounds of 1,536 int8 or 384 float operations. The results mean nothing.
  int32_t (*int8_peak)(int64_t rounds);
  float (*float_peak)(int64_t rounds);
};

constexpr int64_t kLogitBlock = 1024;

// Bytes of scratch that one thread needs.
[[maybe_unused]] static constexpr int64_t matmul_scratch_bytes(int64_t cols) {
  return 16 * cols + 2 * (cols / 16 + 1) * 64 + 4096;  // int8 tile, scales and minima as float
}
constexpr int32_t kAttentionSpan = 256;  // keys per partial softmax, at absolute positions
[[maybe_unused]] static constexpr int64_t attention_scratch_bytes(int64_t key_dim,
                                                                  int64_t value_dim) {
  // queries interleaved (float and int8 with scales), scores, one span's output, running output
  return 16 * (key_dim + 64) * 8 + 16 * kAttentionSpan * 4 + 2 * 16 * (value_dim + 16) * 4 + 4096;
}

}  // namespace pyslm
