// SPDX-License-Identifier: Apache-2.0
#include "platform/host_port.h"

#include "platform/time.h"

#include <algorithm>
#include <cstring>

namespace tessera::platform
{
namespace
{

constexpr std::uint64_t kRegisterBytes = 8;

/// What is wrong with the attributes, at whatever address. In debug transport streaming width and
/// byte enables mean nothing.
tlm::tlm_response_status fault_of(const tlm::tlm_generic_payload& payload, bool debug)
{
    if (!payload.is_read() && !payload.is_write())
    {
        return tlm::TLM_COMMAND_ERROR_RESPONSE;
    }
    if (payload.get_data_length() == 0 ||
        (!debug && payload.get_streaming_width() < payload.get_data_length()))
    {
        return tlm::TLM_BURST_ERROR_RESPONSE;
    }
    if (payload.get_data_ptr() == nullptr)
    {
        return tlm::TLM_GENERIC_ERROR_RESPONSE;
    }
    if (!debug && payload.get_byte_enable_ptr() != nullptr && payload.get_byte_enable_length() == 0)
    {
        return tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE;
    }
    return tlm::TLM_OK_RESPONSE;
}

/// Copies between a payload without a fault and `memory`, the part of a window that it addresses;
/// `to` is nullptr where only reads come.
void copy(tlm::tlm_generic_payload& payload, const unsigned char* from, unsigned char* to,
          bool debug)
{
    unsigned char* const data = payload.get_data_ptr();
    const unsigned length = payload.get_data_length();
    const bool reading = payload.is_read();
    const unsigned char* const enables = debug ? nullptr : payload.get_byte_enable_ptr();
    if (enables == nullptr)
    {
        std::memcpy(reading ? data : to, reading ? from : data, length);
        return;
    }
    for (unsigned i = 0; i < length; ++i)
    {
        if (enables[i % payload.get_byte_enable_length()] != TLM_BYTE_DISABLED)
        {
            (reading ? data : to)[i] = (reading ? from : data)[i];
        }
    }
}

bool inside(const tlm::tlm_generic_payload& payload, std::uint64_t begin, std::uint64_t bytes)
{
    const std::uint64_t address = payload.get_address();
    return address >= begin && address - begin <= bytes &&
           payload.get_data_length() <= bytes - (address - begin);
}

bool may_wait()
{
    const auto kind = sc_core::sc_get_current_process_handle().proc_kind();
    return kind == sc_core::SC_THREAD_PROC_ || kind == sc_core::SC_CTHREAD_PROC_;
}

} // namespace

HostPort::HostPort(unsigned sockets, std::uint64_t program_capacity, HostDevice& device)
    : device_(device), program_(program_capacity), responses_(sockets)
{
    for (unsigned i = 0; i < sockets; ++i)
    {
        const int number = static_cast<int>(i);
        sockets_.push_back(std::make_unique<Socket>(("host" + std::to_string(i)).c_str()));
        Socket& socket = *sockets_.back();
        socket.register_b_transport(this, &HostPort::b_transport, number);
        socket.register_nb_transport_fw(this, &HostPort::nb_transport_fw, number);
        socket.register_transport_dbg(this, &HostPort::transport_dbg, number);
        socket.register_get_direct_mem_ptr(this, &HostPort::get_direct_mem_ptr, number);
    }
}

PlatformChip::HostSocket* HostPort::socket(unsigned number)
{
    return number < sockets_.size() ? sockets_[number].get() : nullptr;
}

void HostPort::queue(int socket, Payload& payload, const sc_core::sc_time& delay,
                     sc_core::sc_event* done)
{
    calls_.insert({tick_of(sc_core::sc_time_stamp() + delay), socket, arrivals_++, &payload, done});
    device_.called();
}

bool HostPort::carry_out(Tick now)
{
    for (std::size_t socket = 0; socket < sockets_.size(); ++socket)
    {
        send_responses(static_cast<int>(socket));
    }
    bool any = false;
    while (next() <= now)
    {
        const Call call = *calls_.begin();
        calls_.erase(calls_.begin());
        any = true;
        execute(*call.payload);
        if (call.done != nullptr)
        {
            call.done->notify(sc_core::SC_ZERO_TIME);
        }
        else
        {
            respond(call.socket, *call.payload);
        }
    }
    return any;
}

void HostPort::execute(Payload& payload)
{
    payload.set_response_status(access(payload, false));
}

void HostPort::b_transport(int socket, Payload& payload, sc_core::sc_time& delay)
{
    if (inside(payload, host::kProgramWindow, program_.size()))
    {
        execute(payload);
        payload.set_dmi_allowed(payload.is_response_ok());
        return;
    }
    if (!may_wait())
    {
        SC_REPORT_ERROR("/tessera/platform",
                        "b_transport to registers waits until the chip has come to its time: call "
                        "it from an SC_THREAD, or use nb_transport");
        return;
    }
    sc_core::sc_event done;
    queue(socket, payload, delay, &done);
    try
    {
        sc_core::wait(done);
    }
    catch (...) // the thread is killed or reset, and its payload is gone with it
    {
        withdraw(done);
        throw;
    }
    delay = sc_core::SC_ZERO_TIME;
}

void HostPort::withdraw(const sc_core::sc_event& done)
{
    const auto call = std::find_if(calls_.begin(), calls_.end(),
                                   [&](const Call& waiting) { return waiting.done == &done; });
    if (call != calls_.end())
    {
        calls_.erase(call);
    }
}

tlm::tlm_sync_enum HostPort::nb_transport_fw(int socket, Payload& payload, tlm::tlm_phase& phase,
                                             sc_core::sc_time& delay)
{
    if (phase == tlm::BEGIN_REQ)
    {
        if (payload.has_mm())
        {
            payload.acquire();
        }
        queue(socket, payload, delay, nullptr);
        return tlm::TLM_ACCEPTED;
    }
    Responses& responses = responses_[static_cast<std::size_t>(socket)];
    if (phase == tlm::END_RESP && responses.open == &payload)
    {
        responses.open = nullptr;
        if (payload.has_mm())
        {
            payload.release();
        }
        if (!responses.waiting.empty())
        {
            device_.called(); // nothing may be sent from within a call that came in
        }
        return tlm::TLM_COMPLETED;
    }
    return tlm::TLM_ACCEPTED;
}

void HostPort::respond(int socket, Payload& payload)
{
    responses_[static_cast<std::size_t>(socket)].waiting.push_back(&payload);
    send_responses(socket);
}

void HostPort::send_responses(int socket)
{
    Responses& responses = responses_[static_cast<std::size_t>(socket)];
    while (responses.open == nullptr && !responses.waiting.empty())
    {
        Payload& payload = *responses.waiting.front();
        responses.waiting.pop_front();
        responses.open = &payload;
        tlm::tlm_phase phase = tlm::BEGIN_RESP;
        sc_core::sc_time delay;
        const tlm::tlm_sync_enum status =
            (*sockets_[static_cast<std::size_t>(socket)])->nb_transport_bw(payload, phase, delay);
        if (status == tlm::TLM_COMPLETED || (status == tlm::TLM_UPDATED && phase == tlm::END_RESP))
        {
            responses.open = nullptr;
            if (payload.has_mm())
            {
                payload.release();
            }
        }
    }
}

unsigned HostPort::transport_dbg(int /*socket*/, Payload& payload)
{
    const bool good = access(payload, true) == tlm::TLM_OK_RESPONSE;
    return good ? payload.get_data_length() : 0;
}

bool HostPort::get_direct_mem_ptr(int /*socket*/, Payload& payload, tlm::tlm_dmi& dmi)
{
    const std::uint64_t address = payload.get_address();
    if (address < host::kProgramWindow || address - host::kProgramWindow >= program_.size())
    {
        const bool below = address < host::kProgramWindow; // nothing on this side is memory
        dmi.set_start_address(below ? 0 : host::kProgramWindow + program_.size());
        dmi.set_end_address(below ? host::kProgramWindow - 1 : ~std::uint64_t{0});
        dmi.allow_none();
        return false;
    }
    dmi.set_dmi_ptr(program_.data());
    dmi.set_start_address(host::kProgramWindow);
    dmi.set_end_address(host::kProgramWindow + program_.size() - 1);
    dmi.allow_read_write();
    return true;
}

tlm::tlm_response_status HostPort::access(Payload& payload, bool debug)
{
    if (const auto fault = fault_of(payload, debug); fault != tlm::TLM_OK_RESPONSE)
    {
        const bool nothing = payload.get_command() == tlm::TLM_IGNORE_COMMAND && !debug;
        return nothing ? tlm::TLM_OK_RESPONSE : fault;
    }
    if (inside(payload, host::kProgramWindow, program_.size()))
    {
        unsigned char* const memory =
            program_.data() + (payload.get_address() - host::kProgramWindow);
        copy(payload, memory, memory, debug);
        return tlm::TLM_OK_RESPONSE;
    }
    if (device_.in_reset() && !debug)
    {
        return tlm::TLM_GENERIC_ERROR_RESPONSE;
    }
    if (inside(payload, host::kReportWindow, device_.report().size()))
    {
        return access_report(payload, debug);
    }
    if (inside(payload, 0, host::kRegisters))
    {
        return access_registers(payload, debug);
    }
    return tlm::TLM_ADDRESS_ERROR_RESPONSE;
}

tlm::tlm_response_status HostPort::access_report(Payload& payload, bool debug) const
{
    if (payload.is_write())
    {
        return tlm::TLM_COMMAND_ERROR_RESPONSE;
    }
    const auto* const report = reinterpret_cast<const unsigned char*>(device_.report().data());
    copy(payload, report + (payload.get_address() - host::kReportWindow), nullptr, debug);
    return tlm::TLM_OK_RESPONSE;
}

void HostPort::read_registers(Payload& payload) const
{
    for (unsigned i = 0; i < payload.get_data_length(); ++i)
    {
        const std::uint64_t at = payload.get_address() + i;
        const std::uint64_t value = device_.read(at - at % kRegisterBytes);
        payload.get_data_ptr()[i] =
            static_cast<unsigned char>(value >> (8 * (at % kRegisterBytes)));
    }
}

tlm::tlm_response_status HostPort::access_registers(Payload& payload, bool debug)
{
    const std::uint64_t address = payload.get_address();
    const unsigned length = payload.get_data_length();
    if (payload.get_byte_enable_ptr() != nullptr && !debug)
    {
        return tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE;
    }
    if (payload.is_read())
    {
        read_registers(payload);
        return tlm::TLM_OK_RESPONSE;
    }
    const std::uint64_t offset = address % kRegisterBytes;
    const std::uint64_t first = address - offset;
    const bool one_register =
        (length == 1 || length == 2 || length == 4 || length == 8) && offset % length == 0;
    if (debug || !one_register)
    {
        return tlm::TLM_BURST_ERROR_RESPONSE;
    }
    // What the access leaves out keeps its value; where ones act, it is zero.
    std::uint64_t value = first == host::kIrqPending ? 0 : device_.read(first);
    for (unsigned i = 0; i < length; ++i)
    {
        const auto shift = static_cast<unsigned>(8 * (offset + i));
        value &= ~(std::uint64_t{0xff} << shift);
        value |= std::uint64_t{payload.get_data_ptr()[i]} << shift;
    }
    return device_.write(first, value) ? tlm::TLM_OK_RESPONSE : tlm::TLM_COMMAND_ERROR_RESPONSE;
}

} // namespace tessera::platform
