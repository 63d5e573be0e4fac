// Packed weights on disk, so that the second start of a model is a map and not a pass over its
// weights. It never fails a load: whatever is wrong means packing afresh, and status() says why.
//
// What is safe: an entry is used only where it lies in a directory that is ours alone (see
// core/private_directory.h), its key equals that of the model's files as they are now, and its
// index passes its checksum. The body is read back and checked by a thread of low priority while
// the model already runs, since checking it first would be the pass that the cache is there to
// save; damage is told by check(), which every computation calls, and the entry is removed. The
// file stays open and locked while it is mapped. Nothing of ours truncates an entry; were the user
// to, or the disk to fail under a page, the access would be a SIGBUS, as with any mapped file.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/private_directory.h"
#include "gguf/reader.h"
#include "model/packed_entry.h"
#include "model/weights.h"

namespace pyslm::model {

struct PackedCacheConfig {
  std::string directory;     // empty: no cache
  uint64_t least_bytes = 0;  // smaller files are packed each time
  uint64_t limit_bytes = 0;  // of all entries; 0: 20 GB or a tenth of what is free, the lesser
};

class PackedCache {
 public:
  PackedCache() = default;
  ~PackedCache();  // gives up what is being written

  // Points the matrices of `slots` at an entry and starts to check it. false: pack them, and store.
  bool map(const PackedCacheConfig& config, const gguf::Reader& reader,
           const std::vector<TensorSlot>& slots);
  // Starts to write an entry of the matrices, unless map() found a reason not to. Call it while the
  // reader that they were read from is still open.
  void store(const gguf::Reader& reader, const std::vector<TensorSlot>& slots);

  // Error(kIO) once the mapped entry was found to be damaged.
  void check() const {
    if (damaged_.load(std::memory_order_acquire)) fail_damaged();
  }
  // Waits until nothing is being written (nor checked, where `checks` says so), and hurries it;
  // whether that is so.
  bool settle(double seconds, bool checks);
  // "mapped from ...", or "packed" and why no entry could be used or written.
  std::string status() const;

 private:
  void plan(const std::vector<TensorSlot>& slots);
  std::string try_to_map(const std::vector<TensorSlot>& slots);
  enum class Work { kNone, kWriting, kChecking };
  void start(Work work);
  void write();
  bool pause(int milliseconds);
  void write_entry();
  void make_room();
  void verify();
  void say(std::string status);
  [[noreturn]] void fail_damaged() const;

  PackedCacheConfig config_;
  std::optional<PrivateDirectory> directory_;
  std::vector<gguf::FileIdentity> files_;  // as they were before anything was read
  std::vector<PackedTensor> tensors_;      // with their data while they are written
  std::optional<PackedEntry> entry_;
  Descriptor mapped_;

  std::thread worker_;  // writes or checks
  std::atomic<bool> stopping_{false}, damaged_{false};
  mutable std::mutex mutex_;  // of all below
  std::condition_variable changed_;
  Work work_ = Work::kNone;
  bool hurry_ = false;
  std::string status_ = "packed; the cache is off";
};

// One line for `pyslm doctor`.
struct PackedCacheFinding {
  std::string name;
  uint64_t num_bytes;
  std::string problem;  // empty: sound
};
// Reads every entry to its end; the bad ones are removed where `remove` says so. Error(kIO) where
// the directory itself is refused.
std::vector<PackedCacheFinding> verify_packed_cache(const std::string& directory, bool remove);

}  // namespace pyslm::model
