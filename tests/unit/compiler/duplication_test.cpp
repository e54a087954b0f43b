// SPDX-License-Identifier: Apache-2.0
#include "compiler/duplication.h"

#include "tessera/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

namespace tessera::compiler
{
namespace
{

using Copies = std::vector<std::uint32_t>;

std::vector<Demand> random_layers(std::mt19937& random)
{
    std::vector<Demand> layers(1 + random() % 4);
    for (Demand& layer : layers)
    {
        layer.crossbars = 1 + random() % 4;
        layer.sets = 1 + random() % 8;
        layer.of_set = 1 + random() % 5;
        layer.vectors = layer.sets * layer.of_set;
    }
    return layers;
}

std::uint64_t cost(const std::vector<Demand>& layers, const Copies& copies)
{
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        sum += layers[i].crossbars * (copies[i] - 1);
    }
    return sum;
}

std::uint64_t latency(const std::vector<Demand>& layers, const Copies& copies)
{
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        sum += layers[i].steps(copies[i]);
    }
    return sum;
}

std::uint64_t interval(const std::vector<Demand>& layers, const Copies& copies)
{
    std::uint64_t most = 0;
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        most = std::max(most, layers[i].steps(copies[i]));
    }
    return most;
}

/// Everything that `extra` crossbars allow.
void for_each_choice(const std::vector<Demand>& layers, std::uint64_t extra,
                     const std::function<void(const Copies&)>& look)
{
    Copies copies(layers.size(), 1);
    while (true)
    {
        if (cost(layers, copies) <= extra)
        {
            look(copies);
        }
        std::size_t i = 0;
        while (i < copies.size() && copies[i] == layers[i].sets)
        {
            copies[i++] = 1;
        }
        if (i == copies.size())
        {
            return;
        }
        ++copies[i];
    }
}

TEST(Duplication, PoliciesKeepTheirPromisesAgainstAllChoices)
{
    std::mt19937 random(1);
    for (int round = 0; round < 300; ++round)
    {
        const std::vector<Demand> layers = random_layers(random);
        const std::uint64_t extra = random() % 13;
        std::uint64_t least_latency = ~std::uint64_t{0};
        std::uint64_t least_interval = ~std::uint64_t{0};
        std::uint64_t bound = ~std::uint64_t{0};
        for_each_choice(layers, extra,
                        [&](const Copies& copies)
                        {
                            least_latency = std::min(least_latency, latency(layers, copies));
                            least_interval = std::min(least_interval, interval(layers, copies));
                            std::uint64_t most = 0;
                            for (std::size_t i = 0; i < layers.size(); ++i)
                            {
                                most =
                                    std::max(most, (layers[i].vectors + copies[i] - 1) / copies[i]);
                            }
                            bound = std::min(bound, most);
                        });
        for (const char* name : {"none", "greedy", "optimal", "balanced"})
        {
            const Copies copies = duplication(name).copies(layers, extra);
            EXPECT_LE(cost(layers, copies), extra) << name;
            for (std::size_t i = 0; i < layers.size(); ++i)
            {
                EXPECT_GE(copies[i], 1U);
                EXPECT_LE(copies[i], layers[i].sets);
            }
        }
        EXPECT_EQ(latency(layers, duplication("optimal").copies(layers, extra)), least_latency);
        EXPECT_EQ(interval(layers, duplication("balanced").copies(layers, extra)), least_interval);
        EXPECT_EQ(least_steps(layers, extra), bound);
    }
}

TEST(Duplication, GreedyTakesTheLargestRatioThenTheLowestLayer)
{
    const std::vector<Demand> layers = {{1, 10, 1, 10}, {1, 10, 1, 10}, {2, 9, 1, 9}};
    EXPECT_EQ(duplication("greedy").copies(layers, 1), (Copies{2, 1, 1}));
    EXPECT_EQ(duplication("greedy").copies(layers, 2), (Copies{2, 2, 1}));
    EXPECT_EQ(duplication("greedy").copies(layers, 3), (Copies{2, 2, 1})) << "no room for layer 2";
    EXPECT_EQ(duplication("greedy").copies(layers, 4), (Copies{2, 2, 2}));
}

TEST(Duplication, BalancedSpendsTheRestOnTheSlowestLayersThatItMakesFaster)
{
    // 8 steps at least; then layer 0 again, which is as slow as layer 2 and has room
    const std::vector<Demand> layers = {{1, 16, 1, 16}, {1, 4, 1, 4}, {5, 8, 1, 8}};
    EXPECT_EQ(duplication("balanced").copies(layers, 1), (Copies{2, 1, 1}));
    EXPECT_EQ(duplication("balanced").copies(layers, 2), (Copies{3, 1, 1}));
    // Two sets of 10 vectors: only a second copy makes it faster.
    const std::vector<Demand> coarse = {{1, 2, 10, 20}, {1, 12, 1, 12}};
    EXPECT_EQ(duplication("balanced").copies(coarse, 2), (Copies{2, 2}));
    EXPECT_EQ(duplication("balanced").copies(coarse, 9), (Copies{2, 6}));
}

TEST(Duplication, UnknownPoliciesAreListed)
{
    try
    {
        (void)duplication("greedily");
        FAIL();
    }
    catch (const UsageError& error)
    {
        EXPECT_STREQ(error.what(),
                     "there is no duplication 'greedily'; use none, greedy, optimal, balanced");
    }
}

} // namespace
} // namespace tessera::compiler
