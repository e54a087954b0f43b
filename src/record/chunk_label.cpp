// SPDX-License-Identifier: Apache-2.0
#include "record/chunk_label.h"

#include "base/interrupt.h"
#include "record/deflate.h"
#include "record/file_bytes.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace tessera::record
{
namespace
{

constexpr std::array<std::byte, 3> kSignature = {std::byte{0x89}, std::byte{'C'}, std::byte{'K'}};
constexpr std::size_t kStreamAt = kSignature.size();
constexpr std::size_t kNumberAt = 4;
constexpr std::size_t kSizeAt = 8;
constexpr std::size_t kChecksumAt = 12;
constexpr std::size_t kOwnAt = 16;
static_assert(kOwnAt + sizeof(std::uint32_t) == ChunkLabel::kBytes);

// Every machine that this runs on is little-endian.
void put(ChunkLabel::Bytes& bytes, std::size_t at, std::uint32_t value)
{
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::uint32_t get(const ChunkLabel::Bytes& bytes, std::size_t at)
{
    std::uint32_t value = 0;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

/// Of what stands before it, and of the address: a copy elsewhere is no label.
std::uint32_t own_checksum(const ChunkLabel::Bytes& bytes, std::uint64_t address)
{
    std::array<std::byte, kOwnAt + sizeof address> covered{};
    std::copy_n(bytes.begin(), kOwnAt, covered.begin());
    std::memcpy(covered.data() + kOwnAt, &address, sizeof address);
    return crc32_of(covered.data(), covered.size());
}

/// Reads a file forwards, a window at a time.
class Window
{
public:
    explicit Window(const FileBytes& file) : file_(file) {}

    /// Where the next signature begins, at `from` or after it; nothing when there is none.
    std::optional<std::uint64_t> find_signature(std::uint64_t from)
    {
        step_ = kFirst;
        while (from < file_.size())
        {
            provide(from);
            const std::size_t skipped = from - begin_;
            const void* const found = memmem(bytes_.data() + skipped, bytes_.size() - skipped,
                                             kSignature.data(), kSignature.size());
            if (found != nullptr)
            {
                return begin_ + static_cast<std::uint64_t>(static_cast<const std::byte*>(found) -
                                                           bytes_.data());
            }
            const std::uint64_t end = begin_ + bytes_.size();
            if (end >= file_.size() || bytes_.empty())
            {
                break;
            }
            from = std::max(from + 1, end - (kSignature.size() - 1)); // it may lie across the end
        }
        return std::nullopt;
    }

private:
    static constexpr std::size_t kFirst = 4096;
    static constexpr std::size_t kLast = std::size_t{1} << 20U;

    /// Makes `from` and what follows it part of the window.
    void provide(std::uint64_t from)
    {
        if (from >= begin_ && from + kSignature.size() <= begin_ + bytes_.size())
        {
            return;
        }
        throw_if_interrupted();
        bytes_.resize(step_);
        bytes_.resize(file_.read(from, bytes_.data(), bytes_.size()));
        begin_ = from;
        step_ = std::min(step_ * 2, kLast); // nothing here: the next is farther away
    }

    const FileBytes& file_;
    std::vector<std::byte> bytes_;
    std::uint64_t begin_ = 0;
    std::size_t step_ = kFirst;
};

} // namespace

ChunkLabel::Bytes ChunkLabel::encoded(std::uint64_t address) const
{
    Bytes bytes{};
    std::copy(kSignature.begin(), kSignature.end(), bytes.begin());
    bytes[kStreamAt] = std::byte{stream};
    put(bytes, kNumberAt, number);
    put(bytes, kSizeAt, size);
    put(bytes, kChecksumAt, checksum);
    put(bytes, kOwnAt, own_checksum(bytes, address));
    return bytes;
}

std::optional<ChunkLabel> ChunkLabel::decoded(const Bytes& bytes, std::uint64_t address)
{
    if (!std::equal(kSignature.begin(), kSignature.end(), bytes.begin()) ||
        get(bytes, kOwnAt) != own_checksum(bytes, address))
    {
        return std::nullopt;
    }
    return ChunkLabel{std::to_integer<std::uint8_t>(bytes[kStreamAt]), get(bytes, kNumberAt),
                      get(bytes, kSizeAt), get(bytes, kChecksumAt)};
}

std::map<std::uint8_t, LabelledChunks> labelled_chunks(const std::filesystem::path& path)
{
    const FileBytes file(path);
    Window window(file);
    std::map<std::uint8_t, LabelledChunks> streams;
    for (auto at = window.find_signature(0); at;)
    {
        std::uint64_t next = *at + 1;
        ChunkLabel::Bytes bytes{};
        if (file.read(*at, bytes.data(), bytes.size()) == bytes.size())
        {
            const auto label = ChunkLabel::decoded(bytes, *at);
            const std::uint64_t address = *at + ChunkLabel::kBytes;
            if (label && label->size <= file.size() - address)
            {
                streams[label->stream].try_emplace(
                    label->number, LabelledChunk{address, label->size, label->checksum});
                next = address + label->size;
            }
        }
        at = window.find_signature(next);
    }
    return streams;
}

} // namespace tessera::record
