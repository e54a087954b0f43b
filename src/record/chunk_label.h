// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>

/// Chunks of a stream that can be found, and known to be whole, without the index of the file: each
/// has a label before it, which belongs to no HDF5 object. The nodes of the index lie all over a
/// file; one that was cut short may have lost those of the chunks that it still has.
namespace tessera::record
{

/// In the file: 0x89 "CK", the stream in a byte, then four 32-bit integers, low bytes first:
/// number, size, checksum, and a checksum of the label, which covers its address too.
struct ChunkLabel
{
    static constexpr std::size_t kBytes = 20;
    using Bytes = std::array<std::byte, kBytes>;

    std::uint8_t stream = 0;    ///< Layout::stream
    std::uint32_t number = 0;   ///< of the chunk in its stream
    std::uint32_t size = 0;     ///< bytes of the chunk, as they are in the file
    std::uint32_t checksum = 0; ///< of these: crc32_of()

    /// `address`: of the label in its file.
    [[nodiscard]] Bytes encoded(std::uint64_t address) const;
    /// Nothing when what is at `address` is no sound label.
    [[nodiscard]] static std::optional<ChunkLabel> decoded(const Bytes& bytes,
                                                           std::uint64_t address);
};

/// A chunk that its label was found of.
struct LabelledChunk
{
    std::uint64_t address = 0; ///< of the chunk
    std::uint32_t size = 0;
    std::uint32_t checksum = 0;
};

/// By number.
using LabelledChunks = std::map<std::uint64_t, LabelledChunk>;

/// Looks for labels in all of a file: of each stream the chunks that lie in it as a whole, whether
/// their bytes are the right ones or not. Reads little more than the labels where chunk follows
/// chunk. Throws IoError.
[[nodiscard]] std::map<std::uint8_t, LabelledChunks>
labelled_chunks(const std::filesystem::path& path);

} // namespace tessera::record
