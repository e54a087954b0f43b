// SPDX-License-Identifier: Apache-2.0
#include "record/statistics.h"

#include "base/json.h"
#include "record/names.h"
#include "record/table.h"

#include <algorithm>
#include <fmt/format.h>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <tsl/robin_map.h>
#include <type_traits>

namespace tessera::record
{
namespace
{

class Names
{
public:
    /// One part of a statistic's name made of any text; never the same twice.
    std::string part(const std::string& text, std::size_t index)
    {
        std::string name = text.empty() ? "unnamed" : text;
        for (char& c : name)
        {
            const auto byte = static_cast<unsigned char>(c);
            if (c == '.' || c == '#' || c == '/' || byte <= ' ' || byte == 0x7F)
            {
                c = '_';
            }
        }
        while (!used_.insert(name).second)
        {
            name += "_" + std::to_string(index);
        }
        return name;
    }

private:
    std::set<std::string> used_;
};

class List
{
public:
    template <class Value>
    void add(std::string name, Value value, std::string_view unit, std::string_view description)
    {
        statistics_.push_back({std::move(name), value, unit, description});
    }
    std::vector<Statistic> take() { return std::move(statistics_); }

private:
    std::vector<Statistic> statistics_;
};

void add_energy(List& list, const std::vector<EnergySummary>& energy)
{
    if (energy.empty())
    {
        return;
    }
    Names names;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < energy.size(); ++i)
    {
        total += energy[i].attojoules;
        list.add("chip.energy." + names.part(energy[i].component, i), energy[i].attojoules, "aJ",
                 "energy of this component in all products of AiDAC macros");
    }
    list.add("chip.energy." + names.part("total", energy.size()), total, "aJ",
             "energy of all products of AiDAC macros, the sum of the components");
}

void add_percentiles(List& list, const std::string& name, const Percentiles& percentiles)
{
    const auto add = [&](const char* percent, Tick time)
    {
        list.add(name + percent, std::uint64_t{time}, "ps",
                 "as many per cent of the images take no longer (nearest rank)");
    };
    add("_p50", percentiles.p50);
    add("_p95", percentiles.p95);
    add("_p99", percentiles.p99);
}

void add_time(List& list, const std::string& name, const TimeSummary& time,
              std::string_view description)
{
    list.add("chip.images.mean_" + name, time.mean, "ps", description);
    add_percentiles(list, "chip.images." + name, time.percentiles);
    list.add("chip.images.most_" + name, std::uint64_t{time.most}, "ps", "the longest of these");
}

void add_images(List& list, const ImageSummary& images)
{
    if (images.arrived < 2 && !images.timed)
    {
        return;
    }
    list.add("chip.images.arrived", std::uint64_t{images.arrived}, "",
             images.timed ? "images that had arrived when the run ended"
                          : "images that had started when the run ended");
    list.add("chip.images.count", std::uint64_t{images.count}, "", "images that have ended");
    if (images.offered > 0)
    {
        list.add("chip.images.offered", images.offered, "1/s", "images that arrived a second");
    }
    if (images.count == 0)
    {
        return;
    }
    list.add("chip.images.first_latency", std::uint64_t{images.first_latency}, "ps",
             images.timed ? "of the first image, from its arrival to its last end"
                          : "of the first image, from its first start to its last end");
    list.add("chip.images.mean_latency", images.mean_latency, "ps",
             "of all images that have ended");
    add_percentiles(list, "chip.images.latency", images.latency);
    list.add("chip.images.most_latency", std::uint64_t{images.most_latency}, "ps",
             "of the slowest image");
    if (images.count > 1)
    {
        list.add("chip.images.interval", images.interval, "ps",
                 "from one image to the next in the long run");
    }
    if (images.served > 0)
    {
        list.add("chip.images.served", images.served, "1/s", "images that ended a second");
    }
    if (images.timed)
    {
        add_time(list, "waiting", images.waiting, "from an image's arrival to its first start");
        add_time(list, "service", images.service, "from an image's first start to its last end");
    }
}

void add_unit(List& list, const UnitSummary& unit)
{
    // A unit's name is hierarchical by itself: "t5.m3".
    const std::string prefix = "chip." + unit.name + ".";
    list.add(prefix + "operations", unit.operations, "", "operations done");
    if (unit.kind == trace::UnitKind::macro)
    {
        list.add(prefix + "vectors", unit.vectors, "", "MVM input vectors");
    }
    for (unsigned i = 0; i < kStages; ++i)
    {
        const auto stage = static_cast<Stage>(i);
        if (unit.time[i] != 0)
        {
            list.add(prefix + "time." + name_of(stage), std::uint64_t{unit.time[i]}, "ps",
                     is_work(stage)            ? "time at work in this stage"
                     : stage == Stage::no_work ? "time with no operation left"
                                               : "time spent waiting for this");
        }
    }
}

void add_layer(List& list, const std::string& prefix, const LayerSummary& layer, Tick span)
{
    list.add(prefix + "operations", layer.operations, "", "operations done");
    list.add(prefix + "vectors", layer.vectors, "", "MVM input vectors, summed over blocks");
    list.add(prefix + "crossbars", std::uint64_t{layer.crossbars}, "", "crossbars holding weights");
    if (layer.start != kNever)
    {
        list.add(prefix + "start", std::uint64_t{layer.start}, "ps",
                 "start of the first operation that reads more than padding");
        list.add(prefix + "end", std::uint64_t{layer.end}, "ps",
                 "end of the last operation, or the cut");
    }
    list.add(prefix + "macro_time", std::uint64_t{layer.macro_time}, "ps",
             "operations on macros, from start to end, summed");
    list.add(prefix + "compute_time", std::uint64_t{layer.compute_time}, "ps",
             "time that crossbars compute, summed");
    if (layer.crossbars != 0)
    {
        list.add(prefix + "utilization", utilization_of(layer.compute_time, layer.crossbars, span),
                 "", "compute_time / (crossbars x span)");
    }
    list.add(prefix + "moved_bytes", layer.moved_bytes, "B", "moved between tiles");
    list.add(prefix + "memory_bytes", layer.memory_bytes, "B", "loaded and stored");
}

std::string value_text(const Statistic& statistic)
{
    return std::visit([](auto value) { return fmt::format("{}", value); }, statistic.value);
}

} // namespace

