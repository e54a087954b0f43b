// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "reproduce/report.h"

namespace tessera::reproduce
{

/// AiDAC and YOCO: time, energy and error of one product, the terms of its energy, each error
/// alone, intervals from plausible constants, trends, layers of shipped networks, all constants.
[[nodiscard]] Report aidac(const Settings& settings);

} // namespace tessera::reproduce
