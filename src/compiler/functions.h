// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/network.h"

#include <cstdint>
#include <map>
#include <string>

namespace tessera::compiler
{

/// The vector function that computes a layer, as an index into trace::functions().
[[nodiscard]] std::uint16_t function_of(const network::Layer& layer);
/// Its arguments.
[[nodiscard]] std::map<std::string, std::int64_t> arguments_of(const network::Network& network,
                                                               const network::Layer& layer);
/// Sum of partial sums.
[[nodiscard]] std::uint16_t accumulate_function();

} // namespace tessera::compiler
