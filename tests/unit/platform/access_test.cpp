// SPDX-License-Identifier: Apache-2.0
// One process, one elaboration: every line of README.md's tables of accesses, in both transports,
// and payloads with any attributes at all.
#include "tessera/platform.h"
#include "unit/platform_host.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <functional>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <systemc>
#include <tlm>
#include <vector>

namespace tessera::platform
{
namespace
{

namespace map = host;
using testing::TestHost;
using Payload = tlm::tlm_generic_payload;

constexpr unsigned kCapacity = 256;

/// Attributes of an access as a test wants them; everything that is not said is sound.
struct Access
{
    std::uint64_t address = 0;
    unsigned length = 8;
    tlm::tlm_command command = tlm::TLM_READ_COMMAND;
    std::uint64_t value = 0;
    bool pointer = true;
    std::optional<unsigned> streaming;
    std::optional<unsigned> enables; ///< their length
};

std::string name_of(tlm::tlm_response_status status)
{
    Payload payload;
    payload.set_response_status(status);
    const std::string text = payload.get_response_string(); // TLM_<name>_RESPONSE
    return text.substr(4, text.size() - 4 - 9);
}

/// A payload with the bytes it works on, and guards around them.
class Transfer
{
public:
    explicit Transfer(const Access& access)
        : data_(std::min(access.length, kMost) + 2 * kGuard, kMark), enables_(16, TLM_BYTE_ENABLED)
    {
        for (unsigned i = 0; i < std::min(access.length, kMost); ++i)
        {
            data_[kGuard + i] = i < 8 ? static_cast<unsigned char>(access.value >> (8 * i)) : 0;
        }
        payload.set_command(access.command);
        payload.set_address(access.address);
        payload.set_data_ptr(access.pointer ? data_.data() + kGuard : nullptr);
        payload.set_data_length(access.length);
        payload.set_streaming_width(access.streaming.value_or(access.length));
        payload.set_byte_enable_ptr(access.enables ? enables_.data() : nullptr);
        payload.set_byte_enable_length(access.enables.value_or(0));
        payload.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
    }
    [[nodiscard]] bool guards_hold() const
    {
        return std::all_of(data_.begin(), data_.begin() + kGuard,
                           [](unsigned char byte) { return byte == kMark; }) &&
               std::all_of(data_.end() - kGuard, data_.end(),
                           [](unsigned char byte) { return byte == kMark; });
    }
    Payload payload;

private:
    static constexpr unsigned kMost = 4096; ///< longer accesses are all refused
    static constexpr std::ptrdiff_t kGuard = 16;
    static constexpr unsigned char kMark = 0xa7;
    std::vector<unsigned char> data_;
    std::vector<unsigned char> enables_;
};

std::string response(TestHost& host, const Access& access)
{
    Transfer blocking(access);
    sc_core::sc_time delay;
    host.socket->b_transport(blocking.payload, delay);
    EXPECT_TRUE(blocking.guards_hold());
    return name_of(blocking.payload.get_response_status());
}

std::string nonblocking_response(TestHost& host, const Access& access)
{
    Transfer transfer(access);
    host.send(transfer.payload);
    EXPECT_TRUE(transfer.guards_hold());
    return name_of(transfer.payload.get_response_status());
}

/// Rows of the README's table with this head, cell by cell.
std::vector<std::vector<std::string>> table(const std::string& head)
{
    std::ifstream readme(std::string(TESSERA_SOURCE_DIR) + "/README.md");
    std::vector<std::vector<std::string>> rows;
    std::string line;
    while (std::getline(readme, line) && line != head)
    {
    }
    std::getline(readme, line); // |---|---|
    while (std::getline(readme, line) && line.rfind("| ", 0) == 0)
    {
        std::vector<std::string>& cells = rows.emplace_back();
        for (std::size_t at = 2; at < line.size();)
        {
            const std::size_t end = line.find(" |", at);
            cells.push_back(line.substr(at, end - at));
            at = end + 3;
        }
    }
    return rows;
}

Access written(std::uint64_t address, unsigned length = 8, std::uint64_t value = 0)
{
    Access access;
    access.address = address;
    access.length = length;
    access.command = tlm::TLM_WRITE_COMMAND;
    access.value = value;
    return access;
}

Access read(std::uint64_t address, unsigned length = 8)
{
    Access access;
    access.address = address;
    access.length = length;
    return access;
}

/// The access is as it was but for one attribute.
template <class Change> Access but(Access access, Change change)
{
    change(access);
    return access;
}

/// Accesses at every kind of address, all sound.
std::vector<Access> sound()
{
    return {read(map::kStatus), written(map::kIrqEnable), read(map::kReportWindow, 4),
            read(map::kProgramWindow), written(map::kProgramWindow + 8)};
}

template <class Change> std::vector<Access> sound_but(Change change)
{
    std::vector<Access> all = sound();
    std::for_each(all.begin(), all.end(), change);
    return all;
}

/// Accesses of each line of the table. The report is there, the chip is out of reset.
std::map<std::string, std::vector<Access>> cases(unsigned report)
{
    const auto enable = [](Access& access) { access.enables = 1; };
    const std::uint64_t window_end = map::kProgramWindow + kCapacity;
    const std::uint64_t report_end = map::kReportWindow + report;
    std::map<std::string, std::vector<Access>> all;
    all["TLM_IGNORE_COMMAND"] =
        sound_but([](Access& access) { access.command = tlm::TLM_IGNORE_COMMAND; });
    all["TLM_IGNORE_COMMAND"].push_back(but(read(~std::uint64_t{0}, 0),
                                            [](Access& access)
                                            {
                                                access.command = tlm::TLM_IGNORE_COMMAND;
                                                access.pointer = false;
                                            }));
    all["any other command but read and write"] =
        sound_but([](Access& access) { access.command = static_cast<tlm::tlm_command>(3); });
    auto& burst = all["length 0, or a streaming width below the length"];
    burst = sound_but([](Access& access) { access.length = 0; });
    for (const unsigned streaming : {0U, 1U, 3U})
    {
        for (const Access& access : sound_but([&](Access& one) { one.streaming = streaming; }))
        {
            burst.push_back(access);
        }
    }
    all["no data pointer"] = sound_but([](Access& access) { access.pointer = false; });
    all["byte enables of length 0"] = sound_but([](Access& access) { access.enables = 0; });
    all["program window: any bytes, with or without byte enables"] = {
        read(map::kProgramWindow, kCapacity),
        read(window_end - 1, 1),
        written(map::kProgramWindow + 3, 13),
        but(written(window_end - 5, 5), enable),
        but(read(map::kProgramWindow + 1, 9), [](Access& access) { access.enables = 4; }),
        but(read(map::kProgramWindow, 9), [](Access& access) { access.streaming = 99; })};
    all["report: any bytes read, with or without byte enables"] = {
        read(map::kReportWindow, report), read(report_end - 1, 1),
        but(read(map::kReportWindow + 1, 3), enable)};
    all["report: bytes written"] = {written(map::kReportWindow, 8), written(report_end - 1, 1),
                                    but(written(map::kReportWindow, 1), enable)};
    all["registers: with byte enables"] = {but(read(map::kStatus), enable),
                                           but(written(map::kIrqEnable), enable),
                                           but(written(map::kStatus, 3), enable)};
    auto& reads = all["registers: any bytes read, of one or several, aligned or not"];
    for (std::uint64_t at = 0; at < map::kRegisters; ++at)
    {
        for (const unsigned length : {1U, 2U, 3U, 4U, 7U, 8U, 11U, 16U})
        {
            if (at + length <= map::kRegisters)
            {
                reads.push_back(read(at, length));
            }
        }
    }
    reads.push_back(read(0, map::kRegisters));
    auto& bursts = all["registers: any other number or place of bytes written"];
    for (const std::uint64_t at : {map::kIrqEnable, map::kStatus, map::kControl})
    {
        for (unsigned offset = 0; offset < 8; ++offset)
        {
            for (unsigned length = 1; length <= 16; ++length)
            {
                const bool fits = (length == 1 || length == 2 || length == 4 || length == 8) &&
                                  offset % length == 0;
                if (!fits)
                {
                    bursts.push_back(written(at + offset, length));
                }
            }
        }
    }
    all["elsewhere, or over the end of any of these"] = {read(map::kRegisters),
                                                         read(map::kRegisters - 4),
                                                         written(map::kRegisters - 4),
                                                         read(map::kRegisters - 1, 2),
                                                         read(map::kReportWindow - 1, 1),
                                                         read(report_end, 1),
                                                         read(report_end - 1, 2),
                                                         written(report_end - 1, 2),
                                                         read(map::kProgramWindow - 8),
                                                         read(map::kProgramWindow - 4),
                                                         written(window_end - 7),
                                                         read(window_end, 1),
                                                         read(~std::uint64_t{0}, 1),
                                                         read(~std::uint64_t{0} - 7),
                                                         read(map::kProgramWindow, ~0U / 2)};
    return all;
}

const std::map<std::string, std::uint64_t>& registers()
{
    static const std::map<std::string, std::uint64_t> all = {
        {"kIdentity", map::kIdentity},
        {"kControl", map::kControl},
        {"kStatus", map::kStatus},
        {"kIrqEnable", map::kIrqEnable},
        {"kIrqPending", map::kIrqPending},
        {"kProgramLength", map::kProgramLength},
        {"kProgramCapacity", map::kProgramCapacity},
        {"kJobs", map::kJobs},
        {"kMakespan", map::kMakespan},
        {"kCycles", map::kCycles},
        {"kOperations", map::kOperations},
        {"kTotal", map::kTotal},
        {"kEvents", map::kEvents},
        {"kReportLength", map::kReportLength}};
    return all;
}

std::string first_word(const std::string& text)
{
    return text.substr(0, text.find(';'));
}

const char* const kWritesOfRegisters =
    "registers: 1, 2, 4 or 8 bytes written, aligned to their number";
const char* const kReset = "all else while the chip is in reset";

void check_accesses(TestHost& host, unsigned report)
{
    std::map<std::string, std::vector<Access>> all = cases(report);
    for (const std::vector<std::string>& row : table("| access | response |"))
    {
        ASSERT_EQ(row.size(), 2U);
        if (row[0] == kWritesOfRegisters || row[0] == kReset)
        {
            continue; // of the next two functions
        }
        EXPECT_FALSE(all[row[0]].empty()) << "nothing tries '" << row[0] << "'";
        for (const Access& access : all[row[0]])
        {
            EXPECT_EQ(response(host, access), first_word(row[1]))
                << row[0] << ": " << std::hex << access.address << " + " << access.length;
        }
        if (!all[row[0]].empty())
        {
            EXPECT_EQ(nonblocking_response(host, all[row[0]].front()), first_word(row[1]))
                << row[0];
        }
        all.erase(row[0]);
    }
    EXPECT_TRUE(all.empty()) << "the README has no line '" << all.begin()->first << "'";
}

/// Every register is read and written in every way that the table lets pass.
void check_registers(TestHost& host)
{
    std::size_t seen = 0;
    for (const std::vector<std::string>& row : table("| register | read | written |"))
    {
        ASSERT_EQ(row.size(), 3U);
        std::istringstream names(row[0]);
        for (std::string name; names >> name; ++seen)
        {
            SCOPED_TRACE(name);
            const std::uint64_t at = registers().at(name.substr(1, name.size() - 2));
            EXPECT_EQ(response(host, read(at)), first_word(row[1]));
            for (const unsigned length : {1U, 2U, 4U, 8U})
            {
                for (unsigned offset = 0; offset < 8; offset += length)
                {
                    EXPECT_EQ(response(host, written(at + offset, length)), first_word(row[2]));
                }
            }
        }
    }
    EXPECT_EQ(seen, registers().size()) << "each register stands once in the table";
    EXPECT_EQ(seen * 8, map::kRegisters);
    EXPECT_EQ(response(host, written(map::kProgramLength, 8, kCapacity)), "OK");
    EXPECT_EQ(response(host, written(map::kProgramLength, 8, kCapacity + 1)), "COMMAND_ERROR");
    EXPECT_EQ(response(host, written(map::kProgramLength, 4, 0xffff)), "COMMAND_ERROR");
    EXPECT_EQ(host.read(map::kProgramLength), kCapacity) << "what is refused changes nothing";
    EXPECT_EQ(response(host, written(map::kProgramLength)), "OK");
    for (const unsigned bit : {2U, 3U, 31U, 63U})
    {
        EXPECT_EQ(response(host, written(map::kControl, 8, std::uint64_t{1} << bit)),
                  "COMMAND_ERROR");
    }
    EXPECT_EQ(response(host, written(map::kControl, 1, map::abort)), "OK") << "nothing to abort";
    EXPECT_EQ(host.read(map::kControl), 0U);
}

/// Accesses of any kind: one of the responses that exist, always the same one in debug transport
/// where that has a say, and never a byte outside of the data.
void check_anything(TestHost& host)
{
    std::mt19937_64 random(20240511);
    const auto pick = [&](std::uint64_t below) { return random() % below; };
    const std::array<std::uint64_t, 6> places = {0,
                                                 map::kRegisters,
                                                 map::kReportWindow,
                                                 map::kProgramWindow,
                                                 map::kProgramWindow + kCapacity,
                                                 ~std::uint64_t{0}};
    std::map<std::string, int> seen;
    for (int round = 0; round < 4000; ++round)
    {
        Access access;
        access.address = places[pick(places.size())] + pick(32) - 16;
        access.length = static_cast<unsigned>(pick(24));
        access.command = static_cast<tlm::tlm_command>(pick(4));
        access.pointer = pick(8) != 0;
        access.value = 0; // starts nothing
        access.streaming = pick(3) == 0 ? std::optional<unsigned>(pick(32)) : std::nullopt;
        access.enables = pick(3) == 0 ? std::optional<unsigned>(pick(9)) : std::nullopt;
        const std::string said = response(host, access);
        ++seen[said];
        Transfer debug(access);
        const unsigned count = host.socket->transport_dbg(debug.payload);
        EXPECT_TRUE(debug.guards_hold());
        EXPECT_TRUE(count == 0 || count == access.length);
        const bool wanted = said == "OK" && access.command != tlm::TLM_IGNORE_COMMAND;
        const bool register_written =
            access.command == tlm::TLM_WRITE_COMMAND && access.address < map::kRegisters;
        EXPECT_TRUE(!wanted || register_written || count == access.length)
            << std::hex << access.address;
        EXPECT_TRUE(!register_written || count == 0);
    }
    for (const char* const status : {"OK", "COMMAND_ERROR", "BURST_ERROR", "GENERIC_ERROR",
                                     "BYTE_ENABLE_ERROR", "ADDRESS_ERROR"})
    {
        EXPECT_GT(seen[status], 20) << status;
    }
    EXPECT_EQ(seen.size(), 6U);
}

void check_debug(TestHost& host)
{
    std::uint64_t bytes = 0x0102030405060708;
    unsigned char off = TLM_BYTE_DISABLED;
    Payload payload;
    payload.set_command(tlm::TLM_WRITE_COMMAND);
    payload.set_address(map::kProgramWindow);
    payload.set_data_ptr(reinterpret_cast<unsigned char*>(&bytes));
    payload.set_data_length(8);
    payload.set_streaming_width(0);    // neither this
    payload.set_byte_enable_ptr(&off); // nor this counts
    payload.set_byte_enable_length(0);
    EXPECT_EQ(host.socket->transport_dbg(payload), 8U);
    EXPECT_EQ(host.debug_read(map::kProgramWindow), bytes);
    payload.set_command(tlm::TLM_IGNORE_COMMAND);
    EXPECT_EQ(host.socket->transport_dbg(payload), 0U);
}

void check_reset(TestHost& host, sc_core::sc_signal<bool>& reset)
{
    const auto rows = table("| access | response |");
    const auto row = std::find_if(rows.begin(), rows.end(),
                                  [](const auto& cells) { return cells[0] == kReset; });
    ASSERT_NE(row, rows.end());
    reset.write(true);
    sc_core::wait(1, sc_core::SC_NS);
    for (const Access& access :
         {read(map::kStatus), written(map::kControl, 8, map::start), written(map::kIrqEnable, 3),
          read(map::kReportWindow, 4), read(~std::uint64_t{0} - 16)})
    {
        EXPECT_EQ(response(host, access), (*row)[1]);
    }
    EXPECT_EQ(response(host, read(map::kProgramWindow)), "OK");
    EXPECT_EQ(host.debug_read(map::kProgramCapacity), kCapacity);
    reset.write(false);
    sc_core::wait(1, sc_core::SC_NS);
    EXPECT_EQ(response(host, read(map::kStatus)), "OK");
}

TEST(Access, IsAnsweredAsTheGuideSays)
{
    PlatformOptions large;
    large.program_capacity = (std::uint64_t{1} << 30U) + 1;
    EXPECT_THROW(PlatformChip("large", ChipModel("tiny"), large), UsageError);
    PlatformOptions crowd;
    crowd.hosts = 4'000'000'000;
    EXPECT_THROW(PlatformChip("crowd", ChipModel("tiny"), crowd), UsageError);
    PlatformOptions several;
    several.hosts = 3;
    several.program_capacity = std::uint64_t{1} << 20U;
    PlatformChip other("other", ChipModel("tiny", {"memory.ports=2"}), several);
    EXPECT_EQ(other.hosts(), 3U);
    EXPECT_EQ(other.memories(), (std::vector<std::string>{"mem0", "mem1"}));
    EXPECT_STREQ(other.memory(1).basename(), "mem1");
    EXPECT_EQ(other.macros(), std::vector<std::string>());
    EXPECT_EQ(other.registers().begin, 0U);
    EXPECT_EQ(other.registers().bytes, map::kRegisters);
    EXPECT_EQ(other.report().begin, map::kReportWindow);
    EXPECT_EQ(other.report().bytes, 0U);
    EXPECT_EQ(other.program().begin, map::kProgramWindow);
    EXPECT_EQ(other.program().bytes, several.program_capacity);
    // What was refused has left nothing behind that the simulation would meet.
    several.foreign_macros = {"t0.m0", "t9.m9"};
    EXPECT_THROW(PlatformChip("unknown", ChipModel("tiny"), several), UsageError);
    several.foreign_macros = {"t0.m0", "t0.m0"};
    EXPECT_THROW(PlatformChip("twice", ChipModel("tiny"), several), UsageError);

    PlatformOptions options;
    options.program_capacity = kCapacity;
    PlatformChip chip("chip", ChipModel("tiny"), options);
    sc_core::sc_signal<bool> reset("reset_signal");
    chip.reset(reset);
    TestHost host("host",
                  [&](TestHost& self)
                  {
                      EXPECT_EQ(self.run_job(), map::failed) << "there is no program, but a report";
                      const auto report = static_cast<unsigned>(self.read(map::kReportLength));
                      ASSERT_GT(report, 20U);
                      EXPECT_EQ(chip.report().bytes, report);
                      check_accesses(self, report);
                      check_registers(self);
                      check_debug(self);
                      check_anything(self);
                      check_reset(self, reset);
                  });
    host.socket.bind(chip.host());

    sc_core::sc_start();

    EXPECT_TRUE(host.finished);
}

} // namespace
} // namespace tessera::platform
