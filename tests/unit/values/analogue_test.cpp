// SPDX-License-Identifier: Apache-2.0
#include "values/analogue.h"

#include "config/load.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace tessera::values
{
namespace
{

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::vector<std::string> remarks_on(const std::string& chip, std::vector<std::string> settings)
{
    return remarks(config::load(chip, settings));
}

/// A model in a file of its own, beside the shipped one that it extends.
class AidacFile : public testing::Test
{
protected:
    AidacFile()
        : path_(std::filesystem::path(testing::TempDir()) /
                (std::string("tessera-") +
                 testing::UnitTest::GetInstance()->current_test_info()->name() + ".json"))
    {
    }
    ~AidacFile() override { std::filesystem::remove(path_); }
    std::vector<std::string> remarks_with(const std::string& members, const std::string& constants,
                                          std::vector<std::string> settings = {})
    {
        std::ofstream(path_) << R"({"format": "tessera-aidac", "version": "1.0", "name": "mine",
 "extends": "yoco-28nm")" << members
                             << ",\n\"constants\": {" << constants << "}}";
        settings.push_back("macro.aidac.model=" + path_.string());
        return remarks_on("aidac", settings);
    }
    std::string refusal(const std::string& members, const std::string& constants)
    {
        try
        {
            return "accepted: " + testing::PrintToString(remarks_with(members, constants));
        }
        catch (const InputError& error)
        {
            return error.what();
        }
    }
    static std::string constant(const std::string& name, const std::string& value)
    {
        return '"' + name + R"(": {"value": )" + value + R"(, "source": "s", "status": "assumed"})";
    }

    std::filesystem::path path_;
};

TEST(Remarks, AidacChipsSayHowManyBitsLoseNothing)
{
    EXPECT_THAT(remarks_on("aidac", {}),
                ElementsAre("time-to-digital converters of 26 bits lose nothing of 1024 rows; "
                            "warning: tdc_bits of aidac-28nm is 8, so results differ from "
                            "whole-number arithmetic"));
    EXPECT_THAT(remarks_on("aidac", {"macro.aidac.signs=paired", "macro.rows=128"}),
                ElementsAre(HasSubstr("converters of 23 bits lose nothing of 128 rows")));
    EXPECT_THAT(remarks_on("aidac", {"macro.input_bits=4"}),
                ElementsAre(HasSubstr("converters of 22 bits lose nothing of 1024 rows")));
}

/// What validate() throws, or nothing.
std::string invalid(const std::string& chip, const std::vector<std::string>& settings)
{
    try
    {
        validate(config::load(chip, settings));
    }
    catch (const InputError& error)
    {
        return error.what();
    }
    return "";
}

TEST(Validate, RefusesWhatNoRunCanDo)
{
    EXPECT_EQ(invalid("aidac", {}), "");
    EXPECT_EQ(invalid("aidac", {"macro.weight_bits=8"}), "");
    EXPECT_THAT(invalid("aidac", {"macro.weight_bits=9"}), HasSubstr("weight_bits"));
    EXPECT_THAT(invalid("aidac", {"macro.aidac.model=none"}), HasSubstr("none"));
    EXPECT_THAT(invalid("tiny", {"macro.cell.device=none"}), HasSubstr("/macro/cell/device"));
    EXPECT_THAT(invalid("tiny", {"macro.cell.device=generic", R"(macro.cell.steps=["verify"])"}),
                HasSubstr("/macro/cell/steps"));
}

TEST(Validate, TimesNeedNoValues)
{
    const std::vector<std::string> wide{"macro.weight_bits=30"};
    EXPECT_EQ(invalid("tiny", wide), "");
    EXPECT_THAT(remarks_on("tiny", wide),
                ElementsAre(HasSubstr("values cannot be computed: tiny: /macro: weight_bits")));
    EXPECT_THROW((void)analogue_of(config::load("tiny", wide)), InputError);
}

TEST_F(AidacFile, EnoughBitsAreNoWarningButStepsTooFineAre)
{
    const std::vector<std::string> small{"macro.rows=4", "macro.input_bits=4",
                                         "macro.weight_bits=2"};
    // The array's 128 rows: -128 x 15 x 2 = -3840: 13 bits.
    EXPECT_THAT(remarks_with(
                    "", constant("tdc_bits", "13") + ',' + constant("tdc_finest_ps", "0.4"), small),
                ElementsAre("time-to-digital converters of 13 bits lose nothing of 4 rows"));
    EXPECT_THAT(remarks_with(
                    "", constant("tdc_bits", "12") + ',' + constant("tdc_finest_ps", "0.4"), small),
                ElementsAre(HasSubstr("warning: tdc_bits of mine is 12")));
    // 8 ns x 256 / 255 / 2^12 = 1.96 ps.
    EXPECT_THAT(remarks_with("", constant("tdc_bits", "12")),
                ElementsAre(HasSubstr("26 bits"),
                            "warning: 12 bits of mine make steps of 1.96 ps in its window of 8 ns, "
                            "but tdc_finest_ps is 2"));
    EXPECT_THAT(
        remarks_with("", constant("tdc_bits", "12") + ',' + constant("tdc_finest_ps", "1.95")),
        ElementsAre(HasSubstr("26 bits")));
}

