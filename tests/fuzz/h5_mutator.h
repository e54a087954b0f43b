// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/h5.h"
#include "record/superblock.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>

namespace tessera::fuzz
{

/// An input's use of the HDF5 library. At its end the library starts anew: what it forgot to close
/// of a malformed file would add up over the inputs of a process.
class H5Session
{
public:
    H5Session() = default;
    ~H5Session()
    {
        const h5::Lock lock;
        H5close();
    }
    H5Session(const H5Session&) = delete;
    H5Session& operator=(const H5Session&) = delete;
};

/// Makes the checksums of HDF5 metadata right again, so that mutations get past them into what the
/// library makes of the contents.
inline void seal_h5(std::uint8_t* data, std::size_t size)
{
    const auto seal = [&](std::size_t begin, std::size_t length)
    {
        if (length < size && begin + length + 4 <= size)
        {
            const std::uint32_t sum = record::superblock::checksum(
                reinterpret_cast<const std::byte*>(data + begin), length);
            std::memcpy(data + begin + length, &sum, sizeof(sum));
        }
    };
    const auto number = [&](std::size_t at, std::size_t bytes)
    {
        std::uint64_t value = 0;
        std::memcpy(&value, data + at, bytes);
        return value;
    };
    for (std::size_t at = 0; at + 32 < size; ++at)
    {
        const auto is = [&](const char* signature)
        { return std::memcmp(data + at, signature, 4) == 0; };
        if (at == 0 && is("\x89HDF") && data[8] >= 2)
        {
            seal(0, 44);
        }
        else if (is("OHDR"))
        {
            const unsigned flags = data[at + 5];
            std::size_t head = 6 + ((flags & 0x20U) != 0 ? 16 : 0) + ((flags & 0x10U) != 0 ? 4 : 0);
            const std::size_t width = std::size_t{1} << (flags & 3U);
            if (at + head + width < size)
            {
                seal(at, head + width + number(at + head, width));
            }
        }
        else if (is("BTHD"))
        {
            seal(at, 34);
        }
        else if (is("FRHP"))
        {
            seal(at, 142);
        }
        // Blocks whose length only their parent knows: that of a continuation names it.
        else if (data[at] == 0x10 && number(at + 1, 2) == 16)
        {
            const std::uint64_t block = number(at + 4, 8);
            const std::uint64_t length = number(at + 12, 8);
            if (block < size && length > 8 && length <= size - block &&
                std::memcmp(data + block, "OCHK", 4) == 0)
            {
                seal(block, length - 4);
            }
        }
    }
}

/// Changes up to four places of an HDF5 file. Everything else stays where it is: inserting a byte
/// would only make all addresses wrong.
inline void mutate_h5(std::uint8_t* data, std::size_t size, unsigned seed)
{
    std::minstd_rand random(seed);
    const auto below = [&](std::size_t bound) { return random() % bound; };
    constexpr std::array<std::uint64_t, 12> kTelling = {
        0,      1,          0x7f,       0x80,        0xff,        0x7fff,
        0xffff, 0x7fffffff, 0xffffffff, 1ULL << 40U, ~0ULL >> 1U, ~0ULL};
    for (std::size_t changes = 1 + below(4); size >= 64 && changes-- > 0;)
    {
        const std::size_t width = std::size_t{1} << below(4);
        // Most of what matters is in the first bytes of blocks of metadata.
        std::size_t at = below(size - 8);
        for (std::size_t step = below(2) * 256; step-- > 0 && at + 40 < size; ++at)
        {
            if (std::memcmp(data + at, "OHDR", 4) == 0 || std::memcmp(data + at, "SNOD", 4) == 0 ||
                std::memcmp(data + at, "TREE", 4) == 0 || std::memcmp(data + at, "FRHP", 4) == 0)
            {
                at += below(32);
                break;
            }
        }
        std::uint64_t value = kTelling[below(kTelling.size())];
        switch (below(4))
        {
        case 0:
            value = std::uint64_t{random()} * random();
            break;
        case 1: // a little more or less
            std::memcpy(&value, data + at, width);
            value += below(2) != 0 ? 1 + below(8) : 0 - (1 + below(8));
            break;
        case 2: // what stands elsewhere
            std::memcpy(&value, data + below(size - 8), width);
            break;
        default:
            break;
        }
        std::memcpy(data + at, &value, width);
    }
    if (seed % 8 != 0)
    {
        seal_h5(data, size);
    }
}

} // namespace tessera::fuzz

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

#ifdef TESSERA_FUZZ
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed)
{
    if (seed % 32 == 0)
    {
        return LLVMFuzzerMutate(data, size, most);
    }
    tessera::fuzz::mutate_h5(data, size, seed);
    return size;
}
#endif
