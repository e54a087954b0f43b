// SPDX-License-Identifier: Apache-2.0
// How a platform comes to an end before the chip does. One elaboration for each test: all but the
// last one run in a process of their own.
#include "tessera/platform.h"
#include "unit/platform_host.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <systemc>

namespace tessera::platform
{
namespace
{

namespace map = host;
using testing::TestHost;

constexpr int kAsExpected = 0;

Program two_layers()
{
    return Program::open(std::string(TESSERA_SOURCE_DIR) + "/traces/two-layer-chain.trace.jsonl");
}

/// A host that throws when the chip responds to it. What it threw must be what ends the simulation.
[[noreturn]] void let_host_throw(bool while_a_job_runs)
{
    PlatformOptions options;
    options.resident = two_layers();
    PlatformChip chip("chip", ChipModel("tiny"), options);
    TestHost host("host",
                  [&](TestHost& self)
                  {
                      if (while_a_job_runs)
                      {
                          self.write(map::kControl, map::start);
                      }
                      self.on_response = []
                      { SC_REPORT_ERROR("host", "it did not like the answer"); };
                      self.read_both(map::kIdentity, map::kStatus);
                  });
    host.socket.bind(chip.host());
    int code = 1;
    try
    {
        sc_core::sc_start();
    }
    catch (const sc_core::sc_report& report)
    {
        const bool told =
            std::string(report.what()).find("it did not like the answer") != std::string::npos;
        code =
            told && chip.running() == while_a_job_runs && chip.failure().empty() ? kAsExpected : 2;
    }
    std::exit(code);
}

TEST(Ending, WhatAHostThrowsIsNotLost)
{
    EXPECT_EXIT(let_host_throw(false), ::testing::ExitedWithCode(kAsExpected), "");
}

TEST(Ending, WhatAHostThrowsIsNotTheJobsFailure)
{
    EXPECT_EXIT(let_host_throw(true), ::testing::ExitedWithCode(kAsExpected), "");
}

TEST(Ending, AChipThatGoesWhileAJobRunsLeavesItsResults)
{
    const std::filesystem::path folder =
        std::filesystem::path(::testing::TempDir()) / "tessera_platform_ending";
    std::filesystem::remove_all(folder);
    PlatformOptions options;
    options.resident = two_layers();
    options.run.folder = folder;
    auto chip = std::make_unique<PlatformChip>("chip", ChipModel("tiny"), options);
    TestHost host("host",
                  [&](TestHost& self)
                  {
                      self.write(map::kIrqEnable, map::aborted);
                      self.write(map::kControl, map::start);
                      for (;;)
                      {
                          sc_core::wait(50, sc_core::SC_NS); // the chip does not run ahead
                      }
                  });
    host.socket.bind(chip->host());
    auto irq = std::make_unique<sc_core::sc_signal<bool>>("irq");
    chip->irq(*irq);

    sc_core::sc_start(500, sc_core::SC_NS);

    ASSERT_TRUE(chip->running());
    irq.reset();
    chip.reset();
    std::ifstream run(folder / "job0/run.json");
    EXPECT_EQ(nlohmann::json::parse(run).at("status"), "interrupted");
    std::ifstream stats(folder / "job0/stats.json");
    EXPECT_LE(nlohmann::json::parse(stats).at("chip").at("makespan").at("value"), 500'000);
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace tessera::platform
