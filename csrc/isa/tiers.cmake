# One object library per ISA tier, with its own compile flags and one exported symbol. A tier that
# the compiler cannot build is left out, and `pyslm doctor` says so.
include(CheckCXXCompilerFlag)

set(PYSLM_AVX2 -mavx2 -mfma -mf16c)
set(PYSLM_AVX512 ${PYSLM_AVX2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512)

function(pyslm_add_tier target name)
  if(PYSLM_ONLY_TIERS AND NOT name STREQUAL "scalar" AND NOT name IN_LIST PYSLM_ONLY_TIERS)
    return()
  endif()
  string(REPLACE ";" " " flags "${ARGN}")
  check_cxx_compiler_flag("${flags}" PYSLM_HAVE_${name})
  if(NOT PYSLM_HAVE_${name})
    message(STATUS "pyslm: this compiler cannot build the ISA tier ${name}")
    return()
  endif()
  add_library(pyslm_${name} OBJECT csrc/isa/tier_${name}.cpp)
  target_include_directories(pyslm_${name} PRIVATE csrc)
  target_compile_options(pyslm_${name} PRIVATE ${ARGN} -Wall -Wextra -ffp-contract=off
    -fno-exceptions -fno-rtti -fno-math-errno -fno-trapping-math -fvisibility=hidden
    # GCC moves loads up to where they are not needed yet and makes trees of chains of integer sums,
    # which the registers cannot hold: without these two the AVX2 tier has twice the spills (GCC 12).
    # And it warns falsely within its own AVX-512 headers.
    $<$<CXX_COMPILER_ID:GNU>:-fno-tree-reassoc -fno-tree-ter -Wno-maybe-uninitialized -Wno-uninitialized>)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:pyslm_${name}>)
  target_compile_definitions(${target} PRIVATE PYSLM_TIER_${name})
endfunction()

function(pyslm_add_isa_tiers target)
  pyslm_add_tier(${target} scalar)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    pyslm_add_tier(${target} avx2 ${PYSLM_AVX2})
    pyslm_add_tier(${target} avxvnni ${PYSLM_AVX2} -mavxvnni)
    pyslm_add_tier(${target} evexvnni ${PYSLM_AVX2} -mavx512f -mavx512vl -mavx512vnni -mprefer-vector-width=256)
    pyslm_add_tier(${target} avx512 ${PYSLM_AVX512})
    pyslm_add_tier(${target} avx512vnni ${PYSLM_AVX512} -mavx512vnni)
    pyslm_add_tier(${target} avx512bf16 ${PYSLM_AVX512} -mavx512vnni -mavx512bf16)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    pyslm_add_tier(${target} neon)
    pyslm_add_tier(${target} dotprod -march=armv8.2-a+dotprod)
    pyslm_add_tier(${target} i8mm -march=armv8.2-a+dotprod+i8mm)
  endif()
endfunction()
