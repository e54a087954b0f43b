// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "network/network.h"
#include "tessera/mapping_report.h"
#include "tessera/trace.h"

namespace tessera::compiler
{

/// What a trace made by compile() for this network takes of the chip.
[[nodiscard]] MappingReport report(const trace::Trace& trace, const network::Network& network,
                                   const config::ChipConfig& chip);

} // namespace tessera::compiler
