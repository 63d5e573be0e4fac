// Fills the table of one tier. A tier's .cpp chooses its dialect and includes this; the dialect and
// every kernel live in an anonymous namespace, so that nothing compiled for this ISA can be linked
// into code that runs on another. The one exported symbol is PYSLM_TIER_SYMBOL.
#include "kernels/layout.h"
#include "kernels/table.h"
#include "kernels/unroll.h"

// In the order of their needs.
// clang-format off
#include "kernels/codes.inl"
#include "kernels/math.inl"
#include "kernels/matmul_int8.inl"
#include "kernels/matmul_float.inl"
#include "kernels/rows.inl"
#include "kernels/kv.inl"
#include "kernels/attention.inl"
#include "kernels/sampling.inl"
#include "kernels/peak.inl"
// clang-format on

namespace pyslm {
namespace {

template <const layout::Format& Fmt>
constexpr void set_int8(Kernels& table, DType type) {
  table.matmul[static_cast<int>(type)] = matmul_int8<Fmt>;
}

constexpr Kernels make_table(const char* name) {
  Kernels table{};
  table.name = name;
  table.group = kGroup;
  table.direct_group = kDirect;
  table.attention_queries = kGroup;
  table.matmul[static_cast<int>(DType::kF32)] = matmul_float<DType::kF32>;
  table.matmul[static_cast<int>(DType::kF16)] = matmul_float<DType::kF16>;
  table.matmul[static_cast<int>(DType::kBF16)] = matmul_float<DType::kBF16>;
  set_int8<layout::kQ4_0>(table, DType::kQ4_0);
  set_int8<layout::kQ4_1>(table, DType::kQ4_1);
  set_int8<layout::kQ5_0>(table, DType::kQ5_0);
  set_int8<layout::kQ5_1>(table, DType::kQ5_1);
  set_int8<layout::kQ8_0>(table, DType::kQ8_0);
  set_int8<layout::kQ2_K>(table, DType::kQ2_K);
  set_int8<layout::kQ3_K>(table, DType::kQ3_K);
  set_int8<layout::kQ4_K>(table, DType::kQ4_K);
  set_int8<layout::kQ5_K>(table, DType::kQ5_K);
  set_int8<layout::kQ6_K>(table, DType::kQ6_K);
  set_int8<layout::kIQ4_NL>(table, DType::kIQ4_NL);
  set_int8<layout::kIQ4_XS>(table, DType::kIQ4_XS);
  set_int8<layout::kMXFP4>(table, DType::kMXFP4);
  table.pack_rows = pack_rows;
  table.rms_inverse = rms_inverse;
  table.scale = scale;
  table.rms_norm = rms_norm;
  table.layer_norm = layer_norm;
  table.gate = gate;
  table.add = add;
  table.multiply = multiply;
  table.softcap = softcap;
  table.rope = rope;
  table.write_key[0] = write_key<Kv::kF16>;
  table.write_key[1] = write_key<Kv::kBF16>;
  table.write_key[2] = write_key<Kv::kQ8>;
  table.write_value[0] = write_value<Kv::kF16>;
  table.write_value[1] = write_value<Kv::kBF16>;
  table.write_value[2] = write_value<Kv::kQ8>;
  table.attention[0] = attention<Kv::kF16>;
  table.attention[1] = attention<Kv::kBF16>;
  table.attention[2] = attention<Kv::kQ8>;
  table.keep_allowed = keep_allowed;
  table.scan_logits = scan_logits;
  table.exponentiate = exponentiate;
  table.sum_from = sum_from;
  table.int8_peak = int8_peak;
  table.float_peak = float_peak;
  return table;
}

}  // namespace
}  // namespace pyslm
