#include "grammar/watchdog.h"

namespace pyslm {
namespace {

constexpr int kLooksPerLimit = 8;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Watchdog::Busy::Busy(Watched& watched) : watched_(watched) { watched_.busy_since = now_ns(); }

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::add(Watched* watched) {
  {
    const std::lock_guard lock(mutex_);
    watched_.push_back(watched);
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  }
  changed_.notify_all();
}

void Watchdog::remove(Watched* watched) {
  const std::lock_guard lock(mutex_);
  std::erase(watched_, watched);
}

void Watchdog::work() {
  std::unique_lock lock(mutex_);
  while (!closing_) {
    if (watched_.empty()) {
      changed_.wait(lock);
      continue;
    }
    changed_.wait_for(lock, limit_ / kLooksPerLimit, [this] { return closing_; });
    const int64_t latest =
        now_ns() - std::chrono::duration_cast<std::chrono::nanoseconds>(limit_).count();
    for (Watched* watched : watched_) {
      const int64_t since = watched->busy_since;
      if (since != 0 && since < latest) api_.cancel(watched->handle);
    }
  }
}

}  // namespace pyslm
