// SPDX-License-Identifier: Apache-2.0
#include "trace_fixture.h"

#include "base/h5.h"
#include "trace/h5_trace.h"

#include <csignal>
#include <cstdlib>
#include <hdf5.h>
#include <sys/resource.h>

namespace tessera::trace
{
namespace
{

class MalformedTrace : public TraceTest
{
};

/// A header for one operation on `unit`, after a first one on t0.m0 with id 0 and uses 9.
std::string header_for(const std::string& unit)
{
    return std::string(
               R"({"format":"tessera-trace","version":"1.0","network":{"tensors":[{"shape":[4,5,6],)"
               R"("bits":8}],"layers":[{"name":"a","output":0},{"name":"b"}]},"placement":{"blocks":[)"
               R"({"layer":0,"rows":[0,9],"columns":[0,6],"at":"t0.m0"},)"
               R"({"rows":[0,9],"columns":[0,6],"at":"t1.m0"}]},"tiles":3,"memory_ports":1,)"
               R"("counts":{"operations":2,"units":{)") +
           (unit == "t0.m0" ? R"("t0.m0":2)" : R"("t0.m0":1,")" + unit + "\":1") +
           R"(}},"window":2})";
}

const char* const kFirst = R"({"id":5,"op":"mvm","at":"t0.m0","n":1,"bytes":4,"uses":9})";

struct BadLine
{
    const char* unit; ///< that the header counts
    const char* line;
    const char* message; ///< what the message must hold after "file:3: "
};

const std::vector<BadLine>& bad_lines()
{
    static const std::vector<BadLine> kLines = {
        // not JSON, or not an object
        {"t0.m0", "", "is not valid JSON"},
        {"t0.m0", "null", "is not a JSON object"},
        {"t0.m0", "[]", "is not a JSON object"},
        {"t0.m0", "{", "is not valid JSON"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1)", "is not valid JSON"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1}})", "behind the JSON object"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1}{})", "behind the JSON object"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1} 1)", "is not valid JSON"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,})", "is not valid JSON"},
        {"t0.m0", R"({"id":6 "op":"mvm","at":"t0.m0","n":1})", "is not valid JSON"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"in":[5,]})", "/in/1: is not"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"in":[5)", "is not valid JSON"},
        {"t0.m0", R"({id:6,"op":"mvm","at":"t0.m0","n":1})", "is not valid JSON"},
        {"t0.m0", "{\"id\":6,\"op\":\"mvm\",\"at\":\"t0.m0\xff\",\"n\":1}", "is not valid JSON"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"x-a":tru})", "/x-a: is not valid JSON"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"x-a":{"b":01}})",
         "/x-a: is not valid JSON"},
        // keys
        {"t0.m0", R"({"op":"mvm","at":"t0.m0","n":1})", R"(lacks "id"; every mvm has one)"},
        {"t0.m0", R"({"id":6,"at":"t0.m0","n":1})", R"(lacks "op"; every operation has one)"},
        {"t0.m0", R"({"id":6,"op":"mvm","n":1})", R"(lacks "at"; every mvm has one)"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0"})", R"(lacks "n")"},
        {"t0.vec", R"({"id":6,"op":"vec","at":"t0.vec","fn":"relu"})", R"(lacks "n")"},
        {"t0.vec", R"({"id":6,"op":"vec","at":"t0.vec","n":4})", R"(lacks "fn")"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","to":[{"at":"t1"}]})", R"(lacks "in")"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5]})", R"(lacks "to")"},
        {"mem0", R"({"id":6,"op":"load","at":"mem0"})", R"(lacks "to")"},
        {"t0.ni", R"({"id":6,"op":"store","at":"t0.ni","in":[5]})", R"(lacks "to")"},
        {"t0.m0", R"({"id":6,"op":"program","at":"t0.m0"})", R"(lacks "n")"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"colour":1})",
         "/colour: is an unknown key; use id, op, at"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"X-a":1})", "/X-a: is an unknown key"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"n":1})", "/n: appears twice"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"\u006e":1})", "/n: appears twice"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"to":[{"at":"t1"}]})",
         R"(/to: mvm has no "to")"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t1"}],"n":1})",
         R"(/n: move has no "n")"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t1"}],"uses":1})",
         R"(/uses: move has no "uses")"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t1"}],"fn":"relu"})",
         R"(/fn: move has no "fn")"},
        {"mem0", R"({"id":6,"op":"load","at":"mem0","in":[5],"to":[{"at":"t1"}]})",
         R"(/in: load has no "in")"},
        {"t0.m0", R"({"id":6,"op":"program","at":"t0.m0","n":1,"bytes":8})",
         R"(/bytes: program has no "bytes")"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"tensor":0})",
         R"(/tensor: mvm has no "tensor")"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"end":true})", "neither an operation"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"n\u0000":1})", "is an unknown key"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"":1})", "is an unknown key"},
        // values
        {"t0.m0", R"({"id":"6","op":"mvm","at":"t0.m0","n":1})",
         "/id: is not a whole number from 0 to 9223372036854775807"},
        {"t0.m0", R"({"id":-6,"op":"mvm","at":"t0.m0","n":1})", "/id: is not a whole number"},
        {"t0.m0", R"({"id":6.0,"op":"mvm","at":"t0.m0","n":1})", "/id: is not a whole number"},
        {"t0.m0", R"({"id":6e0,"op":"mvm","at":"t0.m0","n":1})", "/id: is not a whole number"},
        {"t0.m0", R"({"id":06,"op":"mvm","at":"t0.m0","n":1})", "/id: is not a whole number"},
        {"t0.m0", R"({"id":9223372036854775808,"op":"mvm","at":"t0.m0","n":1})",
         "/id: is not a whole number"},
        {"t0.m0", R"({"id":18446744073709551616,"op":"mvm","at":"t0.m0","n":1})",
         "/id: is not a whole number"},
        {"t0.m0", R"({"id":6,"op":7,"at":"t0.m0","n":1})", "/op: is not text"},
        {"t0.m0", R"({"id":6,"op":"mvms","at":"t0.m0","n":1})",
         R"(/op: "mvms" is an unknown kind of operation; use mvm, vec,)"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":["t0.m0"],"n":1})", "/at: is not text"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":4294967296})",
         "/n: is not a whole number from 0 to 4294967295"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":0})", "/n: mvm of nothing"},
        {"t0.m0", R"({"id":6,"op":"program","at":"t0.m0","n":0})", "/n: program of nothing"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":null})", "/n: is not"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"bits":65})",
         "/bits: is not a whole number from 0 to 64"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"bytes":1.5})", "/bytes: is not"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"uses":4294967296})", "/uses: is not"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"in":5})", "/in: is not a list"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"in":[5,"5"]})", "/in/1: is not"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"in":[5,-1]})", "/in/1: is not"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"ofm":[0,1,0,1,0]})",
         "/ofm: has 5 entries; give [row begin"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"ofm":[0,1,0,1,0,1,0]})",
         "/ofm: has 7 entries"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"ofm":[0,1,2,1,0,1]})",
         "/ofm/2: begins after its end"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"ofm":[0,1,0,1,0,4294967296]})",
         "/ofm/5: is not"},
        {"t0.vec", R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"relux"})",
         R"(/fn: "relux" is an unknown function)"},
        {"t0.vec", R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"relu","args":{"k":1}})",
         "/args/k: relu has no such argument; it takes none"},
        {"t0.vec", R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"concat","args":{"k":1}})",
         "/args/k: concat has no such argument; it takes axis"},
        {"t0.vec",
         R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"concat","args":{"axis":1,"axis":1}})",
         "/args/axis: appears twice"},
        {"t0.vec", R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"concat","args":{"axis":1.5}})",
         "/args/axis: is not a whole number"},
        {"t0.vec", R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"relu","args":[]})",
         "/args: is not an object"},
        // references
        {"t0.m0", R"({"id":5,"op":"mvm","at":"t0.m0","n":1})",
         "/id: is 5, but the operation before has 5; ids rise"},
        {"t0.m0", R"({"id":4,"op":"mvm","at":"t0.m0","n":1})", "/id: is 4"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"in":[5,6]})",
         "/in/1: refers to operation 6, which is not before operation 6"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"after":[7]})",
         "/after/0: refers to operation 7"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"into":0})",
         "/into: there is no operand 0"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"in":[5],"into":1})",
         "/into: there is no operand 1"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[],"to":[{"at":"t1"}]})",
         "/in: move takes exactly one operand, not 0"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5,5],"to":[{"at":"t1"}]})",
         "/in: move takes exactly one operand, not 2"},
        {"t0.ni", R"({"id":6,"op":"store","at":"t0.ni","in":[5,5],"to":[{"at":"mem0"}]})",
         "/in: store takes exactly one operand"},
        // units
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t3.m0","n":1})",
         R"(/at: "t3.m0" is not a unit of this chip)"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t2.m0","n":1})",
         R"(/at: "t2.m0" is not in the header's counts.units)"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t1.m0","n":1})",
         "/at: t1.m0 has more operations than the 0"},
        {"t0.vec", R"({"id":6,"op":"mvm","at":"t0.vec","n":1})",
         "/at: mvm cannot be issued by t0.vec"},
        {"t0.m0", R"({"id":6,"op":"vec","at":"t0.m0","n":1,"fn":"relu"})",
         "/at: vec cannot be issued by t0.m0"},
        {"mem0", R"({"id":6,"op":"store","at":"mem0","in":[5],"to":[{"at":"mem0"}]})",
         "/at: store cannot be issued by mem0"},
        {"t0.ni", R"({"id":6,"op":"load","at":"t0.ni","to":[{"at":"t1"}]})",
         "/at: load cannot be issued by t0.ni"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0\u0000","n":1})", "is not a unit"},
        // destinations
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[]})",
         "/to: move has 0 destinations"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":["t1"]})",
         "/to/0: is not an object"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"uses":1}]})",
         R"(/to/0: lacks "at")"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t1"},{"at":"t3"}]})",
         R"(/to/1/at: "t3" does not exist)"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t1","at":"t2"}]})",
         "/to/0/at: appears twice"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t1","n":2}]})",
         "/to/0/n: is an unknown key"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t1","uses":-1}]})",
         "/to/0/uses: is not"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t2"},{"at":"t0"}]})",
         "/to/1/at: is the tile that the data come from"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t2"},{"at":"t2"}]})",
         "/to: names t2 twice"},
        {"t0.ni", R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"mem0"}]})",
         "/to/0/at: is not a tile"},
        {"t0.ni", R"({"id":6,"op":"store","at":"t0.ni","in":[5],"to":[{"at":"t1"}]})",
         "/to/0/at: is not a memory port"},
        {"t0.ni", R"({"id":6,"op":"store","at":"t0.ni","in":[5],"to":[{"at":"mem0","uses":1}]})",
         "/to/0/uses: nothing reads"},
        // tables of the header
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"block":2})",
         "/block: there are only 2 blocks"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"block":1})",
         "/block: block 1 is placed on t1.m0, not on t0.m0"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"block":0,"layer":1})",
         "/layer: is not the layer of the operation's block"},
        {"t0.m0", R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"layer":2})",
         "/layer: there are only 2 layers"},
        {"mem0", R"({"id":6,"op":"load","at":"mem0","to":[{"at":"t1"}],"tensor":1})",
         "/tensor: there are only 1 tensors"},
        {"mem0", R"({"id":6,"op":"load","at":"mem0","to":[{"at":"t1"}],"box":[0,1,0,1,0,1]})",
         "/box: is a region of no tensor"},
        {"mem0",
         R"({"id":6,"op":"load","at":"mem0","to":[{"at":"t1"}],"tensor":0,"box":[0,4,0,6,0,6]})",
         "/box: lies outside of tensor 0 of 4 x 5 x 6"},
    };
    return kLines;
}

