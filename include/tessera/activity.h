// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/tick.h"

#include <cstdint>

/// What a run records, and in which words.
namespace tessera
{

/// How much a run records; each level includes the ones before it.
enum class ActivityLevel : std::uint8_t
{
    off,
    unit,  ///< operations, dependencies, busy units per cycle, summaries
    stage, ///< every stage of every operation, every wait
    flit   ///< every flit on every link
};

/// What let an operation start: the kind of its one decisive predecessor.
enum class Cause : std::uint8_t
{
    none,    ///< it could start at tick 0
    input,   ///< the last operand to arrive was made by operation `because`
    after,   ///< operation `because`, named in `after`, ended
    unit,    ///< its unit was busy with operation `because`
    space,   ///< operation `because` freed the buffer space it needed
    release, ///< its release time was reached (no predecessor)
};

/// What a stretch of an operation's or a unit's time was spent on. Indexes the legend in /meta.
enum class Stage : std::uint8_t
{
    // stages of work
    read,      ///< operands leave the buffer through a port
    drive,     ///< DACs drive the rows
    crossbar,  ///< the array settles
    hold,      ///< sample-and-hold
    convert,   ///< ADC conversions
    shift_add, ///< slices are weighted and added; digital macros: adder trees
    output,    ///< results enter the output register
    charge,    ///< AiDAC: row drivers charge groups of capacitors, rows convert inputs
    multiply,  ///< AiDAC: cells of weight bits that are 0 lose their charge; digital macros: one
               ///< step of input bits
    share,     ///< AiDAC: columns average their charge
    weigh,     ///< AiDAC: bit columns are added up by their weights
    chain,     ///< AiDAC: voltages become times, which add up down the chain of arrays
    digitise,  ///< AiDAC: times become codes
    mvm,       ///< the whole MVM when only `t_mvm` is known
    program,   ///< rows are written
    vector,    ///< lanes of the vector unit compute
    write,     ///< the result enters the buffer through a port
    reserve,   ///< the reservation of destination space is being confirmed
    transfer,  ///< bytes travel
    memory,    ///< the external memory works
    // waits
    wait_input,   ///< an operand or an `after` has not come
    wait_release, ///< the release time has not come
    wait_space,   ///< no room in a buffer
    wait_port,    ///< every buffer port is taken
    wait_noc,     ///< the interconnect is taken
    wait_memory,  ///< the external memory is taken
    no_work,      ///< no operation is left for the unit
};
/// Number of stages.
inline constexpr unsigned kStages = static_cast<unsigned>(Stage::no_work) + 1;
/// What macros do to MVMs, in whatever steps they are known.
[[nodiscard]] constexpr bool computes(Stage stage)
{
    return stage >= Stage::drive && stage <= Stage::mvm;
}

/// One operation that has started. `start` is when it took its output space; [start, end] includes
/// `wait`. One that was in flight where the run was cut is marked: `end` is the cut, and `wait`,
/// intervals and stalls go up to there.
struct OpRecord
{
    std::uint64_t id; ///< in the trace
    Tick ready;       ///< all but space was there: turn on the unit, operands, `after`, release
    Tick start;       ///< its output space was granted
    Tick end;         ///< its result became available; of an unfinished one: the cut
    std::uint64_t because; ///< operation id; ~0 when the cause has none
    Tick wait; ///< time in [start, end] lost to contention for ports, interconnect or memory
    std::uint32_t unit;      ///< position in Summary::units
    std::uint32_t layer;     ///< ~0: none
    std::uint32_t image;     ///< that it works for
    std::uint8_t kind;       ///< trace::OpKind
    std::uint8_t cause;      ///< Cause
    std::uint8_t unfinished; ///< 1: in flight where the run was cut
    /// 1: all that it reads is padding. It has no operands, or only results of such operations, in
    /// a trace that declares tensors (else the trace may just not say what it reads).
    std::uint8_t padding;
};

/// `operation` waited for `on`, whose end (or arrival) is an operand or an `after` of it.
struct DependencyRecord
{
    std::uint64_t operation;  ///< the one that waited
    std::uint64_t on;         ///< the one waited for
    std::uint8_t order_only;  ///< 1: an `after`
    std::uint8_t reserved[7]; ///< zero
};

/// `count` stretches [begin + k period, end + k period) of one stage: a steady pipeline is one
/// record.
struct IntervalRecord
{
    std::uint64_t operation;  ///< that the time was spent on
    Tick begin;               ///< of the first stretch
    Tick end;                 ///< of the first stretch
    Tick period;              ///< from one stretch to the next
    std::uint32_t count;      ///< stretches
    std::uint32_t unit;       ///< position in Summary::units
    std::uint8_t stage;       ///< Stage
    std::uint8_t reserved[7]; ///< zero
};

/// `unit` had nothing running in [begin, end) because of `stage` (one of the waits).
struct StallRecord
{
    std::uint64_t operation;  ///< what the unit did next, or was to do when the run was cut
    Tick begin;               ///< ps
    Tick end;                 ///< ps
    std::uint32_t unit;       ///< position in Summary::units
    std::uint8_t stage;       ///< Stage
    std::uint8_t reserved[3]; ///< zero
};

/// Busy units of each kind from `tick` on, until the next record.
struct CycleRecord
{
    Tick tick;                  ///< ps
    std::uint64_t cycle;        ///< index of the reference clock's first edge not before `tick`
    std::uint32_t macros;       ///< busy ones
    std::uint32_t vector_units; ///< busy ones
    std::uint32_t network_interfaces; ///< busy ones
    std::uint32_t memory_ports;       ///< busy ones
};

/// One image that had arrived when the run ended; of a run without arrivals, one that had started.
struct ImageRecord
{
    Tick arrival;             ///< ps; kNever: the run has no arrivals
    Tick start;               ///< of its first operation that reads more than padding; kNever: none
    Tick end;                 ///< of its last operation; kNever: it had not ended, or nobody knows
    std::uint32_t image;      ///< rises from record to record
    std::uint8_t reserved[4]; ///< zero
};

} // namespace tessera
