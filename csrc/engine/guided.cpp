#include "engine/guided.h"

#include <utility>

namespace pyslm {

void Guide::fill_mask() {
  try {
    matcher->fill_mask(mask);
  } catch (const Error& problem) {
    error = problem;  // fails this request, when its token is chosen
  }
}

size_t Guide::num_allowed(const std::vector<int32_t>& tokens) {
  try {
    return matcher->num_allowed(tokens);
  } catch (const Error& problem) {
    error = problem;
    return 0;
  }
}

bool Guide::advance(int32_t token) {
  matcher->consume(token);
  return matcher->complete();
}

MaskFiller::~MaskFiller() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void MaskFiller::start(std::vector<Guide*> guides) {
  if (guides.empty()) return;
  guides_ = std::move(guides);
  next_ = 0;
  {
    const std::lock_guard lock(mutex_);
    busy_ = true;
  }
  if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
  changed_.notify_all();
}

void MaskFiller::join() {
  if (guides_.empty()) return;
  fill_all();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !busy_; });
  guides_.clear();
}

void MaskFiller::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return busy_ || closing_; });
    if (closing_) return;
    lock.unlock();
    fill_all();
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

void MaskFiller::fill_all() {
  for (size_t i = next_++; i < guides_.size(); i = next_++) guides_[i]->fill_mask();
}

}  // namespace pyslm
