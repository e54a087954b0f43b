// SPDX-License-Identifier: Apache-2.0
#include "compiler/set_sizes.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

namespace tessera::compiler
{
namespace
{

/// A plan longer by one part in so many is as good, if it has fewer operations.
constexpr Tick kAsGood = 1000;
/// Levels without gain after which finer ones are not tried.
constexpr std::uint32_t kInVain = 2;
/// Plans with some layers made coarser again, and the operations that they may have together.
constexpr std::uint32_t kCoarserPlans = 8;
constexpr std::size_t kCoarserOperations = 1'000'000;

bool as_good(Tick time, Tick least)
{
    return least == kNever ? time == kNever : time <= least + least / kAsGood;
}

class Search
{
public:
    Search(const Plan& plan, const std::function<Outlook(const Fineness&)>& outlook)
        : plan_(plan), outlook_(outlook), finest_(plan.graph().size(), 0)
    {
        for (const Stage& stage : plan.stages())
        {
            for (const LayerId id : stage)
            {
                finest_[id.index()] = static_cast<std::uint8_t>(plan.finest_level(id));
            }
        }
    }
    SetSizes run()
    {
        divide_all();
        if (plan_.stages().size() > 1)
        {
            return best_of_stages();
        }
        const Trial& best = best_of([](const Outlook& outlook) { return outlook.time; });
        const Tick time = best.outlook.time;
        Fineness fineness = coarser(best);
        return {std::move(fineness), time, plans_};
    }

private:
    struct Trial
    {
        Fineness fineness;
        Outlook outlook;
    };

    Outlook look(const Fineness& fineness)
    {
        ++plans_;
        return outlook_(fineness);
    }
    [[nodiscard]] Fineness at(std::uint32_t level) const
    {
        Fineness fineness = finest_;
        for (std::uint8_t& its : fineness)
        {
            its = static_cast<std::uint8_t>(std::min<std::uint32_t>(its, level));
        }
        return fineness;
    }
    /// Up to which level buffers have divided everything anyway.
    [[nodiscard]] std::uint32_t reached(const Outlook& outlook, std::uint32_t level) const
    {
        std::uint32_t all = ~std::uint32_t{0};
        for (std::size_t layer = 0; layer < finest_.size(); ++layer)
        {
            if (outlook.ran.size() == finest_.size() && outlook.ran[layer] < finest_[layer])
            {
                all = std::min<std::uint32_t>(all, outlook.ran[layer]);
            }
        }
        return std::max(all, level);
    }
    void divide_all()
    {
        const std::uint32_t finest = *std::max_element(finest_.begin(), finest_.end());
        Tick least = kNever;
        std::uint32_t in_vain = 0;
        for (std::uint32_t level = 0; level <= finest && in_vain < kInVain;)
        {
            const Fineness fineness = at(level);
            trials_.push_back({fineness, look(fineness)});
            const Outlook& its = trials_.back().outlook;
            in_vain = worthwhile(its.time, least) ? 0 : in_vain + 1;
            least = std::min(least, its.time);
            const std::uint32_t reached_level = reached(its, level);
            if (reached_level >= finest)
            {
                break;
            }
            level = reached_level + 1;
        }
    }
    /// The coarsest of those that are as good as the best.
    template <typename Time> [[nodiscard]] const Trial& best_of(Time time) const
    {
        Tick least = kNever;
        for (const Trial& trial : trials_)
        {
            least = std::min(least, time(trial.outlook));
        }
        return *std::find_if(trials_.begin(), trials_.end(),
                             [&](const Trial& trial)
                             { return as_good(time(trial.outlook), least); });
    }
    [[nodiscard]] SetSizes best_of_stages() const
    {
        SetSizes result{Fineness(finest_.size(), 0), 0, plans_};
        for (std::size_t stage = 0; stage < plan_.stages().size(); ++stage)
        {
            const Trial& best =
                best_of([stage](const Outlook& outlook)
                        { return outlook.time == kNever ? kNever : outlook.of_stage[stage]; });
            result.time = best.outlook.time == kNever || result.time == kNever
                              ? kNever
                              : result.time + best.outlook.of_stage[stage];
            for (const LayerId id : plan_.stages()[stage])
            {
                result.fineness[id.index()] = best.fineness[id.index()];
            }
        }
        return result;
    }
    /// Layers of the same size are made coarser together, those with most sets first.
    Fineness coarser(const Trial& best)
    {
        std::map<std::pair<std::uint64_t, std::uint32_t>, std::vector<LayerId>> alike;
        for (const LayerId id : plan_.stages().front())
        {
            const network::Shape& shape = plan_[id].grid.shape;
            alike[{std::uint64_t{shape.height} * shape.width, shape.width}].push_back(id);
        }
        Fineness fineness = best.fineness;
        if (best.outlook.time == kNever)
        {
            return fineness;
        }
        Tick least = best.outlook.time;
        for (const Trial& trial : trials_)
        {
            least = std::min(least, trial.outlook.time);
        }
        std::size_t left = std::min<std::size_t>(
            kCoarserPlans, kCoarserOperations / std::max<std::size_t>(best.outlook.operations, 1));
        for (auto its = alike.rbegin(); its != alike.rend(); ++its)
        {
            const std::uint32_t now = fineness[its->second.front().index()];
            for (std::uint32_t level = 0; level < now; level = (level + now + 1) / 2)
            {
                if (left == 0)
                {
                    return fineness;
                }
                Fineness tried = fineness;
                for (const LayerId id : its->second)
                {
                    tried[id.index()] =
                        std::min(tried[id.index()], static_cast<std::uint8_t>(level));
                }
                --left;
                if (as_good(look(tried).time, least))
                {
                    fineness = std::move(tried);
                    break;
                }
            }
        }
        return fineness;
    }

    const Plan& plan_;
    const std::function<Outlook(const Fineness&)>& outlook_;
    Fineness finest_; ///< by layer: what cannot be divided further
    std::vector<Trial> trials_;
    std::uint32_t plans_ = 0;
};

} // namespace

bool worthwhile(Tick time, Tick least)
{
    constexpr Tick part = 400;
    return time != kNever && time <= least - least / part;
}

SetSizes choose_set_sizes(const Plan& plan, const std::function<Outlook(const Fineness&)>& outlook)
{
    return plan.stages().empty() ? SetSizes{} : Search(plan, outlook).run();
}

} // namespace tessera::compiler
