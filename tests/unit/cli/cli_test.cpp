// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace tessera::cli
{
namespace
{

using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Answer
{
    int code;
    std::string out;
    std::string err;
    [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(out); }
};

Answer call(const Arguments& arguments)
{
    std::ostringstream out;
    std::ostringstream err;
    const int code = run(arguments, {out, err});
    return {code, out.str(), err.str()};
}

class Cli : public ::testing::Test
{
protected:
    Cli() { std::filesystem::create_directories(folder_); }
    ~Cli() override { std::filesystem::remove_all(folder_); }
    [[nodiscard]] std::string file(const std::string& name) const
    {
        return (folder_ / name).string();
    }
    [[nodiscard]] static std::string content(const std::string& path)
    {
        std::ifstream in(path, std::ios::binary);
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    }
    void write(const std::string& name, const std::string& text) const
    {
        std::ofstream(file(name)) << text;
    }
    /// A run on the wheel alone: a process can elaborate SystemC only once.
    [[nodiscard]] Answer simulate(const std::string& folder, Arguments arguments) const
    {
        arguments.insert(arguments.begin(), "run");
        for (const char* const more : {"--kernel", "native", "--json", "-o"})
        {
            arguments.emplace_back(more);
        }
        arguments.push_back(file(folder));
        return call(arguments);
    }

private:
    std::filesystem::path folder_ =
        std::filesystem::temp_directory_path() / ("tessera_cli_test." + std::to_string(getpid()));
};

TEST_F(Cli, HelpAndVersion)
{
    EXPECT_EQ(call({"--help"}).code, 0);
    EXPECT_EQ(call({"--version"}).code, 0);
    EXPECT_EQ(call({}).code, 2);
    for (const Command& command : commands())
    {
        const Answer answer = call({command.name, "--help"});
        EXPECT_EQ(answer.code, 0) << command.name;
        EXPECT_THAT(answer.out, HasSubstr(std::string("usage: tessera ") + command.name));
        EXPECT_THAT(answer.err, IsEmpty());
    }
}

TEST_F(Cli, UsageErrors)
{
    for (const Arguments& arguments :
         {Arguments{"fly"},
          Arguments{"run"},
          Arguments{"run", "--chip", "tiny"},
          Arguments{"run", "--network", "lenet5", "--trace", "x", "--chip", "tiny"},
          Arguments{"run", "--network", "lenet5"},
          Arguments{"run", "--what"},
          Arguments{"run", "--network", "lenet5", "--chip", "tiny", "--kernel", "vhdl"},
          Arguments{"run", "--network", "lenet5", "--chip", "tiny", "--level", "much"},
          Arguments{"run", "--network", "lenet5", "--chip", "tiny", "--seed", "x"},
          Arguments{"run", "--network", "lenet5", "--chip", "tiny", "--images", "-1"},
          Arguments{"inspect", "x", "--top", "-1"},
          Arguments{"compile", "--network", "lenet5", "--chip", "tiny"},
          Arguments{"trace"},
          Arguments{"trace", "eat", "x"},
          Arguments{"trace", "check"},
          Arguments{"config"},
          Arguments{"config", "show"},
          Arguments{"config", "eat"},
          Arguments{"inspect"},
          Arguments{"network"},
          Arguments{"network", "eat"}})
    {
        const Answer answer = call(arguments);
        EXPECT_EQ(answer.code, 2) << ::testing::PrintToString(arguments) << answer.err;
        EXPECT_THAT(answer.err, HasSubstr("tessera: "));
        EXPECT_THAT(answer.out, IsEmpty());
    }
}

TEST_F(Cli, BadInput)
{
    write("bad.json", "{\"noc\": {\"vsc\": 4}}");
    const Answer key = call({"config", "check", file("bad.json")});
    EXPECT_EQ(key.code, 3);
    EXPECT_THAT(key.err, HasSubstr("vcs"));
    EXPECT_THAT(key.err, HasSubstr("/noc/vsc"));
    EXPECT_EQ(call({"run", "--network", "nonet", "--chip", "tiny"}).code, 3);
    EXPECT_EQ(call({"run", "--network", "lenet5", "--chip", "nochip"}).code, 3);
    const Answer small = call({"run", "--network", "vgg16", "--chip", "tiny"});
    EXPECT_EQ(small.code, 3);
    EXPECT_THAT(small.err, HasSubstr("missing"));
}

TEST_F(Cli, MissingFilesAreInputOutputErrors)
{
    EXPECT_EQ(call({"trace", "check", file("none.trace.jsonl")}).code, 5);
    EXPECT_EQ(call({"inspect", file("none")}).code, 5);
    EXPECT_EQ(
        call({"compile", "-n", "lenet5", "-c", "clsa-256", "-o", "/proc/none.trace.jsonl"}).code,
        5);
}

struct Published
{
    const char* network;
    std::uint64_t steps;
    std::uint32_t crossbars;
    double utilization; ///< per cent, three decimals
};

class LayerByLayer : public Cli, public ::testing::WithParamInterface<Published>
{
};

TEST_P(LayerByLayer, StepsCrossbarsAndUtilization)
{
    const Published& expected = GetParam();
    const Answer answer = simulate("out", {"--network", expected.network, "--chip",
                                           "clsa-256-ideal", "--schedule", "layer-by-layer"});
    ASSERT_EQ(answer.code, 0) << answer.err;
    const auto figures = answer.json();
    constexpr std::uint64_t t_mvm = 1'400'000;
    EXPECT_EQ(figures["makespan_ps"], expected.steps * t_mvm);
    EXPECT_EQ(figures["crossbars"], expected.crossbars);
    EXPECT_NEAR(100 * figures["utilization"].get<double>(), expected.utilization, 0.0005);
}

// sum of OH x OW, sum of ceil(Kh Kw Cin / 256) ceil(Cout / 256), and W / (PE T) of the
// convolutions.
INSTANTIATE_TEST_SUITE_P(Networks, LayerByLayer,
                         ::testing::Values(Published{"tinyyolov3", 232882, 142, 0.844},
                                           Published{"tinyyolov4", 113061, 117, 1.644},
                                           Published{"vgg16", 137788, 233, 1.448},
                                           Published{"vgg19", 141904, 314, 1.186},
                                           Published{"resnet50", 58310, 390, 0.546},
                                           Published{"resnet101", 68306, 679, 0.390},
                                           Published{"resnet152", 85358, 936, 0.316}),
                         [](const auto& info) { return info.param.network; });

TEST_F(Cli, TheDifferenceToTheIdealChipIsPartitionedExactly)
{
    for (const char* const network : {"tinyyolov4", "resnet50"})
    {
        const Answer ideal =
            simulate("ideal", {"--network", network, "--chip", "clsa-256-ideal", "--force"});
        // Only convolutions on crossbars here, too: what differs is what moving and waiting cost.
        const Answer real = simulate("real", {"--network", network, "--chip", "clsa-256", "--force",
                                              "--set", "mapping.on_crossbar=[\"conv2d\"]"});
        ASSERT_EQ(ideal.code, 0) << ideal.err;
        ASSERT_EQ(real.code, 0) << real.err;
        const std::int64_t difference = real.json()["makespan_ps"].get<std::int64_t>() -
                                        ideal.json()["makespan_ps"].get<std::int64_t>();
        EXPECT_GT(difference, 0);
        const Answer parts = call({"inspect", file("real"), "--against", file("ideal"), "--json"});
        ASSERT_EQ(parts.code, 0) << parts.err;
        std::int64_t sum = 0;
        bool moved = false;
        const auto tables = parts.json();
        for (const auto& part : tables.begin().value())
        {
            sum += part["difference_ps"].get<std::int64_t>();
            moved |= part["what"] == "move" || part["what"] == "load";
        }
        EXPECT_EQ(sum, difference);
        EXPECT_TRUE(moved);
    }
}

TEST_F(Cli, ATraceRunsLikeTheNetworkItWasCompiledFrom)
{
    const std::string text = file("net.trace.jsonl");
    const std::string packed = file("net.trace.h5");
    const std::string back = file("back.trace.jsonl");
    ASSERT_EQ(call({"compile", "-n", "lenet5", "-c", "clsa-256", "-o", text}).code, 0);
    EXPECT_EQ(call({"compile", "-n", "lenet5", "-c", "clsa-256", "-o", text}).code, 2);
    ASSERT_EQ(call({"trace", "check", text}).code, 0);
    ASSERT_EQ(call({"trace", "convert", text, packed}).code, 0);
    ASSERT_EQ(call({"trace", "convert", packed, back}).code, 0);
    EXPECT_EQ(content(text), content(back));
    EXPECT_EQ(call({"trace", "stats", packed, "--json"}).json(),
              call({"trace", "stats", text, "--json"}).json());

    ASSERT_EQ(simulate("network", {"-n", "lenet5", "-c", "clsa-256"}).code, 0);
    for (const std::string& trace : {text, packed})
    {
        ASSERT_EQ(simulate("trace", {"-t", trace, "-c", "clsa-256", "--force"}).code, 0);
        EXPECT_EQ(content(file("network/activity.h5")), content(file("trace/activity.h5")));
        EXPECT_EQ(content(file("network/stats.json")), content(file("trace/stats.json")));
    }
    const Answer other =
        simulate("other", {"-t", text, "-c", "clsa-256", "--set", "macro.rows=128"});
    EXPECT_EQ(other.code, 3);
    EXPECT_THAT(other.err, HasSubstr("macro.rows"));
}

/// How a network is mapped is the trace's affair: it runs on the chip as it is.
TEST_F(Cli, AMappedTraceRunsLikeTheNetworkItWasCompiledFrom)
{
    struct Case
    {
        Arguments chip;
        Arguments options;
    };
    const Arguments whole = {"-c", "clsa-256"};
    const Arguments small = {"-c", "clsa-256", "--set", "tiles.columns=1"};
    const auto with = [](Arguments all, const Arguments& more)
    {
        all.insert(all.end(), more.begin(), more.end());
        return all;
    };
    for (const Case& its : {Case{whole, {"--placement", "traffic"}},
                            Case{whole, {"--depthwise", "crossbar", "--pack"}},
                            Case{whole, {"--replicate-in-crossbar"}},
                            Case{small, {"--depthwise", "crossbar", "--time-multiplex"}}})
    {
        const std::string trace = file("mapped.trace.h5");
        const Arguments network = with(with({"-n", "mobilenetv2"}, its.chip), its.options);
        const Answer compiled =
            call(with(with({"compile"}, network), {"-o", trace, "--force", "--json"}));
        ASSERT_EQ(compiled.code, 0) << compiled.err;
        ASSERT_EQ(call({"trace", "check", trace}).code, 0);
        const auto figures = compiled.json();
        std::uint64_t weights = 0;
        for (const auto& layer : figures.at("layers"))
        {
            weights += layer["weights"].get<std::uint64_t>();
            EXPECT_GT(layer["occupancy"].get<double>(), 0);
            EXPECT_LE(layer["occupancy"].get<double>(), 1);
        }
        EXPECT_EQ(figures.at("weights").get<std::uint64_t>(), weights);
        EXPECT_LE(figures.at("occupancy").get<double>(), 1);
        ASSERT_EQ(simulate("network", with(network, {"--force"})).code, 0);
        ASSERT_EQ(simulate("trace", with({"-t", trace, "--force"}, its.chip)).code, 0);
        EXPECT_EQ(content(file("network/stats.json")), content(file("trace/stats.json")));
    }
}

TEST_F(Cli, WritingAndItsEnduranceArePrinted)
{
    const Answer turns = call({"run", "-n", "lenet5", "-c", "tiny", "--time-multiplex", "--images",
                               "2", "-o", file("turns")});
    ASSERT_EQ(turns.code, 0) << turns.err;
    EXPECT_THAT(turns.out, HasSubstr("segments take turns for 2 images"));
    EXPECT_THAT(turns.out, HasSubstr("hours without a pause"));
    const Answer refused = call({"run", "-n", "lenet5", "-c", "tiny", "-o", file("refused")});
    EXPECT_EQ(refused.code, 3);
    EXPECT_THAT(refused.err, HasSubstr("are missing"));
}

TEST_F(Cli, UnknownMappingsAreRefused)
{
    for (const char* option : {"--placement", "--depthwise"})
    {
        const Answer answer = call({"compile", "-n", "lenet5", "-c", "tiny", "-o",
                                    file("never.trace.h5"), option, "elsewhere"});
        EXPECT_EQ(answer.code, 2);
        EXPECT_THAT(answer.err, HasSubstr("elsewhere"));
    }
}

TEST_F(Cli, EffectiveConfigRunsTheSame)
{
    ASSERT_EQ(simulate("a", {"-n", "lenet5", "-c", "clsa-256", "--set", "noc.vcs=2"}).code, 0);
    ASSERT_EQ(simulate("b", {"-n", "lenet5", "-c", file("a/config.resolved.json")}).code, 0);
    EXPECT_EQ(content(file("a/activity.h5")), content(file("b/activity.h5")));
}

TEST_F(Cli, ResultFoldersAreNotOverwrittenByAccident)
{
    const Arguments lenet = {"-n", "lenet5", "-c", "clsa-256"};
    ASSERT_EQ(simulate("out", lenet).code, 0);
    EXPECT_EQ(simulate("out", lenet).code, 2);
    Arguments forced = lenet;
    forced.emplace_back("--force");
    EXPECT_EQ(simulate("out", forced).code, 0);
    std::filesystem::create_directories(file("mine"));
    write("mine/thesis.txt", "three years of work");
    EXPECT_EQ(simulate("mine", forced).code, 2);
    EXPECT_EQ(content(file("mine/thesis.txt")), "three years of work");
}

TEST_F(Cli, ADeadlockLeavesItsReport)
{
    const std::string trace = TESSERA_SOURCE_DIR "/traces/deadlock.trace.jsonl";
    ASSERT_EQ(call({"trace", "check", trace}).code, 0);
    const Answer answer = simulate("out", {"-t", trace, "-c", "tiny"});
    EXPECT_EQ(answer.code, 4);
    EXPECT_THAT(answer.err, HasSubstr("deadlock"));
    const auto report = nlohmann::json::parse(content(file("out/deadlock.json")));
    EXPECT_FALSE(report["cycle"].empty());
    EXPECT_TRUE(std::filesystem::exists(file("out/activity.h5.part")));
    EXPECT_FALSE(std::filesystem::exists(file("out/activity.h5")));
}

} // namespace
} // namespace tessera::cli
