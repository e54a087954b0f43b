// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "values/crossbars.h"
#include "values/integer_network.h"

#include <vector>

namespace tessera::values
{

/// The codes of all layers for one image on a chip whose only errors are finite converters, spelled
/// out scalar by scalar: block by block, slice by slice, conversion by conversion. Slow, and apart
/// from what it checks: it shares no code with the numerics core, run(), element() and Machine.
/// `analogue` is what noiseless() gives; pieces of copies are not looked at. Throws InputError for
/// layers that have no whole numbers.
[[nodiscard]] std::vector<Map<std::int32_t>> finite_noiseless(const IntegerNetwork& network,
                                                              const std::vector<Piece>& pieces,
                                                              const Analogue& analogue,
                                                              const Map<std::int32_t>& input);

} // namespace tessera::values
