// SPDX-License-Identifier: Apache-2.0
#include "base/throughput.h"

#include <algorithm>

namespace tessera
{

ImageSummary summary_of(const std::vector<Passage>& images, bool in_turns)
{
    ImageSummary result;
    std::vector<Tick> ends;
    Tick begin = kNever;
    double sum = 0;
    for (const Passage& image : images)
    {
        if (image.begin > image.end)
        {
            continue;
        }
        const Tick latency = image.end - image.begin;
        result.first_latency = ends.empty() ? latency : result.first_latency;
        result.most_latency = std::max(result.most_latency, latency);
        begin = std::min(begin, image.begin);
        sum += static_cast<double>(latency);
        ends.push_back(image.end);
    }
    result.count = static_cast<std::uint32_t>(ends.size());
    if (ends.empty())
    {
        return result;
    }
    result.mean_latency = sum / result.count;
    std::sort(ends.begin(), ends.end());
    const std::size_t last = ends.size() - 1;
    const std::size_t middle = last / 2;
    if (last > 0 && in_turns)
    {
        result.interval = static_cast<double>(ends[last] - begin) / result.count;
    }
    else if (last > 0)
    {
        result.interval =
            static_cast<double>(ends[last] - ends[middle]) / static_cast<double>(last - middle);
    }
    return result;
}

} // namespace tessera
