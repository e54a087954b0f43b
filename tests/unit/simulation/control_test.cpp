// SPDX-License-Identifier: Apache-2.0
#include "record/critical_path.h"
#include "simulation/windows.h"
#include "unit/effort.h"
#include "unit/simulation_fixture.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <map>

namespace tessera
{
namespace
{

using ::testing::HasSubstr;
using testing::kChain;
using testing::sum_of_stages;
using Json = nlohmann::json;

class Control : public testing::SimulationTest
{
protected:
    [[nodiscard]] std::vector<Json> windows(const std::string& folder) const
    {
        std::vector<Json> lines;
        std::istringstream in(content(folder + "/windows.jsonl"));
        for (std::string line; std::getline(in, line);)
        {
            lines.push_back(Json::parse(line));
        }
        return lines;
    }
    [[nodiscard]] static std::uint64_t count_of(const std::vector<Json>& lines)
    {
        std::uint64_t count = 0;
        for (const Json& line : lines)
        {
            EXPECT_EQ(line["window"], count);
            count += line["windows"].get<std::uint64_t>();
        }
        return count;
    }
};

TEST_F(Control, UntilEndsAfterTheEventsOfItsTick)
{
    const ChipModel chip("tiny");
    const Program program = Program::open(kChain);
    RunOptions options;
    options.folder = path("whole");
    const RunResult whole = simulate(chip, program, options);
    std::vector<OpRecord> records = Results(options.folder).read<OpRecord>();
    for (const OpRecord& op : records)
    {
        for (const Tick until : {op.start - std::min<Tick>(op.start, 1), op.start, op.start + 1,
                                 op.end - 1, op.end, op.end + 1})
        {
            options.folder = path("cut");
            options.replace = true;
            options.until = until;
            const RunResult cut = simulate(chip, program, options);
            const auto ended = static_cast<std::uint64_t>(
                std::count_if(records.begin(), records.end(),
                              [&](const OpRecord& record) { return record.end <= until; }));
            EXPECT_EQ(cut.summary.operations, ended) << until;
            const bool all = until >= whole.summary.span;
            EXPECT_EQ(cut.end, all ? RunEnd::complete : RunEnd::until);
            const Results results(options.folder);
            EXPECT_TRUE(results.closed());
            EXPECT_TRUE(std::filesystem::exists(path("cut/activity.h5")));
            EXPECT_EQ(Json::parse(content("cut/run.json"))["status"], all ? "complete" : "until");
            EXPECT_EQ(cut.summary.complete, all);
            EXPECT_EQ(cut.summary.span, all ? whole.summary.span : until);
            // What has ended is what it is in the whole run; what is in flight ends at the cut.
            std::map<std::uint64_t, OpRecord> expected;
            for (OpRecord record : records)
            {
                if (record.start <= until)
                {
                    record.unfinished = record.end > until ? 1 : 0;
                    record.end = std::min(record.end, until);
                    expected[record.id] = record;
                }
            }
            const std::vector<OpRecord> part = results.read<OpRecord>();
            EXPECT_EQ(part.size(), expected.size());
            EXPECT_EQ(part.size(), ended + cut.summary.unfinished);
            for (const OpRecord& record : part)
            {
                EXPECT_EQ(record.start, expected[record.id].start);
                EXPECT_EQ(record.end, expected[record.id].end);
                EXPECT_EQ(record.unfinished, expected[record.id].unfinished);
                EXPECT_LE(record.wait, expected[record.id].wait);
            }
            for (const UnitSummary& unit : cut.summary.units)
            {
                EXPECT_EQ(sum_of_stages(unit), cut.summary.span) << unit.name << ' ' << until;
            }
            EXPECT_EQ(record::critical_path(record::ResultReader(options.folder)).span,
                      cut.summary.span);
            if (all)
            {
                EXPECT_EQ(content("cut/activity.h5"), content("whole/activity.h5"));
            }
        }
    }
}

TEST_F(Control, UntilHoldsInTheMiddleOfAnyOperation)
{
    // The stages of every unit sum to the makespan wherever the run is cut: in reads, transfers
    // with contention, pipelined macros.
    const ChipModel chip("clsa-256", {"noc.flit_bits=8", "buffer.ports=1"});
    const Program program = Program::compile("lenet5", chip, {"layer-by-layer", 2});
    RunOptions options;
    const RunResult whole = simulate(chip, program, options);
    constexpr Tick cuts = tessera::test::effort(Tick{400});
    for (Tick i = 0; i < cuts; ++i)
    {
        options.until = whole.summary.span / cuts * i + 37 * i;
        const RunResult cut = simulate(chip, program, options);
        EXPECT_EQ(cut.summary.span, options.until);
        for (const UnitSummary& unit : cut.summary.units)
        {
            ASSERT_EQ(sum_of_stages(unit), cut.summary.span)
                << unit.name << " at " << options.until;
        }
    }
}

TEST_F(Control, WindowsAddUpAndChangeNothing)
{
    const ChipModel chip("clsa-256", {"noc.flit_bits=8", "tiles.rows=2", "tiles.columns=2",
                                      "tiles.macros=4", "memory.ports=2"});
    const Program program = Program::compile("lenet5", chip, {"layer-by-layer", 3});
    RunOptions options;
    options.level = ActivityLevel::stage;
    options.folder = path("plain");
    const RunResult plain = simulate(chip, program, options);
    const Tick makespan = plain.summary.span;
    int number = 0;
    // Lengths that divide the makespan, that nearly do, and some that meet nothing.
    for (const Tick length :
         {makespan, makespan - 1, makespan + 1, makespan / 7 + 1, makespan / 100, Tick{1'777'777}})
    {
        const std::string folder = "windows" + std::to_string(number++);
        options.folder = path(folder);
        options.stats_every = length;
        simulate(chip, program, options);
        EXPECT_EQ(content(folder + "/activity.h5"), content("plain/activity.h5"));
        EXPECT_EQ(content(folder + "/stats.json"), content("plain/stats.json"));

        const std::vector<Json> lines = windows(folder);
        EXPECT_EQ(count_of(lines), (makespan + length - 1) / length);
        std::map<std::string, double> held; // bytes at the end of the window before
        std::uint64_t operations = 0;
        std::uint64_t vectors = 0;
        std::uint64_t events = 0;
        std::map<std::string, std::map<std::string, std::uint64_t>> time;
        std::map<std::string, std::uint64_t> flits;
        std::map<std::string, std::uint64_t> moved;
        std::map<std::string, double> bytes;
        Tick end = 0;
        for (const Json& line : lines)
        {
            EXPECT_EQ(line["begin"], end);
            end = line["end"];
            const Tick span = end - line["begin"].get<Tick>();
            operations += line["operations"].get<std::uint64_t>();
            vectors += line["mvm_vectors"].get<std::uint64_t>();
            events += line["events"].get<std::uint64_t>();
            EXPECT_LE(line["utilization"].get<double>(), 1.0);
            for (const auto& [kind, figures] : line["units"].items())
            {
                std::uint64_t sum = 0;
                for (const auto& [stage, ticks] : figures["time"].items())
                {
                    time[kind][stage] += ticks.get<std::uint64_t>();
                    sum += ticks.get<std::uint64_t>();
                }
                const auto units = static_cast<std::uint64_t>(std::count_if(
                    plain.summary.units.begin(), plain.summary.units.end(),
                    [&kind = kind](const UnitSummary& unit)
                    {
                        constexpr std::array<const char*, 4> names = {
                            "macro", "vector_unit", "network_interface", "memory_port"};
                        return kind == names.at(static_cast<std::size_t>(unit.kind));
                    }));
                EXPECT_EQ(sum, units * span) << kind; // every unit's time is all there
            }
            for (const Json& link : line["links"])
            {
                flits[link["name"]] += link["flits"].get<std::uint64_t>();
            }
            for (const Json& layer : line["layers"])
            {
                moved[layer["name"]] += layer["moved_bytes"].get<std::uint64_t>();
            }
            for (const auto& [name, taken] : held)
            {
                bytes[name] += taken * static_cast<double>(span);
            }
            for (const Json& buffer : line["buffers"])
            {
                const std::string name = buffer["name"];
                bytes[name] +=
                    (buffer["mean"].get<double>() - held[name]) * static_cast<double>(span);
                held[name] = buffer["bytes"];
            }
        }
        EXPECT_EQ(end, makespan);
        EXPECT_EQ(operations, plain.summary.operations);
        EXPECT_EQ(events, plain.summary.events);
        std::uint64_t all_vectors = 0;
        for (const UnitSummary& unit : plain.summary.units)
        {
            all_vectors += unit.vectors;
        }
        EXPECT_EQ(vectors, all_vectors);
        std::uint64_t waiting = 0;
        for (const UnitSummary& unit : plain.summary.units)
        {
            waiting += unit.kind == trace::UnitKind::network_interface
                           ? unit.time[static_cast<unsigned>(Stage::wait_noc)]
                           : 0;
        }
        EXPECT_EQ(time["network_interface"]["wait_noc"], waiting);
        for (const LinkSummary& link : plain.summary.links)
        {
            EXPECT_EQ(flits[link.name], link.flits) << link.name;
        }
        for (const LayerSummary& layer : plain.summary.layers)
        {
            EXPECT_EQ(moved[layer.name], layer.moved_bytes) << layer.name;
        }
        for (const BufferSummary& buffer : plain.summary.buffers)
        {
            EXPECT_NEAR(bytes[buffer.name] / static_cast<double>(makespan), buffer.mean, 1e-6)
                << buffer.name;
        }
    }
}

TEST_F(Control, WindowsOfACutRunEndWhereItIsCut)
{
    const ChipModel chip("tiny");
    RunOptions options;
    options.stats_every = 1'000'000;
    for (const Tick until : {Tick{1'999'999}, Tick{2'000'000}, Tick{2'000'001}})
    {
        options.folder = path(std::to_string(until));
        options.until = until;
        simulate(chip, Program::open(kChain), options);
        const std::vector<Json> lines = windows(std::to_string(until));
        EXPECT_EQ(count_of(lines), until > 2'000'000 ? 3U : 2U);
        EXPECT_EQ(lines.back()["end"], until);
    }
}

TEST_F(Control, QuietWindowsAreNotTooMany)
{
    // Of 1 ns there are more than a million of them, but few lines.
    const ChipModel chip("clsa-256-ideal", {"macro.t_mvm=1 ms"});
    RunOptions options;
    options.folder = path("run");
    options.stats_every = 1'000;
    options.until = 1'500'000'000;
    simulate(chip, Program::compile("lenet5", chip), options);
    const std::vector<Json> lines = windows("run");
    EXPECT_GT(count_of(lines), 1'000'000U);
    EXPECT_LT(lines.size(), 10'000U);
}

TEST_F(Control, TooManyWindowsAreRefused)
{
    const ChipModel model("tiny");
    const auto source = Program::open(kChain).source();
    ActivitySink sink;
    chip::Chip chip(model.config(), *source, sink);
    simulation::Windows windows(path(""), chip, 3);
    std::string told;
    chip.look_every(100'000,
                    [&](Tick at)
                    {
                        windows.end(at);
                        try
                        {
                            windows.check_count();
                        }
                        catch (const SimulationError& error)
                        {
                            told = told.empty() ? error.what() : told;
                        }
                    });
    ASSERT_TRUE(chip::run_native(chip, {}));
    windows.close();
    EXPECT_THAT(told, HasSubstr("--stats-every makes more than 3 lines"));
    EXPECT_THAT(told, HasSubstr("example --stats-every '"));
    EXPECT_THROW(simulation::Windows(path("none"), chip), IoError);
}

TEST_F(Control, QuietWindowsShareALine)
{
    // An operation of 1.4 us that nobody disturbs: its windows of 100 ns differ in nothing.
    const ChipModel chip("clsa-256");
    RunOptions options;
    options.folder = path("run");
    options.stats_every = 100'000;
    const RunResult run = simulate(chip, Program::compile("lenet5", chip), options);
    const std::vector<Json> lines = windows("run");
    EXPECT_EQ(count_of(lines), (run.summary.span + 99'999) / 100'000);
    EXPECT_LT(lines.size(), count_of(lines) / 2);
    Tick begin = 0;
    Tick computed = 0;
    for (const Json& line : lines)
    {
        EXPECT_EQ(line["begin"], begin);
        begin = line["end"];
        const Tick length = begin - line["begin"].get<Tick>();
        const auto windows = line["windows"].get<std::uint64_t>();
        EXPECT_TRUE(windows == 1 || length == windows * 100'000);
        EXPECT_TRUE(windows == 1 || line["events"] == 0);
        computed += line["units"]["macro"]["time"].value("mvm", Tick{0});
    }
    EXPECT_EQ(begin, run.summary.span);
    Tick expected = 0;
    for (const UnitSummary& unit : run.summary.units)
    {
        expected += unit.time[static_cast<unsigned>(Stage::mvm)];
    }
    EXPECT_EQ(computed, expected);
}

TEST_F(Control, TheLogSaysWhatTheRecordsSay)
{
    const ChipModel chip("tiny");
    RunOptions options;
    std::ostringstream log;
    options.log = {"op"};
    options.log_to = &log;
    options.folder = path("run");
    simulate(chip, Program::open(kChain), options);
    std::map<std::string, std::uint64_t> seen;
    std::istringstream in(log.str());
    for (std::string line; std::getline(in, line);)
    {
        ++seen[line];
    }
    const Results results(options.folder);
    for (const OpRecord& record : results.read<OpRecord>())
    {
        const std::string unit = results.summary().units[record.unit].name;
        const std::string what = " op operation " + std::to_string(record.id) + " (" +
                                 trace::name_of(static_cast<trace::OpKind>(record.kind)) + ") ";
        EXPECT_EQ(seen[std::to_string(record.start) + " " + unit + what + "starts"], 1U);
        EXPECT_EQ(seen[std::to_string(record.end) + " " + unit + what + "ends"], 1U);
    }
    EXPECT_EQ(seen.size(), 3 * 10U); // and became ready

    options.folder = path("silent");
    options.log.clear();
    simulate(chip, Program::open(kChain), options);
    EXPECT_EQ(content("silent/activity.h5"), content("run/activity.h5"));

    options.folder = path("all");
    options.log = {"all"};
    log.str("");
    const RunResult all = simulate(chip, Program::open(kChain), options);
    EXPECT_EQ(content("all/activity.h5"), content("run/activity.h5"));
    std::map<std::string, std::uint64_t> topics;
    std::istringstream everything(log.str());
    for (std::string line; std::getline(everything, line);)
    {
        std::istringstream words(line);
        std::string tick;
        std::string unit;
        std::string topic;
        words >> tick >> unit >> topic;
        ++topics[topic];
    }
    EXPECT_EQ(topics["wheel"], all.summary.events);
    EXPECT_EQ(topics["op"], 30U);
    std::uint64_t flits = 0;
    for (const LinkSummary& link : all.summary.links)
    {
        flits += link.flits;
    }
    EXPECT_EQ(topics["flit"], flits);
    for (const char* topic : {"noc", "buffer", "port", "memory"})
    {
        EXPECT_GT(topics[topic], 0U) << topic;
    }
}

TEST_F(Control, TheLogKeepsToItsGlobs)
{
    const ChipModel chip("tiny");
    const auto lines = [&](const std::vector<std::string>& patterns)
    {
        std::ostringstream log;
        RunOptions options;
        options.log = patterns;
        options.log_to = &log;
        simulate(chip, Program::open(kChain), options);
        const std::string text = log.str();
        return std::count(text.begin(), text.end(), '\n');
    };
    const auto all = lines({"op"});
    const auto macros = lines({"op@*.m[0-9]"});
    EXPECT_EQ(all, 30);
    EXPECT_EQ(macros, 9);
    EXPECT_EQ(lines({"op@t0.*,op@t1.*,op@mem?"}), all);
    EXPECT_EQ(lines({"op@t0.*", "op@t1.*"}), all - 3);
    EXPECT_EQ(lines({"op@t0"}), lines({"op@t0.*"})); // a tile stands for all in it
    EXPECT_GT(lines({"op,buffer@t1"}), lines({"op@t1"}));
    EXPECT_EQ(lines({"op,buffer@t1"}), lines({"op@t1", "buffer@t1"}));
    for (const char* nobody : {"op@tile3", "op@t4", "buffer@mem0", "noc@t0.m0", "op@T0"})
    {
        EXPECT_THROW(lines({nobody}), UsageError) << nobody;
    }
    EXPECT_EQ(lines({"op@*", "op"}), all); // a line is written once
    for (const char* wrong : {"", "ops", "op,", "op@", "@t3", "OP"})
    {
        EXPECT_THROW(lines({wrong}), UsageError) << wrong;
    }
    std::ostream broken(nullptr);
    RunOptions options;
    options.log = {"op"};
    options.log_to = &broken;
    EXPECT_THROW(simulate(chip, Program::open(kChain), options), IoError);
}

TEST_F(Control, TheWatchdogNamesWhatIsInFlight)
{
    // One move of 4 GiB, flit by flit: it would take hours.
    trace::Trace trace;
    trace.header.tiles = 4;
    trace.header.memory_ports = 1;
    trace.header.units = {{trace::UnitKind::vector_unit, NodeId(0), 0, 0},
                          {trace::UnitKind::network_interface, NodeId(0), 0, 0}};
    trace::Operation made;
    made.id = OpId(0);
    made.kind = trace::OpKind::vec;
    made.at = UnitId(0);
    made.n = 1;
    made.bytes = std::uint64_t{1} << 32U;
    made.uses = 1;
    trace::Operation move;
    move.id = OpId(1);
    move.kind = trace::OpKind::move;
    move.at = UnitId(1);
    move.bytes = made.bytes;
    move.in = {OpId(0)};
    move.to = {{NodeId(3), 0}};
    trace.operations = {made, move};
    trace::finalize(trace);
    RunOptions options;
    options.folder = path("run");
    options.watchdog_seconds = 0.05;
    const ChipModel chip("tiny", {"buffer.capacity=unlimited", "buffer.ports=unlimited"});
    try
    {
        simulate(chip, Program::of(trace), options);
        FAIL() << "it should not have ended";
    }
    catch (const SimulationError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("watchdog: no operation has ended for 0.05 s"));
        EXPECT_THAT(error.what(), HasSubstr("t0.ni: operation 1 (move), since "));
    }
    const Json report = Json::parse(content("run/watchdog.json"));
    EXPECT_EQ(report["in_flight"][0]["operation"], 1);
    EXPECT_EQ(report["buffers"][0]["used"], made.bytes);
    EXPECT_EQ(Results(options.folder).count<OpRecord>(), 2U); // one of them in flight
    EXPECT_EQ(Results(options.folder).summary().unfinished, 1U);
}

} // namespace
} // namespace tessera