TEST_F(MalformedTrace, LinesAreRefusedWithPlaceAndReason)
{
    for (const BadLine& bad : bad_lines())
    {
        const std::string file =
            put("bad.trace.jsonl", sealed({header_for(bad.unit), kFirst, bad.line}));
        const std::string message = error_of(file);
        EXPECT_EQ(message.rfind(file + ":3: ", 0), 0U) << bad.line << "\n" << message;
        EXPECT_NE(message.find(bad.message), std::string::npos) << bad.line << "\n" << message;
        EXPECT_NE(message.find("; "), std::string::npos) << "no remedy: " << message;
    }
}

struct BadHeader
{
    const char* from; ///< replaced in a good header
    const char* to;
    const char* message;
};

TEST_F(MalformedTrace, HeadersAreRefusedWithPlaceAndReason)
{
    const std::vector<BadHeader> bad = {
        {"{\"format\"", "[\"format\"", ""},
        {"tessera-trace", "tessera", "/format: this is not a trace"},
        {"\"format\":\"tessera-trace\",", "", "/format: this is not a trace"},
        {"\"1.0\"", "\"2.0\"", "/version: version 2.0 is not known"},
        {"\"version\":\"1.0\",", "", "/version: is missing"},
        {"\"1.0\"", "1", "/version: must be text"},
        {"\"tiles\"", "\"tyles\"", "/tyles: is an unknown key"},
        {"\"window\":9", "\"window\":9,\"windows\":1", "/windows: is an unknown key"},
        {"\"tiles\":3", "\"tiles\":3,\"tiles\":3", "twice"},
        {"\"tiles\":3", "\"tiles\":-3", "/tiles: is not a whole number"},
        {"\"tiles\":3", "\"tiles\":1048577", "/tiles: is not a whole number from 0 to 1048576"},
        {"\"tiles\":3", "\"tiles\":1", "/placement/blocks/1/at: \"t1.m0\" is not a unit"},
        {"\"memory_ports\":1", "\"memory_ports\":0", "/counts/units/mem0: \"mem0\" is not a unit"},
        {"\"tiles\":3,", "", "/tiles: is missing"},
        {",\"window\":9", "", "/window: is missing"},
        {"\"window\":9", "\"window\":10", "/window: is greater than the number of operations"},
        {"\"operations\":9", "\"operations\":10", "/counts/operations: is 10, but"},
        {"\"t0.m0\":9", "\"t0.m0\":9.5", "/counts/units/t0.m0: is not a whole number"},
        {"\"t0.m0\":9", "\"t0.m00\":9", "/counts/units/t0.m00: \"t0.m00\" is not a unit"},
        {"\"t0.m0\":9", "\"t0.m0\":9223372036854775807,\"t1.m0\":9223372036854775807",
         "/counts/units: the counts are too great"},
        {"[4,5,6]", "[4,5]", "/network/tensors/0/shape: has 2 entries"},
        {"[4,5,6]", "[4,0,6]", "/network/tensors/0/shape/1: is not a whole number from 1"},
        {"[4,5,6]", "[4294967295,4294967295,4294967295]", "more than 2^56 elements"},
        {"\"bits\":8", "\"bits\":0", "/network/tensors/0/bits: is not a whole number from 1 to 64"},
        {"\"output\":0", "\"output\":1", "/network/layers/0/output: there are only 1 tensors"},
        {"\"layer\":0,", "\"layer\":2,", "/placement/blocks/0/layer: there are only 2 layers"},
        {"[0,9]", "[9,9]", "/placement/blocks/0/rows: is empty"},
        {"[0,6]", "[6,0]", "/placement/blocks/0/columns: is empty"},
        {"[0,6]", "[0,6,7]", "/placement/blocks/0/columns: has 3 entries"},
        {"\"at\":\"t1.m0\"", "\"at\":\"t1.vec\"", "/placement/blocks/1/at: is not a macro"},
        {"\"at\":\"t1.m0\"", "\"at\":\"t9.m0\"", "/placement/blocks/1/at: \"t9.m0\" is not a unit"},
        {"\"blocks\":[", "\"bricks\":[", "/placement/bricks: is an unknown key"},
        {"\"layers\":[", "\"layers\":{", ""},
    };
    const std::string good =
        R"({"format":"tessera-trace","version":"1.0","network":{"tensors":[{"shape":[4,5,6],"bits":8}],)"
        R"("layers":[{"name":"a","output":0},{"name":"b"}]},"placement":{"blocks":[{"layer":0,)"
        R"("rows":[0,9],"columns":[0,6],"at":"t0.m0"},{"rows":[0,9],"columns":[0,6],"at":"t1.m0"}]},)"
        R"("tiles":3,"memory_ports":1,"counts":{"operations":9,"units":{"t0.m0":9,"mem0":0}},)"
        R"("window":9})";
    ASSERT_NE(error_of(put("good.trace.jsonl", sealed({good}))).find("0 of 9 operations"),
              std::string::npos);
    for (const BadHeader& change : bad)
    {
        std::string header = good;
        const std::size_t at = header.find(change.from);
        ASSERT_NE(at, std::string::npos) << change.from;
        header.replace(at, std::string(change.from).size(), change.to);
        const std::string file = put("bad.trace.jsonl", sealed({header}));
        const std::string message = error_of(file);
        EXPECT_EQ(message.rfind(file + ":1: ", 0), 0U) << change.to << "\n" << message;
        EXPECT_NE(message.find(change.message), std::string::npos) << change.to << "\n" << message;
    }
}

