// SPDX-License-Identifier: Apache-2.0
// One process, one elaboration: chips between memories and macros that go their own ways.
#include "integration/platform/protocol_checker.h"
#include "tessera/platform.h"
#include "unit/chip_fixture.h"
#include "unit/platform_host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_target_socket.h>
#include <utility>
#include <vector>

namespace tessera::platform
{
namespace
{

namespace map = host;
using testing::TestHost;
using Payload = tlm::tlm_generic_payload;

constexpr Tick kNanosecond = 1000;

const ChipModel& tiny()
{
    static const ChipModel model("tiny");
    return model;
}

/// A macro whose result is there after 50 ns, and who takes the next request after 100 ns.
class SlowToTakeTheNext : public sc_core::sc_module
{
public:
    explicit SlowToTakeTheNext(const sc_core::sc_module_name& name)
        : sc_module(name), socket("socket")
    {
        socket.register_b_transport(this, &SlowToTakeTheNext::b_transport);
    }
    tlm_utils::simple_target_socket<SlowToTakeTheNext, 32, MvmProtocol> socket;

private:
    void b_transport(Payload& payload, sc_core::sc_time& delay)
    {
        payload.get_extension<MvmRequest>()->interval = sc_core::sc_time(100, sc_core::SC_NS);
        payload.set_response_status(tlm::TLM_OK_RESPONSE);
        wait(delay + sc_core::sc_time(50, sc_core::SC_NS));
        delay = sc_core::SC_ZERO_TIME;
    }
};

/// A memory that takes a request when it is told to, and does its work at once.
class HesitantMemory : public sc_core::sc_module
{
public:
    explicit HesitantMemory(const sc_core::sc_module_name& name) : sc_module(name), socket("socket")
    {
        socket.register_nb_transport_fw(this, &HesitantMemory::nb_transport_fw);
    }
    tlm_utils::simple_target_socket<HesitantMemory> socket;
    bool hesitates = true;
    std::vector<std::uint64_t> addresses;

    /// Contract: has a request. From a process of the caller.
    void respond()
    {
        Payload& payload = *std::exchange(request_, nullptr);
        payload.set_response_status(tlm::TLM_OK_RESPONSE);
        tlm::tlm_phase phase = tlm::BEGIN_RESP;
        sc_core::sc_time delay;
        socket->nb_transport_bw(payload, phase, delay);
        payload.release();
    }

private:
    tlm::tlm_sync_enum nb_transport_fw(Payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& /*delay*/)
    {
        if (phase != tlm::BEGIN_REQ)
        {
            return tlm::TLM_COMPLETED;
        }
        addresses.push_back(payload.get_address());
        if (!hesitates)
        {
            payload.set_response_status(tlm::TLM_OK_RESPONSE);
            return tlm::TLM_COMPLETED;
        }
        payload.acquire();
        request_ = &payload;
        return tlm::TLM_ACCEPTED;
    }
    Payload* request_ = nullptr;
};

Program three_products()
{
    chip::testing::TraceBuilder trace(tiny().config());
    for (int i = 0; i < 3; ++i)
    {
        trace.mvm(0, 0, 1);
    }
    return Program::of(*trace.build());
}

/// Every tile writes 64 bytes.
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

TEST(Foreign, MacrosAndMemoriesGoTheirOwnWays)
{
    PlatformOptions options;
    options.blocking = true;
    options.foreign_macros = {"t0.m0"};
    options.resident = three_products();
    PlatformChip slow("slow", tiny(), options);
    SlowToTakeTheNext macro("macro");
    slow.macro("t0.m0").bind(macro.socket);
    TestHost slow_host("slow_host",
                       [&](TestHost& host)
                       {
                           EXPECT_EQ(host.run_job(), map::done) << host.report();
                           EXPECT_EQ(slow.summary().span, 250 * kNanosecond);
                       });
    slow_host.socket.bind(slow.host());

    PlatformOptions plain;
    plain.resident = four_stores();
    PlatformChip aborted("aborted", tiny(), plain);
    HesitantMemory memory("memory");
    ProtocolChecker<> checker("checker");
    aborted.memory().bind(checker.target);
    checker.initiator.bind(memory.socket);
    TestHost aborting_host(
        "aborting_host",
        [&](TestHost& host)
        {
            EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_OK_RESPONSE);
            sc_core::wait(20, sc_core::SC_US);
            ASSERT_EQ(memory.addresses.size(), 1U)
                << "the others wait for its phase to end " << host.report();
            EXPECT_EQ(host.write(map::kControl, map::abort), tlm::TLM_OK_RESPONSE);
            EXPECT_EQ(host.read(map::kStatus), map::aborted);
            memory.addresses.clear();
            memory.hesitates = false;
            EXPECT_EQ(host.write(map::kControl, map::start), tlm::TLM_OK_RESPONSE);
            sc_core::wait(20, sc_core::SC_US);
            memory.respond();
            while (host.read(map::kStatus) == map::running)
            {
                sc_core::wait(1, sc_core::SC_US);
            }
            EXPECT_EQ(host.read(map::kStatus), map::done) << host.report();
            std::sort(memory.addresses.begin(), memory.addresses.end());
            EXPECT_EQ(memory.addresses, (std::vector<std::uint64_t>{0, 64, 128, 192}))
                << "once each, and none of the first job";
        });
    aborting_host.socket.bind(aborted.host());

    sc_core::sc_start();

    EXPECT_TRUE(slow_host.finished);
    EXPECT_TRUE(aborting_host.finished);
    EXPECT_EQ(checker.breaches(), std::vector<std::string>());
}

} // namespace
} // namespace tessera::platform