std::vector<Statistic> statistics(const Summary& summary)
{
    List list;
    list.add("chip.span", std::uint64_t{summary.span}, "ps", "time simulated");
    list.add("chip.complete", std::uint64_t{summary.complete ? 1U : 0U}, "",
             "1: every operation has ended; 0: the run was cut");
    if (summary.complete)
    {
        list.add("chip.makespan", std::uint64_t{summary.span}, "ps", "end of the last operation");
    }
    list.add("chip.operations", summary.operations, "", "operations done");
    list.add("chip.unfinished", summary.unfinished, "", "operations in flight at the cut");
    list.add("chip.events", summary.events, "", "events simulated");
    list.add("chip.crossbars", std::uint64_t{summary.crossbars}, "", "crossbars holding weights");
    list.add("chip.utilization", summary.utilization, "",
             "time that they compute / (crossbars x span)");
    add_images(list, summary.images);
    add_energy(list, summary.energy);
    for (const UnitSummary& unit : summary.units)
    {
        add_unit(list, unit);
    }
    for (const BufferSummary& buffer : summary.buffers)
    {
        const std::string prefix = "chip." + buffer.name + ".buffer.";
        if (buffer.capacity != ~std::uint64_t{0})
        {
            list.add(prefix + "capacity", buffer.capacity, "B", "size");
        }
        list.add(prefix + "peak", buffer.peak, "B", "most taken at once");
        list.add(prefix + "mean", buffer.mean, "B", "taken, averaged over the span");
        list.add(prefix + "waits", buffer.waits, "", "requests that were not granted at once");
    }
    Names link_names;
    for (std::size_t i = 0; i < summary.links.size(); ++i)
    {
        const LinkSummary& link = summary.links[i];
        const std::string prefix = "noc." + link_names.part(link.name, i) + ".";
        list.add(prefix + "flits", link.flits, "", "flits carried (bytes where there are none)");
        list.add(prefix + "busy", std::uint64_t{link.busy}, "ps", "time carrying");
        list.add(prefix + "stalled", std::uint64_t{link.stalled}, "ps",
                 "time in which something was there and could not go");
    }
    Names layer_names;
    for (std::size_t i = 0; i < summary.layers.size(); ++i)
    {
        add_layer(list, "layers." + layer_names.part(summary.layers[i].name, i) + ".",
                  summary.layers[i], summary.span);
    }
    return list.take();
}

