// SPDX-License-Identifier: Apache-2.0
// Images that arrive at a chip that works on one at a time are customers of a queue with one
// server, whose waiting times are known.
#include "base/arrivals.h"
#include "unit/simulation_fixture.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>

namespace tessera
{
namespace
{

using ::testing::HasSubstr;

constexpr Tick kService = 1'200'000; ///< ps

class Queue : public testing::SimulationTest
{
protected:
    /// Every tick is an edge of every clock: nothing is rounded to one.
    Queue() : chip_("tiny", {"clock=1 THz", "macro.t_mvm=1.2 us"}) {}

    /// Takes equally long for every image: no image finds a row of the memory open, or not.
    [[nodiscard]] static ChipModel steady()
    {
        return ChipModel("clsa-256", {"clock=1 THz", "memory.row_miss=0 ns"});
    }
    /// Images of one MVM each.
    [[nodiscard]] static Program server(std::uint32_t images)
    {
        trace::Trace trace;
        trace.header.tiles = 4;
        trace.header.memory_ports = 1;
        trace.header.units.push_back({trace::UnitKind::macro, NodeId(0), 0, 0});
        trace::Operation operation;
        operation.id = OpId(0);
        operation.kind = trace::OpKind::mvm;
        operation.at = UnitId(0);
        operation.n = 1;
        trace.operations.push_back(operation);
        trace::finalize(trace);
        return Program::of(std::move(trace)).repeat(images);
    }

    [[nodiscard]] RunResult run(const ChipModel& chip, const Program& program,
                                const std::string& arrivals, std::uint64_t seed = 1,
                                Tick until = kNever)
    {
        RunOptions options;
        options.folder = path("run");
        options.replace = true;
        options.arrivals = arrivals;
        options.seed = seed;
        options.until = until;
        return simulate(chip, program, options);
    }
    [[nodiscard]] RunResult run(std::uint32_t images, const std::string& arrivals,
                                std::uint64_t seed = 1, Tick until = kNever)
    {
        return run(chip_, server(images), arrivals, seed, until);
    }
    [[nodiscard]] std::vector<ImageRecord> images() const
    {
        return Results(path("run")).read<ImageRecord>();
    }

