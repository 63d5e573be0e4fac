// Cached prefixes as a stream of bytes, in this machine's byte order:
//
//   Header   magic, tokens of a unit, blocks of a unit over all cache groups, number of nodes;
//            then for each of those blocks the bytes of its content
//   Node     index of its parent among the nodes (-1: none), parents first; its tokens; for each of
//            its blocks whether it is there; the contents of those that are
//
// It says nothing of the model: whoever stores it does.
#pragma once

#include <cstdint>

#include "engine/engine.h"
#include "model/runner.h"
#include "sched/block_manager.h"

namespace pyslm {

void save_prefixes(const BlockManager& blocks, const Runner& runner, const Engine::Sink& sink);
int64_t load_prefixes(BlockManager& blocks, Runner& runner, const Engine::Source& source);

}  // namespace pyslm
