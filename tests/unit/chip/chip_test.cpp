// SPDX-License-Identifier: Apache-2.0
#include "unit/chip_fixture.h"

#include "chip/deadlock.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace tessera::chip
{
namespace
{

using ::testing::HasSubstr;
using testing::Outcome;
using testing::simulate;
using testing::TraceBuilder;

/// Whole-timed macros, free ports, free memory, one bus of 1 byte a cycle: every time is plain to
/// see.
config::ChipConfig plain_chip()
{
    config::ChipConfig chip = testing::small_chip();
    chip.macro.timed_as_whole = true;
    chip.macro.t_mvm = Duration::of_cycles(10);
    chip.buffer.ports = config::kUnlimited;
    chip.buffer.capacity = 100;
    chip.noc.kind = "bus";
    chip.noc.bytes_per_cycle = 1;
    chip.noc.reserve = Duration{};
    chip.memory.channels = config::kUnlimited;
    return chip;
}

constexpr Tick kCycle = 1000;

void set(trace::Operation& op, std::uint64_t bytes, std::uint32_t uses, std::vector<OpId> in = {})
{
    op.bytes = bytes;
    op.uses = uses;
    op.in = std::move(in);
}

void expect(const OpRecord& record, Tick start, Tick end, Cause cause, std::uint64_t because)
{
    EXPECT_EQ(record.start, start * kCycle) << "operation " << record.id;
    EXPECT_EQ(record.end, end * kCycle) << "operation " << record.id;
    EXPECT_EQ(static_cast<int>(record.cause), static_cast<int>(cause)) << "operation " << record.id;
    EXPECT_EQ(record.because, because) << "operation " << record.id;
}

constexpr std::uint64_t kNobody = ~std::uint64_t{0};

TEST(Chip, OperationsOfAUnitFollowEachOther)
{
    const auto chip = plain_chip();
    TraceBuilder trace(chip);
    set(trace.mvm(0, 0, 2), 10, 0);
    set(trace.mvm(0, 0, 1), 10, 0);
    const Outcome outcome = simulate(chip, trace.build());
    expect(outcome[0], 0, 20, Cause::none, kNobody);
    expect(outcome[1], 20, 30, Cause::unit, 0);
    EXPECT_EQ(outcome.summary.span, 30 * kCycle);
}

TEST(Chip, ReleaseIsSeenAtTheNextEdge)
{
    const auto chip = plain_chip();
    TraceBuilder trace(chip);
    trace.mvm(0, 0, 1).release = 5 * kCycle;
    trace.mvm(0, 1, 1).release = 5 * kCycle + 1;
    trace.mvm(1, 0, 1).release = 5 * kCycle - 1;
    const Outcome outcome = simulate(chip, trace.build());
    expect(outcome[0], 5, 15, Cause::release, kNobody);
    expect(outcome[1], 6, 16, Cause::release, kNobody);
    expect(outcome[2], 5, 15, Cause::release, kNobody);
}

TEST(Chip, RoomForExactlyTheResult)
{
    auto chip = plain_chip();
    const auto build = [&]
    {
        TraceBuilder trace(chip);
        set(trace.mvm(0, 0, 1), 60, 1);        // 0: 60 bytes until 2 has read them
        set(trace.mvm(0, 1, 1), 41, 0);        // 1: asks at 0 as well
        set(trace.vec(0, 0), 0, 0, {OpId(0)}); // 2
        return trace.build();
    };
    chip.vector.startup = Duration::of_cycles(4);
    const Outcome tight = simulate(chip, build());
    expect(tight[1], 14, 24, Cause::space, 2);
    chip.buffer.capacity = 101;
    const Outcome roomy = simulate(chip, build());
    expect(roomy[1], 0, 10, Cause::none, kNobody);
}

TEST(Chip, SmallRequestsDoNotOvertake)
{
    const auto chip = plain_chip();
    TraceBuilder trace(chip);
    set(trace.mvm(0, 0, 1), 60, 1);
    set(trace.mvm(0, 1, 1), 50, 0); // does not fit beside 0
    set(trace.vec(0, 0), 10, 0);    // would fit, but stands behind 1
    set(trace.vec(0, 0), 0, 0, {OpId(0)});
    EXPECT_THROW(static_cast<void>(simulate(chip, trace.build())), DeadlockError);
}

TEST(Chip, IntoTakesTheOperandsSpaceOver)
{
    auto chip = plain_chip();
    chip.vector.startup = Duration::of_cycles(4);
    TraceBuilder trace(chip);
    set(trace.mvm(0, 0, 1), 80, 1);
    auto& vec = trace.vec(0, 0);
    set(vec, 50, 1, {OpId(0)});
    vec.into = 0;
    set(trace.move(0, {{NodeId(1), 0}}), 50, 0, {OpId(1)});
    const Outcome outcome = simulate(chip, trace.build());
    expect(outcome[1], 10, 14, Cause::input, 0);
    expect(outcome[2], 14, 64, Cause::input, 1);
    EXPECT_EQ(outcome.summary.buffers[0].peak, 80U);
}

TEST(Chip, TheBusServesOneTransferAtATime)
{
    const auto chip = plain_chip();
    TraceBuilder trace(chip);
    set(trace.mvm(0, 0, 1), 20, 1);
    set(trace.mvm(1, 0, 1), 30, 1);
    set(trace.move(0, {{NodeId(2), 1}, {NodeId(3), 1}}), 20, 0, {OpId(0)});
    set(trace.move(1, {{NodeId(2), 1}}), 30, 0, {OpId(1)});
    set(trace.vec(3, 0), 0, 0, {OpId(2)});
    const Outcome outcome = simulate(chip, trace.build());
    expect(outcome[2], 10, 30, Cause::input, 0);
    expect(outcome[3], 10, 60, Cause::input, 1);
    EXPECT_EQ(outcome[3].wait, 20 * kCycle);
    EXPECT_EQ(outcome[2].wait, 0U);
    EXPECT_EQ(outcome[4].start, 30 * kCycle);
}

TEST(Chip, UnitTimesSumToTheMakespan)
{
    const auto chip = plain_chip();
    TraceBuilder trace(chip);
    set(trace.mvm(0, 0, 2), 20, 1);
    set(trace.move(0, {{NodeId(2), 1}}), 20, 0, {OpId(0)});
    auto& late = trace.vec(2, 100);
    set(late, 0, 0, {OpId(1)});
    late.release = 77 * kCycle + 1;
    const Outcome outcome = simulate(chip, trace.build());
    for (const UnitSummary& unit : outcome.summary.units)
    {
        Tick sum = 0;
        for (const Tick time : unit.time)
        {
            sum += time;
        }
        EXPECT_EQ(sum, outcome.summary.span) << unit.name;
    }
}

TEST(Chip, DeadlockNamesTheCycle)
{
    const auto chip = plain_chip();
    TraceBuilder trace(chip);
    // Tile 0 and tile 1 are full of what the other has no room for.
    set(trace.mvm(0, 0, 1), 60, 1);
    set(trace.mvm(1, 0, 1), 60, 1);
    set(trace.move(0, {{NodeId(1), 0}}), 60, 0, {OpId(0)});
    set(trace.move(1, {{NodeId(0), 0}}), 60, 0, {OpId(1)});
    try
    {
        static_cast<void>(simulate(chip, trace.build()));
        FAIL() << "no deadlock";
    }
    catch (const DeadlockError& error)
    {
        EXPECT_EQ(error.code(), ExitCode::simulation);
        EXPECT_THAT(error.what(),
                    HasSubstr("t0.ni: operation 2 needs space in t1, where the datum of "
                              "operation 1 waits to be used by operation 3"));
        ASSERT_EQ(error.report()["cycle"].size(), 2U);
        EXPECT_EQ(error.report()["time_ps"], 10 * kCycle);
    }
}

TEST(Chip, MisreadOperandsAreErrorsNotDeadlocks)
{
    const auto chip = plain_chip();
    TraceBuilder elsewhere(chip);
    set(elsewhere.mvm(0, 0, 1), 10, 1);
    set(elsewhere.vec(0, 0), 0, 0, {OpId(0)});
    set(elsewhere.mvm(1, 0, 1), 0, 0);
    auto& stray = elsewhere.vec(1, 0);
    set(stray, 0, 0, {OpId(0)});
    stray.release = 50 * kCycle;
    stray.after = {OpId(1)};
    // Operation 0 put nothing into tile 1.
    EXPECT_THROW(static_cast<void>(simulate(chip, elsewhere.build())), Error);

    TraceBuilder greedy(chip);
    set(greedy.mvm(0, 0, 1), 10, 1);
    set(greedy.vec(0, 0), 0, 0, {OpId(0)});
    set(greedy.vec(0, 0), 0, 0, {OpId(0)});
    EXPECT_THROW(static_cast<void>(simulate(chip, greedy.build())), InputError);
}

TEST(Chip, AnOperandUsedUpByOthersIsAnError)
{
    const auto chip = plain_chip();
    TraceBuilder trace(chip);
    set(trace.mvm(0, 0, 1), 10, 1);
    set(trace.vec(0, 0), 0, 0, {OpId(0)});
    // Looks its operand up while it is there, and wants to read it when it is gone.
    auto& late = trace.mvm(0, 1, 1);
    set(late, 0, 0, {OpId(0)});
    late.release = 500 * kCycle;
    EXPECT_THROW(static_cast<void>(simulate(chip, trace.build())), InputError);
}

TEST(Chip, TimesBeyondTheEndOfTimeAreRefused)
{
    auto chip = plain_chip();
    chip.macro.t_mvm = Duration::of_ticks(1'000'000'000'000);
    TraceBuilder vectors(chip);
    vectors.mvm(0, 0, ~std::uint32_t{0});
    EXPECT_THROW(static_cast<void>(simulate(chip, vectors.build())), InputError);
    TraceBuilder release(chip);
    release.mvm(0, 0, 1).release = Tick{1} << 62U;
    EXPECT_THROW(static_cast<void>(simulate(chip, release.build())), InputError);
}

TEST(Chip, ALongWriteDoesNotHideTheTimeOfItsOperation)
{
    auto chip = testing::small_chip();
    chip.buffer.ports = 2;
    chip.buffer.bytes_per_cycle = 1;
    TraceBuilder trace(chip);
    set(trace.mvm(0, 0, 1), 40'000, 0);
    set(trace.mvm(0, 0, 1), 10, 0); // starts when the macro takes the next vector, and ends first
    const Outcome outcome = simulate(chip, trace.build());
    EXPECT_EQ(outcome[0].end, (5154 + 40'000) * kCycle);
    EXPECT_EQ(outcome[1].end, (5120 + 5154 + 10) * kCycle);
    const UnitSummary& macro = outcome.summary.units[0];
    EXPECT_EQ(macro.time[static_cast<unsigned>(Stage::write)], 40'000 * kCycle);
    EXPECT_EQ(macro.time[static_cast<unsigned>(Stage::wait_input)], 0U);
    Tick sum = 0;
    for (const Tick time : macro.time)
    {
        sum += time;
    }
    EXPECT_EQ(sum, outcome.summary.span);
}

TEST(Chip, AResultLargerThanTheBufferIsRefused)
{
    const auto chip = plain_chip();
    TraceBuilder trace(chip);
    set(trace.mvm(0, 0, 1), 101, 0);
    EXPECT_THROW(static_cast<void>(simulate(chip, trace.build())), InputError);
}

std::shared_ptr<const trace::Trace> busy_trace(const config::ChipConfig& chip)
{
    TraceBuilder trace(chip);
    for (std::uint32_t round = 0; round < 40; ++round)
    {
        const std::uint32_t tile = round % 4;
        auto& mvm = trace.mvm(tile, round % 2, 1 + round % 3);
        set(mvm, 20, 2);
        const OpId made = mvm.id;
        const std::uint32_t there = (tile + 1) % 4;
        auto& move = trace.move(tile, {{NodeId(there), 1}, {NodeId((tile + 2) % 4), 1}});
        set(move, 20, 0, {made});
        const OpId moved = move.id;
        set(trace.vec(tile, 5), 0, 0, {made});
        set(trace.vec(there, 5), 0, 0, {moved});
        set(trace.vec((tile + 2) % 4, 5), 0, 0, {moved});
    }
    return trace.build();
}

bool same(const std::vector<OpRecord>& a, const std::vector<OpRecord>& b)
{
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                              [](const OpRecord& x, const OpRecord& y)
                                              { return std::memcmp(&x, &y, sizeof x) == 0; });
}

TEST(Chip, ResultsDoNotDependOnTheOrderOfConstructionOrWaking)
{
    for (const char* const kind : {"bus", "mesh", "ideal"})
    {
        auto chip = plain_chip();
        chip.noc.kind = kind;
        const auto trace = busy_trace(chip);
        const Outcome reference = simulate(chip, trace);
        for (std::uint64_t shuffle = 1; shuffle <= 20; ++shuffle)
        {
            EXPECT_TRUE(same(reference.records, simulate(chip, trace, shuffle).records))
                << kind << " " << shuffle;
        }
    }
}

TEST(Chip, TwoSimulationsAtOnceInTwoThreads)
{
    const auto chip = plain_chip();
    const auto trace = busy_trace(chip);
    const Outcome reference = simulate(chip, trace);
    Outcome outcomes[2];
    std::thread first([&] { outcomes[0] = simulate(chip, trace); });
    std::thread second([&] { outcomes[1] = simulate(chip, trace, 3); });
    first.join();
    second.join();
    EXPECT_TRUE(same(reference.records, outcomes[0].records));
    EXPECT_TRUE(same(reference.records, outcomes[1].records));
}

TEST(Chip, TracesOfOtherChipsAreRefused)
{
    auto chip = plain_chip();
    TraceBuilder trace(chip);
    set(trace.mvm(3, 1, 1), 10, 0);
    const auto built = trace.build();
    chip.tiles.macros = 1;
    EXPECT_THROW(static_cast<void>(simulate(chip, built)), InputError);
    chip.tiles.macros = 2;
    chip.tiles.rows = 3;
    EXPECT_THROW(static_cast<void>(simulate(chip, built)), InputError);
}

} // namespace
} // namespace tessera::chip