std::string small_text()
{
    return sealed({header_for("t0.m0"), kFirst, R"({"id":6,"op":"mvm","at":"t0.m0","n":1})"});
}

TEST_F(MalformedTrace, WholeFiles)
{
    const std::string good = small_text();
    const auto replaced = [&](const std::string& from, const std::string& to)
    {
        std::string text = good;
        text.replace(text.find(from), from.size(), to);
        return error_of(put("bad.trace.jsonl", text));
    };
    ASSERT_EQ(error_of(put("good.trace.jsonl", good)), "");
    EXPECT_NE(error_of(put("empty.trace.jsonl", "")).find("the file is empty"), std::string::npos);
    EXPECT_NE(replaced("\"n\":1,\"bytes\":4", "\"n\":1,\"bytes\":5").find(":4: /crc32: is "),
              std::string::npos);
    EXPECT_NE(replaced("\"ops\":2", "\"ops\":3").find("/ops: is 3, but the header says 2"),
              std::string::npos);
    EXPECT_NE(replaced("\"end\":true", "\"end\":false").find("/end: is not true"),
              std::string::npos);
    EXPECT_NE(replaced("\"end\":true,", "").find("neither an operation"), std::string::npos);
    EXPECT_NE(replaced("\"crc32\":\"", "\"crc32\":\"0").find("/crc32: is not a checksum"),
              std::string::npos);
    EXPECT_NE(error_of(put("bad.trace.jsonl", good + "\n")).find(":5: something follows"),
              std::string::npos);
    EXPECT_NE(error_of(put("bad.trace.jsonl", good + good)).find(":5: something follows"),
              std::string::npos);
    const std::string last = good.substr(good.rfind("{\"end"));
    const std::string first_lines = good.substr(0, good.find("{\"id\":6"));
    EXPECT_NE(error_of(put("bad.trace.jsonl", first_lines + last))
                  .find(":3: /end: the trace ends after 1 of 2 operations"),
              std::string::npos);
    EXPECT_NE(error_of(put("bad.trace.jsonl", first_lines))
                  .find("ends without its last line, after 1 of 2"),
              std::string::npos);
    const std::string more = R"({"id":7,"op":"mvm","at":"t0.m0","n":1})";
    EXPECT_NE(error_of(put("bad.trace.jsonl",
                           good.substr(0, good.size() - last.size()) + more + "\n" + last))
                  .find(":4: /at: t0.m0 has more operations"),
              std::string::npos);
}

