// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_file.h"

#include <string>

namespace tessera::trace
{

/// Completes a text that was written by hand: adds `counts` and `window` to a header that lacks
/// them, and the last line. Lines stay as they are. What it writes has passed check(); a text that
/// is complete already is checked and copied. Throws UsageError for an ending other than .jsonl and
/// .jsonl.gz, InputError naming the line in `in`, IoError.
void seal(const std::string& in, const std::string& out, Existing existing = Existing::keep);

} // namespace tessera::trace
