// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"

#include "tessera/error.h"
#include "tessera/installation.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

namespace tessera::config
{
namespace
{

using nlohmann::json;
using testing::HasSubstr;
namespace fs = std::filesystem;

/// A folder of files that goes away with the test.
class Files : public testing::Test
{
protected:
    void SetUp() override
    {
        const auto* const test = testing::UnitTest::GetInstance()->current_test_info();
        folder_ = fs::path(testing::TempDir()) / (std::string("config_load_") + test->name());
        fs::remove_all(folder_);
        fs::create_directories(folder_);
    }
    void TearDown() override { fs::remove_all(folder_); }

    std::string write(const std::string& name, const std::string& text) const
    {
        const fs::path path = folder_ / name;
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text;
        return path.string();
    }

    fs::path folder_;
};

template <class Call> std::string message(const Call& call)
{
    try
    {
        call();
    }
    catch (const Error& error)
    {
        return error.what();
    }
    return "nothing was thrown";
}

TEST(Parse, DefaultsAreThoseOfTheStruct)
{
    ChipConfig expected;
    expected.name = "mine";
    EXPECT_EQ(effective(parse("{}", "some/mine.json")), effective(expected));
}

TEST(Parse, NameComesFromTheFileUnlessGiven)
{
    EXPECT_EQ(parse("{}", "a/b/c.json").name, "c");
    EXPECT_EQ(parse(R"({"name": "x y"})", "a/b/c.json").name, "x y");
    EXPECT_EQ(parse("{}", "<text>").name, "chip");
    EXPECT_EQ(parse("{}", "").name, "chip");
}

TEST(Parse, UnitClocksFollowTheReferenceClock)
{
    const ChipConfig chip =
        parse(R"({"noc": {"clock": "500 MHz"}, "clock": "1.28 GHz"})", "c.json");
    EXPECT_EQ(chip.clock, Clock(3125, 4));
    EXPECT_EQ(chip.macro.clock, chip.clock);
    EXPECT_EQ(chip.vector.clock, chip.clock);
    EXPECT_EQ(chip.buffer.clock, chip.clock);
    EXPECT_EQ(chip.noc.clock, Clock(2000));
    EXPECT_EQ(parse("{}", "c.json", {"clock=2 GHz"}).macro.clock, Clock(500));
}

TEST(Parse, TMvmChoosesTimingAsAWhole)
{
    EXPECT_FALSE(parse("{}", "c.json").macro.timed_as_whole);
    const ChipConfig whole = parse(R"({"macro": {"t_mvm": "1.4 us"}})", "c.json");
    EXPECT_TRUE(whole.macro.timed_as_whole);
    EXPECT_EQ(whole.macro.t_mvm, Duration::of_ticks(1'400'000));
    const ChipConfig undone =
        parse(R"({"macro": {"t_mvm": "1.4 us"}})", "c.json", {"macro.t_mvm=null"});
    EXPECT_FALSE(undone.macro.timed_as_whole);
    EXPECT_TRUE(undone.macro.t_mvm.zero());
}

TEST(Parse, UnlimitedIsUnlimited)
{
    const ChipConfig chip = parse(R"({"buffer": {"capacity": "unlimited", "ports": "unlimited"},
                                      "vector": {"lanes": "unlimited"}})",
                                  "c.json");
    EXPECT_EQ(chip.buffer.capacity, kUnlimited);
    EXPECT_EQ(chip.buffer.ports, kUnlimited);
    EXPECT_EQ(chip.vector.lanes, kUnlimited);
}

TEST(Parse, NotesAreIgnoredEverywhere)
{
    const std::string notes = R"({"x-source": {"vcs": "guess"}, "$schema": "s.json",
        "noc": {"x-note": 1, "vcs": 2}, "vector": {"cost": {"x-why": "measured", "mish": 3}}})";
    const ChipConfig chip = parse(notes, "c.json");
    EXPECT_EQ(chip.noc.vcs, 2U);
    EXPECT_EQ(chip.vector.cost.size(), 1U);
    EXPECT_THAT(effective(chip).dump(), testing::Not(HasSubstr("x-")));
}

TEST(Parse, FunctionsAreCheckedAgainstTheListGiven)
{
    const std::string text = "{\"vector\": {\"cost\": {\n\"mish\": 3,\n\"gelo\": 2}}}";
    EXPECT_EQ(parse(text, "c.json").vector.cost.size(), 2U);
    EXPECT_NO_THROW((void)parse(text, "c.json", {}, {"gelo", "mish"}));
    EXPECT_EQ(message(
                  [&] {
                      (void)parse(text, "c.json", {}, {"gelu", "mish"});
                  }),
              "c.json:3: /vector/cost/gelo: \"gelo\" is no function of the vector unit; "
              "did you mean \"gelu\"?");
}

