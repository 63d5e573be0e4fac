// Accumulators are arrays indexed by loop counters known at compile time; they only live in
// registers once those loops are unrolled, which -O2 does not do by itself.
#pragma once

#if defined(__clang__)
#define PYSLM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define PYSLM_UNROLL _Pragma("GCC unroll 16")
#endif
