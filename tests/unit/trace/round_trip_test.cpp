// SPDX-License-Identifier: Apache-2.0
#include "trace_fixture.h"

#include "trace/h5_trace.h"
#include "unit/effort.h"

namespace tessera::trace
{
namespace
{

constexpr std::uint64_t kSeeds = tessera::test::effort(150U);

class RoundTrip : public TraceTest
{
};

TEST_F(RoundTrip, TextIsReadAsItWasWritten)
{
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
    {
        const Trace trace = random_trace(seed);
        const std::string text = canonical_text(trace);
        const Trace again = load(put("a.trace.jsonl", text));
        ASSERT_EQ(again.operations.size(), trace.operations.size()) << seed;
        EXPECT_EQ(canonical_text(again), text) << seed;
    }
}

TEST_F(RoundTrip, Hdf5GivesTheSameBytesBack)
{
    for (std::uint64_t seed = 0; seed < kSeeds; ++seed)
    {
        const std::string text = canonical_text(random_trace(seed));
        const std::string original = put("a.trace.jsonl", text);
        convert(original, path("b.trace.h5"), false);
        convert(path("b.trace.h5"), path("c.trace.jsonl.gz"), false);
        convert(path("c.trace.jsonl.gz"), path("d.trace.jsonl"), false);
        ASSERT_EQ(get(path("d.trace.jsonl")), text) << seed;
    }
}

TEST_F(RoundTrip, FilesAreTheSameWhoeverWritesThem)
{
    const Trace trace = random_trace(7);
    for (const char* ending : {".trace.jsonl", ".trace.jsonl.gz", ".trace.h5"})
    {
        write(trace, path(std::string("a") + ending));
        write(trace, path(std::string("b") + ending));
        EXPECT_EQ(get(path(std::string("a") + ending)), get(path(std::string("b") + ending)))
            << ending;
    }
}

TEST_F(RoundTrip, SmallBlocksOfHdf5HideNothing)
{
    // The least block is 4 KiB per unit: these units need many, and one operation is bigger.
    Trace trace;
    trace.header.tiles = 2;
    trace.header.units = {{UnitKind::vector_unit, NodeId(0), 0, 0},
                          {UnitKind::vector_unit, NodeId(1), 0, 0}};
    for (std::uint64_t id = 0; id < 3000; ++id)
    {
        Operation operation;
        operation.id = OpId(id);
        operation.kind = OpKind::vec;
        operation.at = UnitId(id % 3 == 0 ? 1 : 0);
        const std::uint64_t operands = id == 1500 ? kMaxFanIn : id == 2000 ? 700 : id % 5;
        for (std::uint64_t k = 0; k < operands && id > 10; ++k)
        {
            operation.in.emplace_back(k % 10);
        }
        trace.operations.push_back(operation);
    }
    finalize(trace);
    write(trace, path("a.trace.h5"));
    H5Source source(path("a.trace.h5"), 1);
    MemorySource memory(trace);
    Operation operation;
    Operation expected;
    const LineFormat format(trace.header);
    for (std::uint32_t unit = 0; unit < 2; ++unit)
    {
        while (memory.next(UnitId(unit), expected))
        {
            ASSERT_TRUE(source.next(UnitId(unit), operation));
            std::string a;
            std::string b;
            format.append(a, operation);
            format.append(b, expected);
            ASSERT_EQ(a, b);
        }
        EXPECT_FALSE(source.next(UnitId(unit), operation));
        EXPECT_FALSE(source.next(UnitId(unit), operation));
    }
}

const char* const kHeader =
    R"({"format":"tessera-trace","version":"1.0","producer":"p","tiles":2,"memory_ports":1,)"
    R"("counts":{"operations":2,"units":{"t0.vec":1,"mem0":1}},"window":2})";

TEST_F(RoundTrip, CanonicalFormOfEveryKey)
{
    const std::string header =
        R"({"format":"tessera-trace","version":"1.0","producer":"p","network":{"name":"n",)"
        R"("tensors":[{"name":"a","shape":[4,5,6],"bits":8}],)"
        R"("layers":[{"name":"l","kind":"conv2d","output":0,"vectors":20,"input_bits":4}]},)"
        R"("mapping":{"macro.rows":"256"},"placement":{"blocks":[{"layer":0,"copy":1,)"
        R"("rows":[0,9],"columns":[0,6],"at":"t0.m0"}]},"tiles":2,"memory_ports":1,)"
        R"("counts":{"operations":6,"units":{"t0.m0":2,"t0.vec":1,"t0.ni":2,"mem0":1}},)"
        R"("window":5})";
    const std::string text = sealed(
        {header,
         R"({"id":0,"op":"load","at":"mem0","bits":8,"bytes":120,"to":[{"at":"t0","uses":1},{"at":"t1"}],)"
         R"("release":5,"start":0,"layer":0,"img":1,"tensor":0,"box":[0,4,0,5,0,6],"address":64})",
         R"({"id":1,"op":"program","at":"t0.m0","block":0,"n":9})",
         R"({"id":2,"op":"mvm","at":"t0.m0","block":0,"ofm":[0,1,0,5,0,6],"n":20,"bits":24,)"
         R"("bytes":90,"uses":1,"in":[0],"after":[1]})",
         R"({"id":3,"op":"vec","at":"t0.vec","n":0,"uses":2,"in":[2],"into":0,"layer":0,)"
         R"("fn":"leaky_relu","args":{"slope_denominator":-10,"slope_numerator":1}})",
         R"({"id":7,"op":"move","at":"t0.ni","in":[3],"to":[{"at":"t1"}]})",
         R"({"id":9,"op":"store","at":"t0.ni","in":[3],"to":[{"at":"mem0"}],"address":0})"});
    const std::string file = put("a.trace.jsonl", text);
    const Trace trace = load(file);
    EXPECT_EQ(canonical_text(trace), text);
    EXPECT_EQ(trace.operations[2].layer, LayerId(0)) << "implied by the block";
    EXPECT_EQ(trace.operations[0].start_hint, Tick{0}) << "0 is a plan, not its absence";
    EXPECT_EQ(trace.operations[5].address, 0U);
    EXPECT_EQ(trace.operations[0].to[1].uses, 0U);
    EXPECT_EQ(check(file).window, 5U);
}

TEST_F(RoundTrip, OtherSpellingsHaveTheChecksumOfTheCanonicalForm)
{
    const std::string canonical = sealed(
        {kHeader, R"({"id":4,"op":"load","at":"mem0","bytes":8,"to":[{"at":"t0","uses":1}]})",
         R"({"id":5,"op":"vec","at":"t0.vec","n":1,"in":[4],"fn":"relu"})"});
    const std::string last = canonical.substr(canonical.rfind("{\"end"));
    const std::string spelled =
        std::string(" ") + kHeader + " \r\n" +
        R"({"op":"load", "x-note":{"a":[1,{"b":"\"}"}]},"bytes":8,"\u0061t":"mem0",)" +
        R"("to":[{"uses":1,"x-y":null,"at":"t\u0030"}],"id":4})" +
        "\n{\"op\":\"x-comment\",\"text\":\"nothing\",\"id\":-3}\n"
        "{ \"id\":5,\"op\":\"vec\",\"at\":\"t0.vec\",\"n\":1,\"in\":[ 4 "
        "],\"fn\":\"relu\",\"args\":{}}\t\n" +
        last;
    const std::string file = put("a.trace.jsonl", spelled);
    EXPECT_EQ(canonical_text(load(file)), canonical);
    convert(file, path("b.trace.jsonl"), false);
    EXPECT_EQ(get(path("b.trace.jsonl")), spelled) << "without --canonical lines stay as they are";
    convert(file, path("c.trace.jsonl"), true);
    EXPECT_EQ(get(path("c.trace.jsonl")), canonical);
    convert(file, path("d.trace.h5"), false);
    convert(path("d.trace.h5"), path("e.trace.jsonl"), false);
    EXPECT_EQ(get(path("e.trace.jsonl")), canonical);
}

