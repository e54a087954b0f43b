// SPDX-License-Identifier: Apache-2.0
#include "base/wheel.h"

#include "tessera/error.h"
#include "unit/effort.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>

namespace tessera
{
namespace
{

struct Woken
{
    Tick tick;
    Phase phase;
    WakeIndex index;
    friend bool operator==(const Woken& a, const Woken& b)
    {
        return std::tie(a.tick, a.phase, a.index) == std::tie(b.tick, b.phase, b.index);
    }
    friend std::ostream& operator<<(std::ostream& out, const Woken& w)
    {
        return out << "(" << w.tick << ", " << static_cast<int>(w.phase) << ", " << w.index << ")";
    }
};

/// A wheel whose sleepers note every wake and then do what the test wants.
class Log
{
public:
    explicit Log(std::size_t sleepers) : wheel(sleepers)
    {
        for (std::size_t index = 0; index < sleepers; ++index)
        {
            sleepers_.push_back({this, static_cast<WakeIndex>(index)});
            wheel.attach(static_cast<WakeIndex>(index), sleepers_.back(),
                         "s" + std::to_string(index));
        }
    }
    Wheel wheel;
    std::vector<Woken> woken;
    std::function<void(const Woken&)> react = [](const Woken&) {};

private:
    struct Sleeper : Wakeable
    {
        Sleeper(Log* owner, WakeIndex number) : log(owner), index(number) {}
        void wake(Phase phase) override
        {
            log->woken.push_back({log->wheel.now(), phase, index});
            log->react(log->woken.back());
        }
        Log* log;
        WakeIndex index;
    };
    std::deque<Sleeper> sleepers_;
};

using Events = std::vector<Woken>;

TEST(Wheel, OrdersByTickPhaseAndIndex)
{
    Log log(200);
    const DomainIndex domain = log.wheel.add_domain(Clock(1000));
    log.wheel.wake_at(3, Phase::traverse, 2000);
    log.wheel.wake_in(150, Phase::arrive, domain, 2);
    log.wheel.wake_in(64, Phase::arrive, domain, 2);
    log.wheel.wake_at(63, Phase::arrive, 2000);
    log.wheel.wake_at(7, Phase::complete, 1999);
    log.wheel.wake_in(0, Phase::allocate, domain, 2);
    log.wheel.wake_in(5, Phase::complete, domain, 1);
    EXPECT_EQ(log.wheel.next(), 1000U);
    log.wheel.run();
    EXPECT_EQ(log.woken, (Events{{1000, Phase::complete, 5},
                                 {1999, Phase::complete, 7},
                                 {2000, Phase::arrive, 63},
                                 {2000, Phase::arrive, 64},
                                 {2000, Phase::arrive, 150},
                                 {2000, Phase::allocate, 0},
                                 {2000, Phase::traverse, 3}}));
    EXPECT_EQ(log.wheel.delivered(), 7U);
    EXPECT_TRUE(log.wheel.idle());
}

TEST(Wheel, LaterPhasesBelongToTheRoundAndEarlierOnesToTheNext)
{
    Log log(4);
    log.wheel.wake_at(1, Phase::allocate, 10);
    log.react = [&log](const Woken& w)
    {
        if (w == Woken{10, Phase::allocate, 1} && log.woken.size() == 1)
        {
            log.wheel.wake_now(3, Phase::arrive);   // next round
            log.wheel.wake_now(2, Phase::allocate); // next round: this phase has begun
            log.wheel.wake_now(0, Phase::traverse); // this round
            log.wheel.wake_at(2, Phase::complete, 10);
        }
    };
    log.wheel.run();
    EXPECT_EQ(log.woken, (Events{{10, Phase::allocate, 1},
                                 {10, Phase::traverse, 0},
                                 {10, Phase::complete, 2},
                                 {10, Phase::arrive, 3},
                                 {10, Phase::allocate, 2}}));
}

TEST(Wheel, OneWakePerUnitAndPhase)
{
    Log log(2);
    const DomainIndex domain = log.wheel.add_domain(Clock(500));
    for (int i = 0; i < 3; ++i)
    {
        log.wheel.wake_in(1, Phase::arrive, domain, 2);
        log.wheel.wake_at(1, Phase::arrive, 1000);
        log.wheel.wake_at(1, Phase::traverse, 1000);
    }
    log.react = [&log](const Woken& w)
    {
        if (w.phase == Phase::arrive)
        {
            log.wheel.wake_now(1, Phase::traverse);
        }
    };
    log.wheel.run();
    EXPECT_EQ(log.woken, (Events{{1000, Phase::arrive, 1}, {1000, Phase::traverse, 1}}));
}

TEST(Wheel, EdgesOfARationalClock)
{
    Log log(1);
    const DomainIndex domain = log.wheel.add_domain(Clock::from_hertz(1'280'000'000));
    log.wheel.wake_at(0, Phase::arrive, 0);
    log.react = [&](const Woken&)
    {
        EXPECT_EQ(log.wheel.edge(domain), log.woken.size() - 1);
        if (log.woken.size() < 1000)
        {
            log.wheel.wake_in(0, Phase::arrive, domain, 1);
        }
    };
    log.wheel.run();
    ASSERT_EQ(log.woken.size(), 1000U);
    for (std::size_t k = 0; k < log.woken.size(); ++k)
    {
        EXPECT_EQ(log.woken[k].tick, k * 78125 / 100);
    }
}

TEST(Wheel, DomainsMeetInOneRound)
{
    Log log(3);
    const DomainIndex slow = log.wheel.add_domain(Clock(1500));
    const DomainIndex fast = log.wheel.add_domain(Clock(1000));
    EXPECT_EQ(log.wheel.add_domain(Clock(3000, 2)), slow);
    log.wheel.wake_in(2, Phase::arrive, slow, 2);
    log.wheel.wake_in(1, Phase::arrive, fast, 3);
    log.wheel.wake_at(0, Phase::arrive, 3000);
    log.wheel.wake_in(1, Phase::arrive, slow, 2); // the same wake through another domain
    log.wheel.run();
    EXPECT_EQ(
        log.woken,
        (Events{{3000, Phase::arrive, 0}, {3000, Phase::arrive, 1}, {3000, Phase::arrive, 2}}));
}

TEST(Wheel, TheRingWraps)
{
    for (const std::uint32_t ahead : {1U, 62U, 63U, 64U, 65U, 127U, 128U, 1000U})
    {
        Log log(2);
        const DomainIndex domain = log.wheel.add_domain(Clock(10));
        log.wheel.wake_at(0, Phase::arrive, 0);
        log.react = [&](const Woken& w)
        {
            if (w.index == 0 && w.tick < 2000)
            {
                log.wheel.wake_in(0, Phase::arrive, domain, 1);
                log.wheel.wake_in(1, Phase::arrive, domain, ahead);
            }
        };
        log.wheel.run();
        std::vector<Tick> seen;
        for (const Woken& w : log.woken)
        {
            if (w.index == 1)
            {
                seen.push_back(w.tick);
            }
        }
        ASSERT_EQ(seen.size(), 200U) << ahead;
        for (std::size_t i = 0; i < seen.size(); ++i)
        {
            ASSERT_EQ(seen[i], (i + ahead) * 10) << ahead;
        }
    }
}

TEST(Wheel, WakesAfterALongIdleTime)
{
    Log log(2);
    const DomainIndex domain = log.wheel.add_domain(Clock(1000));
    log.wheel.wake_in(0, Phase::arrive, domain, 1);
    log.wheel.wake_at(0, Phase::arrive, 1'000'000'000);
    log.react = [&](const Woken& w)
    {
        if (w.index == 0)
        {
            log.wheel.wake_in(1, Phase::arrive, domain, 63);
            log.wheel.wake_in(1, Phase::arrive, domain, 1);
        }
    };
    log.wheel.run();
    EXPECT_EQ(log.woken, (Events{{1000, Phase::arrive, 0},
                                 {2000, Phase::arrive, 1},
                                 {64'000, Phase::arrive, 1},
                                 {1'000'000'000, Phase::arrive, 0},
                                 {1'000'001'000, Phase::arrive, 1},
                                 {1'000'063'000, Phase::arrive, 1}}));
}

TEST(Wheel, BetweenEdgesCyclesCountFromTheNextOne)
{
    Log log(2);
    const DomainIndex domain = log.wheel.add_domain(Clock(1000));
    log.wheel.wake_in(1, Phase::arrive, domain, 63);
    log.wheel.wake_at(0, Phase::arrive, 500);
    log.react = [&](const Woken& w)
    {
        if (w.index == 0)
        {
            EXPECT_EQ(log.wheel.edge(domain), 1U);
            log.wheel.wake_in(1, Phase::arrive, domain, 1);
            log.wheel.wake_in(1, Phase::arrive, domain, 63);
        }
    };
    log.wheel.run();
    EXPECT_EQ(log.woken, (Events{{500, Phase::arrive, 0},
                                 {2000, Phase::arrive, 1},
                                 {63'000, Phase::arrive, 1},
                                 {64'000, Phase::arrive, 1}}));
}

TEST(Wheel, RunUntilStopsAfterItsLimit)
{
    Log log(1);
    for (const Tick tick : {10, 20, 30})
    {
        log.wheel.wake_at(0, Phase::arrive, tick);
    }
    EXPECT_TRUE(log.wheel.run_until(19));
    EXPECT_EQ(log.wheel.now(), 10U);
    EXPECT_TRUE(log.wheel.run_until(20));
    EXPECT_EQ(log.woken.size(), 2U);
    EXPECT_EQ(log.wheel.next(), 30U);
    log.wheel.wake_now(0, Phase::arrive); // between ticks: at now() once more
    EXPECT_EQ(log.wheel.next(), 20U);
    log.wheel.wake_at(0, Phase::arrive, 25);
    EXPECT_FALSE(log.wheel.run_until(30));
    EXPECT_EQ(log.woken.size(), 5U);
    EXPECT_EQ(log.wheel.next(), kNever);
}

TEST(Wheel, ThePastAndTakenIndicesAreLogicErrors)
{
    Log log(1);
    log.wheel.wake_at(0, Phase::arrive, 10);
    log.wheel.run();
    EXPECT_THROW(log.wheel.wake_at(0, Phase::arrive, 9), std::logic_error);
    struct : Wakeable
    {
        void wake(Phase) override {}
    } other;
    EXPECT_THROW(log.wheel.attach(0, other, "other"), std::logic_error);
    EXPECT_THROW(log.wheel.attach(1, other, "other"), std::out_of_range);
}

TEST(Wheel, LivelockNamesTheUnits)
{
    const auto chain = [](std::uint64_t rounds)
    {
        Log log(12);
        std::uint64_t woken = 0;
        log.react = [&](const Woken& w)
        {
            log.woken.clear();
            if (w.index == 11 && ++woken < rounds)
            {
                for (WakeIndex index = 2; index < 12; ++index)
                {
                    log.wheel.wake_now(index, Phase::arrive);
                }
            }
        };
        log.wheel.wake_at(11, Phase::arrive, 77);
        log.wheel.run();
    };
    EXPECT_NO_THROW(chain(Wheel::kMaxRounds));
    try
    {
        chain(Wheel::kMaxRounds + 1);
        FAIL();
    }
    catch (const SimulationError& error)
    {
        const std::string message = error.what();
        EXPECT_NE(message.find("tick 77 ps"), std::string::npos) << message;
        EXPECT_NE(message.find("s2, s3, s4, s5, s6, s7, s8, s9 and 2 more"), std::string::npos)
            << message;
    }
}

/// The definition: a set of (tick, round, phase, index).
class Reference
{
public:
    using Key = std::tuple<Tick, std::uint64_t, unsigned, WakeIndex>;

    void wake_at(WakeIndex index, Phase phase, Tick tick)
    {
        const auto p = static_cast<unsigned>(phase);
        std::uint64_t round = 0;
        if (running_ && tick == std::get<0>(current_))
        {
            round = std::get<1>(current_) + (p > std::get<2>(current_) ? 0 : 1);
        }
        pending_.insert({tick, round, p, index});
    }
    bool pop(Key& key)
    {
        if (pending_.empty())
        {
            return false;
        }
        key = *pending_.begin();
        pending_.erase(pending_.begin());
        current_ = key;
        running_ = true;
        return true;
    }

private:
    std::set<Key> pending_;
    Key current_;
    bool running_ = false;
};

/// What a sleeper asks for when it is woken for the n-th time depends on (seed, index, n) only.
struct Request
{
    WakeIndex index;
    Phase phase;
    int kind; ///< 0: now, 1: cycles of a domain, 2: ticks
    std::uint32_t distance;
    std::uint32_t domain;
};

std::vector<Request> requests_of(std::uint64_t seed, WakeIndex index, std::uint64_t n,
                                 std::uint32_t sleepers)
{
    std::mt19937_64 random(seed * 1'000'003 + index * 4099 + n);
    std::vector<Request> requests(random() % 8 < 6 ? 1 : random() % 3);
    for (Request& request : requests)
    {
        request.index = static_cast<WakeIndex>(random() % sleepers);
        request.phase = static_cast<Phase>(random() % kPhases);
        const auto kind = random() % 10;
        request.kind = kind < 2 ? 0 : kind < 8 ? 1 : 2;
        request.domain = static_cast<std::uint32_t>(random() % 3);
        const std::uint32_t reach = random() % 4 == 0 ? 130 : 6;
        request.distance = 1 + static_cast<std::uint32_t>(random() % reach);
    }
    return requests;
}

TEST(Wheel, EqualsTheDefinitionOnRandomPrograms)
{
    const std::vector<Clock> clocks = {Clock(10), Clock(15), Clock(781, 25)};
    constexpr std::size_t events = 3000;
    for (std::uint64_t seed = 1; seed <= tessera::test::effort(60U); ++seed)
    {
        const std::uint32_t sleepers = seed % 3 == 0 ? 5000 : seed % 3 == 1 ? 130 : 5;

        Reference reference;
        Events expected;
        std::vector<std::uint64_t> count(sleepers, 0);
        for (WakeIndex i = 0; i < 5; ++i)
        {
            reference.wake_at(i, Phase::arrive, i * 7);
        }
        Reference::Key key;
        while (expected.size() < events && reference.pop(key))
        {
            const auto [tick, round, phase, index] = key;
            expected.push_back({tick, static_cast<Phase>(phase), index});
            for (const Request& r : requests_of(seed, index, count[index]++, sleepers))
            {
                const Clock& clock = clocks[r.domain];
                reference.wake_at(r.index, r.phase,
                                  r.kind == 0   ? tick
                                  : r.kind == 1 ? clock.after(tick, r.distance)
                                                : tick + r.distance);
            }
        }

        Log log(sleepers);
        for (const Clock& clock : clocks)
        {
            (void)log.wheel.add_domain(clock);
        }
        for (WakeIndex i = 0; i < 5; ++i)
        {
            log.wheel.wake_at(i, Phase::arrive, i * 7);
        }
        std::fill(count.begin(), count.end(), 0);
        log.react = [&](const Woken& w)
        {
            if (log.woken.size() > events)
            {
                return;
            }
            for (const Request& r : requests_of(seed, w.index, count[w.index]++, sleepers))
            {
                switch (r.kind)
                {
                case 0:
                    log.wheel.wake_now(r.index, r.phase);
                    break;
                case 1:
                    log.wheel.wake_in(r.index, r.phase, r.domain, r.distance);
                    break;
                default:
                    log.wheel.wake_at(r.index, r.phase, w.tick + r.distance);
                }
            }
        };
        Tick limit = 0;
        while (log.woken.size() < expected.size() && log.wheel.run_until(limit))
        {
            limit += 37; // in pieces, whose ends are no events
        }
        ASSERT_GE(log.woken.size(), expected.size()) << seed;
        log.woken.resize(expected.size(), {0, Phase::arrive, 0});
        ASSERT_EQ(log.woken, expected) << seed;
    }
}

TEST(Wheel, ShufflingKeepsTicksAndPhases)
{
    const auto run = [](std::uint64_t seed)
    {
        Log log(300);
        if (seed != 0)
        {
            log.wheel.shuffle_wakes(seed);
        }
        for (WakeIndex i = 0; i < 300; ++i)
        {
            log.wheel.wake_at(i, static_cast<Phase>(i % kPhases), 10 + i % 2);
        }
        log.wheel.run();
        return log.woken;
    };
    const Events ordered = run(0);
    Events shuffled = run(9);
    EXPECT_NE(shuffled, ordered);
    EXPECT_EQ(run(9), shuffled);
    std::sort(shuffled.begin(), shuffled.end(),
              [](const Woken& a, const Woken& b)
              { return std::tie(a.tick, a.phase, a.index) < std::tie(b.tick, b.phase, b.index); });
    EXPECT_EQ(shuffled, ordered);
}

} // namespace
} // namespace tessera
