// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tessera::record
{

/// HDF5's filter "shuffle" for records whose size is a multiple of 8 bytes: byte b of all records
/// lies together, in plane b.
class Shuffle
{
public:
    /// Bytes of a record that come out as zero, whatever they hold. Throws std::logic_error if
    /// `size` is no multiple of 8.
    Shuffle(std::size_t size, const std::vector<std::size_t>& zeros);

    /// `count` records into planes of `pitch` bytes, one after the other; what lies behind the
    /// records of a plane becomes zero. Contract: `planes` has room for size x pitch bytes, `count`
    /// is at most `pitch`.
    void operator()(const std::byte* records, std::size_t count, std::byte* planes,
                    std::size_t pitch) const;

private:
    std::size_t size_;
    std::vector<std::uint64_t> kept_; ///< by 8 bytes of a record: the bits that are taken
};

} // namespace tessera::record
