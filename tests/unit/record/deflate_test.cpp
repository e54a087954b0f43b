// SPDX-License-Identifier: Apache-2.0
#include "record/deflate.h"
#include "unit/effort.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <gtest/gtest.h>
#include <new>
#include <random>
#include <sys/mman.h>
#include <utility>
#include <vector>
#include <zlib.h>

namespace
{

/// What new memory holds, over and over: as where other things lay before.
std::uint16_t heap_content = 0;

/// Where the next new thing lies, if not on the heap; and all such places.
std::byte* next_place = nullptr;
std::byte* places_begin = nullptr;
std::byte* places_end = nullptr;

} // namespace

// Not inlined: where only one of a pair is, the compiler calls it a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size)
{
    if (next_place != nullptr)
    {
        return std::exchange(next_place, nullptr);
    }
    void* const memory = std::malloc(size + 1);
    if (memory == nullptr)
    {
        throw std::bad_alloc();
    }
    for (std::size_t at = 0; heap_content != 0 && at + sizeof heap_content <= size;
         at += sizeof heap_content)
    {
        std::memcpy(static_cast<char*>(memory) + at, &heap_content, sizeof heap_content);
    }
    return memory;
}

[[gnu::noinline]] void operator delete(void* memory) noexcept
{
    if (memory < places_begin || memory >= places_end)
    {
        std::free(memory);
    }
}

[[gnu::noinline]] void operator delete(void* memory, std::size_t /*size*/) noexcept
{
    operator delete(memory);
}

namespace tessera::record
{
namespace
{

using Bytes = std::vector<std::byte>;

Bytes pack(Deflate& deflate, const Bytes& bytes)
{
    const Deflate::Packed packed = deflate.pack(bytes.data(), bytes.size());
    return {packed.bytes, packed.bytes + packed.size};
}

/// By zlib, as HDF5 does it.
Bytes unpack(const Bytes& packed, std::size_t size)
{
    Bytes bytes(size + 1); // one more than there should be
    uLongf length = bytes.size();
    EXPECT_EQ(uncompress(reinterpret_cast<Bytef*>(bytes.data()), &length,
                         reinterpret_cast<const Bytef*>(packed.data()), packed.size()),
              Z_OK);
    bytes.resize(length);
    return bytes;
}

/// Bytes of which the share `noise` is random and the others repeat what stood 24 before.
Bytes block(std::size_t size, double noise, unsigned seed)
{
    std::mt19937 random(seed);
    std::bernoulli_distribution surprising(noise);
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i)
    {
        bytes[i] = i < 24 || surprising(random) ? static_cast<std::byte>(random()) : bytes[i - 24];
    }
    return bytes;
}

TEST(Deflate, UnpacksToWhatWasPacked)
{
    constexpr std::size_t longest = 300000;
    Deflate deflate(longest);
    unsigned seed = 0;
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{25},
                                   std::size_t{65535}, std::size_t{65536}, longest})
    {
        for (const double noise : {0.0, 0.02, 0.5, 1.0})
        {
            const Bytes bytes = block(size, noise, ++seed);
            EXPECT_EQ(unpack(pack(deflate, bytes), size), bytes) << size << ' ' << noise;
        }
    }
}

TEST(Deflate, WhatCannotBePackedHasRoom)
{
    for (const std::size_t longest : {0U, 1U, 100U, 65535U, 65536U, 131070U, 1000003U})
    {
        Deflate deflate(longest);
        const Bytes bytes = block(longest, 1.0, 7);
        EXPECT_EQ(unpack(pack(deflate, bytes), longest), bytes) << longest;
    }
}

TEST(Deflate, ZerosTakeNextToNothing)
{
    constexpr std::size_t size = 262144;
    Deflate deflate(size);
    EXPECT_LT(pack(deflate, Bytes(size)).size(), size / 100);
}

