// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"

#include <string>
#include <vector>

namespace tessera::cli
{

/// One way to go on.
struct Candidate
{
    std::string word;
    std::string explanation; ///< may be empty
};

struct Candidates
{
    std::vector<Candidate> words; ///< all begin with what is there already
    bool files = false;           ///< names of files are possible too
};

/// What can stand in place of the last of `words` (those after the program's name; the last one may
/// be empty), by the tables of the commands. A value of "--option=value" comes with its option.
[[nodiscard]] Candidates complete(const std::vector<std::string>& words);

} // namespace tessera::cli
