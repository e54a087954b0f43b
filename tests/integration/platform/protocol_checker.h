// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_initiator_socket.h>
#include <tlm_utils/simple_target_socket.h>
#include <vector>

/// Sits between an initiator and a target, passes everything on, and notes every breach of the
/// rules of the TLM-2.0 base protocol (IEEE 1666-2011, clauses 14 to 16).
template <class Types = tlm::tlm_base_protocol_types>
class ProtocolChecker : public sc_core::sc_module
{
public:
    explicit ProtocolChecker(const sc_core::sc_module_name& name)
        : sc_module(name), target("target"), initiator("initiator")
    {
        target.register_b_transport(this, &ProtocolChecker::b_transport);
        target.register_nb_transport_fw(this, &ProtocolChecker::nb_transport_fw);
        target.register_transport_dbg(this, &ProtocolChecker::transport_dbg);
        target.register_get_direct_mem_ptr(this, &ProtocolChecker::get_direct_mem_ptr);
        initiator.register_nb_transport_bw(this, &ProtocolChecker::nb_transport_bw);
        initiator.register_invalidate_direct_mem_ptr(this,
                                                     &ProtocolChecker::invalidate_direct_mem_ptr);
    }

    tlm_utils::simple_target_socket<ProtocolChecker, 32, Types> target;
    tlm_utils::simple_initiator_socket<ProtocolChecker, 32, Types> initiator;

    /// What was wrong, and, once the simulation is over, what was left open.
    [[nodiscard]] std::vector<std::string> breaches() const
    {
        std::vector<std::string> all = breaches_;
        for (const auto& [payload, state] : open_)
        {
            all.push_back(std::string(name()) + ": a transaction was left in phase " +
                          state.phase.get_name());
        }
        if (blocking_ != 0)
        {
            all.push_back(std::string(name()) + ": b_transport did not return");
        }
        return all;
    }
    [[nodiscard]] std::uint64_t transactions() const { return transactions_; }

private:
    using Payload = tlm::tlm_generic_payload;

    /// What must not change while a transaction goes on.
    struct Attributes
    {
        tlm::tlm_command command;
        const unsigned char* data;
        unsigned length;
        unsigned streaming;
        const unsigned char* enables;
        unsigned enable_length;

        explicit Attributes(const Payload& payload)
            : command(payload.get_command()),
              data(payload.get_data_ptr()),
              length(payload.get_data_length()),
              streaming(payload.get_streaming_width()),
              enables(payload.get_byte_enable_ptr()),
              enable_length(payload.get_byte_enable_length())
        {
        }
        bool operator==(const Attributes& other) const
        {
            return command == other.command && data == other.data && length == other.length &&
                   streaming == other.streaming && enables == other.enables &&
                   enable_length == other.enable_length;
        }
    };
    struct State
    {
        tlm::tlm_phase phase;
        Attributes attributes;
    };

    void require(bool condition, const std::string& rule)
    {
        if (!condition)
        {
            breaches_.push_back(std::string(name()) + " at " +
                                sc_core::sc_time_stamp().to_string() + ": " + rule);
        }
    }

    void check_request(const Payload& payload)
    {
        require(payload.get_response_status() == tlm::TLM_INCOMPLETE_RESPONSE,
                "a request must begin with TLM_INCOMPLETE_RESPONSE");
        require(!payload.is_dmi_allowed(), "a request must begin with the DMI hint cleared");
        if (payload.get_command() == tlm::TLM_IGNORE_COMMAND)
        {
            return;
        }
        require(payload.get_data_ptr() != nullptr, "a read or write needs a data pointer");
        require(payload.get_data_length() != 0, "a read or write needs a data length");
        require(payload.get_streaming_width() != 0, "the streaming width must not be zero");
        require(payload.get_byte_enable_ptr() == nullptr || payload.get_byte_enable_length() != 0,
                "byte enables need a length");
    }

    void b_transport(Payload& payload, sc_core::sc_time& delay)
    {
        ++transactions_;
        check_request(payload);
        require(sc_core::sc_get_current_process_handle().proc_kind() != sc_core::SC_METHOD_PROC_,
                "b_transport must not be called from a method process");
        const Attributes before(payload);
        const sc_core::sc_time begin = sc_core::sc_time_stamp() + delay;
        ++blocking_;
        initiator->b_transport(payload, delay);
        --blocking_;
        require(before == Attributes(payload), "b_transport changed an attribute of the request");
        require(sc_core::sc_time_stamp() + delay >= begin, "b_transport went back in time");
        require(payload.get_response_status() != tlm::TLM_INCOMPLETE_RESPONSE,
                "b_transport returned without a response");
    }

    tlm::tlm_sync_enum nb_transport_fw(Payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& delay)
    {
        require(!inside_backward_, "nb_transport_fw was called from within nb_transport_bw");
        advance(payload, phase, delay, true);
        const bool outer = inside_forward_;
        inside_forward_ = true;
        const tlm::tlm_sync_enum status = initiator->nb_transport_fw(payload, phase, delay);
        inside_forward_ = outer;
        returned(payload, status, phase, delay, false);
        return status;
    }

