// An architecture as data: everything that distinguishes one transformer from another, read from
// the metadata of a GGUF file. The graphs (decoder, encoder) read it and know no model by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/pooling.h"

namespace pyslm::model {

enum class Activation { kSilu, kGeluTanh, kGeluErf };
// Which channels a rotation pairs: neighbours (GGUF calls it NORM), or i with i + n_rot / 2 (NEOX).
enum class RopePairs { kAdjacent, kHalves };
enum class RopeScaling { kNone, kLinear, kYarn, kLongRope };
enum class Presence { kAbsent, kOptional, kRequired };

// Where the norms of a layer sit.
//   kPre:     x += attention(norm(x));        x += ffn(norm(x))
//   kPrePost: x += norm(attention(norm(x)));  x += norm(ffn(norm(x)))     gemma 2 and 3
//   kPost:    x = norm(x + attention(x));     x = norm(x + ffn(x))        BERT
// The first two are RMS norms, the last is LayerNorm with bias. The norm weights multiply as
// stored: GGUF files of the gemma family hold 1 + w already.
enum class NormPlacement { kPre, kPrePost, kPost };

struct RopeSpec {
  int n_rot = 0;  // rotated channels of a head, even
  double base = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;         // by how much scaling extends the context
  int original_context = 0;    // tokens, before the extension
  double attn_factor = 0.0;    // on cos and sin; 0: not given, derived from the scaling
  double beta_fast = 32.0;     // YaRN: rotations over the original context above which a
  double beta_slow = 1.0;      // frequency stays as it is, and below which it is interpolated
  bool tensor_factors = true;  // the factor tensors of the file (rope_freqs, ...) apply
};

struct LayerSpec {
  int window = 0;       // sliding window in tokens, the query itself included; 0: full attention
  int rope = 0;         // index into ArchSpec::ropes; -1: positions do not enter this layer
  int cache_group = 0;  // both filled by finish_spec
  int cache_index = 0;  // layer within the cache group
};

struct ArchSpec {
  std::string architecture;
  bool causal = true;  // a decoder; false: an encoder, every token sees all others

  int hidden = 0;
  int num_heads = 0;
  int num_kv_heads = 0;
  int key_dim = 0;    // channels of one head of Q and K
  int value_dim = 0;  // and of V
  int ffn = 0;
  int vocab = 0;
  int context_train = 0;
  std::vector<LayerSpec> layers;

  NormPlacement norms = NormPlacement::kPre;
  float norm_eps = 1e-5f;
  bool qk_norm = false;  // RMS norm of each head of Q and K, before rope
  Presence qkv_bias = Presence::kOptional;
  Presence linear_bias = Presence::kOptional;  // attention output and feed-forward

  Activation activation = Activation::kSilu;
  bool gated = true;           // down(act(gate(x)) * up(x)); else down(act(up(x)))
  bool fused_gate_up = false;  // ffn_up holds the gate's rows, then the up's

  RopePairs rope_pairs = RopePairs::kAdjacent;
  std::vector<RopeSpec> ropes;
  bool learned_positions = false;

  float embedding_scale = 1.0f;
  float residual_scale = 1.0f;
  float attention_scale = 0.0f;    // on q . k
  float attention_softcap = 0.0f;  // 0: none
  float logit_scale = 1.0f;        // logits are multiplied by this
  float logit_softcap = 0.0f;      // 0: none

  Pooling pooling = Pooling::kLast;

  int num_layers() const { return static_cast<int>(layers.size()); }
  int q_size() const { return num_heads * key_dim; }
  int k_size() const { return num_kv_heads * key_dim; }
  int v_size() const { return num_kv_heads * value_dim; }
  int qkv_size() const { return q_size() + k_size() + v_size(); }
};

// One block table serves one cache group: the layers that see the same tokens. Full attention
// comes first, then sliding windows; a model with one kind only has one group.
struct CacheGroupSpec {
  int window = 0;  // 0: full attention
  int num_layers = 0;
};
std::vector<CacheGroupSpec> cache_groups(const ArchSpec& spec);

// Fills what follows from the rest (cache groups, the default attention scale).
void finish_spec(ArchSpec& spec);

const char* pooling_name(Pooling pooling);

}  // namespace pyslm::model
