// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/summary.h"

#include <vector>

namespace tessera
{

/// When one image was on the chip.
struct Passage
{
    Tick begin = kNever;
    Tick end = 0;
};

/// Figures of images that have passed, in their order; those that never began are left out.
[[nodiscard]] ImageSummary summary_of(const std::vector<Passage>& images);

} // namespace tessera