TEST(Deflate, BytesDependOnTheBlockAlone)
{
    constexpr std::size_t longest = 100000;
    const Bytes bytes = block(longest - 1, 0.1, 1);
    Deflate fresh(longest);
    const Bytes expected = pack(fresh, bytes);
    Deflate used(2 * longest);
    for (unsigned seed = 2; seed < 10; ++seed)
    {
        static_cast<void>(pack(used, block(seed * longest / 10, 0.05 * seed, seed)));
        EXPECT_EQ(pack(used, bytes), expected) << seed;
        // Nor on where it lies.
        Bytes elsewhere(bytes.size() + seed);
        std::memcpy(elsewhere.data() + seed, bytes.data(), bytes.size());
        const Deflate::Packed packed = used.pack(elsewhere.data() + seed, bytes.size());
        EXPECT_EQ(Bytes(packed.bytes, packed.bytes + packed.size), expected) << seed;
    }
}

TEST(Deflate, BytesDoNotDependOnWhatTheHeapHeld)
{
    constexpr std::size_t size = 100000;
    constexpr std::size_t period = 20000; // matches lie as far back as a window reaches
    Bytes bytes = block(size, 0.3, 1);
    for (std::size_t i = period; i < size; ++i)
    {
        bytes[i] = bytes[i - period];
    }
    const auto packed_on = [&](std::uint16_t content)
    {
        heap_content = content;
        Deflate deflate(size);
        heap_content = 0;
        return pack(deflate, bytes);
    };
    const Bytes expected = packed_on(0);
    EXPECT_LT(expected.size(), size / 2);
    for (unsigned bit = 0; bit < 16; ++bit)
    {
        for (const unsigned content : {1U << bit, bit, 0xFFFFU >> bit})
        {
            EXPECT_EQ(packed_on(static_cast<std::uint16_t>(content)), expected) << content;
        }
    }
}

TEST(Deflate, BytesDoNotDependOnWhereItsStateLies)
{
    // A wrong entry in a table of 2^13, at a place that the address chooses, shows where the right
    // one matters: of this block, in one or two.
    constexpr std::size_t places = test::effort(std::size_t{1} << 14U);
    constexpr std::size_t pitch = std::size_t{1} << 16U;
    constexpr std::size_t room = std::size_t{4} * pitch;
    constexpr std::size_t size = 100000;
    constexpr std::size_t wrap = std::size_t{1} << 16U; // of the positions in the table
    Bytes bytes(size);
    const Bytes noise = block(16, 1.0, 1);
    for (const std::size_t at : {wrap - 2, wrap + 9998})
    {
        std::copy(noise.begin(), noise.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }
    Deflate elsewhere(size);
    const Bytes expected = pack(elsewhere, bytes);

    void* const memory = mmap(nullptr, places * pitch + room, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    places_begin = static_cast<std::byte*>(memory);
    places_end = places_begin + places * pitch + room;
    std::size_t different = 0;
    for (std::size_t place = 0; place < places; ++place)
    {
        {
            next_place = places_begin + place * pitch;
            Deflate deflate(size);
            different += pack(deflate, bytes) == expected ? 0 : 1;
        }
        madvise(places_begin + place * pitch, room, MADV_DONTNEED);
    }
    EXPECT_EQ(different, 0U);
    munmap(memory, places * pitch + room);
    places_begin = places_end = nullptr;
}

/// The check value of the CRC's definition, and that of nothing.
TEST(Crc32, IsThatOfZlib)
{
    const std::string digits = "123456789";
    const auto* const bytes = reinterpret_cast<const std::byte*>(digits.data());
    EXPECT_EQ(crc32_of(bytes, digits.size()), 0xcbf43926U);
    EXPECT_EQ(crc32_of(bytes, 0), 0U);
    // Long enough for code that takes many bytes at once: a block of zeros (by zlib).
    const std::vector<std::byte> zeros(100'003);
    EXPECT_EQ(crc32_of(zeros.data(), zeros.size()), 0xc5ee7c68U);
}

} // namespace
} // namespace tessera::record
