// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/tick.h"

#include <cstddef>
#include <functional>
#include <optional>
#include <vector>

namespace tessera::compiler
{

/// Layers that are on the chip at the same time: begin .. end - 1 of those on crossbars.
struct Segment
{
    std::size_t begin = 0;
    std::size_t end = 0;
    friend bool operator==(const Segment& a, const Segment& b)
    {
        return a.begin == b.begin && a.end == b.end;
    }
};

/// Cuts `layers` layers into consecutive segments so that the sum of their costs is least (of equal
/// sums, one with the fewest segments), by dynamic programming. `cost`: nothing for layers that do
/// not fit together; then no more of them do. Returns nothing when a layer does not fit alone.
[[nodiscard]] std::optional<std::vector<Segment>>
cut_into_segments(std::size_t layers,
                  const std::function<std::optional<Tick>(const Segment&)>& cost);

} // namespace tessera::compiler
