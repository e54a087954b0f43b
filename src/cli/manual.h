// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"

#include <string>

namespace tessera::cli
{

/// Manual page of the program, tessera(1), as roff.
[[nodiscard]] std::string program_manual();
/// Manual page of one command, such as tessera-run(1).
[[nodiscard]] std::string command_manual(const Command& command);

} // namespace tessera::cli