TEST_F(AidacFile, EveryRuleOfAModelIsAskedBeforeARun)
{
    EXPECT_THAT(refusal("", ""), HasSubstr("accepted"));
    EXPECT_THAT(refusal("", constant("unit_ff", "1")),
                HasSubstr(path_.string() + ":3: /constants/unit_ff: unknown key 'unit_ff'; did "
                                           "you mean 'unit_fF'?"));
    EXPECT_THAT(refusal("", constant("window_ns", "-8")),
                HasSubstr("/constants/window_ns/value: -8 is out of range"));
    EXPECT_THAT(refusal(R"(, "cell": "rram-direct")", ""),
                HasSubstr("R_HRS C is 2.65 ns (1000 kOhm x 2.65 fF), the hold time 3.5 ns"));
    EXPECT_THAT(refusal("", constant("array_rows", "100")),
                HasSubstr(path_.string() + ": array_rows: 100 rows cannot be weighed"));
    EXPECT_THAT(refusal(R"(, "device": "genric")", ""), HasSubstr("did you mean"));
}

const auto kArrays = HasSubstr("columns of cells hold one of weights");

TEST(Remarks, NothingThatADeviceDescribesIsInVain)
{
    for (const char* device : {"generic", "rram-50-225", "neurram-1day"})
    {
        EXPECT_THAT(remarks_on("clsa-256", {std::string("macro.cell.device=") + device}),
                    ElementsAre(kArrays, HasSubstr("11 bits")));
    }
}

TEST(Analogue, StepsAreThoseThatAreListed)
{
    using numerics::Step;
    const auto steps_with = [](const std::string& device, const std::string& list)
    {
        return analogue_of(config::load("clsa-256",
                                        {"macro.cell.device=" + device, "macro.cell.steps=" + list},
                                        {}))
            .steps;
    };
    const auto refusal_of = [&](const std::string& device, const std::string& list)
    {
        try
        {
            static_cast<void>(steps_with(device, list));
        }
        catch (const InputError& error)
        {
            return std::string(error.what());
        }
        return std::string("accepted");
    };
    EXPECT_EQ(steps_with("generic", R"(["all"])"),
              (std::set<Step>{Step::programming, Step::retention, Step::read_noise, Step::flicker,
                              Step::telegraph}));
    EXPECT_EQ(steps_with("generic", R"(["flicker","programming"])"),
              (std::set<Step>{Step::programming, Step::flicker}));
    EXPECT_EQ(steps_with("generic", "[]"), std::set<Step>());
    EXPECT_THAT(refusal_of("neurram-1day", R"(["telegraph"])"),
                HasSubstr("/macro/cell/steps: telegraph is not described by neurram-1day"));
    EXPECT_THAT(refusal_of("rram-50-225", R"(["programming","verify"])"),
                HasSubstr("verify would happen twice: the programming fit of rram-50-225 contains "
                          "it; leave it out"));
    EXPECT_THAT(refusal_of("generic-verified", R"(["verify"])"),
                HasSubstr("verify has nothing to verify; list programming too"));
    EXPECT_THAT(refusal_of("generic", R"(["flickr"])"), HasSubstr("did you mean"));
}

std::vector<std::string> names_of(const std::vector<Source>& all)
{
    std::vector<std::string> names;
    for (const Source& source : all)
    {
        names.push_back(source.name);
    }
    return names;
}

TEST(Sources, NonLinearityIsOneOnItsOwn)
{
    const Analogue analogue = analogue_of(
        config::load("clsa-256", {"macro.cell.device=rram-50-225", "macro.cell.row_ohm=1",
                                  "macro.cell.column_ohm=1", "macro.cell.read_volts=0.3"}));
    EXPECT_EQ(analogue.read_volts, 0.3);
    const std::vector<Source> all = sources(analogue);
    ASSERT_THAT(names_of(all), ElementsAre("programming", "wires", "non-linearity"));
    EXPECT_FALSE(all[0].analogue.device->non_linear);
    EXPECT_FALSE(all[1].analogue.device->non_linear);
    EXPECT_TRUE(all[2].analogue.device->non_linear);
    EXPECT_TRUE(all[2].analogue.steps.empty());
    EXPECT_FALSE(all[2].analogue.wires);
    EXPECT_EQ(all[2].analogue.read_volts, 0.3);
    EXPECT_FALSE(noiseless(analogue).device);
    EXPECT_THAT(names_of(sources(
                    analogue_of(config::load("clsa-256", {"macro.cell.device=neurram-1day"})))),
                Not(testing::Contains("non-linearity")));
}