TEST_F(MalformedTrace, WindowTooSmall)
{
    std::string text = small_text();
    text.replace(text.find("\"window\":2"), 10, "\"window\":0");
    EXPECT_NE(error_of(put("bad.trace.jsonl", text)).find(":2: /at: comes 1 lines after"),
              std::string::npos);
}

TEST_F(MalformedTrace, LimitsOfLengthAndFanIn)
{
    const auto line = [](std::size_t operands)
    {
        std::string text = R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"in":[5)";
        for (std::size_t i = 1; i < operands; ++i)
        {
            text += ",5";
        }
        return text + "]}";
    };
    EXPECT_EQ(error_of(put("a.trace.jsonl", sealed({header_for("t0.m0"), kFirst, line(65535)}))),
              "");
    EXPECT_NE(error_of(put("a.trace.jsonl", sealed({header_for("t0.m0"), kFirst, line(65536)})))
                  .find(":3: /in: has more than 65535 entries"),
              std::string::npos);

    const std::string start = R"({"id":6,"op":"mvm","at":"t0.m0","n":1)";
    const auto padded = [&](std::size_t size)
    { return start + std::string(size - start.size() - 1, ' ') + "}"; };
    EXPECT_EQ(
        error_of(put("a.trace.jsonl", sealed({header_for("t0.m0"), kFirst, padded(kMaxLine)}))),
        "");
    EXPECT_NE(
        error_of(put("a.trace.jsonl", sealed({header_for("t0.m0"), kFirst, padded(kMaxLine + 1)})))
            .find(":3: the line is longer than 16 MiB"),
        std::string::npos);
}

