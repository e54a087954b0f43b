// SPDX-License-Identifier: Apache-2.0
#include "record/results.h"

#include "record/statistics.h"
#include "record_fixture.h"
#include "tessera/error.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <set>
#include <sys/stat.h>

namespace tessera::record
{
namespace
{

using test::content_of;
using test::put_content;
using test::summary_of_two_units;
using test::TemporaryFolder;

TEST(ResultFolder, IsCreatedWithItsParents)
{
    const TemporaryFolder folder;
    const ResultFolder results(folder.path() / "a" / "b", false);
    EXPECT_TRUE(std::filesystem::is_directory(results.path()));
}

TEST(ResultFolder, MayExistWhenEmpty)
{
    const TemporaryFolder folder;
    EXPECT_NO_THROW(ResultFolder(folder.path(), false));
    EXPECT_NO_THROW(ResultFolder(folder.path(), true));
}

TEST(ResultFolder, IsReplacedOnlyByForceAndOnlyIfItHoldsResults)
{
    const TemporaryFolder folder;
    put_content(folder.path() / "thesis.tex", "years of work");
    EXPECT_THROW(ResultFolder(folder.path(), false), UsageError);
    EXPECT_THROW(ResultFolder(folder.path(), true), UsageError);
    for (const char* mark : {"run.json", "activity.h5", "activity.h5.part", ".activity.h5.tmp"})
    {
        put_content(folder.path() / mark, "old");
        put_content(folder.path() / "stats.txt", "old");
        EXPECT_THROW(ResultFolder(folder.path(), false), UsageError) << mark;
        EXPECT_TRUE(std::filesystem::exists(folder.path() / mark));
        EXPECT_NO_THROW(ResultFolder(folder.path(), true)) << mark;
        EXPECT_FALSE(std::filesystem::exists(folder.path() / mark));
        EXPECT_FALSE(std::filesystem::exists(folder.path() / "stats.txt"));
    }
    EXPECT_EQ(content_of(folder.path() / "thesis.tex"), "years of work");
}

TEST(ResultFolder, OfAKilledRunIsReplacedWhereverItWasKilled)
{
    // What is left of a folder whose replacement was killed after each step.
    for (const char* last :
         {".run.json.old", ".values.h5.old", ".stats.json.123-4.tmp", ".run.json.reserve"})
    {
        const TemporaryFolder folder;
        put_content(folder.path() / last, "old");
        put_content(folder.path() / "stats.txt", "old");
        EXPECT_THROW(ResultFolder(folder.path(), false), UsageError) << last;
        {
            const ResultFolder results(folder.path(), true);
            EXPECT_FALSE(std::filesystem::exists(folder.path() / "stats.txt")) << last;
        }
        EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << last;
    }
}

TEST(ResultFolder, StaysAsItWasWhenItCannotBeReplaced)
{
    const TemporaryFolder folder;
    put_content(folder.path() / "run.json", "complete");
    put_content(folder.path() / "stats.txt", "old");
    std::filesystem::create_directories(folder.path() / ".stats.txt.old" / "x");
    EXPECT_THROW(ResultFolder(folder.path(), true), UsageError);
    EXPECT_EQ(content_of(folder.path() / "run.json"), "complete");
    EXPECT_EQ(content_of(folder.path() / "stats.txt"), "old");
}

TEST(ResultFolder, BelongsToOneRunAtATime)
{
    const TemporaryFolder folder;
    {
        const ResultFolder first(folder.path(), false);
        first.write("run.json", "{}");
        EXPECT_THROW(ResultFolder(folder.path(), true), UsageError);
        EXPECT_EQ(content_of(folder.path() / "run.json"), "{}");
    }
    EXPECT_NO_THROW(ResultFolder(folder.path(), true));
}

TEST(ResultFolder, ReportsWhatCannotBeAFolder)
{
    const TemporaryFolder folder;
    put_content(folder.path() / "file", "");
    EXPECT_THROW(ResultFolder(folder.path() / "file", true), UsageError);
    EXPECT_THROW(ResultFolder(folder.path() / "file" / "below", true), IoError);
    EXPECT_THROW(ResultFolder("/proc/nothing/here", false), IoError);
}

TEST(ResultFolder, WritesFilesWhole)
{
    const TemporaryFolder folder;
    ResultFolder results(folder.path(), false);
    results.write_config("{}\n");
    results.write_config("{\"name\":\"chip\"}\n");
    EXPECT_EQ(content_of(folder.path() / "config.resolved.json"), "{\"name\":\"chip\"}\n");
    results.prepare_statistics(summary_of_two_units(1000));
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "stats.json"));
    results.publish();
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    {
        if (entry.path().filename() == ".run.json.reserve")
        {
            continue; // there as long as `results` is
        }
        EXPECT_NE(entry.path().filename().string().front(), '.');
        ++files;
    }
    EXPECT_EQ(files, 3U);
    EXPECT_THROW(results.write("none/such.json", ""), IoError);
}