TEST(Sources, OffCurrentOfSteeredCellsIsOneOnItsOwn)
{
    const auto of = [&](const char* signs)
    {
        return analogue_of(config::load("clsa-256", {"macro.cell.device=rram-50-225",
                                                     std::string("macro.cell.signs=") + signs}));
    };
    const std::vector<Source> all = sources(of("sign-magnitude"));
    ASSERT_THAT(names_of(all), ElementsAre("off current", "programming", "non-linearity"));
    EXPECT_FALSE(all[0].analogue.off_cancels);
    EXPECT_TRUE(all[0].analogue.steps.empty());
    EXPECT_TRUE(all[1].analogue.off_cancels);
    EXPECT_TRUE(all[2].analogue.off_cancels);
    EXPECT_THAT(names_of(sources(of("offset"))), Not(testing::Contains("off current")));
    EXPECT_TRUE(with_off_current(of("sign-magnitude")).device);
    EXPECT_FALSE(with_off_current(of("differential")).device);
    EXPECT_FALSE(noiseless(of("sign-magnitude")).device);
}

class FallingDevice : public testing::Test
{
protected:
    FallingDevice()
        : path_((std::filesystem::path(testing::TempDir()) / "tessera-falling.json").string())
    {
        const char* sourced = R"("source": "s", "status": "assumed"})";
        std::ofstream(path_) << R"({"format": "tessera-device", "version": "1.0", "name": "falling",
 "conductance": {"off_uS": 10, "on_uS": 100, "bits": 2, )"
                             << sourced << R"(,
 "non_linear": {"second": {"over": "conductance_uS", "coefficients": [0]},
                "third": {"over": "conductance_uS", "coefficients": [-1e-4]}, )"
                             << sourced << "}";
    }
    ~FallingDevice() override { std::filesystem::remove(path_); }
    std::string refusal(const std::string& volts)
    {
        try
        {
            static_cast<void>(analogue_of(config::load(
                "clsa-256", {"macro.cell.device=" + path_, "macro.cell.read_volts=" + volts})));
            return "accepted";
        }
        catch (const InputError& error)
        {
            return error.what();
        }
    }

    std::string path_;
};

TEST_F(FallingDevice, IsRefusedWithItsFileItsKeyAndARemedy)
{
    // 10 uS - 3e-4 V^2 A/V^3 is 0 at 0.183 V.
    EXPECT_EQ(refusal("0.18"), "accepted");
    EXPECT_THAT(refusal("0.185"), HasSubstr(path_ + ": /non_linear: makes the current of a cell of "
                                                    "10 uS fall with the voltage"));
    EXPECT_THAT(refusal("0.185"), HasSubstr("read with a lower macro.cell.read_volts"));
}

TEST_F(FallingDevice, VoltagesThatCannotBeAreRefused)
{
    for (const char* volts : {"0", "-0.2", "11", "1e-4", "nan", "0.2 V", "\"0.2\"", "null"})
    {
        EXPECT_THAT(refusal(volts), HasSubstr("macro/cell/read_volts")) << volts;
    }
}

TEST(Remarks, CrossbarsSayHowManyBitsLoseNothing)
{
    EXPECT_THAT(remarks_on("clsa-256", {}),
                ElementsAre(kArrays,
                            "converters of 11 bits lose nothing of 256 rows; macro.adc.range is "
                            "lossless"));
    EXPECT_THAT(remarks_on("clsa-256", {"macro.adc.range=granular", "macro.adc.bits=11"}),
                ElementsAre(kArrays, Not(HasSubstr("warning"))));
    // 768 levels by 1023 codes: every level has a code, but sums of codes are no whole numbers.
    EXPECT_THAT(
        remarks_on("clsa-256", {"macro.adc.range=full", "macro.adc.bits=11"}),
        ElementsAre(kArrays,
                    HasSubstr("warning: macro.adc.range full makes steps of 0.751 levels")));
    EXPECT_THAT(remarks_on("clsa-256", {"macro.adc.range=full", "macro.adc.bits=11",
                                        "macro.cell.bits=1", "macro.rows=1023"}),
                ElementsAre(kArrays, Not(HasSubstr("makes steps"))));
    EXPECT_THAT(remarks_on("clsa-256", {"macro.adc.range=full", "macro.adc.bits=10"}),
                ElementsAre(kArrays, HasSubstr("warning: macro.adc.bits is 10")));
}

} // namespace
} // namespace tessera::values
