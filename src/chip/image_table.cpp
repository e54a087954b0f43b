// SPDX-License-Identifier: Apache-2.0
#include "chip/image_table.h"

#include <algorithm>

namespace tessera::chip
{

ImageTable::Times& ImageTable::of(std::uint32_t image)
{
    const std::uint32_t number = image / kBlock;
    if (blocks_.size() <= number)
    {
        blocks_.resize(std::size_t{number} + 1);
    }
    std::unique_ptr<Block>& block = blocks_[number];
    if (block == nullptr)
    {
        block = std::make_unique<Block>();
        for (std::uint32_t i = 0; arrivals_ && i < kBlock; ++i)
        {
            (*block)[i].arrival = arrivals_->at(number * kBlock + i) | kMark;
        }
    }
    return (*block)[image % kBlock];
}

Tick ImageTable::meet(std::uint32_t image)
{
    return of(image).arrival &= ~kMark;
}

void ImageTable::start(std::uint32_t image, Tick now, bool padding)
{
    Times& its = of(image);
    const bool none = its.start == kNever;
    if (none || ((its.start & kMark) != 0 && !padding))
    {
        its.start = padding ? now | kMark : now;
    }
}

void ImageTable::end(std::uint32_t image, Tick now)
{
    Times& its = of(image);
    its.end = std::max(its.end, now);
}

void ImageTable::leave(std::uint32_t first, std::uint32_t last)
{
    // Past the last block that is there, images that have no arrivals are of no interest.
    std::uint64_t image = first;
    while (image <= last && (expecting() || image / kBlock < blocks_.size()))
    {
        const auto number = static_cast<std::uint32_t>(image);
        if (!expecting() && blocks_[number / kBlock] == nullptr)
        {
            image = (image / kBlock + 1) * kBlock;
            continue;
        }
        if (expecting() && meet(number) > stopped_)
        {
            return; // and so do all after it
        }
        of(number).end = kNever;
        ++image;
    }
}

void ImageTable::leave_all()
{
    for (const std::unique_ptr<Block>& block : blocks_)
    {
        for (std::uint32_t i = 0; block != nullptr && i < kBlock; ++i)
        {
            (*block)[i].end = kNever;
        }
    }
}

void ImageTable::for_each(const std::function<void(const ImageRecord&)>& action) const
{
    for (std::size_t number = 0; number < blocks_.size(); ++number)
    {
        for (std::uint32_t i = 0; blocks_[number] != nullptr && i < kBlock; ++i)
        {
            const Times& its = (*blocks_[number])[i];
            const bool started = its.start != kNever;
            // Who was not met bears the mark, which lies behind every tick.
            if (expecting() ? its.arrival <= stopped_ && its.arrival < kMark : started)
            {
                const auto image = static_cast<std::uint32_t>(number * kBlock + i);
                action({its.arrival,
                        started ? its.start & ~kMark : kNever,
                        started ? its.end : kNever,
                        image,
                        {}});
            }
        }
    }
}

} // namespace tessera::chip
