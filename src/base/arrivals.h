// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/philox.h"
#include "tessera/tick.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera
{

/// When the images of a run arrive.
class Arrivals
{
public:
    /// `text`: "10ms", one image every 10 ms, or "poisson:10ms", that on average; the first one
    /// arrives at tick 0. Throws UsageError.
    Arrivals(const std::string& text, std::uint64_t seed);

    /// Tick at which `image` arrives: the same for every order of asking, on every machine.
    [[nodiscard]] Tick at(std::uint32_t image);

private:
    static constexpr std::uint32_t kStride = 64;

    [[nodiscard]] double exponential(std::uint32_t image) const;

    Draws draws_;
    Tick gap_ = 0;
    bool poisson_ = false;
    std::uint32_t last_image_ = 0;  ///< Poisson: the one that was asked for last
    Tick last_ = 0;                 ///< its arrival
    std::vector<Tick> marks_ = {0}; ///< Poisson: of every 64th image, to go back to
};

} // namespace tessera
