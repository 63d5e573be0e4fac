// One file of the packed-weight cache: the matrices of one model as PackedWeight keeps them.
//
//   header     48 bytes, below
//   manifest   text: what was packed, from which files, by which code
//   chunks     {offset in body, bytes, checksum} of each MiB of each matrix
//   body       at a page border; each matrix at a page border
//
// All but the checksums follows from the model's own file, so a reader parses nothing: it computes
// the manifest that it wants and compares it with the one that is there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/descriptor.h"
#include "gguf/identity.h"
#include "kernels/packed_weight.h"

namespace pyslm::model {

struct PackedChunk {
  uint64_t offset, num_bytes;  // in the body
  uint64_t checksum = 0;
};

struct PackedTensor {
  std::string name;
  PackedWeight weight;  // with or without its data
};

// What an entry for these tensors of these files looks like.
class PackedEntry {
 public:
  PackedEntry(const std::vector<gguf::FileIdentity>& files,
              const std::vector<PackedTensor>& tensors);

  // "<of the files and the code>-<of all the key>.packed"; entries that share the first part with
  // this one are of the same files before they were changed.
  const std::string& name() const { return name_; }
  std::string name_prefix() const { return name_.substr(0, name_.find('-') + 1); }
  uint64_t num_bytes() const { return body_offset_ + body_bytes_; }

  // Why `file` is not such an entry, or "". Fills in the checksums. Reads all but the body.
  std::string check_index(const Descriptor& file);
  // The matrices, over a mapping of `file` that lives as long as any of them; call it after
  // check_index. Error(kIO) where the system refuses.
  std::vector<PackedWeight> map(const Descriptor& file,
                                const std::vector<PackedTensor>& tensors) const;

  // Writes all of it to an empty file, asking before each chunk whether to go on; whether it got to
  // the end. `tensors` have their data. Error(kIO) where the system refuses.
  bool write(const Descriptor& file, const std::vector<PackedTensor>& tensors,
             const std::function<bool()>& keep_going);

 private:
  void write_index(const Descriptor& file) const;

  std::string name_, manifest_;
  std::vector<PackedChunk> chunks_;
  std::vector<uint64_t> offsets_;  // of each tensor, in the body
  uint64_t body_offset_ = 0, body_bytes_ = 0;
};

// Reads every chunk of an entry, whatever model it is of; what is wrong with it, or "". Stops
// early, with "", where keep_going() is false.
std::string find_damage(const Descriptor& file, const std::function<bool()>& keep_going);

}  // namespace pyslm::model
