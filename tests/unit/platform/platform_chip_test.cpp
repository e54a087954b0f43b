// SPDX-License-Identifier: Apache-2.0
// One process, one elaboration: a host thread goes through everything that may be done to the
// sockets of one chip.
#include "integration/platform/protocol_checker.h"
#include "tessera/platform.h"
#include "unit/platform_host.h"

#include <gtest/gtest.h>

#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_target_socket.h>
#include <vector>

namespace tessera
{
namespace
{

namespace map = host;
using platform::testing::TestHost;
using platform::testing::trace_file;
using Payload = tlm::tlm_generic_payload;

/// Answers, refuses, or never answers.
class MoodyMemory : public sc_core::sc_module
{
public:
    enum class Mood
    {
        good,
        refusing,
        silent
    };
    explicit MoodyMemory(const sc_core::sc_module_name& name) : sc_module(name), socket("socket")
    {
        socket.register_b_transport(this, &MoodyMemory::b_transport);
    }
    tlm_utils::simple_target_socket<MoodyMemory> socket;
    Mood mood = Mood::good;
    bool stores_leave_it_alone = true;

private:
    void b_transport(Payload& payload, sc_core::sc_time& delay)
    {
        if (payload.is_write())
        {
            const unsigned char* const enables = payload.get_byte_enable_ptr();
            stores_leave_it_alone = stores_leave_it_alone && enables != nullptr &&
                                    payload.get_byte_enable_length() == 1 &&
                                    enables[0] == TLM_BYTE_DISABLED;
        }
        if (mood == Mood::silent)
        {
            wait(never_);
        }
        delay += sc_core::sc_time(100, sc_core::SC_NS);
        payload.set_response_status(mood == Mood::good ? tlm::TLM_OK_RESPONSE
                                                       : tlm::TLM_ADDRESS_ERROR_RESPONSE);
    }
    sc_core::sc_event never_;
};

void check_registers(TestHost& host)
{
    EXPECT_EQ(host.read(map::kIdentity), 0x0141524553534554U);
    char name[8] = {};
    EXPECT_EQ(host.access(tlm::TLM_READ_COMMAND, map::kIdentity, name, 8), tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(std::string(name, 7), "TESSERA");
    EXPECT_EQ(host.read(map::kStatus), 0U);
    EXPECT_EQ(host.read(map::kProgramCapacity), 4096U);
    // Halves and bytes of a register; a block of several.
    std::uint32_t half = 0x1234;
    EXPECT_EQ(host.access(tlm::TLM_WRITE_COMMAND, map::kProgramLength, &half, 2),
              tlm::TLM_COMMAND_ERROR_RESPONSE)
        << "0x1234 is more than fits";
    half = 0x0100;
    EXPECT_EQ(host.access(tlm::TLM_WRITE_COMMAND, map::kProgramLength, &half, 2),
              tlm::TLM_OK_RESPONSE);
    half = 0;
    EXPECT_EQ(host.access(tlm::TLM_WRITE_COMMAND, map::kProgramLength + 4, &half, 4),
              tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(host.read(map::kProgramLength), 0x0100U) << "the other half keeps its value";
    std::uint64_t both[2] = {};
    EXPECT_EQ(host.access(tlm::TLM_READ_COMMAND, map::kProgramLength, both, 16),
              tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(both[0], 0x0100U);
    EXPECT_EQ(both[1], 4096U);
    EXPECT_EQ(host.write(map::kProgramLength, 4097), tlm::TLM_COMMAND_ERROR_RESPONSE);
    EXPECT_EQ(host.write(map::kProgramLength, 4096), tlm::TLM_OK_RESPONSE);
    // What must be refused.
    for (const std::uint64_t read_only :
         {map::kIdentity, map::kStatus, map::kProgramCapacity, map::kJobs, map::kMakespan,
          map::kCycles, map::kOperations, map::kTotal, map::kEvents, map::kReportLength})
    {
        EXPECT_EQ(host.write(read_only, 1), tlm::TLM_COMMAND_ERROR_RESPONSE) << read_only;
    }
    std::uint64_t value = 0;
    unsigned char enable = TLM_BYTE_ENABLED;
    const auto refused = [&](std::uint64_t address, unsigned length)
    { return host.access(tlm::TLM_WRITE_COMMAND, address, &value, length); };
    EXPECT_EQ(refused(map::kIrqEnable + 2, 4), tlm::TLM_BURST_ERROR_RESPONSE);
    EXPECT_EQ(refused(map::kIrqEnable, 3), tlm::TLM_BURST_ERROR_RESPONSE);
    EXPECT_EQ(host.access(tlm::TLM_READ_COMMAND, map::kStatus, &value, 8, 4),
              tlm::TLM_BURST_ERROR_RESPONSE);
    EXPECT_EQ(host.access(tlm::TLM_READ_COMMAND, map::kStatus, &value, 8, 8, &enable),
              tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE);
    for (const std::uint64_t nowhere :
         {map::kRegisters, map::kRegisters - 4, map::kReportWindow, map::kProgramWindow - 8,
          map::kProgramWindow + 4096 - 7, ~std::uint64_t{0} - 7})
    {
        EXPECT_EQ(host.access(tlm::TLM_READ_COMMAND, nowhere, &value, 8),
                  tlm::TLM_ADDRESS_ERROR_RESPONSE)
            << nowhere;
    }
    EXPECT_EQ(host.access(tlm::TLM_READ_COMMAND, map::kProgramWindow + 4096 - 8, &value, 8),
              tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(host.access(tlm::TLM_IGNORE_COMMAND, 0, nullptr, 0), tlm::TLM_OK_RESPONSE);
}

void check_other_transports(TestHost& host)
{
    const std::vector<std::uint64_t> values = host.read_both(map::kIdentity, map::kProgramCapacity);
    EXPECT_EQ(values[0], 0x0141524553534554U);
    EXPECT_EQ(values[1], 4096U);
    EXPECT_EQ(host.debug_read(map::kProgramCapacity), 4096U);
    host.debug_read(map::kReportWindow, 0);

    Payload payload;
    tlm::tlm_dmi dmi;
    payload.set_write();
    payload.set_address(map::kControl);
    EXPECT_FALSE(host.socket->get_direct_mem_ptr(payload, dmi)) << "registers have side effects";
    EXPECT_EQ(dmi.get_end_address(), map::kProgramWindow - 1);
    payload.set_address(map::kProgramWindow + 4096);
    EXPECT_FALSE(host.socket->get_direct_mem_ptr(payload, dmi));
    EXPECT_EQ(dmi.get_start_address(), map::kProgramWindow + 4096) << "the window is memory";
    EXPECT_EQ(dmi.get_end_address(), ~std::uint64_t{0});
    payload.set_address(map::kProgramWindow + 4095);
    ASSERT_TRUE(host.socket->get_direct_mem_ptr(payload, dmi));
    dmi.get_dmi_ptr()[4095] = 0x5a;
    EXPECT_EQ(host.debug_read(map::kProgramWindow + 4088) >> 56U, 0x5aU);
    // Byte enables reach single bytes of a window.
    unsigned char byte = 1;
    unsigned char disable = TLM_BYTE_DISABLED;
    EXPECT_EQ(
        host.access(tlm::TLM_WRITE_COMMAND, map::kProgramWindow + 4095, &byte, 1, 1, &disable),
        tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(host.debug_read(map::kProgramWindow + 4088) >> 56U, 0x5aU);
}

void check_jobs(TestHost& host, PlatformChip& chip, MoodyMemory& memory,
                const sc_core::sc_signal<bool>& irq)
{
    EXPECT_EQ(host.write(map::kProgramLength, 0), tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(host.run_job(), map::failed) << "there is no resident program";
    EXPECT_NE(host.report().find("no program"), std::string::npos);

    host.load(trace_file("two-layer-chain.trace.jsonl"));
    EXPECT_FALSE(irq.read());
    EXPECT_EQ(host.write(map::kIrqPending, map::failed), tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(host.write(map::kIrqEnable, map::done), tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_OK_RESPONSE);
    EXPECT_TRUE(chip.running());
    EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_COMMAND_ERROR_RESPONSE)
        << "it runs already";
    sc_core::wait(irq.posedge_event());
    EXPECT_EQ(host.read(map::kStatus), map::done);
    EXPECT_EQ(host.read(map::kOperations), host.read(map::kTotal));
    EXPECT_EQ(host.read(map::kMakespan), chip.summary().span);
    EXPECT_EQ(host.read(map::kCycles) * 1000, chip.summary().span) << "at 1 GHz";
    EXPECT_EQ(host.read(map::kEvents), chip.summary().events);
    EXPECT_EQ(host.read(map::kJobs), 2U);
    EXPECT_EQ(chip.jobs(), 2U);
    EXPECT_EQ(host.report().front(), '{');
    EXPECT_TRUE(memory.stores_leave_it_alone);
    EXPECT_EQ(host.read(map::kIrqPending), map::done);
    std::uint32_t zero = 0;
    EXPECT_EQ(host.access(tlm::TLM_WRITE_COMMAND, map::kIrqPending + 4, &zero, 4),
              tlm::TLM_OK_RESPONSE);
    EXPECT_EQ(host.read(map::kIrqPending), map::done) << "the upper half has nothing to clear";
    EXPECT_EQ(host.write(map::kIrqPending, map::done), tlm::TLM_OK_RESPONSE);
    sc_core::wait(sc_core::SC_ZERO_TIME);
    EXPECT_FALSE(irq.read());
    EXPECT_EQ(host.write(map::kIrqEnable, 0), tlm::TLM_OK_RESPONSE);

    memory.mood = MoodyMemory::Mood::refusing;
    EXPECT_EQ(host.run_job(), map::failed);
    EXPECT_NE(host.report().find("TLM_ADDRESS_ERROR_RESPONSE"), std::string::npos) << host.report();
    EXPECT_NE(host.report().find("mem0"), std::string::npos) << host.report();
    memory.mood = MoodyMemory::Mood::good;
    EXPECT_EQ(host.run_job(), map::done) << host.report();

    host.load(trace_file("deadlock.trace.jsonl"));
    EXPECT_EQ(host.run_job(), map::failed);
    EXPECT_NE(host.report().find("deadlock"), std::string::npos) << host.report();
    host.load("{\"format\":\"something\"}\n");
    EXPECT_EQ(host.run_job(), map::failed);
    EXPECT_EQ(host.report().rfind("program window:1:", 0), 0U) << host.report();

    // Left for the end: the kernel has nothing more to do, and the job goes on for ever.
    host.load(trace_file("two-layer-chain.trace.jsonl"));
    memory.mood = MoodyMemory::Mood::silent;
    EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_OK_RESPONSE);
}

TEST(PlatformChip, DoesWhatItsSocketsAreAskedFor)
{
    PlatformOptions options;
    options.program_capacity = 4096;
    PlatformChip chip("chip", ChipModel("tiny"), options);
    EXPECT_THROW(static_cast<void>(chip.host(1)), UsageError);
    EXPECT_THROW(static_cast<void>(chip.memory(1)), UsageError);
    EXPECT_THROW(static_cast<void>(chip.macro("t0.m0")), UsageError);
    MoodyMemory memory("memory");
    sc_core::sc_signal<bool> irq("irq");
    TestHost host("host",
                  [&](TestHost& self)
                  {
                      check_registers(self);
                      check_other_transports(self);
                      check_jobs(self, chip, memory, irq);
                  });
    ProtocolChecker<> host_checker("host_checker");
    ProtocolChecker<> memory_checker("memory_checker");
    host.socket.bind(host_checker.target);
    host_checker.initiator.bind(chip.host());
    chip.memory().bind(memory_checker.target);
    memory_checker.initiator.bind(memory.socket);
    chip.irq(irq);

    sc_core::sc_start();

    EXPECT_TRUE(host.finished);
    EXPECT_TRUE(chip.running()) << "the memory never answered";
    EXPECT_GT(memory_checker.transactions(), 0U);
    EXPECT_EQ(host_checker.breaches(), std::vector<std::string>());
    std::vector<std::string> open = memory_checker.breaches();
    EXPECT_LE(open.size(), 1U) << "only what was never answered: " << open.front();
}

} // namespace
} // namespace tessera
