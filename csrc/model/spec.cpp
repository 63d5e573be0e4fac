#include "model/spec.h"

#include <algorithm>
#include <cmath>

namespace pyslm::model {

std::vector<CacheGroupSpec> cache_groups(const ArchSpec& spec) {
  CacheGroupSpec full, sliding;
  for (const LayerSpec& layer : spec.layers) {
    CacheGroupSpec& group = layer.window ? sliding : full;
    group.window = layer.window;
    group.num_layers = std::max(group.num_layers, layer.cache_index + 1);
  }
  std::vector<CacheGroupSpec> groups;
  if (full.num_layers) groups.push_back(full);
  if (sliding.num_layers) groups.push_back(sliding);
  return groups;
}

void finish_spec(ArchSpec& spec) {
  const bool any_full = std::any_of(spec.layers.begin(), spec.layers.end(),
                                    [](const LayerSpec& layer) { return layer.window == 0; });
  int next[2] = {0, 0};
  for (LayerSpec& layer : spec.layers) {
    layer.cache_group = layer.window && any_full ? 1 : 0;
    // An encoder reads each layer's keys and values once, right after writing them.
    layer.cache_index = spec.causal ? next[layer.cache_group]++ : 0;
  }
  if (spec.attention_scale == 0.0f)
    spec.attention_scale = 1.0f / std::sqrt(static_cast<float>(spec.key_dim));
}

const char* pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::kMean:
      return "mean";
    case Pooling::kCls:
      return "cls";
    case Pooling::kLast:
      return "last";
    case Pooling::kRank:
      return "rank";
  }
  return "last";
}

}  // namespace pyslm::model
