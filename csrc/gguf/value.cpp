#include "gguf/value.h"

#include "gguf/parse.h"

namespace pyslm::gguf {
namespace {

ValueType read_type(Cursor& cursor) {
  const uint32_t type = cursor.scalar<uint32_t>();
  if (type > static_cast<uint32_t>(ValueType::kF64)) {
    cursor.fail_here(ErrorKind::kGGUF, "value type ", type, "; the format has types 0 to 12");
  }
  return static_cast<ValueType>(type);
}

bool read_bool(Cursor& cursor) {
  const unsigned byte = cursor.scalar<uint8_t>();
  if (byte > 1) cursor.fail_here(ErrorKind::kGGUF, "a bool of value ", byte, "; allowed: 0 and 1");
  return byte != 0;
}

template <class Stored, class Kept>
std::vector<Kept> read_numbers(Cursor& cursor) {
  const uint64_t n = cursor.count("array elements", sizeof(Stored));
  cursor.charge(n, sizeof(Kept));
  std::vector<Kept> items(n);
  for (auto& item : items) item = static_cast<Kept>(cursor.scalar<Stored>());
  return items;
}

std::vector<int64_t> read_bools(Cursor& cursor) {
  const uint64_t n = cursor.count("array elements", 1);
  cursor.charge(n, sizeof(int64_t));
  std::vector<int64_t> items(n);
  for (auto& item : items) item = read_bool(cursor);
  return items;
}

StringArray read_strings(Cursor& cursor) {
  const uint64_t n = cursor.count("strings", 8);
  cursor.charge(n, sizeof(uint64_t));
  StringArray strings;
  strings.ends.resize(n);
  // 3 bytes of memory per byte: while the arena grows, the old one and one twice as large exist.
  for (auto& end : strings.ends) {
    cursor.append_string(strings.bytes, UINT64_MAX, 3);
    end = strings.bytes.size();
  }
  return strings;
}

Array read_array(Cursor& cursor) {
  const ValueType element = read_type(cursor);
  const auto of = [element](auto items) { return Array{element, std::move(items)}; };
  switch (element) {
    case ValueType::kU8:
      return of(read_numbers<uint8_t, int64_t>(cursor));
    case ValueType::kI8:
      return of(read_numbers<int8_t, int64_t>(cursor));
    case ValueType::kU16:
      return of(read_numbers<uint16_t, int64_t>(cursor));
    case ValueType::kI16:
      return of(read_numbers<int16_t, int64_t>(cursor));
    case ValueType::kU32:
      return of(read_numbers<uint32_t, int64_t>(cursor));
    case ValueType::kI32:
      return of(read_numbers<int32_t, int64_t>(cursor));
    case ValueType::kI64:
      return of(read_numbers<int64_t, int64_t>(cursor));
    case ValueType::kU64:
      return of(read_numbers<uint64_t, uint64_t>(cursor));
    case ValueType::kF32:
      return of(read_numbers<float, double>(cursor));
    case ValueType::kF64:
      return of(read_numbers<double, double>(cursor));
    case ValueType::kBool:
      return of(read_bools(cursor));
    case ValueType::kString:
      return of(read_strings(cursor));
    case ValueType::kArray:
      break;
  }
  cursor.fail_here(ErrorKind::kUnsupported,
                   "an array of arrays; supported: arrays of numbers, "
                   "bools or strings");
}

}  // namespace

const char* value_type_name(ValueType type) {
  constexpr const char* kNames[] = {"uint8",  "int8",    "uint16", "int16",  "uint32",
                                    "int32",  "float32", "bool",   "string", "array",
                                    "uint64", "int64",   "float64"};
  return kNames[static_cast<uint32_t>(type)];
}

std::string describe_type(const Value& value) {
  if (const auto* array = std::get_if<Array>(&value.data)) {
    return std::string("array[") + value_type_name(array->element) + "]";
  }
  return value_type_name(value.type);
}

size_t Array::size() const {
  return std::visit([](const auto& list) { return list.size(); }, items);
}

Value read_value(Cursor& cursor) {
  const ValueType type = read_type(cursor);
  const auto integer = [&](int64_t value) { return Value{type, value}; };
  switch (type) {
    case ValueType::kU8:
      return integer(cursor.scalar<uint8_t>());
    case ValueType::kI8:
      return integer(cursor.scalar<int8_t>());
    case ValueType::kU16:
      return integer(cursor.scalar<uint16_t>());
    case ValueType::kI16:
      return integer(cursor.scalar<int16_t>());
    case ValueType::kU32:
      return integer(cursor.scalar<uint32_t>());
    case ValueType::kI32:
      return integer(cursor.scalar<int32_t>());
    case ValueType::kI64:
      return integer(cursor.scalar<int64_t>());
    case ValueType::kU64:
      return {type, cursor.scalar<uint64_t>()};
    case ValueType::kF32:
      return {type, static_cast<double>(cursor.scalar<float>())};
    case ValueType::kF64:
      return {type, cursor.scalar<double>()};
    case ValueType::kBool:
      return {type, read_bool(cursor)};
    case ValueType::kString:
      return {type, cursor.string()};
    case ValueType::kArray:
      return {type, read_array(cursor)};
  }
  cursor.fail_here(ErrorKind::kInternal, "unreachable value type");
}

}  // namespace pyslm::gguf
