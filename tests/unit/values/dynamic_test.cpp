// SPDX-License-Identifier: Apache-2.0
#include "base/philox.h"
#include "chip/chip.h"
#include "compiler/compiler.h"
#include "random_integers.h"
#include "semantics/checker.h"
#include "trace/reader.h"
#include "unit/compiler/list_simulator.h"
#include "unit/effort.h"
#include "values/machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

/// A dependency that is taken out of a trace is noticed in exactly those runs in which the read
/// comes before the data.
namespace tessera::values
{
namespace
{

using test::Dice;
using trace::Operation;
using trace::OpKind;

/// Operation `reader` no longer says that it reads `operand`.
struct Removed
{
    std::size_t reader = 0;
    std::size_t operand = 0; ///< in `in`
    OpId made_by;
    std::size_t arrival = 0; ///< of its destinations, at the reader's tile
};

bool transfers(const Operation& operation)
{
    return operation.kind == OpKind::move || operation.kind == OpKind::load;
}

/// What follows from what, whatever time operations take: starts, arrivals and ends.
class Order
{
public:
    explicit Order(const trace::Trace& trace) : trace_(trace)
    {
        std::vector<std::size_t> latest(trace.header.units.size(), kNone);
        first_.push_back(0);
        for (const Operation& operation : trace.operations)
        {
            first_.push_back(first_.back() + 2 + arrivals(operation));
        }
        next_.resize(first_.back());
        for (std::size_t i = 0; i < trace.operations.size(); ++i)
        {
            const Operation& operation = trace.operations[i];
            for (std::size_t k = 0; k < arrivals(operation); ++k)
            {
                next_[start(i)].push_back(arrival(i, k));
                next_[arrival(i, k)].push_back(end(i));
            }
            std::size_t& before = latest[operation.at.index()];
            if (before != kNone)
            {
                next_[end(before)].push_back(start(i));
            }
            before = i;
            for (const OpId id : operation.in)
            {
                next_[arrival(id.index(), slot(id, operation))].push_back(start(i));
            }
            for (const OpId id : operation.after)
            {
                next_[end(id.index())].push_back(start(i));
            }
        }
    }

    [[nodiscard]] std::size_t slot(OpId made_by, const Operation& reader) const
    {
        const Operation& made = trace_.operations[made_by.index()];
        const NodeId node = trace_.header.units[reader.at.index()].node;
        std::size_t k = 0;
        while (transfers(made) && made.to[k].at != node)
        {
            ++k;
        }
        return k;
    }

    /// The reader starts after the arrival even without its own edge.
    [[nodiscard]] bool implied(const Removed& removed) const
    {
        const std::size_t from = arrival(removed.made_by.index(), removed.arrival);
        const std::size_t to = start(removed.reader);
        std::vector<char> seen(next_.size(), 0);
        std::vector<std::size_t> open{from};
        seen[from] = 1;
        while (!open.empty())
        {
            const std::size_t at = open.back();
            open.pop_back();
            for (const std::size_t next : next_[at])
            {
                if (next == to)
                {
                    if (at != from)
                    {
                        return true;
                    }
                    continue;
                }
                if (seen[next] == 0)
                {
                    seen[next] = 1;
                    open.push_back(next);
                }
            }
        }
        return false;
    }

    /// By operation: whether the arrival waits for it, and the reader, without its own edge, does
    /// not.
    [[nodiscard]] std::vector<bool> delaying(const Removed& removed) const
    {
        const std::size_t cut_from = arrival(removed.made_by.index(), removed.arrival);
        const std::size_t cut_to = start(removed.reader);
        std::vector<std::vector<std::size_t>> previous(next_.size());
        for (std::size_t at = 0; at < next_.size(); ++at)
        {
            for (const std::size_t next : next_[at])
            {
                if (at != cut_from || next != cut_to)
                {
                    previous[next].push_back(at);
                }
            }
        }
        const auto before = [&](std::size_t event)
        {
            std::vector<bool> seen(next_.size(), false);
            std::vector<std::size_t> open{event};
            while (!open.empty())
            {
                const std::size_t at = open.back();
                open.pop_back();
                if (!seen[at])
                {
                    seen[at] = true;
                    open.insert(open.end(), previous[at].begin(), previous[at].end());
                }
            }
            return seen;
        };
        const std::vector<bool> made = before(cut_from);
        const std::vector<bool> read = before(cut_to);
        std::vector<bool> result;
        for (std::size_t i = 0; i < trace_.operations.size(); ++i)
        {
            result.push_back(made[start(i)] && !read[end(i)]);
        }
        return result;
    }

private:
    static constexpr std::size_t kNone = ~std::size_t{0};

