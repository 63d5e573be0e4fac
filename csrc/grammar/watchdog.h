// Stops what takes too long: a grammar whose mask costs seconds would hold up every other stream.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "grammar/llguidance_api.h"

namespace pyslm {

// One matcher under watch. What is busy for longer than the limit is cancelled, for good.
struct Watched {
  explicit Watched(llg::CancellationHandle* handle) : handle(handle) {}
  llg::CancellationHandle* const handle;
  std::atomic<int64_t> busy_since{0};  // nanoseconds of the steady clock; 0: not busy
};

class Watchdog {
 public:
  Watchdog(const llg::Api& api, std::chrono::milliseconds limit) : api_(api), limit_(limit) {}
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  void add(Watched* watched);
  void remove(Watched* watched);  // not touched any more once this returns

  // Busy for the time of a scope; two stores, so that every mask can afford it.
  class Busy {
   public:
    explicit Busy(Watched& watched);
    ~Busy() { watched_.busy_since = 0; }
    Busy(const Busy&) = delete;
    Busy& operator=(const Busy&) = delete;

   private:
    Watched& watched_;
  };

 private:
  void work();

  const llg::Api& api_;
  const std::chrono::milliseconds limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closing_ = false;
  std::vector<Watched*> watched_;
  std::thread thread_;  // begun with the first; asleep while there is none
};

}  // namespace pyslm
