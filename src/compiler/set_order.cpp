// SPDX-License-Identifier: Apache-2.0
#include "compiler/set_order.h"

#include "base/integer.h"
#include "base/interrupt.h"
#include "compiler/timetable.h"
#include "tessera/error.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <numeric>
#include <system_error>
#include <utility>

namespace tessera::compiler
{
namespace
{

/// When the outputs need something, as a fraction of their sets that are made before: 2^31 is half.
using Need = std::uint64_t;
constexpr Need kNever = std::numeric_limits<Need>::max();

/// The order of the sets of an output.
std::vector<std::uint32_t> of_output(const Grid& grid, std::uint32_t percent)
{
    const auto columns = static_cast<std::uint32_t>(ceil_div(grid.shape.width, grid.set.columns));
    const std::uint32_t rows = grid.sets() / columns;
    const auto by_column = static_cast<std::uint32_t>((std::uint64_t{rows} * percent + 50) / 100);
    std::vector<std::uint32_t> order(std::size_t{rows - by_column} * columns);
    std::iota(order.begin(), order.end(), 0U);
    for (std::uint32_t column = 0; column < columns; ++column)
    {
        for (std::uint32_t row = rows - by_column; row < rows; ++row)
        {
            order.push_back(row * columns + column);
        }
    }
    return order;
}

} // namespace

SetOrder::SetOrder(const std::string& name)
{
    if (name == "raster")
    {
        return;
    }
    const std::string prefix = "demand:";
    std::uint32_t percent = 0;
    const char* const end = name.data() + name.size();
    const bool prefixed = name.compare(0, prefix.size(), prefix) == 0;
    const auto read = std::from_chars(name.data() + (prefixed ? prefix.size() : 0), end, percent);
    if (!prefixed || read.ec != std::errc() || read.ptr != end || percent > 100)
    {
        throw UsageError("there is no order '" + name +
                         "' of sets; use raster, demand, or demand:P with P from 0 to 100");
    }
    percent_ = percent;
}

SetOrder SetOrder::demand(std::uint32_t percent)
{
    SetOrder order;
    order.percent_ = percent;
    return order;
}

std::vector<std::vector<std::uint32_t>> SetOrder::ranks(const Graph& graph,
                                                        const std::vector<LayerPlan>& layers) const
{
    std::vector<std::vector<std::uint32_t>> result(layers.size());
    if (raster())
    {
        return result;
    }
    std::vector<std::vector<Need>> needs(layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        needs[i].assign(layers[i].grid.sets(), kNever);
    }
    std::vector<Region> regions;
    std::vector<std::size_t> read;
    for (auto i = static_cast<std::uint32_t>(layers.size()); i-- > 0;)
    {
        const LayerId id(i);
        if (graph.role(id) != Role::crossbar && graph.role(id) != Role::vector)
        {
            continue;
        }
        // All readers have larger ids: what they need is known.
        const Grid& grid = layers[i].grid;
        std::vector<Need>& its = needs[i];
        std::vector<std::uint32_t> order = of_output(grid, *percent_);
        for (std::size_t k = 0; k < order.size(); ++k)
        {
            if (its[order[k]] == kNever)
            {
                its[order[k]] = ((2 * k + 1) << 31U) / order.size();
            }
        }
        std::stable_sort(order.begin(), order.end(),
                         [&its](std::uint32_t a, std::uint32_t b) { return its[a] < its[b]; });
        result[i].resize(order.size());
        for (std::size_t k = 0; k < order.size(); ++k)
        {
            throw_if_interrupted();
            const std::uint32_t set = order[k];
            result[i][set] = static_cast<std::uint32_t>(k);
            regions.clear();
            graph.operands(id, grid.task(set), regions);
            for (const Region& region : regions)
            {
                const Grid& source = layers[region.layer.index()].grid;
                read.clear();
                source.tasks_in(region.volume, read);
                for (const std::size_t task : read)
                {
                    Need& need = needs[region.layer.index()][task];
                    need = std::min(need, its[set]);
                }
            }
        }
    }
    return result;
}

PlanOptions settled(const Graph& graph, const config::ChipConfig& chip, const Schedule& schedule,
                    PlanOptions options)
{
    if (options.order != "demand")
    {
        return options;
    }
    const auto planned = [&](const std::string& order)
    {
        options.order = order;
        return Timetable(Plan(graph, chip, schedule, options)).makespan();
    };
    const auto demand = [](std::uint32_t percent) { return "demand:" + std::to_string(percent); };
    const Tick of_raster = planned("raster");
    std::map<std::uint32_t, Tick> makespans; // by percentage
    const auto best = [&makespans]
    {
        return std::min_element(makespans.begin(), makespans.end(),
                                [](const auto& a, const auto& b) { return a.second < b.second; })
            ->first;
    };
    const auto consider = [&](std::uint32_t percent)
    {
        if (makespans.count(percent) == 0 && percent <= 100)
        {
            makespans[percent] = planned(demand(percent));
        }
    };
    // From coarse to fine, around the best so far.
    for (std::uint32_t percent = 0; percent <= 100; percent += 20)
    {
        consider(percent);
    }
    for (const std::uint32_t step : {10U, 5U})
    {
        const std::uint32_t middle = best();
        consider(middle - std::min(middle, step));
        consider(middle + step);
    }
    options.order = of_raster <= makespans.at(best()) ? "raster" : demand(best());
    return options;
}

} // namespace tessera::compiler
