// SPDX-License-Identifier: Apache-2.0
#include "record/shuffle.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <random>
#include <stdexcept>
#include <vector>

namespace tessera::record
{
namespace
{

TEST(Shuffle, DealsOutEveryByte)
{
    std::mt19937 random(1);
    for (const std::size_t size : {8U, 24U, 64U})
    {
        const std::vector<std::size_t> zeros = {3, size - 1};
        const Shuffle shuffle(size, zeros);
        for (const std::size_t count : {0U, 1U, 7U, 8U, 9U, 16U, 100U, 129U})
        {
            for (const std::size_t pitch : {count, count + 1, count + 20})
            {
                std::vector<std::byte> records(count * size);
                std::generate(records.begin(), records.end(),
                              [&] { return static_cast<std::byte>(random()); });
                std::vector<std::byte> planes(size * pitch + 1, std::byte{0xA5});
                shuffle(records.data(), count, planes.data(), pitch);
                for (std::size_t b = 0; b < size; ++b)
                {
                    const bool zero = std::find(zeros.begin(), zeros.end(), b) != zeros.end();
                    for (std::size_t i = 0; i < pitch; ++i)
                    {
                        const std::byte expected =
                            i < count && !zero ? records[i * size + b] : std::byte{0};
                        ASSERT_EQ(planes[b * pitch + i], expected)
                            << size << ' ' << count << ' ' << pitch << ": " << b << ' ' << i;
                    }
                }
                EXPECT_EQ(planes.back(), std::byte{0xA5});
            }
        }
    }
}

TEST(Shuffle, TakesWholeWords)
{
    EXPECT_THROW(Shuffle(12, {}), std::logic_error);
}

} // namespace
} // namespace tessera::record
