// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "record/table.h"

#include <string>

namespace tessera::record
{

/// The windows of a run, a row each: its time, what was done in it, how busy the chip was, and
/// which layer, link and buffer stood out. `path`: the folder of a run, or its windows.jsonl. A
/// last line that has no end is left out: the run goes on, or was killed. Throws InputError,
/// IoError.
[[nodiscard]] Table window_table(const std::string& path);

} // namespace tessera::record
