// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/tick.h"

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

} // namespace tessera
