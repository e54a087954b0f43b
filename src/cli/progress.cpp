// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <fmt/format.h>

#include <array>
#include <ostream>

namespace tessera::cli
{

std::string human_time(Tick ticks)
{
    struct Scale
    {
        double ps;
        const char* unit;
    };
    constexpr std::array<Scale, 5> scales = {
        {{1e12, "s"}, {1e9, "ms"}, {1e6, "us"}, {1e3, "ns"}, {1, "ps"}}};
    const auto time = static_cast<double>(ticks);
    for (const Scale& scale : scales)
    {
        if (time >= scale.ps)
        {
            return fmt::format("{:.5g} {}", time / scale.ps, scale.unit);
        }
    }
    return "0 ps";
}

void ProgressLine::show(const Progress& progress)
{
    if (!active_)
    {
        return;
    }
    constexpr auto refresh = std::chrono::milliseconds(200);
    const Clock::time_point now = Clock::now();
    if (now - last_ < refresh)
    {
        return;
    }
    last_ = now;
    shown_ = true;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double done = progress.total == 0 ? 1
                                            : static_cast<double>(progress.operations) /
                                                  static_cast<double>(progress.total);
    const std::string left =
        done > 0 ? fmt::format("{:.0f} s left", seconds / done * (1 - done)) : std::string("...");
    err_ << fmt::format("\r\033[K{}  {:.2f} M events/s  {:.1f} %  {}", human_time(progress.now),
                        static_cast<double>(progress.events) / seconds / 1e6, 100 * done, left)
         << std::flush;
}

ProgressLine::~ProgressLine()
{
    if (shown_)
    {
        err_ << "\r\033[K" << std::flush;
    }
}

} // namespace tessera::cli
