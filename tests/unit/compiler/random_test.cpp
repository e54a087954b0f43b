// SPDX-License-Identifier: Apache-2.0
#include "compiler/compiler.h"
#include "network/network.h"
#include "random_network.h"
#include "tessera/error.h"
#include "trace_checks.h"

#include <gtest/gtest.h>

namespace tessera::compiler
{
namespace
{

using test::Dice;

void check(const network::Network& network, const config::ChipConfig& chip, std::uint32_t images,
           Dice& dice)
{
    Options options;
    options.images = images;
    const trace::Trace trace = compile(network, chip, options);
    const test::TraceChecks checks(trace, network, chip);
    checks.structure();
    checks.values();
    for (int i = 0; i < 3; ++i)
    {
        const auto duration = [&dice](const trace::Operation& /*operation*/, std::size_t /*k*/)
        { return Tick{dice(0, 5) == 0 ? dice(0, 300) : dice(0, 3)}; };
        checks.run(test::ListSimulator(trace, chip.buffer.capacity, duration).run(),
                   chip.buffer.capacity);
    }
}

/// Compiles for shrinking buffers until the compiler refuses. Returns how many fitted.
int shrink(const network::Network& network, config::ChipConfig chip, Dice& dice)
{
    int fitted = 0;
    for (chip.buffer.capacity = 20'000; chip.buffer.capacity > 0;
         chip.buffer.capacity = chip.buffer.capacity * 2 / 3)
    {
        try
        {
            check(network, chip, dice(1, 2), dice);
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
    int fitted = 0;
    for (std::uint32_t seed = 0; seed < 300; ++seed)
    {
        Dice dice(seed);
        const network::Network network = test::random_network(dice);
        const config::ChipConfig chip = test::random_chip(dice);
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(network));
        check(network, chip, dice(1, 2), dice);
        fitted += shrink(network, chip, dice);
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(fitted, 1000) << "hardly anything was tested with finite buffers";
}

} // namespace
} // namespace tessera::compiler
