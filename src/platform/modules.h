// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/chip.h"

#include <systemc>

#include <exception>
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
    UnitModule(const sc_core::sc_module_name& name, std::unique_ptr<chip::IssueUnit> behaviour)
        : NamedModule(name, behaviour->parameters()), behaviour_(std::move(behaviour))
    {
    }
    [[nodiscard]] const char* kind() const override { return "tessera_unit"; }

private:
    std::unique_ptr<chip::IssueUnit> behaviour_;
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
    TileModule(const sc_core::sc_module_name& name, chip::Chip& chip, TileId tile);
    [[nodiscard]] const char* kind() const override { return "tessera_tile"; }

private:
    std::vector<std::unique_ptr<UnitModule>> units_;
    PartModule buffer_;
};

/// The one process that drives the wheel in sc_time. While the kernel has nothing else to do before
/// a certain time, the wheel runs ahead to it.
class WheelBridge : public sc_core::sc_module
{
public:
    WheelBridge(const sc_core::sc_module_name& name, chip::Chip& chip, chip::Monitor monitor);

    /// The monitor ended the run before its time.
    [[nodiscard]] bool stopped() const { return stopped_; }
    /// What the wheel threw; rethrown by run_systemc, since nothing may pass through the kernel.
    [[nodiscard]] const std::exception_ptr& failure() const { return failure_; }

private:
    void step();

    chip::Chip& chip_;
    chip::Monitor monitor_;
    bool stopped_ = false;
    bool ended_ = false;
    std::exception_ptr failure_;
};

/// The whole chip in the SystemC hierarchy.
class ChipModule : public sc_core::sc_module
{
public:
    ChipModule(const sc_core::sc_module_name& name, chip::Chip& chip, chip::Monitor monitor);
    [[nodiscard]] const char* kind() const override { return "tessera_chip"; }
    [[nodiscard]] const WheelBridge& bridge() const { return bridge_; }

private:
    std::vector<std::unique_ptr<TileModule>> tiles_;
    std::vector<std::unique_ptr<UnitModule>> memory_ports_;
    std::vector<std::unique_ptr<PartModule>> fabric_;
    WheelBridge bridge_;
};

/// Like run_native, under the SystemC kernel. One simulation context per process: call once. The
/// module owns the chip's units, so it must live as long as the chip is asked about them. Throws
/// SimulationError when the time resolution is not 1 ps.
bool run_systemc(chip::Chip& chip, const ChipModule& module);

} // namespace tessera::platform
