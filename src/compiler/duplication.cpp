// SPDX-License-Identifier: Apache-2.0
#include "compiler/duplication.h"

#include "base/integer.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>

namespace tessera::compiler
{
namespace
{

using Copies = std::vector<std::uint32_t>;

class None final : public Duplication
{
public:
    [[nodiscard]] Copies copies(const std::vector<Demand>& demands,
                                std::uint64_t /*extra*/) const override
    {
        return Copies(demands.size(), 1);
    }
};

class Greedy final : public Duplication
{
public:
    [[nodiscard]] Copies copies(const std::vector<Demand>& demands,
                                std::uint64_t extra) const override
    {
        Copies result(demands.size(), 1);
        while (!demands.empty())
        {
            std::size_t slowest = 0;
            for (std::size_t i = 1; i < demands.size(); ++i)
            {
                // t_i / d_i > t_s / d_s, without rounding
                if (demands[i].vectors * result[slowest] > demands[slowest].vectors * result[i])
                {
                    slowest = i;
                }
            }
            const Demand& its = demands[slowest];
            if (its.crossbars > extra || result[slowest] >= its.sets)
            {
                break;
            }
            extra -= its.crossbars;
            ++result[slowest];
        }
        return result;
    }
};

/// The numbers of copies at which one more has made a difference, up to what `extra` pays for.
Copies worthwhile(const Demand& demand, std::uint64_t extra)
{
    Copies result = {1};
    const std::uint64_t most = std::min(demand.sets, 1 + extra / demand.crossbars);
    for (std::uint64_t d = 2; d <= most; ++d)
    {
        if (demand.steps(d) < demand.steps(result.back()))
        {
            result.push_back(static_cast<std::uint32_t>(d));
        }
    }
    return result;
}

class Optimal final : public Duplication
{
public:
    /// Dynamic programming over layers and crossbars spent.
    [[nodiscard]] Copies copies(const std::vector<Demand>& demands,
                                std::uint64_t extra) const override
    {
        std::vector<std::uint64_t> best(extra + 1, 0); // least sum with at most so many crossbars
        std::vector<Copies> choice(demands.size(), Copies(extra + 1, 1));
        for (std::size_t i = 0; i < demands.size(); ++i)
        {
            const Copies options = worthwhile(demands[i], extra);
            std::vector<std::uint64_t> next(extra + 1, std::numeric_limits<std::uint64_t>::max());
            for (const std::uint32_t d : options)
            {
                const std::uint64_t cost = (d - 1) * demands[i].crossbars;
                const std::uint64_t steps = demands[i].steps(d);
                for (std::uint64_t budget = cost; budget <= extra; ++budget)
                {
                    if (best[budget - cost] + steps < next[budget])
                    {
                        next[budget] = best[budget - cost] + steps;
                        choice[i][budget] = d;
                    }
                }
            }
            best = std::move(next);
        }
        Copies result(demands.size(), 1);
        for (std::size_t i = demands.size(); i-- > 0;)
        {
            result[i] = choice[i][extra];
            extra -= (result[i] - 1) * demands[i].crossbars;
        }
        return result;
    }
};

/// Fewest copies with which `steps(demand, d)` is at most `limit`; nothing when none are enough.
template <typename Steps>
std::optional<std::uint64_t> copies_for(const Demand& demand, std::uint64_t limit, Steps steps)
{
    if (steps(demand, demand.sets) > limit)
    {
        return std::nullopt;
    }
    std::uint64_t low = 1;
    std::uint64_t high = demand.sets;
    while (low < high)
    {
        const std::uint64_t middle = low + (high - low) / 2;
        if (steps(demand, middle) <= limit)
        {
            high = middle;
        }
        else
        {
            low = middle + 1;
        }
    }
    return low;
}

/// Least limit on every layer's steps that `extra` crossbars allow.
template <typename Steps>
std::uint64_t least_limit(const std::vector<Demand>& demands, std::uint64_t extra, Steps steps)
{
    const auto affordable = [&](std::uint64_t limit)
    {
        std::uint64_t left = extra;
        for (const Demand& demand : demands)
        {
            const auto d = copies_for(demand, limit, steps);
            if (!d || (*d - 1) > left / demand.crossbars)
            {
                return false;
            }
            left -= (*d - 1) * demand.crossbars;
        }
        return true;
    };
    std::uint64_t low = 1;
    std::uint64_t high = 1;
    for (const Demand& demand : demands)
    {
        high = std::max(high, steps(demand, 1));
    }
    while (low < high)
    {
        const std::uint64_t middle = low + (high - low) / 2;
        if (affordable(middle))
        {
            high = middle;
        }
        else
        {
            low = middle + 1;
        }
    }
    return low;
}

class Balanced final : public Duplication
{
public:
    [[nodiscard]] Copies copies(const std::vector<Demand>& demands,
                                std::uint64_t extra) const override
    {
        const auto steps = [](const Demand& demand, std::uint64_t d) { return demand.steps(d); };
        const std::uint64_t limit = least_limit(demands, extra, steps);
        Copies result;
        for (const Demand& demand : demands)
        {
            const std::uint64_t d = copies_for(demand, limit, steps).value();
            extra -= (d - 1) * demand.crossbars;
            result.push_back(static_cast<std::uint32_t>(d));
        }
        // The slowest layer that the rest can make faster, again and again.
        while (true)
        {
            std::size_t slowest = demands.size();
            std::uint32_t its_copies = 0;
            for (std::size_t i = 0; i < demands.size(); ++i)
            {
                const Demand& demand = demands[i];
                const std::uint64_t now = demand.steps(result[i]);
                if (slowest < demands.size() && now <= demands[slowest].steps(result[slowest]))
                {
                    continue;
                }
                const auto d = copies_for(demand, now - 1, steps);
                if (d && *d - result[i] <= extra / demand.crossbars)
                {
                    slowest = i;
                    its_copies = static_cast<std::uint32_t>(*d);
                }
            }
            if (slowest == demands.size())
            {
                return result;
            }
            extra -= (its_copies - result[slowest]) * demands[slowest].crossbars;
            result[slowest] = its_copies;
        }
    }
};

} // namespace

std::uint64_t Demand::steps(std::uint64_t copies) const
{
    return std::min(vectors, ceil_div(sets, copies) * of_set);
}

const Duplication& duplication(const std::string& name)
{
    static const None none;
    static const Greedy greedy;
    static const Optimal optimal;
    static const Balanced balanced;
    const std::array<std::pair<const char*, const Duplication*>, 4> known{
        {{"none", &none}, {"greedy", &greedy}, {"optimal", &optimal}, {"balanced", &balanced}}};
    std::string names;
    for (const auto& [its, policy] : known)
    {
        if (name == its)
        {
            return *policy;
        }
        names += (names.empty() ? "" : ", ") + std::string(its);
    }
    throw UsageError("there is no duplication '" + name + "'; use " + names);
}

std::uint64_t least_steps(const std::vector<Demand>& demands, std::uint64_t extra)
{
    return least_limit(demands, extra,
                       [](const Demand& demand, std::uint64_t d)
                       { return ceil_div(demand.vectors, d); });
}

} // namespace tessera::compiler
