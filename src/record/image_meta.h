// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace tessera::record
{

/// What /images of a run that was killed can be made from, with its operations.
struct ImageMeta
{
    std::string arrivals;         ///< RunOptions::arrivals
    std::uint64_t seed = 0;       ///< of these; 0 where there are none
    std::uint64_t operations = 0; ///< of each image, those that write crossbars apart; 0: unknown
};

} // namespace tessera::record
