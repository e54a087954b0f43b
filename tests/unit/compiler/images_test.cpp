// SPDX-License-Identifier: Apache-2.0
#include "compiler/buffers.h"
#include "compiler/compiler.h"
#include "compiler/emit.h"
#include "compiler/timetable.h"
#include "config/load.h"
#include "network/network.h"
#include "random_network.h"
#include "tessera/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

/// What the compiler concludes from one image for many, and from lists that operations share.
namespace tessera::compiler
{
namespace
{

constexpr std::uint32_t kImages = 3;

/// A network, most of them with attention, whose layers all work at once.
class Planned
{
public:
    explicit Planned(std::uint32_t seed)
        : dice_(seed),
          chip_(test::random_chip(dice_)),
          network_(seed % 3 == 0 ? test::random_network(dice_) : test::random_attention(dice_)),
          graph_(network_, chip_)
    {
        try
        {
            plan_.emplace(graph_, chip_, schedule("xinf"));
            plan_->set_level(0, seed % 4);
        }
        catch (const InputError&)
        {
            plan_.reset(); // the chip is too small
        }
    }
    [[nodiscard]] const std::optional<Plan>& plan() const { return plan_; }
    [[nodiscard]] const Graph& graph() const { return graph_; }

private:
    test::Dice dice_;
    config::ChipConfig chip_;
    network::Network network_;
    Graph graph_;
    std::optional<Plan> plan_;
};

using Key = std::pair<std::uint64_t, std::uint64_t>; ///< stream and tile

/// Data of each ring, with what each waits for: operation by operation, reader by reader.
std::map<Key, std::vector<std::pair<OpId, std::set<OpId>>>> naive_rings(const Emitter& emitter)
{
    const trace::Trace all = emitter.operations().expanded();
    std::map<Key, std::vector<std::pair<OpId, std::set<OpId>>>> rings;
    const auto add = [&](const trace::Operation& made, NodeId tile, bool transfer)
    {
        std::map<UnitId, OpId> vectors; // of each unit the last
        std::set<OpId> until;
        for (const trace::Operation& reader : all.operations)
        {
            const bool reads =
                std::find(reader.in.begin(), reader.in.end(), made.id) != reader.in.end();
            if (!reads || (transfer && emitter.node_of(reader.at) != tile))
            {
                continue;
            }
            const OpId by =
                reader.kind == trace::OpKind::mvm ? emitter.note(reader.id).release : reader.id;
            const trace::Operation& release = all.operations[by.index()];
            if (release.kind == trace::OpKind::vec)
            {
                vectors[release.at] =
                    std::max(by, vectors.count(release.at) != 0 ? vectors[release.at] : OpId(0));
            }
            else
            {
                until.insert(by);
            }
        }
        for (const auto& [unit, by] : vectors)
        {
            until.insert(by);
        }
        if (until.empty())
        {
            until.insert(made.id);
        }
        rings[{emitter.note(made.id).stream, tile.value()}].emplace_back(made.id, until);
    };
    for (const trace::Operation& operation : all.operations)
    {
        if (operation.kind == trace::OpKind::mvm || operation.kind == trace::OpKind::vec)
        {
            add(operation, emitter.node_of(operation.at), false);
        }
        else if (operation.kind != trace::OpKind::store)
        {
            for (const trace::Destination& destination : operation.to)
            {
                add(operation, destination.at, true);
            }
        }
    }
    return rings;
}

TEST(Images, DataAreGoneWhenAllThatReadThemAre)
{
    int checked = 0;
    for (std::uint32_t seed = 0; seed < 60; ++seed)
    {
        const Planned planned(seed);
        if (!planned.plan())
        {
            continue;
        }
        Emitter emitter(*planned.plan(), nullptr);
        emitter.emit(0, {1, 1});
        if (emitter.operations().size() > 1500)
        {
            continue; // the naive way takes long
        }
        ++checked;
        const auto wanted = naive_rings(emitter);
        const std::vector<Ring> rings = rings_of(emitter, 0);
        ASSERT_EQ(rings.size(), wanted.size()) << seed;
        for (const Ring& ring : rings)
        {
            const auto& its = wanted.at({ring.stream, ring.tile.value()});
            ASSERT_EQ(ring.data.size(), its.size()) << seed;
            std::size_t begin = 0;
            for (std::size_t i = 0; i < its.size(); ++i)
            {
                EXPECT_EQ(ring.data[i].by, its[i].first);
                const auto at = [&](std::size_t position)
                { return ring.until.begin() + static_cast<std::ptrdiff_t>(position); };
                EXPECT_EQ(std::vector<OpId>(at(begin), at(ring.data[i].until_end)),
                          std::vector<OpId>(its[i].second.begin(), its[i].second.end()))
                    << seed << " datum " << ring.data[i].by.value();
                begin = ring.data[i].until_end;
            }
        }
    }
    EXPECT_GT(checked, 20);
}

void expect_same(const std::vector<Ring>& one, const std::vector<Ring>& all)
{
    ASSERT_EQ(one.size(), all.size());
    for (std::size_t i = 0; i < one.size(); ++i)
    {
        EXPECT_EQ(std::tuple(one[i].stream, one[i].tile, one[i].partial, one[i].least,
                             one[i].largest, one[i].total),
                  std::tuple(all[i].stream, all[i].tile, all[i].partial, all[i].least,
                             all[i].largest, all[i].total));
    }
}

TEST(Images, OneStandsForManyThatFollowEachOther)
{
    int checked = 0;
    for (std::uint32_t seed = 0; seed < 60; ++seed)
    {
        const Planned planned(seed);
        if (!planned.plan())
        {
            continue;
        }
        ++checked;
        SCOPED_TRACE(seed);
        Emitter one(*planned.plan(), nullptr);
        Emitter all(*planned.plan(), nullptr);
        if (one.emit_repeating(0, {kImages, 1}) == kImages)
        {
            all.emit(0, {kImages, 1});
            EXPECT_EQ(all.operations().size(), kImages * one.operations().size());
            expect_same(rings_of(one, 0, kImages), rings_of(all, 0));
        }
        one.restart();
        all.restart();
        one.emit(0); // producers are held back
        for (std::uint32_t image = 0; image < kImages; ++image)
        {
            all.work_on(image);
            all.emit(0);
        }
        expect_same(rings_of(one, 0, kImages), rings_of(all, 0));
    }
    EXPECT_GT(checked, 30);
}

TEST(Images, ThatMingleStandForThemselves)
{
    const config::ChipConfig chip = config::load("clsa-256-ideal");
    const network::Network network = network::load(network::find("mobilenetv2"));
    const Graph graph(network, chip);
    const Plan plan(graph, chip, schedule("xinf"), {"balanced", 32});
    Emitter emitter(plan, nullptr);
    EXPECT_EQ(emitter.emit_repeating(0, {kImages, 1}), kImages);
    emitter.restart();
    EXPECT_EQ(emitter.emit_repeating(0, {kImages, 2}), 1U);
    EXPECT_EQ(emitter.operations().back().image, kImages - 1);
}

TEST(Images, TasksReadWhatTheirReceptiveFieldsSay)
{
    int shared = 0;
    for (std::uint32_t seed = 0; seed < 60; ++seed)
    {
        const Planned planned(seed);
        if (!planned.plan())
        {
            continue;
        }
        for (const LayerId id : planned.plan()->stages()[0])
        {
            const SetReads reads = reads_of(*planned.plan(), id);
            ASSERT_EQ(reads.sequence, (*planned.plan())[id].grid.sequence());
            std::size_t all = 0;
            for (std::size_t i = 0; i < reads.sequence.size(); ++i)
            {
                std::vector<Task> wanted;
                append_dependencies(*planned.plan(), {id, reads.sequence[i]}, wanted);
                std::size_t k = 0;
                reads.for_each(i,
                               [&](const Task& task)
                               {
                                   ASSERT_LT(k, wanted.size());
                                   EXPECT_EQ(task.layer, wanted[k].layer);
                                   EXPECT_EQ(task.index, wanted[k].index);
                                   ++k;
                               });
                EXPECT_EQ(k, wanted.size());
                all += k;
            }
            shared += all > reads.tasks.size() ? 1 : 0;
        }
    }
    EXPECT_GT(shared, 20) << "hardly anything is read twice";
}

/// Operations of an image: those of image 0, later by so many operations, and links to images
/// before.
void expect_copies(const trace::Trace& trace, std::uint32_t images)
{
    const std::vector<trace::Operation>& operations = trace.operations;
    ASSERT_EQ(operations.size() % images, 0U);
    const std::size_t stride = operations.size() / images;
    std::size_t links = 0;
    for (std::size_t i = stride; i < operations.size(); ++i)
    {
        const std::size_t later = i / stride * stride;
        trace::Operation copy = operations[i];
        const trace::Operation& first = operations[i % stride];
        ASSERT_EQ(copy.image, i / stride);
        std::vector<OpId> in = first.in;
        for (OpId& id : in)
        {
            id = OpId(id.value() + later);
        }
        std::set<OpId> after(copy.after.begin(), copy.after.end());
        for (const OpId id : first.after)
        {
            EXPECT_EQ(after.erase(OpId(id.value() + later)), 1U) << i;
        }
        for (const OpId link : after)
        {
            EXPECT_LT(link.index(), later) << i;
            ++links;
        }
        EXPECT_EQ(copy.in, in) << i;
        EXPECT_EQ(std::tuple(copy.kind, copy.at, copy.to, copy.bytes, copy.uses, copy.n),
                  std::tuple(first.kind, first.at, first.to, first.bytes, first.uses, first.n));
        EXPECT_EQ(std::tuple(copy.block, copy.layer, copy.bits, copy.function, copy.ofm,
                             copy.tensor, copy.box, copy.arguments),
                  std::tuple(first.block, first.layer, first.bits, first.function, first.ofm,
                             first.tensor, first.box, first.arguments));
    }
    EXPECT_GT(links, 0U) << "images are not linked";
}

TEST(Images, LayerByLayerAreCopiesOfOneCompiledAlone)
{
    const config::ChipConfig chip = config::load("clsa-256");
    const network::Network network = network::load(network::find("lenet5"));
    Options options;
    options.images = kImages;
    const trace::Trace all = compile(network, chip, options);
    expect_copies(all, kImages);
    options.images = 1;
    const trace::Trace one = compile(network, chip, options);
    ASSERT_EQ(one.operations.size() * kImages, all.operations.size());
    for (std::size_t i = 0; i < one.operations.size(); ++i)
    {
        EXPECT_EQ(one.operations[i].in, all.operations[i].in);
        EXPECT_EQ(one.operations[i].after, all.operations[i].after);
        EXPECT_EQ(one.operations[i].at, all.operations[i].at);
    }
}

TEST(Images, AcrossLayersWithOneInFlightAreCopies)
{
    // One layer takes as long as its macro works: one image in flight keeps that at work.
    const network::Network network = network::parse(
        R"({"name":"one","layers":[{"name":"x","kind":"input","shape":[16,16,8]},
            {"name":"c","kind":"conv2d","channels":16,"kernel":3,"padding":1}]})",
        "one.json");
    Options options;
    options.schedule = "xinf";
    options.images = kImages;
    int checked = 0;
    for (const std::uint64_t capacity : {16384U, 8192U, 6144U, 4096U, 3072U, 2048U, 1536U, 1024U})
    {
        config::ChipConfig chip = config::load("clsa-256-ideal");
        chip.buffer.capacity = capacity;
        try
        {
            const Compiled compiled = compile_and_plan(network, chip, options);
            if (compiled.pipeline.value().in_flight == 1)
            {
                SCOPED_TRACE(capacity);
                expect_copies(compiled.trace.expanded(), kImages);
                ++checked;
            }
        }
        catch (const InputError&)
        {
            break; // it does not fit any more
        }
    }
    EXPECT_GT(checked, 0) << "more images are in flight everywhere";
}

TEST(Images, ProgressIsToldInPhasesThatEnd)
{
    const config::ChipConfig chip = config::load("clsa-256");
    const network::Network network = network::load(network::find("lenet5"));
    Options options;
    options.schedule = "xinf";
    options.images = kImages;
    std::map<std::string, std::pair<std::uint64_t, std::uint64_t>> phases;
    std::size_t told = 0;
    options.monitor = [&](const PhaseProgress& progress)
    {
        ++told;
        EXPECT_LE(progress.done, progress.total);
        phases[std::string(progress.phase)] = {progress.done, progress.total};
    };
    (void)compile(network, chip, options);
    ASSERT_EQ(phases.count("making operations"), 1U);
    EXPECT_EQ(phases["making operations"].first, phases["making operations"].second);
    EXPECT_EQ(phases.count("dividing data"), 1U);
    EXPECT_LT(told, 5 * Reporter::kTold);
    options.monitor = [](const PhaseProgress&) { throw Error(ExitCode::interrupted, "stop"); };
    EXPECT_THROW((void)compile(network, chip, options), Error);
}

} // namespace
} // namespace tessera::compiler
