// SPDX-License-Identifier: Apache-2.0
#include "reproduce/clsa_cim.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace tessera::reproduce
{
namespace
{

const Report& quick_report()
{
    static const Report report = clsa_cim({true, false, nullptr});
    return report;
}

nlohmann::ordered_json configuration(const std::string& network, const std::string& variant,
                                     std::uint64_t extra)
{
    for (const auto& its : quick_report().details.at("configurations"))
    {
        if (its.at("network") == network && its.at("variant") == variant &&
            its.at("extra") == extra)
        {
            return its;
        }
    }
    ADD_FAILURE() << network << ' ' << variant << ' ' << extra << " is missing";
    return {};
}

/// Worked out apart from this program, from the networks' definitions.
TEST(ClsaCim, StepsOfTheReferenceModel)
{
    EXPECT_EQ(configuration("tinyyolov3", "layer-by-layer", 0).at("steps"), 232882);
    EXPECT_EQ(configuration("tinyyolov4", "xinf", 0).at("steps"), 44837);
    EXPECT_EQ(configuration("tinyyolov3", "wdup+xinf", 32).at("steps"), 8060);
    const auto both = configuration("tinyyolov4", "wdup+xinf", 32);
    EXPECT_EQ(both.at("steps"), 5109);
    EXPECT_EQ(both.at("least_steps"), 3606);
    EXPECT_NEAR(both.at("speed_up"), 22.13, 0.005);
    EXPECT_NEAR(both.at("utilization"), 0.2857, 0.00005);
    const auto resnet = configuration("resnet50", "wdup+xinf", 32);
    EXPECT_EQ(resnet.at("steps"), 3010);
    EXPECT_NEAR(resnet.at("gain"), 17.90, 0.005);
    // 13 copies of the first layer take 16 rows of 208 each, 3 of the next five 35 of 104
    EXPECT_EQ(configuration("tinyyolov4", "wdup", 32).at("steps"),
              16 * 208 + 5 * 35 * 104 + 4 * 2704 + 4 * 676 + 5 * 169 + 2 * 676);
}

/// S = (U / U layer by layer) (crossbars + extra) / crossbars, whatever the schedule.
TEST(ClsaCim, SpeedUpAndGainBelongTogether)
{
    const std::map<std::string, double> crossbars = {
        {"tinyyolov3", 142}, {"tinyyolov4", 117}, {"resnet50", 390}};
    for (const auto& its : quick_report().details.at("configurations"))
    {
        const double base = crossbars.at(its.at("network"));
        if (its.at("variant") == "wdup+xinf, also inside crossbars")
        {
            continue; // a step does the work of several
        }
        EXPECT_NEAR(its.at("speed_up").get<double>(),
                    its.at("gain").get<double>() * (base + its.at("extra").get<double>()) / base,
                    1e-9)
            << its.dump();
        EXPECT_GE(its.at("steps"), its.at("least_steps")) << its.dump();
    }
}

/// TinyYOLOv3's first layer, 27 x 16, lies nine times in a crossbar: a row takes 47 steps, not 416.
TEST(ClsaCim, CopiesInsideCrossbarsPassTheBound)
{
    const auto yolo3 = configuration("tinyyolov3", "wdup+xinf, also inside crossbars", 32);
    EXPECT_EQ(yolo3.at("least_steps"), 6923);
    EXPECT_LT(yolo3.at("steps"), 6923);
}

TEST(ClsaCim, PublishedFiguresStandBesideOurs)
{
    std::set<double> published;
    for (const Row& row : quick_report().rows)
    {
        if (row.published)
        {
            published.insert(*row.published);
            ASSERT_TRUE(row.ours.has_value());
            EXPECT_EQ(row.status, Status::reference_model) << row.quantity;
            EXPECT_FALSE(row.note.empty()) << row.quantity;
            EXPECT_NEAR(*row.difference_percent(),
                        100 * (*row.ours - *row.published) / *row.published, 1e-9);
        }
        else
        {
            EXPECT_FALSE(row.difference_percent().has_value());
        }
    }
    EXPECT_EQ(published, (std::set<double>{17.9, 21.9, 29.2}));
}

TEST(Report, JsonHasTheFormOfEveryReproduction)
{
    Report report;
    report.name = "example";
    report.paper = "A paper";
    report.rows = {{"speed-up", 20.0, 21.0, "x", Status::prediction, "why"},
                   {"power", std::nullopt, std::nullopt, "W", Status::calibration, "no data"}};
    report.details = {{"more", 1}};
    EXPECT_EQ(json(report).dump(),
              R"({"name":"example","paper":"A paper","rows":[)"
              R"({"quantity":"speed-up","published":20.0,"ours":21.0,"unit":"x",)"
              R"("difference_percent":5.000000000000004,"status":"prediction","note":"why"},)"
              R"({"quantity":"power","published":null,"ours":null,"unit":"W",)"
              R"("difference_percent":null,"status":"calibration","note":"no data"}],"more":1})");
    EXPECT_THAT(text(report), testing::HasSubstr("+5.0 %  prediction"));
}

TEST(Reproductions, AreFoundByName)
{
    for (const Reproduction& known : reproductions())
    {
        EXPECT_EQ(find_reproduction(known.name).run, known.run);
    }
    EXPECT_THROW((void)find_reproduction("clsa"), UsageError);
}

} // namespace
} // namespace tessera::reproduce
