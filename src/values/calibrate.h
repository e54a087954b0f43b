// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "values/analogue.h"
#include "values/crossbars.h"
#include "values/integer_network.h"

#include <cstdint>
#include <vector>

namespace tessera::values
{

/// Throws UsageError when images for calibration are missing, or are given and calibrate nothing.
void check_calibration(const Analogue& analogue, bool given);

/// The chip that `seed` names, with ranges that suit the images, layer by layer, where it has such.
/// Of `calibrated` converters: that whose sums, as the chip's own cells and noise make them, have
/// the smallest squared error, and of several the widest. It is never worse on these images than
/// `full` and `granular`, which are among those that are tried. Of AiDAC: those that nothing seen
/// is cut off by, and the offset of every column is trimmed; they are the same for all seeds.
/// Nothing else is changed. The result does not depend on `threads`.
[[nodiscard]] Analogue calibrated(const Analogue& analogue, const IntegerNetwork& network,
                                  const std::vector<Piece>& pieces,
                                  const std::vector<Map<std::int32_t>>& images, std::uint64_t seed,
                                  unsigned threads);

} // namespace tessera::values
