// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/plan.h"
#include "config/chip_config.h"
#include "network/network.h"
#include "tessera/mapping_report.h"
#include "trace/compact.h"

#include <nlohmann/json.hpp>
#include <string>

namespace tessera::compiler
{

/// What a trace made by compile() for this network takes of the chip.
[[nodiscard]] MappingReport report(const trace::Trace& trace, const network::Network& network,
                                   const config::ChipConfig& chip);
[[nodiscard]] MappingReport report(const trace::CompactTrace& trace,
                                   const network::Network& network, const config::ChipConfig& chip);

/// What a plan's products of feature maps take of the chip.
[[nodiscard]] MappingReport::Attention attention(const Plan& plan);
[[nodiscard]] nlohmann::ordered_json attention_json(const MappingReport::Attention& attention);
/// What attention_json() made, as a line for people; empty: the network has no such products.
[[nodiscard]] std::string attention_text(const nlohmann::ordered_json& attention);

/// Layers whose sets are not made whole, of so many that have sets.
[[nodiscard]] nlohmann::ordered_json
divided_json(const std::vector<MappingReport::Divided>& divided);
/// What divided_json() made, in one line for people; `plans`: compared to choose the sizes, 0: they
/// were given. Empty: all sets are whole, as they were given.
[[nodiscard]] std::string divided_text(const nlohmann::ordered_json& divided,
                                       std::uint32_t computed, std::uint32_t plans);

} // namespace tessera::compiler
