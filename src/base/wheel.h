// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/log.h"
#include "tessera/tick.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace tessera
{

/// Order inside one round of one tick.
///   arrive    ends of operations, data, flits and credits reach the units they are for
///   allocate  arbiters decide, each from all the requests collected so far
///   traverse  the winners start or move
///   complete  what must see the whole round: records are committed
enum class Phase : std::uint8_t
{
    arrive,
    allocate,
    traverse,
    complete
};
inline constexpr unsigned kPhases = 4;

/// Something the wheel wakes.
class Wakeable
{
public:
    virtual ~Wakeable() = default;
    /// Contract: called at most once per (tick, round, phase), however often it was asked for.
    virtual void wake(Phase phase) = 0;
};

/// Position of a Wakeable in the wheel's order; fixed by the model, not by construction order.
using WakeIndex = std::uint32_t;
using DomainIndex = std::uint32_t;

/// The event calendar. Events are ordered by (tick, round, phase, wake index). Near edges of a
/// clock domain live in a ring of slots that hold one bit per sleeper and phase; everything else in
/// a heap.
///
/// Waking something in the current or an earlier phase of the same tick opens the next round;
/// rounds repeat until the tick is empty.
class Wheel
{
public:
    /// Edges ahead of now that a domain's ring can hold.
    static constexpr unsigned kRing = 64;
    static constexpr std::uint64_t kMaxRounds = 1'000'000;

    /// `sleepers`: how many wake indices there are (0 .. sleepers-1).
    explicit Wheel(std::size_t sleepers);

    DomainIndex add_domain(const Clock& clock);
    [[nodiscard]] const Clock& clock(DomainIndex domain) const { return domains_[domain].clock; }

    /// `name` is used in error messages only. Throws std::logic_error if the index is taken.
    void attach(WakeIndex index, Wakeable& sleeper, std::string name);

    [[nodiscard]] Tick now() const { return now_; }
    /// Index of the first edge of `domain` that is not before now().
    [[nodiscard]] std::uint64_t edge(DomainIndex domain)
    {
        Domain& asked = domains_[domain];
        if (asked.edge_tick != now_)
        {
            asked.edge = asked.clock.edge_at_or_after(now_);
            asked.edge_tick = now_;
        }
        return asked.edge;
    }
    /// Wakes delivered so far.
    [[nodiscard]] std::uint64_t delivered() const { return delivered_; }
    [[nodiscard]] bool idle() const { return next() == kNever; }

    /// Wakes at the present tick: in this round if `phase` is still to come, else in the next one.
    void wake_now(WakeIndex index, Phase phase);
    /// Wakes at `tick` >= now(); throws std::logic_error for the past.
    void wake_at(WakeIndex index, Phase phase, Tick tick);
    /// Wakes `cycles` >= 1 edges of `domain` after now(), which must be an edge of it: the fast
    /// path.
    void wake_in(WakeIndex index, Phase phase, DomainIndex domain, std::uint32_t cycles);

    /// Tick of the next event, or kNever.
    [[nodiscard]] Tick next() const;
    /// Delivers everything up to and including tick `limit`. Returns false when nothing is left.
    /// Throws SimulationError naming the sleepers when one tick takes more than kMaxRounds rounds.
    bool run_until(Tick limit);
    /// Makes run_until() return true after the tick in which delivered() reaches `events`.
    void pause_after(std::uint64_t events) { pause_at_ = events; }
    /// run_until(for ever).
    void run() { run_until(kNever - 1); }

    /// Where to log what happens; nullptr: nowhere. The log must outlive the wheel's last event.
    void set_log(Log* log);
    /// The log if it wants to hear of `topic`, else nullptr. Off, this is one load and a branch.
    [[nodiscard]] Log* log(Topic topic) const
    {
        return __builtin_expect(static_cast<long>(log_ != nullptr), 0) != 0 && log_->wants(topic)
                   ? log_
                   : nullptr;
    }
    [[nodiscard]] const std::string& name(WakeIndex index) const { return names_[index]; }

    /// For tests: wake in a pseudo-random order inside each phase instead of by index. Results must
    /// not change.
    void shuffle_wakes(std::uint64_t seed);

private:
    /// A set of wake indices: one bit each, and one summary bit per word. Both lie in one piece of
    /// memory: for few sleepers an insertion touches one cache line.
    struct BitSet
    {
        std::vector<std::uint64_t> bits; ///< the summary, then the words
        std::size_t summaries = 0;       ///< words of the summary
        [[nodiscard]] std::uint64_t* summary() { return bits.data(); }
        [[nodiscard]] std::uint64_t* words() { return bits.data() + summaries; }
        [[nodiscard]] bool contains(WakeIndex index) const
        {
            return (bits[summaries + index / 64] >> (index % 64) & 1U) != 0;
        }
        void insert(WakeIndex index)
        {
            const std::uint32_t word = index >> 6U;
            words()[word] |= std::uint64_t{1} << (index & 63U);
            summary()[word >> 6U] |= std::uint64_t{1} << (word & 63U);
        }
        void merge_from(BitSet& other);
    };
    /// What happens at one tick: a set per phase and a mask of the phases that are not empty.
    struct Slot
    {
        std::array<BitSet, kPhases> sets;
        std::uint32_t phases = 0;
        void insert(WakeIndex index, Phase phase)
        {
            const auto p = static_cast<unsigned>(phase);
            sets[p].insert(index);
            phases |= 1U << p;
        }
    };
    struct Domain
    {
        Clock clock;
        std::uint64_t edge = 0;    ///< edge index at `edge_tick`, or the first one after it
        Tick edge_tick = 0;        ///< for which `edge` was computed
        std::uint64_t pending = 0; ///< bit (edge mod kRing): the slot is not empty
        std::vector<Slot> ring;
        Tick next_tick = kNever; ///< tick of the first pending slot
        std::uint64_t next_edge = 0;
    };
    struct Node
    {
        Tick tick;
        WakeIndex index;
        Phase phase;
    };

    [[nodiscard]] Slot make_slot() const;
    static void insert_edge(Domain& domain, std::uint64_t edge, WakeIndex index, Phase phase);
    static void find_next(Domain& domain);
    void collect_edges(Tick tick);
    void collect_nodes(Tick tick);
    void run_rounds();
    void run_phase(unsigned phase);
    void run_phase_plainly(unsigned phase);
    void log_wake(WakeIndex index, Phase phase) const;
    [[noreturn]] void report_livelock() const;
    void push_node(const Node& node);
    void pop_node();
    void sift_up(std::size_t hole, const Node& node);

    std::size_t sleepers_;
    std::vector<Wakeable*> targets_;
    std::vector<std::string> names_;
    std::vector<Domain> domains_;
    std::vector<Node> heap_; ///< 4-ary, smallest tick on top
    Slot current_;
    Slot following_; ///< the next round of the same tick
    Tick now_ = 0;
    int phase_ = -1; ///< phase being delivered; -1 outside a round
    bool inside_tick_ = false;
    std::uint64_t delivered_ = 0;
    std::uint64_t pause_at_ = ~std::uint64_t{0};
    std::uint64_t shuffle_state_ = 0; ///< 0: by index
    Log* log_ = nullptr;
    bool fast_ = true; ///< neither shuffled nor logged wake by wake
};

} // namespace tessera
