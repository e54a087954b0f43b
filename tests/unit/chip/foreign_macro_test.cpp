// SPDX-License-Identifier: Apache-2.0
#include "unit/chip_fixture.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <map>

namespace tessera::chip
{
namespace
{

/// One foreign macro, whose requests a function answers; its times are looked at all the time.
class ForeignRun
{
public:
    using Answer = std::function<void(Chip& chip, const ExternalRequest& request)>;

    ForeignRun(std::shared_ptr<const trace::Trace> trace, const Answer& answer) : keeper_(sink_)
    {
        trace::MemorySource source(std::move(trace));
        const config::ChipConfig config = testing::small_chip();
        Chip chip(config, source, sink_, 0, {UnitId(0)});
        std::array<Tick, kStages> before{};
        chip.look_every(10'000,
                        [&](Tick at)
                        {
                            const UnitSummary unit = chip.summary(at).units[0];
                            for (std::size_t stage = 0; stage < kStages; ++stage)
                            {
                                EXPECT_GE(unit.time[stage], before[stage])
                                    << "stage " << stage << " up to " << at;
                            }
                            before = unit.time;
                        });
        EXPECT_TRUE(chip.advance(kNever - 1, nullptr));
        while (!chip.outbox().empty())
        {
            answer(chip, chip.outbox().take());
            EXPECT_TRUE(chip.advance(kNever - 1, nullptr));
        }
        chip.close();
        done = chip.done();
        summary = chip.summary();
        for (const OpRecord& record : keeper_.records)
        {
            records.emplace(record.id, record);
        }
    }
    bool done = false;
    Summary summary;
    std::map<std::uint64_t, OpRecord> records; ///< by id

private:
    ActivitySink sink_;
    testing::RecordKeeper keeper_;
};

std::shared_ptr<const trace::Trace> three_products(std::uint64_t release_of_last = 0)
{
    testing::TraceBuilder trace(testing::small_chip());
    trace.mvm(0, 0, 1);
    trace.mvm(0, 0, 1);
    trace.mvm(0, 0, 1).release = release_of_last;
    trace.vec(3, 16).release = 60'000; // begins when the first product is there
    return trace.build();
}

constexpr Tick kNanosecond = 1000;

TEST(ForeignMacro, MayNeedLongerForItsNextRequestThanForTheResult)
{
    const ForeignRun run(three_products(),
                         [](Chip& chip, const ExternalRequest& request)
                         {
                             chip.accept(request.tag, request.at + 100 * kNanosecond);
                             chip.answer(request.tag, 0, request.at + 50 * kNanosecond);
                         });
    ASSERT_TRUE(run.done);
    ASSERT_EQ(run.records.size(), 4U);
    for (std::uint64_t i = 0; i < 3; ++i)
    {
        const OpRecord& record = run.records.at(i);
        EXPECT_EQ(record.start, i * 100 * kNanosecond);
        EXPECT_EQ(record.end, record.start + 50 * kNanosecond);
        EXPECT_EQ(record.because, i == 0 ? OpId::none().value() : i - 1);
    }
    const UnitSummary& macro = run.summary.units[0];
    EXPECT_EQ(macro.time[static_cast<unsigned>(Stage::mvm)], 150 * kNanosecond);
    EXPECT_EQ(macro.time[static_cast<unsigned>(Stage::wait_input)], 100 * kNanosecond);
}

TEST(ForeignMacro, TakesItsNextRequestWhenItSaysSo)
{
    for (const Tick interval : {Tick{20}, Tick{50}})
    {
        const ForeignRun run(three_products(),
                             [&](Chip& chip, const ExternalRequest& request)
                             {
                                 chip.accept(request.tag, request.at + interval * kNanosecond);
                                 chip.answer(request.tag, 0, request.at + 50 * kNanosecond);
                             });
        ASSERT_TRUE(run.done);
        EXPECT_EQ(run.summary.span, (2 * interval + 50) * kNanosecond);
    }
}

TEST(ForeignMacro, IsFreeWhenItsLastRequestsAreOver)
{
    // The slot of the second one is still held when the third one's release has long come.
    const ForeignRun run(three_products(130 * kNanosecond),
                         [](Chip& chip, const ExternalRequest& request)
                         {
                             chip.accept(request.tag, request.at + 100 * kNanosecond);
                             chip.answer(request.tag, 0, request.at + 10 * kNanosecond);
                         });
    ASSERT_TRUE(run.done);
    EXPECT_EQ(run.summary.span, 210 * kNanosecond);
    EXPECT_EQ(run.records.at(2).ready, 200 * kNanosecond);
}

} // namespace
} // namespace tessera::chip
