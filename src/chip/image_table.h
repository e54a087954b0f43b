// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/arrivals.h"
#include "tessera/activity.h"
#include "tessera/tick.h"

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace tessera::chip
{

/// When images arrive, start and end. Takes 24 bytes an image; numbers may have gaps.
class ImageTable
{
public:
    /// From now on images have arrivals. Call before anything else.
    void expect(Arrivals arrivals) { arrivals_.emplace(std::move(arrivals)); }
    [[nodiscard]] bool expecting() const { return arrivals_.has_value(); }
    /// There is such an image. Returns its arrival. Contract: expecting().
    Tick meet(std::uint32_t image);
    /// An operation of the image starts; times of starts do not fall. `padding`: it reads no more.
    void start(std::uint32_t image, Tick now, bool padding);
    /// An operation of the image has ended.
    void end(std::uint32_t image, Tick now);

    // Once nothing starts any more.
    /// Images that arrive after `now` did not.
    void stop(Tick now) { stopped_ = now; }
    /// Images first..last, those that arrived, have not ended.
    void leave(std::uint32_t first, std::uint32_t last);
    /// Of no image it is known whether it has ended.
    void leave_all();
    /// Every image that has arrived, or without arrivals started, by number.
    void for_each(const std::function<void(const ImageRecord&)>& action) const;

private:
    /// In Times::arrival: nobody has met the image. In Times::start: all so far read padding.
    static constexpr Tick kMark = Tick{1} << 63U;
    static constexpr std::uint32_t kBlock = 4096;
    struct Times
    {
        Tick arrival = kNever;
        Tick start = kNever;
        Tick end = 0;
    };
    using Block = std::array<Times, kBlock>;

    [[nodiscard]] Times& of(std::uint32_t image);

    std::optional<Arrivals> arrivals_;
    Tick stopped_ = kNever;
    std::vector<std::unique_ptr<Block>> blocks_; ///< null: none of its images is known
};

} // namespace tessera::chip