TEST_F(MalformedTrace, DeepNestingDoesNotOverflowTheStack)
{
    const std::string deep(1'000'000, '[');
    const auto line = [&](std::size_t closing)
    {
        return R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"x-a":)" + deep +
               std::string(closing, ']') + "}";
    };
    EXPECT_EQ(
        error_of(put("a.trace.jsonl", sealed({header_for("t0.m0"), kFirst, line(deep.size())}))),
        "");
    EXPECT_NE(error_of(put("a.trace.jsonl",
                           sealed({header_for("t0.m0"), kFirst, line(deep.size() - 1)}))),
              "");
    EXPECT_NE(error_of(put("a.trace.jsonl", deep + "\n")), "");
}

TEST_F(MalformedTrace, FilesThatCannotBeRead)
{
    EXPECT_THROW(open_in_order(path("absent.trace.jsonl")), IoError);
    EXPECT_THROW(open(path("absent.trace.h5")), IoError);
    std::filesystem::create_directory(path("folder"));
    EXPECT_THROW(open_in_order(path("folder")), InputError);
}

TEST_F(MalformedTrace, WritersLeaveNothingBehind)
{
    const Trace trace = random_trace(11);
    EXPECT_THROW(write(trace, path("no/such/folder/a.trace.jsonl")), IoError);
    EXPECT_THROW(write(trace, path("no/such/folder/a.trace.h5")), IoError);
    EXPECT_THROW(write(trace, path("a.txt")), UsageError);
    Trace bad = random_trace(11);
    ASSERT_GT(bad.operations.size(), 1U);
    bad.operations.back().id = OpId(0);
    for (const char* name : {"a.trace.jsonl", "a.trace.jsonl.gz", "a.trace.h5"})
    {
        EXPECT_THROW(write(bad, path(name)), InputError);
        EXPECT_TRUE(std::filesystem::is_empty(path(""))) << name;
    }
}

