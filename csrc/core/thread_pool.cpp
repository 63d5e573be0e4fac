#include "core/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace pyslm {
namespace {

inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// cgroup v2 CPU quota in whole cores, rounded up; 0 where there is none.
int cgroup_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  return std::max(1, static_cast<int>(std::stod(quota) / period + 0.999));
}

// (package, core) of a logical CPU, to count SMT siblings once.
std::pair<int, int> core_of(int cpu) {
  const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
  int package = 0, core = cpu;
  std::ifstream(base + "physical_package_id") >> package;
  std::ifstream(base + "core_id") >> core;
  return {package, core};
}

// About 50 us of spinning: longer than the gap between two operations of a decode step.
constexpr int kSpins = 2000;

}  // namespace

int default_num_threads() {
  int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
#if defined(__linux__)
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) {
    std::set<std::pair<int, int>> physical;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
      if (CPU_ISSET(cpu, &mask)) physical.insert(core_of(cpu));
    if (!physical.empty()) cores = static_cast<int>(physical.size());
  }
  if (const int quota = cgroup_quota()) cores = std::min(cores, quota);
#endif
  return cores;
}

struct ThreadPool::Impl {
  int num_threads;
  std::vector<std::thread> workers;

  // The region: written by the caller before `epoch` rises, read by workers after they saw it rise.
  Call call = nullptr;
  void* context = nullptr;
  int64_t count = 0, grain = 1;

  alignas(64) std::atomic<int64_t> next{0};
  alignas(64) std::atomic<uint64_t> epoch{0};
  alignas(64) std::atomic<int> running{0};
  std::atomic<int> parked{0};
  std::atomic<bool> stopping{false};
  std::mutex mutex;
  std::condition_variable wake;

  void work(int thread) {
    for (;;) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count) return;
      call(context, thread, begin, std::min(begin + grain, count));
    }
  }

  void worker(int thread) {
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; epoch.load(std::memory_order_acquire) == seen && spin < kSpins; ++spin)
        cpu_relax();
      if (epoch.load(std::memory_order_acquire) == seen) {
        std::unique_lock<std::mutex> lock(mutex);
        parked.fetch_add(1);
        wake.wait(lock, [&] { return epoch.load() != seen; });
        parked.fetch_sub(1);
      }
      if (stopping.load()) return;
      seen = epoch.load(std::memory_order_acquire);
      work(thread);
      running.fetch_sub(1, std::memory_order_acq_rel);
    }
  }

  void open_region() {
    epoch.fetch_add(1);  // sequentially consistent, against `parked` below
    if (parked.load() > 0) {
      {
        std::lock_guard<std::mutex> lock(mutex);
      }
      wake.notify_all();
    }
  }

  void stop() {
    stopping.store(true);
    {
      std::lock_guard<std::mutex> lock(mutex);
      epoch.fetch_add(1);
    }
    wake.notify_all();
    for (auto& worker : workers) worker.join();
  }
};

ThreadPool::ThreadPool(int num_threads) : impl_(std::make_unique<Impl>()) {
  impl_->num_threads = std::max(1, num_threads);
  try {
    for (int t = 1; t < impl_->num_threads; ++t)
      impl_->workers.emplace_back([impl = impl_.get(), t] { impl->worker(t); });
  } catch (const std::system_error&) {
    const size_t started = impl_->workers.size() + 1;
    impl_->stop();  // threads left joinable would end the process
    fail(ErrorKind::kMemory, "the system refused thread ", started + 1, " of ", num_threads,
         "; ask for fewer threads (", default_num_threads(), " cores are ours to use)");
  }
}

ThreadPool::~ThreadPool() { impl_->stop(); }

int ThreadPool::num_threads() const { return impl_->num_threads; }

void ThreadPool::run(int64_t count, int64_t grain, Call call, void* context) {
  if (count <= 0) return;
  Impl& pool = *impl_;
  grain = std::max<int64_t>(1, grain);
  if (pool.num_threads == 1 || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain)
      call(context, 0, begin, std::min(begin + grain, count));
    return;
  }
  pool.call = call;
  pool.context = context;
  pool.count = count;
  pool.grain = grain;
  pool.next.store(0, std::memory_order_relaxed);
  pool.running.store(pool.num_threads - 1, std::memory_order_relaxed);
  pool.open_region();
  pool.work(0);
  // Workers that never got a chunk still have to leave the region before the next one opens.
  // One that has no core to run on gets ours.
  for (int spin = 0; pool.running.load(std::memory_order_acquire) != 0; ++spin) {
    if (spin < kSpins)
      cpu_relax();
    else
      std::this_thread::yield();
  }
}

}  // namespace pyslm
