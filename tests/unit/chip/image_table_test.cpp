// SPDX-License-Identifier: Apache-2.0
#include "chip/image_table.h"

#include <gtest/gtest.h>

#include <vector>

namespace tessera::chip
{
namespace
{

std::vector<ImageRecord> all_of(const ImageTable& table)
{
    std::vector<ImageRecord> images;
    table.for_each([&](const ImageRecord& image) { images.push_back(image); });
    return images;
}

void expect_image(const ImageRecord& image, std::uint32_t number, Tick arrival, Tick start,
                  Tick end)
{
    EXPECT_EQ(image.image, number);
    EXPECT_EQ(image.arrival, arrival) << number;
    EXPECT_EQ(image.start, start) << number;
    EXPECT_EQ(image.end, end) << number;
}

TEST(ImageTable, BeginsAnImageWithWhatReadsMoreThanPadding)
{
    ImageTable table;
    table.start(0, 0, true);
    table.start(0, 3, true);
    table.start(0, 5, false);
    table.start(0, 7, false);
    table.start(0, 8, true);
    table.start(1, 4, true); // nothing else
    table.start(1, 6, true);
    table.start(2, 0, false);
    table.end(0, 20);
    table.end(0, 10);
    table.end(1, 11);
    table.end(2, 0); // in no time
    const std::vector<ImageRecord> images = all_of(table);
    ASSERT_EQ(images.size(), 3U);
    expect_image(images[0], 0, kNever, 5, 20);
    expect_image(images[1], 1, kNever, 4, 11);
    expect_image(images[2], 2, kNever, 0, 0);
}

TEST(ImageTable, NumbersMayHaveGaps)
{
    ImageTable table;
    constexpr std::uint32_t last = ~std::uint32_t{0};
    for (const std::uint32_t image : {last, 4096U, 4095U, 1'000'000U})
    {
        table.start(image, 1, false);
        table.end(image, 2);
    }
    table.leave(4096, last - 1); // whether they are known or not
    const std::vector<ImageRecord> images = all_of(table);
    ASSERT_EQ(images.size(), 4U);
    expect_image(images[0], 4095, kNever, 1, 2);
    expect_image(images[1], 4096, kNever, 1, kNever);
    expect_image(images[2], 1'000'000, kNever, 1, kNever);
    expect_image(images[3], last, kNever, 1, 2);
}

TEST(ImageTable, KnowsWhatHasArrived)
{
    ImageTable table;
    table.expect(Arrivals("10 ps", 1));
    EXPECT_EQ(table.meet(3), 30U);
    EXPECT_EQ(table.meet(0), 0U);
    EXPECT_EQ(table.meet(7), 70U); // waits at the head of a unit
    table.start(0, 0, true);
    table.start(0, 2, false);
    table.start(3, 31, false);
    table.end(0, 12);
    table.end(3, 40);
    table.stop(50);
    table.leave(3, 3);
    table.leave(5, ~std::uint32_t{0}); // of which one has arrived
    const std::vector<ImageRecord> images = all_of(table);
    ASSERT_EQ(images.size(), 3U);
    expect_image(images[0], 0, 0, 2, 12);
    expect_image(images[1], 3, 30, 31, kNever);
    expect_image(images[2], 5, 50, kNever, kNever);
    table.leave_all();
    EXPECT_EQ(all_of(table)[0].end, kNever);
}

} // namespace
} // namespace tessera::chip
