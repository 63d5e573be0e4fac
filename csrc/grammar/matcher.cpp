#include "grammar/matcher.h"

#include <utility>

#include "core/error.h"

namespace pyslm {
namespace {

constexpr size_t kMaxReason = 600;

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<const GrammarVocabulary> vocabulary,
                               llg::Matcher* handle)
    : vocabulary_(std::move(vocabulary)), handle_(handle) {
  if (api().get_error(handle_) == nullptr) return;
  const std::string reason = api().get_error(handle_);
  api().free_matcher(handle_);
  fail(ErrorKind::kInvalid, "the grammar is refused: ", reason.substr(0, kMaxReason));
}

GrammarMatcher::~GrammarMatcher() {
  if (watched_) {
    vocabulary_->watchdog.remove(&*watched_);
    api().free_cancellation_handle(watched_->handle);
  }
  api().free_matcher(handle_);
}

std::unique_ptr<GrammarMatcher> GrammarMatcher::clone() const {
  return std::make_unique<GrammarMatcher>(vocabulary_, api().clone_matcher(handle_));
}

void GrammarMatcher::fill_mask(std::span<uint32_t> mask) {
  const Watchdog::Busy busy(watched());
  if (api().compute_mask_into(handle_, mask.data(), mask.size_bytes()) != 0) fail_with_reason();
}

void GrammarMatcher::consume(int32_t token) {
  const Watchdog::Busy busy(watched());
  if (api().consume_token(handle_, static_cast<uint32_t>(token)) != 0) fail_with_reason();
}

size_t GrammarMatcher::num_allowed(std::span<const int32_t> tokens) {
  const Watchdog::Busy busy(watched());
  const std::vector<uint32_t> ids(tokens.begin(), tokens.end());
  const int32_t count = api().validate_tokens(handle_, ids.data(), ids.size());
  if (count < 0) fail_with_reason();
  return static_cast<size_t>(count);
}

// From its first use on: a matcher that is only kept for its clones needs no watching.
Watched& GrammarMatcher::watched() {
  if (!watched_) {
    watched_.emplace(api().get_cancellation_handle(handle_));
    vocabulary_->watchdog.add(&*watched_);
  }
  return *watched_;
}

void GrammarMatcher::fail_with_reason() const {
  if (api().is_cancelled(handle_)) {
    fail(ErrorKind::kInvalid, "the grammar took longer than ", vocabulary_->kMostTime.count(),
         " ms to find which tokens may come next; simplify it");
  }
  const char* reason = api().get_error(handle_);
  fail(ErrorKind::kInvalid, "the grammar cannot be followed further: ",
       std::string(reason != nullptr ? reason : "no reason given").substr(0, kMaxReason),
       "; simplify it");
}

}  // namespace pyslm
