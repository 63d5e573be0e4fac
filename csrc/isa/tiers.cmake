# One object library per ISA tier: its own compile flags, one exported symbol.
include(CheckCXXCompilerFlag)
function(pyslm_add_isa_tiers target)
endfunction()
