// Typed metadata access: a present key of the wrong type or out of range is an error that says
// which key, what it is and what is allowed.
#include <cmath>
#include <utility>

#include "gguf/reader_impl.h"

namespace pyslm::gguf {
namespace {

// What every message here needs.
struct Key {
  const std::string& path;
  std::string_view name;

  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    pyslm::fail(ErrorKind::kGGUF, path, ": key ", quote(name), " ", parts...);
  }
  [[noreturn]] void fail_missing() const { fail("is missing"); }
  [[noreturn]] void fail_type(const Value& value, const char* wanted) const {
    fail("is ", describe_type(value), "; it must be ", wanted);
  }
};

int64_t checked_integer(const Key& key, const Value& value, int64_t min, int64_t max) {
  if (const auto* big = std::get_if<uint64_t>(&value.data)) {
    if (*big <= INT64_MAX && static_cast<int64_t>(*big) >= min &&
        static_cast<int64_t>(*big) <= max) {
      return static_cast<int64_t>(*big);
    }
    key.fail("is ", *big, "; allowed: ", min, " to ", max);
  }
  const auto* integer = std::get_if<int64_t>(&value.data);
  if (!integer) key.fail_type(value, "an integer");
  if (*integer < min || *integer > max) key.fail("is ", *integer, "; allowed: ", min, " to ", max);
  return *integer;
}

double checked_number(const Key& key, const Value& value, double min, double max) {
  double number = 0;
  if (const auto* real = std::get_if<double>(&value.data)) {
    number = *real;
  } else if (const auto* integer = std::get_if<int64_t>(&value.data)) {
    number = static_cast<double>(*integer);
  } else if (const auto* big = std::get_if<uint64_t>(&value.data)) {
    number = static_cast<double>(*big);
  } else {
    key.fail_type(value, "a number");
  }
  if (!std::isfinite(number) || number < min || number > max) {
    key.fail("is ", number, "; allowed: ", min, " to ", max);
  }
  return number;
}

const std::string& checked_string(const Key& key, const Value& value) {
  const auto* text = std::get_if<std::string>(&value.data);
  if (!text) key.fail_type(value, "a string");
  return *text;
}

const Value& required(const Reader& reader, const Key& key) {
  const Value* value = reader.find(key.name);
  if (!value) key.fail_missing();
  return *value;
}

bool is_integer_type(ValueType type) {
  return type != ValueType::kF32 && type != ValueType::kF64 && type != ValueType::kBool &&
         type != ValueType::kString && type != ValueType::kArray;
}

}  // namespace

int64_t Reader::integer(std::string_view key, int64_t min, int64_t max) const {
  const Key where{files().front(), key};
  return checked_integer(where, required(*this, where), min, max);
}

int64_t Reader::integer(std::string_view key, int64_t min, int64_t max, int64_t absent) const {
  return find(key) ? integer(key, min, max) : absent;
}

double Reader::number(std::string_view key, double min, double max) const {
  const Key where{files().front(), key};
  return checked_number(where, required(*this, where), min, max);
}

double Reader::number(std::string_view key, double min, double max, double absent) const {
  return find(key) ? number(key, min, max) : absent;
}

bool Reader::boolean(std::string_view key, bool absent) const {
  const Value* value = find(key);
  if (!value) return absent;
  const auto* flag = std::get_if<bool>(&value->data);
  if (!flag) Key{files().front(), key}.fail_type(*value, "a bool");
  return *flag;
}

std::string Reader::string(std::string_view key) const {
  const Key where{files().front(), key};
  return checked_string(where, required(*this, where));
}

std::string Reader::string(std::string_view key, std::string_view absent) const {
  return find(key) ? string(key) : std::string(absent);
}

std::vector<int64_t> Reader::integers(std::string_view key, int64_t min, int64_t max) const {
  const Key where{files().front(), key};
  const Value& value = required(*this, where);
  const auto* array = std::get_if<Array>(&value.data);
  if (!array) return {checked_integer(where, value, min, max)};
  if (!is_integer_type(array->element))
    where.fail_type(value, "an integer or an array of integers");
  std::vector<int64_t> out;
  out.reserve(array->size());
  const auto append = [&](const auto& items) {
    for (const auto& item : items) {
      if (std::cmp_less(item, min) || std::cmp_greater(item, max)) {
        where.fail("holds ", item, " at index ", out.size(), "; allowed: ", min, " to ", max);
      }
      out.push_back(static_cast<int64_t>(item));
    }
  };
  if (const auto* big = std::get_if<std::vector<uint64_t>>(&array->items)) {
    append(*big);
  } else {
    append(std::get<std::vector<int64_t>>(array->items));
  }
  return out;
}

std::vector<double> Reader::numbers(std::string_view key) const {
  const Key where{files().front(), key};
  const Value& value = required(*this, where);
  const auto* array = std::get_if<Array>(&value.data);
  const auto* items = array ? std::get_if<std::vector<double>>(&array->items) : nullptr;
  if (!items) where.fail_type(value, "an array of floats");
  for (size_t i = 0; i < items->size(); ++i) {
    if (!std::isfinite((*items)[i]))
      where.fail("holds ", (*items)[i], " at index ", i, "; must be finite");
  }
  return *items;
}

std::vector<bool> Reader::booleans(std::string_view key) const {
  const Key where{files().front(), key};
  const Value& value = required(*this, where);
  if (const auto* flag = std::get_if<bool>(&value.data)) return {*flag};
  const auto* array = std::get_if<Array>(&value.data);
  if (!array || array->element != ValueType::kBool)
    where.fail_type(value, "a bool or an array of bools");
  const auto& items = std::get<std::vector<int64_t>>(array->items);
  return {items.begin(), items.end()};
}

}  // namespace pyslm::gguf