TEST(Parse, OverridesComeLastAndInOrder)
{
    const std::string text = R"({"noc": {"vcs": 2}})";
    const auto noc = [&](const std::vector<std::string>& overrides)
    { return parse(text, "c.json", overrides).noc; };
    EXPECT_EQ(noc({}).vcs, 2U);
    EXPECT_EQ(noc({"noc.vcs=8"}).vcs, 8U);
    EXPECT_EQ(noc({"noc.vcs=8", "noc.vcs=1"}).vcs, 1U);
    EXPECT_EQ(noc({"noc.kind=ideal"}).kind, "ideal");
    EXPECT_EQ(noc({"noc.kind=\"ideal\""}).kind, "ideal");
    EXPECT_EQ(noc({"noc.kind=ideal", "noc.latency=3 cycles"}).latency, Duration::of_cycles(3));
    EXPECT_EQ(noc({R"(noc={"vc_depth": 3, "routing": "yx"})"}).vc_depth, 3U);
    EXPECT_EQ(noc({R"(noc={"vc_depth": 3, "routing": "yx"})"}).vcs, 2U) << "merged, not replaced";
    EXPECT_EQ(parse("{}", "c", {"vector.cost.mish=5"}).vector.cost.at("mish"), 5U);
    EXPECT_EQ(parse("{}", "c", {"macro.$preset=isaac"}).macro.columns, 16U);
    EXPECT_EQ(parse("{}", "c", {"description=a=b"}).description, "a=b");
    EXPECT_EQ(parse("{}", "c", {"mapping.on_crossbar=[\"dense\"]"}).mapping.on_crossbar,
              std::vector<std::string>{"dense"});
}

TEST(Parse, OverridesThatAreNoneAreUsageErrors)
{
    for (const char* const assignment :
         {"noc.vcs", "=4", "", ".noc.vcs=4", "noc.=4", "noc..vcs=4", "extends=tiny", "$schema=x"})
    {
        EXPECT_THROW((void)parse("{}", "c.json", {assignment}), UsageError) << assignment;
    }
}

TEST(Parse, ErrorsInOverridesNameTheOverride)
{
    EXPECT_EQ(message([] { (void)parse("{}", "c", {"noc.vsc=4"}); }),
              "--set noc.vsc=4: /noc/vsc: unknown key \"vsc\"; did you mean \"vcs\"?");
    EXPECT_THAT(message([] { (void)parse("{}", "c", {"noc.vcs=0"}); }),
                HasSubstr("--set noc.vcs=0: /noc/vcs: 0 is out of range"));
    EXPECT_THAT(message([] { (void)parse("{}", "c", {"noc={\"vcs\": 1"}); }),
                HasSubstr("not valid JSON"));
    EXPECT_THAT(message([] { (void)parse("{}", "c", {"noc.header_flits=16"}); }),
                HasSubstr("--set noc.header_flits=16: /noc/header_flits: packets of 16 flits"));
}

TEST(Parse, WhatHoldsBetweenKeysIsHeldAtTheEdge)
{
    const auto given = [](const std::vector<std::string>& overrides)
    { return message([&] { (void)parse("{}", "c.json", overrides); }); };
    const std::string fine = "nothing was thrown";
    EXPECT_EQ(given({"tiles.rows=512", "tiles.columns=512", "tiles.macros=2"}), fine);
    EXPECT_THAT(given({"tiles.rows=512", "tiles.columns=513", "tiles.macros=2"}),
                HasSubstr("would have 525312 macros"));
    EXPECT_THAT(given({"tiles.rows=4096", "tiles.columns=4096", "tiles.macros=4096"}),
                HasSubstr("would have 68719476736 macros"));
    EXPECT_EQ(given({"tiles.rows=3", "memory.ports=3"}), fine);
    EXPECT_THAT(given({"tiles.rows=3", "memory.ports=4"}), HasSubstr("at most one per row"));
    EXPECT_EQ(given({"noc.packet_flits=2"}), fine);
    EXPECT_THAT(given({"noc.packet_flits=1"}), HasSubstr("no room for data"));
    EXPECT_EQ(given({"memory.row_bytes=1024", "memory.interleave=1 KiB"}), fine);
    EXPECT_THAT(given({"memory.row_bytes=1024", "memory.interleave=1000 B"}),
                HasSubstr("do not divide"));
    EXPECT_THAT(given({"memory.row_bytes=1024", "memory.interleave=2 KiB"}),
                HasSubstr("do not divide"));
}

