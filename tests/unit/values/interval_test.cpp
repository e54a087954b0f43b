// SPDX-License-Identifier: Apache-2.0
#include "values/interval.h"

#include "numerics/kernels.h"
#include "unit/effort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera::values
{
namespace
{

/// Outcomes of one trial: `ones` of `count`.
std::vector<double> outcomes_of(std::size_t ones, std::size_t count)
{
    std::vector<double> outcomes(count, 0);
    std::fill_n(outcomes.begin(), ones, 1);
    return outcomes;
}

TEST(Interval, OfOneTrialIsWilsons)
{
    // The variance of n outcomes is estimated with n - 1, and half an image is added.
    const double images = 399.5;
    const Estimate its = proportion(outcomes_of(300, 400), 1);
    EXPECT_DOUBLE_EQ(its.value, 0.75);
    const double t = 1.965927; // Student's, of 399 degrees of freedom
    const double centre = (0.75 + t * t / (2 * images)) / (1 + t * t / images);
    const double half =
        t / (1 + t * t / images) * std::sqrt(0.75 * 0.25 / images + t * t / (4 * images * images));
    EXPECT_NEAR(its.low, centre - half, 1e-6);
    EXPECT_NEAR(its.high, centre + half, 1e-6);
}

TEST(Interval, ContainsTheMeanAndNothingImpossible)
{
    for (const std::size_t count : {1U, 2U, 7U, 100U})
    {
        for (std::size_t ones = 0; ones <= count; ++ones)
        {
            const std::vector<double> once = outcomes_of(ones, count);
            std::vector<double> thrice;
            for (int trial = 0; trial < 3; ++trial)
            {
                thrice.insert(thrice.end(), once.begin(), once.end());
            }
            for (const Estimate& its : {proportion(once, 1), proportion(thrice, 3)})
            {
                EXPECT_LE(0, its.low);
                EXPECT_LE(its.low, its.value);
                EXPECT_LE(its.value, its.high);
                EXPECT_LE(its.high, 1);
                EXPECT_LT(its.low, its.high);
            }
            for (const Estimate& its : {difference(once, 1), difference(thrice, 3)})
            {
                EXPECT_LE(-1, its.low);
                EXPECT_LE(its.low, its.value);
                EXPECT_LE(its.value, its.high);
                EXPECT_LE(its.high, 1);
                EXPECT_LT(its.low, its.high);
            }
        }
    }
}

TEST(Interval, OfNoDifferenceInSoManyImagesIsAtMostAFewOfThem)
{
    const Estimate its = difference(outcomes_of(0, 98), 1);
    EXPECT_DOUBLE_EQ(its.value, 0);
    const double t = 1.984723; // of 97 degrees of freedom
    EXPECT_NEAR(its.high, t / 100, 1e-7);
    EXPECT_NEAR(its.low, -t / 100, 1e-7);
}

TEST(Interval, ChipsThatDifferWidenIt)
{
    // Two chips, one always right, one always wrong, say nothing.
    const Estimate its = proportion(outcomes_of(100, 200), 2);
    EXPECT_LT(its.low, 0.01);
    EXPECT_GT(its.high, 0.99);
    // Where images differ less than the rest explains: a t of the chips' two degrees of freedom.
    std::vector<double> outcomes(300, 0);
    std::fill_n(outcomes.begin(), 20, 1);
    std::fill_n(outcomes.begin() + 120, 30, 1);
    std::fill_n(outcomes.begin() + 250, 40, 1);
    const double variance = (0.1 * 0.1 + 0 + 0.1 * 0.1) / 2 / 3;
    const double images = 0.3 * 0.7 / variance; // independent ones
    EXPECT_NEAR(difference(outcomes, 3).high,
                (0.3 * images + 4.303 * std::sqrt(images * 0.3 * 0.7 + 1)) / (images + 2), 1e-6);
}

TEST(Interval, OfChipsThatDoNotDifferIsThatOfImages)
{
    const std::vector<double> once = outcomes_of(150, 200);
    std::vector<double> twice = once;
    twice.insert(twice.end(), once.begin(), once.end());
    EXPECT_NEAR(proportion(twice, 2).low, proportion(once, 1).low, 1e-12);
    EXPECT_NEAR(proportion(twice, 2).high, proportion(once, 1).high, 1e-12);
    EXPECT_NEAR(difference(twice, 2).high, difference(once, 1).high, 1e-12);
}

/// An image is classified rightly where a normal margin is above 0: what images, chips and both
/// together differ in.
struct Model
{
    const char* name;
    double mean;
    double of_images;
    double of_chips;
    double of_both;
    std::size_t images; ///< at most
};

double below(double normal)
{
    return std::erfc(-normal / std::sqrt(2)) / 2;
}

struct Coverage
{
    double proportion = 0;
    double difference = 0; ///< to the same images without what chips do to them
};

/// How often the intervals of `chips` chips contain the truth.
Coverage coverage(const Model& model, std::size_t chips)
{
    constexpr int kRounds = 4000;
    constexpr std::size_t kMostOutcomes = 6000; // for time
    const std::size_t images = std::min(model.images, kMostOutcomes / chips);
    const double right =
        below(model.mean / std::hypot(model.of_images, model.of_chips, model.of_both));
    const double truth = right - below(model.mean / model.of_images);
    Coverage contained;
    std::vector<float> normal((chips + 1) * images + chips);
    for (int round = 0; round < kRounds; ++round)
    {
        numerics::normals(normal.data(), normal.size(), 0, static_cast<std::uint32_t>(round), 0, 0,
                          {7, 7});
        const float* const of_chips = normal.data() + (chips + 1) * images;
        std::vector<double> outcomes;
        std::vector<double> changes;
        for (std::size_t chip = 0; chip < chips; ++chip)
        {
            const float* const of_both = normal.data() + (chip + 1) * images;
            for (std::size_t image = 0; image < images; ++image)
            {
                const double margin = model.mean + model.of_images * double{normal[image]};
                const double seen = margin + model.of_chips * double{of_chips[chip]} +
                                    model.of_both * double{of_both[image]};
                outcomes.push_back(seen > 0 ? 1 : 0);
                changes.push_back(outcomes.back() - (margin > 0 ? 1 : 0));
            }
        }
        const Estimate its = proportion(outcomes, chips);
        contained.proportion += its.low <= right && right <= its.high ? 1.0 / kRounds : 0;
        const Estimate change = difference(changes, chips);
        contained.difference += change.low <= truth && truth <= change.high ? 1.0 / kRounds : 0;
    }
    return contained;
}

class IntervalOf : public testing::TestWithParam<Model>
{
};

TEST_P(IntervalOf, FewChipsContainsTheTruthAsOftenAsItSays)
{
    for (const std::size_t chips : test::effort(std::vector<std::size_t>{2, 3, 10, 30}))
    {
        const Coverage its = coverage(GetParam(), chips);
        RecordProperty("proportion_" + std::to_string(chips), std::to_string(its.proportion));
        RecordProperty("difference_" + std::to_string(chips), std::to_string(its.difference));
        EXPECT_GE(its.proportion, 0.93) << chips << " chips";
        EXPECT_LE(its.proportion, 0.97) << chips << " chips";
        EXPECT_GE(its.difference, 0.93) << chips << " chips";
        EXPECT_LE(its.difference, 0.97) << chips << " chips";
    }
}

INSTANTIATE_TEST_SUITE_P(Models, IntervalOf,
                         testing::Values(Model{"Both", 1.6, 1, 0.12, 0.6, 200},
                                         Model{"Chips", 1.6, 1, 0.3, 0.6, 600},
                                         Model{"Images", 1.6, 1, 0.03, 0.2, 600},
                                         Model{"FewWrong", 2.4, 1, 0.12, 0.5, 600}),
                         [](const auto& its) { return its.param.name; });

} // namespace
} // namespace tessera::values
