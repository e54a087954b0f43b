// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <fmt/format.h>

#include <array>
#include <iostream>
#include <unistd.h>

namespace tessera::cli
{
namespace
{

double share(std::uint64_t done, std::uint64_t total)
{
    return total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
}

std::string time_left(double seconds, double done)
{
    return done > 0 ? fmt::format("{:.0f} s left", seconds / done * (1 - done))
                    : std::string("...");
}

} // namespace

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

bool on_terminal(const std::ostream& err)
{
    return &err == &std::cerr && isatty(STDERR_FILENO) != 0;
}

/// True when it is time to show how far the phase has come.
bool ProgressLine::begin_phase(std::string_view phase)
{
    if (!active_)
    {
        return false;
    }
    constexpr auto refresh = std::chrono::milliseconds(200);
    const Clock::time_point now = Clock::now();
    if (phase != phase_)
    {
        phase_ = phase;
        begin_ = now;
    }
    if (now - last_ < refresh)
    {
        return false;
    }
    last_ = now;
    return true;
}

void ProgressLine::print(const std::string& text)
{
    shown_ = true;
    err_ << "\r\033[K" << text << std::flush;
}

void ProgressLine::show(const Progress& progress)
{
    if (!begin_phase(""))
    {
        return;
    }
    const double seconds = std::chrono::duration<double>(last_ - begin_).count();
    const double done = share(progress.operations, progress.total);
    print(fmt::format("{}  {:.2f} M events/s  {:.1f} %  {}", human_time(progress.now),
                      seconds > 0 ? static_cast<double>(progress.events) / seconds / 1e6 : 0,
                      100 * done, time_left(seconds, done)));
}

void ProgressLine::show(const PhaseProgress& progress)
{
    if (!begin_phase(progress.phase))
    {
        return;
    }
    if (progress.total == 0)
    {
        print(fmt::format("{} ...", progress.phase));
        return;
    }
    const double seconds = std::chrono::duration<double>(last_ - begin_).count();
    const double done = share(progress.done, progress.total);
    print(fmt::format("{}  {:.1f} %  {}", progress.phase, 100 * done, time_left(seconds, done)));
}

ProgressLine::~ProgressLine()
{
    if (shown_)
    {
        err_ << "\r\033[K" << std::flush;
    }
}

} // namespace tessera::cli
