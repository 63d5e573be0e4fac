// A fixed team of threads for the kernels. One parallel region at a time: every thread of the team
// runs the same function and takes work from a shared counter; the caller is thread 0. Workers spin
// for a while between regions (a decode step has hundreds), then park.
//
// A pool does not cross fork(): the child has none of its workers, and a region opened there would
// wait for them forever. Make pools (load models) in the child.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace pyslm {

// Physical cores that this process may use: affinity mask, SMT siblings and the cgroup quota
// taken into account; at least 1.
int default_num_threads();

class ThreadPool {
 public:
  explicit ThreadPool(int num_threads);  // Error(kMemory) when the system refuses a thread
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const;

  // Runs body(thread, begin, end) over chunks of [0, count) of at most `grain`, handed out in
  // ascending order to whichever thread is free. Returns when all are done. body must not throw.
  // With one chunk or one thread it runs on the caller without waking anyone.
  template <class Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(
        count, grain,
        [](void* context, int thread, int64_t begin, int64_t end) {
          (*static_cast<Plain*>(context))(thread, begin, end);
        },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void* context, int thread, int64_t begin, int64_t end);
  void run(int64_t count, int64_t grain, Call call, void* context);
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pyslm
