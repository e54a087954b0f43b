// SPDX-License-Identifier: Apache-2.0
#include "base/interrupt.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "unit/simulation_fixture.h"

#include <csignal>
#include <sstream>

namespace tessera::cli
{
namespace
{

class Interface : public tessera::testing::SimulationTest
{
};

TEST_F(Interface, TheCommandLineAndTheLibraryLeaveTheSameBytes)
{
    std::ostringstream out;
    std::ostringstream err;
    const int code = run({"run",
                          "--network",
                          "lenet5",
                          "--chip",
                          "clsa-256",
                          "--set",
                          "noc.vcs=2",
                          "--images",
                          "3",
                          "--level",
                          "stage",
                          "--arrivals",
                          "poisson:1ms",
                          "--seed",
                          "5",
                          "--until",
                          "3ms",
                          "--stats-every",
                          "400us",
                          "--log",
                          "op@*.m0",
                          "--kernel",
                          "native",
                          "--log-file",
                          path("cli.log").string(),
                          "-q",
                          "-o",
                          path("cli").string()},
                         {out, err});
    ASSERT_EQ(code, 0) << err.str();

    const ChipModel chip("clsa-256", {"noc.vcs=2"});
    RunOptions options;
    options.folder = path("api");
    options.level = ActivityLevel::stage;
    options.arrivals = "poisson:1ms";
    options.seed = 5;
    options.until = 3'000'000'000;
    options.stats_every = 400'000'000;
    options.log = {"op@*.m0"};
    std::ostringstream log;
    options.log_to = &log;
    const RunResult result =
        simulate(chip, Program::compile("lenet5", chip, {"layer-by-layer", 3}), options);
    EXPECT_EQ(result.end, RunEnd::until);
    for (const char* file :
         {"/activity.h5", "/stats.json", "/stats.txt", "/config.resolved.json", "/windows.jsonl"})
    {
        EXPECT_EQ(content(std::string("cli") + file), content(std::string("api") + file)) << file;
    }
    EXPECT_EQ(content("cli.log"), log.str());
    EXPECT_FALSE(log.str().empty());
}

TEST_F(Interface, TheFirstSignalRequestsAnInterrupt)
{
    EXPECT_FALSE(interrupt_requested());
    catch_signals();
    std::raise(SIGTERM);
    EXPECT_TRUE(interrupt_requested());
    EXPECT_THROW(throw_if_interrupted(), Error);
    forget_interrupt();
    EXPECT_NO_THROW(throw_if_interrupted());
    EXPECT_EQ(std::signal(SIGTERM, SIG_DFL), SIG_DFL); // the second one ends the process
    EXPECT_NE(std::signal(SIGINT, SIG_DFL), SIG_DFL);
}

TEST_F(Interface, TheLibraryHeedsARequestThatOnlyProgramsMake)
{
    request_interrupt();
    try
    {
        static_cast<void>(Program::compile("lenet5", ChipModel("clsa-256")));
        FAIL() << "the compiler did not look";
    }
    catch (const Error& error)
    {
        EXPECT_EQ(error.code(), ExitCode::interrupted);
    }
    forget_interrupt();
    EXPECT_NO_THROW(static_cast<void>(Program::compile("lenet5", ChipModel("clsa-256"))));
}

} // namespace
} // namespace tessera::cli
