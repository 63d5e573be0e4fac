#include "model/packed_entry.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sstream>

#include "core/checksum.h"
#include "core/error.h"
#include "kernels/layout.h"

#ifndef PYSLM_PACK_BUILD_ID  // CMake: a hash of the sources that decide the packed form
#define PYSLM_PACK_BUILD_ID "none"
#endif

namespace pyslm::model {
namespace {

constexpr uint64_t kPage = 4096, kChunk = uint64_t{1} << 20;
constexpr uint64_t kMaxChunks = uint64_t{1} << 24, kMaxManifestBytes = uint64_t{1} << 26;
constexpr char kMagic[8] = {'P', 'Y', 'S', 'L', 'M', 'P', 'K', '1'};

struct Header {
  char magic[8];
  uint64_t manifest_bytes, num_chunks, body_offset, file_bytes;
  uint64_t index_checksum;  // of the rest of the header, the manifest and the chunks
};
static_assert(sizeof(Header) == 48 && sizeof(PackedChunk) == 24);

uint64_t round_up(uint64_t n, uint64_t unit) { return (n + unit - 1) / unit * unit; }

std::string hex(uint64_t value) {
  std::string digits(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4) digits[i] = "0123456789abcdef"[value & 15];
  return digits;
}

bool read_at(const Descriptor& file, void* out, uint64_t num_bytes, uint64_t offset) {
  auto* to = static_cast<char*>(out);
  while (num_bytes > 0) {
    const ssize_t n = ::pread(file.get(), to, num_bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    to += n, offset += static_cast<uint64_t>(n), num_bytes -= static_cast<uint64_t>(n);
  }
  return true;
}

void write_at(const Descriptor& file, const void* data, uint64_t num_bytes, uint64_t offset) {
  const auto* from = static_cast<const char*>(data);
  while (num_bytes > 0) {
    const ssize_t n = ::pwrite(file.get(), from, num_bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail(ErrorKind::kIO, "cannot write: ", std::strerror(n ? errno : ENOSPC));
    from += n, offset += static_cast<uint64_t>(n), num_bytes -= static_cast<uint64_t>(n);
  }
}

uint64_t index_checksum(Header header, const std::string& manifest,
                        const std::vector<PackedChunk>& chunks) {
  header.index_checksum = 0;
  const uint64_t parts[3] = {checksum64(&header, sizeof(header)),
                             checksum64(manifest.data(), manifest.size()),
                             checksum64(chunks.data(), chunks.size() * sizeof(PackedChunk))};
  return checksum64(parts, sizeof(parts));
}

// Header, manifest and chunks of any entry, checked against each other; what is wrong, or "".
std::string read_index(const Descriptor& file, Header& header, std::string& manifest,
                       std::vector<PackedChunk>& chunks) {
  struct stat status;
  if (::fstat(file.get(), &status) != 0 || !read_at(file, &header, sizeof(header), 0))
    return "it is too short for a header";
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0) return "it is not an entry";
  const auto file_bytes = static_cast<uint64_t>(status.st_size);
  if (header.file_bytes != file_bytes || header.manifest_bytes > kMaxManifestBytes ||
      header.num_chunks > kMaxChunks)
    return "its size does not fit its header";
  manifest.resize(header.manifest_bytes);
  chunks.resize(header.num_chunks);
  const uint64_t chunks_offset = sizeof(header) + manifest.size();
  if (!read_at(file, manifest.data(), manifest.size(), sizeof(header)) ||
      !read_at(file, chunks.data(), chunks.size() * sizeof(PackedChunk), chunks_offset))
    return "its index is cut short";
  if (index_checksum(header, manifest, chunks) != header.index_checksum)
    return "its index is damaged";
  return "";
}

// The mapping; unmapped with the last matrix over it. The lock on the file is kept as long.
struct Mapping {
  Descriptor file;
  void* address;
  size_t num_bytes;
  ~Mapping() { ::munmap(address, num_bytes); }
};

}  // namespace

PackedEntry::PackedEntry(const std::vector<gguf::FileIdentity>& files,
                         const std::vector<PackedTensor>& tensors) {
  std::ostringstream place, key;
  place << "build " PYSLM_PACK_BUILD_ID "\nlayout " << layout::kVersion << '\n';
  for (const gguf::FileIdentity& file : files) {
    place << "file " << file.device << ' ' << file.inode << '\n';
    key << "version " << file.num_bytes << ' ' << file.modified_ns << ' ' << file.changed_ns
        << '\n';
  }
  for (const auto& [tensor, weight] : tensors) {
    const auto bytes = static_cast<uint64_t>(weight.num_bytes());
    offsets_.push_back(body_bytes_);
    key << "tensor " << tensor << ' ' << dtype_info(weight.type()).name << ' ' << weight.rows()
        << ' ' << weight.cols() << ' ' << body_bytes_ << ' ' << bytes << '\n';
    for (uint64_t at = 0; at < bytes; at += kChunk)
      chunks_.push_back({body_bytes_ + at, std::min(kChunk, bytes - at)});
    body_bytes_ += round_up(bytes, kPage);
  }
  manifest_ = place.str() + key.str();
  name_ = hex(checksum64(place.str().data(), place.str().size())) + "-" +
          hex(checksum64(manifest_.data(), manifest_.size())) + ".packed";
  body_offset_ =
      round_up(sizeof(Header) + manifest_.size() + chunks_.size() * sizeof(PackedChunk), kPage);
}

std::string PackedEntry::check_index(const Descriptor& file) {
  Header header;
  std::string manifest;
  std::vector<PackedChunk> chunks;
  const std::string problem = read_index(file, header, manifest, chunks);
  if (!problem.empty()) return problem;
  const auto same_place = [](const PackedChunk& a, const PackedChunk& b) {
    return a.offset == b.offset && a.num_bytes == b.num_bytes;
  };
  if (manifest != manifest_ || header.body_offset != body_offset_ ||
      header.file_bytes != num_bytes() ||
      !std::equal(chunks.begin(), chunks.end(), chunks_.begin(), chunks_.end(), same_place))
    return "it is of another model, or of another version of pyslm";
  chunks_ = std::move(chunks);
  return "";
}

std::vector<PackedWeight> PackedEntry::map(const Descriptor& file,
                                           const std::vector<PackedTensor>& tensors) const {
  Descriptor kept(::dup(file.get()));  // shares the lock
  if (!kept) fail(ErrorKind::kIO, "cannot keep the file open: ", std::strerror(errno));
  void* address = ::mmap(nullptr, num_bytes(), PROT_READ, MAP_SHARED, file.get(), 0);
  if (address == MAP_FAILED) fail(ErrorKind::kIO, "cannot map the file: ", std::strerror(errno));
  ::madvise(address, num_bytes(), MADV_WILLNEED);
  const std::shared_ptr<Mapping> mapping(new Mapping{std::move(kept), address, num_bytes()});
  const uint8_t* body = static_cast<const uint8_t*>(address) + body_offset_;
  std::vector<PackedWeight> weights;
  for (size_t i = 0; i < tensors.size(); ++i)
    weights.push_back(tensors[i].weight.with_data(body + offsets_[i], mapping));
  return weights;
}

bool PackedEntry::write(const Descriptor& file, const std::vector<PackedTensor>& tensors,
                        const std::function<bool()>& keep_going) {
  if (::ftruncate(file.get(), static_cast<off_t>(num_bytes())) != 0)
    fail(ErrorKind::kIO, "cannot write: ", std::strerror(errno));
  size_t tensor = 0;
  for (PackedChunk& chunk : chunks_) {
    if (!keep_going()) return false;
    while (tensor + 1 < tensors.size() && chunk.offset >= offsets_[tensor + 1]) ++tensor;
    const uint8_t* data = tensors[tensor].weight.tile(0) + (chunk.offset - offsets_[tensor]);
    chunk.checksum = checksum64(data, chunk.num_bytes);
    write_at(file, data, chunk.num_bytes, body_offset_ + chunk.offset);
  }
  write_index(file);
  return true;
}

void PackedEntry::write_index(const Descriptor& file) const {
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.manifest_bytes = manifest_.size();
  header.num_chunks = chunks_.size();
  header.body_offset = body_offset_;
  header.file_bytes = num_bytes();
  header.index_checksum = index_checksum(header, manifest_, chunks_);
  write_at(file, &header, sizeof(header), 0);
  write_at(file, manifest_.data(), manifest_.size(), sizeof(header));
  write_at(file, chunks_.data(), chunks_.size() * sizeof(PackedChunk),
           sizeof(header) + manifest_.size());
}

std::string find_damage(const Descriptor& file, const std::function<bool()>& keep_going) {
  Header header;
  std::string manifest;
  std::vector<PackedChunk> chunks;
  const std::string problem = read_index(file, header, manifest, chunks);
  if (!problem.empty()) return problem;
  // pread, where a page that cannot be read from the disk is an error and not a signal.
  std::vector<uint8_t> buffer(kChunk);
  for (const PackedChunk& chunk : chunks) {
    if (!keep_going()) return "";
    if (chunk.num_bytes > kChunk) return "its index is damaged";
    if (!read_at(file, buffer.data(), chunk.num_bytes, header.body_offset + chunk.offset))
      return "it cannot be read at byte " + std::to_string(header.body_offset + chunk.offset);
    if (checksum64(buffer.data(), chunk.num_bytes) != chunk.checksum)
      return "the MiB at byte " + std::to_string(header.body_offset + chunk.offset) +
             " does not match its checksum";
  }
  return "";
}

}  // namespace pyslm::model