TEST_F(Files, ExtendsIsRelativeToTheFileAndMergesDeeply)
{
    write("base/base.json", R"({"name": "base", "description": "of the base",
        "noc": {"vcs": 2, "vc_depth": 5}, "vector": {"cost": {"mish": 3, "gelu": 4}}})");
    const std::string chip = write("chips/mine.json", R"({"extends": "../base/base.json",
        "noc": {"vcs": 7}, "vector": {"cost": {"mish": 9}}})");
    const ChipConfig merged = load(chip);
    EXPECT_EQ(merged.noc.vcs, 7U);
    EXPECT_EQ(merged.noc.vc_depth, 5U);
    EXPECT_EQ(merged.vector.cost.at("mish"), 9U);
    EXPECT_EQ(merged.vector.cost.at("gelu"), 4U);
    EXPECT_EQ(merged.name, "mine") << "not inherited";
    EXPECT_EQ(merged.description, "") << "not inherited";
}

TEST_F(Files, ExtendsAShippedChip)
{
    const ChipConfig chip =
        load(write("mine.json", R"({"extends": "clsa-256", "tiles": {"rows": 5}})"));
    EXPECT_EQ(chip.tiles.rows, 5U);
    EXPECT_EQ(chip.tiles.columns, 12U);
    EXPECT_EQ(chip.macro.t_mvm, Duration::of_ticks(1'400'000));
}

TEST_F(Files, ErrorsPointAtTheFileThatHoldsTheKey)
{
    const std::string base = write("base.json", "{\n\"noc\": {\n\"vcs\": 0}}");
    const std::string chip = write("mine.json", R"({"extends": "base.json"})");
    EXPECT_THAT(message([&] { (void)load(chip); }), HasSubstr(base + ":3: /noc/vcs: 0 is out of"));

    write("base.json", "{\n\"noc\": {\n\"packet_flits\": 1}}");
    EXPECT_THAT(message([&] { (void)load(chip); }),
                HasSubstr(base + ":3: /noc/packet_flits: packets of 1"));

    const std::string preset = write("presets/noc/slow.json", "{\n\"vcz\": 1}");
    write("mine.json", R"({"noc": {"$preset": "slow"}})");
    EXPECT_THAT(message([&] { (void)load(chip); }),
                HasSubstr(preset + ":2: /vcz: unknown key \"vcz\"; did you mean \"vcs\"?"));
}

TEST_F(Files, PresetsComeBeforeTheirSection)
{
    write("presets/macro.adc/fast.json", R"({"time": "1 ns", "count": 9})");
    write("presets/macro/mine.json", R"({"rows": 64, "columns": 32, "adc": {"$preset": "fast"}})");
    const ChipConfig chip = load(
        write("c.json", R"({"macro": {"columns": 48, "$preset": "mine", "adc": {"count": 3}}})"));
    EXPECT_EQ(chip.macro.rows, 64U);
    EXPECT_EQ(chip.macro.columns, 48U);
    EXPECT_EQ(chip.macro.adc.count, 3U);
    EXPECT_EQ(chip.macro.adc.time, Duration::of_ticks(1000));
}

TEST_F(Files, CirclesAreFound)
{
    const std::string a = write("a.json", R"({"extends": "b.json"})");
    write("b.json", "{\n\"extends\": \"sub/../a.json\"}");
    fs::create_directories(folder_ / "sub");
    const std::string said = message([&] { (void)load(a); });
    EXPECT_THAT(said, HasSubstr("b.json:2: /extends: the config includes itself through"));
    EXPECT_THAT(said, HasSubstr("break the circle"));

    const std::string self = write("self.json", R"({"extends": "self.json"})");
    EXPECT_THAT(message([&] { (void)load(self); }), HasSubstr("includes itself"));

    write("presets/macro/loop.json", R"({"$preset": "loop"})");
    const std::string loop = write("loop.json", R"({"macro": {"$preset": "loop"}})");
    EXPECT_THAT(message([&] { (void)load(loop); }),
                HasSubstr("loop.json:1: /$preset: the config includes itself"));
    write("presets/macro/loop.json", R"({"$preset": "../loop"})");
    EXPECT_THAT(message([&] { (void)load(loop); }), HasSubstr("is no name of a preset"));
}

TEST_F(Files, ChainsHaveALimit)
{
    const auto chain = [this](int files)
    {
        for (int i = 1; i < files; ++i)
        {
            write("c" + std::to_string(i) + ".json",
                  "{\"extends\": \"c" + std::to_string(i - 1) + ".json\"}");
        }
        return (folder_ / ("c" + std::to_string(files - 1) + ".json")).string();
    };
    write("c0.json", R"({"noc": {"vcs": 3}})");
    EXPECT_EQ(load(chain(16)).noc.vcs, 3U);
    EXPECT_THAT(message([&] { (void)load(chain(17)); }),
                HasSubstr("c1.json:1: /extends: more than 16 files include each other"));
}

