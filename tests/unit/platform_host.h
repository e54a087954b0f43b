// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/process.h"
#include "tessera/platform.h"

#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <systemc>
#include <tlm>
#include <tlm_utils/simple_initiator_socket.h>
#include <vector>

namespace tessera::platform::testing
{

inline std::string trace_file(const std::string& name)
{
    std::ifstream in(std::string(TESSERA_SOURCE_DIR) + "/traces/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// Speaks b_transport, nb_transport, debug and direct memory access.
class TestHost : public sc_core::sc_module, private tlm::tlm_mm_interface
{
    using Payload = tlm::tlm_generic_payload;

public:
    TestHost(const sc_core::sc_module_name& name, std::function<void(TestHost&)> software)
        : sc_module(name), socket("socket"), software_(std::move(software))
    {
        socket.register_nb_transport_bw(this, &TestHost::nb_transport_bw);
        TESSERA_HAS_PROCESS(TestHost);
        SC_THREAD(run);
    }
    tlm_utils::simple_initiator_socket<TestHost> socket;
    bool finished = false;
    std::function<void()> on_response; ///< called within nb_transport_bw

    tlm::tlm_response_status access(tlm::tlm_command command, std::uint64_t address, void* data,
                                    unsigned length, unsigned streaming = 0,
                                    unsigned char* enables = nullptr)
    {
        Payload payload;
        fill(payload, command, address, data, length);
        payload.set_streaming_width(streaming == 0 ? length : streaming);
        payload.set_byte_enable_ptr(enables);
        payload.set_byte_enable_length(enables == nullptr ? 0 : 1);
        sc_core::sc_time delay;
        socket->b_transport(payload, delay);
        wait(delay);
        return payload.get_response_status();
    }
    std::uint64_t read(std::uint64_t address)
    {
        std::uint64_t value = 0;
        EXPECT_EQ(access(tlm::TLM_READ_COMMAND, address, &value, 8), tlm::TLM_OK_RESPONSE);
        return value;
    }
    tlm::tlm_response_status write(std::uint64_t address, std::uint64_t value)
    {
        return access(tlm::TLM_WRITE_COMMAND, address, &value, 8);
    }
    std::uint64_t debug_read(std::uint64_t address, unsigned expected = 8)
    {
        std::uint64_t value = 0;
        Payload payload;
        fill(payload, tlm::TLM_READ_COMMAND, address, &value, 8);
        EXPECT_EQ(socket->transport_dbg(payload), expected);
        return value;
    }
    /// Two reads by nb_transport, the second one sent as soon as the rules allow.
    std::vector<std::uint64_t> read_both(std::uint64_t first, std::uint64_t second)
    {
        std::vector<std::uint64_t> values(2);
        const std::uint64_t addresses[] = {first, second};
        for (std::size_t i = 0; i < 2; ++i)
        {
            auto* const payload = new Payload(this); // free() deletes it
            payload->acquire();
            fill(*payload, tlm::TLM_READ_COMMAND, addresses[i], &values[i], 8);
            tlm::tlm_phase phase = tlm::BEGIN_REQ;
            sc_core::sc_time delay(5, sc_core::SC_NS);
            EXPECT_EQ(socket->nb_transport_fw(*payload, phase, delay), tlm::TLM_ACCEPTED);
            wait(request_over_);
        }
        while (responses_.size() < 2)
        {
            wait(response_);
        }
        for (Payload* const payload : responses_)
        {
            EXPECT_TRUE(payload->is_response_ok());
            payload->release();
        }
        responses_.clear();
        return values;
    }
    /// Sends a copy of the payload by nb_transport and waits; the payload gets the response.
    void send(Payload& payload)
    {
        auto* const sent = new Payload(this); // free() deletes it
        sent->acquire();
        sent->set_command(payload.get_command());
        sent->set_address(payload.get_address());
        sent->set_data_ptr(payload.get_data_ptr());
        sent->set_data_length(payload.get_data_length());
        sent->set_streaming_width(payload.get_streaming_width());
        sent->set_byte_enable_ptr(payload.get_byte_enable_ptr());
        sent->set_byte_enable_length(payload.get_byte_enable_length());
        tlm::tlm_phase phase = tlm::BEGIN_REQ;
        sc_core::sc_time delay;
        EXPECT_EQ(socket->nb_transport_fw(*sent, phase, delay), tlm::TLM_ACCEPTED);
        while (responses_.empty())
        {
            wait(response_);
        }
        EXPECT_EQ(responses_.front(), sent);
        responses_.clear();
        payload.set_response_status(sent->get_response_status());
        sent->release();
    }
    void load(const std::string& program)
    {
        std::string copy = program;
        EXPECT_EQ(access(tlm::TLM_WRITE_COMMAND, host::kProgramWindow, copy.data(),
                         static_cast<unsigned>(copy.size())),
                  tlm::TLM_OK_RESPONSE);
        EXPECT_EQ(write(host::kProgramLength, copy.size()), tlm::TLM_OK_RESPONSE);
    }
    std::string report()
    {
        std::string text(read(host::kReportLength), '\0');
        EXPECT_EQ(access(tlm::TLM_READ_COMMAND, host::kReportWindow, text.data(),
                         static_cast<unsigned>(text.size())),
                  tlm::TLM_OK_RESPONSE);
        return text;
    }
    std::uint64_t run_job()
    {
        EXPECT_EQ(write(host::kControl, host::start), tlm::TLM_OK_RESPONSE);
        while (read(host::kStatus) == host::running)
        {
            wait(1, sc_core::SC_US);
        }
        return read(host::kStatus);
    }

private:
    void run()
    {
        software_(*this);
        finished = true;
    }
    static void fill(Payload& payload, tlm::tlm_command command, std::uint64_t address, void* data,
                     unsigned length)
    {
        payload.set_command(command);
        payload.set_address(address);
        payload.set_data_ptr(static_cast<unsigned char*>(data));
        payload.set_data_length(length);
        payload.set_streaming_width(length);
        payload.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
    }
    tlm::tlm_sync_enum nb_transport_bw(Payload& payload, tlm::tlm_phase& phase,
                                       sc_core::sc_time& /*delay*/)
    {
        EXPECT_EQ(phase, tlm::BEGIN_RESP);
        if (on_response)
        {
            on_response();
        }
        responses_.push_back(&payload);
        request_over_.notify(sc_core::SC_ZERO_TIME);
        response_.notify(sc_core::SC_ZERO_TIME);
        phase = tlm::END_RESP;
        return tlm::TLM_UPDATED;
    }
    void free(Payload* payload) override { delete payload; }

    std::function<void(TestHost&)> software_;
    std::deque<Payload*> responses_;
    sc_core::sc_event request_over_;
    sc_core::sc_event response_;
};

} // namespace tessera::platform::testing
