// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "tessera/error.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tessera::config
{

enum class KeyType : std::uint8_t
{
    count,     ///< whole number, no unit
    number,    ///< any number in the unit that the documentation names
    size,      ///< bytes, with a unit
    frequency, ///< hertz, with a unit
    rate,      ///< bytes per second, with a unit
    energy,    ///< attojoules, with a unit
    duration,  ///< a time with a unit, or "N cycles"
    flag,      ///< true or false
    choice,    ///< one of a few texts
    list,      ///< list of distinct texts, each one of a few
    groups,    ///< list of lists of texts
    text,      ///< free text
    costs      ///< object: identifier -> whole number
};

/// One key of a chip config: the only place where it is declared. Parsing, schema, reference page
/// and effective dump are made from the list keys().
struct Key
{
    std::string path; ///< "noc.vcs"
    KeyType type = KeyType::text;
    std::string doc;
    std::uint64_t least = 0; ///< of numbers, in base units; durations: of either cycles or ps
    std::uint64_t most = std::numeric_limits<std::uint64_t>::max(); ///< durations: ps
    double least_number = 0;                                        ///< of KeyType::number
    double most_number = 0;
    std::uint64_t multiple = 1;       ///< counts only
    std::vector<std::string> choices; ///< choice, list, groups: the texts allowed
    std::string default_doc; ///< said instead of the default when that depends on other keys
    bool unlimited = false;  ///< "unlimited" is allowed
    bool optional = false;   ///< null is allowed and means: not given
    bool mapping = false;    ///< a mapping depends on it

    /// Canonical JSON of the key's value.
    std::function<nlohmann::json(const ChipConfig&)> read;
    /// Parses, checks the range, stores. Throws InputError at `place`.
    std::function<void(ChipConfig&, const nlohmann::json& value, const Key&, const Place& place)>
        write;
};

/// Greatest number of cycles in a duration.
inline constexpr std::uint64_t kMostCycles = 1'000'000;
/// Greatest time in a duration: 1 s.
inline constexpr std::uint64_t kMostTime = 1'000'000'000'000;

/// All keys, in the order of the reference page.
[[nodiscard]] const std::vector<Key>& keys();
/// Null when there is none of this path.
[[nodiscard]] const Key* find_key(const std::string& path);
/// Is `path` the beginning of keys, like "macro" or "macro.adc"?
[[nodiscard]] bool is_section(const std::string& path);
/// The last component of the keys and sections directly inside `section` ("" is the whole config).
[[nodiscard]] std::vector<std::string> members_of(const std::string& section);

/// Says what a section is for (reference page, schema).
[[nodiscard]] std::string section_doc(const std::string& section);
/// "1..64", "1 kHz..1 THz", "one of a, b", ...: empty when there is nothing to say.
[[nodiscard]] std::string range_text(const Key& key);

/// What holds between keys. `place_of` tells where one of the keys concerned was given last; an
/// entry of a map is "vector.cost/mish". Throws InputError.
void check_together(const ChipConfig& chip, const std::vector<std::string>& functions,
                    const std::function<Place(const std::vector<std::string>& paths)>& place_of);

} // namespace tessera::config
