// SPDX-License-Identifier: Apache-2.0
#include <tessera/platform.h>
#include <tlm_utils/simple_initiator_socket.h>

#include <iostream>

/// Starts the chip's resident program, waits for the interrupt, and reads how long it took.
class Host : public sc_core::sc_module
{
public:
    tlm_utils::simple_initiator_socket<Host> socket;
    sc_core::sc_in<bool> irq;
    std::uint64_t makespan = 0;

    SC_CTOR(Host) : socket("socket"), irq("irq") { SC_THREAD(work); }

private:
    std::uint64_t access(tlm::tlm_command command, std::uint64_t address, std::uint64_t value = 0)
    {
        tlm::tlm_generic_payload payload;
        payload.set_command(command);
        payload.set_address(address);
        payload.set_data_ptr(reinterpret_cast<unsigned char*>(&value));
        payload.set_data_length(sizeof value);
        payload.set_streaming_width(sizeof value);
        sc_core::sc_time delay;
        socket->b_transport(payload, delay);
        if (payload.is_response_error())
        {
            SC_REPORT_FATAL("host", payload.get_response_string().c_str());
        }
        wait(delay);
        return value;
    }

    void work()
    {
        namespace registers = tessera::host;
        access(tlm::TLM_WRITE_COMMAND, registers::kIrqEnable, registers::done | registers::failed);
        access(tlm::TLM_WRITE_COMMAND, registers::kControl, registers::start);
        wait(irq.posedge_event());
        makespan = access(tlm::TLM_READ_COMMAND, registers::kMakespan);
        sc_core::sc_stop();
    }
};

int sc_main(int /*argc*/, char** /*argv*/)
{
    const tessera::ChipModel model("clsa-256", {"noc.vcs=2"});
    tessera::PlatformOptions options;
    options.resident = tessera::Program::compile("lenet5", model);
    tessera::PlatformChip chip("chip", model, options);
    Host host("host");
    sc_core::sc_signal<bool> irq("irq");
    host.socket.bind(chip.host());
    host.irq.bind(irq);
    chip.irq.bind(irq);
    sc_core::sc_start();
    std::cout << host.makespan << " ps\n";
    return chip.failure().empty() ? 0 : 1;
}
