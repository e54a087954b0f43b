// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "base/wheel.h"
#include "chip/buffer.h"
#include "chip/compute_unit.h"
#include "chip/interface_unit.h"
#include "chip/ports.h"
#include "chip/sequencer.h"
#include "config/chip_config.h"
#include "noc/fabric.h"
#include "tessera/summary.h"
#include "tessera/trace.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace tessera::chip
{

/// How far a run has come.
struct Progress
{
    Tick now = 0;
    std::uint64_t events = 0;
    std::uint64_t operations = 0; ///< ended
    std::uint64_t total = 0;
};

/// Called now and then during a run; returns false to stop it.
using Monitor = std::function<bool(const Progress&)>;

/// A chip with everything in it, about to execute one trace. It runs on its wheel alone;
/// src/platform puts the same units into SystemC modules.
class Chip
{
public:
    /// Throws InputError when the trace is for another number of tiles, or for more macros or
    /// memory ports.
    /// A `shuffle` other than 0 builds the units, and wakes simultaneous ones, in a pseudo-random
    /// order: results must not depend on it.
    Chip(const config::ChipConfig& config, trace::OperationSource& source, ActivitySink& sink,
         std::uint64_t shuffle = 0);
    Chip(const Chip&) = delete; // its parts hold references to it
    Chip& operator=(const Chip&) = delete;
    ~Chip() = default;

    [[nodiscard]] const config::ChipConfig& config() const { return config_; }
    [[nodiscard]] Wheel& wheel() { return wheel_; }
    [[nodiscard]] const Wheel& wheel() const { return wheel_; }
    [[nodiscard]] Sequencer& sequencer() { return *sequencer_; }
    [[nodiscard]] const std::vector<IssueUnit*>& units() const { return units_; }
    [[nodiscard]] const std::vector<Buffer>& buffers() const { return buffers_; }
    [[nodiscard]] const SpaceAllocator& space() const { return *space_; }
    [[nodiscard]] noc::Fabric& fabric() { return *fabric_; }

    /// Hands a unit over to the module that represents it; the chip goes on using it.
    [[nodiscard]] std::unique_ptr<IssueUnit> release(UnitId unit);

    /// Every operation of the trace has ended.
    [[nodiscard]] bool done() const;
    [[nodiscard]] Progress progress() const;
    /// Delivers events up to tick `limit`, calling `monitor` about every 2^18 of them. Returns
    /// false when the monitor stopped the run.
    bool advance(Tick limit, const Monitor& monitor);
    /// Hands the last records to the sink. Call once, after the last event, whatever the outcome.
    void close();
    [[nodiscard]] Summary summary() const;

    // Canonical order of the units: by tile, macros then vector unit then network interface; then
    // the memory ports.
    [[nodiscard]] UnitId macro(TileId tile, std::uint32_t position) const;
    [[nodiscard]] UnitId vector_unit(TileId tile) const;
    [[nodiscard]] UnitId network_interface(TileId tile) const;
    [[nodiscard]] UnitId memory_port(std::uint32_t port) const;

private:
    struct Layout
    {
        explicit Layout(const config::ChipConfig& config);
        std::uint32_t units_per_tile;
        std::uint32_t units;
        WakeIndex space, ports, sequencer, fabric;
        std::size_t sleepers;
    };
    void build(std::uint64_t shuffle);
    void build_unit(UnitId id);
    void assign_streams();

    config::ChipConfig config_;
    trace::OperationSource& source_;
    ActivitySink& sink_;
    Layout layout_;
    Wheel wheel_;
    std::vector<Buffer> buffers_;
    std::vector<SpaceClient*> clients_;
    std::unique_ptr<SpaceAllocator> space_;
    std::unique_ptr<Sequencer> sequencer_;
    std::unique_ptr<noc::Fabric> fabric_;
    std::vector<std::unique_ptr<Ports>> ports_;
    std::vector<MemoryPort*> memory_ports_;
    std::vector<std::unique_ptr<IssueUnit>> owned_;
    std::vector<IssueUnit*> units_;
};

/// Runs to the end on the wheel alone. Returns false when the monitor stopped it; throws
/// DeadlockError when nothing can move any more.
bool run_native(Chip& chip, const Monitor& monitor);

} // namespace tessera::chip
