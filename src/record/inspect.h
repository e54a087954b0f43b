// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "record/critical_path.h"
#include "record/reader.h"
#include "record/table.h"

#include <cstddef>
#include <cstdint>
#include <vector>

/// The tables of `tessera inspect`.
namespace tessera::record
{

/// Key figures, one per row.
[[nodiscard]] Table summary_table(const ResultReader& reader);
/// All layers, in the order of the network.
[[nodiscard]] Table layer_table(const Summary& summary);
/// The `top` busiest units (equals: in unit order), with the shares of their waits.
[[nodiscard]] Table unit_table(const Summary& summary, std::size_t top);
/// Times of the images of a run of several, or with arrivals.
[[nodiscard]] Table image_times_table(const ImageSummary& images);
/// The `top` slowest images (equals: in their order), those that have not ended first.
[[nodiscard]] Table image_table(const ResultReader& reader, std::size_t top);
/// The `top` busiest links.
[[nodiscard]] Table link_table(const Summary& summary, std::size_t top);
/// All buffers that were ever used.
[[nodiscard]] Table buffer_table(const Summary& summary);
/// The `top` largest parts of a makespan; what is left is summed in a last row, "other".
[[nodiscard]] Table path_table(const std::string& title, const std::vector<PathPart>& parts,
                               std::size_t top);
/// Parts of the difference between the time of another run and that of this one.
[[nodiscard]] Table change_table(const std::string& title, const std::vector<PathChange>& changes);
/// One row per operation of explain().
[[nodiscard]] Table chain_table(const ResultReader& reader, const Chain& chain);

/// Compares the figures of the header with each other and with the streams. Throws InputError when
/// they cannot be of one run.
void validate(const ResultReader& reader);
/// Name of the network that was run, as the trace says; empty if it does not.
[[nodiscard]] std::string network_of(const ResultReader& reader);

/// What `inspect` shows without options: all of the above but the chain. Totals that were not
/// written are unknown (empty cells), not 0.
[[nodiscard]] std::vector<Table> overview(const ResultReader& reader, std::size_t top = 20);

} // namespace tessera::record
