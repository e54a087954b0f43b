// SPDX-License-Identifier: Apache-2.0
#include "base/wheel.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <queue>
#include <tuple>
#include <vector>

/// The wheel beside a std::priority_queue that makes the same callbacks in the same order, both in
/// one run: CPU time, medians of interleaved repetitions.
namespace
{

using tessera::Clock;
using tessera::DomainIndex;
using tessera::Phase;
using tessera::Tick;
using tessera::Wakeable;
using tessera::WakeIndex;
using tessera::Wheel;

constexpr Tick kPeriod = 1000;
constexpr int kRepetitions = 9;

/// The plain calendar: a heap of (tick, phase, unit).
class Heap
{
public:
    void attach(WakeIndex index, Wakeable& unit)
    {
        units_.resize(std::max<std::size_t>(units_.size(), index + 1));
        units_[index] = &unit;
    }
    void wake_at(WakeIndex index, Phase phase, Tick tick) { heap_.push({tick, phase, index}); }
    [[nodiscard]] Tick now() const { return now_; }
    void run_until(Tick limit)
    {
        while (!heap_.empty() && heap_.top().tick <= limit)
        {
            const Event event = heap_.top();
            heap_.pop();
            now_ = event.tick;
            units_[event.index]->wake(event.phase);
        }
    }

private:
    struct Event
    {
        Tick tick;
        Phase phase;
        WakeIndex index;
        bool operator<(const Event& other) const
        {
            return std::tie(tick, phase, index) > std::tie(other.tick, other.phase, other.index);
        }
    };
    std::vector<Wakeable*> units_;
    std::priority_queue<Event> heap_;
    Tick now_ = 0;
};

/// Reads and writes 64 bytes of state in every wake.
struct State
{
    std::array<std::uint64_t, 8> words{};

    std::uint64_t step()
    {
        std::uint64_t x = words[0] * 6364136223846793005ULL + 1442695040888963407ULL;
        words[0] = x;
        for (std::size_t i = 1; i < words.size(); ++i)
        {
            words[i] += x >> i;
        }
        return x >> 40U;
    }
};

enum class Pattern
{
    near,  ///< 1 to 4 cycles ahead: routers
    spread ///< up to 10 million ticks ahead
};

template <class Calendar> struct Unit : Wakeable
{
    Unit(Calendar& owner, DomainIndex clock_domain, WakeIndex number, Pattern shape)
        : calendar(&owner), domain(clock_domain), index(number), pattern(shape)
    {
        state.words[0] = number * 0x9E3779B97F4A7C15ULL;
    }
    void wake(Phase /*phase*/) override
    {
        const std::uint64_t random = state.step();
        if (pattern == Pattern::near)
        {
            wake_in(1 + static_cast<std::uint32_t>(random & 3U));
        }
        else
        {
            calendar->wake_at(index, Phase::arrive, calendar->now() + 1 + random % 10'000'000);
        }
    }
    void wake_in(std::uint32_t cycles)
    {
        if constexpr (std::is_same_v<Calendar, Wheel>)
        {
            calendar->wake_in(index, Phase::arrive, domain, cycles);
        }
        else
        {
            calendar->wake_at(index, Phase::arrive, calendar->now() + cycles * kPeriod);
        }
    }
    Calendar* calendar;
    DomainIndex domain;
    WakeIndex index;
    Pattern pattern;
    State state;
};

struct Result
{
    double seconds;
    std::uint64_t check; ///< of all states: both calendars must agree
};

template <class Calendar>
Result measure(Calendar& calendar, DomainIndex domain, std::size_t count, Pattern pattern,
               Tick length)
{
    std::vector<Unit<Calendar>> units;
    units.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
    {
        units.emplace_back(calendar, domain, static_cast<WakeIndex>(i), pattern);
        if constexpr (std::is_same_v<Calendar, Wheel>)
        {
            calendar.attach(static_cast<WakeIndex>(i), units.back(), {});
        }
        else
        {
            calendar.attach(static_cast<WakeIndex>(i), units.back());
        }
        calendar.wake_at(static_cast<WakeIndex>(i), Phase::arrive, 0);
    }
    const std::clock_t begin = std::clock();
    calendar.run_until(length);
    Result result{static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, 0};
    for (const Unit<Calendar>& unit : units)
    {
        for (const std::uint64_t word : unit.state.words)
        {
            result.check = result.check * 31 + word;
        }
    }
    return result;
}

double median(std::vector<double> values)
{
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

bool compare(const char* name, std::size_t count, Pattern pattern, Tick length)
{
    std::vector<double> wheel_seconds;
    std::vector<double> heap_seconds;
    std::vector<double> ratios;
    std::uint64_t events = 0;
    bool same = true;
    for (int repetition = 0; repetition < kRepetitions; ++repetition)
    {
        Wheel wheel(count);
        const DomainIndex domain = wheel.add_domain(Clock(kPeriod));
        const Result ours = measure(wheel, domain, count, pattern, length);
        events = wheel.delivered();
        Heap heap;
        const Result theirs = measure(heap, 0, count, pattern, length);
        same = same && ours.check == theirs.check;
        wheel_seconds.push_back(ours.seconds);
        heap_seconds.push_back(theirs.seconds);
        ratios.push_back(theirs.seconds / ours.seconds);
    }
    const double millions = static_cast<double>(events) / 1e6;
    std::printf("%-8s %6zu units  wheel %7.1f M/s  heap %6.1f M/s  ratio %5.2f%s\n", name, count,
                millions / median(wheel_seconds), millions / median(heap_seconds), median(ratios),
                same ? "" : "  RESULTS DIFFER");
    return same;
}

} // namespace

int main()
{
    bool same = true;
    for (const std::size_t count : {64U, 256U, 1024U, 4096U})
    {
        const Tick cycles = 10'000'000 / count;
        same = compare("near", count, Pattern::near, cycles * kPeriod) && same;
    }
    same = compare("spread", 16'384, Pattern::spread, 600'000'000) && same;
    return same ? 0 : 1;
}