    tlm::tlm_sync_enum nb_transport_bw(Payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& delay)
    {
        require(!inside_forward_, "nb_transport_bw was called from within nb_transport_fw");
        advance(payload, phase, delay, false);
        const bool outer = inside_backward_;
        inside_backward_ = true;
        const tlm::tlm_sync_enum status = target->nb_transport_bw(payload, phase, delay);
        inside_backward_ = outer;
        returned(payload, status, phase, delay, true);
        return status;
    }

    void returned(Payload& payload, tlm::tlm_sync_enum status, const tlm::tlm_phase& phase,
                  const sc_core::sc_time& delay, bool from_initiator)
    {
        if (status == tlm::TLM_UPDATED)
        {
            advance(payload, phase, delay, from_initiator);
        }
        else if (status == tlm::TLM_COMPLETED)
        {
            require(payload.get_response_status() != tlm::TLM_INCOMPLETE_RESPONSE,
                    "completed without a response");
            open_.erase(&payload);
            release(request_, payload);
            release(response_, payload);
        }
    }

    /// A phase, whoever sends it, by a call or by the return from one.
    void advance(Payload& payload, const tlm::tlm_phase& phase, const sc_core::sc_time& delay,
                 bool from_initiator)
    {
        const sc_core::sc_time at = sc_core::sc_time_stamp() + delay;
        const bool known = phase == tlm::BEGIN_REQ || phase == tlm::END_REQ ||
                           phase == tlm::BEGIN_RESP || phase == tlm::END_RESP;
        if (!known)
        {
            return; // may be ignored
        }
        require(from_initiator == (phase == tlm::BEGIN_REQ || phase == tlm::END_RESP),
                std::string("the wrong side sent ") + phase.get_name());
        const auto found = open_.find(&payload);
        if (phase == tlm::BEGIN_REQ)
        {
            ++transactions_;
            require(payload.has_mm(), "nb_transport needs a memory manager");
            require(payload.get_ref_count() > 0, "the payload was not acquired");
            require(found == open_.end(), "BEGIN_REQ for a transaction that is open");
            require(request_ == nullptr, "BEGIN_REQ before the end of the last request");
            require(at >= request_end_, "BEGIN_REQ at a time before the end of the last request");
            check_request(payload);
            open_.insert_or_assign(&payload, State{phase, Attributes(payload)});
            request_ = &payload;
            return;
        }
        require(found != open_.end(), std::string(phase.get_name()) + " without BEGIN_REQ");
        if (found == open_.end())
        {
            return;
        }
        State& state = found->second;
        require(state.attributes == Attributes(payload), "an attribute of the request changed");
        if (phase == tlm::END_REQ)
        {
            require(state.phase == tlm::BEGIN_REQ, "END_REQ out of turn");
            end_request(payload, at);
        }
        else if (phase == tlm::BEGIN_RESP)
        {
            require(state.phase == tlm::BEGIN_REQ || state.phase == tlm::END_REQ,
                    "BEGIN_RESP out of turn");
            require(response_ == nullptr, "BEGIN_RESP before the end of the last response");
            require(payload.get_response_status() != tlm::TLM_INCOMPLETE_RESPONSE,
                    "BEGIN_RESP without a response");
            end_request(payload, at);
            response_ = &payload;
        }
        else
        {
            require(state.phase == tlm::BEGIN_RESP, "END_RESP out of turn");
            release(response_, payload);
            open_.erase(found);
            return;
        }
        state.phase = phase;
    }

    void end_request(const Payload& payload, const sc_core::sc_time& at)
    {
        if (request_ == &payload)
        {
            request_ = nullptr;
            request_end_ = at;
        }
    }
    static void release(const Payload*& holder, const Payload& payload)
    {
        if (holder == &payload)
        {
            holder = nullptr;
        }
    }

    unsigned transport_dbg(Payload& payload) { return initiator->transport_dbg(payload); }
    bool get_direct_mem_ptr(Payload& payload, tlm::tlm_dmi& dmi)
    {
        const sc_dt::uint64 address = payload.get_address();
        const bool granted = initiator->get_direct_mem_ptr(payload, dmi);
        require(address >= dmi.get_start_address() && address <= dmi.get_end_address(),
                "the DMI region does not hold the address that was asked for");
        return granted;
    }
    void invalidate_direct_mem_ptr(sc_dt::uint64 begin, sc_dt::uint64 end)
    {
        target->invalidate_direct_mem_ptr(begin, end);
    }

    std::map<const Payload*, State> open_;
    const Payload* request_ = nullptr;  ///< between BEGIN_REQ and END_REQ
    const Payload* response_ = nullptr; ///< between BEGIN_RESP and END_RESP
    sc_core::sc_time request_end_;
    bool inside_forward_ = false;
    bool inside_backward_ = false;
    unsigned blocking_ = 0;
    std::uint64_t transactions_ = 0;
    std::vector<std::string> breaches_;
};
