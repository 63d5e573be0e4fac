// Compiled with no ISA flags: it runs before anything is known about the CPU.
#include "isa/select.h"

#include <cstdlib>

#include "core/error.h"

#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#if !defined(HWCAP2_I8MM)  // headers of kernels before 5.7
#define HWCAP2_I8MM (1 << 13)
#endif
#endif

namespace pyslm {

#define PYSLM_DECLARE(tier) extern const Kernels kernels_##tier
PYSLM_DECLARE(scalar);
PYSLM_DECLARE(avx2);
PYSLM_DECLARE(avxvnni);
PYSLM_DECLARE(evexvnni);
PYSLM_DECLARE(avx512);
PYSLM_DECLARE(avx512vnni);
PYSLM_DECLARE(avx512bf16);
PYSLM_DECLARE(neon);
PYSLM_DECLARE(dotprod);
PYSLM_DECLARE(i8mm);
#undef PYSLM_DECLARE

namespace {

std::vector<TierInfo> find_tiers() {
  std::vector<TierInfo> tiers;
  tiers.push_back({"scalar", &kernels_scalar, true});
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
  const Kernels* none = nullptr;
#if defined(PYSLM_TIER_avx2)
  tiers.push_back({"avx2", &kernels_avx2, avx2});
#else
  tiers.push_back({"avx2", none, avx2});
#endif
#if defined(PYSLM_TIER_avxvnni)
  tiers.push_back({"avxvnni", &kernels_avxvnni, avx2 && __builtin_cpu_supports("avxvnni")});
#else
  tiers.push_back({"avxvnni", none, false});
#endif
#if defined(PYSLM_TIER_evexvnni)
  tiers.push_back({"evexvnni", &kernels_evexvnni, vnni});
#endif
#if defined(PYSLM_TIER_avx512)
  tiers.push_back({"avx512", &kernels_avx512, avx512});
#else
  tiers.push_back({"avx512", none, avx512});
#endif
#if defined(PYSLM_TIER_avx512vnni)
  tiers.push_back({"avx512vnni", &kernels_avx512vnni, vnni});
#else
  tiers.push_back({"avx512vnni", none, vnni});
#endif
#if defined(PYSLM_TIER_avx512bf16)
  tiers.push_back(
      {"avx512bf16", &kernels_avx512bf16, vnni && __builtin_cpu_supports("avx512bf16")});
#else
  tiers.push_back({"avx512bf16", none, false});
#endif
  (void)none;
#elif defined(__aarch64__)
  tiers.push_back({"neon", &kernels_neon, true});
#if defined(__APPLE__)
  const bool dotprod = true, i8mm = false;
#else
  const bool dotprod = getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
  const bool i8mm = dotprod && (getauxval(AT_HWCAP2) & HWCAP2_I8MM);
#endif
#if defined(PYSLM_TIER_dotprod)
  tiers.push_back({"dotprod", &kernels_dotprod, dotprod});
#else
  tiers.push_back({"dotprod", nullptr, dotprod});
#endif
#if defined(PYSLM_TIER_i8mm)
  tiers.push_back({"i8mm", &kernels_i8mm, i8mm});
#else
  tiers.push_back({"i8mm", nullptr, i8mm});
#endif
#endif
  return tiers;
}

}  // namespace

const std::vector<TierInfo>& isa_tiers() {
  static const std::vector<TierInfo> tiers = find_tiers();
  return tiers;
}

const Kernels& kernels_named(const std::string& name) {
  std::string usable;
  for (const TierInfo& tier : isa_tiers()) {
    const bool runs = tier.kernels && tier.supported;
    if (runs && name == tier.name) return *tier.kernels;
    if (runs) usable += (usable.empty() ? "" : ", ") + std::string(tier.name);
  }
  fail(ErrorKind::kInvalid, "ISA tier '", name,
       "' does not run here; PYSLM_ISA may be one of: ", usable);
}

const Kernels& select_kernels() {
  if (const char* forced = std::getenv("PYSLM_ISA"); forced && *forced)
    return kernels_named(forced);
  const Kernels* best = nullptr;
  for (const TierInfo& tier : isa_tiers())
    if (tier.kernels && tier.supported) best = tier.kernels;
  return *best;
}

}  // namespace pyslm
