// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "platform/process.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <systemc>
#include <tessera/platform.h>
#include <tlm>
#include <tlm_utils/simple_initiator_socket.h>
#include <tlm_utils/tlm_quantumkeeper.h>
#include <vector>

/// A processor that talks to the chip: registers by single accesses, the program by direct memory
/// access, an interrupt handler.
class Host : public sc_core::sc_module
{
public:
    struct Settings
    {
        std::vector<unsigned char> program;
        unsigned jobs = 1;
        unsigned deltas = 0;    ///< delta cycles that pass before START, in the same time
        sc_core::sc_time delay; ///< START carries this much delay
        bool abort = false;     ///< the first job, half-way
    };

    Host(const sc_core::sc_module_name& name, Settings settings)
        : sc_module(name), socket("socket"), irq("irq"), settings_(std::move(settings))
    {
        TESSERA_HAS_PROCESS(Host);
        SC_THREAD(software);
        SC_METHOD(handle_irq);
        sensitive << irq;
        dont_initialize();
    }

    tlm_utils::simple_initiator_socket<Host> socket;
    sc_core::sc_in<bool> irq;

    [[nodiscard]] const std::string& report() const { return report_; }
    [[nodiscard]] unsigned interrupts() const { return interrupts_; }
    [[nodiscard]] std::uint64_t status() const { return status_; }
    [[nodiscard]] std::uint64_t makespan() const { return makespan_; }
    [[nodiscard]] bool finished() const { return finished_; }

private:
    void software()
    {
        namespace map = tessera::host;
        wait(13, sc_core::SC_NS);
        copy_program();
        write(map::kProgramLength, settings_.program.size());
        write(map::kIrqEnable, map::done | map::failed | map::aborted);
        for (unsigned job = 0; job < settings_.jobs; ++job)
        {
            for (unsigned delta = 0; delta < settings_.deltas; ++delta)
            {
                wait(sc_core::SC_ZERO_TIME);
            }
            sc_core::sc_time delay = settings_.delay;
            write(map::kControl, map::start, delay);
            if (settings_.abort && job == 0)
            {
                wait(1, sc_core::SC_US);
                write(map::kControl, map::abort);
            }
            while (pending_ == 0)
            {
                wait(interrupt_);
            }
            status_ = read(map::kStatus);
            makespan_ = read(map::kMakespan);
            report_.assign(read(map::kReportLength), '\0');
            transfer(tlm::TLM_READ_COMMAND, map::kReportWindow,
                     reinterpret_cast<unsigned char*>(report_.data()),
                     static_cast<unsigned>(report_.size()));
            write(map::kIrqPending, pending_);
            while (irq.read())
            {
                wait(irq.negedge_event());
            }
            pending_ = 0;
        }
        finished_ = true;
    }

    void handle_irq()
    {
        if (irq.read())
        {
            ++interrupts_;
            pending_ = tessera::host::done | tessera::host::failed | tessera::host::aborted;
            interrupt_.notify(sc_core::SC_ZERO_TIME);
        }
    }

    /// The first kilobyte in bursts over the socket, the rest through a pointer.
    void copy_program()
    {
        constexpr std::size_t burst = 64;
        constexpr std::size_t by_burst = 1024;
        std::vector<unsigned char>& program = settings_.program;
        std::size_t done = 0;
        for (; done < std::min(by_burst, program.size()); done += burst)
        {
            transfer(tlm::TLM_WRITE_COMMAND, tessera::host::kProgramWindow + done,
                     program.data() + done,
                     static_cast<unsigned>(std::min(burst, program.size() - done)));
        }
        if (done >= program.size())
        {
            return;
        }
        tlm::tlm_generic_payload payload;
        payload.set_address(tessera::host::kProgramWindow);
        payload.set_write();
        tlm::tlm_dmi dmi;
        if (!socket->get_direct_mem_ptr(payload, dmi) || !dmi.is_write_allowed())
        {
            SC_REPORT_FATAL(name(), "no direct access to the program window");
            return;
        }
        std::memcpy(dmi.get_dmi_ptr() + (tessera::host::kProgramWindow - dmi.get_start_address()) +
                        done,
                    program.data() + done, program.size() - done);
    }

    void transfer(tlm::tlm_command command, std::uint64_t address, unsigned char* data,
                  unsigned length, sc_core::sc_time delay = sc_core::SC_ZERO_TIME)
    {
        tlm::tlm_generic_payload payload;
        payload.set_command(command);
        payload.set_address(address);
        payload.set_data_ptr(data);
        payload.set_data_length(length);
        payload.set_streaming_width(length);
        payload.set_response_status(tlm::TLM_INCOMPLETE_RESPONSE);
        socket->b_transport(payload, delay);
        wait(delay);
        if (!payload.is_response_ok())
        {
            SC_REPORT_FATAL(name(), payload.get_response_string().c_str());
        }
    }
    void write(std::uint64_t address, std::uint64_t value,
               const sc_core::sc_time& delay = sc_core::SC_ZERO_TIME)
    {
        transfer(tlm::TLM_WRITE_COMMAND, address, reinterpret_cast<unsigned char*>(&value),
                 sizeof value, delay);
    }
    std::uint64_t read(std::uint64_t address)
    {
        std::uint64_t value = 0;
        transfer(tlm::TLM_READ_COMMAND, address, reinterpret_cast<unsigned char*>(&value),
                 sizeof value);
        return value;
    }

    Settings settings_;
    sc_core::sc_event interrupt_;
    std::uint64_t pending_ = 0;
    std::uint64_t status_ = 0;
    std::uint64_t makespan_ = 0;
    std::string report_;
    unsigned interrupts_ = 0;
    bool finished_ = false;
};

/// A second, temporally decoupled initiator: works for itself, and looks now and then what the chip
/// is doing.
class Watcher : public sc_core::sc_module
{
public:
    Watcher(const sc_core::sc_module_name& name, const Host& host)
        : sc_module(name), socket("socket"), host_(host)
    {
        TESSERA_HAS_PROCESS(Watcher);
        SC_THREAD(software);
    }
    tlm_utils::simple_initiator_socket<Watcher> socket;
    [[nodiscard]] std::uint64_t looks() const { return looks_; }
    [[nodiscard]] bool saw_it_running() const { return saw_it_running_; }

private:
    void software()
    {
        tlm_utils::tlm_quantumkeeper keeper;
        keeper.reset();
        constexpr unsigned steps_per_look = 500;
        for (unsigned step = 1; !host_.finished(); ++step)
        {
            keeper.inc(sc_core::sc_time(7, sc_core::SC_NS));
            if (step % steps_per_look == 0)
            {
                look(keeper);
            }
            if (keeper.need_sync())
            {
                keeper.sync();
            }
        }
    }
    void look(tlm_utils::tlm_quantumkeeper& keeper)
    {
        std::uint64_t value = 0;
        tlm::tlm_generic_payload payload;
        payload.set_read();
        payload.set_address(tessera::host::kStatus);
        payload.set_data_ptr(reinterpret_cast<unsigned char*>(&value));
        payload.set_data_length(sizeof value);
        payload.set_streaming_width(sizeof value);
        sc_core::sc_time delay = keeper.get_local_time();
        socket->b_transport(payload, delay);
        keeper.set(delay);
        ++looks_;
        saw_it_running_ = saw_it_running_ || value == tessera::host::running;
    }

    const Host& host_;
    std::uint64_t looks_ = 0;
    bool saw_it_running_ = false;
};
