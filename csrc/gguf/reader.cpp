#include "gguf/reader.h"

#include "gguf/reader_impl.h"
#include "gguf/split.h"

namespace pyslm::gguf {
namespace {

constexpr int64_t kMaxShards = 99999;  // five digits in the name

// split.no and its kin: any integer type; `absent` where the key is.
int64_t split_integer(const ParsedFile& file, const std::string& path, std::string_view key,
                      int64_t min, int64_t max, int64_t absent) {
  const auto found = file.values.find(key);
  if (found == file.values.end()) return absent;
  const auto* value = std::get_if<int64_t>(&found->second.data);
  if (!value || *value < min || *value > max) {
    fail(ErrorKind::kGGUF, path, ": key ", quote(key), " must be an integer from ", min, " to ",
         max);
  }
  return *value;
}

}  // namespace

Reader::Impl::Impl(const std::string& path) {
  Budget budget;
  parsed = open(path, budget);
  const int64_t num_files = split_integer(parsed, path, "split.count", 0, kMaxShards, 0);
  if (num_files > 1) open_siblings(num_files, budget);
  build_index();
}

ParsedFile Reader::Impl::open(const std::string& path, Budget& budget) {
  files.emplace_back(path);
  paths.push_back(path);
  total_bytes += files.back().size();
  return parse_file(files.back(), static_cast<int>(files.size()) - 1, budget);
}

void Reader::Impl::check_shard(const ParsedFile& shard, int64_t number, int64_t num_files) const {
  const std::string& path = paths.back();
  const int64_t seen = split_integer(shard, path, "split.no", 0, num_files - 1, -1) + 1;
  const int64_t count = split_integer(shard, path, "split.count", 0, kMaxShards, 0);
  if (seen != number || count != num_files) {
    fail(ErrorKind::kGGUF, path, ": says that it is part ", seen, " of ", count,
         " of a split model; ", "expected part ", number, " of ", num_files);
  }
}

void Reader::Impl::open_siblings(int64_t num_files, Budget& budget) {
  const std::string first = paths.front();
  const auto name = parse_shard_name(first);
  if (!name || name->count != num_files) {
    fail(ErrorKind::kGGUF, first, ": one of the ", num_files,
         " parts of a split model, but its name does", " not end in -00001-of-", num_files,
         ".gguf (five digits each), so the others cannot be found");
  }
  const int64_t number = split_integer(parsed, first, "split.no", 0, num_files - 1, -1) + 1;
  if (number > 1) {
    fail(ErrorKind::kGGUF, first, ": part ", number, " of ", num_files,
         " of a split model; open the "
         "first part instead: ",
         shard_path(*name, 1));
  }
  check_shard(parsed, name->number, num_files);
  const int64_t total = split_integer(parsed, first, "split.tensors.count", 0, INT32_MAX, -1);
  for (int i = 2; i <= num_files; ++i) {
    ParsedFile shard = open(shard_path(*name, i), budget);
    check_shard(shard, i, num_files);
    parsed.tensors.insert(parsed.tensors.end(), std::make_move_iterator(shard.tensors.begin()),
                          std::make_move_iterator(shard.tensors.end()));
  }
  if (total >= 0 && static_cast<size_t>(total) != parsed.tensors.size()) {
    fail(ErrorKind::kGGUF, first, ": split.tensors.count is ", total, ", but the ", num_files,
         " parts hold ", parsed.tensors.size(), " tensors");
  }
}

void Reader::Impl::build_index() {
  for (size_t i = 0; i < parsed.tensors.size(); ++i) {
    const auto& tensor = parsed.tensors[i];
    if (!index.emplace(tensor.name, i).second) {
      fail(ErrorKind::kGGUF, paths[static_cast<size_t>(tensor.file)], ": tensor ",
           quote(tensor.name), " occurs twice");
    }
  }
}

Reader::Reader(const std::string& path) : impl_(std::make_unique<Impl>(path)) {}
Reader::~Reader() = default;
Reader::Reader(Reader&&) noexcept = default;
Reader& Reader::operator=(Reader&&) noexcept = default;

uint32_t Reader::version() const { return impl_->parsed.version; }
uint32_t Reader::alignment() const { return impl_->parsed.alignment; }
const std::vector<std::string>& Reader::files() const { return impl_->paths; }
uint64_t Reader::total_bytes() const { return impl_->total_bytes; }
std::vector<FileIdentity> Reader::identities() const {
  std::vector<FileIdentity> all;
  for (const File& file : impl_->files) all.push_back(file.identity());
  return all;
}
const std::vector<std::string>& Reader::keys() const { return impl_->parsed.keys; }
const std::vector<TensorInfo>& Reader::tensors() const { return impl_->parsed.tensors; }

const Value* Reader::find(std::string_view key) const {
  const auto found = impl_->parsed.values.find(key);
  return found == impl_->parsed.values.end() ? nullptr : &found->second;
}

const TensorInfo* Reader::tensor(std::string_view name) const {
  const auto found = impl_->index.find(name);
  return found == impl_->index.end() ? nullptr : &impl_->parsed.tensors[found->second];
}

void Reader::read(const TensorInfo& tensor, uint64_t begin, uint64_t n, void* out) const {
  if (begin > tensor.num_bytes || n > tensor.num_bytes - begin) {
    fail(ErrorKind::kInvalid, "cannot read ", n, " bytes at ", begin, " of tensor ",
         quote(tensor.name), ": it has ", tensor.num_bytes, " bytes");
  }
  impl_->files[static_cast<size_t>(tensor.file)].read(tensor.offset + begin, out, n);
}

}  // namespace pyslm::gguf
