// SPDX-License-Identifier: Apache-2.0
#include "config/effects.h"

#include "config/chip_keys.h"
#include "config/load.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace tessera::config
{
namespace
{

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;
using Settings = std::vector<std::string>;

std::string refusal(const std::string& text, const Settings& settings = {})
{
    try
    {
        (void)parse(text, "c.json", settings);
    }
    catch (const InputError& error)
    {
        return error.what();
    }
    return "accepted";
}

ChipConfig::Macro::Adc converters(const std::string& adc, const Settings& settings = {})
{
    return parse(R"({"macro": {"adc": )" + adc + "}}", "c.json", settings).macro.adc;
}

// ---- converters --------------------------------------------------------------------------------

TEST(Converters, LoseNothingAndHaveNoBitsUnlessAsked)
{
    const json adc = effective(parse("{}", "c.json"))["macro"]["adc"];
    EXPECT_EQ(adc["range"], "lossless");
    EXPECT_TRUE(adc["bits"].is_null());
}

TEST(Converters, BitsOrAnErrorGiveThemARange)
{
    for (const char* const given :
         {R"({"bits": 1})", R"({"bits": 16})", R"({"bits": 8})", R"({"offset": 0.5})",
          R"({"offset": -0.5})", R"({"gain": 1.01})", R"({"inl": 0.1})",
          R"({"circuit": "sar", "mismatch": 0.01})", R"({"circuit": "sar"})",
          R"({"circuit": "flash", "comparator_offset": 0.1})"})
    {
        const ChipConfig::Macro::Adc adc = converters(given);
        EXPECT_EQ(adc.range, "full") << given;
        EXPECT_EQ(adc.bits, json::parse(given).value("bits", 8U)) << given;
    }
    EXPECT_EQ(converters("{}", {"macro.adc.bits=1"}).range, "full");
    EXPECT_EQ(converters("{}", {"macro.adc.gain=2"}).range, "full");
}

TEST(Converters, PerfectValuesAreNoErrors)
{
    const ChipConfig::Macro::Adc adc = converters(
        R"({"bits": null, "offset": 0, "gain": 1, "inl": 0, "mismatch": 0,
            "comparator_offset": 0, "circuit": "uniform"})");
    EXPECT_EQ(adc.range, "lossless");
    EXPECT_FALSE(adc.bits);
}

TEST(Converters, EveryRangeButLosslessHasBits)
{
    for (const char* const range : {"full", "granular", "calibrated"})
    {
        const std::string set = std::string("macro.adc.range=") + range;
        EXPECT_EQ(converters("{}", {set}).bits, 8U) << range;
        EXPECT_EQ(converters("{}", {set, "macro.adc.bits=3"}).bits, 3U) << range;
        EXPECT_EQ(converters(R"({"bits": 3})", {set}).range, range);
        EXPECT_EQ(converters(R"({"bits": 3})", {set, "macro.adc.bits=null"}).bits, 8U) << range;
    }
}

TEST(Converters, LosslessByNameRefusesBitsAndErrors)
{
    for (const auto& [key, value] : {std::pair{"bits", "1"},
                                     {"bits", "8"},
                                     {"circuit", "\"sar\""},
                                     {"offset", "1e-6"},
                                     {"gain", "0.999"},
                                     {"inl", "-1"}})
    {
        const std::string name = std::string("macro.adc.") + key;
        const std::string set = name + '=' + value;
        const auto names_both =
            AllOf(HasSubstr(name + " is given, but macro.adc.range is lossless"),
                  HasSubstr("set macro.adc.range to full"));
        EXPECT_THAT(refusal(R"({"macro": {"adc": {"range": "lossless"}}})", {set}),
                    AllOf(names_both, HasSubstr("--set " + set)));
        EXPECT_THAT(refusal(R"({"macro": {"adc": {")" + std::string(key) + "\": " + value + "}}}",
                            {"macro.adc.range=lossless"}),
                    AllOf(names_both, HasSubstr("--set macro.adc.range=lossless")));
        EXPECT_THAT(refusal(R"({"macro": {"adc": {"range": "lossless", ")" + std::string(key) +
                            "\": " + value + "}}}"),
                    names_both);
        EXPECT_EQ(refusal(R"({"macro": {"adc": {"range": "lossless"}}})",
                          {set, "macro.adc.range=granular"}),
                  "accepted")
            << "the range is changed, too";
    }
    EXPECT_EQ(converters(R"({"range": "full", "bits": 3})",
                         {"macro.adc.range=lossless", "macro.adc.bits=null"})
                  .range,
              "lossless");
}

