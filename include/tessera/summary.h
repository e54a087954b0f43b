// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/activity.h"
#include "tessera/ids.h"
#include "tessera/trace.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera
{

/// Where one unit's time went. Exclusive: the stages sum to the span of the run.
struct UnitSummary
{
    std::string name;                              ///< "t5.m3"
    trace::UnitKind kind = trace::UnitKind::macro; ///< what it is
    NodeId node;                                   ///< its tile or memory port
    std::uint64_t operations = 0;                  ///< that it ended
    std::uint64_t vectors = 0;                     ///< MVM input vectors
    std::array<Tick, kStages> time{};              ///< by Stage
};

/// Totals of one tile's buffer.
struct BufferSummary
{
    std::string name;           ///< "t5"
    std::uint64_t capacity = 0; ///< bytes; ~0: unlimited
    std::uint64_t peak = 0;     ///< most bytes taken at once
    double mean = 0;            ///< bytes, averaged over the span
    std::uint64_t waits = 0;    ///< requests that were not granted at once
};

/// Totals of one directed link (or of the bus, or of one source in an ideal fabric).
struct LinkSummary
{
    std::string name;        ///< "t0->t1", or what the fabric calls it
    std::uint64_t flits = 0; ///< bytes in fabrics without flits
    Tick busy = 0;           ///< something was on it, ps
    Tick stalled = 0;        ///< a flit was there and could not go
};

/// Totals of one layer of the network.
struct LayerSummary
{
    std::string name;             ///< as in the network
    std::string kind;             ///< "conv2d", "dense", ...
    std::uint64_t operations = 0; ///< for it that have ended
    std::uint64_t vectors = 0;    ///< MVM input vectors, summed over blocks
    std::uint32_t crossbars = 0;  ///< macros that hold its weights, digital ones apart
    /// First start of an operation that reads more than padding, or of any if all read no more;
    /// kNever: none.
    Tick start = kNever;
    Tick end = 0;                   ///< last operation's end, or the cut if one was in flight
    Tick macro_time = 0;            ///< operations on macros, from start to end, summed
    std::uint64_t moved_bytes = 0;  ///< by moves, times destinations
    std::uint64_t memory_bytes = 0; ///< loaded and stored
    Tick compute_time = 0;          ///< its crossbars computed, summed over crossbars
};

/// Nearest ranks: of n values in rising order the ceil(n p / 100)-th.
struct Percentiles
{
    Tick p50 = 0; ///< ps
    Tick p95 = 0; ///< ps
    Tick p99 = 0; ///< ps
};

/// A time that every image has.
struct TimeSummary
{
    double mean = 0;         ///< ps
    Tick most = 0;           ///< ps
    Percentiles percentiles; ///< of all images
};

/// How images passed, those apart that had not ended when the run did. An image's latency is from
/// its arrival to the end of its last operation; where it has no arrival, from its start.
struct ImageSummary
{
    std::uint32_t count = 0;   ///< images that have ended
    Tick first_latency = 0;    ///< of the first image, ps
    Tick most_latency = 0;     ///< ps
    double mean_latency = 0;   ///< ps
    double interval = 0;       ///< from one to the next in the long run, ps; 0: one image
    std::uint32_t arrived = 0; ///< when the run ended; without arrivals: started
    bool timed = false;        ///< they have arrivals: RunOptions::arrivals
    bool in_turns = false;     ///< all passed one segment of the network before the next
    Percentiles latency;       ///< of all that have ended
    TimeSummary waiting;       ///< from the arrival to the start; without arrivals: 0
    TimeSummary service;       ///< from the start to the end
    /// Images a second that arrived: those after the first, by the time from the first arrival to
    /// the last. 0: no arrivals, or one.
    double offered = 0;
    /// Images a second that ended: those after the first, by the time from the first end to the
    /// last; in turns all of them, by the time from the first start to the last end. 0: no time
    /// passed in between.
    double served = 0;
};

/// Energy of one kind of circuit, added up over the macros of a chip.
struct EnergySummary
{
    std::string component;        ///< "row_drivers", "capacitors", ...
    std::string formula;          ///< of one product, in constants of the macro's model
    std::uint64_t attojoules = 0; ///< of all products so far
};

/// The share of `span` during which each of so many crossbars computed, on average.
[[nodiscard]] constexpr double utilization_of(double compute_time, std::uint32_t crossbars,
                                              Tick span)
{
    const double capacity = static_cast<double>(crossbars) * static_cast<double>(span);
    return capacity > 0 ? compute_time / capacity : 0;
}
/// The same of a whole number of picoseconds.
[[nodiscard]] constexpr double utilization_of(Tick compute_time, std::uint32_t crossbars, Tick span)
{
    return utilization_of(static_cast<double>(compute_time), crossbars, span);
}

/// Figures of a run that has ended, by itself or by a cut: a limit of time, an interruption, a
/// deadlock.
struct Summary
{
    Tick span = 0;         ///< simulated: to the end of the last operation, or to the cut, ps
    bool complete = false; ///< every operation has ended: the span is the makespan
    std::uint64_t operations = 0;       ///< that have ended
    std::uint64_t unfinished = 0;       ///< operations in flight at the cut
    std::uint64_t events = 0;           ///< wakes the wheel delivered
    std::uint32_t crossbars = 0;        ///< macros that hold weights, digital ones apart
    double utilization = 0;             ///< time that they compute / (crossbars x span)
    ImageSummary images;                ///< none of a run that goes on
    std::vector<UnitSummary> units;     ///< every unit of the chip, in unit order
    std::vector<BufferSummary> buffers; ///< by tile
    std::vector<LinkSummary> links;     ///< in the order of the fabric
    std::vector<LayerSummary> layers;   ///< in the order of the trace's header
    /// Of AiDAC macros; other macros have no model of energy. None in results read from a file.
    std::vector<EnergySummary> energy;
};

} // namespace tessera