TEST_F(MalformedTrace, FullDiskIsAnError)
{
    if (!std::filesystem::exists("/dev/full"))
    {
        GTEST_SKIP() << "no /dev/full here";
    }
    std::ofstream full("/dev/full");
    full.rdbuf()->pubsetbuf(nullptr, 0);
    TextWriter writer(full, Trace().header);
    EXPECT_THROW(writer.finish(), IoError);
}

TEST_F(MalformedTrace, NoRoomForTheFileIsAnError)
{
    Trace trace;
    trace.header.tiles = 1;
    trace.header.units = {{UnitKind::vector_unit, NodeId(0), 0, 0}};
    std::mt19937_64 random(1);
    for (std::uint64_t id = 0; id < 20'000; ++id)
    {
        trace.operations.emplace_back();
        trace.operations.back().id = OpId(id);
        trace.operations.back().kind = OpKind::vec;
        trace.operations.back().at = UnitId(0);
        trace.operations.back().bytes = random() / 2;
    }
    finalize(trace);
    for (const char* name : {"a.trace.jsonl", "a.trace.jsonl.gz", "a.trace.h5"})
    {
        // In a process of its own that ends at once: HDF5 1.10 keeps a file that it could not
        // close, and stumbles over it when it cleans up at a normal exit.
        const auto write_with_little_room = [&]
        {
            // A limit on the size of files fails in the middle as a full disk does.
            std::signal(SIGXFSZ, SIG_IGN);
            const rlimit low = {100'000, 100'000};
            setrlimit(RLIMIT_FSIZE, &low);
            try
            {
                write(trace, path(name));
            }
            catch (const IoError&)
            {
                std::_Exit(5);
            }
            std::_Exit(0);
        };
        EXPECT_EXIT(write_with_little_room(), testing::ExitedWithCode(5), "") << name;
        EXPECT_TRUE(std::filesystem::is_empty(path(""))) << name;
    }
}

/// Overwrites parts of a good HDF5 trace.
class DamagedH5 : public TraceTest
{
public:
    DamagedH5()
    {
        trace_ = random_trace(1);
        for (std::uint64_t seed = 1; trace_.operations.size() < 30; ++seed)
        {
            trace_ = random_trace(seed);
        }
        write(trace_, path("good.trace.h5"));
    }
    /// What check() says after `change` was applied to an open copy.
    template <class Change> std::string after(Change change)
    {
        const std::string file = path("bad.trace.h5");
        std::filesystem::copy_file(path("good.trace.h5"), file,
                                   std::filesystem::copy_options::overwrite_existing);
        {
            const h5::Lock lock;
            const h5::Handle handle(H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose,
                                    "open");
            change(handle.get());
        }
        try
        {
            H5Reader reader(file, 1);
            read_all(reader);
            return "";
        }
        catch (const InputError& error)
        {
            return error.what();
        }
    }
    template <class T>
    static void set_member(hid_t file, std::uint64_t row, const char* member, hid_t type, T value)
    {
        const h5::Handle dataset = h5::open_dataset(file, "ops");
        const h5::Compound part = std::move(h5::Compound(sizeof(T)).add(member, 0, type));
        const h5::Handle space(H5Dget_space(dataset.get()), H5Sclose, "space");
        const hsize_t at = row;
        const hsize_t one = 1;
        H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &at, nullptr, &one, nullptr);
        const h5::Handle memory(H5Screate_simple(1, &one, nullptr), H5Sclose, "space");
        h5::check(
            H5Dwrite(dataset.get(), part.get(), memory.get(), space.get(), H5P_DEFAULT, &value),
            "write");
    }
    static void fill_words(hid_t file, std::uint64_t value)
    {
        const h5::Handle dataset = h5::open_dataset(file, "words");
        const std::vector<std::uint64_t> words(h5::length(dataset.get()), value);
        h5::check(
            H5Dwrite(dataset.get(), H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, words.data()),
            "write");
    }

protected:
    Trace trace_;
};

