#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace pyslm::model {
namespace {

const std::vector<float>& tensor_factors(const RopeSpec& spec, const Weights& weights,
                                         int context_length) {
  if (!weights.rope_factors_long.empty())
    return context_length > spec.original_context ? weights.rope_factors_long
                                                  : weights.rope_factors_short;
  return weights.rope_freqs;
}

// LongRoPE (arXiv 2402.13753): how much longer the trained context is than the original one.
double longrope_attn_factor(const RopeSpec& spec, const ArchSpec& arch) {
  const double scale = static_cast<double>(arch.context_train) / spec.original_context;
  if (scale <= 1.0 || spec.original_context <= 1) return 1.0;
  return std::sqrt(1.0 + std::log(scale) / std::log(spec.original_context));
}

// The pair that turns `rotations` times over the original context.
double yarn_pair(const RopeSpec& spec, double rotations) {
  return spec.n_rot * std::log(spec.original_context / (rotations * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(spec.base));
}

// YaRN (arXiv 2309.00071): fast pairs stay, slow ones are interpolated by `factor`, those between
// are mixed linearly. As divisors of the frequencies, on top of those that are there already.
std::vector<float> yarn_factors(const RopeSpec& spec, const std::vector<float>& factors) {
  const double low = std::max(0.0, std::floor(yarn_pair(spec, spec.beta_fast)));
  const double high = std::min(spec.n_rot - 1.0, std::ceil(yarn_pair(spec, spec.beta_slow)));
  std::vector<float> divisors(spec.n_rot / 2);
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double ramp =
        std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
    const double given = factors.empty() ? 1.0 : factors[i];
    divisors[i] = static_cast<float>(given / ((1.0 - ramp) + ramp / spec.factor));
  }
  return divisors;
}

void check_factors(const std::vector<float>& factors) {
  for (float factor : factors)
    if (!(factor > 0.0f))
      fail(ErrorKind::kGGUF, "a rope factor tensor holds ", factor, "; allowed: above 0");
}

}  // namespace

cpu::RopeConfig rope_config(const RopeSpec& spec, const ArchSpec& arch, const Weights& weights,
                            int context_length) {
  cpu::RopeConfig config;
  config.n_rot = spec.n_rot;
  config.base = spec.base;
  if (spec.tensor_factors) config.factors = tensor_factors(spec, weights, context_length);
  check_factors(config.factors);
  double attn_factor = spec.attn_factor > 0.0 ? spec.attn_factor : 1.0;
  switch (spec.scaling) {
    case RopeScaling::kNone:
      break;
    case RopeScaling::kLinear:
      config.freq_scale = 1.0 / spec.factor;
      break;
    case RopeScaling::kYarn:
      config.factors = yarn_factors(spec, config.factors);
      if (spec.factor > 1.0) attn_factor *= 1.0 + 0.1 * std::log(spec.factor);
      break;
    case RopeScaling::kLongRope:
      break;
  }
  if (spec.attn_factor == 0.0 && spec.tensor_factors && !weights.rope_factors_long.empty())
    attn_factor = longrope_attn_factor(spec, arch);
  config.attn_factor = static_cast<float>(attn_factor);
  return config;
}

std::vector<cpu::RopeConfig> rope_configs(const ArchSpec& arch, const Weights& weights,
                                          int context_length) {
  std::vector<cpu::RopeConfig> configs;
  for (const RopeSpec& spec : arch.ropes)
    configs.push_back(rope_config(spec, arch, weights, context_length));
  return configs;
}

}  // namespace pyslm::model
