// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

namespace tessera
{

/// Simulated time: picoseconds since the start of the run.
using Tick = std::uint64_t;

/// In seconds.
[[nodiscard]] constexpr double seconds(Tick tick)
{
    return static_cast<double>(tick) / 1e12;
}

/// Later than everything.
inline constexpr Tick kNever = std::numeric_limits<Tick>::max();

/// A clock domain with a rational period: its k-th edge falls on floor(k x period), so that a rate
/// such as 1.28 GHz (781.25 ps) never drifts. Edge 0 is at tick 0.
class Clock
{
public:
    /// Period = numerator / denominator picoseconds, at least 1 ps. Throws std::invalid_argument.
    explicit Clock(std::uint64_t numerator = 1000, std::uint64_t denominator = 1);

    /// Throws std::invalid_argument unless 1 <= hertz <= 10^12.
    [[nodiscard]] static Clock from_hertz(std::uint64_t hertz);

    /// When edge number `edge` falls.
    [[nodiscard]] Tick tick_of(std::uint64_t edge) const
    {
        return denominator_ == 1 ? edge * numerator_ : rational_tick_of(edge);
    }
    /// Index of the first edge that is not before `tick`.
    [[nodiscard]] std::uint64_t edge_at_or_after(Tick tick) const
    {
        return denominator_ == 1 ? (tick + numerator_ - 1) / numerator_ : rational_edge(tick);
    }
    /// First edge that is not before `tick`, as a tick.
    [[nodiscard]] Tick align(Tick tick) const { return tick_of(edge_at_or_after(tick)); }
    /// Tick of the edge `cycles` after the first edge not before `from`.
    [[nodiscard]] Tick after(Tick from, std::uint64_t cycles) const
    {
        return tick_of(edge_at_or_after(from) + cycles);
    }

    /// Of the period, in ps.
    [[nodiscard]] std::uint64_t numerator() const { return numerator_; }
    /// Of the period.
    [[nodiscard]] std::uint64_t denominator() const { return denominator_; }
    /// Same period.
    friend bool operator==(const Clock& a, const Clock& b)
    {
        return a.numerator_ == b.numerator_ && a.denominator_ == b.denominator_;
    }
    /// Not the same period.
    friend bool operator!=(const Clock& a, const Clock& b) { return !(a == b); }

private:
    [[nodiscard]] Tick rational_tick_of(std::uint64_t edge) const;
    [[nodiscard]] std::uint64_t rational_edge(Tick tick) const;

    std::uint64_t numerator_;
    std::uint64_t denominator_;
};

/// A length of time as a config states it: so many cycles of the clock of the unit that it belongs
/// to, plus so many picoseconds. Exactly one of the two is non-zero unless durations were added up.
struct Duration
{
    std::uint64_t cycles = 0; ///< of the unit's clock
    Tick ticks = 0;           ///< ps

    /// `n` cycles.
    [[nodiscard]] static constexpr Duration of_cycles(std::uint64_t n) { return {n, 0}; }
    /// `t` ps.
    [[nodiscard]] static constexpr Duration of_ticks(Tick t) { return {0, t}; }

    /// When something of this length ends that begins at `start`. With cycles, `start` counts from
    /// the first edge not before it.
    [[nodiscard]] Tick end(const Clock& clock, Tick start) const
    {
        return (cycles == 0 ? start : clock.after(start, cycles)) + ticks;
    }
    /// Length in picoseconds from edge 0; exact when the period is a whole number of picoseconds.
    [[nodiscard]] Tick length(const Clock& clock) const { return clock.tick_of(cycles) + ticks; }
    /// No time at all.
    [[nodiscard]] constexpr bool zero() const { return cycles == 0 && ticks == 0; }

    /// One after the other; cycles and ps add up apart.
    friend constexpr Duration operator+(Duration a, Duration b)
    {
        return {a.cycles + b.cycles, a.ticks + b.ticks};
    }
    /// `n` times as long.
    friend constexpr Duration operator*(std::uint64_t n, Duration d)
    {
        return {n * d.cycles, n * d.ticks};
    }
    /// Same cycles and same ps.
    friend constexpr bool operator==(Duration a, Duration b)
    {
        return a.cycles == b.cycles && a.ticks == b.ticks;
    }
    /// Not the same cycles and ps.
    friend constexpr bool operator!=(Duration a, Duration b) { return !(a == b); }
};

/// When work of length `duration` ends that could begin at `from`: it begins at the first edge of
/// `clock` not before that; work that takes no time needs no edge.
[[nodiscard]] inline Tick work_end(const Clock& clock, Tick from, Duration duration)
{
    return duration.zero() ? from : duration.end(clock, clock.align(from));
}

} // namespace tessera
