// The table of architectures. One file per family registers itself here:
//
//   ArchSpec llama(const Metadata& metadata) { ... }
//   const RegisterArchitecture kLlama("llama", llama);
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/arch/metadata.h"
#include "model/spec.h"

namespace pyslm::model {

struct Architecture {
  const char* name;  // as in general.architecture
  ArchSpec (*spec)(const Metadata& metadata);
};

const Architecture* find_architecture(std::string_view name);  // nullptr where unknown
std::vector<std::string> architecture_names();                 // sorted

// The spec of a file. Error kUnsupported names what is supported; kGGUF names the key at fault.
ArchSpec read_spec(const gguf::Reader& reader);

struct RegisterArchitecture {
  RegisterArchitecture(const char* name, ArchSpec (*spec)(const Metadata&));
};

}  // namespace pyslm::model