TEST(Converters, ErrorsOfACircuitNeedIt)
{
    EXPECT_THAT(refusal("{}", {"macro.adc.mismatch=0.1"}),
                HasSubstr("macro.adc.mismatch has no effect while macro.adc.circuit is uniform; "
                          "set macro.adc.circuit to sar"));
    EXPECT_THAT(refusal("{}", {"macro.adc.mismatch=0.1", "macro.adc.circuit=flash"}),
                HasSubstr("while macro.adc.circuit is flash"));
    EXPECT_THAT(refusal("{}", {"macro.adc.comparator_offset=0.1", "macro.adc.circuit=sar"}),
                HasSubstr("set macro.adc.circuit to flash"));
    EXPECT_EQ(refusal("{}", {"macro.adc.mismatch=0.1", "macro.adc.circuit=sar"}), "accepted");
    EXPECT_EQ(refusal("{}", {"macro.adc.comparator_offset=1", "macro.adc.circuit=flash"}),
              "accepted");
}

/// What `config show` wrote when bits could not be null.
json earlier_dump(const std::string& chip)
{
    json dump = effective(load(chip));
    dump["macro"]["adc"]["bits"] = 8;
    dump["macro"]["adc"]["range"] = "lossless";
    return dump;
}

TEST(Converters, DumpsOfEarlierVersionsAreReadAsTheyWereMeant)
{
    for (const std::string& name : shipped())
    {
        const ChipConfig chip = parse(earlier_dump(name).dump(), "old.json");
        EXPECT_EQ(effective(chip), effective(load(name)));
        EXPECT_THAT(chip.remarks,
                    testing::ElementsAre(AllOf(HasSubstr("old.json"), HasSubstr("macro.adc.bits"),
                                               HasSubstr("macro.adc.range"))));
        EXPECT_THAT(load(name).remarks, IsEmpty());
    }
    json dump = earlier_dump("tiny");
    dump["macro"]["adc"]["bits"] = 7;
    EXPECT_THAT(refusal(dump.dump()), HasSubstr("macro.adc.bits is given"));
    dump = earlier_dump("tiny");
    dump["macro"]["adc"]["offset"] = 1;
    EXPECT_THAT(refusal(dump.dump()), HasSubstr("macro.adc.range is lossless"));
    dump = earlier_dump("tiny");
    dump["macro"]["adc"].erase("gain"); // people wrote this
    EXPECT_THAT(refusal(dump.dump()), HasSubstr("macro.adc.bits is given"));
    EXPECT_THAT(refusal(earlier_dump("tiny").dump(), {"macro.adc.bits=8"}),
                HasSubstr("macro.adc.bits is given"));
    EXPECT_EQ(
        parse(earlier_dump("tiny").dump(), "old.json", {"macro.adc.range=full"}).macro.adc.bits,
        8U);
}

// ---- keys without effect -----------------------------------------------------------------------

struct Idle
{
    const char* cause; ///< JSON of a config
    const char* key;
    const char* value; ///< JSON
    const char* condition;
};

class IdleKey : public testing::TestWithParam<Idle>
{
protected:
    [[nodiscard]] static std::string key() { return GetParam().key; }
    [[nodiscard]] static json::json_pointer pointer()
    {
        std::string path = '/' + key();
        std::replace(path.begin(), path.end(), '.', '/');
        return json::json_pointer(path);
    }
    [[nodiscard]] static json cause() { return json::parse(GetParam().cause); }
    [[nodiscard]] static json with_key(json config)
    {
        config[pointer()] = json::parse(GetParam().value);
        return config;
    }
    [[nodiscard]] static std::string set() { return key() + '=' + GetParam().value; }
    [[nodiscard]] static std::string message()
    {
        return key() + " has no effect while " + GetParam().condition + "; leave it out, or ";
    }
};

TEST_P(IdleKey, OfAnOverrideIsRefused)
{
    EXPECT_THAT(refusal(cause().dump(), {set()}),
                HasSubstr("--set " + set() + ": " + pointer().to_string() + ": " + message()));
    EXPECT_THAT(refusal(with_key(cause()).dump(), {set()}), HasSubstr(message()));
}

