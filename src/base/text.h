// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace tessera
{

/// Text from anywhere, fit for a terminal: control characters, those that turn the direction of
/// writing, and bytes that are no UTF-8 as \xNN. `lines`: newlines stay.
[[nodiscard]] std::string printable(std::string_view text, bool lines = false);

[[nodiscard]] bool is_utf8(std::string_view text);

} // namespace tessera
