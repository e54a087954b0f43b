// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace tessera::record
{

/// Packs blocks as HDF5's filter "deflate" expects them: each a zlib stream of its own. The packed
/// bytes depend on nothing but the block, the library that packs (ISA-L, or zlib where a build has
/// no ISA-L) and its version; any zlib unpacks them.
class Deflate
{
public:
    struct Packed
    {
        const std::byte* bytes = nullptr; ///< until the next call
        std::size_t size = 0;
    };

    /// Takes all the memory it will need for blocks of up to `longest` bytes. Throws
    /// std::bad_alloc.
    explicit Deflate(std::size_t longest);
    ~Deflate();
    Deflate(const Deflate&) = delete;
    Deflate& operator=(const Deflate&) = delete;

    /// Contract: `size` is at most `longest`, and below 4 GiB.
    [[nodiscard]] Packed pack(const std::byte* bytes, std::size_t size);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// The CRC-32 of zlib and gzip, by the library that packs. Contract: `size` is below 4 GiB.
[[nodiscard]] std::uint32_t crc32_of(const std::byte* bytes, std::size_t size);

} // namespace tessera::record
