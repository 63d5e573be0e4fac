#include "engine/guided.h"

#include <utility>

namespace pyslm {

Guide::Guide(std::shared_ptr<GrammarTicket> ticket, const EngineVocabulary* vocabulary)
    : ticket_(std::move(ticket)),
      vocabulary_(*vocabulary),
      mask_((static_cast<size_t>(vocabulary->num_vocab) + 31) / 32) {}

// The end is left to the mask: a vocabulary may have several, of which the matcher knows one.
bool Guide::has(int32_t token) {
  if (!mask_ready_ && !error_ && !vocabulary_.stop_tokens.contains(token)) {
    return matcher_->num_allowed({&token, 1}) == 1;
  }
  return (bits()[token / 32] >> (token % 32) & 1) != 0;
}

const uint32_t* Guide::bits() {
  prepare_bits();
  if (error_) throw *error_;
  return mask_.data();
}

void Guide::prepare_bits() noexcept {
  if (mask_ready_ || error_) return;
  try {
    matcher_->fill_mask(mask_);
    mask_ready_ = true;
  } catch (const Error& problem) {
    error_ = problem;  // fails this request, when its token is chosen
  }
}

size_t Guide::num_allowed(const std::vector<int32_t>& tokens) {
  try {
    return matcher_->num_allowed(tokens);
  } catch (const Error& problem) {
    error_ = problem;
    return 0;
  }
}

bool Guide::advance(int32_t token) {
  mask_ready_ = false;
  matcher_->consume(token);
  return matcher_->complete();
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
  for (size_t i = next_++; i < guides_.size(); i = next_++) guides_[i]->prepare_bits();
}

}  // namespace pyslm
