// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/log.h"
#include "chip/chip.h"

#include <array>
#include <string>
#include <vector>

namespace tessera::simulation
{

/// By topic, the names of what a chip can log about.
[[nodiscard]] std::array<std::vector<std::string>, kTopics> log_units(chip::Chip& chip);

} // namespace tessera::simulation
