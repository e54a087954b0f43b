// SPDX-License-Identifier: Apache-2.0
#include "unit/simulation_fixture.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <thread>

namespace tessera
{
namespace
{

using ::testing::HasSubstr;
using testing::kChain;
using testing::sum_of_stages;

class Simulate : public testing::SimulationTest
{
};

TEST_F(Simulate, LeavesAFolderThatCanBeReadBack)
{
    const ChipModel chip("clsa-256");
    const Program program = Program::compile("lenet5", chip);
    RunOptions options;
    options.folder = path("run");
    options.level = ActivityLevel::stage;
    const RunResult result = simulate(chip, program, options);
    EXPECT_EQ(result.end, RunEnd::complete);
    EXPECT_EQ(result.unread, 0U);
    EXPECT_EQ(result.summary.operations, program.header().operations);

    const Results results(options.folder);
    EXPECT_TRUE(results.closed());
    EXPECT_EQ(results.level(), ActivityLevel::stage);
    EXPECT_EQ(results.summary().span, result.summary.span);
    EXPECT_EQ(results.config(), chip.json());
    EXPECT_EQ(nlohmann::json::parse(results.trace_header())["network"]["name"], "lenet5");
    ASSERT_EQ(results.count<OpRecord>(), program.header().operations);
    Tick last = 0;
    std::uint64_t seen = 0;
    results.for_each<OpRecord>(
        [&](const OpRecord& record)
        {
            last = std::max(last, record.end);
            ++seen;
        });
    EXPECT_EQ(last, result.summary.span);
    EXPECT_EQ(seen, results.count<OpRecord>());
    const std::vector<OpRecord> tail = results.read<OpRecord>(seen - 1, 10);
    ASSERT_EQ(tail.size(), 1U);
    EXPECT_TRUE(results.read<OpRecord>(seen, 1).empty());
    EXPECT_GT(results.count<DependencyRecord>(), 0U);
    EXPECT_GT(results.count<IntervalRecord>(), 0U);
    EXPECT_GT(results.count<StallRecord>(), 0U);
    EXPECT_GT(results.count<CycleRecord>(), 0U);
    for (const UnitSummary& unit : result.summary.units)
    {
        EXPECT_EQ(sum_of_stages(unit), result.summary.span) << unit.name;
    }
    Results moved = Results(options.folder);
    moved = Results(path("run/activity.h5"));
    EXPECT_TRUE(moved.closed());
}

TEST_F(Simulate, NeedsNoFolder)
{
    const ChipModel chip("tiny");
    const RunResult result = simulate(chip, Program::open(kChain));
    EXPECT_EQ(result.summary.operations, 10U);
    EXPECT_GT(result.summary.span, 0U);
}

TEST_F(Simulate, ImagesOfSegmentsInTurnsFollowEachOtherAsAWhole)
{
    const ChipModel chip("tiny", {"tiles.columns=1"});
    for (const char* schedule : {"layer-by-layer", "xinf"})
    {
        CompileOptions options;
        options.time_multiplex = true;
        options.images = 4;
        options.schedule = schedule;
        const Program turns = Program::compile("lenet5", chip, options);
        ASSERT_GT(turns.mapping()->segments, 1U);
        const Summary summary = simulate(chip, turns).summary;
        EXPECT_EQ(summary.images.count, 4U);
        // All begin with the loads of the first weights; the last one ends everything.
        EXPECT_EQ(summary.images.interval, static_cast<double>(summary.span) / 4);
    }
}

TEST_F(Simulate, AProgramIsTheSameFromAFileAndFromMemory)
{
    const ChipModel chip("clsa-256");
    const Program compiled = Program::compile("lenet5", chip);
    for (const char* name : {"a.trace.jsonl", "a.trace.jsonl.gz", "a.trace.h5"})
    {
        compiled.save(path(name));
        const Program opened = Program::open(path(name));
        EXPECT_EQ(opened.header().operations, compiled.header().operations);
        EXPECT_EQ(opened.name(), path(name).string());
        opened.save(path("again.trace.jsonl"));
        EXPECT_EQ(content("again.trace.jsonl"), content("a.trace.jsonl"));
        const auto made = [&](const Program& program, const char* folder)
        {
            RunOptions options;
            options.folder = path(folder);
            options.replace = true;
            simulate(chip, program, options);
            return content(std::string(folder) + "/activity.h5");
        };
        EXPECT_EQ(made(opened, "file"), made(compiled, "memory")) << name;
    }
    EXPECT_THROW(compiled.save(path("a.txt")), UsageError);
}

TEST_F(Simulate, ATraceCanBeMadeInMemory)
{
    trace::Trace trace;
    trace.header.tiles = 4;
    trace.header.memory_ports = 1;
    trace.header.units.push_back({trace::UnitKind::macro, NodeId(0), 0, 0});
    trace::Operation mvm;
    mvm.id = OpId(0);
    mvm.at = UnitId(0);
    mvm.n = 3;
    trace.operations.push_back(mvm);
    trace::finalize(trace);
    const ChipModel chip("tiny");
    const RunResult result = simulate(chip, Program::of(trace));
    EXPECT_EQ(result.summary.operations, 1U);
    EXPECT_EQ(result.summary.units[0].vectors, 3U);

    trace.operations.push_back(mvm); // the same id again
    EXPECT_THROW(static_cast<void>(Program::of(trace)), InputError);
}

TEST_F(Simulate, SaysWhatIsWrong)
{
    const ChipModel chip("clsa-256");
    const ChipModel other("clsa-256", {"macro.rows=128"});
    const auto message = [](auto action)
    {
        try
        {
            action();
        }
        catch (const Error& error)
        {
            return std::to_string(static_cast<int>(error.code())) + ": " + error.what();
        }
        return std::string("nothing");
    };
    EXPECT_THAT(message([&] { simulate(other, Program::compile("lenet5", chip)); }),
                HasSubstr("3: lenet5:1: /mapping: compiled for another chip: macro.rows"));
    EXPECT_THAT(message([&] { simulate(chip, Program::open(kChain)); }), HasSubstr("3: "));
    EXPECT_THAT(message([&] { static_cast<void>(Program::open(path("none"))); }), HasSubstr("5: "));
    EXPECT_THAT(message([&] { static_cast<void>(Program::compile("lenet6", chip)); }),
                HasSubstr("3: "));
    EXPECT_THAT(message([] { ChipModel("nochip"); }), HasSubstr("3: "));
    EXPECT_THAT(message([] { ChipModel("tiny", {"noc.vsc=4"}); }), HasSubstr("vcs"));
    RunOptions options;
    options.folder = path("used");
    std::filesystem::create_directories(options.folder);
    std::ofstream(path("used/file")) << "mine";
    EXPECT_THAT(message([&] { simulate(chip, Program::compile("lenet5", chip), options); }),
                HasSubstr("2: folder"));
    EXPECT_EQ(content("used/file"), "mine");
    EXPECT_THAT(message([&] { Results r(path("used")); }), HasSubstr("3: "));
    EXPECT_THAT(message([&] { Results r(path("none")); }), HasSubstr("5: "));
    options.folder.clear();
    options.arrivals = "10";
    EXPECT_THAT(message([&] { simulate(chip, Program::compile("lenet5", chip), options); }),
                HasSubstr("2: arrivals '10'"));
    options.arrivals.clear();
    options.stats_every = 1;
    EXPECT_THAT(message([&] { simulate(chip, Program::compile("lenet5", chip), options); }),
                HasSubstr("2: "));
}

TEST_F(Simulate, ADeadlockLeavesItsReport)
{
    const std::string file = std::string(TESSERA_SOURCE_DIR) + "/traces/deadlock.trace.jsonl";
    RunOptions options;
    options.folder = path("run");
    EXPECT_THROW(simulate(ChipModel("tiny"), Program::open(file), options), SimulationError);
    const auto report = nlohmann::json::parse(content("run/deadlock.json"));
    EXPECT_EQ(report["cycle"].size(), 2U);
    EXPECT_EQ(nlohmann::json::parse(content("run/run.json"))["status"], "failed");
    EXPECT_FALSE(Results(options.folder).closed());
}

TEST_F(Simulate, TheMonitorCanStopTheRun)
{
    const ChipModel chip("clsa-256");
    const Program program = Program::compile("tinyyolov4", chip);
    RunOptions options;
    options.folder = path("run");
    std::uint64_t looks = 0;
    options.monitor = [&](const Progress& progress)
    {
        EXPECT_LT(progress.operations, progress.total);
        return ++looks < 5;
    };
    const RunResult result = simulate(chip, program, options);
    EXPECT_EQ(result.end, RunEnd::stopped);
    EXPECT_EQ(looks, 5U);
    const Results results(options.folder);
    EXPECT_FALSE(results.closed());
    EXPECT_TRUE(std::filesystem::exists(path("run/activity.h5.part")));
    EXPECT_EQ(results.count<OpRecord>(), result.summary.operations + result.summary.unfinished);
    EXPECT_FALSE(result.summary.complete);
    EXPECT_GT(result.summary.operations, 0U);
    EXPECT_LT(result.summary.operations, program.header().operations);
    for (const UnitSummary& unit : result.summary.units)
    {
        EXPECT_EQ(sum_of_stages(unit), result.summary.span) << unit.name;
    }

    // It is asked before the first event, too, however few there are.
    options.folder = path("unborn");
    options.monitor = [](const Progress&) { return false; };
    const RunResult unborn = simulate(chip, Program::compile("lenet5", chip), options);
    EXPECT_EQ(unborn.end, RunEnd::stopped);
    EXPECT_EQ(unborn.summary.operations, 0U);
    EXPECT_EQ(Results(options.folder).count<OpRecord>(), 0U);

    options.folder = path("failed");
    options.monitor = [](const Progress&) -> bool { throw std::runtime_error("enough"); };
    EXPECT_THROW(simulate(chip, program, options), std::runtime_error);
    EXPECT_EQ(nlohmann::json::parse(content("failed/run.json"))["status"], "failed");
}

TEST_F(Simulate, OneProgramRunsInSeveralThreadsAtOnce)
{
    const ChipModel chip("clsa-256");
    const Program memory = Program::compile("lenet5", chip);
    memory.save(path("a.trace.h5"));
    memory.save(path("a.trace.jsonl"));
    const std::vector<Program> programs = {memory, Program::open(path("a.trace.h5")),
                                           Program::open(path("a.trace.jsonl")),
                                           Program::open(path("a.trace.h5")).repeat(2)};
    constexpr std::size_t threads = 8;
    std::vector<std::thread> pool;
    for (std::size_t i = 0; i < threads; ++i)
    {
        pool.emplace_back(
            [&, i]
            {
                RunOptions options;
                options.folder = path("run" + std::to_string(i));
                options.level = ActivityLevel::stage;
                simulate(chip, programs[i % programs.size()], options);
                const Results results(options.folder);
                EXPECT_EQ(results.read<OpRecord>().size(), results.count<OpRecord>());
            });
    }
    for (std::thread& thread : pool)
    {
        thread.join();
    }
    for (const char* file : {"/activity.h5", "/stats.json", "/stats.txt", "/config.resolved.json"})
    {
        for (std::size_t i = 1; i < threads; ++i)
        {
            const std::size_t same = i % programs.size() == 3 ? 3 : 0;
            EXPECT_EQ(content("run" + std::to_string(i) + file),
                      content("run" + std::to_string(same) + file))
                << i << file;
        }
    }
}

} // namespace
} // namespace tessera
