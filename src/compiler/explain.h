// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/compiler.h"

#include <nlohmann/json.hpp>
#include <string>

namespace tessera::compiler
{

/// What the compiler plans: of every layer that is computed, the sets that run, as buffers or
/// --sets auto divide them, copies of weights and where they are, and when they run if only MVMs
/// take time (Timetable); of every layer read by several tiles, the bytes that are sent once and
/// multicast; of every layer and reader, the bytes that wait (LiveData); what finite buffers do to
/// a schedule across layers, and the pipeline of several images. With the name of a layer, every
/// set of it: elements, copy, tile, tiles that read it, sets that it reads, planned start and end.
/// Throws InputError, UsageError; UsageError for an unknown layer.
[[nodiscard]] nlohmann::ordered_json explain(const network::Network& network,
                                             const config::ChipConfig& chip, const Options& options,
                                             const std::string& layer);
/// The same as tables for people.
[[nodiscard]] std::string explain_text(const nlohmann::ordered_json& plan);

} // namespace tessera::compiler
