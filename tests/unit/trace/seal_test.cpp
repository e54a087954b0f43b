// SPDX-License-Identifier: Apache-2.0
#include "trace/seal.h"
#include "trace_fixture.h"

#include <gmock/gmock.h>

namespace tessera::trace
{
namespace
{

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

/// Written by hand: blanks, any order of keys, keys of one's own, nothing counted.
const std::vector<std::string> kByHand = {
    R"({ "format": "tessera-trace", "version": "1.0", "tiles": 2, "x-by": "me", "memory_ports": 1 })",
    R"({"op": "load", "id": 0, "at": "mem0", "bytes": 8, "to": [{"at": "t0", "uses": 1}]})",
    R"({"op": "x-note", "text": "at t0"})",
    R"({"id": 3, "op": "vec", "at": "t0.vec", "n": 8, "bytes": 8, "uses": 1, "in": [0], "fn": "relu"})",
    R"({"id": 4, "op": "vec", "at": "t1.vec", "n": 1, "fn": "copy"})",
    R"({"id": 7, "op": "vec", "at": "t0.vec", "n": 8, "in": [3], "fn": "copy"})"};

class Seal : public TraceTest
{
public:
    std::string text(const std::vector<std::string>& lines) const
    {
        std::string all;
        for (const std::string& line : lines)
        {
            all += line + '\n';
        }
        return all;
    }
    /// The lines by hand, one of them another; or an additional one at the end.
    static std::vector<std::string> with(std::size_t index, const std::string& line)
    {
        std::vector<std::string> lines = kByHand;
        lines.resize(std::max(lines.size(), index + 1));
        lines[index] = line;
        return lines;
    }
    /// What seal() says of a text.
    std::string verdict(const std::string& bytes) const
    {
        const std::string file = put("in.trace.jsonl", bytes);
        try
        {
            seal(file, path("refused.trace.jsonl"), Existing::replace);
            return "";
        }
        catch (const Error& error)
        {
            EXPECT_FALSE(std::filesystem::exists(path("refused.trace.jsonl")));
            const std::string message = error.what();
            return message.rfind(file, 0) == 0 ? message.substr(file.size()) : message;
        }
    }
};

TEST_F(Seal, AddsWhatIsMissingAndKeepsTheLines)
{
    const std::string out = path("out.trace.jsonl");
    seal(put("in.trace.jsonl", text(kByHand)), out);
    const std::string made = get(out);
    const std::string header = made.substr(0, made.find('\n'));
    EXPECT_EQ(header,
              R"({"format":"tessera-trace","version":"1.0","tiles":2,"x-by":"me","memory_ports":1,)"
              R"("counts":{"operations":4,"units":{"mem0":1,"t0.vec":2,"t1.vec":1}},"window":3})");
    std::vector<std::string> lines = kByHand;
    lines[0] = header;
    const std::string body = text(lines);
    EXPECT_EQ(made, body + end_line(4, crc32_of(0, body.data(), body.size())));
    const CheckReport report = check(out);
    EXPECT_EQ(report.window, report.declared_window) << "no more than is needed";
    EXPECT_EQ(report.operations, 4U);
    // Sealing again, by whatever name, gives the same bytes.
    seal(out, path("again.trace.jsonl"));
    EXPECT_EQ(get(path("again.trace.jsonl")), made);
    seal(out, path("packed.trace.jsonl.gz"));
    seal(path("packed.trace.jsonl.gz"), path("unpacked.trace.jsonl"));
    EXPECT_EQ(get(path("unpacked.trace.jsonl")), made);
}

TEST_F(Seal, MakesTheBytesOfAWholeTraceOfItsLines)
{
    for (const char* const name : {"two-layer-chain", "fork-join"})
    {
        const std::string whole =
            get(std::string(TESSERA_SOURCE_DIR) + "/traces/" + name + ".trace.jsonl");
        const std::string opened = whole.substr(0, whole.rfind('\n', whole.size() - 2) + 1);
        ASSERT_LT(opened.size(), whole.size());
        seal(put("in.trace.jsonl", opened), path("out.trace.jsonl"), Existing::replace);
        EXPECT_EQ(get(path("out.trace.jsonl")), whole);
    }
}

TEST_F(Seal, KeepsWhatIsSaidAndRight)
{
    const std::string head = kByHand[0].substr(0, kByHand[0].size() - 2);
    const std::string counts =
        R"("counts":{"operations":4,"units":{"mem0":1,"t0.vec":2,"t1.vec":1,"t1.m0":0}})";
    const auto header_of = [&](const std::string& more)
    {
        seal(put("in.trace.jsonl", text(with(0, head + more + "}"))), path("out.trace.jsonl"),
             Existing::replace);
        const std::string made = get(path("out.trace.jsonl"));
        return made.substr(0, made.find('\n'));
    };
    EXPECT_THAT(header_of(", \"window\": 4"), HasSubstr("\"window\":4"));
    EXPECT_THAT(header_of(", " + counts), AllOf(HasSubstr(counts), HasSubstr("\"window\":3")));
    EXPECT_EQ(header_of(", \"window\": 3, " + counts), head + ", \"window\": 3, " + counts + "}");
    // A last line that lacks its end is one all the same.
    const std::string whole = text(kByHand);
    EXPECT_EQ(verdict(whole.substr(0, whole.size() - 1)), "");
    EXPECT_EQ(verdict(kByHand[0] + "\n"), "") << "no operations at all";
}

TEST_F(Seal, NamesTheLineOfWhatIsWrong)
{
    EXPECT_THAT(verdict(text(with(5, R"({"id":7,"op":"vec","at":"t0.vec","n":8,"in":[3]})"))),
                AllOf(HasSubstr(":6:"), HasSubstr(R"(lacks "fn")")));
    EXPECT_THAT(verdict(text(with(5, R"({"id":7,"op":"vec","at":"t9.vec","n":8,"fn":"copy"})"))),
                HasSubstr(":6: /at"));
    EXPECT_THAT(verdict(text(with(1, "{\"id\": 0,"))), HasSubstr(":2:"));
    // Where the beginning of a line can be read, the fault is still the one of its syntax.
    const std::string begun = R"({"id":7,"op":"vec","at":"t1.vec","fn":"copy","n":)";
    for (const char* const rest : {"1,}", "NaN}", "01}", "1} {}", "1"})
    {
        EXPECT_THAT(verdict(text(with(4, begun + rest))),
                    AllOf(HasSubstr(":5: not valid JSON"), Not(HasSubstr("counts"))))
            << rest;
    }
    EXPECT_THAT(verdict(text(with(6, R"({"id":7,"op":"vec","at":"t1.vec","n":8,"fn":"copy"})"))),
                HasSubstr(":7: /id"));
    // Also what only `trace check` finds: what is written passes it.
    EXPECT_THAT(
        verdict(text(with(5, R"({"id":7,"op":"vec","at":"t1.vec","n":8,"in":[3],"fn":"copy"})"))),
        HasSubstr(":6: /in/0: tile t1 holds no result of operation 3"));
    EXPECT_THAT(verdict(text(with(5, R"({"id":7,"op":"vec","at":"t0.vec","n":8,"fn":"copy"})"))),
                HasSubstr(":4: /uses"));
    EXPECT_THAT(verdict(text(with(6, ""))), HasSubstr(":7:"));
    EXPECT_THAT(verdict(""), HasSubstr("the file is empty"));
    const std::string head = kByHand[0].substr(0, kByHand[0].size() - 2);
    EXPECT_THAT(verdict(text(with(0, head + R"(,"counts":{"operations":1,"units":{"mem0":1}}})"))),
                HasSubstr(":4: /at"));
    EXPECT_THAT(
        verdict(text(with(
            0, head + R"(,"counts":{"operations":5,"units":{"mem0":1,"t0.vec":3,"t1.vec":1}}})"))),
        HasSubstr(":1: /counts/operations: is 5, but there are 4"));
    EXPECT_THAT(verdict(text(with(0, head + R"(,"window":2})"))), HasSubstr(":5: /at"));
    EXPECT_THAT(verdict(text(with(6, R"({"end":true,"ops":4,"crc32":"00000000"})"))),
                HasSubstr(":7: /end: is there, but the header lacks `counts`"));
}

TEST_F(Seal, DoesNotCoverADamagedFileUp)
{
    seal(put("in.trace.jsonl", text(kByHand)), path("out.trace.jsonl"));
    std::string made = get(path("out.trace.jsonl"));
    made.replace(made.find("\"bytes\": 8"), 10, "\"bytes\": 9");
    EXPECT_THAT(verdict(made), HasSubstr(":7: /crc32"));
    EXPECT_THAT([&] { seal(path("out.trace.jsonl"), path("out.trace.h5")); },
                ::testing::ThrowsMessage<UsageError>(HasSubstr("seal writes text")));
}

TEST_F(Seal, EveryFaultOfAHeaderIsSaidAtOnce)
{
    const std::string many = verdict(
        R"({"format":"tessera-trace","version":"2.0","widnow":1,"network":{"tensors":[{"bits":65},7],)"
        R"("layers":[{"kind":3}]},"placement":{"blocks":[{"rows":[0],"at":"t0.m0"}]},"memory_ports":"1"})"
        "\n");
    EXPECT_THAT(many, HasSubstr(":1: the header has 10 faults"));
    for (const char* const fault :
         {"/version: version 2.0 is not known", "/widnow: is an unknown key",
          "/network/tensors/0/shape: is missing", "/network/tensors/0/bits: is not",
          "/network/tensors/1: must be an object", "/network/layers/0/kind: must be text",
          "/placement/blocks/0/rows: has 1 entries", "/placement/blocks/0/columns: is missing",
          "/memory_ports: is not", "/tiles: is missing"})
    {
        EXPECT_THAT(many, HasSubstr(fault));
    }
    // One fault is said as ever; what follows from another is not said.
    EXPECT_THAT(verdict("{\"format\":\"tessera-trace\",\"version\":\"1.0\"}\n"),
                HasSubstr(":1: /tiles: is missing; add it"));
    const std::string file =
        put("bare.trace.jsonl", "{\"format\":\"tessera-trace\",\"version\":\"1.0\",\"tiles\":1}\n");
    EXPECT_THAT([&] { (void)check(file); },
                ::testing::ThrowsMessage<InputError>(
                    AllOf(HasSubstr("2 faults"), HasSubstr("/counts: is missing"),
                          HasSubstr("/window: is missing"), HasSubstr("tessera trace seal"))));
    // Two that contradict the rest.
    EXPECT_THAT(
        verdict(R"({"format":"tessera-trace","version":"1.0","tiles":1,)"
                R"("network":{"layers":[{"output":3}]},)"
                R"("placement":{"blocks":[{"rows":[2,1],"columns":[0,1],"at":"t0.m0"}]}})"
                "\n"),
        AllOf(HasSubstr("/network/layers/0/output"), HasSubstr("/placement/blocks/0/rows")));
}

} // namespace
} // namespace tessera::trace
