// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/chip.h"
#include "platform/bridge.h"

#include <systemc>

#include <memory>
#include <string>
#include <vector>

namespace tessera::platform
{

/// A module of the chip: a name in the hierarchy, and its parameters as attributes of type
/// std::string.
class NamedModule : public sc_core::sc_module
{
public:
    NamedModule(const sc_core::sc_module_name& name, const chip::Parameters& parameters);

private:
    std::vector<std::unique_ptr<sc_core::sc_attribute<std::string>>> attributes_;
};

/// A unit of the chip: the module owns the behaviour, which the wheel wakes.
class UnitModule : public NamedModule
{
public:
    using NamedModule::NamedModule;
    [[nodiscard]] const char* kind() const override { return "tessera_unit"; }
    virtual void own(std::unique_ptr<chip::IssueUnit> behaviour)
    {
        behaviour_ = std::move(behaviour);
    }

private:
    std::unique_ptr<chip::IssueUnit> behaviour_;
};

/// A kind of circuit in an AiDAC macro. What it has done can be asked while the chip is there.
class AidacPartModule : public NamedModule
{
public:
    AidacPartModule(const chip::AidacPart& part) : NamedModule(part.name, part.parameters) {}
    void follow(const chip::AidacPart& part) { part_ = &part; }
    [[nodiscard]] std::uint64_t products() const { return part_ == nullptr ? 0 : part_->products; }
    [[nodiscard]] Tick busy() const { return part_ == nullptr ? 0 : part_->busy(); }
    /// Attojoules.
    [[nodiscard]] std::uint64_t energy() const { return part_ == nullptr ? 0 : part_->energy(); }

private:
    const chip::AidacPart* part_ = nullptr;
};

/// Charges the groups of capacitors of every row by the bits of its input.
class RowDriver final : public AidacPartModule
{
public:
    using AidacPartModule::AidacPartModule;
    [[nodiscard]] const char* kind() const override { return "tessera_row_driver"; }
};

/// Multiplies, shares and weighs.
class CapacitorArray final : public AidacPartModule
{
public:
    using AidacPartModule::AidacPartModule;
    [[nodiscard]] const char* kind() const override { return "tessera_capacitor_array"; }
};

/// Turns voltages into times and adds them up down the grid.
class ColumnTimeAccumulator final : public AidacPartModule
{
public:
    using AidacPartModule::AidacPartModule;
    [[nodiscard]] const char* kind() const override { return "tessera_column_time_accumulator"; }
};

/// Turns times into codes.
class Tdc final : public AidacPartModule
{
public:
    using AidacPartModule::AidacPartModule;
    [[nodiscard]] const char* kind() const override { return "tessera_tdc"; }
};

/// An AiDAC macro with its parts.
class AidacModule final : public UnitModule
{
public:
    AidacModule(const sc_core::sc_module_name& name, const chip::AidacMacro& macro);
    [[nodiscard]] const char* kind() const override { return "tessera_aidac"; }
    void own(std::unique_ptr<chip::IssueUnit> behaviour) override;

private:
    RowDriver row_driver_;
    CapacitorArray capacitor_array_;
    ColumnTimeAccumulator column_time_accumulator_;
    Tdc tdc_;
};

/// A tile's data memory, or a part of the interconnect: the chip keeps the behaviour, because
/// several units reach into it.
class PartModule : public NamedModule
{
public:
    using NamedModule::NamedModule;
    [[nodiscard]] const char* kind() const override { return "tessera_part"; }
};

/// One tile: macros, vector unit, network interface, buffer.
class TileModule : public sc_core::sc_module
{
public:
    TileModule(const sc_core::sc_module_name& name, const chip::Chip& chip, TileId tile);
    [[nodiscard]] const char* kind() const override { return "tessera_tile"; }
    void adopt(chip::Chip& chip);

private:
    TileId tile_;
    std::vector<std::unique_ptr<UnitModule>> units_;
    PartModule buffer_;
};

/// The whole chip in the SystemC hierarchy: tiles, memory ports, parts of the interconnect.
class ChipModules
{
public:
    /// Builds the modules under the one that is being constructed.
    explicit ChipModules(chip::Chip& chip);
    /// The modules take over the units of a chip of the same shape, and let go of those they had:
    /// no earlier chip may be asked about them any more.
    void adopt(chip::Chip& chip);

private:
    std::vector<std::unique_ptr<TileModule>> tiles_;
    std::vector<std::unique_ptr<UnitModule>> memory_ports_;
    std::vector<std::unique_ptr<PartModule>> fabric_;
};

/// A chip that nothing outside is bound to, and what drives it.
class ChipModule : public sc_core::sc_module
{
public:
    ChipModule(const sc_core::sc_module_name& name, chip::Chip& chip, chip::Monitor monitor);
    [[nodiscard]] const char* kind() const override { return "tessera_chip"; }
    [[nodiscard]] const WheelBridge& bridge() const { return bridge_; }

private:
    ChipModules modules_;
    WheelBridge bridge_;
};

/// Like run_native, under the SystemC kernel. One simulation context per process: call once. The
/// module owns the chip's units, so it must live as long as the chip is asked about them. Throws
/// SimulationError when the time resolution is coarser than 1 ps.
bool run_systemc(chip::Chip& chip, const ChipModule& module);

} // namespace tessera::platform