TEST_F(Files, MissingFilesAreNamed)
{
    const std::string chip = write("c.json", R"({"extends": "nowhere.json"})");
    EXPECT_THAT(message([&] { (void)load(chip); }),
                HasSubstr("c.json:1: /extends: there is no chip config \"nowhere.json\""));
    write("c.json", R"({"extends": "tinny"})");
    EXPECT_THAT(message([&] { (void)load(chip); }), HasSubstr("did you mean \"tiny\"?"));
    write("c.json", R"({"macro": {"$preset": "isac"}})");
    EXPECT_THAT(message([&] { (void)load(chip); }),
                HasSubstr("/macro/$preset: there is no preset \"isac\" of macro"));
    EXPECT_THROW((void)load((folder_ / "none.json").string()), IoError);
    EXPECT_THROW((void)load(folder_.string() + "/"), InputError);
    EXPECT_THROW((void)load(""), IoError);
}

TEST(Resolve, NamesAndPaths)
{
    EXPECT_EQ(resolve_path("tiny"), data_directory() + "/configs/tiny.json");
    EXPECT_EQ(resolve_path("./some/where.json"), "./some/where.json");
    EXPECT_THAT(
        message([] { (void)resolve_path("clsa-265"); }),
        HasSubstr(
            "clsa-265: there is no such chip; did you mean \"clsa-256\"? Give a path "
            "or a shipped chip: aidac, clsa-256, clsa-256-hybrid, clsa-256-ideal, isaac-ce, tiny"));
}

class Shipped : public testing::TestWithParam<std::string>
{
};

TEST_P(Shipped, EffectiveDumpIsAFixpoint)
{
    const ChipConfig chip = load(GetParam());
    EXPECT_EQ(chip.name, GetParam());
    EXPECT_FALSE(chip.description.empty());
    const std::string once = effective(chip).dump(2);
    const ChipConfig again = parse(once, "anywhere.json");
    EXPECT_EQ(effective(again).dump(2), once);
    EXPECT_EQ(mapping_keys(again), mapping_keys(chip));
}

INSTANTIATE_TEST_SUITE_P(Chips, Shipped, testing::ValuesIn(shipped()),
                         [](const auto& info)
                         {
                             std::string name = info.param;
                             for (char& c : name)
                             {
                                 c = c == '-' ? '_' : c;
                             }
                             return name;
                         });

TEST(ShippedChips, AreTheFive)
{
    EXPECT_THAT(shipped(), testing::ElementsAre("aidac", "clsa-256", "clsa-256-hybrid",
                                                "clsa-256-ideal", "isaac-ce", "tiny"));
}

TEST(ShippedChips, IsaacConvertsASliceInHundredNanoseconds)
{
    const ChipConfig chip = load("isaac-ce");
    const auto& macro = chip.macro;
    const std::uint64_t conversions =
        std::uint64_t{macro.columns} * macro.cells_per_weight / macro.adc.count;
    EXPECT_EQ(conversions, 128U);
    EXPECT_EQ((conversions * macro.adc.time).length(macro.clock), 100'000U);
    EXPECT_EQ(macro.crossbar.time.length(macro.clock), 100'000U);
    EXPECT_EQ(macro.rows * macro.columns * macro.weight_bits, 128U * 128U * 2U) << "bits of cells";
    EXPECT_EQ(chip.tile_count(), 168U);
    EXPECT_EQ(chip.clock, Clock(2500, 3));
}

TEST(ShippedChips, TheIdealOneIsTheOtherWithoutMovement)
{
    const ChipConfig real = load("clsa-256");
    const ChipConfig ideal = load("clsa-256-ideal");
    EXPECT_EQ(ideal.noc.kind, "ideal");
    EXPECT_TRUE(ideal.noc.latency.zero());
    EXPECT_TRUE(ideal.noc.reserve.zero());
    EXPECT_EQ(ideal.vector.lanes, kUnlimited);
    EXPECT_EQ(ideal.buffer.capacity, kUnlimited);
    EXPECT_EQ(ideal.memory.channels, kUnlimited);
    EXPECT_EQ(ideal.macro.t_mvm, real.macro.t_mvm);
    EXPECT_EQ(ideal.tile_count() * ideal.tiles.macros, 2304U);
    EXPECT_EQ(ideal.mapping.on_crossbar, std::vector<std::string>{"conv2d"});
}

TEST(ShippedSchema, IsTheOneOfTheKeys)
{
    std::ifstream file(data_directory() + "/configs/schema/chip-1.0.schema.json");
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_EQ(text.str(), schema()) << "write it anew: tessera config schema > "
                                       "configs/schema/chip-1.0.schema.json";
}

} // namespace
} // namespace tessera::config
