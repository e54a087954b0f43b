// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/activity.h"
#include "base/wheel.h"
#include "chip/aidac.h"
#include "chip/buffer.h"
#include "chip/compute_unit.h"
#include "chip/external.h"
#include "chip/interface_unit.h"
#include "chip/ports.h"
#include "chip/sequencer.h"
#include "config/chip_config.h"
#include "noc/fabric.h"
#include "tessera/progress.h"
#include "tessera/summary.h"
#include "tessera/trace.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace tessera::chip
{

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
    /// `external`: memory ports and macros whose work is done outside, by whoever drives the wheel
    /// and empties the outbox.
    Chip(const config::ChipConfig& config, trace::OperationSource& source, ActivitySink& sink,
         std::uint64_t shuffle = 0, const std::vector<UnitId>& external = {});
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
    [[nodiscard]] Outbox& outbox() { return outbox_; }

    /// The request with this tag is done at `end`, of which it spent `waited` behind others.
    /// Contract: called outside a tick; `end` is not before wheel().now().
    void answer(std::uint32_t tag, Tick waited, Tick end);
    /// Who works on the request with this tag takes the unit's next one from `tick` on, before the
    /// answer. Contract: as for answer().
    void accept(std::uint32_t tag, Tick tick);

    /// Tells `follower` about all data. Call before the first event.
    void follow(Follower& follower) { sequencer_->follow(follower); }
    /// No operation of an image starts before its arrival. Call before the first event.
    void expect(Arrivals arrivals) { sequencer_->expect(std::move(arrivals)); }

    /// Touches buffers in `watch`, by tile, from now on. Call before the first event.
    void watch(BufferWatch& watch);
    /// See Buffer::take_recent().
    [[nodiscard]] double take_recent(std::size_t tile, Tick at)
    {
        return buffers_[tile].take_recent(at);
    }

    /// Hands a unit over to the module that represents it; the chip goes on using it.
    [[nodiscard]] std::unique_ptr<IssueUnit> release(UnitId unit);

    /// Every operation of the trace has ended.
    [[nodiscard]] bool done() const;
    [[nodiscard]] Progress progress() const;
    /// Lets advance() stop the run after the events of `tick`, unless every operation has ended by
    /// then.
    void stop_after(Tick tick) { until_ = limit_ = tick; }
    /// The run was stopped for that reason.
    [[nodiscard]] bool reached_limit() const { return reached_limit_; }
    /// Calls `look(t)` after the events of every t = period, 2 period, ... up to the last event.
    void look_every(Tick period, std::function<void(Tick)> look);
    /// Delivers events up to tick `limit`, calling `monitor` before the first one and about every
    /// 2^13 of them; stops after a tick that put something into the outbox. Returns false when the
    /// monitor or stop_after() stopped the run.
    bool advance(Tick limit, const Monitor& monitor);
    /// Hands the last records to the sink, those of operations in flight among them: they are cut.
    /// Call once, after the last event, whatever the outcome.
    void close();
    /// How long the run has been simulated: to the end of the last operation, to the limit that
    /// stopped it, or else to now.
    [[nodiscard]] Tick span() const;
    /// Figures up to the span.
    [[nodiscard]] Summary summary() const { return summary(span()); }
    /// The same up to tick `at`, before which nothing more happens. Images are in it after close().
    [[nodiscard]] Summary summary(Tick at) const;
    /// Macros that hold weights, digital ones apart.
    [[nodiscard]] std::uint32_t crossbars() const { return crossbars_; }

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
    void build(std::uint64_t shuffle, const std::vector<UnitId>& external);
    void build_unit(UnitId id, bool external);
    void assign_streams();
    void check_blocks() const;
    void count_crossbars();

    config::ChipConfig config_;
    std::unique_ptr<const AidacDesign> aidac_; ///< null: another kind, or timed as a whole
    config::MacroTiming timing_;
    config::MacroTiming digital_timing_; ///< of macros of digital tiles
    trace::OperationSource& source_;
    ActivitySink& sink_;
    Layout layout_;
    Wheel wheel_;
    Outbox outbox_;
    std::vector<Buffer> buffers_;
    std::vector<SpaceClient*> clients_;
    std::unique_ptr<SpaceAllocator> space_;
    std::unique_ptr<Sequencer> sequencer_;
    std::unique_ptr<noc::Fabric> fabric_;
    std::vector<std::unique_ptr<Ports>> ports_;
    std::vector<MemoryPort*> memory_ports_;
    std::vector<std::unique_ptr<IssueUnit>> owned_;
    std::vector<IssueUnit*> units_;
    std::uint32_t crossbars_ = 0;
    std::vector<std::uint32_t> crossbars_of_; ///< by layer
    Tick until_ = kNever;
    Tick limit_ = 0; ///< tick at which the run was stopped
    Tick seen_ = 0;  ///< tick up to which somebody has looked
    bool closed_ = false;
    bool reached_limit_ = false;
    bool looked_ = false; ///< the monitor has been called
    Tick look_period_ = 0;
    Tick look_at_ = kNever;
    std::function<void(Tick)> look_;
};

/// Runs to the end on the wheel alone. Returns false when the monitor stopped it; throws
/// DeadlockError when nothing can move any more.
bool run_native(Chip& chip, const Monitor& monitor);

} // namespace tessera::chip
