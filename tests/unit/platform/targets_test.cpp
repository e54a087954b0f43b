// SPDX-License-Identifier: Apache-2.0
// One process, one elaboration: memories that break the rules or report errors, and hosts that call
// from where they may not. Jobs fail, the simulation goes on.
#include "platform/process.h"
#include "tessera/platform.h"
#include "unit/chip_fixture.h"
#include "unit/platform_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <stdexcept>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/multi_passthrough_target_socket.h>
#include <tlm_utils/simple_initiator_socket.h>
#include <tlm_utils/simple_target_socket.h>
#include <utility>

namespace tessera::platform
{
namespace
{

namespace map = host;
using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TestHost;
using Payload = tlm::tlm_generic_payload;

const ChipModel& tiny()
{
    static const ChipModel model("tiny");
    return model;
}

/// Every tile stores 64 bytes.
Program four_stores()
{
    chip::testing::TraceBuilder trace(tiny().config());
    for (std::uint32_t tile = 0; tile < 4; ++tile)
    {
        trace::Operation& product = trace.mvm(tile, 0, 1);
        product.bytes = 64;
        product.uses = 1;
        const OpId made = product.id;
        trace::Operation& store = trace.store(tile, 0);
        store.in = {made};
        store.bytes = 64;
        store.address = std::uint64_t{64} * tile;
    }
    return Program::of(*trace.build());
}

enum class Sin
{
    none,
    waits,
    throws,
    reports
};

void commit(Sin sin)
{
    switch (sin)
    {
    case Sin::none:
        break;
    case Sin::waits:
        sc_core::wait(10, sc_core::SC_NS);
        break;
    case Sin::throws:
        throw std::runtime_error("it has no such row");
    case Sin::reports:
        SC_REPORT_ERROR("/somebody/memory", "it has no such bank");
        break;
    }
}

/// Speaks nb_transport; takes a request in 40 ns, and does what it must not do with request number
/// `bad`.
class BadMemory : public sc_core::sc_module
{
public:
    explicit BadMemory(const sc_core::sc_module_name& name) : sc_module(name), socket("socket")
    {
        socket.register_nb_transport_fw(this, &BadMemory::nb_transport_fw);
        TESSERA_HAS_PROCESS(BadMemory);
        SC_METHOD(respond);
        sensitive << ready_;
        dont_initialize();
    }
    tlm_utils::simple_target_socket<BadMemory> socket;
    Sin sin = Sin::none;
    unsigned bad = 0;
    unsigned requests = 0;

private:
    tlm::tlm_sync_enum nb_transport_fw(Payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& delay)
    {
        if (phase != tlm::BEGIN_REQ)
        {
            return tlm::TLM_COMPLETED;
        }
        if (requests++ == bad)
        {
            commit(sin);
        }
        payload.acquire();
        taken_.push_back(&payload);
        ready_.notify(100, sc_core::SC_NS);
        phase = tlm::END_REQ;
        delay = sc_core::sc_time(40, sc_core::SC_NS);
        return tlm::TLM_UPDATED;
    }
    void respond()
    {
        for (Payload* const payload : std::exchange(taken_, {}))
        {
            payload->set_response_status(tlm::TLM_OK_RESPONSE);
            tlm::tlm_phase phase = tlm::BEGIN_RESP;
            sc_core::sc_time delay;
            socket->nb_transport_bw(*payload, phase, delay);
            payload->release();
        }
    }
    std::deque<Payload*> taken_;
    sc_core::sc_event ready_;
};

/// Knows b_transport alone, behind a socket that translates nothing.
class PlainMemory : public sc_core::sc_module
{
public:
    explicit PlainMemory(const sc_core::sc_module_name& name) : sc_module(name), socket("socket")
    {
        socket.register_b_transport(this, &PlainMemory::b_transport);
    }
    tlm_utils::multi_passthrough_target_socket<PlainMemory> socket;
    Sin sin = Sin::none;

private:
    void b_transport(int /*socket*/, Payload& payload, sc_core::sc_time& /*delay*/)
    {
        commit(sin);
        payload.set_response_status(tlm::TLM_OK_RESPONSE);
    }
};

/// A host whose method calls b_transport.
class HastyHost : public sc_core::sc_module
{
public:
    explicit HastyHost(const sc_core::sc_module_name& name) : sc_module(name), socket("socket")
    {
        TESSERA_HAS_PROCESS(HastyHost);
        SC_METHOD(run);
    }
    tlm_utils::simple_initiator_socket<HastyHost> socket;
    std::string told;
    std::uint64_t program_bytes = 7;

private:
    void run()
    {
        std::uint64_t value = 0;
        Payload payload;
        payload.set_read();
        payload.set_address(map::kProgramWindow);
        payload.set_data_ptr(reinterpret_cast<unsigned char*>(&program_bytes));
        payload.set_data_length(8);
        payload.set_streaming_width(8);
        sc_core::sc_time delay;
        socket->b_transport(payload, delay); // which never waits
        payload.set_address(map::kStatus);
        payload.set_data_ptr(reinterpret_cast<unsigned char*>(&value));
        try
        {
            socket->b_transport(payload, delay);
        }
        catch (const sc_core::sc_report& report)
        {
            told = report.get_msg();
        }
    }
};

void check_nonblocking(TestHost& host, BadMemory& memory)
{
    for (const unsigned bad : {0U, 2U}) // from the chip's process, and from the socket's
    {
        for (const Sin sin : {Sin::waits, Sin::throws, Sin::reports})
        {
            memory.requests = 0;
            memory.bad = bad;
            memory.sin = sin;
            EXPECT_EQ(host.run_job(), map::failed) << host.report();
            EXPECT_GT(memory.requests, bad);
            EXPECT_THAT(host.report(),
                        AllOf(HasSubstr("store operation"), HasSubstr("mem0"),
                              HasSubstr("nb_transport_fw"), HasSubstr("PlatformOptions::blocking"),
                              HasSubstr(sin == Sin::waits    ? "wait()"
                                        : sin == Sin::throws ? "no such row"
                                                             : "no such bank")));
            memory.sin = Sin::none;
            sc_core::wait(1, sc_core::SC_US); // late answers
            EXPECT_EQ(host.run_job(), map::done) << host.report();
        }
    }
}

void check_blocking(TestHost& host, PlainMemory& memory)
{
    for (const Sin sin : {Sin::throws, Sin::reports})
    {
        memory.sin = sin;
        EXPECT_EQ(host.run_job(), map::failed);
        EXPECT_THAT(host.report(),
                    AllOf(HasSubstr("mem0"), HasSubstr("in b_transport"),
                          HasSubstr(sin == Sin::throws ? "no such row" : "no such bank")));
    }
    memory.sin = Sin::waits; // which it may
    EXPECT_EQ(host.run_job(), map::done) << host.report();
}

/// A thread that is killed while its access is under way leaves nothing behind.
void check_killed(TestHost& host)
{
    for (int round = 0; round < 3; ++round)
    {
        sc_core::sc_process_handle victim = sc_core::sc_spawn(
            [&]
            {
                std::uint64_t value = 0;
                Payload payload;
                payload.set_read();
                payload.set_address(map::kStatus);
                payload.set_data_ptr(reinterpret_cast<unsigned char*>(&value));
                payload.set_data_length(8);
                payload.set_streaming_width(8);
                sc_core::sc_time delay(1, sc_core::SC_US);
                host.socket->b_transport(payload, delay);
                ADD_FAILURE() << "it should not get that far";
            });
        sc_core::wait(10, sc_core::SC_NS);
        victim.kill();
        sc_core::wait(2, sc_core::SC_US);
        EXPECT_EQ(host.read(map::kStatus), 0U);
    }
}

TEST(Targets, ThatBreakTheRulesEndTheJobAlone)
{
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP()
        << "threads are killed: exceptions on stacks that the address sanitizer does not know";
#endif
    PlatformOptions options;
    options.resident = four_stores();
    PlatformChip chip("chip", tiny(), options);
    BadMemory bad("bad");
    chip.memory().bind(bad.socket);
    TestHost host("host",
                  [&](TestHost& self)
                  {
                      check_killed(self);
                      check_nonblocking(self, bad);
                  });
    host.socket.bind(chip.host());

    options.hosts = 2;
    PlatformChip lost("lost", tiny(), options); // without `blocking`, which its memory needs
    PlainMemory unasked("unasked");
    lost.memory().bind(unasked.socket);
    TestHost lost_host("lost_host",
                       [&](TestHost& self)
                       {
                           EXPECT_EQ(self.run_job(), map::failed);
                           EXPECT_THAT(self.report(), HasSubstr("PlatformOptions::blocking"));
                       });
    lost_host.socket.bind(lost.host(0));
    HastyHost hasty("hasty");
    hasty.socket.bind(lost.host(1));

    options.hosts = 1;
    options.blocking = true;
    PlatformChip blocking("blocking", tiny(), options);
    PlainMemory plain("plain");
    blocking.memory().bind(plain.socket);
    TestHost blocking_host("blocking_host", [&](TestHost& self) { check_blocking(self, plain); });
    blocking_host.socket.bind(blocking.host());

    sc_core::sc_start();

    EXPECT_TRUE(host.finished);
    EXPECT_TRUE(lost_host.finished);
    EXPECT_TRUE(blocking_host.finished);
    EXPECT_EQ(hasty.program_bytes, 0U);
    EXPECT_THAT(hasty.told, AllOf(HasSubstr("SC_THREAD"), HasSubstr("nb_transport")));
}

} // namespace
} // namespace tessera::platform