TEST_P(IdleKey, OfAFileIsRefusedOnTopAndKeptBelow)
{
    const fs::path folder = fs::path(testing::TempDir()) / ("effects_" + key());
    fs::create_directories(folder);
    const auto extended = [&](const json& base, json top)
    {
        std::ofstream(folder / "base.json") << base;
        top["extends"] = "base.json";
        std::ofstream(folder / "top.json") << top;
        try
        {
            (void)load((folder / "top.json").string());
        }
        catch (const InputError& error)
        {
            return std::string(error.what());
        }
        return std::string("accepted");
    };
    EXPECT_THAT(extended(cause(), with_key(json::object())),
                AllOf(HasSubstr("top.json:1: "), HasSubstr(message())));
    if (!cause().empty()) // else it is a default because of which it is idle
    {
        const json both = with_key(cause());
        EXPECT_EQ(refusal(both.dump()), "accepted") << "a dump has both";
        const ChipConfig chip = parse(both.dump(), "c.json");
        const json dump = effective(chip);
        EXPECT_EQ(effective(parse(dump.dump(), "c.json")), dump);
        EXPECT_THAT(idle_keys(chip),
                    testing::Contains(AllOf(HasSubstr(std::string("while ") + GetParam().condition),
                                            HasSubstr(key()))));
        EXPECT_EQ(extended(both, cause()), "accepted") << "given first, made idle later";
    }
    fs::remove_all(folder);
}

constexpr const char* kAidac = R"({"macro": {"kind": "aidac"}})";
constexpr const char* kWhole = R"({"macro": {"t_mvm": "1 us"}})";
constexpr const char* kPorts = R"({"buffer": {"ports": "unlimited"}})";
constexpr const char* kFreeMemory = R"({"memory": {"channels": "unlimited"}})";
constexpr const char* kDevice = R"({"macro": {"cell": {"device": "generic", "row_ohm": 0}}})";

INSTANTIATE_TEST_SUITE_P(
    All, IdleKey,
    testing::Values(
        Idle{kAidac, "macro.cells_per_weight", "2", "macro.kind is aidac"},
        Idle{kAidac, "macro.dac.bits", "2", "macro.kind is aidac"},
        Idle{kAidac, "macro.crossbar.time", "\"1 ns\"", "macro.kind is aidac"},
        Idle{kAidac, "macro.sample_hold.present", "false", "macro.kind is aidac"},
        Idle{kAidac, "macro.adc.bits", "4", "macro.kind is aidac"},
        Idle{kAidac, "macro.cell.signs", "\"offset\"", "macro.kind is aidac"},
        Idle{kAidac, "macro.output.time", "\"1 ns\"", "macro.kind is aidac"},
        Idle{kAidac, "macro.pipeline.groups", R"([["drive", "crossbar"]])", "macro.kind is aidac"},
        Idle{"{}", "macro.aidac.signs", "\"paired\"", "macro.kind is adc"},
        Idle{kWhole, "macro.cells_per_weight", "2", "macro.t_mvm is given"},
        Idle{kWhole, "macro.dac.count", "2", "macro.t_mvm is given"},
        Idle{kWhole, "macro.adc.time", "\"1 ns\"", "macro.t_mvm is given"},
        Idle{kWhole, "macro.pipeline.groups", R"([["drive", "crossbar"]])", "macro.t_mvm is given"},
        Idle{kWhole, "macro.adc.count", "3", "macro.t_mvm is given and converters do not differ"},
        Idle{R"({"macro": {"sample_hold": {"present": false}}})", "macro.sample_hold.time",
             "\"5 ns\"", "macro.sample_hold.present is false"},
        Idle{"{}", "macro.cell.age", "10", "macro.cell.device is empty"},
        Idle{"{}", "macro.cell.row_ohm", "1", "macro.cell.device is empty"},
        Idle{"{}", "macro.cell.faults", "\"f.json\"", "macro.cell.device is empty"},
        Idle{kDevice, "macro.cell.sense_ohm", "1",
             "macro.cell.row_ohm and macro.cell.column_ohm are 0"},
        Idle{"{}", "digital.step_time", "\"1 ns\"", "digital.tile_columns is 0"},
        Idle{R"({"vector": {"lanes": "unlimited"}})", "vector.startup", "\"1 ns\"",
             "vector.lanes is unlimited"},
        Idle{R"({"vector": {"lanes": "unlimited"}})", "vector.cost", R"({"mish": 4})",
             "vector.lanes is unlimited"},
        Idle{kPorts, "buffer.bytes_per_cycle", "8", "buffer.ports is unlimited"},
        Idle{R"({"buffer": {"bytes_per_cycle": "unlimited"}})", "buffer.ports", "2",
             "buffer.bytes_per_cycle is unlimited"},
        Idle{"{}", "noc.latency", "\"1 ns\"", "noc.kind is not ideal"},
        Idle{R"({"noc": {"kind": "bus"}})", "noc.latency", "\"1 ns\"", "noc.kind is not ideal"},
        Idle{R"({"noc": {"kind": "mesh"}})", "noc.bytes_per_cycle", "8", "noc.kind is not bus"},
        Idle{R"({"noc": {"kind": "bus"}})", "noc.vcs", "2", "noc.kind is not mesh"},
        Idle{R"({"noc": {"kind": "ideal"}})", "noc.flit_bits", "64", "noc.kind is not mesh"},
        Idle{kFreeMemory, "memory.bandwidth", "\"1 GB/s\"", "memory.channels is unlimited"},
        Idle{kFreeMemory, "memory.latency", "\"1 ns\"", "memory.channels is unlimited"}));

