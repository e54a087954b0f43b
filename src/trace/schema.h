// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera::trace
{

/// JSON Schema (draft 2020-12) of one line of a trace, made from the tables that the parser works
/// with; ends with a newline. Ships as configs/schema/trace-1.0.schema.json.
[[nodiscard]] std::string schema();

} // namespace tessera::trace
