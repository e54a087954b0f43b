// SPDX-License-Identifier: Apache-2.0
#include "trace/schema.h"
#include "trace_fixture.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

namespace tessera::trace
{
namespace
{

class Schema : public TraceTest
{
public:
    /// Runs the jsonschema package over every line; prints one 0 or 1 per line.
    std::string validate(const std::string& lines)
    {
        put("lines", lines);
        put("validate.py", "import json, sys\n"
                           "import jsonschema\n"
                           "schema = json.load(open(sys.argv[1]))\n"
                           "jsonschema.Draft202012Validator.check_schema(schema)\n"
                           "validator = jsonschema.Draft202012Validator(schema)\n"
                           "for line in open(sys.argv[2], newline='\\n'):\n"
                           "    print(int(validator.is_valid(json.loads(line))), end='')\n");
        const std::string command = "/usr/bin/python3 " + path("validate.py") + " " + shipped() +
                                    " " + path("lines") + " > " + path("out");
        return std::system(command.c_str()) == 0 ? get(path("out")) : "failed"; // NOLINT
    }
    static std::string shipped()
    {
        return std::string(TESSERA_SOURCE_DIR) + "/configs/schema/trace-1.0.schema.json";
    }
    static bool can_validate()
    {
        return std::system("/usr/bin/python3 -c 'import jsonschema' 2>/dev/null") == 0; // NOLINT
    }
};

TEST_F(Schema, FileIsWhatTheCodeSays)
{
    EXPECT_EQ(get(shipped()), schema())
        << "write it again: tessera trace schema > configs/schema/trace-1.0.schema.json";
    EXPECT_TRUE(nlohmann::json::accept(schema()));
}

TEST_F(Schema, AcceptsEveryLineThatWritersWrite)
{
    if (!can_validate())
    {
        GTEST_SKIP() << "python3-jsonschema is not installed";
    }
    std::string lines;
    for (std::uint64_t seed = 0; seed < 20; ++seed)
    {
        lines += canonical_text(random_trace(seed));
    }
    for (const char* name : {"two-layer-chain", "fork-join"})
    {
        lines += get(std::string(TESSERA_SOURCE_DIR) + "/traces/" + name + ".trace.jsonl");
    }
    const auto count = static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n'));
    EXPECT_EQ(validate(lines), std::string(count, '1'));
}

TEST_F(Schema, RefusesWhatReadersRefuse)
{
    if (!can_validate())
    {
        GTEST_SKIP() << "python3-jsonschema is not installed";
    }
    const std::vector<std::string> good = {
        R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"x-note":{"a":[]}})",
        R"({"op":"x-anything","colour":"red"})",
        R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"concat","args":{"axis":1}})",
    };
    const std::vector<std::string> bad = {
        R"([])",
        R"({"op":"mvm","at":"t0.m0","n":1})",
        R"({"id":6,"op":"mvm","at":"t0.m0"})",
        R"({"id":6,"op":"mvm","at":"t0.m0","n":0})",
        R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"colour":1})",
        R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"to":[{"at":"t1"}]})",
        R"({"id":-6,"op":"mvm","at":"t0.m0","n":1})",
        R"({"id":6.5,"op":"mvm","at":"t0.m0","n":1})",
        R"({"id":6,"op":"mvm","at":"t00.m0","n":1})",
        R"({"id":6,"op":"mwm","at":"t0.m0","n":1})",
        R"({"id":6,"op":"mvm","at":"t0.m0","n":1,"ofm":[0,1,0,1,0]})",
        R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"relux"})",
        R"({"id":6,"op":"vec","at":"t0.vec","n":1,"fn":"relu","args":{"axis":1}})",
        R"({"id":6,"op":"move","at":"t0.ni","in":[5,5],"to":[{"at":"t1"}]})",
        R"({"id":6,"op":"move","at":"t0.ni","in":[5],"to":[{"at":"t1","n":1}]})",
        R"({"id":6,"op":"load","at":"mem0","in":[5],"to":[{"at":"t1"}]})",
        R"({"id":6,"op":"program","at":"t0.m0","n":1,"bytes":4})",
        R"({"end":true,"ops":2,"crc32":"0123456X"})",
        R"({"end":false,"ops":2,"crc32":"01234567"})",
        R"({"format":"tessera-trace","version":"2.0"})",
    };
    std::string lines;
    for (const auto& list : {good, bad})
    {
        for (const std::string& line : list)
        {
            lines += line + '\n';
        }
    }
    EXPECT_EQ(validate(lines), std::string(good.size(), '1') + std::string(bad.size(), '0'));
}

} // namespace
} // namespace tessera::trace
