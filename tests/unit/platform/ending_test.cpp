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
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_target_socket.h>
#include <unistd.h>

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

std::filesystem::path scratch(const std::string& name)
{
    const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) /
                                         ("tessera_" + name + "_" + std::to_string(getpid()));
    std::filesystem::remove_all(folder);
    return folder;
}

nlohmann::json json_of(const std::filesystem::path& file)
{
    std::ifstream in(file);
    return nlohmann::json::parse(in);
}

/// Takes requests and never answers.
class SilentMemory : public sc_core::sc_module
{
public:
    explicit SilentMemory(const sc_core::sc_module_name& name) : sc_module(name), socket("socket")
    {
        socket.register_b_transport(this, &SilentMemory::b_transport);
    }
    tlm_utils::simple_target_socket<SilentMemory> socket;
    bool asked = false;

private:
    void b_transport(tlm::tlm_generic_payload& /*payload*/, sc_core::sc_time& /*delay*/)
    {
        asked = true;
        wait(never_);
    }
    sc_core::sc_event never_;
};

/// How a simulation is brought to its end while a job runs.
enum class End
{
    by_host,         ///< sc_stop() by a thread, 500 ns after the start
    by_host_at_once, ///< the same, and the kernel finishes no delta cycle
    from_outside,    ///< sc_start(500 ns), then sc_stop()
    by_destruction   ///< sc_start(500 ns), then the chip goes
};

struct Scene
{
    End end = End::by_host;
    bool silent_memory = false; ///< that keeps the job's first request for ever
    bool blocking = false;
    bool others_act = true; ///< else the wheel runs ahead to the end of the job
};

void require(bool condition, const char* what)
{
    if (!condition)
    {
        std::cerr << what << '\n';
        std::exit(2);
    }
}

void require_interrupted(const std::filesystem::path& job, const Scene& scene)
{
    require(json_of(job / "run.json").at("status") == "interrupted", "run.json");
    require(!json_of(job / "stats.json").empty(), "stats.json");
    require(std::filesystem::exists(job / "activity.h5.part"), "activity.h5.part");
    require(!scene.others_act ||
                json_of(job / "stats.json").at("chip").at("span").at("value") <= 500'000,
            "the span goes beyond the end");
}

/// After sc_stop() the chip still tells what there is.
void require_told(PlatformChip& chip, TestHost& host, const sc_core::sc_signal<bool>& irq)
{
    require(!chip.running() && chip.jobs() == 1, "the job is over");
    require(chip.failure() == "the simulation was stopped while the job ran", "failure()");
    require(host.debug_read(map::kStatus) == map::aborted, "kStatus");
    require(host.debug_read(map::kIrqPending) == map::aborted, "kIrqPending");
    require(!irq.read(), "irq keeps its value");
}

[[noreturn]] void end_simulation(Scene scene)
{
    const std::filesystem::path folder = scratch("end");
    PlatformOptions options;
    options.resident = two_layers();
    options.run.folder = folder;
    options.blocking = scene.blocking;
    options.hosts = 2;
    auto chip = std::make_unique<PlatformChip>("chip", ChipModel("tiny"), options);
    std::unique_ptr<SilentMemory> memory;
    if (scene.silent_memory)
    {
        memory = std::make_unique<SilentMemory>("memory");
        chip->memory().bind(memory->socket);
    }
    sc_core::sc_signal<bool> irq("irq");
    chip->irq(irq);
    const bool by_host = scene.end == End::by_host || scene.end == End::by_host_at_once;
    TestHost host("host",
                  [&](TestHost& self)
                  {
                      self.write(map::kIrqEnable, map::aborted);
                      self.write(map::kControl, map::start);
                      for (int i = 0; scene.others_act && i < 10; ++i)
                      {
                          sc_core::wait(50, sc_core::SC_NS);
                      }
                      if (by_host)
                      {
                          sc_core::sc_stop();
                      }
                  });
    host.socket.bind(chip->host(0));
    TestHost waiting("waiting", // for an access that never gets its response
                     [&](TestHost& self)
                     {
                         if (scene.others_act)
                         {
                             sc_core::wait(500, sc_core::SC_NS);
                             self.read(map::kStatus);
                         }
                     });
    waiting.socket.bind(chip->host(1));
    if (scene.end == End::by_host_at_once)
    {
        sc_core::sc_set_stop_mode(sc_core::SC_STOP_IMMEDIATE);
    }
    if (by_host)
    {
        sc_core::sc_start();
    }
    else
    {
        sc_core::sc_start(500, sc_core::SC_NS);
        require(chip->running(), "it goes on");
        require(scene.others_act || scene.silent_memory ||
                    host.debug_read(map::kOperations) == host.debug_read(map::kTotal),
                "this scene is about a wheel that is ahead");
    }
    if (scene.end == End::from_outside)
    {
        sc_core::sc_stop();
    }
    require(memory == nullptr || memory->asked, "the memory has a request");
    if (scene.end != End::by_destruction)
    {
        require_told(*chip, host, irq);
        require_interrupted(folder / "job0", scene); // already now
    }
    chip.reset();
    require_interrupted(folder / "job0", scene);
    std::filesystem::remove_all(folder);
    std::exit(kAsExpected);
}

TEST(Ending, OfTheSimulationInterruptsTheJob)
{
    for (const Scene scene : {Scene{End::by_host, false, false}, Scene{End::by_host, true, false},
                              Scene{End::by_host, true, true}, Scene{End::by_host_at_once},
                              Scene{End::from_outside, true, false}, Scene{End::by_destruction},
                              Scene{End::by_destruction, true, true}})
    {
        EXPECT_EXIT(end_simulation(scene), ::testing::ExitedWithCode(kAsExpected), "")
            << static_cast<int>(scene.end) << scene.silent_memory << scene.blocking;
    }
}

TEST(Ending, OfTheSimulationBeforeTheJobsInterruptsItThoughTheWheelIsAhead)
{
    for (const End end : {End::from_outside, End::by_destruction})
    {
        EXPECT_EXIT(end_simulation({end, false, false, false}),
                    ::testing::ExitedWithCode(kAsExpected), "");
    }
}

/// sc_stop() without a job, and a chip that never ran one.
TEST(Ending, WithoutAJobIsQuiet)
{
    const auto stop = []
    {
        PlatformChip chip("chip", ChipModel("tiny"));
        TestHost host("host", [](TestHost& /*self*/) { sc_core::sc_stop(); });
        host.socket.bind(chip.host());
        sc_core::sc_start();
        require(chip.jobs() == 0 && chip.failure().empty(), "nothing has happened");
        std::exit(kAsExpected);
    };
    EXPECT_EXIT(stop(), ::testing::ExitedWithCode(kAsExpected), "");
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
    EXPECT_LE(nlohmann::json::parse(stats).at("chip").at("span").at("value"), 500'000);
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace tessera::platform
