#include "gguf/parse.h"

#include <array>
#include <iomanip>
#include <sstream>

#include "gguf/tensor_index.h"
#include "gguf/value.h"

namespace pyslm::gguf {
namespace {

constexpr uint64_t kMaxNameBytes = 64 << 10;
constexpr uint64_t kMaxKeys = 64 << 10;
constexpr uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;  // length, name, type, value
constexpr uint64_t kKeyMemory = 512;              // map node, Value and the copy in `keys`
constexpr const char* kAlignmentKey = "general.alignment";

std::string spell_bytes(const std::array<char, 4>& magic) {
  std::ostringstream out;
  out << std::hex << std::setfill('0');
  for (const char c : magic) out << std::setw(2) << (c & 0xff) << ' ';
  return out.str() + quote({magic.data(), magic.size()});
}

void read_magic(Cursor& cursor, const File& file) {
  if (file.size() == 0) cursor.fail_here(ErrorKind::kGGUF, "the file is empty");
  if (file.size() < 4) {
    cursor.fail_here(ErrorKind::kGGUF, "not a GGUF file: it has only ", file.size(), " bytes");
  }
  const auto magic = cursor.scalar<std::array<char, 4>>();
  if (std::string_view(magic.data(), 4) != "GGUF") {
    cursor.fail_here(ErrorKind::kGGUF, "not a GGUF file: it begins with ", spell_bytes(magic),
                     ", not with 'GGUF'");
  }
}

uint32_t read_version(Cursor& cursor) {
  const uint32_t version = cursor.scalar<uint32_t>();
  if (version == 2 || version == 3) return version;
  if (version != 0 && (version & 0xffff) == 0 && version >> 24 < 16) {
    cursor.fail_here(ErrorKind::kUnsupported,
                     "a big-endian GGUF file; only little-endian files are supported: convert it "
                     "with gguf-convert-endian of the package gguf");
  }
  const bool plausible = version >= 1 && version < 256;
  cursor.fail_here(plausible ? ErrorKind::kUnsupported : ErrorKind::kGGUF, "GGUF version ", version,
                   "; supported: 2 and 3");
}

std::string read_key(Cursor& cursor, const ParsedFile& parsed) {
  cursor.set_subject("key " + std::to_string(parsed.keys.size()));
  std::string key = cursor.string(kMaxNameBytes);
  if (key.empty()) cursor.fail_here(ErrorKind::kGGUF, "the name of the key is empty");
  for (const char c : key) {
    if (c <= 0x20 || c >= 0x7f) {
      cursor.fail_here(ErrorKind::kGGUF, quote(key), " is not printable ASCII, as keys must be");
    }
  }
  cursor.set_subject("key " + quote(key));
  if (parsed.values.contains(key)) cursor.fail_here(ErrorKind::kGGUF, "the key occurs twice");
  return key;
}

uint32_t checked_alignment(const Cursor& cursor, const Value& value) {
  constexpr int64_t kMax = 1 << 20;
  const auto* bytes = std::get_if<int64_t>(&value.data);
  if (value.type != ValueType::kU32 || !bytes) {
    cursor.fail_here(ErrorKind::kGGUF, "is ", describe_type(value), ", must be uint32");
  }
  if (*bytes < 8 || *bytes > kMax || !std::has_single_bit(static_cast<uint64_t>(*bytes))) {
    cursor.fail_here(ErrorKind::kGGUF, "alignment ", *bytes, "; allowed: powers of two from 8 to ",
                     kMax);
  }
  return static_cast<uint32_t>(*bytes);
}

void read_metadata(Cursor& cursor, uint64_t num_keys, ParsedFile& parsed) {
  parsed.keys.reserve(num_keys);
  for (uint64_t i = 0; i < num_keys; ++i) {
    std::string key = read_key(cursor, parsed);
    Value value = read_value(cursor);
    if (key == kAlignmentKey) parsed.alignment = checked_alignment(cursor, value);
    parsed.keys.push_back(key);
    parsed.values.emplace(std::move(key), std::move(value));
  }
}

}  // namespace

ParsedFile parse_file(const File& file, int file_index, Budget& budget) {
  budget.add_file(file.size());
  Cursor cursor(file, budget);
  ParsedFile parsed;
  read_magic(cursor, file);
  parsed.version = read_version(cursor);
  cursor.set_subject("tensor count");
  const uint64_t num_tensors = cursor.count("tensors", kMinTensorInfoBytes);
  cursor.charge(num_tensors, kTensorMemory);
  cursor.set_subject("key count");
  const uint64_t num_keys = cursor.count("keys", kMinKeyBytes);
  if (num_keys > kMaxKeys) {
    cursor.fail_here(ErrorKind::kGGUF, num_keys, " keys; allowed: ", kMaxKeys);
  }
  cursor.charge(num_keys, kKeyMemory);
  read_metadata(cursor, num_keys, parsed);
  parsed.tensors = read_tensor_index(cursor, num_tensors, file, file_index, parsed.alignment);
  return parsed;
}

}  // namespace pyslm::gguf
