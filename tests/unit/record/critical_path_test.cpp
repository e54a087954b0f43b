// SPDX-License-Identifier: Apache-2.0
#include "record/critical_path.h"

#include "record_fixture.h"
#include "tessera/error.h"
#include "unit/effort.h"

#include <gtest/gtest.h>
#include <map>
#include <random>

namespace tessera::record
{
namespace
{

using test::operation;
using test::TemporaryFolder;
using trace::OpKind;

struct Result
{
    TemporaryFolder folder;
    explicit Result(const std::vector<OpRecord>& operations, Outcome outcome = Outcome::complete)
    {
        ActivitySink sink;
        ActivityWriter writer(folder.path(), test::meta_of_two_units(ActivityLevel::unit));
        writer.connect(sink);
        Tick makespan = 0;
        for (const OpRecord& record : operations)
        {
            sink.operations.append(record);
            makespan = std::max(makespan, record.end);
        }
        writer.finish(test::summary_of_two_units(makespan), outcome);
    }
    [[nodiscard]] ResultReader reader() const { return ResultReader(folder.path()); }
};

std::map<std::string, Tick> by_name(const std::vector<PathPart>& parts)
{
    std::map<std::string, Tick> times;
    for (const PathPart& part : parts)
    {
        times[part.layer.empty() ? part.what : part.what + "@" + part.layer] += part.time;
    }
    return times;
}

Tick sum(const std::vector<PathPart>& parts)
{
    Tick total = 0;
    for (const PathPart& part : parts)
    {
        total += part.time;
    }
    return total;
}

using Times = std::map<std::string, Tick>;

TEST(CriticalPath, OfNothingIsEmpty)
{
    const Result result({});
    const CriticalPath path = critical_path(result.reader());
    EXPECT_EQ(path.span, 0U);
    EXPECT_TRUE(path.parts.empty());
}

TEST(CriticalPath, OfOneOperationIsItself)
{
    const Result result({operation(0, 0, 100, Cause::none, ~std::uint64_t{0}, 30)});
    const CriticalPath path = critical_path(result.reader());
    EXPECT_EQ(path.span, 100U);
    EXPECT_EQ(path.operations, 1U);
    EXPECT_EQ(by_name(path.parts), (Times{{"mvm@conv1", 70}, {"mvm contention@conv1", 30}}));
}

TEST(CriticalPath, NamesGapsAndBeginnings)
{
    // 3 waited for the release of 2 and then for an edge; 1 overlaps 2, 0 is not on the path.
    const Result result({operation(0, 0, 400), operation(1, 50, 250, Cause::release),
                         operation(2, 100, 300, Cause::unit, 1, 20, OpKind::move, 1),
                         operation(3, 310, 500, Cause::space, 2, 0, OpKind::vec, ~0U)});
    const CriticalPath path = critical_path(result.reader());
    EXPECT_EQ(path.span, 500U);
    EXPECT_EQ(path.operations, 3U);
    EXPECT_EQ(by_name(path.parts), (Times{{"release@conv1", 50},
                                          {"mvm@conv1", 50},
                                          {"move@fc", 180},
                                          {"move contention@fc", 20},
                                          {"alignment@-", 10},
                                          {"vec@-", 190}}));
    EXPECT_EQ(by_name(by_cause(path.parts)), (Times{{"release", 50},
                                                    {"mvm", 50},
                                                    {"move", 180},
                                                    {"move contention", 20},
                                                    {"alignment", 10},
                                                    {"vec", 190}}));
    EXPECT_EQ(by_name(by_layer(path.parts)), (Times{{"@conv1", 100}, {"@fc", 200}, {"@-", 200}}));
    EXPECT_EQ(path.parts.front().what, "vec");
}

TEST(CriticalPath, ClipsContentionToTheSegment)
{
    // Of operation 0 only [0, 10] lies on the path: its successor could start before its end.
    const Result result({operation(1, 10, 90, Cause::input, 0),
                         operation(0, 0, 60, Cause::none, ~std::uint64_t{0}, 25)});
    EXPECT_EQ(by_name(critical_path(result.reader()).parts),
              (Times{{"mvm contention@conv1", 10}, {"mvm@conv1", 80}}));
}

TEST(CriticalPath, TakesTheLowestIdOfThoseThatEndLast)
{
    const Result result({operation(9, 40, 100, Cause::none), operation(4, 30, 100, Cause::none),
                         operation(5, 20, 100, Cause::none)});
    EXPECT_EQ(by_name(critical_path(result.reader()).parts),
              (Times{{"start@conv1", 30}, {"mvm@conv1", 70}}));
}

TEST(CriticalPath, FindsIdsThatLieFarApart)
{
    const std::uint64_t far = std::uint64_t{1} << 60U;
    const Result result({operation(far, 10, 20, Cause::after, 3), operation(3, 0, 10),
                         operation(far + 5, 20, 35, Cause::input, far)});
    const CriticalPath path = critical_path(result.reader());
    EXPECT_EQ(path.operations, 3U);
    EXPECT_EQ(sum(path.parts), 35U);
    EXPECT_EQ(explain(result.reader(), far).records.size(), 2U);
}

TEST(CriticalPath, SumsToTheMakespanForAnyChain)
{
    for (std::uint64_t seed = 0; seed < tessera::test::effort(30U); ++seed)
    {
        std::mt19937_64 random(seed);
        std::vector<OpRecord> operations;
        for (std::uint64_t id = 0; id < 2000; ++id)
        {
            OpRecord record;
            const auto kind = static_cast<OpKind>(random() % trace::kOpKinds);
            const auto layer = random() % 3 == 2 ? ~0U : static_cast<std::uint32_t>(random() % 2);
            const Tick length = random() % 100;
            const Tick wait = random() % (length + 1);
            if (id == 0 || random() % 50 == 0)
            {
                const Tick start = random() % 1000;
                record = operation(id, start, start + length,
                                   random() % 2 == 0 ? Cause::none : Cause::release,
                                   ~std::uint64_t{0}, wait, kind, layer);
            }
            else
            {
                const OpRecord& because =
                    operations[id - 1 - random() % std::min<std::size_t>(id, 5)];
                const Tick start = because.start + random() % 150;
                record = operation(id, start, start + length, static_cast<Cause>(1 + random() % 4),
                                   because.id, wait, kind, layer);
            }
            operations.push_back(record);
        }
        std::shuffle(operations.begin(), operations.end(), random);
        const Result result(operations);
        const CriticalPath path = critical_path(result.reader());
        EXPECT_EQ(sum(path.parts), path.span);
        EXPECT_EQ(sum(by_cause(path.parts)), path.span);
        EXPECT_EQ(sum(by_layer(path.parts)), path.span);
        std::uint64_t last = 0;
        Tick end = 0;
        for (const OpRecord& record : operations)
        {
            if (record.end > end || (record.end == end && record.id < last))
            {
                last = record.id;
                end = record.end;
            }
        }
        EXPECT_EQ(explain(result.reader(), last).records.size(), path.operations);
    }
}

TEST(CriticalPath, RefusesOperationsThatContradictEachOther)
{
    const auto reject = [](const std::vector<OpRecord>& operations, const std::string& reason)
    {
        const Result result(operations);
        try
        {
            (void)critical_path(result.reader());
            FAIL() << "accepted: " << reason;
        }
        catch (const InputError& error)
        {
            EXPECT_NE(std::string(error.what()).find(reason), std::string::npos) << error.what();
        }
    };
    reject({operation(0, 0, 10, Cause::input, 1), operation(1, 0, 10, Cause::input, 0)},
           "each other's cause");
    reject({operation(0, 0, 10, Cause::input, 0)}, "each other's cause");
    reject({operation(0, 50, 100), operation(1, 0, 200, Cause::input, 0)}, "starts after");
    reject({operation(0, 0, 10), operation(0, 0, 20)}, "twice");
    reject({operation(~std::uint64_t{0} - 7, 0, 10), operation(~std::uint64_t{0} - 7, 0, 20)},
           "twice");
    reject({operation(0, 0, 10, Cause::input, 77)}, "not there");
    reject({operation(0, 0, 10, Cause::input)}, "predecessor");
    reject({operation(0, 0, 10), operation(1, 10, 20, Cause::none, 0)}, "predecessor");
}

TEST(CriticalPath, OfAnIncompleteRunSaysWhatIsMissing)
{
    const Result result({operation(5, 40, 100, Cause::input, 4)}, Outcome::interrupted);
    EXPECT_EQ(by_name(by_cause(critical_path(result.reader()).parts)),
              (Times{{"mvm", 60}, {"not recorded", 40}}));
}

TEST(CriticalPath, MustEndWithTheMakespan)
{
    const TemporaryFolder folder;
    {
        ActivitySink sink;
        ActivityWriter writer(folder.path(), test::meta_of_two_units(ActivityLevel::unit));
        writer.connect(sink);
        sink.operations.append(operation(0, 0, 99));
        writer.finish(test::summary_of_two_units(100));
    }
    EXPECT_THROW((void)critical_path(ResultReader(folder.path())), InputError);
}

TEST(Explain, FollowsTheCauses)
{
    const Result result({operation(0, 0, 10), operation(1, 10, 20, Cause::input, 0),
                         operation(2, 20, 40, Cause::unit, 1)});
    const std::vector<OpRecord> chain = explain(result.reader(), 2).records;
    ASSERT_EQ(chain.size(), 3U);
    EXPECT_EQ(chain[0].id, 2U);
    EXPECT_EQ(chain[1].id, 1U);
    EXPECT_EQ(chain[2].id, 0U);
    EXPECT_EQ(explain(result.reader(), 2, 2).records.size(), 2U);
    EXPECT_EQ(explain(result.reader(), 2, 2).length, chain.size());
    EXPECT_EQ(explain(result.reader(), 2, 0).records.size(), 1U);
    EXPECT_EQ(explain(result.reader(), 0).records.size(), 1U);
    EXPECT_THROW((void)explain(result.reader(), 3), UsageError);
    EXPECT_THROW((void)explain(result.reader(), ~std::uint64_t{0}), UsageError);
}

TEST(Compare, PartitionsTheDifference)
{
    const Result slow(
        {operation(0, 0, 100), operation(1, 100, 300, Cause::input, 0, 80, OpKind::move)});
    const Result fast({operation(0, 0, 120),
                       operation(1, 120, 150, Cause::input, 0, 0, OpKind::move),
                       operation(2, 150, 160, Cause::input, 1, 0, OpKind::vec)});
    const CriticalPath before = critical_path(slow.reader());
    const CriticalPath after = critical_path(fast.reader());
    const std::vector<PathChange> changes = compare(before, after);
    ASSERT_EQ(changes.size(), 4U);
    std::int64_t total = 0;
    for (const PathChange& change : changes)
    {
        total += change.difference();
    }
    EXPECT_EQ(total, -140);
    EXPECT_EQ(changes[0].what, "move");
    EXPECT_EQ(changes[0].difference(), -90);
    EXPECT_EQ(changes[1].what, "move contention");
    EXPECT_EQ(changes[1].difference(), -80);
    EXPECT_EQ(changes[2].difference(), 20);
    EXPECT_EQ(changes[3].difference(), 10);
}

} // namespace
} // namespace tessera::record
