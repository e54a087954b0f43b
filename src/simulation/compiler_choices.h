// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/compiler.h"
#include "config/chip_config.h"
#include "tessera/simulation.h"

namespace tessera::simulation
{

/// What a user chose, as the compiler takes it: its options, and the chip with what was chosen for
/// this program only.
struct CompilerChoices
{
    compiler::Options options;
    config::ChipConfig chip;
};
/// Throws UsageError for a placement, or a place of grouped convolutions or attention, that there
/// is not.
[[nodiscard]] CompilerChoices compiler_choices(const config::ChipConfig& chip,
                                               const CompileOptions& options);

} // namespace tessera::simulation
