// SPDX-License-Identifier: Apache-2.0
#include "chip/deadlock.h"

#include "chip/chip.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace tessera::chip
{
namespace
{

using Json = nlohmann::ordered_json;

/// One reason why an operation cannot go on: it waits for operation `on`.
struct Edge
{
    const char* kind = ""; ///< input, after, unit, space, queue
    OpId on;
    std::optional<NodeId> buffer;
    OpId datum;
};

/// The wait-for graph at the moment at which nothing moves. Its nodes are the operations that have
/// not ended; operations in flight there are none.
class WaitGraph
{
public:
    enum class Trace : std::uint8_t
    {
        to_its_end, ///< who would have used what is known; the trace is used up
        heads_only
    };
    WaitGraph(Chip& chip, Trace trace) : chip_(chip) { read(trace); }

    [[nodiscard]] std::vector<Edge> edges(OpId operation) const;
    [[nodiscard]] std::vector<std::pair<OpId, Edge>> cycle() const;
    [[nodiscard]] const std::string& unit_name(OpId operation) const
    {
        return chip_.units()[unit_of_.at(operation.value()).index()]->place().name;
    }

private:
    /// Operations beyond this are not looked at: the message names what it found until then.
    static constexpr std::uint64_t kMaxRead = 4'000'000;

    void read(Trace trace);
    void note(const trace::Operation& operation, UnitId unit);
    void head_edges(const IssueUnit& unit, std::vector<Edge>& edges) const;
    void space_edges(UnitId unit, std::vector<Edge>& edges) const;

    Chip& chip_;
    std::map<std::uint64_t, UnitId> unit_of_;
    /// (operation, node) -> the operations still to read that datum
    std::map<std::pair<std::uint64_t, std::uint32_t>, std::vector<OpId>> readers_;
    std::map<std::uint32_t, std::vector<OpId>> data_in_; ///< by node
};

void WaitGraph::note(const trace::Operation& operation, UnitId unit)
{
    unit_of_[operation.id.value()] = unit;
    const NodeId node = chip_.units()[unit.index()]->place().node;
    for (const OpId operand : operation.in)
    {
        readers_[{operand.value(), node.value()}].push_back(operation.id);
    }
}

void WaitGraph::read(Trace trace)
{
    std::uint64_t read = 0;
    trace::Operation operation;
    for (const IssueUnit* const unit : chip_.units())
    {
        const UnitId id = unit->place().id;
        if (unit->head() == nullptr)
        {
            continue;
        }
        note(*unit->head(), id);
        while (trace == Trace::to_its_end && read++ < kMaxRead &&
               chip_.sequencer().next(id, operation))
        {
            note(operation, id);
        }
    }
    chip_.sequencer().data().for_each(
        [&](OpId id, NodeId node, const DataTable::Datum& datum)
        {
            if (datum.footprint != 0)
            {
                data_in_[node.value()].push_back(id);
            }
        });
    for (auto& [node, data] : data_in_)
    {
        std::sort(data.begin(), data.end());
    }
}

std::vector<Edge> WaitGraph::edges(OpId operation) const
{
    std::vector<Edge> edges;
    const auto found = unit_of_.find(operation.value());
    if (found == unit_of_.end())
    {
        return edges;
    }
    const IssueUnit& unit = *chip_.units()[found->second.index()];
    if (unit.head()->id != operation)
    {
        edges.push_back({"unit", unit.head()->id, std::nullopt, OpId::none()});
        return edges;
    }
    head_edges(unit, edges);
    return edges;
}

void WaitGraph::head_edges(const IssueUnit& unit, std::vector<Edge>& edges) const
{
    if (unit.head_asked())
    {
        space_edges(unit.place().id, edges);
        return;
    }
    const DataTable& data = std::as_const(chip_.sequencer()).data();
    for (const OpId operand : unit.head()->in)
    {
        const DataTable::Datum* const datum = data.find(operand, unit.place().node);
        if (datum == nullptr || !datum->available)
        {
            edges.push_back({"input", operand, std::nullopt, OpId::none()});
        }
    }
    for (const OpId earlier : unit.head()->after)
    {
        if (!data.ended(earlier))
        {
            edges.push_back({"after", earlier, std::nullopt, OpId::none()});
        }
    }
}

void WaitGraph::space_edges(UnitId unit, std::vector<Edge>& edges) const
{
    const SpaceRequest& request = chip_.space().request(unit);
    for (const NodeId node : request.tiles)
    {
        const Buffer& buffer = chip_.buffers()[node.index()];
        const UnitId first = buffer.queue().front();
        if (first != unit)
        {
            const auto place = std::find(buffer.queue().begin(), buffer.queue().end(), unit);
            const UnitId ahead = *std::prev(place);
            edges.push_back(
                {"queue", chip_.units()[ahead.index()]->head()->id, node, OpId::none()});
        }
        else if (!buffer.fits(request.bytes))
        {
            const auto data = data_in_.find(node.value());
            for (const OpId datum : data == data_in_.end() ? std::vector<OpId>{} : data->second)
            {
                const auto readers = readers_.find({datum.value(), node.value()});
                if (readers != readers_.end())
                {
                    for (const OpId reader : readers->second)
                    {
                        edges.push_back({"space", reader, node, datum});
                    }
                }
            }
        }
    }
}

std::vector<std::pair<OpId, Edge>> WaitGraph::cycle() const
{
    enum class Mark : std::uint8_t
    {
        open,
        closed
    };
    std::map<std::uint64_t, Mark> marks;
    struct Level
    {
        OpId operation;
        std::vector<Edge> edges;
        std::size_t next = 0;
    };
    std::vector<Level> path;
    for (const auto& start : unit_of_)
    {
        if (marks.count(start.first) != 0)
        {
            continue;
        }
        path.push_back({OpId(start.first), edges(OpId(start.first))});
        marks[start.first] = Mark::open;
        while (!path.empty())
        {
            Level& level = path.back();
            if (level.next == level.edges.size())
            {
                marks[level.operation.value()] = Mark::closed;
                path.pop_back();
                continue;
            }
            const OpId on = level.edges[level.next++].on;
            const auto mark = marks.find(on.value());
            if (mark == marks.end())
            {
                marks[on.value()] = Mark::open;
                path.push_back({on, edges(on)});
            }
            else if (mark->second == Mark::open)
            {
                std::vector<std::pair<OpId, Edge>> cycle;
                auto from = std::find_if(path.begin(), path.end(),
                                         [&](const Level& l) { return l.operation == on; });
                for (; from != path.end(); ++from)
                {
                    cycle.emplace_back(from->operation, from->edges[from->next - 1]);
                }
                return cycle;
            }
        }
    }
    return {};
}

Json describe(const Edge& edge, const Chip& chip, const WaitGraph& graph)
{
    Json json = {{"kind", edge.kind}, {"operation", edge.on.value()}};
    try
    {
        json["unit"] = graph.unit_name(edge.on);
    }
    catch (const std::out_of_range&)
    {
        json["unit"] = nullptr; // it has ended, or the trace does not hold it
    }
    if (edge.buffer)
    {
        json["buffer"] = chip.buffers()[edge.buffer->index()].name();
    }
    if (edge.datum.valid())
    {
        json["datum"] = edge.datum.value();
    }
    return json;
}

std::string sentence(const std::string& unit, OpId operation, const Edge& edge, const Chip& chip)
{
    const std::string kind = edge.kind;
    const std::string on = std::to_string(edge.on.value());
    std::string text = "  " + unit + ": operation " + std::to_string(operation.value());
    const std::string buffer =
        edge.buffer ? chip.buffers()[edge.buffer->index()].name() : std::string();
    if (kind == "input")
    {
        return text + " needs the result of operation " + on;
    }
    if (kind == "after")
    {
        return text + " comes after operation " + on;
    }
    if (kind == "unit")
    {
        return text + " is queued behind operation " + on;
    }
    if (kind == "queue")
    {
        return text + " asks for space in " + buffer + " behind operation " + on;
    }
    return text + " needs space in " + buffer + ", where the datum of operation " +
           std::to_string(edge.datum.value()) + " waits to be used by operation " + on;
}

Json snapshot_units(const Chip& chip, const WaitGraph& graph)
{
    Json units = Json::array();
    for (const IssueUnit* const unit : chip.units())
    {
        if (unit->head() == nullptr)
        {
            continue;
        }
        Json waits = Json::array();
        for (const Edge& edge : graph.edges(unit->head()->id))
        {
            waits.push_back(describe(edge, chip, graph));
        }
        units.push_back({{"unit", unit->place().name},
                         {"head", unit->head()->id.value()},
                         {"waits_for", std::move(waits)}});
    }
    return units;
}

Json snapshot_buffers(Chip& chip)
{
    std::map<std::uint32_t, std::map<std::uint64_t, Json>> data;
    chip.sequencer().data().for_each(
        [&](OpId id, NodeId node, const DataTable::Datum& datum)
        {
            data[node.value()][id.value()] = {{"operation", id.value()},
                                              {"bytes", datum.footprint},
                                              {"uses_left", datum.uses_left}};
        });
    Json buffers = Json::array();
    for (std::size_t tile = 0; tile < chip.buffers().size(); ++tile)
    {
        const Buffer& buffer = chip.buffers()[tile];
        const auto held = data.find(static_cast<std::uint32_t>(tile));
        if (held == data.end() && buffer.queue().empty())
        {
            continue;
        }
        Json items = Json::array();
        if (held != data.end())
        {
            for (auto& [id, item] : held->second)
            {
                items.push_back(std::move(item));
            }
        }
        Json queue = Json::array();
        for (const UnitId unit : buffer.queue())
        {
            queue.push_back(chip.units()[unit.index()]->head()->id.value());
        }
        buffers.push_back({{"name", buffer.name()},
                           {"capacity", buffer.capacity()},
                           {"used", buffer.used()},
                           {"data", std::move(items)},
                           {"queue", std::move(queue)}});
    }
    return buffers;
}

} // namespace

void throw_watchdog(Chip& chip, double seconds)
{
    constexpr std::size_t shown = 8;
    const WaitGraph graph(chip, WaitGraph::Trace::heads_only);
    const Progress progress = chip.progress();
    Json in_flight = Json::array();
    std::string list;
    for (const IssueUnit* const unit : chip.units())
    {
        for (const Flight* const flight : unit->flights())
        {
            const std::uint64_t id = flight->op.id.value();
            const char* const kind = trace::name_of(flight->op.kind);
            if (in_flight.size() < shown)
            {
                list += fmt::format("\n  {}: operation {} ({}), since {} ps", unit->place().name,
                                    id, kind, flight->start);
            }
            in_flight.push_back({{"unit", unit->place().name},
                                 {"operation", id},
                                 {"kind", kind},
                                 {"start", flight->start}});
        }
    }
    if (in_flight.size() > shown)
    {
        list += fmt::format("\n  and {} more", in_flight.size() - shown);
    }
    const std::string message = fmt::format(
        "watchdog: no operation has ended for {:g} s of wall time; at {} ps, with {} of "
        "{} operations ended, these are in flight:{}",
        seconds, progress.now, progress.operations, progress.total, list.empty() ? " none" : list);
    throw WatchdogError(message, {{"time_ps", progress.now},
                                  {"in_flight", std::move(in_flight)},
                                  {"units", snapshot_units(chip, graph)},
                                  {"buffers", snapshot_buffers(chip)}});
}

void throw_deadlock(Chip& chip)
{
    const WaitGraph graph(chip, WaitGraph::Trace::to_its_end);
    const Progress progress = chip.progress();
    std::string message = "deadlock at " + std::to_string(progress.now) +
                          " ps: " + std::to_string(progress.total - progress.operations) +
                          " operations are left and none can start";
    Json cycle = Json::array();
    for (const auto& [operation, edge] : graph.cycle())
    {
        message += "\n" + sentence(graph.unit_name(operation), operation, edge, chip);
        cycle.push_back({{"unit", graph.unit_name(operation)},
                         {"operation", operation.value()},
                         {"waits_for", describe(edge, chip, graph)}});
    }
    if (cycle.empty())
    {
        message +=
            "; no cycle of waits was found, so the trace is at fault: something waited for is "
            "never made, or data are never used up (see trace check)";
    }
    Json report = {{"time_ps", progress.now},
                   {"cycle", std::move(cycle)},
                   {"units", snapshot_units(chip, graph)},
                   {"buffers", snapshot_buffers(chip)}};
    throw DeadlockError(message, std::move(report));
}

} // namespace tessera::chip
