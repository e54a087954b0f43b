// SPDX-License-Identifier: Apache-2.0
#include "record/window_table.h"

#include "record_fixture.h"
#include "tessera/error.h"

#include <fstream>
#include <gtest/gtest.h>

namespace tessera::record
{
namespace
{

using test::TemporaryFolder;

const std::string kFirst =
    R"({"window":0,"windows":1,"begin":0,"end":1000,"operations":3,"mvm_vectors":7,"events":9,)"
    R"("utilization":0.25,"units":{},"layers":[{"layer":0,"name":"a","macro_time":5},)"
    R"({"layer":1,"name":"b","macro_time":6}],"links":[{"name":"r0->r1","flits":2,)"
    R"("busy":500,"stalled":0}],"buffers":[{"name":"t0","bytes":25,"mean":12.5,"waits":0}]})";
const std::string kSecond =
    R"({"window":1,"windows":1,"begin":1000,"end":1500,"operations":0,"mvm_vectors":0,"events":0,)"
    R"("utilization":0,"units":{},"layers":[],"links":[],"buffers":[]})";

class WindowTable : public ::testing::Test
{
protected:
    std::string write(const std::string& text)
    {
        std::ofstream(file()) << text;
        return folder_.path().string();
    }
    [[nodiscard]] std::string file() const { return (folder_.path() / "windows.jsonl").string(); }
    /// The message for a file of this text.
    std::string message(const std::string& text)
    {
        try
        {
            (void)window_table(write(text));
        }
        catch (const InputError& error)
        {
            return error.what();
        }
        return "accepted";
    }

private:
    TemporaryFolder folder_;
};

TEST_F(WindowTable, HasARowForEachWindow)
{
    const Table table = window_table(write(kFirst + "\n" + kSecond + "\n"));
    EXPECT_EQ(
        to_json(table).dump(),
        R"([{"begin_ps":0,"end_ps":1000,"windows":1,"operations":3,"mvm_vectors":7,"events":9,"utilization":0.25,"busiest layer":"b",)"
        R"("busiest link":"r0->r1","link_busy":0.5,"fullest buffer":"t0","buffer_mean_B":12.5},)"
        R"({"begin_ps":1000,"end_ps":1500,"windows":1,"operations":0,"mvm_vectors":0,"events":0,"utilization":0.0,"busiest layer":null,)"
        R"("busiest link":null,"link_busy":null,"fullest buffer":"t0","buffer_mean_B":25.0}])");
    EXPECT_EQ(table.note, "2 of them");
}

TEST_F(WindowTable, TakesTheFileItself)
{
    write(kFirst + "\n");
    EXPECT_EQ(window_table(file()).rows.size(), 1U);
}

TEST_F(WindowTable, LeavesOutALineThatIsStillBeingWritten)
{
    for (const std::size_t cut : {std::size_t{1}, kSecond.size() / 2, kSecond.size()})
    {
        const Table table = window_table(write(kFirst + "\n" + kSecond.substr(0, cut)));
        EXPECT_EQ(table.rows.size(), 1U);
        EXPECT_EQ(table.note, "1 of them; the last one is not complete");
    }
}

TEST_F(WindowTable, NamesFileAndLineOfWhatIsMalformed)
{
    const auto with = [](const std::string& what, const std::string& instead)
    {
        std::string text = kSecond;
        return text.replace(text.find(what), what.size(), instead);
    };
    const std::vector<std::pair<std::string, std::string>> cases = {
        {"nonsense", "windows.jsonl:2: "},
        {"[]", "windows.jsonl:2: must be an object, not a list"},
        {with("\"end\":1500,", ""), "windows.jsonl:2: has no \"end\""},
        {with("1500", "-1"), "windows.jsonl:2: /end: must be a whole number from 0"},
        {with("\"windows\":1", "\"windows\":0"), "windows.jsonl:2: /windows: must be a number"},
        {with("\"windows\":1", "\"windows\":3"), "windows.jsonl:2: /windows: must be a number"},
        {with("\"windows\":1,", ""), "windows.jsonl:2: has no \"windows\""},
        {with("1500", "999"), "windows.jsonl:2: must begin where the window before it ended"},
        {with("1000", "1001"), "windows.jsonl:2: must begin where the window before it ended"},
        {with("\"layers\":[]", "\"layers\":{}"), "windows.jsonl:2: /layers: must be a list"},
        {with("\"links\":[]", "\"links\":[{}]"), "windows.jsonl:2: /links/0: has no \"name\""},
        {with("\"links\":[]", "\"links\":[{\"name\":1}]"), "/links/0/name: must be text"},
        {with("\"buffers\":[]", "\"buffers\":[{\"name\":\"t0\",\"mean\":-1}]"),
         "/buffers/0/mean: must be a number from 0"},
    };
    for (const auto& [line, expected] : cases)
    {
        const std::string said = message(kFirst + "\n" + line + "\n");
        EXPECT_NE(said.find(expected), std::string::npos) << said << "\nfor " << line;
        EXPECT_NE(said.find("; "), std::string::npos) << "no remedy: " << said;
    }
}

TEST_F(WindowTable, SaysWhichRunsHaveWindows)
{
    const TemporaryFolder empty;
    EXPECT_THROW((void)window_table(empty.path().string()), InputError);
}

TEST_F(WindowTable, WindowsThatShareALineAreOneRow)
{
    std::string shared = kSecond;
    shared.replace(shared.find("\"windows\":1"), 11, "\"windows\":5");
    const Table table = window_table(write(kFirst + "\n" + shared + "\n"));
    EXPECT_EQ(table.rows.size(), 2U);
    EXPECT_EQ(table.note, "6 of them");
}

} // namespace
} // namespace tessera::record
