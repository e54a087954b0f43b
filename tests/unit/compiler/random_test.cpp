// SPDX-License-Identifier: Apache-2.0
#include "base/integer.h"
#include "compiler/compiler.h"
#include "compiler/report.h"
#include "network/network.h"
#include "random_network.h"
#include "tessera/error.h"
#include "trace_checks.h"
#include "unit/effort.h"

#include <gtest/gtest.h>
#include <map>

namespace tessera::compiler
{
namespace
{

using test::Dice;

/// How often the compiler had to help itself.
struct Helped
{
    std::uint32_t written = 0;   ///< times that weights were
    std::uint32_t held_back = 0; ///< producers
    std::uint32_t in_tiles = 0;  ///< refuges
    std::uint32_t in_memory = 0;

    Helped& operator+=(const Helped& other)
    {
        written += other.written;
        held_back += other.held_back;
        in_tiles += other.in_tiles;
        in_memory += other.in_memory;
        return *this;
    }
};

Helped check(const network::Network& network, const config::ChipConfig& chip, std::uint32_t images,
             Dice& dice)
{
    Options options;
    options.images = images;
    options.plan.time_multiplex = true;
    options.plan.pack = dice(0, 1) == 0;
    options.plan.replicate_in_crossbar = dice(0, 1) == 0;
    options.schedule = dice(0, 2) == 0 ? "xinf" : "layer-by-layer";
    options.plan.sets = dice.pick(std::vector<std::string>{"row", "row", "pixel", "2x3"});
    if (options.schedule == "xinf" && dice(0, 2) == 0)
    {
        options.plan.order = "demand:" + std::to_string(dice(0, 100));
    }
    if (dice(0, 2) == 0)
    {
        options.plan.duplicate =
            dice.pick(std::vector<std::string>{"greedy", "optimal", "balanced"});
        options.plan.extra_pes = dice(0, 12);
    }
    const Compiled compiled = compile_and_plan(network, chip, options);
    const trace::Trace trace = compiled.trace.expanded();
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    checks.values();
    for (int i = 0; i < 3; ++i)
    {
        const auto duration = [&dice](const trace::Operation& /*operation*/, std::size_t /*k*/)
        { return Tick{dice(0, 5) == 0 ? dice(0, 300) : dice(0, 3)}; };
        checks.run(test::ListSimulator(trace, chip.buffer.capacity, duration).run(),
                   chip.buffer.capacity, options.schedule);
    }
    const MappingReport its = report(trace, network, chip);
    Helped helped;
    helped.written = its.cells_written == 0 ? 0 : its.segments;
    if (compiled.buffers)
    {
        helped.held_back = compiled.buffers->held_back ? 1 : 0;
        for (const MappingReport::Buffers::Refuge& refuge : compiled.buffers->refuges)
        {
            ++(refuge.at == "memory" ? helped.in_memory : helped.in_tiles);
        }
    }
    return helped;
}

/// Compiles for shrinking buffers until the compiler refuses. Returns how many fitted.
std::uint32_t shrink(const network::Network& network, config::ChipConfig chip, Dice& dice,
                     Helped& helped)
{
    std::uint32_t fitted = 0;
    for (chip.buffer.capacity = 20'000; chip.buffer.capacity > 0;
         chip.buffer.capacity = chip.buffer.capacity * 2 / 3)
    {
        try
        {
            helped += check(network, chip, dice(1, 4), dice);
            ++fitted;
        }
        catch (const InputError& error)
        {
            EXPECT_EQ(error.place().pointer, "/buffer/capacity") << error.what();
            break;
        }
        if (testing::Test::HasFailure())
        {
            break;
        }
    }
    return fitted;
}

TEST(Random, NetworksAndBuffersOfAnySize)
{
    constexpr std::uint32_t networks = tessera::test::effort(300U);
    std::uint32_t fitted = 0;
    Helped helped;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_network(dice);
        config::ChipConfig chip = test::random_chip(dice);
        chip.macro.cell.signs = seed % 2 == 0 ? "differential" : "offset";
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(network));
        check(network, chip, dice(1, 4), dice);
        fitted += shrink(network, chip, dice, helped);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(fitted, 3 * networks) << "hardly anything was tested with finite buffers";
    EXPECT_GT(helped.held_back, networks / 30);
    EXPECT_GT(helped.in_tiles, networks / 30);
    EXPECT_GE(helped.in_memory, networks / 60) << "rare: a few networks may have none";
}

TEST(Random, SegmentsTakeTurnsOnChipsThatAreTooSmall)
{
    std::uint32_t written = 0;
    for (std::uint32_t seed = 1000; seed < 1800; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_network(dice);
        config::ChipConfig chip = test::random_chip(dice);
        chip.macro.cell.signs = seed % 2 == 0 ? "differential" : "offset";
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(network));
        std::map<LayerId, std::uint32_t> blocks;
        for (const trace::Block& block : compile(network, chip).header.blocks)
        {
            ++blocks[block.layer];
        }
        std::uint32_t most = 1;
        for (const auto& [layer, count] : blocks)
        {
            most = std::max(most, count);
        }
        const std::uint32_t room = most + dice(0, 3);
        chip.tiles.rows = 1;
        chip.tiles.macros = dice(1, 2);
        chip.tiles.columns =
            static_cast<std::uint32_t>(ceil_div(room, std::uint64_t{chip.tiles.macros}));
        if (dice(0, 1) == 0)
        {
            chip.buffer.capacity = 20'000;
        }
        written += check(network, chip, dice(1, 3), dice).written;
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(written, 200U) << "hardly any network was cut";
}

} // namespace
} // namespace tessera::compiler
