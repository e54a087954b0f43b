// SPDX-License-Identifier: Apache-2.0
#include "config/chip_keys.h"

#include "base/json.h"
#include "base/nearest.h"
#include "base/quantity.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <type_traits>
#include <utility>

namespace tessera::config
{
namespace
{

using nlohmann::json;

constexpr std::uint64_t kKibi = std::uint64_t{1} << 10U;
constexpr std::uint64_t kMebi = std::uint64_t{1} << 20U;
constexpr std::uint64_t kTebi = std::uint64_t{1} << 40U;
constexpr std::uint64_t kMostMacros = kMebi / 2; ///< of a chip: about 4 GiB

/// The stages of a staged macro, in the order in which a slice passes through them.
const std::vector<std::string>& stages()
{
    static const std::vector<std::string> names{"drive",   "crossbar",  "hold",
                                                "convert", "shift_add", "output"};
    return names;
}

bool is_identifier(const std::string& text)
{
    return !text.empty() && text.front() >= 'a' && text.front() <= 'z' &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string::npos;
}

Place inside(Place place, const std::string& member)
{
    place.pointer = pointer_to(place.pointer, member);
    return place;
}

// ---- values out of JSON ------------------------------------------------------------------------

std::string wanted(const Key& key)
{
    const std::string range = range_text(key);
    switch (key.type)
    {
    case KeyType::count:
        return "give a whole number" + (range.empty() ? "" : " in " + range);
    case KeyType::number:
        return "give a number in " + range;
    case KeyType::size:
        return "give a size with a unit (" + unit_names(Dimension::size) + ") in " + range;
    case KeyType::frequency:
        return "give a frequency with a unit (" + unit_names(Dimension::frequency) + ") in " +
               range;
    case KeyType::rate:
        return "give a rate with a unit (" + unit_names(Dimension::rate) + ") in " + range;
    case KeyType::energy:
        return "give an energy with a unit (" + unit_names(Dimension::energy) + ") in " + range;
    case KeyType::duration:
        return "give a time with a unit (" + unit_names(Dimension::time) +
               ") or a number of cycles, in " + range;
    case KeyType::flag:
        return "give true or false";
    case KeyType::choice:
        return "give " + range;
    case KeyType::list:
        return "give a list of distinct texts: " + joined(key.choices);
    case KeyType::groups:
        return "give a list of lists of stages: " + joined(key.choices);
    case KeyType::text:
        return "give a text of " + range;
    case KeyType::costs:
        return "give an object of function names with whole numbers in " + range;
    }
    return "";
}

[[noreturn]] void wrong_type(const json& value, const Key& key, const Place& place)
{
    throw InputError(place, std::string("must not be ") + type_name(value), wanted(key));
}

void check_range(std::uint64_t value, const std::string& text, const Key& key, const Place& place)
{
    if (value < key.least || value > key.most)
    {
        throw InputError(place, text + " is out of range", wanted(key));
    }
    if (value % key.multiple != 0)
    {
        throw InputError(place, text + " is not a multiple of " + std::to_string(key.multiple),
                         wanted(key));
    }
}

std::uint64_t whole_number(const json& value, const Key& key, const Place& place)
{
    if (!value.is_number_integer())
    {
        wrong_type(value, key, place);
    }
    if (!value.is_number_unsigned() && value.get<std::int64_t>() < 0)
    {
        throw InputError(place, value.dump() + " is out of range", wanted(key));
    }
    const auto number = value.get<std::uint64_t>();
    check_range(number, value.dump(), key, place);
    return number;
}

const std::string& text_of(const json& value, const Key& key, const Place& place)
{
    if (!value.is_string())
    {
        wrong_type(value, key, place);
    }
    return value.get_ref<const std::string&>();
}

/// Quantities are text: a bare number gets the message about the missing unit.
std::string quantity_text(const json& value, const Key& key, const Place& place)
{
    return value.is_number() ? value.dump() : text_of(value, key, place);
}

bool is_unlimited(const json& value, const Key& key)
{
    return key.unlimited && value == "unlimited";
}

std::string one_of(const std::string& word, const Key& key, const Place& place)
{
    if (std::find(key.choices.begin(), key.choices.end(), word) == key.choices.end())
    {
        const std::optional<std::string> meant = nearest(word, key.choices);
        throw InputError(place, '"' + word + "\" is not known here",
                         (meant ? "did you mean \"" + *meant + "\"? " : "") +
                             "Known: " + joined(key.choices));
    }
    return word;
}

// ---- declaring keys ----------------------------------------------------------------------------
// An accessor is `[](auto& c) -> auto& { return c.noc.vcs; }`: the member, of a chip const or not.

Key basic(KeyType type, const char* path, const char* doc)
{
    Key key;
    key.type = type;
    key.path = path;
    key.doc = doc;
    return key;
}

template <class Access>
Key count(const char* path, std::uint64_t least, std::uint64_t most, const char* doc, Access access)
{
    Key key = basic(KeyType::count, path, doc);
    key.least = least;
    key.most = most;
    key.read = [access](const ChipConfig& chip)
    {
        const std::uint64_t value = access(chip);
        return value == kUnlimited ? json("unlimited") : json(value);
    };
    key.write = [access](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        using Member = std::decay_t<decltype(access(chip))>;
        access(chip) = static_cast<Member>(
            is_unlimited(value, self) ? kUnlimited : whole_number(value, self, place));
    };
    return key;
}

template <class Access>
Key number(const char* path, double least, double most, const char* doc, Access access)
{
    Key key = basic(KeyType::number, path, doc);
    key.least_number = least;
    key.most_number = most;
    key.read = [access](const ChipConfig& chip) { return json(access(chip)); };
    key.write = [access](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        if (!value.is_number())
        {
            wrong_type(value, self, place);
        }
        const double given = value.get<double>();
        if (!(given >= self.least_number && given <= self.most_number))
        {
            throw InputError(place, value.dump() + " is out of range", wanted(self));
        }
        access(chip) = given;
    };
    return key;
}

template <class Access>
Key quantity(KeyType type, Dimension dimension, const char* path, std::uint64_t least,
             std::uint64_t most, const char* doc, Access access)
{
    Key key = basic(type, path, doc);
    key.least = least;
    key.most = most;
    key.read = [access, dimension](const ChipConfig& chip)
    {
        const std::uint64_t value = access(chip);
        return json(value == kUnlimited ? "unlimited" : print_quantity(dimension, value));
    };
    key.write = [access, dimension](ChipConfig& chip, const json& value, const Key& self,
                                    const Place& place)
    {
        if (is_unlimited(value, self))
        {
            access(chip) = kUnlimited;
            return;
        }
        const std::string text = quantity_text(value, self, place);
        const std::uint64_t number =
            parse_quantity(dimension, text, place, {self.least, self.most});
        check_range(number, '"' + text + '"', self, place);
        access(chip) = number;
    };
    return key;
}

template <class Access>
Key size(const char* path, std::uint64_t most, const char* doc, Access access)
{
    return quantity(KeyType::size, Dimension::size, path, 1, most, doc, access);
}

std::uint64_t hertz_of(const Clock& clock)
{
    // A clock from a config has a whole number of hertz, and its period is reduced.
    return 1'000'000'000'000 / clock.numerator() * clock.denominator();
}

template <class Access> Key frequency(const char* path, const char* doc, Access access)
{
    Key key = basic(KeyType::frequency, path, doc);
    key.least = 1'000;
    key.most = 1'000'000'000'000;
    key.read = [access](const ChipConfig& chip)
    { return json(print_quantity(Dimension::frequency, hertz_of(access(chip)))); };
    key.write = [access](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        const std::string text = quantity_text(value, self, place);
        const std::uint64_t hertz =
            parse_quantity(Dimension::frequency, text, place, {self.least, self.most});
        check_range(hertz, '"' + text + '"', self, place);
        access(chip) = Clock::from_hertz(hertz);
    };
    return key;
}

template <class Access> Key unit_clock(const char* path, const char* doc, Access access)
{
    Key key = frequency(path, doc, access);
    key.default_doc = "same as `clock`";
    return key;
}

Duration duration_of(const json& value, const Key& key, const Place& place)
{
    const std::string text = quantity_text(value, key, place);
    const Duration duration = parse_duration(text, place, {key.least, key.most});
    const bool too_short = duration.cycles < key.least && duration.ticks < key.least;
    if (too_short || duration.cycles > kMostCycles || duration.ticks > key.most)
    {
        throw InputError(place, '"' + text + "\" is out of range", wanted(key));
    }
    return duration;
}

template <class Access> Key duration(const char* path, const char* doc, Access access)
{
    Key key = basic(KeyType::duration, path, doc);
    key.most = kMostTime;
    key.read = [access](const ChipConfig& chip) { return json(print_duration(access(chip))); };
    key.write = [access](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    { access(chip) = duration_of(value, self, place); };
    return key;
}

/// `macro.t_mvm`: giving it is what chooses the timing as a whole.
Key whole_mvm(const char* doc)
{
    Key key = basic(KeyType::duration, "macro.t_mvm", doc);
    key.least = 1;
    key.most = kMostTime;
    key.optional = true;
    key.default_doc = "not given: timed by stages";
    key.read = [](const ChipConfig& chip)
    { return chip.macro.timed_as_whole ? json(print_duration(chip.macro.t_mvm)) : json(nullptr); };
    key.write = [](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        chip.macro.timed_as_whole = !value.is_null();
        chip.macro.t_mvm = value.is_null() ? Duration{} : duration_of(value, self, place);
    };
    return key;
}

/// `macro.adc.bits`: none while converters lose nothing.
Key code_bits(const char* doc)
{
    Key key = basic(KeyType::count, "macro.adc.bits", doc);
    key.least = 1;
    key.most = 16;
    key.optional = true;
    key.default_doc = "null with `macro.adc.range` `lossless`, else " +
                      std::to_string(ChipConfig::Macro::Adc::kBits);
    key.read = [](const ChipConfig& chip)
    { return chip.macro.adc.bits ? json(*chip.macro.adc.bits) : json(nullptr); };
    key.write = [](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        chip.macro.adc.bits.reset();
        if (!value.is_null())
        {
            chip.macro.adc.bits = static_cast<std::uint32_t>(whole_number(value, self, place));
        }
    };
    return key;
}

template <class Access> Key flag(const char* path, const char* doc, Access access)
{
    Key key = basic(KeyType::flag, path, doc);
    key.read = [access](const ChipConfig& chip) { return json(access(chip)); };
    key.write = [access](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        if (!value.is_boolean())
        {
            wrong_type(value, self, place);
        }
        access(chip) = value.get<bool>();
    };
    return key;
}

template <class Access>
Key choice(const char* path, std::vector<std::string> choices, const char* doc, Access access)
{
    Key key = basic(KeyType::choice, path, doc);
    key.choices = std::move(choices);
    key.read = [access](const ChipConfig& chip) { return json(access(chip)); };
    key.write = [access](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    { access(chip) = one_of(text_of(value, self, place), self, place); };
    return key;
}

template <class Access>
Key list(const char* path, std::vector<std::string> choices, const char* doc, Access access)
{
    Key key = basic(KeyType::list, path, doc);
    key.choices = std::move(choices);
    key.read = [access](const ChipConfig& chip) { return json(access(chip)); };
    key.write = [access](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        if (!value.is_array())
        {
            wrong_type(value, self, place);
        }
        std::vector<std::string> words;
        for (const json& item : value)
        {
            const Place here = inside(place, std::to_string(words.size()));
            std::string word = one_of(text_of(item, self, here), self, here);
            if (std::find(words.begin(), words.end(), word) != words.end())
            {
                throw InputError(here, '"' + word + "\" is listed twice", "delete one of the two");
            }
            words.push_back(std::move(word));
        }
        access(chip) = std::move(words);
    };
    return key;
}

std::vector<std::string> stage_group(const json& value, std::set<std::string>& taken,
                                     const Key& key, const Place& place)
{
    if (!value.is_array())
    {
        wrong_type(value, key, place);
    }
    if (value.empty())
    {
        throw InputError(place, "the group is empty", "name its stages or delete it");
    }
    std::vector<std::string> group;
    for (const json& item : value)
    {
        const Place here = inside(place, std::to_string(group.size()));
        std::string stage = one_of(text_of(item, key, here), key, here);
        if (!taken.insert(stage).second)
        {
            throw InputError(here, "stage \"" + stage + "\" is in a group already",
                             "name every stage at most once");
        }
        if (!group.empty())
        {
            const auto before = std::find(stages().begin(), stages().end(), group.back());
            if (std::next(before) == stages().end() || *std::next(before) != stage)
            {
                throw InputError(here,
                                 "stage \"" + stage + "\" does not follow \"" + group.back() + '"',
                                 "a group is a run of neighbours of " + joined(stages()));
            }
        }
        group.push_back(std::move(stage));
    }
    return group;
}

Key stage_groups(const char* doc)
{
    Key key = basic(KeyType::groups, "macro.pipeline.groups", doc);
    key.choices = stages();
    key.read = [](const ChipConfig& chip) { return json(chip.macro.pipeline.groups); };
    key.write = [](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        if (!value.is_array())
        {
            wrong_type(value, self, place);
        }
        std::vector<std::vector<std::string>> groups;
        std::set<std::string> taken;
        for (const json& item : value)
        {
            groups.push_back(
                stage_group(item, taken, self, inside(place, std::to_string(groups.size()))));
        }
        chip.macro.pipeline.groups = std::move(groups);
    };
    return key;
}

template <class Access>
Key text(const char* path, std::uint64_t least, std::uint64_t most, bool one_line, const char* doc,
         Access access)
{
    Key key = basic(KeyType::text, path, doc);
    key.least = least;
    key.most = most;
    key.read = [access](const ChipConfig& chip) { return json(access(chip)); };
    key.write =
        [access, one_line](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        const std::string& words = text_of(value, self, place);
        check_range(words.size(), "a text of " + std::to_string(words.size()) + " bytes", self,
                    place);
        const auto is_control = [one_line](char c)
        { return static_cast<unsigned char>(c) < 0x20U && (one_line || (c != '\n' && c != '\t')); };
        if (std::any_of(words.begin(), words.end(), is_control))
        {
            throw InputError(place, "the text holds control characters", "delete them");
        }
        access(chip) = words;
    };
    return key;
}

/// Adds the entries to those that are there already: that is how a file extends another's.
Key costs(const char* doc)
{
    Key key = basic(KeyType::costs, "vector.cost", doc);
    key.least = 0;
    key.most = 1'000'000;
    key.read = [](const ChipConfig& chip)
    { return chip.vector.cost.empty() ? json::object() : json(chip.vector.cost); };
    key.write = [](ChipConfig& chip, const json& value, const Key& self, const Place& place)
    {
        if (!value.is_object())
        {
            wrong_type(value, self, place);
        }
        for (const auto& [function, cost] : value.items())
        {
            const Place here = inside(place, function);
            if (!is_identifier(function))
            {
                throw InputError(here, '"' + function + "\" is no function name",
                                 "function names are lower-case letters, digits and _");
            }
            chip.vector.cost[function] = static_cast<std::uint32_t>(whole_number(cost, self, here));
        }
    };
    return key;
}

Key defaults_to(std::string doc, Key key)
{
    key.default_doc = std::move(doc);
    return key;
}

Key unlimited(Key key)
{
    key.unlimited = true;
    return key;
}

/// Changing the key changes which mapping fits the chip, or how it is made.
Key maps(Key key)
{
    key.mapping = true;
    return key;
}

Key multiple_of(std::uint64_t multiple, Key key)
{
    key.multiple = multiple;
    return key;
}

std::vector<Key> declare_identity()
{
    Key name = text(
        "name", 1, 256, true, "What reports call the chip. Not inherited.",
        [](auto& c) -> auto& { return c.name; });
    name.default_doc = "the file's name";
    return {
        name,
        text(
            "description", 0, 64 * kKibi, false, "For people. Not inherited.",
            [](auto& c) -> auto& { return c.description; }),
        frequency(
            "clock", "Reference clock, and clock of every unit that has none of its own.",
            [](auto& c) -> auto& { return c.clock; }),
        maps(count(
            "tiles.rows", 1, 4096, "Rows of tiles.",
            [](auto& c) -> auto& { return c.tiles.rows; })),
        maps(count(
            "tiles.columns", 1, 4096, "Columns of tiles.",
            [](auto& c) -> auto& { return c.tiles.columns; })),
        maps(count(
            "tiles.macros", 1, 4096, "Macros in every tile.",
            [](auto& c) -> auto& { return c.tiles.macros; })),
    };
}

std::vector<Key> declare_macro()
{
    return {
        maps(choice(
            "macro.kind", {"adc", "aidac"},
            "`adc`: a crossbar with DACs, sample-and-hold, shared ADCs, shift-and-add; `aidac`: a "
            "grid of charge-domain arrays joined by time accumulators.",
            [](auto& c) -> auto& { return c.macro.kind; })),
        unit_clock(
            "macro.clock", "Clock of the macro's stages.",
            [](auto& c) -> auto& { return c.macro.clock; }),
        maps(count(
            "macro.rows", 1, 65'536, "Weights in a column.",
            [](auto& c) -> auto& { return c.macro.rows; })),
        maps(count(
            "macro.columns", 1, 65'536,
            "Weights in a row. The array has more columns of cells: as many for each as its "
            "weights have cells, and a reference column beside all of them where `cell.signs` is "
            "`offset`.",
            [](auto& c) -> auto& { return c.macro.columns; })),
        maps(count(
            "macro.weight_bits", 1, 32, "Bits of a weight.",
            [](auto& c) -> auto& { return c.macro.weight_bits; })),
        maps(count(
            "macro.cells_per_weight", 1, 64,
            "Times, unless `t_mvm` is given: columns that are converted for one column of weights; "
            "a reference column is converted too. (Cells that hold a weight, in values and "
            "writes: `weight_bits` / `cell.bits`, rounded up, twice as many in pairs.)",
            [](auto& c) -> auto& { return c.macro.cells_per_weight; })),
        maps(count(
            "macro.input_bits", 1, 32, "Bits of an input.",
            [](auto& c) -> auto& { return c.macro.input_bits; })),
        whole_mvm("Latency and interval of one MVM. When given, the times of the stages below do "
                  "not matter."),
        count(
            "macro.dac.count", 1, 65'536, "DACs; each drives one row at a time.",
            [](auto& c) -> auto& { return c.macro.dac.count; }),
        count(
            "macro.dac.bits", 1, 32, "Input bits that one slice applies.",
            [](auto& c) -> auto& { return c.macro.dac.bits; }),
        duration(
            "macro.dac.time", "One DAC drives one row.",
            [](auto& c) -> auto& { return c.macro.dac.time; }),
        duration(
            "macro.crossbar.time", "The array settles.",
            [](auto& c) -> auto& { return c.macro.crossbar.time; }),
        flag(
            "macro.sample_hold.present",
            "`false`: the array is held until the conversion of its slice has ended.",
            [](auto& c) -> auto& { return c.macro.sample_hold.present; }),
        duration(
            "macro.sample_hold.time", "Sampling all columns.",
            [](auto& c) -> auto& { return c.macro.sample_hold.time; }),
        count(
            "macro.adc.count", 1, 65'536, "ADCs that share the columns of cells.",
            [](auto& c) -> auto& { return c.macro.adc.count; }),
        duration(
            "macro.adc.time", "One conversion of one column.",
            [](auto& c) -> auto& { return c.macro.adc.time; }),
        code_bits("Values: bits of a code. Not with the range `lossless`, whose converters are as "
                  "wide as it takes."),
        defaults_to("`lossless`; `full` where `bits` or an error of the converters is given",
                    choice(
                        "macro.adc.range", {"lossless", "full", "granular", "calibrated"},
                        "Values: `lossless`: perfect converters, without `bits` and errors; "
                        "`full`: codes cover whatever a column can give; `granular`: one code a "
                        "level, cut off beyond; `calibrated`: chosen for each layer on calibration "
                        "images.",
                        [](auto& c) -> auto& { return c.macro.adc.range; })),
        choice(
            "macro.adc.circuit", {"uniform", "sar", "flash"},
            "Values: `sar`: capacitors with mismatch; `flash`: comparators with offsets.",
            [](auto& c) -> auto& { return c.macro.adc.circuit; }),
        number(
            "macro.adc.mismatch", 0, 1,
            "Values, sar: standard deviation of a unit capacitor, as a fraction of it.",
            [](auto& c) -> auto& { return c.macro.adc.mismatch; }),
        number(
            "macro.adc.comparator_offset", 0, 1e6,
            "Values, flash: standard deviation of each comparator's offset, in codes.",
            [](auto& c) -> auto& { return c.macro.adc.comparator_offset; }),
        number(
            "macro.adc.offset", -1e6, 1e6, "Values: of the whole converter, in codes.",
            [](auto& c) -> auto& { return c.macro.adc.offset; }),
        number(
            "macro.adc.gain", 1e-3, 1e3, "Values: codes per code of a perfect converter.",
            [](auto& c) -> auto& { return c.macro.adc.gain; }),
        number(
            "macro.adc.inl", -1e6, 1e6, "Values: greatest bow of the transfer curve, in codes.",
            [](auto& c) -> auto& { return c.macro.adc.inl; }),
        count(
            "macro.cell.bits", 1, 4,
            "Bits of a weight that one cell holds: how many cells are written and computed with.",
            [](auto& c) -> auto& { return c.macro.cell.bits; }),
        maps(choice(
            "macro.cell.signs",
            {"differential", "differential-separate", "offset", "sign-magnitude"},
            "Signed weights: pairs of cells, subtracted before the converter or after it; an "
            "offset; or a steered magnitude, whose off current has the sign too. `offset`: the "
            "array has a column of cells beyond "
            "those of `macro.columns`, whose code is subtracted from theirs; blocks and replicas "
            "that share the array take a column of weights for each further reference.",
            [](auto& c) -> auto& { return c.macro.cell.signs; })),
        choice(
            "macro.cell.signed_inputs", {"two-pass", "twos-complement"},
            "Signed inputs: positive parts, then the negative ones; or bit by bit.",
            [](auto& c) -> auto& { return c.macro.cell.signed_inputs; }),
        text(
            "macro.cell.device", 0, 1024, true,
            "A device of models/devices, or a file; empty: cells without errors.",
            [](auto& c) -> auto& { return c.macro.cell.device; }),
        number(
            "macro.cell.age", 1e-6, 1e9, "Seconds from programming to the reads.",
            [](auto& c) -> auto& { return c.macro.cell.age; }),
        list(
            "macro.cell.steps",
            {"all", "programming", "verify", "relaxation", "retention", "read_noise", "flicker",
             "telegraph"},
            "What happens to cells, of what the device describes; `all`: everything that its "
            "programming fit does not contain.",
            [](auto& c) -> auto& { return c.macro.cell.steps; }),
        text(
            "macro.cell.faults", 0, 1024, true,
            "A file that lists stuck cells by the weights they are part of; empty: none is known.",
            [](auto& c) -> auto& { return c.macro.cell.faults; }),
        choice(
            "macro.cell.read", {"row-voltage", "row-voltage-floating", "gated-1t1r"},
            "How wires lead to the cells: rows carry voltages, idle ones grounded or floating; or "
            "rows gate transistors.",
            [](auto& c) -> auto& { return c.macro.cell.read; }),
        number(
            "macro.cell.row_ohm", 0, 1e6,
            "Resistance of a row's wire from cell to cell. 0, as `column_ohm`: perfect wires.",
            [](auto& c) -> auto& { return c.macro.cell.row_ohm; }),
        number(
            "macro.cell.column_ohm", 0, 1e6, "Resistance of a column's wire from cell to cell.",
            [](auto& c) -> auto& { return c.macro.cell.column_ohm; }),
        number(
            "macro.cell.driver_ohm", 0, 1e6, "Resistance of a row's driver.",
            [](auto& c) -> auto& { return c.macro.cell.driver_ohm; }),
        number(
            "macro.cell.sense_ohm", 0, 1e6, "Resistance of a column's sense node.",
            [](auto& c) -> auto& { return c.macro.cell.sense_ohm; }),
        number(
            "macro.cell.read_volts", 1e-3, 10,
            "Volts at a row driven fully: how far the cells of a device with `non_linear` bend.",
            [](auto& c) -> auto& { return c.macro.cell.read_volts; }),
        duration(
            "macro.shift_add.time", "Weighing and adding one slice.",
            [](auto& c) -> auto& { return c.macro.shift_add.time; }),
        duration(
            "macro.output.time", "Entering the output register.",
            [](auto& c) -> auto& { return c.macro.output.time; }),
        stage_groups("Stages that advance together: each inner list is one resource, and a run of "
                     "neighbours of drive, crossbar, hold, convert, shift_add, output."),
        text(
            "macro.aidac.model", 1, 4096, true,
            "AiDAC only: a model of models/macros, or the path of one.",
            [](auto& c) -> auto& { return c.macro.aidac.model; }),
        choice(
            "macro.aidac.signs", {"offset", "paired"},
            "AiDAC only: weights with an offset that a reference column takes away again, or a "
            "column for either sign at twice the arrays.",
            [](auto& c) -> auto& { return c.macro.aidac.signs; }),
        duration(
            "macro.program.row_time", "Writing one row of cells.",
            [](auto& c) -> auto& { return c.macro.program.row_time; }),
        quantity(
            KeyType::energy, Dimension::energy, "macro.program.cell_energy", 0,
            1'000'000'000'000'000'000,
            "Writing one cell once, verification included. A weight has `weight_bits` / "
            "`cell.bits` cells, rounded up, twice as many in pairs; every row has one more with "
            "`cell.signs` `offset`. AiDAC: a cell a bit, twice as many if `paired`; its reference "
            "columns never change.",
            [](auto& c) -> auto& { return c.macro.program.cell_energy; }),
        unlimited(count(
            "macro.program.endurance", 1, 1'000'000'000'000'000'000,
            "Writes that a cell survives: what lifetimes are worked out with.",
            [](auto& c) -> auto& { return c.macro.program.endurance; })),
    };
}

std::vector<Key> declare_digital()
{
    return {
        maps(count(
            "digital.tile_columns", 0, 4096,
            "Columns of tiles that have digital macros instead, spread evenly over the grid.",
            [](auto& c) -> auto& { return c.digital.tile_columns; })),
        unit_clock(
            "digital.clock", "Clock of digital macros.",
            [](auto& c) -> auto& { return c.digital.macro.clock; }),
        maps(count(
            "digital.rows", 1, 65'536, "Weights in a column.",
            [](auto& c) -> auto& { return c.digital.macro.rows; })),
        maps(count(
            "digital.columns", 1, 65'536, "Weights in a row.",
            [](auto& c) -> auto& { return c.digital.macro.columns; })),
        maps(count(
            "digital.weight_bits", 1, 32, "Bits of a weight.",
            [](auto& c) -> auto& { return c.digital.macro.weight_bits; })),
        maps(count(
            "digital.input_bits", 1, 32, "Bits of an input.",
            [](auto& c) -> auto& { return c.digital.macro.input_bits; })),
        count(
            "digital.step_bits", 1, 32, "Input bits that one step multiplies and adds up.",
            [](auto& c) -> auto& { return c.digital.macro.digital.step_bits; }),
        duration(
            "digital.step_time", "One step; the next one follows at once.",
            [](auto& c) -> auto& { return c.digital.macro.digital.step_time; }),
        duration(
            "digital.drain_time", "From the end of the last step to the result.",
            [](auto& c) -> auto& { return c.digital.macro.digital.drain_time; }),
        duration(
            "digital.row_time", "Writing one row of weights.",
            [](auto& c) -> auto& { return c.digital.macro.program.row_time; }),
        quantity(
            KeyType::energy, Dimension::energy, "digital.weight_energy", 0,
            1'000'000'000'000'000'000, "Writing one weight.",
            [](auto& c) -> auto& { return c.digital.macro.program.cell_energy; }),
    };
}

std::vector<Key> declare_vector_and_buffer()
{
    return {
        unit_clock(
            "vector.clock", "Clock of the vector unit.",
            [](auto& c) -> auto& { return c.vector.clock; }),
        unlimited(count(
            "vector.lanes", 1, kMebi,
            "Elements computed at once. Unlimited: every function takes no time.",
            [](auto& c) -> auto& { return c.vector.lanes; })),
        duration(
            "vector.startup", "From start to the first result.",
            [](auto& c) -> auto& { return c.vector.startup; }),
        costs("Cycles per element and lane, by function; 1 for functions not named."),
        unit_clock(
            "buffer.clock", "Clock of the buffer's ports.",
            [](auto& c) -> auto& { return c.buffer.clock; }),
        unlimited(size(
            "buffer.capacity", kTebi, "Size of a tile's buffer.",
            [](auto& c) -> auto& { return c.buffer.capacity; })),
        unlimited(count(
            "buffer.ports", 1, 4096,
            "Ports that macros and vector unit share. Unlimited: no port time.",
            [](auto& c) -> auto& { return c.buffer.ports; })),
        unlimited(count(
            "buffer.bytes_per_cycle", 1, kMebi,
            "Bytes of one port and cycle. Unlimited: no port time.",
            [](auto& c) -> auto& { return c.buffer.bytes_per_cycle; })),
    };
}

std::vector<Key> declare_noc()
{
    return {
        choice(
            "noc.kind", {"ideal", "bus", "mesh"},
            "`ideal`: no contention; `bus`: one transfer at a time; `mesh`: routers and flits.",
            [](auto& c) -> auto& { return c.noc.kind; }),
        unit_clock(
            "noc.clock", "Clock of bus and routers.", [](auto& c) -> auto& { return c.noc.clock; }),
        duration(
            "noc.reserve", "Confirming the space at the destinations of a move.",
            [](auto& c) -> auto& { return c.noc.reserve; }),
        duration(
            "noc.latency", "Ideal only: how long every move takes.",
            [](auto& c) -> auto& { return c.noc.latency; }),
        count(
            "noc.bytes_per_cycle", 1, kMebi, "Bus only: its width in bytes.",
            [](auto& c) -> auto& { return c.noc.bytes_per_cycle; }),
        choice(
            "noc.routing", {"xy", "yx"}, "Mesh only: which dimension is travelled first.",
            [](auto& c) -> auto& { return c.noc.routing; }),
        count(
            "noc.vcs", 1, 32, "Mesh only: virtual channels per port.",
            [](auto& c) -> auto& { return c.noc.vcs; }),
        count(
            "noc.vc_depth", 1, 1024, "Mesh only: flits that one virtual channel buffers.",
            [](auto& c) -> auto& { return c.noc.vc_depth; }),
        multiple_of(8, count(
                           "noc.flit_bits", 8, 65'536, "Mesh only: bits of a flit.",
                           [](auto& c) -> auto& { return c.noc.flit_bits; })),
        count(
            "noc.packet_flits", 1, 1024, "Mesh only: flits of the longest packet, header included.",
            [](auto& c) -> auto& { return c.noc.packet_flits; }),
        count(
            "noc.header_flits", 0, 1023, "Mesh only: flits of a packet that carry no data.",
            [](auto& c) -> auto& { return c.noc.header_flits; }),
        count(
            "noc.routing_delay", 0, 1,
            "Mesh only: 1 for a route-computation stage, 0 for look-ahead routing.",
            [](auto& c) -> auto& { return c.noc.routing_delay; }),
    };
}

std::vector<Key> declare_memory_and_mapping()
{
    return {
        maps(count(
            "memory.ports", 1, 4096,
            "Ports to external memory, spread evenly over the west edge of the grid.",
            [](auto& c) -> auto& { return c.memory.ports; })),
        unlimited(count(
            "memory.channels", 1, 1024, "Channels per port. Unlimited: memory takes no time.",
            [](auto& c) -> auto& { return c.memory.channels; })),
        quantity(
            KeyType::rate, Dimension::rate, "memory.bandwidth", 1'000'000, 1'000'000'000'000'000,
            "Of one channel.", [](auto& c) -> auto& { return c.memory.bytes_per_second; }),
        duration(
            "memory.latency", "From request to the first byte.",
            [](auto& c) -> auto& { return c.memory.latency; }),
        count(
            "memory.row_bytes", 1, kMebi, "Bytes of a DRAM row.",
            [](auto& c) -> auto& { return c.memory.row_bytes; }),
        duration(
            "memory.row_miss", "Precharging and activating another row.",
            [](auto& c) -> auto& { return c.memory.row_miss; }),
        size(
            "memory.interleave", kMebi,
            "How much goes to one channel before the next; divides `memory.row_bytes`.",
            [](auto& c) -> auto& { return c.memory.interleave; }),
        size(
            "memory.capacity", 1024 * kTebi, "Size of the external memory.",
            [](auto& c) -> auto& { return c.memory.capacity; }),
        maps(list(
            "mapping.on_crossbar", {"conv2d", "dense"},
            "Layer kinds that run on crossbars; the others run on vector units.",
            [](auto& c) -> auto& { return c.mapping.on_crossbar; })),
        maps(choice(
            "mapping.placement", {"row-major", "snake", "traffic"},
            "Order in which tiles are filled: row after row; every other row backwards; so that "
            "bytes x hops are few.",
            [](auto& c) -> auto& { return c.mapping.placement; })),
        maps(choice(
            "mapping.depthwise", {"vector", "crossbar"},
            "Where convolutions with groups run: on vector units, or on crossbars that hold their "
            "groups along the diagonal.",
            [](auto& c) -> auto& { return c.mapping.depthwise; })),
        maps(choice(
            "mapping.attention", {"vector", "crossbar", "digital"},
            "Where products of two feature maps run: on vector units, or in crossbars or digital "
            "macros that the second one is written into for every image.",
            [](auto& c) -> auto& { return c.mapping.attention; })),
    };
}

std::vector<Key> declare()
{
    std::vector<Key> all;
    for (std::vector<Key> part :
         {declare_identity(), declare_macro(), declare_digital(), declare_vector_and_buffer(),
          declare_noc(), declare_memory_and_mapping()})
    {
        std::move(part.begin(), part.end(), std::back_inserter(all));
    }
    return all;
}

std::string bound(const Key& key, std::uint64_t value)
{
    switch (key.type)
    {
    case KeyType::size:
        return print_quantity(Dimension::size, value);
    case KeyType::frequency:
        return print_quantity(Dimension::frequency, value);
    case KeyType::rate:
        return print_quantity(Dimension::rate, value);
    case KeyType::energy:
        return print_quantity(Dimension::energy, value);
    case KeyType::duration:
        return print_quantity(Dimension::time, value);
    default:
        return std::to_string(value);
    }
}

} // namespace

const std::vector<Key>& keys()
{
    static const std::vector<Key> all = declare();
    return all;
}

const Key* find_key(const std::string& path)
{
    const auto found = std::find_if(keys().begin(), keys().end(),
                                    [&path](const Key& key) { return key.path == path; });
    return found == keys().end() ? nullptr : &*found;
}

bool is_section(const std::string& path)
{
    const std::string prefix = path + '.';
    return std::any_of(keys().begin(), keys().end(),
                       [&prefix](const Key& key)
                       { return key.path.compare(0, prefix.size(), prefix) == 0; });
}

std::vector<std::string> members_of(const std::string& section)
{
    const std::string prefix = section.empty() ? "" : section + '.';
    std::vector<std::string> members;
    for (const Key& key : keys())
    {
        if (key.path.compare(0, prefix.size(), prefix) != 0)
        {
            continue;
        }
        const std::string member =
            key.path.substr(prefix.size(), key.path.find('.', prefix.size()) - prefix.size());
        if (members.empty() || std::find(members.begin(), members.end(), member) == members.end())
        {
            members.push_back(member);
        }
    }
    return members;
}

std::string section_doc(const std::string& section)
{
    static const std::map<std::string, std::string> docs{
        {"", "The whole chip."},
        {"tiles", "The grid of tiles."},
        {"macro", "A macro: one crossbar with its periphery. Sizes are in weights, as a mapping "
                  "sees them."},
        {"macro.dac", "Stage drive: the rows get their input slice."},
        {"macro.crossbar", "Stage crossbar: the analog product."},
        {"macro.sample_hold", "Stage hold: frees the array while its columns are converted."},
        {"macro.adc", "Stage convert, and what it does to values."},
        {"macro.cell", "The cells, as far as values and writes are concerned; the only time that "
                       "follows from them is that of converting the reference column of `signs` = "
                       "`offset`."},
        {"macro.shift_add", "Stage shift_add."},
        {"macro.output", "Stage output."},
        {"macro.pipeline", "Which stages are tied together."},
        {"macro.aidac", "Kind aidac: its sizes, times and errors are in a model file."},
        {"macro.program", "Writing weights."},
        {"digital", "Tiles whose macros are digital: SRAM cells with adder trees, bit-serial "
                    "inputs, and writes that take no toll."},
        {"vector", "The vector unit of a tile: everything but MVMs."},
        {"buffer", "The buffer of a tile."},
        {"noc", "The interconnect between tiles and memory ports."},
        {"memory", "External memory and the ports to it."},
        {"mapping", "How networks are put on the chip."},
    };
    return docs.at(section);
}

std::string range_text(const Key& key)
{
    std::string text;
    switch (key.type)
    {
    case KeyType::flag:
        return "true, false";
    case KeyType::choice:
        return "one of " + joined(key.choices);
    case KeyType::list:
    case KeyType::groups:
        return joined(key.choices);
    case KeyType::text:
        return std::to_string(key.least) + ".." + std::to_string(key.most) + " bytes";
    case KeyType::number:
        return json(key.least_number).dump() + ".." + json(key.most_number).dump();
    case KeyType::duration:
        text = bound(key, key.least) + ".." + bound(key, key.most) + ", or " +
               std::to_string(key.least) + ".." + std::to_string(kMostCycles) + " cycles";
        break;
    default:
        text = bound(key, key.least) + ".." + bound(key, key.most);
    }
    if (key.multiple != 1)
    {
        text += ", a multiple of " + std::to_string(key.multiple);
    }
    if (key.unlimited)
    {
        text += ", or \"unlimited\"";
    }
    if (key.optional)
    {
        text += ", or null";
    }
    return text;
}

void check_together(const ChipConfig& chip, const std::vector<std::string>& functions,
                    const std::function<Place(const std::vector<std::string>& paths)>& place_of)
{
    const std::uint64_t tiles = std::uint64_t{chip.tiles.rows} * chip.tiles.columns;
    if (tiles * chip.tiles.macros > kMostMacros)
    {
        throw InputError(
            place_of({"tiles.macros", "tiles.rows", "tiles.columns"}),
            "the chip would have " + std::to_string(tiles * chip.tiles.macros) + " macros",
            "keep rows x columns x macros at " + std::to_string(kMostMacros) + " or less");
    }
    if (chip.memory.ports > chip.tiles.rows)
    {
        throw InputError(place_of({"memory.ports", "tiles.rows"}),
                         std::to_string(chip.memory.ports) + " ports do not fit on the west edge",
                         "give at most one per row of tiles (" + std::to_string(chip.tiles.rows) +
                             ")");
    }
    if (chip.digital.tile_columns > chip.tiles.columns)
    {
        throw InputError(place_of({"digital.tile_columns", "tiles.columns"}),
                         std::to_string(chip.digital.tile_columns) +
                             " columns of digital tiles do not fit on a grid of " +
                             std::to_string(chip.tiles.columns),
                         "give at most one per column of tiles");
    }
    if (chip.memory.row_bytes % chip.memory.interleave != 0)
    {
        throw InputError(place_of({"memory.interleave", "memory.row_bytes"}),
                         std::to_string(chip.memory.interleave) + " bytes do not divide a row of " +
                             std::to_string(chip.memory.row_bytes),
                         "give a divisor of memory.row_bytes");
    }
    if (chip.noc.packet_flits <= chip.noc.header_flits)
    {
        throw InputError(place_of({"noc.packet_flits", "noc.header_flits"}),
                         "packets of " + std::to_string(chip.noc.packet_flits) +
                             " flits have no room for data beside " +
                             std::to_string(chip.noc.header_flits) + " header flits",
                         "make noc.packet_flits larger than noc.header_flits");
    }
    for (const auto& [function, cost] : chip.vector.cost)
    {
        if (!functions.empty() &&
            std::find(functions.begin(), functions.end(), function) == functions.end())
        {
            const std::optional<std::string> meant = nearest(function, functions);
            throw InputError(inside(place_of({"vector.cost/" + function}), function),
                             '"' + function + "\" is no function of the vector unit",
                             meant ? "did you mean \"" + *meant + "\"?"
                                   : "functions: " + joined(functions));
        }
    }
}

} // namespace tessera::config
