// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <random>
#include <string>
#include <vector>

namespace tessera::config
{
namespace
{

using testing::HasSubstr;

struct Malformed
{
    const char* text;
    std::uint64_t line;
    const char* pointer;
    const char* said;
};

void PrintTo(const Malformed& malformed, std::ostream* out)
{
    *out << malformed.text;
}

class MalformedChip : public testing::TestWithParam<Malformed>
{
};

TEST_P(MalformedChip, IsRefusedAtItsPlace)
{
    const Malformed& malformed = GetParam();
    try
    {
        (void)parse(malformed.text, "chip.json");
        FAIL() << "accepted";
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.place().file, "chip.json");
        EXPECT_EQ(error.place().line, malformed.line) << error.what();
        EXPECT_EQ(error.place().pointer, malformed.pointer) << error.what();
        EXPECT_THAT(error.what(), HasSubstr(malformed.said));
        EXPECT_THAT(error.what(), HasSubstr("; ")) << "a remedy";
        EXPECT_EQ(error.code(), ExitCode::bad_input);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Syntax, MalformedChip,
    testing::Values(Malformed{"", 1, "", "not valid JSON"}, Malformed{"{", 1, "", "not valid JSON"},
                    Malformed{"{\n\"noc\": {\n}", 3, "", "not valid JSON"},
                    Malformed{"{\"noc\": {},\n}", 2, "", "not valid JSON"},
                    Malformed{"{\"clock\": 'x'}", 1, "", "not valid JSON"},
                    Malformed{"{} {}", 1, "", "not valid JSON"},
                    Malformed{"{\"tiles\": {\"rows\": NaN}}", 1, "", "not valid JSON"},
                    Malformed{"{\"tiles\": {\"rows\": 1e999}}", 1, "", "1e999"},
                    Malformed{"{\"tiles\": {\"rows\": 1,\n\"rows\": 2}}", 2, "/tiles/rows",
                              "appears twice"},
                    Malformed{"{\"x-a\": 1,\n\n\"x-a\": 2}", 3, "/x-a", "appears twice"},
                    Malformed{"[]", 1, "", "must not be a list"},
                    Malformed{"\n\n7", 3, "", "must not be a whole"},
                    Malformed{"null", 1, "", "must not be null"},
                    Malformed{"\"tiny\"", 1, "", "must not be text"},
                    Malformed{"\xef\xbb\xbf[]", 1, "", "must not be a list"},
                    Malformed{"{\"name\": \"\xc3\"}", 1, "", "not valid JSON"}));

INSTANTIATE_TEST_SUITE_P(
    Structure, MalformedChip,
    testing::Values(
        Malformed{"{\"\": 1}", 1, "/", "unknown key"},
        Malformed{"{\"nocs\": {}}", 1, "/nocs", "did you mean \"noc\"?"},
        Malformed{"{\"Noc\": {}}", 1, "/Noc", "did you mean \"noc\"?"},
        Malformed{"{\n\"noc\":\n{\"vcz\": 1}}", 3, "/noc/vcz", "did you mean \"vcs\"?"},
        Malformed{"{\"vcs\": 1}", 1, "/vcs", "did you mean \"noc.vcs\"?"},
        Malformed{"{\"noc.vcs\": 1}", 1, "/noc.vcs", "unknown key"},
        Malformed{"{\"macro.adc\": {}}", 1, "/macro.adc", "unknown key"},
        Malformed{"{\"noc\": {\"a/b\": 1}}", 1, "/noc/a~1b", "known here: kind"},
        Malformed{"{\"macro\": {\"adc\": {\"bit\": 8}}}", 1, "/macro/adc/bit", "unknown key"},
        Malformed{"{\"noc\": {\"extends\": \"x\"}}", 1, "/noc/extends", "unknown key"},
        Malformed{"{\"$preset\": \"x\"}", 1, "/$preset", "unknown key"},
        Malformed{"{\"noc\": 7}", 1, "/noc", "must not be a whole number; write an object"},
        Malformed{"{\"noc\": null}", 1, "/noc", "must not be null"},
        Malformed{"{\"macro\": {\"adc\": []}}", 1, "/macro/adc", "must not be a list"},
        Malformed{"{\"macro\": {\"adc\": 2}}", 1, "/macro/adc", "with some of count, time"},
        Malformed{"{\"extends\": 3}", 1, "/extends", "must not be a whole number"},
        Malformed{"{\"extends\": \"\"}", 1, "/extends", "must not be empty"},
        Malformed{"{\n\"extends\": \"nowhere.json\"}", 2, "/extends", "there is no chip config"},
        Malformed{"{\"extends\": \"../..\"}", 1, "/extends", "relative to this one"},
        Malformed{"{\"extends\": \"/etc/chip.json\"}", 1, "/extends", "relative to this one"},
        Malformed{"{\"extends\": \"../none.json\"}", 1, "/extends", "there is no chip config"},
        Malformed{"{\"macro\": {\n\"$preset\": 3}}", 2, "/macro/$preset", "no name of a preset"},
        Malformed{"{\"macro\": {\"$preset\": \"../x\"}}", 1, "/macro/$preset",
                  "no name of a preset"},
        Malformed{"{\"macro\": {\"$preset\": \"none\"}}", 1, "/macro/$preset",
                  "there is no preset"},
        Malformed{"{\"tiles\": {\"$preset\": \"isaac\"}}", 1, "/tiles/$preset",
                  "there is no preset"}));

INSTANTIATE_TEST_SUITE_P(
    Values, MalformedChip,
    testing::Values(
        Malformed{"{\"name\": \"\"}", 1, "/name", "0 bytes is out of range"},
        Malformed{"{\"name\": 5}", 1, "/name", "must not be a whole number"},
        Malformed{"{\"name\": \"a\\u0000b\"}", 1, "/name", "control characters"},
        Malformed{"{\"name\": \"a\\nb\"}", 1, "/name", "control characters"},
        Malformed{"{\"description\": null}", 1, "/description", "must not be null"},
        Malformed{"{\"clock\": 1000000000}", 1, "/clock", "has no unit"},
        Malformed{"{\"clock\": \"1 ns\"}", 1, "/clock", "unknown unit \"ns\""},
        Malformed{"{\"clock\": \"0 Hz\"}", 1, "/clock", "in 1 kHz..1 THz"},
        Malformed{"{\"clock\": \"2 THz\"}", 1, "/clock", "out of range"},
        Malformed{"{\"clock\": \"fast\"}", 1, "/clock", "does not start with a number"},
        Malformed{"{\"clock\": {}}", 1, "/clock", "must not be an object"},
        Malformed{"{\"tiles\": {\"rows\": 0}}", 1, "/tiles/rows", "in 1..4096"},
        Malformed{"{\"tiles\": {\"rows\": -1}}", 1, "/tiles/rows", "-1 is out of range"},
        Malformed{"{\"tiles\": {\"rows\": 2.0}}", 1, "/tiles/rows", "number with a fraction"},
        Malformed{"{\"tiles\": {\"rows\": \"2\"}}", 1, "/tiles/rows", "must not be text"},
        Malformed{"{\"tiles\": {\"rows\": \"unlimited\"}}", 1, "/tiles/rows", "must not be text"},
        Malformed{"{\"tiles\": {\"rows\": 4294967297}}", 1, "/tiles/rows", "out of range"},
        Malformed{"{\"tiles\": {\"rows\": 18446744073709551615}}", 1, "/tiles/rows",
                  "out of range"},
        Malformed{"{\"tiles\": {\"rows\": 99999999999999999999}}", 1, "/tiles/rows", "fraction"},
        Malformed{"{\"tiles\": {\"rows\": -9223372036854775808}}", 1, "/tiles/rows",
                  "out of range"},
        Malformed{"{\"macro\": {\"kind\": \"acd\"}}", 1, "/macro/kind", "did you mean \"adc\"?"},
        Malformed{"{\"macro\": {\"kind\": \"digital\"}}", 1, "/macro/kind", "Known: adc"},
        Malformed{"{\"macro\": {\"t_mvm\": \"0 ps\"}}", 1, "/macro/t_mvm", "out of range"},
        Malformed{"{\"macro\": {\"t_mvm\": 1400}}", 1, "/macro/t_mvm", "has no unit"},
        Malformed{"{\"macro\": {\"t_mvm\": \"0.1 ps\"}}", 1, "/macro/t_mvm",
                  "whole number of pico"},
        Malformed{"{\"macro\": {\"t_mvm\": \"2 s\"}}", 1, "/macro/t_mvm", "out of range"},
        Malformed{"{\"macro\": {\"adc\": {\n\"count\": 0}}}", 2, "/macro/adc/count",
                  "out of range"},
        Malformed{"{\"macro\": {\"adc\": {\"time\": \"3\"}}}", 1, "/macro/adc/time", "or cycles"},
        Malformed{"{\"macro\": {\"adc\": {\"time\": \"1000001 cycles\"}}}", 1, "/macro/adc/time",
                  "0..1000000 cycles"},
        Malformed{"{\"macro\": {\"sample_hold\": {\"present\": 1}}}", 1,
                  "/macro/sample_hold/present", "give true or false"},
        Malformed{"{\"macro\": {\"sample_hold\": {\"present\": \"true\"}}}", 1,
                  "/macro/sample_hold/present", "must not be text"},
        Malformed{"{\"macro\": {\"pipeline\": {\"groups\": [[\"drive\", \"hold\"]]}}}", 1,
                  "/macro/pipeline/groups/0/1", "does not follow \"drive\""},
        Malformed{"{\"macro\": {\"pipeline\": {\"groups\": [[\"drive\"], [\"drive\"]]}}}", 1,
                  "/macro/pipeline/groups/1/0", "in a group already"},
        Malformed{"{\"macro\": {\"pipeline\": {\"groups\": [[\"converts\"]]}}}", 1,
                  "/macro/pipeline/groups/0/0", "did you mean \"convert\"?"},
        Malformed{"{\"macro\": {\"pipeline\": {\"groups\": [[]]}}}", 1, "/macro/pipeline/groups/0",
                  "the group is empty"},
        Malformed{"{\"macro\": {\"pipeline\": {\"groups\": [3]}}}", 1, "/macro/pipeline/groups/0",
                  "must not be a whole number"},
        Malformed{"{\"vector\": {\"lanes\": 0}}", 1, "/vector/lanes", "or \"unlimited\""},
        Malformed{"{\"vector\": {\"lanes\": \"infinite\"}}", 1, "/vector/lanes",
                  "or \"unlimited\""},
        Malformed{"{\"vector\": {\"cost\": []}}", 1, "/vector/cost", "must not be a list"},
        Malformed{"{\"vector\": {\"cost\": {\n\"mish\": -1}}}", 2, "/vector/cost/mish",
                  "out of range"},
        Malformed{"{\"vector\": {\"cost\": {\"mish\": \"3\"}}}", 1, "/vector/cost/mish", "be text"},
        Malformed{"{\"vector\": {\"cost\": {\"Mi sh\": 3}}}", 1, "/vector/cost/Mi sh",
                  "no function name"},
        Malformed{"{\"buffer\": {\"capacity\": 65536}}", 1, "/buffer/capacity", "has no unit"},
        Malformed{"{\"buffer\": {\"capacity\": \"64 KB\"}}", 1, "/buffer/capacity", "unknown unit"},
        Malformed{"{\"buffer\": {\"capacity\": \"0 B\"}}", 1, "/buffer/capacity", "out of range"},
        Malformed{"{\"buffer\": {\"capacity\": \"12 bit\"}}", 1, "/buffer/capacity",
                  "whole number"},
        Malformed{"{\"buffer\": {\"capacity\": \"Unlimited\"}}", 1, "/buffer/capacity", "a number"},
        Malformed{"{\"buffer\": {\"capacity\": \"99999999999 TiB\"}}", 1, "/buffer/capacity",
                  "too large"},
        Malformed{"{\"noc\": {\"kind\": \"torus\"}}", 1, "/noc/kind", "Known: ideal, bus, mesh"},
        Malformed{"{\"noc\": {\"vcs\": 0}}", 1, "/noc/vcs", "out of range"},
        Malformed{"{\"noc\": {\"flit_bits\": 100}}", 1, "/noc/flit_bits", "a multiple of 8"},
        Malformed{"{\"noc\": {\"flit_bits\": \"256 bit\"}}", 1, "/noc/flit_bits", "be text"},
        Malformed{"{\"noc\": {\n\"header_flits\": 16}}", 2, "/noc/header_flits",
                  "no room for data"},
        Malformed{"{\"noc\": {\"reserve\": \"-1 ns\"}}", 1, "/noc/reserve", "is negative"},
        Malformed{"{\"memory\": {\n\n\"ports\": 3}}", 3, "/memory/ports", "west edge"},
        Malformed{"{\"memory\": {\"bandwidth\": \"12.8 GB\"}}", 1, "/memory/bandwidth", "GB/s"},
        Malformed{"{\"memory\": {\"interleave\": \"300 B\"}}", 1, "/memory/interleave", "divide"},
        Malformed{"{\"mapping\": {\"on_crossbar\": \"conv2d\"}}", 1, "/mapping/on_crossbar",
                  "must not be text"},
        Malformed{"{\"mapping\": {\"on_crossbar\": [\"conv2d\", \"conv2d\"]}}", 1,
                  "/mapping/on_crossbar/1", "listed twice"},
        Malformed{"{\"mapping\": {\"on_crossbar\": [\"conv\"]}}", 1, "/mapping/on_crossbar/0",
                  "did you mean \"conv2d\"?"},
        Malformed{"{\"mapping\": {\"placement\": \"random\"}}", 1, "/mapping/placement",
                  "Known: row-major"}));

TEST(HostileChip, DepthAndSizeAreLimited)
{
    std::string deep = "{\"x-a\": ";
    deep += std::string(100, '[') + std::string(100, ']') + "}";
    EXPECT_THROW((void)parse(deep, "c.json"), InputError);
    EXPECT_THROW((void)parse(std::string(std::size_t{17} << 20U, ' '), "c.json"), InputError);
}

/// Whatever is done to the text of a valid config, it is read or refused, never more.
TEST(HostileChip, RandomDamageIsReadOrRefused)
{
    const std::string whole = R"({"name": "a", "clock": "1.28 GHz", "tiles": {"rows": 3},
        "macro": {"t_mvm": "1.4 us", "pipeline": {"groups": [["drive", "crossbar"]]}},
        "vector": {"lanes": "unlimited", "cost": {"mish": 4}}, "buffer": {"capacity": "64 KiB"},
        "mapping": {"on_crossbar": ["conv2d"]}})";
    ASSERT_NO_THROW((void)parse(whole, "c.json"));
    std::mt19937 random(7);
    const auto below = [&random](std::size_t limit) { return random() % limit; };
    unsigned refused = 0;
    for (int round = 0; round < 5000; ++round)
    {
        std::string text = whole;
        for (std::size_t edits = 1 + below(3); edits > 0; --edits)
        {
            const std::size_t at = below(text.size());
            switch (below(3))
            {
            case 0:
                text.erase(at, 1 + below(5));
                break;
            case 1:
                text[at] = static_cast<char>(below(256));
                break;
            default:
                text.insert(at, whole.substr(below(whole.size()), 1 + below(20)));
            }
        }
        try
        {
            const ChipConfig chip = parse(text, "c.json");
            EXPECT_GT(chip.tile_count(), 0U);
        }
        catch (const InputError& error)
        {
            ++refused;
            EXPECT_FALSE(error.place().file.empty());
        }
    }
    EXPECT_GT(refused, 2500U);
}

} // namespace
} // namespace tessera::config
