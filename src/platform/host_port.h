// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/platform.h"

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_target_socket.h>
#include <tuple>
#include <vector>

namespace tessera::platform
{

/// What is behind the registers.
class HostDevice
{
public:
    virtual ~HostDevice() = default;
    [[nodiscard]] virtual std::uint64_t read(std::uint64_t address) const = 0;
    /// False: refused.
    virtual bool write(std::uint64_t address, std::uint64_t value) = 0;
    [[nodiscard]] virtual const std::string& report() const = 0;
    /// Registers and report answer nobody.
    [[nodiscard]] virtual bool in_reset() const = 0;
    /// A call has come in.
    virtual void called() = 0;
};

/// The chip's TLM-2.0 targets. Accesses to registers and to the report are queued and carried out
/// when the device has come to their time; the program window is plain memory.
class HostPort
{
public:
    HostPort(unsigned sockets, std::uint64_t program_capacity, HostDevice& device);
    HostPort(const HostPort&) = delete;
    HostPort& operator=(const HostPort&) = delete;
    ~HostPort() = default;

    [[nodiscard]] PlatformChip::HostSocket* socket(unsigned number);
    [[nodiscard]] unsigned sockets() const { return static_cast<unsigned>(sockets_.size()); }
    [[nodiscard]] const std::vector<unsigned char>& program() const { return program_; }

    /// Carries out the calls due at `now`; true: there was one.
    bool carry_out(Tick now);
    /// When the next one falls due; kNever: none.
    [[nodiscard]] Tick next() const { return calls_.empty() ? kNever : calls_.begin()->at; }

private:
    using Payload = tlm::tlm_generic_payload;
    using Socket = tlm_utils::simple_target_socket_tagged_optional<HostPort>;

    struct Call
    {
        Tick at = 0;
        int socket = 0;
        std::uint64_t arrival = 0;
        Payload* payload = nullptr;
        sc_core::sc_event* done = nullptr; ///< of the thread that waits; nullptr: nb_transport

        friend bool operator<(const Call& a, const Call& b)
        {
            return std::tie(a.at, a.socket, a.arrival) < std::tie(b.at, b.socket, b.arrival);
        }
    };
    struct Responses
    {
        Payload* open = nullptr; ///< between BEGIN_RESP and END_RESP
        std::deque<Payload*> waiting;
    };

    void b_transport(int socket, Payload& payload, sc_core::sc_time& delay);
    tlm::tlm_sync_enum nb_transport_fw(int socket, Payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& delay);
    unsigned transport_dbg(int socket, Payload& payload);
    bool get_direct_mem_ptr(int socket, Payload& payload, tlm::tlm_dmi& dmi);

    void queue(int socket, Payload& payload, const sc_core::sc_time& delay,
               sc_core::sc_event* done);
    void withdraw(const sc_core::sc_event& done);
    void execute(Payload& payload);
    [[nodiscard]] tlm::tlm_response_status access(Payload& payload, bool debug);
    [[nodiscard]] tlm::tlm_response_status access_report(Payload& payload, bool debug) const;
    [[nodiscard]] tlm::tlm_response_status access_registers(Payload& payload, bool debug);
    void read_registers(Payload& payload) const;
    void respond(int socket, Payload& payload);
    void send_responses(int socket);

    HostDevice& device_;
    std::vector<std::unique_ptr<Socket>> sockets_;
    std::vector<unsigned char> program_;
    std::set<Call> calls_;
    std::uint64_t arrivals_ = 0;
    std::vector<Responses> responses_;
};

} // namespace tessera::platform
