// SPDX-License-Identifier: Apache-2.0
#include "record/shuffle.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

namespace tessera::record
{
namespace
{

constexpr std::size_t kWord = sizeof(std::uint64_t);

using Square = std::array<std::uint64_t, kWord>;

/// Exchanges rows and columns of 8 x 8 bytes: of 4 x 4, 2 x 2 and single bytes in turn. (Low bytes
/// first, as on every machine this runs on.)
void transpose(Square& rows)
{
    const auto exchange = [&rows](std::size_t distance, std::uint64_t low)
    {
        const auto bits = static_cast<unsigned>(8 * distance);
        for (std::size_t row = 0; row < kWord; ++row)
        {
            if ((row & distance) == 0)
            {
                std::uint64_t& upper = rows[row];
                std::uint64_t& lower = rows[row + distance];
                const std::uint64_t changed = ((upper >> bits) ^ lower) & low;
                lower ^= changed;
                upper ^= changed << bits;
            }
        }
    };
    exchange(4, 0x00000000FFFFFFFFU);
    exchange(2, 0x0000FFFF0000FFFFU);
    exchange(1, 0x00FF00FF00FF00FFU);
}

} // namespace

Shuffle::Shuffle(std::size_t size, const std::vector<std::size_t>& zeros)
    : size_(size), kept_(size / kWord, ~std::uint64_t{0})
{
    if (size % kWord != 0)
    {
        throw std::logic_error("shuffled records must be whole words");
    }
    for (const std::size_t byte : zeros)
    {
        kept_[byte / kWord] &= ~(std::uint64_t{0xFF} << (8 * (byte % kWord)));
    }
}

void Shuffle::operator()(const std::byte* records, std::size_t count, std::byte* planes,
                         std::size_t pitch) const
{
    const auto deal = [&](std::size_t word, std::size_t first, std::size_t taken)
    {
        Square square = {};
        for (std::size_t i = 0; i < taken; ++i)
        {
            std::memcpy(&square[i], records + (first + i) * size_ + word * kWord, kWord);
            square[i] &= kept_[word];
        }
        transpose(square);
        for (std::size_t b = 0; b < kWord; ++b)
        {
            std::memcpy(planes + (word * kWord + b) * pitch + first, &square[b], taken);
        }
    };
    // In blocks that stay in the first-level cache while their words are dealt out; the lines that
    // eight planes are written to may be all that it can hold of such a distance.
    constexpr std::size_t kBlock = 16 * kWord;
    for (std::size_t block = 0; block < count; block += kBlock)
    {
        const std::size_t end = std::min(block + kBlock, count);
        for (std::size_t word = 0; word < kept_.size(); ++word)
        {
            std::size_t first = block;
            for (; first + kWord <= end; first += kWord)
            {
                deal(word, first, kWord);
            }
            if (first < end)
            {
                deal(word, first, end - first);
            }
        }
    }
    for (std::size_t plane = 0; plane < size_; ++plane)
    {
        std::fill(planes + plane * pitch + count, planes + (plane + 1) * pitch, std::byte{0});
    }
}

} // namespace tessera::record
