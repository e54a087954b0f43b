// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/plan.h"
#include "tessera/tick.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace tessera::compiler
{

/// What a program for sets of some sizes is planned to take.
struct Outlook
{
    Tick time = kNever;            ///< kNever: it does not fit
    std::vector<Tick> of_stage;    ///< of it
    std::size_t operations = 0;    ///< planned to find that out
    std::vector<std::uint8_t> ran; ///< by layer: level of its data, which buffers may make finer
};

/// Finer sets, which are more operations, are worth it when the plan gets shorter by a 400th.
[[nodiscard]] bool worthwhile(Tick time, Tick least);

/// The sizes of sets that --sets auto found.
struct SetSizes
{
    Fineness fineness;
    Tick time = kNever;      ///< as planned
    std::uint32_t plans = 0; ///< compared
};

/// Chooses how far every layer's sets are divided, for the shortest plan.
///
/// All layers are divided at every level in turn, from whole sets on, until two levels that follow
/// each other gain nothing worth their operations; so every level is tried to which full buffers
/// would divide. Stages do not overlap: each takes the level that is best for it. Where all layers
/// are in one stage, those of the same size are made coarser again as far as that costs hardly any
/// time.
[[nodiscard]] SetSizes choose_set_sizes(const Plan& plan,
                                        const std::function<Outlook(const Fineness&)>& outlook);

} // namespace tessera::compiler
