// SPDX-License-Identifier: Apache-2.0
#include "../../bench/synthetic_trace.h"
#include "trace_fixture.h"

#include "trace/h5_trace.h"

namespace tessera::trace
{
namespace
{

class Tools : public TraceTest
{
public:
    static std::string shipped(const std::string& name)
    {
        return std::string(TESSERA_SOURCE_DIR) + "/traces/" + name;
    }

    static constexpr const char* kHead =
        R"({"format":"tessera-trace","version":"1.0","placement":{"blocks":[)"
        R"({"rows":[0,9],"columns":[0,6],"at":"t0.m0"},{"rows":[0,9],"columns":[0,6],"at":"t0.m0"},)"
        R"({"rows":[0,9],"columns":[0,2],"at":"t0.m0","corner":[0,6]},)"
        R"({"rows":[0,1],"columns":[0,1],"at":"t0.m0","corner":[9,5]}]},)"
        R"("tiles":2,"memory_ports":1,"counts":)";

    /// What check() says of these operations; the counts are made to fit.
    std::string verdict(const std::vector<std::string>& operations)
    {
        std::map<std::string, int> units;
        for (const std::string& line : operations)
        {
            const std::size_t at = line.find("\"at\":\"") + 6;
            ++units[line.substr(at, line.find('"', at) - at)];
        }
        std::string counts;
        for (const auto& [unit, count] : units)
        {
            counts += (counts.empty() ? "\"" : ",\"") + unit + "\":" + std::to_string(count);
        }
        const std::string size = std::to_string(operations.size());
        std::vector<std::string> lines = {std::string(kHead) + "{\"operations\":" + size +
                                          ",\"units\":{" + counts + "}},\"window\":" + size + "}"};
        lines.insert(lines.end(), operations.begin(), operations.end());
        const std::string file = put("a.trace.jsonl", sealed(lines));
        convert(file, path("a.trace.h5"), false);
        const std::string message = verdict_of(file);
        EXPECT_EQ(verdict_of(path("a.trace.h5")).empty(), message.empty());
        return message.empty() ? "" : message.substr(file.size());
    }

private:
    static std::string verdict_of(const std::string& file)
    {
        try
        {
            static_cast<void>(check(file));
            return "";
        }
        catch (const InputError& error)
        {
            return error.what();
        }
    }
};

const char* const kMake = R"({"id":0,"op":"mvm","at":"t0.m0","n":1,"bytes":10,"uses":2})";
const char* const kUse = R"({"id":1,"op":"vec","at":"t0.vec","n":1,"in":[0],"fn":"relu"})";
const char* const kUseAgain = R"({"id":2,"op":"vec","at":"t0.vec","n":1,"in":[0],"fn":"relu"})";

TEST_F(Tools, CheckCountsUses)
{
    EXPECT_EQ(verdict({kMake, kUse, kUseAgain}), "");
    EXPECT_EQ(verdict({kMake, R"({"id":1,"op":"vec","at":"t0.vec","n":1,"in":[0,0],"fn":"add"})"}),
              "");
    EXPECT_NE(
        verdict({kMake, kUse}).find(":2: /uses: the result of operation 0 in tile t0 is read 1"),
        std::string::npos);
    EXPECT_NE(verdict({kMake, kUse, kUseAgain,
                       R"({"id":3,"op":"vec","at":"t0.vec","n":1,"in":[0],"fn":"relu"})"})
                  .find(":5: /in/0: tile t0 holds no result of operation 0"),
              std::string::npos);
    EXPECT_NE(verdict({kMake, R"({"id":1,"op":"vec","at":"t0.vec","n":1,"in":[0,0,0],"fn":"add"})"})
                  .find(":3: /in/2"),
              std::string::npos);
}

TEST_F(Tools, CheckKnowsWhereDataAre)
{
    const std::string move =
        R"({"id":1,"op":"move","at":"t0.ni","bytes":10,"in":[0],"to":[{"at":"t1","uses":1}]})";
    EXPECT_EQ(verdict({R"({"id":0,"op":"mvm","at":"t0.m0","n":1,"bytes":10,"uses":1})", move,
                       R"({"id":2,"op":"vec","at":"t1.vec","n":1,"in":[1],"fn":"relu"})"}),
              "");
    EXPECT_NE(
        verdict({kMake, move, R"({"id":2,"op":"vec","at":"t1.vec","n":1,"in":[0],"fn":"relu"})"})
            .find(":4: /in/0: tile t1 holds no result of operation 0"),
        std::string::npos);
    EXPECT_NE(
        verdict({kMake, move, R"({"id":2,"op":"vec","at":"t0.vec","n":1,"in":[1],"fn":"relu"})"})
            .find(":4: /in/0: tile t0 holds no result of operation 1"),
        std::string::npos);
    EXPECT_NE(verdict({R"({"id":0,"op":"program","at":"t0.m0","n":1})", kUse})
                  .find(":3: /in/0: tile t0 holds no"),
              std::string::npos)
        << "program makes no datum";
}

TEST_F(Tools, CheckKnowsWhichOperationsExist)
{
    EXPECT_NE(verdict({R"({"id":3,"op":"mvm","at":"t0.m0","n":1})",
                       R"({"id":5,"op":"mvm","at":"t0.m0","n":1,"after":[3,4]})"})
                  .find(":3: /after/1: there is no operation 4"),
              std::string::npos);
    EXPECT_NE(verdict({R"({"id":3,"op":"mvm","at":"t0.m0","n":1})",
                       R"({"id":5,"op":"mvm","at":"t0.m0","n":1,"in":[2]})"})
                  .find(":3: /in/0: there is no operation 2"),
              std::string::npos);
}

TEST_F(Tools, CheckComparesSizesInPlace)
{
    const auto in_place = [&](int bytes)
    {
        return verdict({R"({"id":0,"op":"mvm","at":"t0.m0","n":1,"bytes":10,"uses":1})",
                        R"({"id":1,"op":"vec","at":"t0.vec","n":1,"bytes":)" +
                            std::to_string(bytes) + R"(,"in":[0],"into":0,"fn":"relu"})"});
    };
    EXPECT_EQ(in_place(10), "");
    EXPECT_NE(in_place(11).find(":3: /into: a result of 11 bytes does not fit into the 10"),
              std::string::npos);
}

TEST_F(Tools, CheckFollowsTheBlocksOfAMacro)
{
    const auto mvm = [](int id, int block)
    {
        return R"({"id":)" + std::to_string(id) + R"(,"op":"mvm","at":"t0.m0","block":)" +
               std::to_string(block) + R"(,"n":1})";
    };
    const auto program = [](int id, const std::string& what)
    {
        return R"({"id":)" + std::to_string(id) + R"(,"op":"program","at":"t0.m0")" + what +
               R"(,"n":9})";
    };
    EXPECT_EQ(verdict({mvm(0, 0), program(1, R"(,"block":1)"), mvm(2, 1)}), "");
    EXPECT_NE(verdict({mvm(0, 1)}).find(":2: /block: the macro holds block 0, not block 1"),
              std::string::npos);
    EXPECT_NE(verdict({program(0, R"(,"block":1)"), mvm(1, 0)}).find(":3: /block: the macro holds"),
              std::string::npos);
    EXPECT_NE(verdict({program(0, ""), mvm(1, 0)}).find("weights written from an operand"),
              std::string::npos);
    // Blocks 2 and 3 lie beside and below the others, which they leave alone.
    EXPECT_EQ(verdict({mvm(0, 0), mvm(1, 2), mvm(2, 3), program(3, R"(,"block":2)"), mvm(4, 0)}),
              "");
    EXPECT_EQ(verdict({program(0, R"(,"block":1)"), mvm(1, 2), mvm(2, 1), mvm(3, 3)}), "");
    EXPECT_NE(verdict({program(0, ""), mvm(1, 2)}).find("weights written from an operand"),
              std::string::npos);
}

TEST_F(Tools, ShippedTracesAreSoundAndCanonical)
{
    for (const char* name : {"two-layer-chain.trace.jsonl", "fork-join.trace.jsonl"})
    {
        const CheckReport report = check(shipped(name));
        EXPECT_TRUE(report.values) << name;
        EXPECT_EQ(report.window, report.declared_window) << name;
        convert(shipped(name), path("a.trace.jsonl"), true);
        EXPECT_EQ(get(path("a.trace.jsonl")), get(shipped(name))) << name;
        convert(shipped(name), path("a.trace.h5"), true);
        EXPECT_EQ(check(path("a.trace.h5")).json(), report.json()) << name;
    }
}

TEST_F(Tools, StatsOfAShippedTrace)
{
    const auto figures = stats(shipped("fork-join.trace.jsonl"));
    EXPECT_EQ(figures["operations"], 14);
    EXPECT_EQ(figures["kinds"]["mvm"], 4);
    EXPECT_EQ(figures["bytes"]["load"], 2048) << "512 bytes to two tiles, twice";
    EXPECT_EQ(figures["units"]["macros"], 2);
    EXPECT_EQ(figures["fan_in"]["histogram"]["2-3"], 2);
    EXPECT_EQ(figures["fan_in"]["histogram"]["0"], 2);
    EXPECT_EQ(figures["lifetime_lines"]["greatest"], 2);
    ASSERT_EQ(figures["layers"].size(), 1U);
    EXPECT_EQ(figures["layers"][0]["vectors"], 4);
    EXPECT_EQ(figures["layers"][0]["bytes_moved"], 2048 + 768 + 128);
    const std::string text = stats_text(figures);
    EXPECT_NE(text.find("wide"), std::string::npos);
    EXPECT_NE(text.find("fork-join"), std::string::npos);
}

TEST_F(Tools, HeadShowsCanonicalLines)
{
    const std::string file = shipped("fork-join.trace.jsonl");
    const std::string text = get(file);
    std::ostringstream out;
    head(file, 1, out);
    const std::size_t begin = text.find('\n') + 1;
    EXPECT_EQ(out.str(), text.substr(begin, text.find('\n', begin) + 1 - begin));
    std::ostringstream all;
    head(file, 1000, all);
    EXPECT_EQ(all.str(), text.substr(begin, text.rfind("{\"end") - begin));
}

TEST_F(Tools, ConvertNeedsAKnownEnding)
{
    EXPECT_THROW(convert(shipped("fork-join.trace.jsonl"), path("a.txt"), false), UsageError);
    EXPECT_THROW(convert(path("absent.trace.jsonl"), path("a.trace.h5"), false), IoError);
}

TEST_F(Tools, SyntheticTracesPassTheCheck)
{
    for (const std::uint64_t operations : {0U, 1U, 2U, 100U, 20000U})
    {
        bench::SyntheticTrace::Shape shape;
        shape.operations = operations;
        shape.tiles = 8;
        bench::SyntheticTrace generator(shape);
        TextWriter writer(path("a.trace.jsonl"), generator.header());
        Operation operation;
        std::size_t most = 0;
        while (generator.next(operation))
        {
            most = std::max(most, operation.in.size());
            writer.write(operation);
        }
        writer.finish();
        const CheckReport report = check(path("a.trace.jsonl"));
        EXPECT_EQ(report.operations, operations);
        EXPECT_LE(most, 64U);
        convert(path("a.trace.jsonl"), path("a.trace.h5"), false);
        convert(path("a.trace.h5"), path("b.trace.jsonl"), false);
        EXPECT_EQ(get(path("a.trace.jsonl")), get(path("b.trace.jsonl")));
    }
}

} // namespace
} // namespace tessera::trace