    [[nodiscard]] static std::size_t arrivals(const Operation& operation)
    {
        return transfers(operation) ? operation.to.size() : 1;
    }
    [[nodiscard]] std::size_t start(std::size_t i) const { return first_[i]; }
    [[nodiscard]] std::size_t arrival(std::size_t i, std::size_t k) const
    {
        return first_[i] + 1 + k;
    }
    [[nodiscard]] std::size_t end(std::size_t i) const { return first_[i + 1] - 1; }

    const trace::Trace& trace_;
    std::vector<std::size_t> first_; ///< by operation: its start's place among all events
    std::vector<std::vector<std::size_t>> next_;
};

/// Operands without which the semantic checker misses an element, and for which no other edge
/// waits.
std::vector<Removed> necessary(const trace::Trace& trace, const network::Network& network)
{
    std::vector<Removed> all;
    semantics::Checker checker(trace.header, network);
    const Order order(trace);
    for (const Operation& operation : trace.operations)
    {
        for (std::size_t k = 0; k < operation.in.size(); ++k)
        {
            const bool twice =
                std::count(operation.in.begin(), operation.in.end(), operation.in[k]) > 1;
            if (twice || operation.kind == OpKind::move || operation.kind == OpKind::store)
            {
                continue; // the format alone demands a transfer's operand
            }
            Operation less = operation;
            less.in.erase(less.in.begin() + static_cast<std::ptrdiff_t>(k));
            const Removed removed{operation.id.index(), k, operation.in[k],
                                  order.slot(operation.in[k], operation)};
            try
            {
                checker.check(less);
            }
            catch (const trace::Malformed&)
            {
                if (!order.implied(removed))
                {
                    all.push_back(removed);
                }
            }
        }
        checker.add(operation);
    }
    return all;
}

/// Every operation takes 1 to 10 times 100 ps. Units are fast or slow as a whole, which makes far
/// more orders of events than times drawn one by one.
test::ListSimulator::Duration durations(std::uint32_t seed)
{
    return [=](const Operation& operation, std::size_t)
    {
        const Draws draws(seed);
        const bool slow = draws.words({operation.at.value(), 0, 0, 0})[0] % 2 == 0;
        const Tick within =
            draws.words({static_cast<std::uint32_t>(operation.id.value()), 1, 0, 0})[0] %
            (seed % 2 == 0 ? 20 : 300);
        return slow ? Tick{1000 - within} : Tick{100 + within / 30};
    };
}

/// Every operation takes 1 to `most` times 100 ps: those in `slow` the most, the others the least,
/// but for a random few that are anywhere between.
test::ListSimulator::Duration aimed(std::uint32_t seed, const std::vector<bool>& slow, Tick most)
{
    return [=](const Operation& operation, std::size_t)
    {
        const auto words =
            Draws(seed).words({static_cast<std::uint32_t>(operation.id.value()), 2, 0, 0});
        if (slow[operation.id.index()])
        {
            return most * 100;
        }
        return Tick{100} + (words[0] % 8 < seed % 4 ? words[1] % (100 * (most - 1)) : 0);
    };
}

/// When what happened to the operation and the datum in question, while a machine computes.
class Witness : public chip::Follower
{
public:
    Witness(Machine& machine, const Removed& removed, NodeId node)
        : machine_(machine), removed_(removed), node_(node)
    {
    }
    void started(const Operation& operation, NodeId node, Tick now) override
    {
        read_ = read_ || operation.id.index() == removed_.reader;
        machine_.started(operation, node, now);
    }
    void arrived(OpId operation, NodeId node) override
    {
        early_ = early_ || (read_ && operation == removed_.made_by && node == node_);
        machine_.arrived(operation, node);
    }
    void ended(const Operation& operation, NodeId node) override
    {
        machine_.ended(operation, node);
    }
    /// The read came before the data.
    [[nodiscard]] bool early() const { return early_; }

private:
    Machine& machine_;
    const Removed& removed_;
    NodeId node_;
    bool read_ = false;
    bool early_ = false;
};

/// A small network with numbers, compiled.
struct Case
{
    explicit Case(std::uint32_t seed) : dice(seed)
    {
        chip = test::random_chip(dice);
        if (seed % 3 == 2)
        {
            network = written_operands();
        }
        else
        {
            network = test::random_countable_network(dice);
        }
        integers = test::random_integers(dice, network);
        compiler::Options options;
        options.schedule = dice.pick(std::vector<std::string>{"layer-by-layer", "xinf"});
        options.plan.sets = dice.pick(std::vector<std::string>{"row", "2x3"});
        trace = compiler::compile(network, chip, options);
        semantics::Effort effort;
        crossbars = std::make_unique<const Crossbars>(
            integers,
            pieces_of(trace.header, semantics::Naming(trace.header, network, effort), chip),
            lossless(analogue_of(chip)), 1, 1);
        input = test::random_input(dice, integers);
    }

    /// Attention that crossbars are written for.
    network::Network written_operands()
    {
        test::choose_attention(dice, chip);
        chip.mapping.attention = "crossbar";
        network::Network attention = test::random_attention(dice);
        while (attention.layers[1].kind == network::LayerKind::input ||
               attention.layers[0].output.height > 6)
        {
            attention = test::random_attention(dice); // short, and with one input
        }
        return attention;
    }

