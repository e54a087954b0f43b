// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/plan.h"
#include "compiler/timetable.h"
#include "tessera/ids.h"
#include "tessera/tick.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace tessera::compiler
{

/// One image alone in a stage, planned with all that takes time (Forecast).
struct SingleImage
{
    Tick latency = 0;
    Tick work = 0; ///< of the busiest unit: in the long run, images do not follow each other faster
    UnitId busiest; ///< an Emitter's
};
/// Divides the stage as level 0 does.
[[nodiscard]] SingleImage alone(Plan& plan, std::size_t stage);

/// How images pass, and what of them that was chosen for.
struct Flight
{
    Pipeline pipeline;
    std::optional<SingleImage> one; ///< of the stage that asks for most; nothing: not looked at
};

/// As few images in flight as keep the busiest unit of every stage at work: macros (pipelined()),
/// vector units, network interfaces and memory ports, whichever it is.
[[nodiscard]] Flight keeping_busy(Plan& plan, std::uint32_t images);

} // namespace tessera::compiler
