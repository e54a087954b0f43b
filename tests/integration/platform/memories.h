// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/process.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <systemc>
#include <tessera/platform.h>
#include <tlm>
#include <tlm_utils/peq_with_get.h>
#include <tlm_utils/simple_target_socket.h>

/// One channel that serves accesses in turn: so much time for every byte, and a latency on top.
class Channel
{
public:
    Channel(double bytes_per_second, const sc_core::sc_time& latency)
        : picoseconds_per_byte_(1e12 / bytes_per_second), latency_(latency)
    {
    }
    /// When an access that comes at `at` is done; tells it how long it stood in line.
    sc_core::sc_time serve(tlm::tlm_generic_payload& payload, const sc_core::sc_time& at)
    {
        const sc_core::sc_time start = std::max(at, free_);
        free_ = start +
                sc_core::sc_time(picoseconds_per_byte_ * payload.get_data_length(), sc_core::SC_PS);
        if (auto* const access = payload.get_extension<tessera::MemoryAccess>())
        {
            access->waited = start - at;
        }
        payload.set_response_status(tlm::TLM_OK_RESPONSE);
        (payload.is_read() ? read_ : written_) += payload.get_data_length();
        return free_ + latency_;
    }
    /// When it has served all that has come so far.
    [[nodiscard]] const sc_core::sc_time& free() const { return free_; }
    [[nodiscard]] std::uint64_t read() const { return read_; }
    [[nodiscard]] std::uint64_t written() const { return written_; }

private:
    double picoseconds_per_byte_;
    sc_core::sc_time latency_;
    sc_core::sc_time free_;
    std::uint64_t read_ = 0;
    std::uint64_t written_ = 0;
};

/// A memory that speaks the four phases, in one of the ways in which that may be done.
class AtMemory : public sc_core::sc_module
{
public:
    enum class Style
    {
        phases,    ///< every phase is a call at its own time
        annotated, ///< END_REQ on return, BEGIN_RESP ahead of its time
        delayed,   ///< END_REQ on return, ahead of its time: when the channel turns to the request
        early      ///< TLM_COMPLETED at once, with the delay
    };

    AtMemory(const sc_core::sc_module_name& name, const Channel& channel, Style style)
        : sc_module(name),
          socket("socket"),
          channel_(channel),
          style_(style),
          requests_("requests"),
          responses_("responses")
    {
        socket.register_nb_transport_fw(this, &AtMemory::nb_transport_fw);
        TESSERA_HAS_PROCESS(AtMemory);
        SC_METHOD(accept);
        sensitive << requests_.get_event();
        dont_initialize();
        SC_METHOD(respond);
        sensitive << responses_.get_event();
        dont_initialize();
    }

    tlm_utils::simple_target_socket<AtMemory> socket;
    [[nodiscard]] const Channel& channel() const { return channel_; }

private:
    tlm::tlm_sync_enum nb_transport_fw(tlm::tlm_generic_payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& delay)
    {
        if (phase != tlm::BEGIN_REQ)
        {
            return tlm::TLM_COMPLETED; // END_RESP
        }
        const sc_core::sc_time now = sc_core::sc_time_stamp();
        const sc_core::sc_time start = std::max(now + delay, channel_.free());
        const sc_core::sc_time end = channel_.serve(payload, now + delay);
        if (style_ == Style::early)
        {
            delay = end - now;
            return tlm::TLM_COMPLETED;
        }
        payload.acquire();
        if (style_ == Style::annotated)
        {
            phase = tlm::END_REQ;
            ends_[&payload] = end;
            responses_.notify(payload, sc_core::SC_ZERO_TIME);
            return tlm::TLM_UPDATED;
        }
        if (style_ == Style::delayed)
        {
            phase = tlm::END_REQ;
            delay = start - now;
            responses_.notify(payload, end - now);
            return tlm::TLM_UPDATED;
        }
        requests_.notify(payload, delay);
        responses_.notify(payload, end - now);
        return tlm::TLM_ACCEPTED;
    }

    void accept()
    {
        while (tlm::tlm_generic_payload* const payload = requests_.get_next_transaction())
        {
            tlm::tlm_phase phase = tlm::END_REQ;
            sc_core::sc_time delay;
            socket->nb_transport_bw(*payload, phase, delay);
        }
    }

    void respond()
    {
        while (tlm::tlm_generic_payload* const payload = responses_.get_next_transaction())
        {
            tlm::tlm_phase phase = tlm::BEGIN_RESP;
            sc_core::sc_time delay;
            if (style_ == Style::annotated)
            {
                delay = ends_[payload] - sc_core::sc_time_stamp();
                ends_.erase(payload);
            }
            socket->nb_transport_bw(*payload, phase, delay);
            payload->release();
        }
    }

    Channel channel_;
    Style style_;
    tlm_utils::peq_with_get<tlm::tlm_generic_payload> requests_;
    tlm_utils::peq_with_get<tlm::tlm_generic_payload> responses_;
    std::map<tlm::tlm_generic_payload*, sc_core::sc_time> ends_;
};

/// A memory that knows b_transport and nothing else. It returns at once with the delay, or waits
/// until the access is over.
class BlockingMemory : public sc_core::sc_module, private tlm::tlm_fw_transport_if<>
{
public:
    BlockingMemory(const sc_core::sc_module_name& name, const Channel& channel, bool waits)
        : sc_module(name), socket("socket"), channel_(channel), waits_(waits)
    {
        socket.bind(*this);
    }

    tlm::tlm_target_socket<> socket;
    [[nodiscard]] const Channel& channel() const { return channel_; }

private:
    void b_transport(tlm::tlm_generic_payload& payload, sc_core::sc_time& delay) override
    {
        const sc_core::sc_time now = sc_core::sc_time_stamp();
        delay = channel_.serve(payload, now + delay) - now;
        if (waits_)
        {
            wait(delay);
            delay = sc_core::SC_ZERO_TIME;
        }
    }
    tlm::tlm_sync_enum nb_transport_fw(tlm::tlm_generic_payload& /*payload*/,
                                       tlm::tlm_phase& /*phase*/,
                                       sc_core::sc_time& /*delay*/) override
    {
        SC_REPORT_FATAL(name(), "this memory is spoken to by b_transport");
        return tlm::TLM_COMPLETED;
    }
    bool get_direct_mem_ptr(tlm::tlm_generic_payload& /*payload*/, tlm::tlm_dmi& /*dmi*/) override
    {
        return false;
    }
    unsigned transport_dbg(tlm::tlm_generic_payload& /*payload*/) override { return 0; }

    Channel channel_;
    bool waits_;
};