TEST(Effects, KeysThatHaveOneAreAccepted)
{
    for (const Settings& settings :
         {Settings{"noc.kind=ideal", "noc.latency=1 ns"},
          {"noc.kind=bus", "noc.bytes_per_cycle=8"},
          {"macro.cell.device=generic", "macro.cell.age=10"},
          {"macro.cell.device=generic", "macro.cell.column_ohm=1", "macro.cell.sense_ohm=1"},
          {"digital.tile_columns=1", "digital.step_bits=2"},
          {"macro.adc.time=3 cycles"},
          // Which columns share a converter matters where converters differ.
          {"macro.t_mvm=1 us", "macro.adc.circuit=sar", "macro.adc.mismatch=0.1",
           "macro.adc.count=3"},
          {"macro.kind=aidac", "macro.aidac.signs=paired"}})
    {
        EXPECT_EQ(refusal("{}", settings), "accepted") << settings.back();
    }
}

TEST(Effects, TakingAKeyBackIsNoUseOfIt)
{
    EXPECT_EQ(refusal(kAidac, {"macro.adc.bits=null", "macro.t_mvm=null"}), "accepted");
}

TEST(Effects, AidacHasNoTimeOfItsOwn)
{
    EXPECT_THAT(refusal(R"({"macro": {"kind": "aidac", "t_mvm": "100 ns"}})"),
                HasSubstr("macro.t_mvm is given, but macro.kind is aidac"));
    EXPECT_THAT(refusal(kAidac, {"macro.t_mvm=1 ns"}), HasSubstr("--set macro.t_mvm=1 ns: "));
    EXPECT_THAT(refusal(kWhole, {"macro.kind=aidac"}), HasSubstr("--set macro.kind=aidac: "));
    EXPECT_EQ(refusal(kWhole, {"macro.kind=aidac", "macro.t_mvm=null"}), "accepted");
}

TEST(Effects, ShippedChipsHaveNoIdleKeysButWhatIsFree)
{
    for (const std::string& name : shipped())
    {
        if (name != "clsa-256-ideal") // whose free units keep the times of the other, as 0
        {
            EXPECT_THAT(idle_keys(load(name)), IsEmpty()) << name;
        }
    }
}

/// A value that the key may have, or nearly.
json any_value(const Key& key, std::mt19937& random)
{
    const std::uint64_t least = std::max<std::uint64_t>(key.least, 1);
    const std::uint64_t some = least * key.multiple + random() % 3 * key.multiple;
    if (key.optional && random() % 3 == 0)
    {
        return nullptr;
    }
    switch (key.type)
    {
    case KeyType::count:
        return key.unlimited && random() % 2 == 0 ? json("unlimited") : json(some);
    case KeyType::number:
        return random() % 2 == 0 ? key.read(ChipConfig{}) : json(std::max(key.least_number, 0.5));
    case KeyType::duration:
        return std::to_string(some) + " ns";
    case KeyType::flag:
        return random() % 2 == 0;
    case KeyType::choice:
        return key.choices[random() % key.choices.size()];
    case KeyType::size:
        return std::to_string(some * 64) + " B";
    default:
        return key.read(ChipConfig{});
    }
}

/// Whatever is set on a shipped chip, it is refused, or its dump is the same chip.
TEST(Effects, DumpsOfRandomChipsAreAcceptedAndTheSame)
{
    std::mt19937 random(11);
    unsigned accepted = 0;
    unsigned refused = 0;
    for (const std::string& name : shipped())
    {
        for (unsigned round = 0; round < 50; ++round)
        {
            Settings settings;
            for (auto i = 1 + random() % 3; i > 0; --i)
            {
                const Key& key = keys()[random() % keys().size()];
                settings.push_back(key.path + '=' + any_value(key, random).dump());
            }
            try
            {
                const ChipConfig chip = load(name, settings);
                const json dump = effective(chip);
                const ChipConfig again = parse(dump.dump(), "dump.json");
                EXPECT_EQ(effective(again), dump) << settings.front();
                EXPECT_THAT(again.remarks, IsEmpty());
                EXPECT_EQ(chip.macro.adc.bits.has_value(), chip.macro.adc.range != "lossless");
                ++accepted;
            }
            catch (const InputError& error)
            {
                EXPECT_THAT(error.place().file, HasSubstr("--set ")) << error.what();
                ++refused;
            }
        }
    }
    EXPECT_GT(accepted, 60U);
    EXPECT_GT(refused, 60U);
}

} // namespace
} // namespace tessera::config
