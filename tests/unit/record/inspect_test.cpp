// SPDX-License-Identifier: Apache-2.0
#include "record/inspect.h"

#include "record_fixture.h"

#include <cstdlib>
#include <gtest/gtest.h>
#include <sstream>

namespace tessera::record
{
namespace
{

using test::operation;
using test::TemporaryFolder;

std::string text_of(const Table& table)
{
    std::ostringstream out;
    print(out, table);
    return out.str();
}

void write(const std::filesystem::path& folder)
{
    ActivitySink sink;
    ActivityWriter writer(folder, test::meta_of_two_units(ActivityLevel::stage));
    writer.connect(sink);
    sink.operations.append(operation(0, 0, 400));
    sink.operations.append(operation(1, 400, 1000, Cause::input, 0, 100, trace::OpKind::vec, ~0U));
    writer.finish(test::summary_of_two_units(1000));
}

TEST(Table, AlignsTextsAndNumbers)
{
    const Table table{
        "Title",
        {text("name"), number("n"), time("time"), share("share")},
        {{std::string("a"), std::uint64_t{12345}, TimeCell{1'234'567}, ShareCell{0.5}},
         {std::string("größer"), std::uint64_t{1}, Cell(), ShareCell{1}}},
        ""};
    EXPECT_EQ(text_of(table), "Title\n"
                              "  name        n  time [ns]  share [%]\n"
                              "  a       12345   1234.567     50.000\n"
                              "  größer      1          -    100.000\n");
    EXPECT_EQ(to_json(table).dump(), R"([{"name":"a","n":12345,"time_ps":1234567,"share":0.5},)"
                                     R"({"name":"größer","n":1,"time_ps":null,"share":1.0}])");
}

/// Names of columns, and their units, are the same with any rows.
TEST(Table, NamesDoNotDependOnTheRows)
{
    Table table{"",
                {text("name"), time("end"), share("busy"), number("n")},
                {{Cell(), Cell(), Cell(), Cell()}},
                ""};
    EXPECT_EQ(to_json(table).dump(), R"([{"name":null,"end_ps":null,"busy":null,"n":null}])");
    table.rows.clear();
    EXPECT_EQ(text_of(table), "\n  name  end [ns]  busy [%]  n\n");
}

/// What text and JSON give in different units says which.
TEST(Table, ValuesOfDifferentFigures)
{
    const Table table{"",
                      {text("figure"), {"value", ColumnKind::mixed}, text("unit")},
                      {{std::string("span"), TimeCell{1500}, UnitCell{"ns", "ps"}},
                       {std::string("whole"), true, std::string()}},
                      ""};
    EXPECT_EQ(text_of(table), "\n  figure  value  unit\n  span    1.500  ns\n  whole     yes\n");
    EXPECT_EQ(to_json(table).dump(), R"([{"figure":"span","value":1500,"unit":"ps"},)"
                                     R"({"figure":"whole","value":true,"unit":""}])");
}

TEST(Table, PrintsTimesExactly)
{
    EXPECT_EQ(nanoseconds(0), "0.000");
    EXPECT_EQ(nanoseconds(1), "0.001");
    EXPECT_EQ(nanoseconds(999), "0.999");
    EXPECT_EQ(nanoseconds(~Tick{0}), "18446744073709551.615");
    const Table table{"", {time("d")}, {{TimeChangeCell{-1500}}, {TimeChangeCell{20}}}, ""};
    EXPECT_EQ(text_of(table), "\n  d [ns]\n  -1.500\n  +0.020\n");
}

TEST(Table, DumpsNamesOfAnyBytes)
{
    EXPECT_NO_THROW((void)dump(to_json({"", {text("name")}, {{std::string("\xFF\xFE")}}, ""})));
}

TEST(Inspect, ShowsARun)
{
    const TemporaryFolder folder;
    write(folder.path());
    const ResultReader reader(folder.path());
    const std::vector<Table> tables = overview(reader);
    ASSERT_EQ(tables.size(), 8U);
    std::string text;
    for (const Table& table : tables)
    {
        for (const auto& row : table.rows)
        {
            EXPECT_EQ(row.size(), table.columns.size()) << table.title;
        }
        text += text_of(table);
    }
    for (const char* expected : {"Where the span went, by cause", "vec contention", "conv1",
                                 "t0->t1", "t0.m0", "recorded operations"})
    {
        EXPECT_NE(text.find(expected), std::string::npos) << expected << "\n" << text;
    }
}

TEST(Inspect, OrdersUnitsAndLinksByLoadAndCutsThem)
{
    const Summary summary = test::summary_of_two_units(1000);
    const Table units = unit_table(summary, 1);
    ASSERT_EQ(units.rows.size(), 1U);
    EXPECT_EQ(units.title, "Busiest units");
    EXPECT_EQ(text_of(units).find("Busiest units (1 of 2)\n"), 0U);
    EXPECT_EQ(to_json(units)[0]["unit"], "t0.m0");
    EXPECT_EQ(to_json(units)[0]["busy_ps"], 500);
    EXPECT_EQ(to_json(units)[0]["busy_share"], 0.5);
    EXPECT_EQ(to_json(units)[0]["no_work"], 0.5);
    const Table links = link_table(summary, 2);
    EXPECT_EQ(to_json(links)[0]["link"], "t1->t0");
    EXPECT_EQ(to_json(links)[1]["stalled_ps"], 5);
}

TEST(Inspect, ShowsOnlyBuffersInUse)
{
    const nlohmann::ordered_json buffers = to_json(buffer_table(test::summary_of_two_units(1)));
    ASSERT_EQ(buffers.size(), 1U);
    EXPECT_EQ(buffers[0]["peak"], 1024);
}

TEST(Inspect, OfLayersThatNeverRanHasNoTimes)
{
    const nlohmann::ordered_json layers = to_json(layer_table(test::summary_of_two_units(1000)));
    ASSERT_EQ(layers.size(), 2U);
    EXPECT_EQ(layers[0]["utilization"], 0.25);
    EXPECT_EQ(layers[0]["start_ps"], 100);
    EXPECT_TRUE(layers[1]["start_ps"].is_null());
    EXPECT_TRUE(layers[1]["utilization"].is_null());
}

TEST(Inspect, SumsWhatDoesNotFitAsOther)
{
    const std::vector<PathPart> parts = {
        {"mvm", "a", 50, 1}, {"move", "b", 30, 2}, {"vec", "-", 20, 3}};
    const nlohmann::ordered_json rows = to_json(path_table("", parts, 1));
    ASSERT_EQ(rows.size(), 2U);
    EXPECT_EQ(rows[0]["time_ps"], 50);
    EXPECT_EQ(rows[0]["share"], 0.5);
    EXPECT_EQ(rows[1]["what"], "other");
    EXPECT_EQ(rows[1]["time_ps"], 50);
    EXPECT_EQ(rows[1]["count"], 5);
    EXPECT_EQ(to_json(path_table("", parts, 3)).size(), 3U);
    EXPECT_FALSE(to_json(path_table("", by_cause(parts), 9))[0].contains("layer"));
    EXPECT_FALSE(to_json(path_table("", by_layer(parts), 9))[0].contains("what"));
}

TEST(Inspect, ShowsChains)
{
    const TemporaryFolder folder;
    write(folder.path());
    const ResultReader reader(folder.path());
    const nlohmann::ordered_json chain = to_json(chain_table(reader, explain(reader, 1)));
    ASSERT_EQ(chain.size(), 2U);
    EXPECT_EQ(chain[0]["kind"], "vec");
    EXPECT_EQ(chain[0]["cause"], "input");
    EXPECT_EQ(chain[0]["because"], 0);
    EXPECT_EQ(chain[0]["layer"], nullptr);
    EXPECT_EQ(chain[1]["unit"], "t0.m0");
    EXPECT_EQ(chain[1]["because"], nullptr);
    EXPECT_EQ(chain_table(reader, explain(reader, 1, 2)).note, "");
    const Table cut = chain_table(reader, explain(reader, 1, 1));
    EXPECT_EQ(to_json(cut).size(), 1U);
    EXPECT_EQ(cut.note, "1 of 2, 1 left out");
}

/// Runs a command of the shell; its output, and whether it succeeded.
std::pair<std::string, bool> shell(const std::string& command)
{
    std::string output;
    FILE* pipe = popen((command + " 2>&1").c_str(), "r");
    if (pipe == nullptr)
    {
        return {"", false};
    }
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe))
    {
        output += static_cast<char>(c);
    }
    return {output, pclose(pipe) == 0};
}