TEST_F(RoundTrip, ChecksumOfTheBytesIsEnoughForOtherSpellings)
{
    const std::string file = put(
        "a.trace.jsonl", sealed({std::string(" ") + kHeader,
                                 R"({"id":4,"op":"load","at":"mem0","to":[{"at":"t0"}],"bytes":8})",
                                 R"({"id":5, "op":"vec","at":"t0.vec","n":1,"fn":"relu"})"}));
    EXPECT_EQ(read_all(file).size(), 2U);
}

TEST_F(RoundTrip, TracesWithoutOperations)
{
    Trace trace;
    const std::string text = canonical_text(trace);
    EXPECT_EQ(
        text,
        "{\"format\":\"tessera-trace\",\"version\":\"1.0\",\"producer\":\"unknown\",\"tiles\":0,"
        "\"memory_ports\":0,\"counts\":{\"operations\":0,\"units\":{}},\"window\":0}\n"
        "{\"end\":true,\"ops\":0,\"crc32\":\"" +
            text.substr(text.size() - 11));
    convert(put("a.trace.jsonl", text), path("b.trace.h5"), false);
    EXPECT_TRUE(read_all(path("b.trace.h5")).empty());
    convert(path("b.trace.h5"), path("c.trace.jsonl"), false);
    EXPECT_EQ(get(path("c.trace.jsonl")), text);
}

TEST_F(RoundTrip, LastNewlineMayBeMissing)
{
    std::string text = canonical_text(random_trace(5));
    text.pop_back();
    EXPECT_EQ(error_of(put("a.trace.jsonl", text)), "");
}

TEST_F(RoundTrip, GreatestNumbers)
{
    const std::string file = put(
        "a.trace.jsonl",
        sealed({kHeader,
                R"({"id":9223372036854775806,"op":"load","at":"mem0","bytes":9223372036854775807,)"
                R"("to":[{"at":"t0","uses":4294967295}],"release":4611686018427387903,)"
                R"("img":4294967295,"address":9223372036854775807})",
                R"({"id":9223372036854775807,"op":"vec","at":"t0.vec","n":4294967295,"bits":64,)"
                R"("fn":"relu"})"}));
    const Trace trace = load(file);
    EXPECT_EQ(trace.operations[0].bytes, kMaxNumber);
    EXPECT_EQ(canonical_text(trace), get(file));
    convert(file, path("b.trace.h5"), false);
    convert(path("b.trace.h5"), path("c.trace.jsonl"), false);
    EXPECT_EQ(get(path("c.trace.jsonl")), get(file));
}

} // namespace
} // namespace tessera::trace
