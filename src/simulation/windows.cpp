// SPDX-License-Identifier: Apache-2.0
#include "simulation/windows.h"

#include "base/json.h"
#include "record/names.h"
#include "tessera/error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace tessera::simulation
{
namespace
{

using Json = nlohmann::ordered_json;

/// The figure `list[i].*member`, 0 before the first window.
template <class Item, class Value>
Value old(const std::vector<Item>& list, std::size_t i, Value Item::*member)
{
    return i < list.size() ? list[i].*member : Value{};
}

struct KindTotals
{
    std::uint64_t operations = 0;
    std::array<Tick, kStages> time{};
};

Json units(const Summary& now, const Summary& before, Tick& computing, std::uint64_t& vectors)
{
    std::array<KindTotals, trace::kUnitKinds> totals;
    for (std::size_t i = 0; i < now.units.size(); ++i)
    {
        const UnitSummary& unit = now.units[i];
        KindTotals& kind = totals.at(static_cast<std::size_t>(unit.kind));
        kind.operations += unit.operations - old(before.units, i, &UnitSummary::operations);
        vectors += unit.vectors - old(before.units, i, &UnitSummary::vectors);
        for (unsigned stage = 0; stage < kStages; ++stage)
        {
            const Tick earlier = i < before.units.size() ? before.units[i].time[stage] : 0;
            kind.time[stage] += unit.time[stage] - earlier;
        }
    }
    Json all = Json::object();
    for (unsigned k = 0; k < trace::kUnitKinds; ++k)
    {
        Json time = Json::object();
        for (unsigned i = 0; i < kStages; ++i)
        {
            const auto stage = static_cast<Stage>(i);
            if (totals.at(k).time[i] != 0)
            {
                time[record::name_of(stage)] = totals.at(k).time[i];
            }
            const bool computes = stage >= Stage::drive && stage <= Stage::mvm;
            computing += k == 0 && computes ? totals.at(k).time[i] : 0;
        }
        all[record::name_of(static_cast<trace::UnitKind>(k))] = {
            {"operations", totals.at(k).operations}, {"time", std::move(time)}};
    }
    return all;
}

Json layers(const Summary& now, const Summary& before)
{
    Json all = Json::array();
    for (std::size_t i = 0; i < now.layers.size(); ++i)
    {
        const LayerSummary& layer = now.layers[i];
        const auto difference = [&](auto member)
        { return layer.*member - old(before.layers, i, member); };
        const std::uint64_t operations = difference(&LayerSummary::operations);
        if (operations != 0)
        {
            all.push_back({{"layer", i},
                           {"name", layer.name},
                           {"operations", operations},
                           {"vectors", difference(&LayerSummary::vectors)},
                           {"macro_time", difference(&LayerSummary::macro_time)},
                           {"moved_bytes", difference(&LayerSummary::moved_bytes)},
                           {"memory_bytes", difference(&LayerSummary::memory_bytes)}});
        }
    }
    return all;
}

Json links(const Summary& now, const Summary& before)
{
    Json all = Json::array();
    for (std::size_t i = 0; i < now.links.size(); ++i)
    {
        const LinkSummary& link = now.links[i];
        const auto difference = [&](auto member)
        { return link.*member - old(before.links, i, member); };
        const std::uint64_t flits = difference(&LinkSummary::flits);
        const Tick stalled = difference(&LinkSummary::stalled);
        if (flits != 0 || stalled != 0)
        {
            all.push_back({{"name", link.name},
                           {"flits", flits},
                           {"busy", difference(&LinkSummary::busy)},
                           {"stalled", stalled}});
        }
    }
    return all;
}

Json buffers(const Summary& now, const Summary& before)
{
    const auto length = static_cast<double>(now.makespan - before.makespan);
    Json all = Json::array();
    for (std::size_t i = 0; i < now.buffers.size(); ++i)
    {
        const BufferSummary& buffer = now.buffers[i];
        const std::uint64_t waits = buffer.waits - old(before.buffers, i, &BufferSummary::waits);
        const double bytes =
            buffer.mean * static_cast<double>(now.makespan) -
            old(before.buffers, i, &BufferSummary::mean) * static_cast<double>(before.makespan);
        constexpr double thousandths = 1000; // what is beyond is rounding
        const double mean =
            length == 0 ? 0 : std::max(0.0, std::round(bytes / length * thousandths)) / thousandths;
        if (waits != 0 || mean != 0)
        {
            all.push_back({{"name", buffer.name}, {"mean", mean}, {"waits", waits}});
        }
    }
    return all;
}

} // namespace

Windows::Windows(const std::filesystem::path& folder, std::uint64_t most)
    : most_(most), file_(folder / "windows.jsonl")
{
    file_.begin();
}

void Windows::end(Summary now)
{
    if (count_ != 0 && now.makespan == before_.makespan && now.events == before_.events)
    {
        return;
    }
    if (count_ == most_)
    {
        throw UsageError("more than " + std::to_string(most_) +
                         " windows of statistics; give a longer time for each");
    }
    Tick computing = 0;
    std::uint64_t vectors = 0;
    Json by_kind = units(now, before_, computing, vectors);
    const auto length = static_cast<double>(now.makespan - before_.makespan);
    const bool empty = now.crossbars == 0 || length == 0;
    const Json line = {
        {"window", count_},
        {"begin", before_.makespan},
        {"end", now.makespan},
        {"operations", now.operations - before_.operations},
        {"mvm_vectors", vectors},
        {"events", now.events - before_.events},
        {"utilization", empty ? 0.0 : static_cast<double>(computing) / (now.crossbars * length)},
        {"units", std::move(by_kind)},
        {"layers", layers(now, before_)},
        {"links", links(now, before_)},
        {"buffers", buffers(now, before_)}};
    file_ << text_of(line) << std::endl; // whoever follows the run sees every window that has ended
    file_.require_good();
    ++count_;
    before_ = std::move(now);
}

} // namespace tessera::simulation
