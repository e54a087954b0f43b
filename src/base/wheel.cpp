// SPDX-License-Identifier: Apache-2.0
#include "base/wheel.h"

#include "tessera/error.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace tessera
{
namespace
{

constexpr std::uint64_t bit(std::uint64_t position)
{
    return std::uint64_t{1} << (position & 63U);
}

unsigned lowest(std::uint64_t word)
{
    return static_cast<unsigned>(__builtin_ctzll(word));
}

/// xorshift64*: the order only has to vary, not to be random in any stronger sense.
std::uint64_t next_random(std::uint64_t& state)
{
    state ^= state >> 12U;
    state ^= state << 25U;
    state ^= state >> 27U;
    return state * 0x2545F4914F6CDD1DULL;
}

} // namespace

void Wheel::BitSet::merge_from(BitSet& other)
{
    for (std::size_t s = 0; s < other.summaries; ++s)
    {
        for (std::uint64_t rest = std::exchange(other.summary()[s], 0); rest != 0; rest &= rest - 1)
        {
            const std::size_t word = s * 64 + lowest(rest);
            words()[word] |= std::exchange(other.words()[word], 0);
            summary()[s] |= bit(word);
        }
    }
}

Wheel::Wheel(std::size_t sleepers) : sleepers_(sleepers), targets_(sleepers), names_(sleepers)
{
    current_ = make_slot();
    following_ = make_slot();
}

Wheel::Slot Wheel::make_slot() const
{
    const std::size_t words = (sleepers_ + 63) / 64;
    Slot slot;
    for (BitSet& set : slot.sets)
    {
        set.summaries = (words + 63) / 64;
        set.bits.assign(set.summaries + words, 0);
    }
    return slot;
}

DomainIndex Wheel::add_domain(const Clock& clock)
{
    for (std::size_t d = 0; d < domains_.size(); ++d)
    {
        if (domains_[d].clock == clock)
        {
            return static_cast<DomainIndex>(d);
        }
    }
    Domain domain{clock, 0, 0, 0, {}, kNever, 0};
    domain.ring.assign(kRing, make_slot());
    domains_.push_back(std::move(domain));
    return static_cast<DomainIndex>(domains_.size() - 1);
}

void Wheel::attach(WakeIndex index, Wakeable& sleeper, std::string name)
{
    if (targets_.at(index) != nullptr)
    {
        throw std::logic_error("wake index taken by " + names_[index] + ", wanted by " + name);
    }
    targets_[index] = &sleeper;
    names_[index] = std::move(name);
}

void Wheel::wake_now(WakeIndex index, Phase phase)
{
    if (!inside_tick_)
    {
        // Between ticks (set-up, or a caller outside the wheel): a round of its own at now().
        push_node({now_, index, phase});
        return;
    }
    (static_cast<int>(phase) > phase_ ? current_ : following_).insert(index, phase);
}

void Wheel::wake_at(WakeIndex index, Phase phase, Tick tick)
{
    if (tick == now_)
    {
        wake_now(index, phase);
        return;
    }
    if (tick < now_)
    {
        throw std::logic_error("the wheel cannot wake " + names_[index] + " in the past");
    }
    push_node({tick, index, phase});
}

void Wheel::wake_in(WakeIndex index, Phase phase, DomainIndex domain_index, std::uint32_t cycles)
{
    const std::uint64_t edge = this->edge(domain_index) + cycles;
    Domain& domain = domains_[domain_index];
    if (cycles < kRing)
    {
        insert_edge(domain, edge, index, phase);
    }
    else
    {
        push_node({domain.clock.tick_of(edge), index, phase});
    }
}

void Wheel::insert_edge(Domain& domain, std::uint64_t edge, WakeIndex index, Phase phase)
{
    domain.ring[edge % kRing].insert(index, phase);
    domain.pending |= bit(edge % kRing);
    if (domain.next_tick == kNever || edge < domain.next_edge)
    {
        domain.next_edge = edge;
        domain.next_tick = domain.clock.tick_of(edge);
    }
}

void Wheel::find_next(Domain& domain)
{
    if (domain.pending == 0)
    {
        domain.next_tick = kNever;
        return;
    }
    // All pending edges lie within kRing of the one just delivered: rotate so that it is bit 0.
    const auto shift = static_cast<unsigned>(domain.next_edge % kRing);
    const std::uint64_t rotated =
        shift == 0 ? domain.pending : (domain.pending >> shift) | (domain.pending << (64 - shift));
    domain.next_edge += lowest(rotated);
    domain.next_tick = domain.clock.tick_of(domain.next_edge);
}

Tick Wheel::next() const
{
    Tick tick = heap_.empty() ? kNever : heap_.front().tick;
    for (const Domain& domain : domains_)
    {
        tick = std::min(tick, domain.next_tick);
    }
    return tick;
}

void Wheel::collect_edges(Tick tick)
{
    for (Domain& domain : domains_)
    {
        if (domain.next_tick != tick)
        {
            continue;
        }
        Slot& slot = domain.ring[domain.next_edge % kRing];
        for (std::uint32_t rest = slot.phases; rest != 0; rest &= rest - 1)
        {
            const unsigned phase = lowest(rest);
            if ((current_.phases & (1U << phase)) == 0)
            {
                std::swap(current_.sets[phase], slot.sets[phase]);
            }
            else
            {
                current_.sets[phase].merge_from(slot.sets[phase]);
            }
        }
        current_.phases |= std::exchange(slot.phases, 0);
        domain.pending &= ~bit(domain.next_edge % kRing);
        domain.edge = domain.next_edge;
        domain.edge_tick = tick;
        find_next(domain);
    }
}

void Wheel::collect_nodes(Tick tick)
{
    if (heap_.empty() || heap_.front().tick != tick)
    {
        return;
    }
    const Node only = heap_.front();
    __builtin_prefetch(targets_[only.index]); // comes while the heap is put in order
    pop_node();
    if (current_.phases == 0 && fast_ && (heap_.empty() || heap_.front().tick != tick))
    {
        // Alone at its tick: no need to sort anything.
        phase_ = static_cast<int>(only.phase);
        ++delivered_;
        targets_[only.index]->wake(only.phase);
        return;
    }
    current_.insert(only.index, only.phase);
    while (!heap_.empty() && heap_.front().tick == tick)
    {
        current_.insert(heap_.front().index, heap_.front().phase);
        pop_node();
    }
}

bool Wheel::run_until(Tick limit)
{
    for (;;)
    {
        const Tick tick = next();
        if (tick == kNever)
        {
            return false;
        }
        if (tick > limit)
        {
            return true;
        }
        now_ = tick;
        collect_edges(tick);
        inside_tick_ = true;
        collect_nodes(tick);
        run_rounds();
        inside_tick_ = false;
        if (delivered_ >= pause_at_)
        {
            return true;
        }
    }
}

void Wheel::run_rounds()
{
    for (std::uint64_t round = 0;; ++round)
    {
        if (round == kMaxRounds)
        {
            report_livelock();
        }
        while (current_.phases != 0)
        {
            const unsigned phase = lowest(current_.phases);
            phase_ = static_cast<int>(phase);
            current_.phases &= ~(1U << phase);
            if (fast_)
            {
                run_phase(phase);
            }
            else
            {
                run_phase_plainly(phase);
            }
        }
        phase_ = -1;
        if (following_.phases == 0)
        {
            return;
        }
        std::swap(current_, following_);
    }
}

void Wheel::run_phase(unsigned phase)
{
    BitSet& set = current_.sets[phase];
    for (std::size_t s = 0; s < set.summaries; ++s)
    {
        for (std::uint64_t groups = std::exchange(set.summary()[s], 0); groups != 0;
             groups &= groups - 1)
        {
            const std::size_t word = s * 64 + lowest(groups);
            for (std::uint64_t rest = std::exchange(set.words()[word], 0); rest != 0;
                 rest &= rest - 1)
            {
                ++delivered_;
                targets_[word * 64 + lowest(rest)]->wake(static_cast<Phase>(phase));
            }
        }
    }
}

/// Shuffled or not, logged or not: for those who do not ask for speed.
void Wheel::run_phase_plainly(unsigned phase)
{
    BitSet& set = current_.sets[phase];
    std::vector<WakeIndex> order;
    for (std::size_t word = 0; word < set.bits.size() - set.summaries; ++word)
    {
        for (std::uint64_t rest = std::exchange(set.words()[word], 0); rest != 0; rest &= rest - 1)
        {
            order.push_back(static_cast<WakeIndex>(word * 64 + lowest(rest)));
        }
    }
    std::fill_n(set.summary(), set.summaries, 0);
    for (std::size_t i = order.size(); shuffle_state_ != 0 && i > 1; --i)
    {
        std::swap(order[i - 1], order[next_random(shuffle_state_) % i]);
    }
    for (const WakeIndex index : order)
    {
        ++delivered_;
        log_wake(index, static_cast<Phase>(phase));
        targets_[index]->wake(static_cast<Phase>(phase));
    }
}

void Wheel::shuffle_wakes(std::uint64_t seed)
{
    shuffle_state_ = seed * 2 + 1; // odd: the generator never leaves zero, and seeds differ
    fast_ = false;
}

void Wheel::set_log(Log* log)
{
    log_ = log;
    fast_ = shuffle_state_ == 0 && this->log(Topic::wheel) == nullptr;
}

void Wheel::log_wake(WakeIndex index, Phase phase) const
{
    constexpr std::array<const char*, kPhases> names = {"arrive", "allocate", "traverse",
                                                        "complete"};
    if (Log* const log = this->log(Topic::wheel))
    {
        log->write(now_, Topic::wheel, names_[index],
                   std::string("wakes: ") + names.at(static_cast<unsigned>(phase)));
    }
}

void Wheel::report_livelock() const
{
    constexpr std::size_t shown = 8;
    std::string names;
    std::size_t count = 0;
    for (WakeIndex index = 0; index < sleepers_; ++index)
    {
        const bool awake = std::any_of(current_.sets.begin(), current_.sets.end(),
                                       [&](const auto& set) { return set.contains(index); });
        if (awake && count++ < shown)
        {
            names += (names.empty() ? "" : ", ") + names_[index];
        }
    }
    if (count > shown)
    {
        names += " and " + std::to_string(count - shown) + " more";
    }
    throw SimulationError("livelock: more than " + std::to_string(kMaxRounds) + " rounds at tick " +
                          std::to_string(now_) + " ps; still active: " + names);
}

void Wheel::push_node(const Node& node)
{
    heap_.push_back(node);
    sift_up(heap_.size() - 1, node);
}

void Wheel::sift_up(std::size_t hole, const Node& node)
{
    while (hole > 0)
    {
        const std::size_t parent = (hole - 1) / 4;
        if (heap_[parent].tick <= node.tick)
        {
            break;
        }
        heap_[hole] = heap_[parent];
        hole = parent;
    }
    heap_[hole] = node;
}

void Wheel::pop_node()
{
    const Node last = heap_.back();
    heap_.pop_back();
    const std::size_t size = heap_.size();
    if (size == 0)
    {
        return;
    }
    // Down to a leaf along the smallest children, then up again with the last node, which mostly
    // belongs near the leaves: fewer comparisons, and none whose outcome the processor has to
    // guess.
    Node* const heap = heap_.data();
    const auto smaller = [heap](std::size_t a, std::size_t b)
    { return heap[b].tick < heap[a].tick ? b : a; };
    std::size_t hole = 0;
    std::size_t first = 1;
    while (first + 3 < size)
    {
        const std::size_t smallest =
            smaller(smaller(first, first + 1), smaller(first + 2, first + 3));
        heap[hole] = heap[smallest];
        hole = smallest;
        first = 4 * hole + 1;
    }
    if (first < size)
    {
        std::size_t smallest = first;
        for (std::size_t child = first + 1; child < size; ++child)
        {
            smallest = smaller(smallest, child);
        }
        heap[hole] = heap[smallest];
        hole = smallest;
    }
    sift_up(hole, last);
}

} // namespace tessera
