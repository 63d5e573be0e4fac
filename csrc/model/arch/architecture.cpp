#include "model/arch/architecture.h"

#include <algorithm>

#include "core/error.h"

namespace pyslm::model {
namespace {

// Within a function, so that it exists before the first registration whatever the link order.
std::vector<Architecture>& table() {
  static std::vector<Architecture> architectures;
  return architectures;
}

std::string supported() {
  std::string list;
  for (const std::string& name : architecture_names()) list += (list.empty() ? "" : ", ") + name;
  return list;
}

void check_heads(const ArchSpec& spec) {
  if (spec.num_heads % spec.num_kv_heads != 0)
    fail(ErrorKind::kGGUF, spec.architecture, ".attention.head_count is ", spec.num_heads,
         ", which is no multiple of head_count_kv, ", spec.num_kv_heads);
  for (const RopeSpec& rope : spec.ropes)
    if (rope.n_rot % 2 != 0 || rope.n_rot > spec.key_dim)
      fail(ErrorKind::kGGUF, spec.architecture, ".rope.dimension_count is ", rope.n_rot,
           "; allowed: an even number of at most the head's ", spec.key_dim, " channels");
}

}  // namespace

RegisterArchitecture::RegisterArchitecture(const char* name, ArchSpec (*spec)(const Metadata&)) {
  table().push_back({name, spec});
}

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture& architecture : table())
    if (name == architecture.name) return &architecture;
  return nullptr;
}

std::vector<std::string> architecture_names() {
  std::vector<std::string> names;
  for (const Architecture& architecture : table()) names.emplace_back(architecture.name);
  std::sort(names.begin(), names.end());
  return names;
}

ArchSpec read_spec(const gguf::Reader& reader) {
  const std::string name = reader.string("general.architecture");
  const Architecture* architecture = find_architecture(name);
  if (!architecture)
    fail(ErrorKind::kUnsupported, "the model's architecture is '", name.substr(0, 64),
         "'; supported: ", supported());
  ArchSpec spec = architecture->spec(Metadata(reader, name));
  check_heads(spec);
  finish_spec(spec);
  return spec;
}

}  // namespace pyslm::model
