// SPDX-License-Identifier: Apache-2.0
#include "network/shapes.h"

#include <algorithm>

namespace tessera::network
{

std::uint64_t Window::count(std::uint64_t extent, bool ceil) const
{
    const std::uint64_t padded = extent + before + after;
    if (span() > padded)
    {
        return 0;
    }
    const std::uint64_t steps = padded - span();
    std::uint64_t windows = steps / stride + 1;
    if (ceil && steps % stride != 0 && windows * stride < extent + before)
    {
        ++windows;
    }
    return windows;
}

std::pair<std::uint32_t, std::uint32_t> Window::same(std::uint64_t extent) const
{
    const std::uint64_t windows = (extent + stride - 1) / stride;
    const std::uint64_t needed = (windows - 1) * stride + span();
    const std::uint64_t total = needed - std::min(needed, extent);
    return {static_cast<std::uint32_t>(total / 2), static_cast<std::uint32_t>(total - total / 2)};
}

std::uint64_t product(std::initializer_list<std::uint64_t> factors, std::uint64_t limit)
{
    std::uint64_t result = 1;
    for (const std::uint64_t factor : factors)
    {
        if (factor == 0)
        {
            return 0;
        }
        if (result > limit / factor)
        {
            return limit + 1;
        }
        result *= factor;
    }
    return result;
}

} // namespace tessera::network
