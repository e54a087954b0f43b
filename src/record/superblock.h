// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

/// The first bytes of an HDF5 file. The library has no call for what is done here with them.
namespace tessera::record::superblock
{

/// Bytes of a superblock of version 2 or 3 with 8-byte addresses, as HDF5 1.8 and later write it.
inline constexpr std::size_t kSize = 48;

/// What a writer notes about itself (version 3 only).
inline constexpr std::uint8_t kWriteAccess = 1; ///< opened for writing and not closed
inline constexpr std::uint8_t kSwmrAccess = 4;  ///< opened for single-writer/multiple-reader

/// Whether `bytes` (at least kSize) begin a file with such a superblock.
[[nodiscard]] bool known(const std::byte* bytes);
/// kWriteAccess | kSwmrAccess, as they are set. Contract: known().
[[nodiscard]] std::uint8_t flags(const std::byte* bytes);
/// Where the file ends, as far as the superblock knows. Contract: known().
[[nodiscard]] std::uint64_t end_of_file(const std::byte* bytes);
/// Clears the flags, as closing the file would. Contract: known().
void clear_flags(std::byte* bytes);
/// Contract: known().
void set_end_of_file(std::byte* bytes, std::uint64_t end);

/// The checksum of HDF5's metadata: lookup3 of Bob Jenkins (public domain), initial value 0.
[[nodiscard]] std::uint32_t checksum(const std::byte* bytes, std::size_t size);

} // namespace tessera::record::superblock
