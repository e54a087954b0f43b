// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"
#include "cli/manual.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <unistd.h>

namespace tessera::cli
{
namespace
{

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::vector<std::string> words(const Candidates& candidates)
{
    std::vector<std::string> result;
    std::transform(candidates.words.begin(), candidates.words.end(), std::back_inserter(result),
                   [](const Candidate& candidate) { return candidate.word; });
    return result;
}

TEST(Commands, EachHasATableThatNamesIt)
{
    for (const Command& command : commands())
    {
        SCOPED_TRACE(command.name);
        ASSERT_NE(command.options, nullptr);
        const Options options = command.options();
        EXPECT_EQ(options.usage().substr(0, options.usage().find(' ')), command.name);
        EXPECT_THAT(options.description(), Not(IsEmpty()));
    }
}

TEST(Commands, OffersBelongToOptionsOrArguments)
{
    // An offer for a misspelt name would never be seen.
    for (const Command& command : commands())
    {
        const Options options = command.options();
        for (const std::string& name : options.offered_names())
        {
            bool known = options.table().find_nothrow(name, false) != nullptr;
            for (unsigned i = 0; i < 4; ++i)
            {
                known = known || options.positional_at(i) == name;
            }
            EXPECT_TRUE(known) << command.name << ": " << name;
        }
    }
}

TEST(Manual, TextIsNeverARequest)
{
    const Command command = {"odd", ".TH 'quoted' \\fB", nullptr,
                             []
                             {
                                 Options options("odd [X]",
                                                 ".SH not a heading\n'nor this\n\\fBold");
                                 options.all().add_options()("top,t", ".PP -1 `x`");
                                 return options;
                             }};
    const std::string page = command_manual(command);
    EXPECT_THAT(page, HasSubstr("\n\\&.SH not a heading\n\\&\\(aqnor this\n\\efBold\n"));
    EXPECT_THAT(page, HasSubstr(".B \\-t, \\-\\-top\n\\&.PP \\-1 \\(gax\\(ga\n"));
    EXPECT_THAT(page, HasSubstr("tessera\\-odd \\- \\&.TH \\(aqquoted\\(aq \\efB\n"));
}

TEST(Manual, ListsCommandsAndDefaults)
{
    const std::string page = program_manual();
    for (const Command& command : commands())
    {
        EXPECT_THAT(page, HasSubstr(std::string("\n.B ") + command.name + "\n"));
        EXPECT_THAT(page, HasSubstr(std::string(".BR tessera\\-") + command.name + " (1)"));
    }
    EXPECT_THAT(command_manual(find_command("run")), HasSubstr("(default: unit)"));
}

TEST(Help, OfACommandIsItsOwn)
{
    const auto call = [](const Arguments& arguments)
    {
        std::ostringstream out;
        std::ostringstream err;
        EXPECT_EQ(run(arguments, {out, err}), 0) << err.str();
        return out.str();
    };
    EXPECT_EQ(call({"help"}), call({"--help"}));
    EXPECT_EQ(call({"help", "run"}), call({"run", "--help"}));
    EXPECT_EQ(call({"help", "run", "--man"}), command_manual(find_command("run")));
}

TEST(Help, PagesThatCannotBeWrittenAreAnError)
{
    std::ostringstream out;
    std::ostringstream err;
    EXPECT_EQ(run({"help", "--pages", "/dev/null/pages"}, {out, err}), 5);
    EXPECT_THAT(err.str(), HasSubstr("/dev/null/pages"));
    EXPECT_EQ(run({"help", "nonsense"}, {out, err}), 2);
}

TEST(Complete, KnowsWhereTheWordStands)
{
    EXPECT_THAT(words(complete({"run", "--level", ""})), ElementsAre("off", "unit", "stage"));
    EXPECT_THAT(words(complete({"run", "--level=u"})), ElementsAre("--level=unit"));
    EXPECT_THAT(words(complete({"run", "--level=off", "--kernel", "s"})), ElementsAre("systemc"));
    EXPECT_THAT(words(complete({"run", "--force", "--kernel=native", "--leve"})),
                ElementsAre("--level"));
    // A short option with its value, in one word or two.
    EXPECT_THAT(words(complete({"run", "-ofolder", "--kernel", "n"})), ElementsAre("native"));
    EXPECT_TRUE(complete({"run", "-o", ""}).files);
    EXPECT_THAT(words(complete({"run", "-o", "--level"})), IsEmpty()) << "it is a folder's name";
    // After "--" nothing is an option.
    EXPECT_THAT(words(complete({"trace", "--", "che"})), ElementsAre("check"));
    EXPECT_THAT(words(complete({"trace", "--", "--"})), IsEmpty());
    // The last argument of a trace may repeat.
    EXPECT_TRUE(complete({"trace", "convert", "a", "b"}).files);
    EXPECT_FALSE(complete({"config", "check", "a", "b"}).files);
}

TEST(Complete, AmbiguousBeginningsAreNotGuessed)
{
    // --s could be --set, --seed, --schedule, --shuffle: its value is not known.
    EXPECT_THAT(words(complete({"run", "--s", ""})), Not(::testing::Contains("noc.vcs=")));
    EXPECT_THAT(words(complete({"run", "--sch", ""})), ElementsAre("layer-by-layer", "xinf"));
}

} // namespace
} // namespace tessera::cli
