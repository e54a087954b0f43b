// SPDX-License-Identifier: Apache-2.0
#include "platform/modules.h"

#include "base/interrupt.h"
#include "base/quantity.h"
#include "chip/deadlock.h"
#include "tessera/error.h"

#include <algorithm>
#include <cctype>

namespace tessera::platform
{
namespace
{

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

AidacModule::AidacModule(const sc_core::sc_module_name& name, const chip::AidacMacro& macro)
    : UnitModule(name, macro.parameters()),
      row_driver_(macro.parts()[0]),
      capacitor_array_(macro.parts()[1]),
      column_time_accumulator_(macro.parts()[2]),
      tdc_(macro.parts()[3])
{
}

void AidacModule::own(std::unique_ptr<chip::IssueUnit> behaviour)
{
    const auto& parts = dynamic_cast<const chip::AidacMacro&>(*behaviour).parts();
    row_driver_.follow(parts[0]);
    capacitor_array_.follow(parts[1]);
    column_time_accumulator_.follow(parts[2]);
    tdc_.follow(parts[3]);
    UnitModule::own(std::move(behaviour));
}

TileModule::TileModule(const sc_core::sc_module_name& name, const chip::Chip& chip, TileId tile)
    : sc_module(name),
      tile_(tile),
      buffer_("buffer", {{"capacity", capacity_text(chip.buffers()[tile.index()].capacity())}})
{
    const std::uint32_t units = chip.config().tiles.macros + 2; // vector unit, network interface
    for (std::uint32_t position = 0; position < units; ++position)
    {
        const chip::IssueUnit& unit = *chip.units()[chip.macro(tile, position).index()];
        const std::string unit_name = leaf(unit.place().name);
        if (const auto* aidac = dynamic_cast<const chip::AidacMacro*>(&unit))
        {
            units_.push_back(std::make_unique<AidacModule>(unit_name.c_str(), *aidac));
        }
        else
        {
            units_.push_back(std::make_unique<UnitModule>(unit_name.c_str(), unit.parameters()));
        }
    }
}

void TileModule::adopt(chip::Chip& chip)
{
    for (std::uint32_t position = 0; position < units_.size(); ++position)
    {
        units_[position]->own(chip.release(chip.macro(tile_, position)));
    }
}

ChipModules::ChipModules(chip::Chip& chip)
{
    for (std::uint32_t tile = 0; tile < chip.config().tile_count(); ++tile)
    {
        throw_if_interrupted();
        const std::string tile_name = "t" + std::to_string(tile);
        tiles_.push_back(std::make_unique<TileModule>(tile_name.c_str(), chip, TileId(tile)));
    }
    for (std::uint32_t port = 0; port < chip.config().memory.ports; ++port)
    {
        const chip::IssueUnit& unit = *chip.units()[chip.memory_port(port).index()];
        memory_ports_.push_back(
            std::make_unique<UnitModule>(unit.place().name.c_str(), unit.parameters()));
    }
    for (const noc::FabricUnit& part : chip.fabric().units())
    {
        fabric_.push_back(
            std::make_unique<PartModule>(module_name(part.name).c_str(), part.parameters));
    }
}

void ChipModules::adopt(chip::Chip& chip)
{
    for (const std::unique_ptr<TileModule>& tile : tiles_)
    {
        tile->adopt(chip);
    }
    for (std::uint32_t port = 0; port < memory_ports_.size(); ++port)
    {
        memory_ports_[port]->own(chip.release(chip.memory_port(port)));
    }
}

ChipModule::ChipModule(const sc_core::sc_module_name& name, chip::Chip& chip, chip::Monitor monitor)
    : sc_module(name), modules_(chip), bridge_("bridge")
{
    modules_.adopt(chip);
    bridge_.drive(chip, std::move(monitor));
}

bool run_systemc(chip::Chip& chip, const ChipModule& module)
{
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
        throw_deadlock(chip);
    }
    return true;
}

} // namespace tessera::platform
