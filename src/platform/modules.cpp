// SPDX-License-Identifier: Apache-2.0
#include "platform/modules.h"

#include "base/quantity.h"
#include "chip/deadlock.h"
#include "tessera/error.h"

#include <algorithm>
#include <cctype>

namespace tessera::platform
{
namespace
{

sc_core::sc_time picoseconds(Tick tick)
{
    return sc_core::sc_time::from_value(tick);
}

/// "t5.m3" -> "m3": in the hierarchy the tile is a module of its own.
std::string leaf(const std::string& name)
{
    return name.substr(name.find('.') + 1);
}

std::string capacity_text(std::uint64_t bytes)
{
    return bytes == config::kUnlimited ? "unlimited" : print_quantity(Dimension::size, bytes);
}

/// SystemC names may not hold every character that ours do.
std::string module_name(std::string name)
{
    std::replace_if(
        name.begin(), name.end(),
        [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
    return name;
}

} // namespace

NamedModule::NamedModule(const sc_core::sc_module_name& name, const chip::Parameters& parameters)
    : sc_module(name)
{
    for (const auto& [parameter, value] : parameters)
    {
        attributes_.push_back(
            std::make_unique<sc_core::sc_attribute<std::string>>(parameter, value));
        add_attribute(*attributes_.back());
    }
}

TileModule::TileModule(const sc_core::sc_module_name& name, chip::Chip& chip, TileId tile)
    : sc_module(name),
      buffer_("buffer", {{"capacity", capacity_text(chip.buffers()[tile.index()].capacity())}})
{
    const auto add = [&](UnitId unit)
    {
        const std::string unit_name = leaf(chip.units()[unit.index()]->place().name);
        units_.push_back(std::make_unique<UnitModule>(unit_name.c_str(), chip.release(unit)));
    };
    for (std::uint32_t position = 0; position < chip.config().tiles.macros; ++position)
    {
        add(chip.macro(tile, position));
    }
    add(chip.vector_unit(tile));
    add(chip.network_interface(tile));
}

WheelBridge::WheelBridge(const sc_core::sc_module_name& name, chip::Chip& chip,
                         chip::Monitor monitor)
    : sc_module(name), chip_(chip), monitor_(std::move(monitor))
{
    SC_HAS_PROCESS(WheelBridge);
    SC_METHOD(step);
}

void WheelBridge::step()
{
    if (ended_)
    {
        return; // the kernel's clock is where the wheel's is: nothing is pending, sc_start()
                // returns
    }
    const Tick now = sc_core::sc_time_stamp().value();
    Wheel& wheel = chip_.wheel();
    try
    {
        // Nobody else acts before the kernel's next activity: up to it, time is the wheel's own.
        const Tick limit = sc_core::sc_pending_activity_at_future_time()
                               ? now + sc_core::sc_time_to_pending_activity().value()
                               : kNever - 1;
        stopped_ = !chip_.advance(limit, monitor_);
    }
    catch (...)
    {
        failure_ = std::current_exception();
        return;
    }
    ended_ = stopped_ || wheel.next() == kNever;
    const Tick next = ended_ ? wheel.now() : wheel.next();
    if (next > now)
    {
        next_trigger(picoseconds(next - now));
    }
}

ChipModule::ChipModule(const sc_core::sc_module_name& name, chip::Chip& chip, chip::Monitor monitor)
    : sc_module(name), bridge_("bridge", chip, std::move(monitor))
{
    for (std::uint32_t tile = 0; tile < chip.config().tile_count(); ++tile)
    {
        const std::string tile_name = "t" + std::to_string(tile);
        tiles_.push_back(std::make_unique<TileModule>(tile_name.c_str(), chip, TileId(tile)));
    }
    for (std::uint32_t port = 0; port < chip.config().memory.ports; ++port)
    {
        const UnitId unit = chip.memory_port(port);
        const std::string port_name = chip.units()[unit.index()]->place().name;
        memory_ports_.push_back(
            std::make_unique<UnitModule>(port_name.c_str(), chip.release(unit)));
    }
    for (const noc::FabricUnit& part : chip.fabric().units())
    {
        fabric_.push_back(
            std::make_unique<PartModule>(module_name(part.name).c_str(), part.parameters));
    }
}

bool run_systemc(chip::Chip& chip, const ChipModule& module)
{
    if (sc_core::sc_get_time_resolution() != sc_core::sc_time(1, sc_core::SC_PS))
    {
        throw SimulationError("the SystemC time resolution must be 1 ps, it is " +
                              sc_core::sc_get_time_resolution().to_string());
    }
    sc_core::sc_start();
    if (module.bridge().failure())
    {
        std::rethrow_exception(module.bridge().failure());
    }
    if (module.bridge().stopped())
    {
        return false;
    }
    if (chip.wheel().idle() && !chip.done())
    {
        chip::throw_deadlock(chip);
    }
    return true;
}

} // namespace tessera::platform
