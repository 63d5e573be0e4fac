// How much memory this process may still use.
#pragma once

#include <cstdint>

namespace pyslm::model {

// The least of what the system has available, what the cgroup (version 2 or 1) leaves, and what
// RLIMIT_AS leaves; INT64_MAX where nothing is known. In bytes.
int64_t available_memory_bytes();

}  // namespace pyslm::model
