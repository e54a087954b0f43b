// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "reproduce/report.h"

namespace tessera::reproduce
{

/// CLSA-CIM: seven networks, layer by layer and across layers, with and without copies of weights,
/// all by simulation on clsa-256-ideal; with Settings::real also on clsa-256, over that.
[[nodiscard]] Report clsa_cim(const Settings& settings);

} // namespace tessera::reproduce
