// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/ids.h"
#include "tessera/simulation.h"
#include "tessera/summary.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <systemc>
#include <tlm>
#include <vector>

// A library of SystemC fits programs of one C++ standard alone, and says so at link time by a
// symbol that tells nobody what to do.
#if SC_CPLUSPLUS != 201703L && !defined(SC_DISABLE_API_VERSION_CHECK)
#error                                                                                             \
    "tessera::platform and the SystemC that it was built with are C++17: compile what includes \
tessera/platform.h with -std=c++17 (CMake: set(CMAKE_CXX_STANDARD 17))"
#endif

/// A chip in a SystemC platform: TLM-2.0 sockets for hosts, for external memories and for macros
/// that somebody else models. Link with tessera::platform.
namespace tessera
{

/// Registers of a host socket: 64 bits each, little-endian. Reads take any bytes of any number of
/// them, writes 1, 2, 4 or 8 bytes of one, aligned to their number. README.md says what every other
/// access is answered. Times count from the job's own tick 0.
namespace host
{
inline constexpr std::uint64_t kIdentity = 0x00;        ///< RO "TESSERA" and 1, the map's version
inline constexpr std::uint64_t kControl = 0x08;         ///< WO Control bits; reads as 0
inline constexpr std::uint64_t kStatus = 0x10;          ///< RO Status bits
inline constexpr std::uint64_t kIrqEnable = 0x18;       ///< RW Status bits that raise irq
inline constexpr std::uint64_t kIrqPending = 0x20;      ///< RO, writing 1 clears
inline constexpr std::uint64_t kProgramLength = 0x28;   ///< RW bytes; 0: the resident program
inline constexpr std::uint64_t kProgramCapacity = 0x30; ///< RO bytes of the program window
inline constexpr std::uint64_t kJobs = 0x38;            ///< RO jobs that have come to an end
inline constexpr std::uint64_t kMakespan = 0x40;        ///< RO ps simulated; at its end, the job's
inline constexpr std::uint64_t kCycles = 0x48;          ///< RO the same in reference clock cycles
inline constexpr std::uint64_t kOperations = 0x50;      ///< RO ended
inline constexpr std::uint64_t kTotal = 0x58;           ///< RO operations of the job
inline constexpr std::uint64_t kEvents = 0x60;          ///< RO
inline constexpr std::uint64_t kReportLength = 0x68;    ///< RO bytes of the report window
inline constexpr std::uint64_t kRegisters = 0x70;       ///< bytes of registers

/// A stretch of a host socket's addresses.
struct Window
{
    std::uint64_t begin = 0; ///< its first address
    std::uint64_t bytes = 0; ///< how many addresses
};

/// RO. After a job: its statistics (stats.json), or why it failed.
inline constexpr std::uint64_t kReportWindow = 0x1000'0000;
/// RW. The trace to run, in either encoding. Direct memory access is granted here, and nowhere
/// else: these bytes have no side effects, and a job reads them when it is started.
inline constexpr std::uint64_t kProgramWindow = 0x4000'0000;

/// Bits of kControl.
enum Control : std::uint64_t
{
    start = 1, ///< at the next edge of the reference clock; refused while a job runs
    abort = 2  ///< ends the job; what it did so far can be read
};
/// Bits of kStatus, kIrqEnable and kIrqPending.
enum Status : std::uint64_t
{
    running = 1, ///< a job goes on
    done = 2,    ///< the last job is complete
    failed = 4,  ///< the last job is not: deadlock, malformed trace, error of a memory or macro
    aborted = 8  ///< the last job was ended by the host
};
} // namespace host

/// Goes with every access to an external memory; a memory may ignore it. Reads and writes carry the
/// addresses of the trace; a read returns bytes, a write has all its byte enables off, since
/// operations carry no numbers, and leaves the memory's content as it is.
struct MemoryAccess : tlm::tlm_extension<MemoryAccess>
{
    std::uint64_t operation = 0; ///< id in the trace
    std::uint32_t image = 0;     ///< that it works for
    /// From the memory: how much of the access was spent behind others. Statistics only.
    sc_core::sc_time waited;

    [[nodiscard]] tlm::tlm_extension_base* clone() const override; ///< as TLM-2.0 asks
    void copy_from(const tlm::tlm_extension_base& other) override; ///< as TLM-2.0 asks
};

/// Goes with every request to a foreign macro: input vectors through the weights that it holds. The
/// payload's command is TLM_IGNORE_COMMAND, it has no data.
struct MvmRequest : tlm::tlm_extension<MvmRequest>
{
    std::uint64_t operation = 0;             ///< id in the trace
    trace::OpKind kind = trace::OpKind::mvm; ///< mvm or program
    std::uint32_t vectors = 0;               ///< input vectors of an mvm, rows of a program
    std::uint32_t image = 0;                 ///< that it works for
    LayerId layer;                           ///< none() when the trace does not say
    std::optional<trace::Block> weights;     ///< rows and columns used; nothing in foreign traces
    /// From the macro, in b_transport only: from the request to when it takes the next one. Zero:
    /// with the result. In nb_transport, END_REQ says so.
    sc_core::sc_time interval;
    /// From the macro: how much of the time was spent behind others. Statistics only.
    sc_core::sc_time waited;

