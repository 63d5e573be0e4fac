// Reads one metadata value: its type, then its data.
#pragma once

#include "gguf/cursor.h"
#include "gguf/reader.h"

namespace pyslm::gguf {

Value read_value(Cursor& cursor);

}  // namespace pyslm::gguf