TEST(Statistics, AreTheSameInBothFiles)
{
    const std::vector<Statistic> list = statistics(summary_of_two_units(1000));
    const nlohmann::json document = nlohmann::json::parse(statistics_json(list));
    const std::string text = "\n" + statistics_text(list);
    std::set<std::string> names;
    for (const Statistic& statistic : list)
    {
        EXPECT_TRUE(names.insert(statistic.name).second) << statistic.name;
        EXPECT_NE(text.find("\n" + statistic.name + "  "), std::string::npos) << statistic.name;
        std::string pointer = "/" + statistic.name;
        std::replace(pointer.begin(), pointer.end(), '.', '/');
        const nlohmann::json& leaf = document.at(nlohmann::json::json_pointer(pointer));
        EXPECT_EQ(leaf.at("unit"), statistic.unit);
        std::visit([&](auto value) { EXPECT_EQ(leaf.at("value"), value); }, statistic.value);
    }
    EXPECT_EQ(document["chip"]["makespan"]["value"], 1000);
    EXPECT_EQ(document["chip"]["t0"]["m0"]["time"]["convert"]["value"], 500);
    EXPECT_EQ(document["chip"]["t0"]["buffer"]["mean"]["value"], 12.5);
    EXPECT_EQ(document["layers"]["conv1"]["moved_bytes"]["value"], 64);
    EXPECT_NE(text.find("# end of the last operation (ps)\n"), std::string::npos);
}

TEST(Statistics, HaveDistinctNamesWhateverLayersAreCalled)
{
    Summary summary = summary_of_two_units(1000);
    summary.layers.assign(5, summary.layers[0]);
    summary.layers[0].name = "a.b c";
    summary.layers[1].name = "a_b_c";
    summary.layers[2].name = "a_b_c_1";
    summary.layers[3].name = "";
    summary.layers[4].name = "\xFF\n";
    const std::vector<Statistic> list = statistics(summary);
    std::set<std::string> names;
    for (const Statistic& statistic : list)
    {
        EXPECT_TRUE(names.insert(statistic.name).second) << statistic.name;
        EXPECT_EQ(statistic.name.find_first_of(" \n"), std::string::npos);
    }
    EXPECT_TRUE(nlohmann::json::accept(statistics_json(list)));
}

TEST(RunMeter, ReportsTheRun)
{
    const RunMeter meter;
    RunInfo info;
    info.command_line = {"tessera", "run", "caf\xE9"};
    info.seed = 42;
    info.kernel = "native";
    info.status = "complete";
    info.hashes["config"] = "0123";
    const nlohmann::json document = nlohmann::json::parse(meter.report(info));
    EXPECT_EQ(document["seed"], 42);
    EXPECT_EQ(document["status"], "complete");
    EXPECT_EQ(document["hashes"]["config"], "0123");
    EXPECT_EQ(document["command_line"][1], "run");
    EXPECT_GE(document["wall_seconds"], 0.0);
    EXPECT_GE(document["cpu_seconds"], 0.0);
    EXPECT_GT(document["peak_memory_bytes"], 1'000'000);
    EXPECT_EQ(document["started"].get<std::string>().size(), 20U);
}

} // namespace
} // namespace tessera::record
