// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/mapping_report.h"
#include "tessera/tick.h"
#include "trace/header.h"

#include <nlohmann/json_fwd.hpp>

#include <iosfwd>
#include <optional>

namespace tessera::cli
{

/// What the compiler did, for `compile --json` and `run --json`.
[[nodiscard]] nlohmann::ordered_json mapping_json(const MappingReport& mapping,
                                                  const trace::Header& header);
/// How several images pass as planned: latency and interval, beside the least interval.
void print_pipeline(std::ostream& out, const MappingReport& mapping);
/// Which sets are not made whole, and why.
void print_sets(std::ostream& out, const MappingReport& mapping);
/// Where data wait that find no room where they are read, and what that costs.
void print_buffers(std::ostream& out, const MappingReport& mapping);
/// What writing weights costs and how long cells last, if any are written; with the time that the
/// run took, if it is over.
void print_writing(std::ostream& out, const MappingReport& mapping, std::optional<Tick> makespan);

} // namespace tessera::cli
