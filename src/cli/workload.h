// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"
#include "config/chip_config.h"
#include "tessera/summary.h"
#include "tessera/trace.h"

#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

namespace tessera::cli
{

/// A chip and what it is to execute.
struct Workload
{
    config::ChipConfig config;
    std::unique_ptr<trace::OperationSource> source;
};

/// --network, --chip, --set, --schedule, --images
void add_network_options(Options& options);
/// The same and --trace.
void add_workload_options(Options& options);
/// Throws UsageError, InputError, IoError.
[[nodiscard]] Workload load_workload(const Options& options);

/// --chip and --set of a command.
[[nodiscard]] config::ChipConfig load_chip(const Options& options);
/// --network, --schedule and --images of a command, compiled for a chip.
[[nodiscard]] trace::Trace compile_network(const Options& options, const config::ChipConfig& chip);

/// The few lines that end a run on a terminal.
void print_summary(std::ostream& out, const Summary& summary, const trace::Header& header,
                   const config::ChipConfig& config, const std::string& folder);

} // namespace tessera::cli
