// SPDX-License-Identifier: Apache-2.0
#include "compiler/segments.h"

#include "base/interrupt.h"

#include <algorithm>
#include <tuple>

namespace tessera::compiler
{
namespace
{

/// The best way to cut all the layers from one on.
struct Rest
{
    bool possible = false;
    Tick cost = 0;
    std::size_t segments = 0;
    std::size_t first_end = 0; ///< of its first segment
};

} // namespace

std::optional<std::vector<Segment>>
cut_into_segments(std::size_t layers,
                  const std::function<std::optional<Tick>(const Segment&)>& cost)
{
    std::vector<Rest> rest(layers + 1);
    rest[layers].possible = true;
    for (std::size_t begin = layers; begin-- > 0;)
    {
        throw_if_interrupted();
        Rest& best = rest[begin];
        for (std::size_t end = begin + 1; end <= layers; ++end)
        {
            const std::optional<Tick> its = cost({begin, end});
            if (!its)
            {
                break;
            }
            if (!rest[end].possible)
            {
                continue;
            }
            const Rest now{true, *its + rest[end].cost, 1 + rest[end].segments, end};
            if (!best.possible ||
                std::tie(now.cost, now.segments) < std::tie(best.cost, best.segments))
            {
                best = now;
            }
        }
        if (!best.possible)
        {
            return std::nullopt; // nor can anything that begins earlier be cut
        }
    }
    std::vector<Segment> segments;
    for (std::size_t begin = 0; begin < layers; begin = rest[begin].first_end)
    {
        segments.push_back({begin, rest[begin].first_end});
    }
    return segments;
}

} // namespace tessera::compiler
