#include "model/packed_cache.h"

#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <exception>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core/error.h"

namespace pyslm::model {
namespace {

constexpr std::string_view kSuffix = ".packed";
constexpr uint64_t kMostBytes = 20'000'000'000;

// Writing begins when the first answer is probably out, and leaves most of its core to others,
// unless somebody waits for it. It is not niced: on a busy machine it would never come to its end.
constexpr int kBeforeWritingMs = 1000, kBetweenChunksMs = 2;

// Checking is: nobody waits for it.
void lower_priority() {
#if defined(__linux__)
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), 19);
#endif
}

// A file may change once more within the tick of its clock without its times telling. Where the
// times have no fraction the tick is a second or two.
bool may_still_change(const gguf::FileIdentity& file) {
  struct timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  const int64_t now_ns = int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  const int64_t tick_ns = file.changed_ns % 1'000'000'000 == 0 ? 2'000'000'000 : 20'000'000;
  return std::max(file.changed_ns, file.modified_ns) + tick_ns > now_ns;
}

std::string megabytes(uint64_t bytes) { return std::to_string(bytes / 1'000'000) + " MB"; }

}  // namespace

PackedCache::~PackedCache() {
  {
    const std::lock_guard lock(mutex_);
    stopping_.store(true);
  }
  changed_.notify_all();
  if (worker_.joinable()) worker_.join();
}

void PackedCache::plan(const std::vector<TensorSlot>& slots) {
  for (const TensorSlot& slot : slots)
    if (slot.matrix) tensors_.push_back({slot.info->name, PackedWeight::unloaded(*slot.info)});
  entry_.emplace(files_, tensors_);
}

bool PackedCache::map(const PackedCacheConfig& config, const gguf::Reader& reader,
                      const std::vector<TensorSlot>& slots) {
  config_ = config;
  if (config.directory.empty()) return false;
  if (reader.total_bytes() < config.least_bytes) {
    say("packed; files below " + megabytes(config.least_bytes) + " are not cached");
    return false;
  }
  std::string problem;
  try {
    files_ = reader.identities();
    plan(slots);
    directory_.emplace(config.directory);
    problem = try_to_map(slots);
  } catch (const std::exception& error) {
    problem = error.what();
  }
  say(problem.empty() ? "mapped from " + directory_->path_of(entry_->name())
                      : "packed; " + problem);
  if (problem.empty()) start(Work::kChecking);
  return problem.empty();
}

std::string PackedCache::try_to_map(const std::vector<TensorSlot>& slots) {
  mapped_ = directory_->open(entry_->name());
  if (!mapped_) return "there was no entry in " + directory_->path();
  const std::string problem = entry_->check_index(mapped_);
  if (!problem.empty()) return directory_->path_of(entry_->name()) + ": " + problem;
  const std::vector<PackedWeight> weights = entry_->map(mapped_, tensors_);
  auto weight = weights.begin();
  for (const TensorSlot& slot : slots)
    if (slot.matrix) *slot.matrix = *weight++;
  PrivateDirectory::touch(mapped_);
  return "";
}

void PackedCache::store(const gguf::Reader& reader, const std::vector<TensorSlot>& slots) {
  if (!directory_ || !entry_) return;
  try {
    if (reader.identities() != files_) return say("packed; the file changed while it was read");
    if (std::any_of(files_.begin(), files_.end(), may_still_change))
      return say("packed; the file was changed a moment ago: the next start stores it");
  } catch (const std::exception& error) {
    return say(std::string("packed; ") + error.what());
  }
  auto tensor = tensors_.begin();
  for (const TensorSlot& slot : slots)
    if (slot.matrix) (tensor++)->weight = *slot.matrix;
  mapped_.reset();  // an entry that was refused; it may be replaced
  start(Work::kWriting);
}

void PackedCache::start(Work work) {
  work_ = work;  // there is no other thread yet
  const auto run = [this, work] {
    work == Work::kWriting ? write() : verify();
    const std::lock_guard lock(mutex_);
    work_ = Work::kNone;
    changed_.notify_all();
  };
  try {
    worker_ = std::thread(run);
  } catch (const std::system_error&) {  // no more threads; do without
    work_ = Work::kNone;
  }
}

