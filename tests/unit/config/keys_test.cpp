// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "base/nearest.h"
#include "config/chip_keys.h"
#include "config/load.h"

#include <cmath>
#include <cstdint>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace tessera::config
{
namespace
{

using nlohmann::json;
using testing::HasSubstr;

const Place kHere{"chip.json", 3, "/here"};

/// The key's number as its JSON text wants it; durations as picoseconds.
json as_json(const Key& key, std::uint64_t number)
{
    switch (key.type)
    {
    case KeyType::count:
        return number;
    case KeyType::size:
        return std::to_string(number) + " B";
    case KeyType::frequency:
        return std::to_string(number) + " Hz";
    case KeyType::rate:
        return std::to_string(number) + " B/s";
    case KeyType::energy:
        return std::to_string(number) + " aJ";
    case KeyType::duration:
        return std::to_string(number) + " ps";
    case KeyType::text:
        return std::string(number, 'x');
    default:
        return nullptr;
    }
}

bool has_range(const Key& key)
{
    return as_json(key, 1) != nullptr;
}

bool accepts(const Key& key, const json& value)
{
    ChipConfig chip;
    try
    {
        key.write(chip, value, key, kHere);
        return true;
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.place().file, "chip.json");
        EXPECT_EQ(error.place().line, 3U);
        EXPECT_EQ(error.place().pointer.substr(0, 5), "/here");
        EXPECT_THAT(error.what(), HasSubstr("; ")) << "no remedy for " << key.path;
        return false;
    }
}

/// Two values that differ, both valid.
std::vector<json> samples(const Key& key)
{
    switch (key.type)
    {
    case KeyType::flag:
        return {true, false};
    case KeyType::choice:
    {
        std::vector<json> all(key.choices.begin(), key.choices.end());
        return all;
    }
    case KeyType::list:
        return {json::array(), json{key.choices.back()}, json(key.choices)};
    case KeyType::groups:
        return {json::array(), json::parse(R"([["drive", "crossbar"], ["convert"]])")};
    case KeyType::costs:
        return {json::object(), json{{"mish", 4}}};
    case KeyType::number:
        return {key.least_number, (key.least_number + key.most_number) / 3, key.most_number};
    default:
    {
        const std::uint64_t step = key.multiple;
        std::vector<json> values{as_json(key, key.least), as_json(key, key.least + step),
                                 as_json(key, key.most)};
        if (key.type == KeyType::duration)
        {
            values.emplace_back("17 cycles");
        }
        if (key.unlimited)
        {
            values.emplace_back("unlimited");
        }
        if (key.optional)
        {
            values.emplace_back(nullptr);
        }
        return values;
    }
    }
}

TEST(ChipKeys, PathsAreUniqueAndDocumented)
{
    std::set<std::string> paths;
    for (const Key& key : keys())
    {
        EXPECT_TRUE(paths.insert(key.path).second) << key.path;
        EXPECT_EQ(find_key(key.path), &key);
        EXPECT_FALSE(key.doc.empty()) << key.path;
        EXPECT_LE(key.least, key.most) << key.path;
        EXPECT_FALSE(is_section(key.path)) << key.path << " is key and section";
        const std::size_t dot = key.path.rfind('.');
        const std::string section = dot == std::string::npos ? "" : key.path.substr(0, dot);
        EXPECT_FALSE(section_doc(section).empty());
    }
    EXPECT_EQ(find_key("noc"), nullptr);
    EXPECT_TRUE(is_section("macro.adc"));
    EXPECT_FALSE(is_section("macro.ad"));
}

TEST(ChipKeys, EveryKeyRoundTrips)
{
    for (const Key& key : keys())
    {
        std::set<std::string> seen;
        std::set<std::string> given;
        for (const json& value : samples(key))
        {
            SCOPED_TRACE(key.path + " = " + value.dump());
            ChipConfig chip;
            key.write(chip, value, key, kHere);
            const json canonical = key.read(chip);
            seen.insert(canonical.dump());
            given.insert(value.dump());
            ChipConfig again;
            key.write(again, canonical, key, kHere);
            EXPECT_EQ(key.read(again), canonical);
            EXPECT_EQ(effective(again), effective(chip)) << "another member was written";
        }
        EXPECT_EQ(seen.size(), given.size()) << key.path << ": values are not told apart";
    }
}

TEST(ChipKeys, EveryKeyWritesAMemberOfItsOwn)
{
    for (const Key& key : keys())
    {
        for (const json& value : samples(key))
        {
            ChipConfig chip;
            key.write(chip, value, key, kHere);
            for (const Key& other : keys())
            {
                if (other.path != key.path)
                {
                    EXPECT_EQ(other.read(chip), other.read(ChipConfig{}))
                        << key.path << " changes " << other.path;
                }
            }
        }
    }
}

TEST(ChipKeys, RangesHoldAtTheirEdges)
{
    unsigned ranges = 0;
    for (const Key& key : keys())
    {
        if (!has_range(key))
        {
            continue;
        }
        ++ranges;
        EXPECT_TRUE(accepts(key, as_json(key, key.least))) << key.path;
        EXPECT_TRUE(accepts(key, as_json(key, key.most))) << key.path;
        EXPECT_FALSE(accepts(key, as_json(key, key.most + 1))) << key.path;
        if (key.least > 0)
        {
            EXPECT_FALSE(accepts(key, as_json(key, key.least - 1))) << key.path;
        }
        if (key.type == KeyType::count)
        {
            EXPECT_FALSE(accepts(key, -1)) << key.path;
            EXPECT_FALSE(accepts(key, static_cast<double>(key.least) + 0.5)) << key.path;
            EXPECT_FALSE(accepts(key, kUnlimited)) << key.path;
        }
        if (key.multiple > 1)
        {
            EXPECT_FALSE(accepts(key, key.least + 1)) << key.path;
            EXPECT_TRUE(accepts(key, key.least + key.multiple)) << key.path;
        }
    }
    EXPECT_GT(ranges, 40U);
}

TEST(ChipKeys, NumbersHaveARange)
{
    for (const Key& key : keys())
    {
        if (key.type == KeyType::number)
        {
            EXPECT_TRUE(accepts(key, key.least_number)) << key.path;
            EXPECT_TRUE(accepts(key, key.most_number)) << key.path;
            EXPECT_FALSE(accepts(key, std::nextafter(key.least_number, -1e300))) << key.path;
            EXPECT_FALSE(accepts(key, std::nextafter(key.most_number, 1e300))) << key.path;
            EXPECT_FALSE(accepts(key, std::numeric_limits<double>::quiet_NaN())) << key.path;
        }
    }
}

TEST(ChipKeys, DurationsHaveARangeInCyclesToo)
{
    for (const Key& key : keys())
    {
        if (key.type == KeyType::duration)
        {
            EXPECT_TRUE(accepts(key, std::to_string(key.least) + " cycles")) << key.path;
            EXPECT_TRUE(accepts(key, std::to_string(kMostCycles) + " cycles")) << key.path;
            EXPECT_FALSE(accepts(key, std::to_string(kMostCycles + 1) + " cycles")) << key.path;
            EXPECT_EQ(accepts(key, "0 cycles"), key.least == 0) << key.path;
        }
    }
}

TEST(ChipKeys, WrongTypesAreRefused)
{
    const std::vector<json> everything{nullptr,          true,          0.5, -3, "certainly not",
                                       json::array({1}), json{{"A", 1}}};
    for (const Key& key : keys())
    {
        unsigned accepted = 0;
        for (const json& value : everything)
        {
            accepted += accepts(key, value) ? 1 : 0;
        }
        unsigned allowed =
            key.type == KeyType::text || key.type == KeyType::flag || (key.optional) ? 1 : 0;
        if (key.type == KeyType::number)
        {
            for (const double number : {0.5, -3.0})
            {
                allowed += number >= key.least_number && number <= key.most_number ? 1 : 0;
            }
        }
        EXPECT_EQ(accepted, allowed) << key.path;
        EXPECT_EQ(accepts(key, "unlimited"), key.unlimited || key.type == KeyType::text)
            << key.path;
    }
}

TEST(ChipKeys, QuantitiesNeedTheRightUnit)
{
    for (const Key& key : keys())
    {
        const bool is_quantity = key.type == KeyType::size || key.type == KeyType::frequency ||
                                 key.type == KeyType::rate || key.type == KeyType::duration;
        if (is_quantity)
        {
            EXPECT_FALSE(accepts(key, key.least)) << key.path << ": a bare number";
            EXPECT_FALSE(accepts(key, std::to_string(key.least))) << key.path << ": no unit";
            EXPECT_FALSE(accepts(key, std::to_string(key.least) + " pJ")) << key.path;
        }
    }
}

TEST(ChipKeys, StageGroupsAreRunsOfNeighbours)
{
    const Key& groups = *find_key("macro.pipeline.groups");
    const auto given = [&](const char* text) { return accepts(groups, json::parse(text)); };
    EXPECT_TRUE(given(R"([])"));
    EXPECT_TRUE(given(R"([["hold"]])"));
    EXPECT_TRUE(given(R"([["drive","crossbar","hold"],["convert","shift_add","output"]])"));
    EXPECT_TRUE(given(R"([["drive","crossbar","hold","convert","shift_add","output"]])"));
    EXPECT_TRUE(given(R"([["convert","shift_add"],["drive","crossbar"]])"))
        << "any order of groups";
    EXPECT_FALSE(given(R"([["drive","hold"]])")) << "a gap";
    EXPECT_FALSE(given(R"([["crossbar","drive"]])")) << "backwards";
    EXPECT_FALSE(given(R"([["output","drive"]])")) << "around the end";
    EXPECT_FALSE(given(R"([["drive","drive"]])"));
    EXPECT_FALSE(given(R"([["drive"],["drive","crossbar"]])"));
    EXPECT_FALSE(given(R"([[]])"));
    EXPECT_FALSE(given(R"([["driver"]])"));
    EXPECT_FALSE(given(R"(["drive"])"));
}

TEST(ChipKeys, MappingKeysAreTheSizesNotTheTimes)
{
    std::set<std::string> mapping;
    for (const auto& [path, value] : mapping_keys(ChipConfig{}))
    {
        mapping.insert(path);
    }
    EXPECT_THAT(mapping,
                testing::UnorderedElementsAre(
                    "tiles.rows", "tiles.columns", "tiles.macros", "macro.kind", "macro.rows",
                    "macro.columns", "macro.weight_bits", "macro.cells_per_weight",
                    "macro.cell.signs", "macro.input_bits", "digital.tile_columns", "digital.rows",
                    "digital.columns", "digital.weight_bits", "digital.input_bits", "memory.ports",
                    "mapping.on_crossbar", "mapping.placement", "mapping.depthwise",
                    "mapping.attention"));
    EXPECT_EQ(mapping_keys(ChipConfig{}).at("macro.rows"), "256");
    EXPECT_EQ(mapping_keys(ChipConfig{}).at("mapping.placement"), "row-major");
    EXPECT_EQ(mapping_keys(ChipConfig{}).at("mapping.on_crossbar"), R"(["conv2d","dense"])");
}

TEST(ChipKeys, ReferencePageNamesThemAll)
{
    const std::string page = reference_page();
    for (const Key& key : keys())
    {
        EXPECT_THAT(page, HasSubstr("| `" + key.path + "` | "));
        EXPECT_THAT(page, HasSubstr(key.doc));
    }
}

TEST(ChipKeys, SchemaNamesThemAll)
{
    const json all = json::parse(schema());
    for (const Key& key : keys())
    {
        std::string pointer;
        for (std::size_t begin = 0; begin != std::string::npos;)
        {
            const std::size_t dot = key.path.find('.', begin);
            pointer += "/properties/" + key.path.substr(begin, dot - begin);
            begin = dot == std::string::npos ? dot : dot + 1;
        }
        EXPECT_TRUE(all.contains(json::json_pointer(pointer))) << key.path;
    }
    EXPECT_EQ(all["properties"]["noc"]["additionalProperties"], false);
}

TEST(Nearest, FindsMisspellings)
{
    const std::vector<std::string> words{"vcs", "vc_depth", "flit_bits", "packet_flits"};
    EXPECT_EQ(nearest("vcs", words), "vcs");
    EXPECT_EQ(nearest("vsc", words), "vcs") << "swapped neighbours";
    EXPECT_EQ(nearest("vc-depth", words), "vc_depth");
    EXPECT_EQ(nearest("flitbits", words), "flit_bits");
    EXPECT_EQ(nearest("packets_flit", words), "packet_flits");
    EXPECT_EQ(nearest("latency", words), std::nullopt);
    EXPECT_EQ(nearest("conv", {"dense", "conv2d"}), "conv2d");
    EXPECT_EQ(nearest("", words), std::nullopt);
    EXPECT_EQ(nearest(std::string(100'000, 'v'), words), std::nullopt);
    EXPECT_EQ(nearest("vcs", {}), std::nullopt);
}

} // namespace
} // namespace tessera::config
