// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "config/chip_config.h"
#include "tessera/tick.h"

#include <cstdint>
#include <vector>

namespace tessera::config
{

/// One pipeline stage of a macro: when the first slice of a vector is in it, counted from the
/// moment the vector enters the macro.
struct StageTiming
{
    Stage stage;
    Duration begin;
    Duration length;
};

/// How long a macro works on input vectors.
///
/// A vector is cut into slices of `dac.bits` bits; slices follow each other `slice_interval` apart,
/// which is the longest total time for which one slice holds one resource (a stage, a group of tied
/// stages, or array plus converters where nothing samples and holds). A digital macro takes
/// `digital.step_bits` at a time, one `digital.step_time` after the other.
struct MacroTiming
{
    std::uint32_t slices = 1;
    Duration slice_interval;
    Duration latency;  ///< one vector, from entering to result
    Duration interval; ///< initiation interval: from one vector to the next
    std::vector<StageTiming> stages;
    std::size_t bottleneck = 0; ///< index of the longest stage

    /// Time from the first vector's entry to the last result, n >= 1.
    [[nodiscard]] Duration total(std::uint64_t n) const { return latency + (n - 1) * interval; }
};

[[nodiscard]] MacroTiming macro_timing(const ChipConfig::Macro& macro);

} // namespace tessera::config