    [[nodiscard]] tlm::tlm_extension_base* clone() const override; ///< as TLM-2.0 asks
    void copy_from(const tlm::tlm_extension_base& other) override; ///< as TLM-2.0 asks
};

/// Protocol of macro sockets: phases and rules of the base protocol, MvmRequest is not optional.
/// BEGIN_REQ: the vectors enter. END_REQ: the macro takes its next request. BEGIN_RESP: all results
/// are there.
struct MvmProtocol
{
    using tlm_payload_type = tlm::tlm_generic_payload; ///< as in the base protocol
    using tlm_phase_type = tlm::tlm_phase;             ///< as in the base protocol
};

/// How a chip stands in a platform.
struct PlatformOptions
{
    unsigned hosts = 1; ///< host sockets, at most 1024
    /// Macros that are modelled outside: "t0.m1". Each gets a socket.
    std::vector<std::string> foreign_macros;
    /// Memories and macros are spoken to by b_transport instead of nb_transport: for targets that
    /// know nothing else. They may wait in it: every call comes from an SC_THREAD of its own.
    bool blocking = false;
    std::uint64_t program_capacity = std::uint64_t{16} << 20U; ///< bytes, at most 1 GiB
    /// What START runs when kProgramLength is 0.
    std::optional<Program> resident;
    /// How jobs run; every job leaves its results in `folder`/job0, job1, ... (none when it is
    /// empty).
    RunOptions run;
};

/// A chip with its sockets. It runs jobs: a host writes a trace into the program window (or uses
/// the resident program), starts it, and gets an interrupt when it is done. Every job finds the
/// chip as new, and its results equal those of `tessera run` byte for byte when no memory or macro
/// is foreign.
///
/// A call takes effect at sc_time_stamp() plus its delay. Calls are ordered by time, socket, and
/// arrival. Host accesses to registers end at that time, after the chip has done all that it does
/// at it; a temporally decoupled host is synchronised by them.
class PlatformChip : public sc_core::sc_module
{
public:
    /// Takes a host's accesses.
    using HostSocket =
        tlm::tlm_target_socket<32, tlm::tlm_base_protocol_types, 1, sc_core::SC_ZERO_OR_MORE_BOUND>;
    /// Reads and writes an external memory.
    using MemorySocket = tlm::tlm_initiator_socket<32, tlm::tlm_base_protocol_types, 1,
                                                   sc_core::SC_ZERO_OR_MORE_BOUND>;
    /// Asks a macro that somebody else models.
    using MacroSocket =
        tlm::tlm_initiator_socket<32, MvmProtocol, 1, sc_core::SC_ONE_OR_MORE_BOUND>;

    /// Throws UsageError for a macro that the chip does not have or a program window that is too
    /// large, SimulationError when the kernel's time resolution is coarser than 1 ps.
    PlatformChip(const sc_core::sc_module_name& name, const ChipModel& model,
                 const PlatformOptions& options = {});
    /// A job that still runs ends here, without an interrupt; its run.json says "interrupted".
    ~PlatformChip() override;
    /// "tessera_chip"
    [[nodiscard]] const char* kind() const override { return "tessera_chip"; }

    /// Throw UsageError when there is no such socket.
    [[nodiscard]] HostSocket& host(unsigned number = 0);
    /// Of memory port `mem<number>`. Unbound, the port has the DRAM of the chip's config.
    [[nodiscard]] MemorySocket& memory(unsigned number = 0);
    /// Of a macro among PlatformOptions::foreign_macros.
    [[nodiscard]] MacroSocket& macro(const std::string& unit);

    // What there is to bind.
    [[nodiscard]] unsigned hosts() const; ///< host sockets
    /// Names of the memory ports, by number: memory(i) is the socket of memories()[i].
    [[nodiscard]] std::vector<std::string> memories() const;
    /// Names of the macros with a socket.
    [[nodiscard]] std::vector<std::string> macros() const;

    // What a host finds behind its socket.
    [[nodiscard]] host::Window registers() const; ///< all of them
    [[nodiscard]] host::Window report() const;    ///< as long as the last job's report is
    [[nodiscard]] host::Window program() const;   ///< PlatformOptions::program_capacity bytes

    /// True while an enabled interrupt is pending. May stay unbound.
    sc_core::sc_port<sc_core::sc_signal_inout_if<bool>, 1, sc_core::SC_ZERO_OR_MORE_BOUND> irq;
    /// While true, the chip is in reset: a running job is over, its results say "interrupted";
    /// registers, summary() and failure() are as before the first job, but jobs are counted on, and
    /// the program window keeps its bytes. May stay unbound: then nothing resets the chip.
    sc_core::sc_port<sc_core::sc_signal_in_if<bool>, 1, sc_core::SC_ZERO_OR_MORE_BOUND> reset;

    [[nodiscard]] bool running() const;       ///< a job goes on
    [[nodiscard]] std::uint64_t jobs() const; ///< that have come to an end
    /// Figures of the last job; zeros before the first one.
    [[nodiscard]] const Summary& summary() const;
    /// Why the last job failed; empty: it did not.
    [[nodiscard]] const std::string& failure() const;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

} // namespace tessera
