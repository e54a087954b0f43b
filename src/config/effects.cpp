// SPDX-License-Identifier: Apache-2.0
#include "config/effects.h"

#include "config/chip_keys.h"

#include <algorithm>
#include <array>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

namespace tessera::config
{
namespace
{

/// Keys that mean nothing while others are as they are.
struct Rule
{
    std::vector<std::string> keys;    ///< a section ends with a dot
    std::vector<std::string> because; ///< keys whose values make it so
    std::string condition;            ///< "macro.t_mvm is given"
    std::string remedy;
    std::function<bool(const ChipConfig&)> holds;
};

const std::vector<Rule>& rules()
{
    using Chip = const ChipConfig&;
    static const std::vector<Rule> all{
        {{"macro.cells_per_weight", "macro.dac.", "macro.crossbar.", "macro.sample_hold.",
          "macro.adc.", "macro.cell.", "macro.shift_add.", "macro.output.", "macro.pipeline."},
         {"macro.kind"},
         "macro.kind is aidac",
         "set macro.kind to adc",
         [](Chip c) { return c.macro.kind == "aidac"; }},
        {{"macro.aidac."},
         {"macro.kind"},
         "macro.kind is adc",
         "set macro.kind to aidac",
         [](Chip c) { return c.macro.kind == "adc"; }},
        {{"macro.cells_per_weight", "macro.dac.count", "macro.dac.time", "macro.crossbar.time",
          "macro.sample_hold.", "macro.adc.time", "macro.shift_add.time", "macro.output.time",
          "macro.pipeline.groups"},
         {"macro.t_mvm"},
         "macro.t_mvm is given",
         "set macro.t_mvm to null",
         [](Chip c) { return c.macro.timed_as_whole; }},
        // Of values it says which columns share the errors of one converter.
        {{"macro.adc.count"},
         {"macro.t_mvm", "macro.adc.mismatch", "macro.adc.comparator_offset"},
         "macro.t_mvm is given and converters do not differ",
         "set macro.t_mvm to null, or give macro.adc.mismatch or macro.adc.comparator_offset",
         [](Chip c)
         {
             return c.macro.timed_as_whole && c.macro.adc.mismatch == 0 &&
                    c.macro.adc.comparator_offset == 0;
         }},
        {{"macro.sample_hold.time"},
         {"macro.sample_hold.present"},
         "macro.sample_hold.present is false",
         "set macro.sample_hold.present to true",
         [](Chip c) { return !c.macro.sample_hold.present; }},
        {{"macro.cell.age", "macro.cell.steps", "macro.cell.faults", "macro.cell.read",
          "macro.cell.row_ohm", "macro.cell.column_ohm", "macro.cell.driver_ohm",
          "macro.cell.sense_ohm", "macro.cell.read_volts"},
         {"macro.cell.device"},
         "macro.cell.device is empty",
         "name a device",
         [](Chip c) { return c.macro.cell.device.empty(); }},
        {{"macro.cell.read", "macro.cell.driver_ohm", "macro.cell.sense_ohm"},
         {"macro.cell.row_ohm", "macro.cell.column_ohm"},
         "macro.cell.row_ohm and macro.cell.column_ohm are 0",
         "give wires a resistance",
         [](Chip c) { return c.macro.cell.row_ohm == 0 && c.macro.cell.column_ohm == 0; }},
        {{"digital."},
         {"digital.tile_columns"},
         "digital.tile_columns is 0",
         "give the chip digital tiles",
         [](Chip c) { return c.digital.tile_columns == 0; }},
        {{"vector.startup", "vector.cost"},
         {"vector.lanes"},
         "vector.lanes is unlimited",
         "give a number of lanes",
         [](Chip c) { return c.vector.lanes == kUnlimited; }},
        {{"buffer.bytes_per_cycle"},
         {"buffer.ports"},
         "buffer.ports is unlimited",
         "give a number of ports",
         [](Chip c)
         { return c.buffer.ports == kUnlimited && c.buffer.bytes_per_cycle != kUnlimited; }},
        {{"buffer.ports"},
         {"buffer.bytes_per_cycle"},
         "buffer.bytes_per_cycle is unlimited",
         "give ports a width",
         [](Chip c)
         { return c.buffer.bytes_per_cycle == kUnlimited && c.buffer.ports != kUnlimited; }},
        {{"noc.latency"},
         {"noc.kind"},
         "noc.kind is not ideal",
         "set noc.kind to ideal",
         [](Chip c) { return c.noc.kind != "ideal"; }},
        {{"noc.bytes_per_cycle"},
         {"noc.kind"},
         "noc.kind is not bus",
         "set noc.kind to bus",
         [](Chip c) { return c.noc.kind != "bus"; }},
        {{"noc.routing", "noc.vcs", "noc.vc_depth", "noc.flit_bits", "noc.packet_flits",
          "noc.header_flits", "noc.routing_delay"},
         {"noc.kind"},
         "noc.kind is not mesh",
         "set noc.kind to mesh",
         [](Chip c) { return c.noc.kind != "mesh"; }},
        {{"memory.bandwidth", "memory.latency", "memory.row_bytes", "memory.row_miss",
          "memory.interleave"},
         {"memory.channels"},
         "memory.channels is unlimited",
         "give a number of channels",
         [](Chip c) { return c.memory.channels == kUnlimited; }},
    };
    return all;
}

bool concerns(const Rule& rule, const std::string& path)
{
    const bool itself =
        std::find(rule.because.begin(), rule.because.end(), path) != rule.because.end();
    return !itself && std::any_of(rule.keys.begin(), rule.keys.end(),
                                  [&path](const std::string& key) {
                                      return key.back() == '.'
                                                 ? path.compare(0, key.size(), key) == 0
                                                 : path == key;
                                  });
}

/// What converters do to values, `macro.adc.range` apart, with values that mean: nothing.
const std::map<std::string, nlohmann::json>& perfect_converter()
{
    static const std::map<std::string, nlohmann::json> values = []
    {
        const ChipConfig chip;
        std::map<std::string, nlohmann::json> all;
        for (const char* const name :
             {"bits", "circuit", "mismatch", "comparator_offset", "offset", "gain", "inl"})
        {
            const std::string path = std::string("macro.adc.") + name;
            all[path] = find_key(path)->read(chip);
        }
        return all;
    }();
    return values;
}

/// Those that are not as in perfect converters.
std::vector<std::string> imperfections(const ChipConfig& chip)
{
    std::vector<std::string> paths;
    for (const auto& [path, perfect] : perfect_converter())
    {
        if (find_key(path)->read(chip) != perfect)
        {
            paths.push_back(path);
        }
    }
    return paths;
}

constexpr const char* kRange = "macro.adc.range";
constexpr const char* kBits = "macro.adc.bits";

/// Does one file give the range, 8 bits and everything else of converters, perfect, as
/// `config show` did before bits could be null?
bool is_earlier_dump(const ChipConfig& chip, const GivenKeys& given)
{
    const Given& range = given.at(kRange);
    return chip.macro.adc.bits == ChipConfig::Macro::Adc::kBits && !range.by_set &&
           imperfections(chip) == std::vector<std::string>{kBits} &&
           std::all_of(perfect_converter().begin(), perfect_converter().end(),
                       [&](const auto& its)
                       {
                           const auto found = given.find(its.first);
                           return found != given.end() &&
                                  found->second.place.file == range.place.file;
                       });
}

Place later(const Given& one, const Given& other)
{
    return one.order > other.order ? one.place : other.place;
}

/// Throws InputError where `path`, which is not 0, asks for another circuit.
void needs_circuit(const ChipConfig& chip, const GivenKeys& given, const std::string& path,
                   const char* circuit)
{
    if (find_key(path)->read(chip) == 0 || chip.macro.adc.circuit == circuit)
    {
        return;
    }
    const auto found = given.find("macro.adc.circuit");
    const Given& its = given.at(path);
    throw InputError(found == given.end() ? its.place : later(its, found->second),
                     path + " has no effect while macro.adc.circuit is " + chip.macro.adc.circuit,
                     std::string("set macro.adc.circuit to ") + circuit + ", or " + path + " to 0");
}

/// Values that cannot be together, whoever gave them.
void check_contradictions(const ChipConfig& chip, const GivenKeys& given)
{
    needs_circuit(chip, given, "macro.adc.mismatch", "sar");
    needs_circuit(chip, given, "macro.adc.comparator_offset", "flash");
    if (chip.macro.kind == "aidac" && chip.macro.timed_as_whole)
    {
        throw InputError(later(given.at("macro.t_mvm"), given.at("macro.kind")),
                         "macro.t_mvm is given, but macro.kind is aidac, whose times are those of "
                         "macro.aidac.model",
                         "leave macro.t_mvm out or set it to null, or set macro.kind to adc");
    }
}

} // namespace

void settle_converters(ChipConfig& chip, const GivenKeys& given)
{
    ChipConfig::Macro::Adc& adc = chip.macro.adc;
    const std::vector<std::string> imperfect = imperfections(chip);
    if (adc.range == "lossless" && !imperfect.empty())
    {
        const auto range = given.find(kRange);
        if (range == given.end())
        {
            adc.range = "full";
        }
        else if (is_earlier_dump(chip, given))
        {
            adc.bits.reset();
            chip.remarks.push_back(range->second.place.file +
                                   ": was written by an earlier version: macro.adc.bits 8 beside "
                                   "macro.adc.range lossless is read as null, as it was meant");
        }
        else
        {
            const std::string& path = imperfect.front();
            throw InputError(
                later(range->second, given.at(path)),
                path + " is given, but macro.adc.range is lossless: converters without bits and "
                       "errors",
                "set macro.adc.range to full, granular or calibrated, or " + path + " to " +
                    perfect_converter().at(path).dump());
        }
    }
    if (adc.range != "lossless" && !adc.bits)
    {
        adc.bits = ChipConfig::Macro::Adc::kBits;
    }
}

void check_effects(const ChipConfig& chip, const GivenKeys& given)
{
    check_contradictions(chip, given);
    for (const Rule& rule : rules())
    {
        if (!rule.holds(chip))
        {
            continue;
        }
        const Given* cause = nullptr;
        for (const std::string& path : rule.because)
        {
            const auto found = given.find(path);
            if (found != given.end() && (cause == nullptr || found->second.order > cause->order))
            {
                cause = &found->second;
            }
        }
        for (const auto& [path, its] : given)
        {
            const std::string key = path.substr(0, path.find('/'));
            const bool settled = cause != nullptr &&
                                 (its.place.file == cause->place.file || its.order < cause->order);
            if (concerns(rule, key) && !its.null && (its.by_set || !settled))
            {
                throw InputError(its.place, key + " has no effect while " + rule.condition,
                                 "leave it out, or " + rule.remedy);
            }
        }
    }
}

std::vector<std::string> idle_keys(const ChipConfig& chip)
{
    const ChipConfig other;
    std::vector<std::string> remarks;
    std::set<std::string> told;
    for (const Rule& rule : rules())
    {
        std::string idle;
        for (const Key& key : keys())
        {
            if (rule.holds(chip) && concerns(rule, key.path) && key.type != KeyType::frequency &&
                key.read(chip) != key.read(other) && told.insert(key.path).second)
            {
                idle += (idle.empty() ? "" : ", ") + key.path;
            }
        }
        if (!idle.empty())
        {
            remarks.push_back("no effect while " + rule.condition + ": " + idle);
        }
    }
    return remarks;
}

} // namespace tessera::config
