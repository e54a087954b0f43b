// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"
#include "cli/workload.h"
#include "simulation/value_run.h"

#include <nlohmann/json.hpp>
#include <ostream>

namespace tessera::cli
{

/// Options of `tessera run --values`: numbers in everything that a chip moves and computes.
void add_value_options(Options& options);
/// Reads images and whole numbers, and programs the chip. Throws InputError, UsageError.
[[nodiscard]] simulation::ValueRun load_values(const Options& options, const Workload& workload);

void print_values(std::ostream& out, const ValueResult& result);
[[nodiscard]] nlohmann::ordered_json values_json(const ValueResult& result);

} // namespace tessera::cli
