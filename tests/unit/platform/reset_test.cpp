// SPDX-License-Identifier: Apache-2.0
// One process, one elaboration: resets while jobs run, before and after them.
#include "platform/process.h"
#include "tessera/platform.h"
#include "unit/platform_host.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_target_socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace tessera::platform
{
namespace
{

namespace map = host;
using testing::TestHost;
using testing::trace_file;
using Payload = tlm::tlm_generic_payload;

/// Takes 200 ns for everything, and goes on with what it has got, whatever happens to the chip.
class SlowMemory : public sc_core::sc_module
{
public:
    explicit SlowMemory(const sc_core::sc_module_name& name) : sc_module(name), socket("socket")
    {
        socket.register_b_transport(this, &SlowMemory::b_transport);
    }
    tlm_utils::simple_target_socket<SlowMemory> socket;
    unsigned begun = 0;
    unsigned ended = 0;

private:
    void b_transport(Payload& payload, sc_core::sc_time& /*delay*/)
    {
        ++begun;
        wait(200, sc_core::SC_NS);
        ++ended;
        payload.set_response_status(tlm::TLM_OK_RESPONSE);
    }
};

/// Somebody's board: its reset goes on to the chip.
class Board : public sc_core::sc_module
{
public:
    Board(const sc_core::sc_module_name& name, const PlatformOptions& options)
        : sc_module(name), reset("reset"), chip("chip", ChipModel("tiny"), options)
    {
        chip.reset.bind(reset);
    }
    sc_core::sc_in<bool> reset;
    PlatformChip chip;
};

std::string status_of(const std::filesystem::path& job)
{
    std::ifstream run(job / "run.json");
    return nlohmann::json::parse(run).at("status");
}

nlohmann::json figures_of(const std::filesystem::path& job)
{
    std::ifstream stats(job / "stats.json");
    return nlohmann::json::parse(stats);
}

/// Debug transport reads registers in reset, too.
void expect_as_before_the_first_job(TestHost& host, const PlatformChip& chip, std::uint64_t jobs)
{
    for (const std::uint64_t zero :
         {map::kStatus, map::kIrqEnable, map::kIrqPending, map::kProgramLength, map::kMakespan,
          map::kCycles, map::kOperations, map::kTotal, map::kEvents, map::kReportLength})
    {
        EXPECT_EQ(host.debug_read(zero), 0U) << std::hex << zero;
    }
    EXPECT_EQ(host.debug_read(map::kJobs), jobs);
    EXPECT_FALSE(chip.running());
    EXPECT_EQ(chip.jobs(), jobs);
    EXPECT_EQ(chip.summary().span, 0U);
    EXPECT_EQ(chip.failure(), "");
}

/// Starts a job, lets it go on for `time`, and resets the chip for as long.
void reset_a_job(TestHost& host, Board& board, sc_core::sc_signal<bool>& reset,
                 const sc_core::sc_time& time)
{
    const std::uint64_t jobs = board.chip.jobs();
    EXPECT_EQ(host.write(map::kIrqEnable, map::done | map::failed | map::aborted),
              tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_OK_RESPONSE);
    sc_core::wait(time);
    EXPECT_TRUE(board.chip.running());
    reset.write(true);
    for (int delta = 0; delta < 3; ++delta)
    {
        sc_core::wait(sc_core::SC_ZERO_TIME);
    }
    expect_as_before_the_first_job(host, board.chip, jobs + 1);
    sc_core::wait(time);
    EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_GENERIC_ERROR_RESPONSE);
    reset.write(false);
    sc_core::wait(sc_core::SC_ZERO_TIME);
}

TEST(Reset, EndsTheJobAndEmptiesTheRegisters)
{
    const std::filesystem::path folder =
        std::filesystem::path(::testing::TempDir()) / ("tessera_reset_" + std::to_string(getpid()));
    PlatformOptions options;
    options.run.folder = folder;
    Board board("board", options);
    SlowMemory memory("memory");
    board.chip.memory().bind(memory.socket);
    sc_core::sc_signal<bool> irq("irq");
    board.chip.irq(irq);
    sc_core::sc_signal<bool> reset("reset_signal", true); // from the beginning
    board.reset(reset);
    const std::string program = trace_file("two-layer-chain.trace.jsonl");
    unsigned char* window = nullptr;

    const auto use = [&](TestHost& host)
    {
        EXPECT_EQ(host.write(map::kIrqEnable, 1), tlm::TLM_GENERIC_ERROR_RESPONSE);
        expect_as_before_the_first_job(host, board.chip, 0);
        reset.write(false);
        sc_core::wait(10, sc_core::SC_NS);
        host.load(program);
        Payload payload;
        tlm::tlm_dmi dmi;
        payload.set_address(map::kProgramWindow);
        ASSERT_TRUE(host.socket->get_direct_mem_ptr(payload, dmi));
        window = dmi.get_dmi_ptr();

        // While the memory has got a request (job 0), and while nothing is outside (job 1).
        reset_a_job(host, board, reset, sc_core::sc_time(150, sc_core::SC_NS));
        EXPECT_EQ(memory.begun, 1U);
        EXPECT_EQ(std::memcmp(window, program.data(), program.size()), 0)
            << "memory keeps its bytes";
        EXPECT_EQ(host.write(map::kProgramLength, program.size()), tlm::TLM_OK_RESPONSE);
        reset_a_job(host, board, reset, sc_core::sc_time(500, sc_core::SC_NS));
        EXPECT_EQ(memory.ended, memory.begun) << "it was not taken back";

        // After a job that has failed (job 2), with an interrupt pending.
        EXPECT_EQ(host.write(map::kIrqEnable, map::failed), tlm::TLM_OK_RESPONSE);
        EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_OK_RESPONSE);
        sc_core::wait(1, sc_core::SC_US);
        EXPECT_TRUE(irq.read()) << "there is no program";
        EXPECT_EQ(host.read(map::kStatus), map::failed);
        reset.write(true);
        sc_core::wait(sc_core::SC_ZERO_TIME);
        reset.write(false); // a pulse of one delta cycle is enough
        sc_core::wait(1, sc_core::SC_NS);
        EXPECT_FALSE(irq.read());
        expect_as_before_the_first_job(host, board.chip, 3);

        // Jobs run as ever (job 3), also when reset comes again at once and at the end (job 4).
        EXPECT_EQ(host.write(map::kProgramLength, program.size()), tlm::TLM_OK_RESPONSE);
        EXPECT_EQ(host.run_job(), map::done) << host.report();
        EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_OK_RESPONSE);
        reset.write(true);
        sc_core::wait(1, sc_core::SC_NS);
        reset.write(false);
        sc_core::wait(1, sc_core::SC_NS);
        expect_as_before_the_first_job(host, board.chip, 5);
        EXPECT_EQ(host.write(map::kProgramLength, program.size()), tlm::TLM_OK_RESPONSE);
        EXPECT_EQ(host.run_job(), map::done) << host.report();
    };
    TestHost host("host", use);
    host.socket.bind(board.chip.host());

    sc_core::sc_start();

    EXPECT_TRUE(host.finished);
    for (const int job : {0, 1, 4})
    {
        EXPECT_EQ(status_of(folder / ("job" + std::to_string(job))), "interrupted") << job;
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "job2")) << "it never began";
    for (const int job : {3, 5})
    {
        EXPECT_EQ(status_of(folder / ("job" + std::to_string(job))), "complete") << job;
    }
    EXPECT_EQ(figures_of(folder / "job3"), figures_of(folder / "job5"));
    EXPECT_LE(figures_of(folder / "job0").at("chip").at("span").at("value"), 150'000);
    EXPECT_LE(figures_of(folder / "job1").at("chip").at("span").at("value"), 500'000);
    std::filesystem::remove_all(folder);
}

} // namespace
} // namespace tessera::platform
