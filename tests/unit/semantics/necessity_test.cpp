// SPDX-License-Identifier: Apache-2.0
#include "compiler/compiler.h"
#include "config/load.h"
#include "semantics/checker.h"
#include "tessera/error.h"
#include "trace/rules.h"
#include "unit/compiler/random_network.h"
#include "unit/effort.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <optional>
#include <random>
#include <string>
#include <vector>

/// Every dependency that is taken out of a compiled trace is missed.
namespace tessera::semantics
{
namespace
{

using trace::Operation;
using trace::OpKind;

std::optional<trace::Malformed> problem_of(Checker& checker, const Operation& operation)
{
    try
    {
        checker.check(operation);
        return std::nullopt;
    }
    catch (const trace::Malformed& problem)
    {
        return problem;
    }
}

/// For every operation, those that have ended before it starts, whatever time anything takes: all
/// edges followed, by brute force.
class Ends
{
public:
    explicit Ends(const trace::Trace& trace) : trace_(trace)
    {
        std::vector<std::size_t> latest(trace.header.units.size(), trace.operations.size());
        for (std::size_t i = 0; i < trace.operations.size(); ++i)
        {
            std::size_t& its = latest[trace.operations[i].at.index()];
            before_.push_back(its);
            its = i;
        }
    }
    /// `later` waits for `earlier` though its own edge to it is gone.
    [[nodiscard]] bool implied(std::size_t later, OpId earlier) const
    {
        std::vector<char> started(trace_.operations.size(), 0);
        started[later] = 1;
        for (std::size_t i = later + 1; i-- > 0;)
        {
            if (started[i] == 0)
            {
                continue;
            }
            for (const OpId id : trace_.operations[i].after)
            {
                if (id != earlier)
                {
                    started[id.index()] = 1;
                }
                else if (i != later)
                {
                    return true;
                }
            }
            for (const OpId id : trace_.operations[i].in)
            {
                started[id.index()] = 1;
            }
            if (before_[i] < trace_.operations.size())
            {
                started[before_[i]] = 1;
            }
        }
        return false;
    }

private:
    const trace::Trace& trace_;
    std::vector<std::size_t> before_; ///< on the same unit
};

struct Counts
{
    std::uint64_t operands = 0; ///< taken out and missed
    std::uint64_t unneeded = 0; ///< operands that hold nothing needed
    std::uint64_t stores = 0;   ///< the same: edges from a store to a load
    std::uint64_t implied = 0;  ///< such edges that others imply, and that are not missed
};

bool through_memory(const trace::Trace& trace, const Operation& load, OpId before)
{
    const Operation& store = trace.operations[before.index()];
    if (load.kind != OpKind::load || store.kind != OpKind::store || load.tensor != store.tensor ||
        load.image != store.image)
    {
        return false;
    }
    for (std::size_t axis = 0; axis < 6; axis += 2)
    {
        if (load.box->bounds[axis] >= store.box->bounds[axis + 1] ||
            store.box->bounds[axis] >= load.box->bounds[axis + 1])
        {
            return false;
        }
    }
    return true;
}

/// A sum on its way: what it lacks is missed where the sum is finished.
bool unfinished(const trace::Trace& trace, const Operation& operation)
{
    return operation.function == *trace::find_function("accumulate") &&
           operation.bits != trace.header.layers[operation.layer.index()].input_bits;
}

/// Checks a whole trace with one operation replaced.
bool missed_later(const trace::Trace& trace, const network::Network& network,
                  const Operation& replaced)
{
    try
    {
        Checker checker(trace.header, network);
        for (const Operation& operation : trace.operations)
        {
            checker.add(operation.id == replaced.id ? replaced : operation);
        }
        (void)checker.finish();
        return false;
    }
    catch (const trace::Malformed&)
    {
        return true;
    }
}

/// Takes one edge out of an operation at a time, where `chosen` says so, and asks the checker.
/// `may_be_wide`: a few operands hold nothing that the operation needs.
template <class Chosen>
Counts take_out(const trace::Trace& trace, const network::Network& network, bool may_be_wide,
                Chosen chosen)
{
    Counts counts;
    Checker checker(trace.header, network);
    const Ends ends(trace);
    Operation less;
    for (const Operation& operation : trace.operations)
    {
        const std::string name = "operation " + std::to_string(operation.id.value());
        for (std::size_t i = 0; i < operation.in.size(); ++i)
        {
            if (operation.kind == OpKind::move || operation.kind == OpKind::store || !chosen())
            {
                continue; // the format alone demands a transfer's operand
            }
            if (std::count(operation.in.begin(), operation.in.end(), operation.in[i]) > 1)
            {
                continue; // x + x: the other edge implies this one
            }
            less = operation;
            less.in.erase(less.in.begin() + static_cast<std::ptrdiff_t>(i));
            const auto problem = problem_of(checker, less);
            if (!problem && operation.kind == OpKind::vec && unfinished(trace, operation))
            {
                EXPECT_TRUE(trace.operations.size() > 2000 || missed_later(trace, network, less))
                    << name;
                continue;
            }
            const network::Layer& layer = network[operation.layer];
            const bool all_heads =
                operation.kind == OpKind::vec && layer.kind == network::LayerKind::matmul;
            if (!problem && (may_be_wide || all_heads))
            {
                ++counts
                      .unneeded; // all heads of a factor, a box around what a view or stride takes
                continue;
            }
            EXPECT_TRUE(problem) << name << " of layer " << layer.name << " does not need operand "
                                 << i;
            if (!problem)
            {
                return counts;
            }
            EXPECT_NE(problem->problem.find(name + " ("), std::string::npos) << problem->problem;
            EXPECT_NE(problem->problem.find("lacks "), std::string::npos) << problem->problem;
            ++counts.operands;
        }
        for (std::size_t i = 0; i < operation.after.size(); ++i)
        {
            if (!through_memory(trace, operation, operation.after[i]) || !chosen())
            {
                continue;
            }
            less = operation;
            less.after.erase(less.after.begin() + static_cast<std::ptrdiff_t>(i));
            const bool missed = problem_of(checker, less).has_value();
            EXPECT_EQ(missed, !ends.implied(operation.id.index(), operation.after[i]))
                << name << " after " << operation.after[i].value();
            ++(missed ? counts.stores : counts.implied);
        }
        checker.add(operation);
        if (testing::Test::HasFailure())
        {
            return counts;
        }
    }
    const Report report = checker.finish();
    EXPECT_EQ(report.left_out, 0U);
    return counts;
}

TEST(Necessity, EveryEdgeOfSmallNetworksIsMissed)
{
    const std::vector<std::string> schedules{"layer-by-layer", "xinf"};
    const std::vector<std::string> sets{"row", "pixel", "2x3"};
    const std::vector<std::string> policies{"none", "greedy"};
    constexpr std::uint32_t networks = tessera::test::effort(400U);
    Counts all;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        test::Dice dice(seed);
        const network::Network network = test::random_network(dice);
        config::ChipConfig chip = test::random_chip(dice);
        if (dice(0, 1) == 0)
        {
            chip.buffer.capacity = dice(100, 1'500);
        }
        compiler::Options options;
        options.schedule = dice.pick(schedules);
        options.plan.sets = dice.pick(sets);
        options.plan.duplicate = dice.pick(policies);
        options.plan.extra_pes = dice(0, 20);
        options.images = dice(1, 3);
        SCOPED_TRACE("seed " + std::to_string(seed) + ' ' + options.schedule + ' ' +
                     options.plan.sets + '\n' + test::describe(network));
        std::optional<trace::Trace> trace;
        try
        {
            trace = compiler::compile(network, chip, options);
        }
        catch (const InputError&)
        {
            continue; // buffers that are too small
        }
        const Counts counts = take_out(*trace, network, true, [] { return true; });
        // Barriers between layers imply most waits for stores: once more without them.
        for (Operation& operation : trace->operations)
        {
            std::vector<OpId>& after = operation.after;
            after.erase(std::remove_if(after.begin(), after.end(),
                                       [&](OpId id)
                                       { return !through_memory(*trace, operation, id); }),
                        after.end());
        }
        all.stores += take_out(*trace, network, true, [] { return true; }).stores;
        all.operands += counts.operands;
        all.stores += counts.stores;
        all.implied += counts.implied;
        all.unneeded += counts.unneeded;
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(all.operands, 125 * networks);
    EXPECT_GE(all.stores, networks / 400 * 20) << "rare: a few networks may have none";
    EXPECT_LT(all.unneeded, all.operands / 30);
    RecordProperty("operands", std::to_string(all.operands));
    RecordProperty("stores", std::to_string(all.stores));
    RecordProperty("unneeded", std::to_string(all.unneeded));
}

/// Operands of attention, which are written into macros, too.
TEST(Necessity, EveryEdgeOfAttentionIsMissed)
{
    constexpr std::uint32_t networks = tessera::test::effort(200U);
    Counts all;
    std::uint64_t written = 0;
    for (std::uint32_t seed = 0; seed < networks; ++seed)
    {
        test::Dice dice(seed);
        const network::Network network = test::random_attention(dice);
        config::ChipConfig chip = test::random_chip(dice);
        test::choose_attention(dice, chip);
        compiler::Options options;
        options.schedule = dice(0, 1) == 0 ? "layer-by-layer" : "xinf";
        options.plan.pack = dice(0, 1) == 0;
        options.images = dice(1, 2);
        SCOPED_TRACE("seed " + std::to_string(seed) + ' ' + chip.mapping.attention + '\n' +
                     test::describe(network));
        const trace::Trace trace = compiler::compile(network, chip, options);
        const Counts counts = take_out(trace, network, true, [] { return true; });
        all.operands += counts.operands;
        all.unneeded += counts.unneeded;
        // Without one of the writes, some product finds nothing in its macro.
        for (const Operation& operation : trace.operations)
        {
            if (operation.kind == OpKind::program && dice(0, 9) == 0)
            {
                Operation elsewhere = operation; // as if it were for another image
                elsewhere.image += 2;
                elsewhere.in.clear();
                elsewhere.box.reset();
                elsewhere.block = BlockId::none();
                EXPECT_TRUE(missed_later(trace, network, elsewhere))
                    << "operation " << operation.id.value();
                ++written;
            }
        }
        ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(all.operands, 50 * networks);
    EXPECT_GT(written, networks / 2);
}

class Shipped : public testing::TestWithParam<const char*>
{
};

TEST_P(Shipped, IsProvedAndMissesEdges)
{
    const network::Network network = network::load(network::find(GetParam()));
    struct Case
    {
        const char* chip;
        const char* schedule;
        const char* duplicate;
        std::uint64_t extra;
    };
    for (const Case& its :
         {Case{"clsa-256", "layer-by-layer", "none", 0}, Case{"clsa-256", "xinf", "none", 0},
          Case{"clsa-256-ideal", "layer-by-layer", "greedy", 16},
          Case{"clsa-256-ideal", "xinf", "none", 0},
          Case{"clsa-256-ideal", "xinf", "balanced", 32}})
    {
        SCOPED_TRACE(its.schedule);
        compiler::Options options;
        options.schedule = its.schedule;
        options.plan.duplicate = its.duplicate;
        options.plan.extra_pes = its.extra;
        const trace::Trace trace = compiler::compile(network, config::load(its.chip), options);
        std::uint64_t edges = 0;
        for (const Operation& operation : trace.operations)
        {
            const bool travels = operation.kind == OpKind::move || operation.kind == OpKind::store;
            edges += travels ? 0 : operation.in.size();
        }
        std::mt19937_64 random(7);
        const std::uint64_t wanted = 2000;
        const Counts counts =
            take_out(trace, network, false, [&] { return random() % edges < wanted; });
        // Fewer than were chosen: sums in parts are missed later, and factors may be sent whole.
        EXPECT_GT(counts.operands, std::min(edges, wanted) / 3);
        ASSERT_FALSE(HasFailure());
    }
}

INSTANTIATE_TEST_SUITE_P(Networks, Shipped,
                         testing::Values("tinyyolov3", "tinyyolov4", "vgg16", "vgg19", "resnet18",
                                         "resnet34", "resnet50", "resnet101", "resnet152",
                                         "mobilenetv2", "lenet5", "bert-base", "vit-b16"),
                         [](const auto& info)
                         {
                             std::string name = info.param;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

} // namespace
} // namespace tessera::semantics