    ChipModel chip_;
};

/// Lindley's recursion.
std::vector<Tick> waiting_times(const std::vector<Tick>& arrivals, Tick service)
{
    std::vector<Tick> waiting(arrivals.size(), 0);
    for (std::size_t n = 1; n < arrivals.size(); ++n)
    {
        const Tick free = arrivals[n - 1] + waiting[n - 1] + service;
        waiting[n] = free > arrivals[n] ? free - arrivals[n] : 0;
    }
    return waiting;
}

std::vector<Tick> drawn(const std::string& text, std::uint64_t seed, std::uint32_t images)
{
    Arrivals arrivals(text, seed);
    std::vector<Tick> all(images);
    for (std::uint32_t i = 0; i < images; ++i)
    {
        all[i] = arrivals.at(i);
    }
    return all;
}

void expect_queue(const std::vector<ImageRecord>& images, const std::vector<Tick>& arrivals,
                  Tick service)
{
    const std::vector<Tick> waiting = waiting_times(arrivals, service);
    ASSERT_EQ(images.size(), arrivals.size());
    for (std::uint32_t i = 0; i < images.size(); ++i)
    {
        ASSERT_EQ(images[i].image, i);
        ASSERT_EQ(images[i].arrival, arrivals[i]) << i;
        ASSERT_EQ(images[i].start, arrivals[i] + waiting[i]) << i;
        ASSERT_EQ(images[i].end, images[i].start + service) << i;
    }
}

TEST_F(Queue, RegularArrivalsBelowAtAndAboveLoadOne)
{
    constexpr std::uint32_t images = 1000;
    struct Case
    {
        Tick gap;
        Tick lag; ///< by which each image waits longer than the one before
    };
    for (const auto& [gap, lag] : {Case{3 * kService, 0}, Case{kService + 1, 0}, Case{kService, 0},
                                   Case{kService - 1, 1}, Case{kService / 3, 2 * kService / 3}})
    {
        const std::string text = std::to_string(gap) + " ps";
        const ImageSummary its = run(images, text).summary.images;
        expect_queue(this->images(), drawn(text, 1, images), kService);
        const Tick most = lag * (images - 1);
        EXPECT_TRUE(its.timed);
        EXPECT_EQ(its.arrived, images);
        EXPECT_EQ(its.count, images);
        EXPECT_EQ(its.waiting.mean, static_cast<double>(most) / 2) << gap;
        EXPECT_EQ(its.waiting.most, most);
        EXPECT_EQ(its.waiting.percentiles.p50, lag * 499);
        EXPECT_EQ(its.waiting.percentiles.p95, lag * 949);
        EXPECT_EQ(its.waiting.percentiles.p99, lag * 989);
        EXPECT_EQ(its.service.mean, kService);
        EXPECT_EQ(its.service.most, kService);
        EXPECT_EQ(its.service.percentiles.p50, kService);
        EXPECT_EQ(its.first_latency, kService);
        EXPECT_EQ(its.most_latency, most + kService);
        EXPECT_EQ(its.latency.p95, lag * 949 + kService);
        EXPECT_DOUBLE_EQ(its.offered, 1e12 / static_cast<double>(gap));
        EXPECT_DOUBLE_EQ(its.served, 1e12 / static_cast<double>(std::max(gap, kService)));
    }
}

TEST_F(Queue, RandomArrivalsWaitAsLindleySaysAndOnAverageAsPollaczekAndKhinchin)
{
    constexpr std::uint32_t batch = 2000;
    constexpr std::uint32_t batches = 50;
    struct Case
    {
        double load;
        const char* arrivals;
    };
    for (const auto& [load, arrivals] :
         {Case{0.3, "poisson:4us"}, Case{0.5, "poisson:2.4us"}, Case{0.8, "poisson:1.5us"}})
    {
        const RunResult result = run(batch * batches, arrivals, 5);
        const std::vector<ImageRecord> records = images();
        expect_queue(records, drawn(arrivals, 5, batch * batches), kService);
        std::vector<double> means(batches, 0);
        for (const ImageRecord& image : records)
        {
            means[image.image / batch] += static_cast<double>(image.start - image.arrival) / batch;
        }
        const double mean = std::accumulate(means.begin(), means.end(), 0.0) / batches;
        double squares = 0;
        for (const double its : means)
        {
            squares += (its - mean) * (its - mean);
        }
        const double error = std::sqrt(squares / (batches - 1) / batches);
        EXPECT_LT(error, 0.1 * mean) << "there is something to tell";
        EXPECT_NEAR(mean, load / (2 * (1 - load)) * kService, 4 * error) << load;
        EXPECT_NEAR(result.summary.images.waiting.mean, mean, 1e-6 * mean);
    }
}

TEST_F(Queue, ANetworkLayerByLayerIsOneServer)
{
    const ChipModel chip = steady();
    const Program program = Program::compile("lenet5", chip, {"layer-by-layer", 40});
    const Tick service = run(chip, Program::compile("lenet5", chip), "").summary.span;
    for (const double load : {0.5, 1.5})
    {
        const std::string arrivals =
            "poisson:" + std::to_string(static_cast<Tick>(static_cast<double>(service) / load)) +
            "ps";
        static_cast<void>(run(chip, program, arrivals, 3));
        expect_queue(images(), drawn(arrivals, 3, 40), service);
    }
}

TEST_F(Queue, APipelineThatIsNotBusyServesEachImageAlone)
{
    const ChipModel chip = steady();
    const Program program = Program::compile("lenet5", chip, {"xinf", 6});
    static_cast<void>(run(chip, program, "1 s"));
    const Tick alone = images().front().end;
    const std::string gap = std::to_string(alone) + "ps";
    static_cast<void>(run(chip, program, gap));
    expect_queue(images(), drawn(gap, 1, 6), alone);
    // Images that come sooner follow each other sooner, but not as soon as they come: the busiest
    // macro has almost as much to do on each as it takes alone.
    const ImageSummary busy = run(chip, program, std::to_string(alone / 4) + "ps").summary.images;
    EXPECT_GT(busy.most_latency, alone);
    EXPECT_GT(busy.served, 1e12 / static_cast<double>(alone));
    EXPECT_LT(busy.served, busy.offered);
}

TEST_F(Queue, WithoutArrivalsLatencyIsFromTheStart)
{
    const ImageSummary its = run(10, "").summary.images;
    EXPECT_FALSE(its.timed);
    EXPECT_EQ(its.arrived, 10U);
    EXPECT_EQ(its.mean_latency, kService);
    EXPECT_EQ(its.waiting.most, 0U);
    EXPECT_EQ(its.offered, 0);
    EXPECT_DOUBLE_EQ(its.served, 1e12 / kService);
    for (const ImageRecord& image : images())
    {
        EXPECT_EQ(image.arrival, kNever);
        EXPECT_EQ(image.end - image.start, kService);
    }
}

TEST_F(Queue, ARunThatWasCutCountsWhatHasEnded)
{
    // Arrivals at 0, 1, 2, ... us, ends at 1.2, 2.4, ... us.
    constexpr Tick us = 1'000'000;
    for (const Tick until : {4 * us - 1, 4 * us, 4 * kService - 1, 4 * kService})
    {
        const RunResult cut = run(100, "1us", 1, until);
        const ImageSummary its = cut.summary.images;
        EXPECT_EQ(cut.end, RunEnd::until);
        EXPECT_EQ(its.arrived, until / us + 1) << until;
        EXPECT_EQ(its.count, until / kService) << until;
        const std::vector<ImageRecord> records = images();
        ASSERT_EQ(records.size(), its.arrived);
        for (std::uint32_t i = 0; i < records.size(); ++i)
        {
            const Tick start = i * kService;
            EXPECT_EQ(records[i].arrival, i * us);
            EXPECT_EQ(records[i].start, start <= until ? start : kNever) << until << ' ' << i;
            EXPECT_EQ(records[i].end, i < its.count ? start + kService : kNever)
                << until << ' ' << i;
        }
        const ImageSummary read = Results(path("run")).summary().images;
        EXPECT_EQ(read.arrived, its.arrived);
        EXPECT_EQ(read.count, its.count);
        EXPECT_EQ(read.mean_latency, its.mean_latency);
        EXPECT_EQ(read.waiting.percentiles.p95, its.waiting.percentiles.p95);
        EXPECT_EQ(read.offered, its.offered);
        EXPECT_EQ(read.served, its.served);
    }
}

TEST_F(Queue, AnImageHasNotEndedWhileAnythingOfItIsLeftInTheTrace)
{
    // Of every encoding: each image has an MVM now, and one after all the others.
    trace::Trace trace;
    trace.header.tiles = 4;
    trace.header.memory_ports = 1;
    trace.header.units.push_back({trace::UnitKind::macro, NodeId(0), 0, 0});
    trace.header.units.push_back({trace::UnitKind::macro, NodeId(0), 1, 0});
    for (std::uint64_t i = 0; i < 20; ++i)
    {
        trace::Operation operation;
        operation.id = OpId(i);
        operation.kind = trace::OpKind::mvm;
        operation.at = UnitId(i % 2);
        operation.n = 1;
        operation.image = static_cast<std::uint32_t>(i % 10);
        trace.operations.push_back(operation);
    }
    trace::finalize(trace);
    const Program memory = Program::of(std::move(trace));
    memory.save(path("a.trace.jsonl"));
    memory.save(path("a.trace.h5"));
    const Program lines = Program::open(path("a.trace.jsonl"));
    const Program rows = Program::open(path("a.trace.h5"));
    EXPECT_EQ(memory.operations_per_image(), 2U);
    EXPECT_EQ(rows.operations_per_image(), 0U);
    for (const Program& program : {memory, lines, rows})
    {
        // Two macros, ten rounds: round r does images 2r and 2r + 1, modulo 10.
        for (const Tick round : {4U, 5U, 6U, 9U})
        {
            const ImageSummary its =
                run(chip_, program, "", 1, round * kService + 1).summary.images;
            EXPECT_EQ(its.arrived, 10U);
            EXPECT_EQ(its.count, round < 5 ? 0 : 2 * (round - 5)) << round;
        }
    }
}

} // namespace
} // namespace tessera
