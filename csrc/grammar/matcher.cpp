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

std::unique_ptr<GrammarMatcher> GrammarMatcher::clone() const {
  return std::make_unique<GrammarMatcher>(vocabulary_, api().clone_matcher(handle_));
}

void GrammarMatcher::fill_mask(std::span<uint32_t> mask) {
  if (api().compute_mask_into(handle_, mask.data(), mask.size_bytes()) != 0) fail_with_reason();
}

void GrammarMatcher::consume(int32_t token) {
  if (api().consume_token(handle_, static_cast<uint32_t>(token)) != 0) fail_with_reason();
}

void GrammarMatcher::fail_with_reason() const {
  const char* reason = api().get_error(handle_);
  fail(ErrorKind::kInvalid, "the grammar cannot be followed further: ",
       std::string(reason != nullptr ? reason : "no reason given").substr(0, kMaxReason),
       "; simplify it");
}

}  // namespace pyslm
