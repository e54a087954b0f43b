// SPDX-License-Identifier: Apache-2.0
// One process, one elaboration: programs in every encoding through every kind of access to the
// window, for chips with every kind of memory and macro behind their sockets; two of the chips
// share one memory.
#include "integration/platform/foreign_macro.h"
#include "integration/platform/memories.h"
#include "integration/platform/protocol_checker.h"
#include "tessera/platform.h"
#include "unit/chip_fixture.h"
#include "unit/platform_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_target_socket.h>
#include <unistd.h>
#include <vector>

namespace tessera::platform
{
namespace
{

namespace map = host;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using testing::TestHost;
using Payload = tlm::tlm_generic_payload;

const std::vector<std::string> kEncodings = {"trace.jsonl", "trace.jsonl.gz", "trace.h5"};

const ChipModel& tiny()
{
    static const ChipModel model("tiny");
    return model;
}

/// Every tile loads, computes and stores, eight times.
Program loads_and_stores()
{
    chip::testing::TraceBuilder trace(tiny().config());
    for (std::uint32_t i = 0; i < 32; ++i)
    {
        const std::uint32_t tile = i % 4;
        trace::Operation& load = trace.load(0, {{NodeId(tile), 1}});
        load.bytes = 96;
        load.address = std::uint64_t{4096} * i;
        const OpId loaded = load.id;
        trace::Operation& product = trace.mvm(tile, 0, 2);
        product.in = {loaded};
        product.bytes = 64;
        product.uses = 1;
        const OpId made = product.id;
        trace::Operation& store = trace.store(tile, 0);
        store.in = {made};
        store.bytes = 64;
        store.address = std::uint64_t{4096} * i + 2048;
    }
    return Program::of(*trace.build());
}

/// The program's bytes in an encoding.
std::string encoded(const Program& program, const std::string& ending)
{
    const std::filesystem::path file =
        std::filesystem::path(::testing::TempDir()) /
        ("tessera_programs_" + std::to_string(getpid()) + "." + ending);
    program.save(file);
    std::ifstream in(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    std::filesystem::remove(file);
    return bytes;
}

/// Serves two chips, one channel for both. It knows b_transport alone, and waits in it.
class SharedMemory : public sc_core::sc_module
{
public:
    explicit SharedMemory(const sc_core::sc_module_name& name)
        : sc_module(name),
          first("first"),
          second("second"),
          channel_(1e9, sc_core::sc_time(30, sc_core::SC_NS))
    {
        first.register_b_transport(this, &SharedMemory::b_transport, 0);
        second.register_b_transport(this, &SharedMemory::b_transport, 1);
    }
    tlm_utils::simple_target_socket_tagged<SharedMemory> first;
    tlm_utils::simple_target_socket_tagged<SharedMemory> second;
    std::vector<unsigned> accesses{0, 0};    ///< by socket
    std::vector<sc_core::sc_time> waited{2}; ///< by socket: behind others

    [[nodiscard]] const Channel& channel() const { return channel_; }

private:
    void b_transport(int socket, Payload& payload, sc_core::sc_time& delay)
    {
        const sc_core::sc_time now = sc_core::sc_time_stamp();
        const sc_core::sc_time end = channel_.serve(payload, now + delay);
        ++accesses[static_cast<std::size_t>(socket)];
        waited[static_cast<std::size_t>(socket)] += payload.get_extension<MemoryAccess>()->waited;
        wait(end - now);
        delay = sc_core::SC_ZERO_TIME;
    }
    Channel channel_;
};

/// How a host gets bytes into the window.
using Loader = void (*)(TestHost& host, std::string bytes);

void load_by_b_transport(TestHost& host, std::string bytes)
{
    EXPECT_EQ(host.access(tlm::TLM_WRITE_COMMAND, map::kProgramWindow, bytes.data(),
                          static_cast<unsigned>(bytes.size())),
              tlm::TLM_OK_RESPONSE);
}

void load_by_nb_transport(TestHost& host, std::string bytes)
{
    constexpr std::size_t kBurst = 512;
    for (std::size_t at = 0; at < bytes.size(); at += kBurst)
    {
        const auto count = static_cast<unsigned>(std::min(kBurst, bytes.size() - at));
        Payload payload;
        payload.set_command(tlm::TLM_WRITE_COMMAND);
        payload.set_address(map::kProgramWindow + at);
        payload.set_data_ptr(reinterpret_cast<unsigned char*>(bytes.data()) + at);
        payload.set_data_length(count);
        payload.set_streaming_width(count);
        host.send(payload);
        EXPECT_TRUE(payload.is_response_ok());
    }
}

void load_by_debug(TestHost& host, std::string bytes)
{
    Payload payload;
    payload.set_command(tlm::TLM_WRITE_COMMAND);
    payload.set_address(map::kProgramWindow);
    payload.set_data_ptr(reinterpret_cast<unsigned char*>(bytes.data()));
    payload.set_data_length(static_cast<unsigned>(bytes.size()));
    EXPECT_EQ(host.socket->transport_dbg(payload), bytes.size());
}

void load_by_pointer(TestHost& host, std::string bytes)
{
    Payload payload;
    tlm::tlm_dmi dmi;
    payload.set_address(map::kProgramWindow);
    ASSERT_TRUE(host.socket->get_direct_mem_ptr(payload, dmi));
    std::memcpy(dmi.get_dmi_ptr(), bytes.data(), bytes.size());
}

/// A chip with a host that loads one program in every encoding and runs it. Equal reports, whatever
/// the encoding.
class Bench
{
public:
    Bench(const std::string& name, PlatformOptions options, Loader load, const Program& program)
        : chip(name.c_str(), tiny(), options),
          host((name + "_host").c_str(),
               [this, load, program](TestHost& self) { run(self, load, program); }),
          host_checker((name + "_host_checker").c_str()),
          irq((name + "_irq").c_str())
    {
        host.socket.bind(host_checker.target);
        host_checker.initiator.bind(chip.host());
        chip.irq(irq);
    }
    PlatformChip chip;
    TestHost host;
    ProtocolChecker<> host_checker;
    sc_core::sc_signal<bool> irq;
    std::vector<std::string> reports;
    bool refuses = false; ///< also tries what is no program

private:
    void run(TestHost& self, Loader load, const Program& program)
    {
        EXPECT_EQ(self.write(map::kIrqEnable, map::done | map::failed), tlm::TLM_OK_RESPONSE);
        for (const std::string& encoding : kEncodings)
        {
            start(self, load, encoded(program, encoding));
            EXPECT_EQ(self.read(map::kStatus), map::done)
                << chip.name() << ' ' << encoding << ' ' << self.report();
            EXPECT_EQ(self.read(map::kOperations), 96U);
            reports.push_back(self.report());
        }
        if (refuses)
        {
            try_malformed(self, load, encoded(program, "trace.h5"));
        }
    }
    void start(TestHost& self, Loader load, const std::string& bytes)
    {
        load(self, bytes);
        EXPECT_EQ(self.write(map::kProgramLength, bytes.size()), tlm::TLM_OK_RESPONSE);
        EXPECT_EQ(self.write(map::kControl, map::start), tlm::TLM_OK_RESPONSE);
        if (!irq.read())
        {
            sc_core::wait(irq.posedge_event());
        }
        EXPECT_EQ(self.write(map::kIrqPending, ~std::uint64_t{0}), tlm::TLM_OK_RESPONSE);
        sc_core::wait(sc_core::SC_ZERO_TIME);
        EXPECT_FALSE(irq.read());
    }
    void refused(TestHost& self, Loader load, const std::string& bytes, const std::string& why)
    {
        start(self, load, bytes);
        EXPECT_EQ(self.read(map::kStatus), map::failed);
        EXPECT_EQ(self.read(map::kTotal), 0U);
        EXPECT_THAT(self.report(), StartsWith("program window:"));
        EXPECT_THAT(self.report(), HasSubstr(why));
        EXPECT_THAT(self.report(), Not(HasSubstr("/proc")));
    }
    void try_malformed(TestHost& self, Loader load, const std::string& sound)
    {
        refused(self, load, sound.substr(0, sound.size() / 2), "not a readable HDF5 file of");
        refused(self, load, sound.substr(0, 8), "not a readable HDF5 file of 8 bytes");
        std::string other = sound;
        other.replace(other.find("tessera-trace"), 13, "tessera-tract");
        refused(self, load, other, "it is not a trace");
        const std::string lines = encoded(two_layers(), "trace.jsonl.gz");
        refused(self, load, lines.substr(0, lines.size() / 2), "cut short");
        // Any damage is refused or harmless, and the simulation goes on.
        for (std::size_t at = 8; at < sound.size(); at += 997)
        {
            std::string damaged = sound;
            damaged[at] = static_cast<char>(~damaged[at]);
            start(self, load, damaged);
        }
        start(self, load, sound);
        EXPECT_EQ(self.read(map::kStatus), map::done) << self.report();
        EXPECT_EQ(self.report(), reports.back());
    }
    static Program two_layers()
    {
        return Program::open(std::string(TESSERA_SOURCE_DIR) +
                             "/traces/two-layer-chain.trace.jsonl");
    }
};

PlatformOptions with_macro(bool blocking)
{
    PlatformOptions options;
    options.blocking = blocking;
    options.foreign_macros = {"t0.m0"};
    options.program_capacity = 1U << 17U;
    return options;
}

TEST(Programs, OfEveryEncodingRunThroughEverySocket)
{
    const Program program = loads_and_stores();
    const Channel channel(1e9, sc_core::sc_time(30, sc_core::SC_NS));
    const sc_core::sc_time interval(100, sc_core::SC_NS);

    PlatformOptions small;
    small.program_capacity = 1U << 17U;
    Bench plain("plain", small, load_by_b_transport, program);
    plain.refuses = true;

    Bench at("at", with_macro(false), load_by_nb_transport, program);
    AtMemory at_memory("at_memory", channel, AtMemory::Style::phases);
    ForeignMacro at_macro("at_macro", interval);
    ProtocolChecker<> at_checker("at_checker");
    at.chip.memory().bind(at_checker.target);
    at_checker.initiator.bind(at_memory.socket);
    at.chip.macro("t0.m0").bind(at_macro.socket);

    Bench waiting("waiting", with_macro(true), load_by_debug, program);
    BlockingMemory waiting_memory("waiting_memory", channel, true);
    ForeignMacro waiting_macro("waiting_macro", interval);
    waiting.chip.memory().bind(waiting_memory.socket);
    waiting.chip.macro("t0.m0").bind(waiting_macro.socket);

    Bench annotating("annotating", with_macro(true), load_by_pointer, program);
    BlockingMemory annotating_memory("annotating_memory", channel, false);
    ForeignMacro annotating_macro("annotating_macro", interval);
    annotating.chip.memory().bind(annotating_memory.socket);
    annotating.chip.macro("t0.m0").bind(annotating_macro.socket);

    // Two chips, one of which speaks nb_transport and one b_transport, share a memory that waits.
    PlatformOptions blocking = small;
    blocking.blocking = true;
    Bench left("left", small, load_by_b_transport, program);
    Bench right("right", blocking, load_by_b_transport, program);
    SharedMemory shared("shared");
    left.chip.memory().bind(shared.first);
    right.chip.memory().bind(shared.second);

    sc_core::sc_start();

    for (const Bench* const bench : {&plain, &at, &waiting, &annotating, &left, &right})
    {
        SCOPED_TRACE(bench->chip.name());
        EXPECT_TRUE(bench->host.finished);
        EXPECT_EQ(bench->host_checker.breaches(), std::vector<std::string>());
        ASSERT_EQ(bench->reports.size(), kEncodings.size());
    }
    EXPECT_EQ(plain.chip.summary().span, simulate(tiny(), program).summary.span);
    for (const Bench* const bench : {&plain, &at, &waiting, &annotating})
    {
        SCOPED_TRACE(bench->chip.name());
        EXPECT_EQ(bench->reports[1], bench->reports[0]) << kEncodings[1];
        EXPECT_EQ(bench->reports[2], bench->reports[0]) << kEncodings[2];
    }
    EXPECT_EQ(at_checker.breaches(), std::vector<std::string>());
    EXPECT_EQ(waiting.reports, at.reports) << "whoever waits in b_transport takes no more time";
    EXPECT_EQ(annotating.reports, at.reports);
    EXPECT_EQ(at_macro.vectors(), 3U * 8U * 2U);
    EXPECT_EQ(at.chip.macros(), (std::vector<std::string>{"t0.m0"}));
    EXPECT_EQ(waiting_macro.vectors(), at_macro.vectors());
    for (const Channel* const used :
         {&at_memory.channel(), &waiting_memory.channel(), &annotating_memory.channel()})
    {
        EXPECT_EQ(used->read(), 3U * 32U * 96U);
        EXPECT_EQ(used->written(), 3U * 32U * 64U);
    }
    // The shared memory has done the work of both, in turn.
    EXPECT_EQ(shared.accesses, (std::vector<unsigned>{3U * 64U, 3U * 64U}));
    EXPECT_EQ(shared.channel().read(), 2U * 3U * 32U * 96U);
    for (const std::size_t chip : {0, 1})
    {
        EXPECT_GT(shared.waited[chip], sc_core::SC_ZERO_TIME) << "behind the other chip, too";
    }
    EXPECT_GT(left.chip.summary().span, at.chip.summary().span);
    EXPECT_GT(right.chip.summary().span, at.chip.summary().span);
}

} // namespace
} // namespace tessera::platform
