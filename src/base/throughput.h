// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/activity.h"
#include "tessera/summary.h"

#include <functional>
#include <vector>

namespace tessera
{

/// When one image was on the chip.
struct Passage
{
    Tick begin = kNever;
    Tick end = 0;
};

/// Figures of images that have passed, in their order; those that never began are left out. They
/// follow each other as the later half of them ends; `in_turns`: all have passed one segment of the
/// network before the first is in the next, and so would as many more: what counts is the whole.
[[nodiscard]] ImageSummary summary_of(const std::vector<Passage>& images, bool in_turns = false);

using ImageVisitor = std::function<void(const ImageRecord&)>;
/// Shows all images, in the order of their numbers, as often as it is called.
using Images = std::function<void(const ImageVisitor&)>;
/// The same of images that may have arrivals, and may not have ended. Takes 8 bytes an image.
[[nodiscard]] ImageSummary image_summary(const Images& images, bool in_turns);

} // namespace tessera
