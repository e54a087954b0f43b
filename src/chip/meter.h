// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/touch_list.h"
#include "chip/chip.h"
#include "tessera/summary.h"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace tessera::chip
{

/// What happened in a stretch of time.
struct Reading
{
    struct Kind
    {
        std::uint64_t operations = 0; ///< that ended
        /// By Stage. Times at a memory outside the chip are told as Stage::memory until it answers
        /// which part of them was waiting: that part is taken back then.
        std::array<std::int64_t, kStages> time{};
    };
    struct Layer
    {
        std::uint64_t operations = 0; ///< that ended, as the following three
        std::uint64_t vectors = 0;
        std::uint64_t moved_bytes = 0;
        std::uint64_t memory_bytes = 0;
        Tick compute_time = 0;
        Tick macro_time = 0;
    };
    struct Buffer
    {
        std::uint64_t bytes = 0; ///< taken at the end
        double byte_ticks = 0;   ///< bytes taken x ps
        std::uint64_t waits = 0;
    };
    template <class Figures> using Changes = std::vector<std::pair<std::uint32_t, Figures>>;

    Tick begin = 0;
    Tick end = 0;
    std::uint64_t operations = 0; ///< that ended
    std::uint64_t vectors = 0;    ///< of MVMs that ended
    std::uint64_t events = 0;
    Tick computing = 0; ///< of crossbars, summed
    std::array<Kind, trace::kUnitKinds> kinds{};
    Changes<Layer> layers; ///< by position, as the following: those that changed
    Changes<noc::Fabric::LinkFigures> links;
    Changes<Buffer> buffers; ///< the others hold what they held before
};

/// Reads what happens on a chip stretch by stretch. That costs as much as has changed, not as much
/// as the chip is large: units that stay in one state are only counted.
class Meter
{
public:
    /// Call before the first event. The meter must outlive the last one.
    explicit Meter(Chip& chip);
    Meter(const Meter&) = delete; // the chip's parts hold references to it
    Meter& operator=(const Meter&) = delete;
    ~Meter() = default;

    /// What happened since the last reading, or since tick 0, up to tick `at`, before which nothing
    /// more happens. It is valid until the next one. Call before the chip is closed. Throws
    /// SimulationError for a stretch beyond longest().
    [[nodiscard]] const Reading& read(Tick at);
    /// Stretches up to this long have sums of times of all units that fit into 64 bits.
    [[nodiscard]] Tick longest() const;
    /// Tick of the last reading.
    [[nodiscard]] Tick last() const { return reading_.end; }

private:
    /// What has been told of a unit.
    struct Told
    {
        IssueUnit::Times time{};
        Tick at = 0; ///< `time` sums to this
        std::uint64_t operations = 0;
        std::uint64_t vectors = 0;
        bool steady = true; ///< since `at` in one stage:
        Stage stage = Stage::no_work;
    };
    [[nodiscard]] bool read_unit(std::size_t number);
    void read_layers();
    void read_links();
    void read_buffers();

    Chip& chip_;
    Reading reading_;
    TouchList units_;
    std::vector<Told> told_; ///< by unit
    /// Steady units, by kind and stage.
    std::array<std::array<std::uint64_t, kStages>, trace::kUnitKinds> steady_{};
    std::vector<Reading::Layer> layers_;  ///< told
    std::vector<Reading::Layer> present_; ///< of operations in flight, to be told
    std::vector<noc::Fabric::LinkFigures> links_;
    BufferWatch buffers_;
    std::vector<std::uint64_t> waits_; ///< by buffer
    std::uint64_t events_ = 0;
};

} // namespace tessera::chip
