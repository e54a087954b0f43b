// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/integer.h"
#include "tessera/error.h"
#include "tessera/tick.h"

#include <limits>
#include <string>

namespace tessera
{

/// The latest tick that anything may be asked to happen at: a release, an arrival, the end of a run
/// or of a window. What begins by then has as much time again, so that no sum of two times
/// overflows.
inline constexpr Tick kLatestTime = (Tick{1} << 62U) - 1;
/// "4611686018427387903 ps (2^62 - 1, about 53 days)": for messages.
[[nodiscard]] inline std::string latest_time_text()
{
    return std::to_string(kLatestTime) + " ps (2^62 - 1, about 53 days)";
}

/// Times of several units are added up in signed numbers of 64 bits.
inline constexpr Tick kLongestSum = std::numeric_limits<std::int64_t>::max();
/// sum + more. Throws SimulationError beyond kLongestSum; `what` says whose times they are.
[[nodiscard]] inline Tick added(Tick sum, Tick more, const char* what)
{
    if (more > kLongestSum - sum)
    {
        throw SimulationError("the times of " + std::string(what) +
                              " add up to 2^63 ps or more; simulate less "
                              "at once (--until), with shorter times");
    }
    return sum + more;
}

} // namespace tessera