// Waits, unless somebody waits for us; whether to go on.
bool PackedCache::pause(int milliseconds) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(milliseconds),
                    [this] { return hurry_ || stopping_.load(); });
  return !stopping_.load();
}

void PackedCache::write() {
  const std::string before = status();
  try {
    write_entry();
  } catch (const std::exception& error) {
    say(before + "; not stored: " + error.what());
  }
  tensors_.clear();  // lets go of the weights
}

void PackedCache::write_entry() {
  const std::string before = status(), name = entry_->name();
  if (!pause(kBeforeWritingMs)) return say(before + "; not stored: closed before it was written");
  directory_->remove_abandoned();
  make_room();
  const Descriptor file = directory_->create_temporary(name);
  if (!file) return say(before + "; another process is storing it");
  try {
    if (entry_->write(file, tensors_, [this] { return pause(kBetweenChunksMs); })) {
      directory_->publish(file, name);
      return say(before + "; stored as " + directory_->path_of(name));
    }
    say(before + "; not stored: closed before it was written");
  } catch (...) {
    directory_->discard_temporary(name);
    throw;
  }
  directory_->discard_temporary(name);
}

// Removes what the same files were before they changed, then what was not used for longest.
void PackedCache::make_room() {
  std::vector<PrivateDirectory::Entry> entries = directory_->entries(kSuffix);
  uint64_t total = 0;
  for (PrivateDirectory::Entry& entry : entries) {
    if (entry.name.starts_with(entry_->name_prefix())) entry.last_used_ns = 0;
    total += entry.num_bytes;
  }
  const uint64_t limit = config_.limit_bytes
                             ? config_.limit_bytes
                             : std::min(kMostBytes, (directory_->free_bytes() + total) / 10);
  if (entry_->num_bytes() > limit)
    fail(ErrorKind::kIO, "it needs ", megabytes(entry_->num_bytes()), "; the cache may hold ",
         megabytes(limit));
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.last_used_ns < b.last_used_ns; });
  for (const PrivateDirectory::Entry& entry : entries) {
    if (entry.last_used_ns && total + entry_->num_bytes() <= limit) break;
    if (directory_->remove_unused(entry.name)) total -= entry.num_bytes;
  }
  if (total + entry_->num_bytes() > limit)
    fail(ErrorKind::kIO, "the cache may hold ", megabytes(limit), " and other models in use take ",
         megabytes(total));
  if (entry_->num_bytes() >= directory_->free_bytes())
    fail(ErrorKind::kIO, "the disk has ", megabytes(directory_->free_bytes()), " free");
}

void PackedCache::verify() {
  lower_priority();
  std::string problem;
  try {
    problem = find_damage(mapped_, [this] { return !stopping_.load(); });
  } catch (const std::exception& error) {
    problem = error.what();
  }
  if (problem.empty()) return;
  directory_->remove(entry_->name(), mapped_);
  say("mapped from " + directory_->path_of(entry_->name()) + ", which is damaged: " + problem);
  damaged_.store(true, std::memory_order_release);
}

void PackedCache::fail_damaged() const {
  fail(ErrorKind::kIO, "the packed weights are ", status(),
       "; the entry was removed: load the model again, and it is packed afresh");
}

bool PackedCache::settle(double seconds, bool checks) {
  std::unique_lock lock(mutex_);
  hurry_ = true;
  changed_.notify_all();
  return changed_.wait_for(lock, std::chrono::duration<double>(seconds), [this, checks] {
    return work_ == Work::kNone || (work_ == Work::kChecking && !checks);
  });
}

std::string PackedCache::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

void PackedCache::say(std::string status) {
  const std::lock_guard lock(mutex_);
  status_ = std::move(status);
}

std::vector<PackedCacheFinding> verify_packed_cache(const std::string& path, bool remove) {
  const PrivateDirectory directory(path);
  std::vector<PackedCacheFinding> findings;
  for (const PrivateDirectory::Entry& entry : directory.entries(kSuffix)) {
    std::string problem;
    try {
      const Descriptor file = directory.open(entry.name);
      if (!file) continue;
      problem = find_damage(file, [] { return true; });
      if (!problem.empty() && remove) directory.remove(entry.name, file);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    findings.push_back({entry.name, entry.num_bytes, problem});
  }
  return findings;
}

}  // namespace pyslm::model
