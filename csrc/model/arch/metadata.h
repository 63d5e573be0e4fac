// The metadata keys of one architecture, and the parts of a spec that families share.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "gguf/reader.h"
#include "model/spec.h"

namespace pyslm::model {

// Reads "llama.block_count" as "block_count". Ranges are checked by the reader, which names the
// key.
class Metadata {
 public:
  Metadata(const gguf::Reader& reader, std::string architecture)
      : reader_(reader), architecture_(std::move(architecture)) {}

  const gguf::Reader& reader() const { return reader_; }
  const std::string& architecture() const { return architecture_; }
  std::string key(std::string_view name) const { return architecture_ + "." + std::string(name); }
  bool has(std::string_view name) const { return reader_.find(key(name)) != nullptr; }

  int integer(std::string_view name, int64_t min, int64_t max) const {
    return static_cast<int>(reader_.integer(key(name), min, max));
  }
  int integer(std::string_view name, int64_t min, int64_t max, int64_t absent) const {
    return static_cast<int>(reader_.integer(key(name), min, max, absent));
  }
  double number(std::string_view name, double min, double max) const {
    return reader_.number(key(name), min, max);
  }
  double number(std::string_view name, double min, double max, double absent) const {
    return reader_.number(key(name), min, max, absent);
  }
  // An integer, or an array of one equal integer per layer; different ones are kUnsupported.
  int per_layer(std::string_view name, int64_t min, int64_t max, int layers) const;
  // Per layer, whether its attention slides: from sliding_window_pattern (a period p, in which the
  // last layer of every p sees all, or one boolean per layer), else from the given period.
  std::vector<bool> sliding_layers(int layers, int default_period) const;

 private:
  const gguf::Reader& reader_;
  std::string architecture_;
};

// Sizes, norm eps, head dimensions and pooling, common to all.
ArchSpec base_spec(const Metadata& metadata);
// base_spec for a decoder: RMS eps, one rope setting, every layer full attention with that rope.
ArchSpec decoder_spec(const Metadata& metadata);
// base_spec for a BERT-like encoder: LayerNorm after each part, no causal mask.
ArchSpec encoder_spec(const Metadata& metadata);
// The rope setting of the file; scaling types other than ours are kUnsupported.
RopeSpec rope_spec(const Metadata& metadata, const ArchSpec& spec);
// Gives the layers that `sliding` marks the window of attention.sliding_window, if it is set.
void set_sliding_window(const Metadata& metadata, ArchSpec& spec, const std::vector<bool>& sliding,
                        int default_window);

}  // namespace pyslm::model