TEST(OtherTools, OpenTheFile)
{
    if (!shell("command -v h5ls h5dump").second)
    {
        GTEST_SKIP() << "no HDF5 tools";
    }
    const TemporaryFolder folder;
    write(folder.path());
    const std::string file = (folder.path() / "activity.h5").string();
    const auto listing = shell("h5ls -v " + file + "/ops");
    EXPECT_TRUE(listing.second) << listing.first;
    EXPECT_NE(listing.first.find("because"), std::string::npos) << listing.first;
    EXPECT_NE(listing.first.find("{2/Inf}"), std::string::npos) << listing.first;
    const auto contents = shell("h5dump -d /ops " + file);
    EXPECT_TRUE(contents.second) << contents.first;
    EXPECT_NE(contents.first.find("vec,"), std::string::npos) << contents.first;
}

TEST(OtherTools, ReadTheFileInPython)
{
    const std::string python = "/usr/bin/python3";
    if (!shell(python + " -c 'import h5py'").second)
    {
        GTEST_SKIP() << "no h5py";
    }
    const TemporaryFolder folder;
    write(folder.path());
    test::put_content(folder.path() / "read.py", R"(
import h5py, sys
f = h5py.File(sys.argv[1], 'r')
assert f.attrs['format'] == b'tessera-activity' or f.attrs['format'] == 'tessera-activity'
assert f.attrs['format_version'] == 2 and f.attrs['closed'] == 1
assert f.attrs['makespan_ps'] == 1000 and f.attrs['utilization'] == 0.625
ops = f['ops']
assert ops['id'].tolist() == [0, 1] and ops['end'].tolist() == [400, 1000]
kinds = h5py.check_enum_dtype(ops.dtype['kind'])
causes = h5py.check_enum_dtype(ops.dtype['cause'])
assert kinds['vec'] == ops['kind'][1] and causes['input'] == ops['cause'][1]
assert h5py.check_enum_dtype(f['stalls'].dtype['stage'])['wait_space'] == 22
assert ops.attrs['start.unit'] in ('ps', b'ps')
assert f['meta/config'][()] == b'{"name":"test"}'
assert [n.decode() for n in f['units']['name']] == ['t0.m0', 't0.vec']
assert f['units']['time_convert'].tolist() == [500, 0]
assert f['noc/links']['busy'].tolist() == [1000, 2000]
assert f['layers']['moved_bytes'].tolist() == [64, 0]
assert set(f) == {'meta', 'units', 'ops', 'deps', 'intervals', 'stalls', 'cycles', 'images', 'noc', 'buffers', 'layers'}
)");
    const auto result = shell(python + " " + (folder.path() / "read.py").string() + " " +
                              (folder.path() / "activity.h5").string());
    EXPECT_TRUE(result.second) << result.first;
}

} // namespace
} // namespace tessera::record