std::string statistics_text(const std::vector<Statistic>& statistics)
{
    constexpr fmt::string_view kWithoutUnit = "{:<{}}  {:>{}}  # {}\n";
    constexpr fmt::string_view kWithUnit = "{:<{}}  {:>{}}  # {} ({})\n";
    std::size_t name_width = 0;
    std::size_t value_width = 0;
    for (const Statistic& statistic : statistics)
    {
        name_width = std::max(name_width, statistic.name.size());
        value_width = std::max(value_width, value_text(statistic).size());
    }
    fmt::memory_buffer text;
    for (const Statistic& statistic : statistics)
    {
        fmt::format_to(std::back_inserter(text), statistic.unit.empty() ? kWithoutUnit : kWithUnit,
                       statistic.name, name_width, value_text(statistic), value_width,
                       statistic.description, statistic.unit);
    }
    return fmt::to_string(text);
}

namespace
{

void append_quoted(std::string& out, std::string_view text)
{
    const bool plain =
        std::all_of(text.begin(), text.end(),
                    [](char c) { return c >= ' ' && c <= '~' && c != '"' && c != '\\'; });
    if (plain)
    {
        (out += '"').append(text) += '"';
        return;
    }
    out += text_of(nlohmann::json(text));
}

/// The names as a tree, which points into the statistics. A node is found by its whole prefix:
/// looking for it among its siblings would make large chips wait.
class NameTree
{
public:
    explicit NameTree(const std::vector<Statistic>& statistics)
    {
        nodes_.reserve(2 * statistics.size() + 1);
        by_prefix_.reserve(2 * statistics.size());
        nodes_.emplace_back();
        for (const Statistic& statistic : statistics)
        {
            const std::string_view name = statistic.name;
            std::size_t node = 0;
            for (std::size_t end = 0; end != std::string_view::npos;)
            {
                const std::size_t begin = node == 0 ? 0 : end + 1;
                end = name.find('.', begin);
                node = child(node, name.substr(0, end), begin);
            }
            nodes_[node].leaf = &statistic;
        }
    }
    /// As a document in memory would be printed, which takes a tenth of the time of a short run.
    void append_json(std::string& out, std::size_t node = 0, std::size_t indent = 0) const
    {
        const Statistic* const leaf = nodes_[node].leaf;
        out += '{';
        bool first = true;
        const auto member = [&](std::string_view name) -> std::string&
        {
            out += first ? "\n" : ",\n";
            first = false;
            out.append(indent + 2, ' ');
            append_quoted(out, name);
            return out += ": ";
        };
        if (leaf != nullptr)
        {
            member("value") += std::visit(
                [](auto value)
                {
                    if constexpr (std::is_integral_v<decltype(value)>)
                    {
                        return std::to_string(value);
                    }
                    else
                    {
                        return nlohmann::json(value).dump();
                    }
                },
                leaf->value);
            append_quoted(member("unit"), leaf->unit);
            append_quoted(member("description"), leaf->description);
        }
        for (std::size_t its = nodes_[node].first_child; its != 0; its = nodes_[its].next)
        {
            member(nodes_[its].name);
            append_json(out, its, indent + 2);
        }
        if (!first)
        {
            out += '\n';
            out.append(indent, ' ');
        }
        out += '}';
    }

private:
    struct Node
    {
        std::string_view name; ///< its own part
        const Statistic* leaf = nullptr;
        std::size_t first_child = 0; ///< 0: none
        std::size_t last_child = 0;
        std::size_t next = 0; ///< sibling
    };
    std::size_t child(std::size_t node, std::string_view prefix, std::size_t name_begin)
    {
        const auto [found, added] = by_prefix_.try_emplace(prefix, nodes_.size());
        if (added)
        {
            Node& parent = nodes_[node];
            (parent.last_child == 0 ? parent.first_child : nodes_[parent.last_child].next) =
                nodes_.size();
            parent.last_child = nodes_.size();
            nodes_.emplace_back().name = prefix.substr(name_begin);
        }
        return found->second;
    }

    std::vector<Node> nodes_;
    tsl::robin_map<std::string_view, std::size_t> by_prefix_;
};

} // namespace

std::string statistics_json(const std::vector<Statistic>& statistics)
{
    constexpr std::size_t kUsual = 200; // bytes of one
    std::string text;
    text.reserve(kUsual * statistics.size());
    NameTree(statistics).append_json(text);
    text += '\n';
    return text;
}

} // namespace tessera::record