TEST_F(DamagedH5, IsRefusedWithItsPlace)
{
    ASSERT_EQ(after([](hid_t) {}), "");
    for (const char* name : {"header", "functions", "units", "ops", "words"})
    {
        const std::string message = after([&](hid_t file) { H5Ldelete(file, name, H5P_DEFAULT); });
        EXPECT_NE(message.find(std::string("/") + name + ": is missing"), std::string::npos)
            << message;
    }
    for (const char* name : {"format", "version", "crc32"})
    {
        const std::string message = after([&](hid_t file) { H5Adelete(file, name); });
        EXPECT_NE(message.find("lacks the attribute"), std::string::npos) << message;
    }
    const auto attribute = [&](const char* name, const std::string& value)
    {
        return after(
            [&](hid_t file)
            {
                H5Adelete(file, name);
                h5::set_attribute(file, name, value);
            });
    };
    EXPECT_NE(attribute("format", "other").find("/format: is not"), std::string::npos);
    EXPECT_NE(attribute("version", "9.9").find("version 9.9 is not known"), std::string::npos);
    EXPECT_NE(attribute("crc32", "12").find("/crc32: is not a checksum"), std::string::npos);
    EXPECT_NE(attribute("crc32", "zzzzzzzz").find("/crc32: is not a checksum"), std::string::npos);

    const auto dataset = [&](const char* name, const std::string& value)
    {
        return after(
            [&](hid_t file)
            {
                H5Ldelete(file, name, H5P_DEFAULT);
                h5::write_text(file, name, value);
            });
    };
    EXPECT_NE(dataset("header", "{}").find(":/header:1: /format"), std::string::npos);
    EXPECT_NE(dataset("header", "{").find(":/header:1"), std::string::npos);
    EXPECT_NE(dataset("functions", "[1]").find("/functions/0: is not"), std::string::npos);
    EXPECT_NE(dataset("functions", "[]").find("/fn: is a function"), std::string::npos);
    EXPECT_NE(dataset("ops", "text").find("/ops: does not hold compound records"),
              std::string::npos);
    EXPECT_NE(dataset("units", "text").find("/units: does not hold compound records"),
              std::string::npos);
    EXPECT_NE(dataset("words", "text"), "");
}

