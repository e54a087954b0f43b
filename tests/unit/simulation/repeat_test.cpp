// SPDX-License-Identifier: Apache-2.0
#include "base/arrivals.h"
#include "compiler/compiler.h"
#include "config/load.h"
#include "network/network.h"
#include "simulation/repeat.h"
#include "trace/header.h"
#include "trace/tools.h"
#include "unit/simulation_fixture.h"

#include <cmath>

namespace tessera
{
namespace
{

using testing::drain;
using testing::kChain;

class Repeat : public testing::SimulationTest
{
};

TEST_F(Repeat, ImagesOfANetworkAreWhatTheCompilerMakesOfThem)
{
    const ChipModel chip("clsa-256");
    for (const char* name : {"lenet5", "tinyyolov4", "resnet18"})
    {
        for (const std::uint32_t images : {1U, 2U, 3U, 5U})
        {
            compiler::Options options;
            options.images = images;
            options.mapping = config::mapping_keys(chip.config());
            const trace::Trace whole =
                compiler::compile(network::load(network::find(name)), chip.config(), options);
            trace::write(whole, path("whole.trace.jsonl").string());
            const Program program = Program::compile(name, chip, {"layer-by-layer", images});
            EXPECT_EQ(trace::header_text(program.header()), trace::header_text(whole.header));
            program.save(path("program.trace.jsonl"));
            ASSERT_EQ(content("program.trace.jsonl"), content("whole.trace.jsonl"))
                << name << ' ' << images;
            Program::of(whole).save(path("of.trace.jsonl"));
            // What runs is what would be saved.
            const auto made = drain(*program.source());
            const auto expected = drain(*Program::of(whole).source());
            ASSERT_EQ(made.size(), expected.size());
            for (std::size_t unit = 0; unit < made.size(); ++unit)
            {
                ASSERT_EQ(made[unit].size(), expected[unit].size());
                for (std::size_t i = 0; i < made[unit].size(); ++i)
                {
                    ASSERT_EQ(made[unit][i].id, expected[unit][i].id);
                    ASSERT_EQ(made[unit][i].in, expected[unit][i].in);
                    ASSERT_EQ(made[unit][i].after, expected[unit][i].after);
                    ASSERT_EQ(made[unit][i].image, expected[unit][i].image);
                }
            }
        }
    }
}

TEST_F(Repeat, ATraceIsRepeatedWithIdsAndImagesOfItsOwn)
{
    const Program once = Program::open(kChain);
    once.save(path("a.trace.h5"));
    trace::Trace memory = trace::load(kChain);
    for (const Program& program : {once.repeat(3), Program::open(path("a.trace.h5")).repeat(3),
                                   Program::of(std::move(memory)).repeat(3)})
    {
        EXPECT_EQ(program.header().operations, 30U);
        program.save(path("three.trace.jsonl"));
        // The checker knows uses, order of ids, window and counts.
        const trace::CheckReport report = trace::check(path("three.trace.jsonl").string());
        EXPECT_EQ(report.operations, 30U);
        EXPECT_EQ(report.window, program.header().window);
        const trace::Trace all = trace::load(path("three.trace.jsonl").string());
        for (std::size_t i = 0; i < all.operations.size(); ++i)
        {
            EXPECT_EQ(all.operations[i].id, OpId(i));
            EXPECT_EQ(all.operations[i].image, i / 10);
        }
        const RunResult result = simulate(ChipModel("tiny"), program);
        EXPECT_EQ(result.summary.operations, 30U);
        EXPECT_EQ(result.unread, 0U);
    }
}

TEST_F(Repeat, IdsMayHaveGaps)
{
    trace::Trace trace = trace::load(kChain);
    for (trace::Operation& operation : trace.operations)
    {
        const auto spread = [](OpId& id) { id = OpId(7 * id.value() + 3); };
        spread(operation.id);
        std::for_each(operation.in.begin(), operation.in.end(), spread);
        std::for_each(operation.after.begin(), operation.after.end(), spread);
    }
    trace::finalize(trace);
    const Program twice = Program::of(std::move(trace)).repeat(2);
    EXPECT_EQ(simulate(ChipModel("tiny"), twice).summary.operations, 20U);
    EXPECT_EQ(simulate(ChipModel("tiny"), twice).summary.span,
              simulate(ChipModel("tiny"), Program::open(kChain).repeat(2)).summary.span);
}

TEST_F(Repeat, RefusesWhatHasNoMeaning)
{
    const Program once = Program::open(kChain);
    EXPECT_THROW(static_cast<void>(once.repeat(0)), UsageError);
    EXPECT_EQ(once.repeat(1).header().operations, 10U);
    EXPECT_THROW(static_cast<void>(once.repeat(2).repeat(2)), InputError);
    const ChipModel chip("clsa-256");
    EXPECT_THROW(static_cast<void>(Program::compile("lenet5", chip, {"layer-by-layer", 0})),
                 UsageError);
    EXPECT_THROW(
        static_cast<void>(Program::compile("lenet5", chip, {"layer-by-layer", 2}).repeat(2)),
        InputError);
    // Ids stay below 2^42: at the last image that fits, and one more.
    simulation::Repetition most{1, 4095, std::uint64_t{1} << 30U};
    EXPECT_NO_THROW(static_cast<void>(simulation::repeated({}, most, 0)));
    most.images = 4096;
    EXPECT_THROW(static_cast<void>(simulation::repeated({}, most, 0)), UsageError);
}

TEST_F(Repeat, ManyImagesTakeTheMemoryOfOne)
{
    // 10^5 images of 10 operations, of which the source never holds more than one.
    const Program many = Program::open(kChain).repeat(100'000);
    const auto source = many.source();
    trace::Operation operation;
    std::uint64_t count = 0;
    OpId last;
    for (std::uint32_t unit = 0; unit < source->header().units.size(); ++unit)
    {
        operation.clear();
        while (source->next(UnitId(unit), operation))
        {
            ++count;
            last = operation.id;
            operation.clear();
        }
    }
    EXPECT_EQ(count, 1'000'000U);
    EXPECT_GE(last.value(), 999'990U);
}

TEST(Arrivals, AreRegularOrRandomWithTheRightMean)
{
    Arrivals regular("10 ns", 1);
    EXPECT_EQ(regular.at(0), 0U);
    EXPECT_EQ(regular.at(7), 70'000U);
    Arrivals random("poisson:10us", 1);
    constexpr std::uint32_t images = 100'000;
    double squares = 0;
    for (std::uint32_t i = 1; i <= images; ++i)
    {
        const auto gap = static_cast<double>(random.at(i) - random.at(i - 1));
        squares += gap * gap;
    }
    EXPECT_EQ(random.at(0), 0U);
    const double mean = static_cast<double>(random.at(images)) / images;
    EXPECT_NEAR(mean, 1e7, 4 * 1e7 / std::sqrt(images)); // 4 standard errors
    // Second moment of an exponential: 2 mean^2, standard error sqrt(20 / n) mean^2.
    EXPECT_NEAR(squares / images, 2e14, 4 * std::sqrt(20.0 / images) * 1e14);
    // Neither the order of asking nor another object changes them; the seed does.
    Arrivals again("poisson:10us", 1);
    EXPECT_EQ(again.at(500), random.at(500));
    EXPECT_EQ(again.at(3), random.at(3));
    Arrivals other("poisson:10us", 2);
    EXPECT_NE(other.at(500), random.at(500));
    for (const char* wrong : {"", "10", "0ms", "poisson", "poisson:", "poisson:0s", "Poisson:1ms",
                              "-1ms", "uniform:1ms"})
    {
        EXPECT_THROW(Arrivals(wrong, 1), UsageError) << wrong;
    }
    // Beyond the end of simulated time: the chip says so.
    Arrivals late("1 s", 1);
    EXPECT_EQ(late.at(~std::uint32_t{0}), std::uint64_t{1} << 62U);
}

TEST_F(Repeat, ImagesWaitForTheirArrival)
{
    const Program program = Program::open(kChain).repeat(4);
    RunOptions options;
    options.folder = path("run");
    options.arrivals = "1 ms";
    const RunResult result = simulate(ChipModel("tiny"), program, options);
    const std::vector<OpRecord> records = Results(options.folder).read<OpRecord>();
    ASSERT_EQ(records.size(), 40U);
    constexpr Tick ms = 1'000'000'000;
    for (const OpRecord& record : records)
    {
        if (record.id % 10 == 0)
        {
            EXPECT_EQ(record.start, record.image * ms);
            EXPECT_EQ(record.cause,
                      static_cast<std::uint8_t>(record.image == 0 ? Cause::none : Cause::release));
        }
        EXPECT_GE(record.start, record.image * ms);
        EXPECT_LT(record.end, (record.image + 1) * ms); // the images do not meet
    }
    EXPECT_GT(result.summary.span, 3 * ms);
}

} // namespace
} // namespace tessera