    /// Takes the edge out and runs it: was the read early? The machine must have said the same.
    template <class Drive> bool early(const Removed& removed, Drive drive) const
    {
        trace::Trace less = trace;
        Operation& reader = less.operations[removed.reader];
        reader.in.erase(reader.in.begin() + static_cast<std::ptrdiff_t>(removed.operand));
        reader.into = -1;
        Machine machine(less.header, integers, chip, *crossbars, {input});
        Witness witness(machine, removed, less.header.units[reader.at.index()].node);
        drive(less, witness);
        EXPECT_EQ(!machine.poison().empty(), witness.early())
            << "operation " << removed.reader << " reads " << removed.made_by.value();
        for (const Poison& poison : machine.poison())
        {
            EXPECT_EQ(poison.operation.index(), removed.reader) << machine.text_of(poison);
        }
        return witness.early();
    }

    Dice dice;
    network::Network network;
    IntegerNetwork integers;
    config::ChipConfig chip;
    trace::Trace trace;
    std::unique_ptr<const Crossbars> crossbars;
    Map<std::int32_t> input;
};

constexpr std::uint32_t kAllNetworks = 24;
constexpr std::uint32_t kNetworks = tessera::test::effort(kAllNetworks);
constexpr std::size_t kMostOperations = 150;

TEST(DynamicCheck, ReportsExactlyTheReadsThatComeBeforeTheData)
{
    constexpr std::uint32_t seeds = 50;
    std::uint64_t edges = 0;
    std::uint64_t programs = 0; // edges of operations that write operands
    std::uint64_t tenfold = 0;  // at least one of the seeds makes the read early
    std::uint64_t covered = 0;  // or times that differ more
    for (std::uint32_t seed = 0; seed < kNetworks; ++seed)
    {
        const Case its(seed);
        if (its.trace.operations.size() > kMostOperations)
        {
            continue;
        }
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(its.network));
        const Order order(its.trace);
        for (const Removed& removed : necessary(its.trace, its.network))
        {
            const std::vector<bool> slow = order.delaying(removed);
            ++edges;
            programs += its.trace.operations[removed.reader].kind == OpKind::program ? 1 : 0;
            const auto early = [&](const test::ListSimulator::Duration& duration)
            {
                return its.early(removed,
                                 [&](const trace::Trace& less, chip::Follower& follower)
                                 {
                                     const test::Simulated run =
                                         test::ListSimulator(less, config::kUnlimited, duration,
                                                             &follower)
                                             .run();
                                     EXPECT_TRUE(run.finished);
                                 });
            };
            bool found = false;
            for (std::uint32_t fuzz = 0; fuzz < seeds && !found && !HasFailure(); ++fuzz)
            {
                found = early(fuzz % 5 == 4 ? aimed(fuzz / 5, slow, 10) : durations(fuzz));
            }
            tenfold += found ? 1 : 0;
            // The others lie so far behind what the reader waits for that tenfold is too little.
            covered += found || early(aimed(0, slow, 1000)) ? 1 : 0;
        }
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(edges, 10 * kNetworks);
    // The few networks of a sanitizer's run may have none.
    EXPECT_GE(programs, kNetworks == kAllNetworks ? kNetworks / 2 : 0U);
    EXPECT_EQ(covered, edges);
    // Of few networks one alone may have many of those.
    const std::uint64_t least_percent = kNetworks == kAllNetworks ? 95 : 75;
    EXPECT_GE(tenfold * 100, edges * least_percent) << tenfold << " of " << edges;
    RecordProperty("edges", std::to_string(edges));
    RecordProperty("tenfold", std::to_string(tenfold));
}

TEST(DynamicCheck, HoldsOnTheChipToo)
{
    std::uint64_t early = 0;
    std::uint64_t late = 0;
    for (std::uint32_t seed = 0; seed < kNetworks; ++seed)
    {
        const Case its(seed);
        if (its.trace.operations.size() > kMostOperations)
        {
            continue;
        }
        SCOPED_TRACE("seed " + std::to_string(seed) + '\n' + test::describe(its.network));
        for (const Removed& removed : necessary(its.trace, its.network))
        {
            const bool first = its.early(
                removed,
                [&](const trace::Trace& less, chip::Follower& follower)
                {
                    trace::MemorySource source(less);
                    ActivitySink sink;
                    chip::Chip chip(its.chip, source, sink);
                    chip.follow(follower);
                    EXPECT_TRUE(chip::run_native(chip, [](const Progress&) { return true; }));
                });
            ++(first ? early : late);
            ASSERT_FALSE(HasFailure());
        }
    }
    EXPECT_GT(early, kNetworks);
    EXPECT_GT(late, kNetworks);
}

} // namespace
} // namespace tessera::values
