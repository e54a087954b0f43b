// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/process.h"

#include <systemc>
#include <tessera/platform.h>
#include <tlm>
#include <tlm_utils/peq_with_get.h>
#include <tlm_utils/simple_target_socket.h>

/// Somebody's own model of a crossbar macro: input vectors follow each other `interval` apart, and
/// the results of the last one are there `interval` after it entered.
class ForeignMacro : public sc_core::sc_module
{
public:
    ForeignMacro(const sc_core::sc_module_name& name, const sc_core::sc_time& interval)
        : sc_module(name), socket("socket"), interval_(interval), ready_("ready")
    {
        socket.register_nb_transport_fw(this, &ForeignMacro::nb_transport_fw);
        socket.register_b_transport(this, &ForeignMacro::b_transport);
        TESSERA_HAS_PROCESS(ForeignMacro);
        SC_METHOD(respond);
        sensitive << ready_.get_event();
        dont_initialize();
    }

    tlm_utils::simple_target_socket<ForeignMacro, 32, tessera::MvmProtocol> socket;
    [[nodiscard]] std::uint64_t vectors() const { return vectors_; }

private:
    /// How long a request takes; a request that nobody can understand is refused.
    sc_core::sc_time work(tlm::tlm_generic_payload& payload)
    {
        const auto* const request = payload.get_extension<tessera::MvmRequest>();
        if (request == nullptr || request->kind != tessera::trace::OpKind::mvm)
        {
            payload.set_response_status(tlm::TLM_COMMAND_ERROR_RESPONSE);
            return sc_core::SC_ZERO_TIME;
        }
        payload.set_response_status(tlm::TLM_OK_RESPONSE);
        vectors_ += request->vectors;
        return interval_ * request->vectors;
    }
    tlm::tlm_sync_enum nb_transport_fw(tlm::tlm_generic_payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& delay)
    {
        if (phase != tlm::BEGIN_REQ)
        {
            return tlm::TLM_COMPLETED;
        }
        payload.acquire();
        ready_.notify(payload, delay + work(payload));
        return tlm::TLM_ACCEPTED;
    }
    void b_transport(tlm::tlm_generic_payload& payload, sc_core::sc_time& delay)
    {
        delay += work(payload);
    }
    /// BEGIN_RESP without END_REQ before it: the macro takes its next request from then on.
    void respond()
    {
        while (tlm::tlm_generic_payload* const payload = ready_.get_next_transaction())
        {
            tlm::tlm_phase phase = tlm::BEGIN_RESP;
            sc_core::sc_time delay;
            socket->nb_transport_bw(*payload, phase, delay);
            payload->release();
        }
    }

    sc_core::sc_time interval_;
    tlm_utils::peq_with_get<tlm::tlm_generic_payload> ready_;
    std::uint64_t vectors_ = 0;
};
