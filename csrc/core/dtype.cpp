#include "core/dtype.h"

#include <array>

namespace pyslm {
namespace {

constexpr std::array<DTypeInfo, 21> kTypes{{
    {DType::kF32, "F32", 1, 4, true},
    {DType::kF16, "F16", 1, 2, true},
    {DType::kBF16, "BF16", 1, 2, true},
    {DType::kQ4_0, "Q4_0", 32, 18, true},
    {DType::kQ4_1, "Q4_1", 32, 20, true},
    {DType::kQ5_0, "Q5_0", 32, 22, true},
    {DType::kQ5_1, "Q5_1", 32, 24, true},
    {DType::kQ8_0, "Q8_0", 32, 34, true},
    {DType::kQ2_K, "Q2_K", 256, 84, true},
    {DType::kQ3_K, "Q3_K", 256, 110, true},
    {DType::kQ4_K, "Q4_K", 256, 144, true},
    {DType::kQ5_K, "Q5_K", 256, 176, true},
    {DType::kQ6_K, "Q6_K", 256, 210, true},
    {DType::kIQ4_NL, "IQ4_NL", 32, 18, true},
    {DType::kIQ4_XS, "IQ4_XS", 256, 136, true},
    {DType::kMXFP4, "MXFP4", 32, 17, true},
    {DType::kI8, "I8", 1, 1, false},
    {DType::kI16, "I16", 1, 2, false},
    {DType::kI32, "I32", 1, 4, false},
    {DType::kI64, "I64", 1, 8, false},
    {DType::kF64, "F64", 1, 8, false},
}};

struct NamedType {
  uint32_t id;
  const char* name;
};
constexpr NamedType kRefused[] = {
    {9, "Q8_1"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"},
    {19, "IQ1_S"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {29, "IQ1_M"},  {34, "TQ1_0"},
    {35, "TQ2_0"}, {40, "NVFP4"}, {41, "Q1_0"},
};

}  // namespace

std::span<const DTypeInfo> all_dtypes() { return kTypes; }

const DTypeInfo* find_dtype(uint32_t gguf_type) {
  for (const auto& info : kTypes)
    if (static_cast<uint32_t>(info.type) == gguf_type) return &info;
  return nullptr;
}

const DTypeInfo& dtype_info(DType type) { return *find_dtype(static_cast<uint32_t>(type)); }

const char* gguf_type_name(uint32_t gguf_type) {
  if (const auto* info = find_dtype(gguf_type)) return info->name;
  for (const auto& entry : kRefused)
    if (entry.id == gguf_type) return entry.name;
  return "unknown";
}

}  // namespace pyslm
