// SPDX-License-Identifier: Apache-2.0
#include "record/superblock.h"

#include <array>
#include <cstring>

namespace tessera::record::superblock
{
namespace
{

constexpr std::array<unsigned char, 8> kSignature = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
constexpr std::size_t kVersionAt = 8;
constexpr std::size_t kOffsetSizeAt = 9;
constexpr std::size_t kLengthSizeAt = 10;
constexpr std::size_t kFlagsAt = 11;
constexpr std::size_t kEndAt = 28;
constexpr std::size_t kChecksumAt = 44;

std::uint8_t byte_at(const std::byte* bytes, std::size_t index)
{
    return std::to_integer<std::uint8_t>(bytes[index]);
}

void update_checksum(std::byte* bytes)
{
    const std::uint32_t sum = checksum(bytes, kChecksumAt);
    std::memcpy(bytes + kChecksumAt, &sum, sizeof sum);
}

std::uint32_t rotated(std::uint32_t value, unsigned by)
{
    return (value << by) | (value >> (32U - by));
}

} // namespace

bool known(const std::byte* bytes)
{
    const std::uint8_t version = byte_at(bytes, kVersionAt);
    return std::memcmp(bytes, kSignature.data(), kSignature.size()) == 0 &&
           (version == 2 || version == 3) && byte_at(bytes, kOffsetSizeAt) == 8 &&
           byte_at(bytes, kLengthSizeAt) == 8;
}

std::uint8_t flags(const std::byte* bytes)
{
    return byte_at(bytes, kVersionAt) == 3
               ? static_cast<std::uint8_t>(byte_at(bytes, kFlagsAt) & (kWriteAccess | kSwmrAccess))
               : std::uint8_t{0};
}

std::uint64_t end_of_file(const std::byte* bytes)
{
    std::uint64_t end = 0;
    std::memcpy(&end, bytes + kEndAt, sizeof end);
    return end;
}

void clear_flags(std::byte* bytes)
{
    if (flags(bytes) != 0)
    {
        bytes[kFlagsAt] &= ~std::byte{kWriteAccess | kSwmrAccess};
        update_checksum(bytes);
    }
}

void set_end_of_file(std::byte* bytes, std::uint64_t end)
{
    std::memcpy(bytes + kEndAt, &end, sizeof end);
    update_checksum(bytes);
}

std::uint32_t checksum(const std::byte* bytes, std::size_t size)
{
    std::uint32_t a = 0xdeadbeef + static_cast<std::uint32_t>(size);
    std::uint32_t b = a;
    std::uint32_t c = a;
    const auto take = [&](std::size_t count)
    {
        std::array<std::uint32_t, 3> words{};
        std::memcpy(words.data(), bytes, count);
        a += words[0];
        b += words[1];
        c += words[2];
        bytes += count;
        size -= count;
    };
    while (size > 12)
    {
        take(12);
        a = (a - c) ^ rotated(c, 4), c += b;
        b = (b - a) ^ rotated(a, 6), a += c;
        c = (c - b) ^ rotated(b, 8), b += a;
        a = (a - c) ^ rotated(c, 16), c += b;
        b = (b - a) ^ rotated(a, 19), a += c;
        c = (c - b) ^ rotated(b, 4), b += a;
    }
    if (size == 0)
    {
        return c;
    }
    take(size);
    c = (c ^ b) - rotated(b, 14);
    a = (a ^ c) - rotated(c, 11);
    b = (b ^ a) - rotated(a, 25);
    c = (c ^ b) - rotated(b, 16);
    a = (a ^ c) - rotated(c, 4);
    b = (b ^ a) - rotated(a, 14);
    return (c ^ b) - rotated(b, 24);
}

} // namespace tessera::record::superblock