TEST_F(DamagedH5, RowsAndWordsAreChecked)
{
    EXPECT_NE(
        after([](hid_t file) { set_member<std::uint8_t>(file, 0, "kind", H5T_NATIVE_UINT8, 77); })
            .find("/ops/0/op: is an unknown kind"),
        std::string::npos);
    EXPECT_NE(after([](hid_t file)
                    { set_member<std::uint64_t>(file, 1, "id", H5T_NATIVE_UINT64, ~0ULL); })
                  .find("/id"),
              std::string::npos);
    EXPECT_NE(after([](hid_t file)
                    { set_member<std::uint16_t>(file, 0, "in", H5T_NATIVE_UINT16, 65535); })
                  .find("/ops/0: claims more words than its unit has left"),
              std::string::npos);
    EXPECT_NE(after([](hid_t file)
                    { set_member<std::uint16_t>(file, 2, "function", H5T_NATIVE_UINT16, 999); })
                  .find("/ops/2/fn: is a function"),
              std::string::npos);
    EXPECT_NE(after([](hid_t file)
                    { set_member<std::uint64_t>(file, 0, "bytes", H5T_NATIVE_UINT64, ~0ULL); }),
              "");
    EXPECT_NE(after([](hid_t file) { fill_words(file, ~0ULL); }), "");
    for (std::uint64_t row = 0; row < trace_.operations.size(); ++row)
    {
        // Whatever the flags say, words are counted and every value is checked: no crash.
        for (const std::uint8_t flags : {std::uint8_t{0xff}, std::uint8_t{0x10}, std::uint8_t{2}})
        {
            after([&](hid_t file) { set_member(file, row, "flags", H5T_NATIVE_UINT8, flags); });
            after([&](hid_t file) { set_member(file, row, "arguments", H5T_NATIVE_UINT8, flags); });
        }
    }
}

TEST_F(DamagedH5, CheckComparesTheChecksum)
{
    const std::string file = path("bad.trace.h5");
    const std::string traces = std::string(TESSERA_SOURCE_DIR) + "/traces/";
    convert(traces + "fork-join.trace.jsonl", file, false);
    {
        const h5::Lock lock;
        const h5::Handle handle(H5Fopen(file.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose, "open");
        set_member<std::uint64_t>(handle.get(), 0, "bytes", H5T_NATIVE_UINT64, 193);
    }
    EXPECT_EQ(error_of(file), "");
    try
    {
        static_cast<void>(check(file));
        FAIL() << "a changed byte went unnoticed";
    }
    catch (const InputError& error)
    {
        EXPECT_NE(std::string(error.what()).find("/crc32"), std::string::npos) << error.what();
    }
}

} // namespace
} // namespace tessera::trace
