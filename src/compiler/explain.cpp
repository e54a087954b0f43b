// SPDX-License-Identifier: Apache-2.0
#include "compiler/explain.h"

#include "base/reporter.h"
#include "compiler/buffers.h"
#include "compiler/live.h"
#include "compiler/plan.h"
#include "compiler/report.h"
#include "compiler/set_order.h"
#include "compiler/timetable.h"
#include "tessera/error.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>

namespace tessera::compiler
{
namespace
{

using Json = nlohmann::ordered_json;

bool computed(const Graph& graph, LayerId id)
{
    return graph.role(id) == Role::crossbar || graph.role(id) == Role::vector;
}

std::vector<Task> dependencies(const Plan& plan, const Task& task)
{
    std::vector<Task> read;
    append_dependencies(plan, task, read);
    const auto key = [](const Task& a) { return std::pair(a.layer, a.index); };
    std::sort(read.begin(), read.end(),
              [&](const Task& a, const Task& b) { return key(a) < key(b); });
    read.erase(std::unique(read.begin(), read.end(),
                           [&](const Task& a, const Task& b) { return key(a) == key(b); }),
               read.end());
    return read;
}

/// Tiles whose macros or vector unit read operands of a task.
std::set<NodeId> readers_of(const Plan& plan, const Task& task)
{
    const LayerPlan& layer = plan[task.layer];
    std::set<NodeId> tiles;
    const std::uint32_t copy = layer.grid.copy_of(task.index);
    const std::size_t blocks = layer.blocks.size() / layer.grid.copies();
    for (std::size_t b = copy * blocks; b < (copy + 1) * blocks; ++b)
    {
        tiles.insert(layer.blocks[b].slot.tile);
    }
    for (std::size_t group = 0; layer.blocks.empty() && group < layer.grid.groups.size(); ++group)
    {
        tiles.insert(layer.grid.groups[group].tiles[copy]);
    }
    return tiles;
}

/// When the second operand of a product is written.
Json writes_json(const Plan& plan, const Timetable& timetable, LayerId id)
{
    Json portions = Json::array();
    for (std::uint32_t index = 0; index < plan[id].portions.size(); ++index)
    {
        const Portion& portion = plan[id].portions[index];
        const Slice& slice = timetable[{id, index, 0, true}];
        portions.push_back(
            {{"rows", {portion.begin, portion.end}}, {"start", slice.start}, {"end", slice.end}});
    }
    return portions;
}

/// Layers that are on the chip at the same time have weights in one macro (PlanOptions::pack).
bool layers_share_macros(const Plan& plan)
{
    std::map<std::pair<NodeId, std::uint32_t>, std::pair<std::uint32_t, LayerId>> held;
    for (std::uint32_t i = 0; i < plan.graph().size(); ++i)
    {
        const LayerPlan& its = plan[LayerId(i)];
        for (const PlacedBlock& block : its.blocks)
        {
            const std::pair holds{its.segment, LayerId(i)};
            const auto [known, fresh] = held.insert({{block.slot.tile, block.slot.macro}, holds});
            if (!fresh && known->second.first == its.segment && known->second.second != LayerId(i))
            {
                return true;
            }
            known->second = holds;
        }
    }
    return false;
}

Json box_json(const Volume& volume)
{
    return volume.box().bounds;
}

/// What becomes of data that find no room, or how much is missing.
Json buffers_json(const network::Network& network, const config::ChipConfig& chip,
                  const Options& options)
{
    try
    {
        const auto its = compile_and_plan(network, chip, options).buffers;
        if (!its)
        {
            return {};
        }
        Json refuges = Json::array();
        for (const MappingReport::Buffers::Refuge& refuge : its->refuges)
        {
            refuges.push_back({{"from", refuge.from},
                               {"to", refuge.to},
                               {"at", refuge.at},
                               {"bytes", refuge.bytes}});
        }
        return {{"held_back", its->held_back},
                {"unbounded", its->unbounded},
                {"bounded", its->bounded},
                {"refuges", std::move(refuges)}};
    }
    catch (const InputError& error)
    {
        return {{"problem", error.what()}};
    }
}

std::string buffers_text(const Json& buffers)
{
    if (buffers.contains("problem"))
    {
        return fmt::format("\nbuffers: {}\n", buffers["problem"].get<std::string>());
    }
    std::string text = fmt::format(
        "\nbuffers: {} ps, unlimited {} ps{}\n", buffers["bounded"].get<Tick>(),
        buffers["unbounded"].get<Tick>(),
        buffers["held_back"].get<bool>() ? "; producers are held back until data are needed" : "");
    for (const Json& refuge : buffers["refuges"])
    {
        const std::string at = refuge["at"];
        text += fmt::format("  {} waits for {} in {}: {} bytes an image are {}\n",
                            refuge["from"].get<std::string>(), refuge["to"].get<std::string>(), at,
                            refuge["bytes"].get<std::uint64_t>(),
                            at == "memory" ? "stored and loaded" : "sent once more");
    }
    return text;
}

/// What the planned times leave out.
std::string left_out(const Json& plan)
{
    std::string text;
    if (plan["shared"].get<bool>())
    {
        text = "; layers in one crossbar wait for each other, which is left out here";
    }
    const Json& buffers = plan.value("buffers", Json());
    if (buffers.contains("held_back") && buffers["held_back"].get<bool>())
    {
        text += fmt::format("; producers that full buffers hold back are not: with them {} ps",
                            buffers["bounded"].get<Tick>());
    }
    return text;
}

} // namespace

Json explain(const network::Network& network, const config::ChipConfig& chip,
             const Options& options, const std::string& layer)
{
    const Graph graph(network, chip);
    const Schedule& policy = schedule(options.schedule);
    auto [choices, plans] = decide(graph, chip, options);
    Plan plan(graph, chip, policy, choices.plan);
    std::optional<Pipeline> pipeline;
    std::string problem;
    try
    {
        Reporter reporter(options.monitor);
        const BufferPlan buffers(plan, options.images, &reporter);
        pipeline = plan.stages().empty() ? Pipeline{} : buffers.pipeline(0);
    }
    catch (const InputError& error)
    {
        problem = error.what(); // the sets that would run if buffers had room
        for (std::size_t stage = 0; stage < plan.stages().size(); ++stage)
        {
            plan.set_level(stage, 0);
        }
    }
    const Timetable timetable(plan);
    Json result{{"network", network.name},
                {"chip", chip.name},
                {"schedule", options.schedule},
                {"makespan", timetable.makespan()}};
    result["images"] = options.images;
    result["shared"] = layers_share_macros(plan);
    if (!policy.as_soon_as_possible() && options.images > 1 && plan.segments() == 1)
    {
        const Tick interval = timetable.makespan();
        result["pipeline"] = {{"images", options.images},
                              {"in_flight", 1},
                              {"interval", interval},
                              {"least_interval", interval},
                              {"most_latency", interval}};
    }
    if (policy.as_soon_as_possible() && options.images > 1)
    {
        const Pipeline its_pipeline =
            pipeline ? *pipeline : keeping_busy(plan, options.images).pipeline;
        const Timetable of_all(plan, its_pipeline);
        const ImageSummary its = summary_of(of_all.images(0));
        result["pipeline"] = {{"images", its_pipeline.images},
                              {"in_flight", its_pipeline.in_flight},
                              {"interval", its.interval},
                              {"least_interval", of_all.busiest(0)},
                              {"most_latency", its.most_latency}};
    }
    result["attention"] = attention_json(attention(plan));
    result["divided"] = divided_json(divided_sets(plan));
    result["plans"] = plans;
    result["layers"] = Json::array();
    // Which tiles read each task; several: it is halo (or read by several layers' tiles).
    std::vector<std::map<std::uint32_t, std::set<NodeId>>> readers(graph.size());
    bool found = layer.empty();
    for (std::uint32_t i = 0; i < graph.size(); ++i)
    {
        const LayerId id(i);
        if (!computed(graph, id))
        {
            continue;
        }
        const Grid& grid = plan[id].grid;
        Tick start = kNever;
        Tick end = 0;
        std::uint64_t edges = 0;
        Json sets = Json::array();
        const bool wanted = network[id].name == layer;
        found = found || wanted;
        for (std::uint32_t index = 0; index < grid.tasks(); ++index)
        {
            const Task task{id, index};
            const std::vector<Task> reads = dependencies(plan, task);
            const std::set<NodeId> tiles = readers_of(plan, task);
            start = std::min(start, timetable[task].start);
            end = std::max(end, timetable[task].end);
            edges += reads.size();
            for (const Task& read : reads)
            {
                readers[read.layer.index()][read.index].insert(tiles.begin(), tiles.end());
            }
            if (wanted)
            {
                Json list = Json::array();
                for (const Task& read : reads)
                {
                    list.push_back({{"layer", network[read.layer].name}, {"set", read.index}});
                }
                sets.push_back({{"set", index},
                                {"ofm", box_json(grid.task(index))},
                                {"copy", grid.copy_of(index)},
                                {"tile", grid.groups.front().tiles[grid.copy_of(index)].value()},
                                {"start", timetable[task].start},
                                {"end", timetable[task].end},
                                {"reads", std::move(list)}});
            }
        }
        Json tiles = Json::array();
        for (const NodeId tile : grid.groups.front().tiles)
        {
            tiles.push_back(tile.value());
        }
        result["layers"].push_back({{"name", network[id].name},
                                    {"set", {grid.chunk, grid.segment}},
                                    {"sets", grid.tasks()},
                                    {"copies", grid.copies()},
                                    {"tiles", std::move(tiles)},
                                    {"reads", edges},
                                    {"start", start},
                                    {"end", end}});
        if (graph.dynamic(id))
        {
            result["layers"].back()["written"] = writes_json(plan, timetable, id);
        }
        if (wanted)
        {
            result["sets"] = std::move(sets);
        }
    }
    if (!found)
    {
        throw UsageError("network " + network.name + " computes no layer '" + layer +
                         "'; compile --explain without a name lists them");
    }
    for (Json& entry : result["layers"])
    {
        const auto at = std::find_if(network.layers.begin(), network.layers.end(),
                                     [&](const auto& its) { return its.name == entry["name"]; });
        const LayerId id(static_cast<std::uint32_t>(at - network.layers.begin()));
        const Grid& grid = plan[id].grid;
        std::uint64_t sent = 0;
        std::uint64_t halo = 0;
        for (const auto& [index, tiles] : readers[id.index()])
        {
            for (std::size_t group = 0; group < grid.groups.size(); ++group)
            {
                const std::size_t datum = index * grid.groups.size() + group;
                const std::size_t others = tiles.size() - tiles.count(grid.home(datum));
                sent += others == 0 ? 0 : grid.bytes(datum);
                halo += others < 2 ? 0 : (others - 1) * grid.bytes(datum);
            }
        }
        entry["bytes_sent"] = sent;
        entry["bytes_multicast"] = halo;
        if (network[id].name == layer)
        {
            for (Json& set : result["sets"])
            {
                Json tiles = Json::array();
                for (const NodeId tile : readers[id.index()][set["set"].get<std::uint32_t>()])
                {
                    tiles.push_back(tile.value());
                }
                set["read_in"] = std::move(tiles);
            }
        }
    }
    result["edges"] = Json::array();
    for (const LiveData& live : live_data(plan, timetable))
    {
        if (layer.empty() || network[live.from].name == layer || network[live.to].name == layer)
        {
            result["edges"].push_back({{"from", network[live.from].name},
                                       {"to", network[live.to].name},
                                       {"bytes", live.all},
                                       {"least", live.least},
                                       {"planned", live.planned}});
        }
    }
    if (!problem.empty())
    {
        result["buffers"] = {{"problem", problem}};
    }
    else if (policy.as_soon_as_possible() && chip.buffer.capacity != config::kUnlimited)
    {
        result["buffers"] = buffers_json(network, chip, choices);
    }
    return result;
}

std::string explain_text(const Json& plan)
{
    std::string text = fmt::format(
        "{} on {}, {}: planned makespan{} {} ps if only MVMs take time{}\n"
        "bytes sent: once, to tiles that read the layer; multicast: what more tiles than one get "
        "of them\n\n{:<28}{:>9}{:>8}{:>8}{:>10}{:>14}{:>14}{:>12}{:>12}  tiles\n",
        plan["network"].get<std::string>(), plan["chip"].get<std::string>(),
        plan["schedule"].get<std::string>(),
        plan["images"].get<std::uint32_t>() > 1 ? " of one image" : "",
        plan["makespan"].get<Tick>(), left_out(plan), "layer", "set", "sets", "copies", "reads",
        "start [ns]", "end [ns]", "sent", "multicast");
    for (const Json& layer : plan["layers"])
    {
        text +=
            fmt::format("{:<28}{:>9}{:>8}{:>8}{:>10}{:>14}{:>14}{:>12}{:>12}  t{}\n",
                        layer["name"].get<std::string>(),
                        fmt::format("{}x{}", layer["set"][0].get<std::uint32_t>(),
                                    layer["set"][1].get<std::uint32_t>()),
                        layer["sets"].get<std::uint64_t>(), layer["copies"].get<std::uint64_t>(),
                        layer["reads"].get<std::uint64_t>(), layer["start"].get<Tick>() / 1000,
                        layer["end"].get<Tick>() / 1000, layer["bytes_sent"].get<std::uint64_t>(),
                        layer["bytes_multicast"].get<std::uint64_t>(),
                        fmt::join(layer["tiles"].get<std::vector<std::uint32_t>>(), " t"));
    }
    if (plan.contains("pipeline"))
    {
        const Json& its = plan["pipeline"];
        text += fmt::format("\n{} images, {} in flight: one every {:.0f} ps (at least {}), latency "
                            "at most {} ps\n",
                            its["images"].get<std::uint32_t>(),
                            its["in_flight"].get<std::uint32_t>(), its["interval"].get<double>(),
                            its["least_interval"].get<Tick>(), its["most_latency"].get<Tick>());
    }
    const auto computed = static_cast<std::uint32_t>(plan["layers"].size());
    const std::string sets =
        divided_text(plan["divided"], computed, plan["plans"].get<std::uint32_t>());
    text += sets.empty() ? "" : '\n' + sets;
    text +=
        fmt::format("\nbytes that wait at once for a reader: the least there is, and as planned\n"
                    "{:<28}{:<28}{:>12}{:>12}{:>12}\n",
                    "layer", "reader", "all", "least", "planned");
    for (const Json& edge : plan["edges"])
    {
        text +=
            fmt::format("{:<28}{:<28}{:>12}{:>12}{:>12}\n", edge["from"].get<std::string>(),
                        edge["to"].get<std::string>(), edge["bytes"].get<std::uint64_t>(),
                        edge["least"].get<std::uint64_t>(), edge["planned"].get<std::uint64_t>());
    }
    if (plan.contains("buffers") && !plan["buffers"].is_null())
    {
        text += buffers_text(plan["buffers"]);
    }
    const std::string products = attention_text(plan["attention"]);
    text += products.empty() ? "" : '\n' + products;
    if (plan.contains("sets"))
    {
        text += fmt::format("\n{:>6}{:>28}{:>6}{:>6}{:>14}{:>14}  {:<16}reads\n", "set", "ofm",
                            "copy", "tile", "start [ns]", "end [ns]", "read in");
        for (const Json& set : plan["sets"])
        {
            std::string reads;
            std::string before;
            for (const Json& read : set["reads"])
            {
                const std::string name = read["layer"];
                reads += (name == before ? "," : (before.empty() ? "" : " ") + name + " ") +
                         std::to_string(read["set"].get<std::uint32_t>());
                before = name;
            }
            text += fmt::format(
                "{:>6}{:>28}{:>6}{:>6}{:>14}{:>14}  {:<16}{}\n", set["set"].get<std::uint32_t>(),
                set["ofm"].dump(), set["copy"].get<std::uint32_t>(),
                fmt::format("t{}", set["tile"].get<std::uint32_t>()),
                set["start"].get<Tick>() / 1000, set["end"].get<Tick>() / 1000,
                fmt::format("t{}",
                            fmt::join(set["read_in"].get<std::vector<std::uint32_t>>(), " t")),
                reads);
        }
    }
    return text;
}

} // namespace tessera::compiler
