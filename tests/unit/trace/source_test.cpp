// SPDX-License-Identifier: Apache-2.0
#include "trace_fixture.h"

#include "trace/h5_trace.h"
#include "unit/effort.h"

namespace tessera::trace
{
namespace
{

class Sources : public TraceTest
{
};

/// An operation of some random trace.
Operation any_operation()
{
    Trace trace;
    for (std::uint64_t seed = 4; trace.operations.empty(); ++seed)
    {
        trace = random_trace(seed);
    }
    return trace.operations.back();
}

/// The lines that every unit's stream consists of, units asked in random turns.
std::vector<std::string> streams_of(OperationSource& source, std::uint64_t seed)
{
    const LineFormat format(source.header());
    std::mt19937_64 random(seed);
    std::vector<std::string> streams(source.header().units.size());
    std::vector<std::uint32_t> open;
    for (std::uint32_t unit = 0; unit < streams.size(); ++unit)
    {
        open.push_back(unit);
    }
    Operation operation = any_operation(); // full of what must not stay
    while (!open.empty())
    {
        const std::size_t chosen = random() % open.size();
        const std::uint32_t unit = open[chosen];
        if (source.next(UnitId(unit), operation))
        {
            EXPECT_EQ(operation.at, UnitId(unit));
            format.append(streams[unit], operation);
        }
        else
        {
            EXPECT_FALSE(source.next(UnitId(unit), operation)) << "the end stays the end";
            open.erase(open.begin() + static_cast<long>(chosen));
        }
    }
    return streams;
}

TEST_F(Sources, GiveTheSameStreamsWhateverTheOrder)
{
    for (std::uint64_t seed = 0; seed < tessera::test::effort(40U); ++seed)
    {
        const Trace trace = random_trace(seed);
        const std::string text = path("a.trace.jsonl");
        const std::string h5 = path("a.trace.h5");
        write(trace, text);
        write(trace, h5);
        MemorySource memory(trace);
        const std::vector<std::string> expected = streams_of(memory, 0);
        std::string all;
        for (const std::string& stream : expected)
        {
            all += stream;
        }
        EXPECT_EQ(std::count(all.begin(), all.end(), '\n'),
                  static_cast<long>(trace.operations.size()));
        for (std::uint64_t turn = 1; turn < 4; ++turn)
        {
            EXPECT_EQ(streams_of(*open(text), turn), expected) << seed;
            EXPECT_EQ(streams_of(*open(h5), turn), expected) << seed;
        }
    }
}

/// `count` operations, in turn on two vector units, except that the second one begins at `late`.
Trace two_units(std::uint64_t count, std::uint64_t late)
{
    Trace trace;
    trace.header.tiles = 2;
    trace.header.units = {{UnitKind::vector_unit, NodeId(0), 0, 0},
                          {UnitKind::vector_unit, NodeId(1), 0, 0}};
    for (std::uint64_t id = 0; id < count; ++id)
    {
        trace.operations.emplace_back();
        trace.operations.back().id = OpId(id);
        trace.operations.back().kind = OpKind::vec;
        trace.operations.back().at = UnitId(id >= late ? 1 : 0);
    }
    finalize(trace);
    return trace;
}

TEST_F(Sources, TextRefusesAWindowBeyondItsLimit)
{
    const std::string file = path("a.trace.jsonl");
    write(two_units(101, 99), file);
    OpenOptions options;
    options.buffered_operations = 100;
    EXPECT_NO_THROW(static_cast<void>(open(file, options)));
    options.buffered_operations = 99;
    try
    {
        static_cast<void>(open(file, options));
        FAIL() << "a window of 100 was accepted";
    }
    catch (const InputError& error)
    {
        const std::string message = error.what();
        EXPECT_NE(message.find(":1: /window: "), std::string::npos) << message;
        EXPECT_NE(
            message.find("convert it: tessera trace convert " + file + " " + path("a.trace.h5")),
            std::string::npos)
            << message;
    }
}

TEST_F(Sources, TextRefusesToKeepMoreThanItsLimit)
{
    // The window is small, but one unit runs far ahead of the other.
    Trace trace = two_units(0, 0);
    for (std::uint64_t id = 0; id < 200; ++id)
    {
        trace.operations.emplace_back();
        trace.operations.back().id = OpId(id);
        trace.operations.back().kind = OpKind::vec;
        trace.operations.back().at = UnitId(id % 2);
    }
    finalize(trace);
    EXPECT_EQ(trace.header.window, 2U);
    const std::string file = path("a.trace.jsonl");
    write(trace, file);
    Operation operation;
    for (const std::uint64_t limit : {99U, 98U})
    {
        OpenOptions options;
        options.buffered_operations = limit;
        const auto source = open(file, options);
        // The hundredth operation of unit 1 needs the hundred of unit 0 before it to be kept.
        for (int i = 0; i < 98; ++i)
        {
            ASSERT_TRUE(source->next(UnitId(1), operation));
        }
        if (limit == 99)
        {
            EXPECT_TRUE(source->next(UnitId(1), operation));
            EXPECT_THROW(source->next(UnitId(1), operation), InputError);
        }
        else
        {
            try
            {
                source->next(UnitId(1), operation);
                FAIL() << "99 operations were kept";
            }
            catch (const InputError& error)
            {
                EXPECT_EQ(error.place().line, 198U);
                EXPECT_NE(std::string(error.what()).find("tessera trace convert"),
                          std::string::npos);
            }
        }
    }
}

TEST_F(Sources, ExhaustedUnitsReadNoFurther)
{
    // Unit 0 has one operation at the beginning: asking it again must not read the file.
    Trace trace = two_units(1000, 1);
    const std::string file = path("a.trace.jsonl");
    write(trace, file);
    OpenOptions options;
    options.buffered_operations = 2;
    const auto source = open(file, options);
    Operation operation;
    EXPECT_TRUE(source->next(UnitId(0), operation));
    EXPECT_FALSE(source->next(UnitId(0), operation));
    std::uint64_t count = 0;
    while (source->next(UnitId(1), operation))
    {
        ++count;
    }
    EXPECT_EQ(count, 999U);
}

TEST_F(Sources, MemoryCountsForItself)
{
    Trace trace = two_units(10, 5);
    trace.header.operations = 0;
    trace.header.window = 0;
    trace.header.units[0].operations = 77;
    MemorySource source(std::make_shared<const Trace>(trace));
    EXPECT_EQ(source.header().operations, 10U);
    EXPECT_EQ(source.header().units[0].operations, 5U);
    EXPECT_EQ(source.header().window, 6U);
}

TEST_F(Sources, MemoryRefusesWhatReadersRefuse)
{
    const auto error = [](auto change)
    {
        Trace trace = two_units(3, 2);
        change(trace);
        try
        {
            MemorySource source(trace);
            return std::string();
        }
        catch (const InputError& problem)
        {
            return std::string(problem.what());
        }
    };
    EXPECT_EQ(error([](Trace&) {}), "");
    EXPECT_NE(error([](Trace& t) { t.operations[1].at = UnitId(2); }), "");
    EXPECT_NE(error([](Trace& t) { t.operations[1].id = OpId(0); }), "");
    EXPECT_NE(error([](Trace& t) { t.operations[1].in = {OpId(1)}; }), "");
    EXPECT_NE(error([](Trace& t) { t.operations[1].kind = OpKind::mvm; }), "");
    EXPECT_NE(error([](Trace& t) { t.operations[1].function = 999; }), "");
    EXPECT_NE(error([](Trace& t) { t.operations[1].bytes = kMaxNumber + 1; }), "");
    EXPECT_NE(error([](Trace& t) { t.operations[1].in.assign(kMaxFanIn + 1, OpId(0)); }), "");
    EXPECT_EQ(error([](Trace& t) { t.operations[1].in.assign(kMaxFanIn, OpId(0)); }), "");
    EXPECT_NE(error([](Trace& t) { std::swap(t.header.units[0], t.header.units[1]); }), "");
    EXPECT_NE(error([](Trace& t) { t.header.tiles = 1; }), "");
}

TEST_F(Sources, BlocksImplyLayersEverywhere)
{
    Trace trace;
    trace.header.tiles = 1;
    trace.header.units = {{UnitKind::macro, NodeId(0), 0, 0}};
    trace.header.layers.resize(2);
    trace.header.blocks.push_back({LayerId(1), 0, 0, 4, 0, 4, UnitId(0)});
    trace.operations.resize(1);
    trace.operations[0].id = OpId(0);
    trace.operations[0].at = UnitId(0);
    trace.operations[0].n = 1;
    trace.operations[0].block = BlockId(0);
    finalize(trace);
    write(trace, path("a.trace.jsonl"));
    write(trace, path("a.trace.h5"));
    Operation operation;
    MemorySource memory(trace);
    EXPECT_TRUE(memory.next(UnitId(0), operation));
    EXPECT_EQ(operation.layer, LayerId(1));
    for (const char* name : {"a.trace.jsonl", "a.trace.h5"})
    {
        EXPECT_TRUE(open(path(name))->next(UnitId(0), operation));
        EXPECT_EQ(operation.layer, LayerId(1)) << name;
    }
}

TEST_F(Sources, UnknownContentsAreTakenForText)
{
    try
    {
        static_cast<void>(open(put("a.trace.h5", "this is no trace\n")));
        FAIL();
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.place().line, 1U);
    }
}

} // namespace
} // namespace tessera::trace
