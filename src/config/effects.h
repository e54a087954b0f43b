// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "tessera/error.h"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace tessera::config
{

/// How a key was given.
struct Given
{
    Place place;
    std::size_t order = 0; ///< larger: given later
    bool by_set = false;   ///< by --set, not in a file
    bool null = false;     ///< taken back
};
/// By path; entries of a map as "vector.cost/mish".
using GivenKeys = std::map<std::string, Given>;

/// What `macro.adc.range` is where nobody says, and how many bits its converters have. Called when
/// every key has its last value.
///
/// Perfect converters have neither bits nor errors: a chip with either gets the range `full` unless
/// it names one; with `lossless` named, they are an InputError. A dump of earlier versions, which
/// said 8 bits there, is read as what it meant, with a remark.
void settle_converters(ChipConfig& chip, const GivenKeys& given);

/// Throws InputError for a key that was given after the one because of which it has no effect, or
/// while that one is not given at all, or by --set; and for values that contradict each other.
/// Keys that later ones make idle, or ones of the same file (a dump has them all), stay.
void check_effects(const ChipConfig& chip, const GivenKeys& given);

/// The keys of this chip that have no effect although they differ from their defaults, for people:
/// "no effect while macro.t_mvm is given: macro.adc.count, macro.adc.time".
[[nodiscard]] std::vector<std::string> idle_keys(const ChipConfig& chip);

} // namespace tessera::config
