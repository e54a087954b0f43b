// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"
#include "config/chip_config.h"
#include "tessera/simulation.h"
#include "values/dataset.h"

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tessera::cli
{

/// A chip and what it is to execute.
struct Workload
{
    ChipModel chip;
    Program program;
};

/// What may follow --set: "noc.vcs=", and whole where the values are known: "noc.kind=mesh".
[[nodiscard]] std::vector<std::string> chip_settings();

/// --network, --chip, --set and how the one is compiled for the other: --schedule, --images, ...
void add_network_options(Options& options);
/// The same and --trace.
void add_workload_options(Options& options);
/// Throws UsageError, InputError, IoError.
[[nodiscard]] Workload load_workload(const Options& options, const PhaseMonitor& monitor = {});

/// How many images an option asks for. Throws UsageError for none.
[[nodiscard]] std::size_t image_count(const Options& options, const char* option);
/// The options that choose images: their data set, which part of a folder's, the first, how many.
struct ImageOptions
{
    const char* data;
    const char* part;
    const char* first;
    const char* count;
};
/// Those images, for a network with this input. Throws InputError where there are fewer than the
/// command line asks for; a default takes what there is.
[[nodiscard]] values::Dataset load_images(const Options& options, const ImageOptions& names,
                                          const network::Layer& input);

/// An option that names a data set, and the part of it that is taken.
using Images = std::pair<const char*, const char*>;
/// Paths of all files that the chip, the network or trace, and images were read from.
[[nodiscard]] std::vector<std::string> files_read(const Options& options,
                                                  const config::ChipConfig& chip,
                                                  const std::vector<std::string>& network,
                                                  const std::vector<Images>& images);

/// What --batch-axis says of the network in this file. Throws UsageError, also when it is given for
/// one that is no ONNX file.
[[nodiscard]] BatchAxis batch_axis(const Options& options, const std::string& path);
inline constexpr const char* kBatchAxisHelp =
    "what the first axis of an ONNX file's inputs is, where the file leaves it open: auto, 0 (a "
    "batch), none (rows of one image)";
/// What was decided about a network, a line each.
void print_notes(std::ostream& out, const std::vector<std::string>& notes);

/// --chip and --set of a command.
[[nodiscard]] ChipModel load_chip(const Options& options);
/// What was read in another sense than a chip's files say, a line each.
void print_remarks(std::ostream& err, const config::ChipConfig& chip);
/// The network of a command, compiled for a chip.
[[nodiscard]] CompileOptions compile_choices(const Options& options);
[[nodiscard]] Program compile_network(const Options& options, const ChipModel& chip,
                                      const PhaseMonitor& monitor = {});

/// The few lines that end a run on a terminal.
void print_summary(std::ostream& out, const Summary& summary, const trace::Header& header,
                   const config::ChipConfig& config, const std::string& folder);

} // namespace tessera::cli
