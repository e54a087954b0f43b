// SPDX-License-Identifier: Apache-2.0
#include "record/inspect.h"

#include "record/names.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string>

namespace tessera::record
{
namespace
{

constexpr const char* kLayers = "Layers";
constexpr const char* kUnits = "Busiest units";

double ratio(Tick part, Tick whole)
{
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

Tick busy_time(const UnitSummary& unit)
{
    Tick time = 0;
    for (unsigned stage = 0; stage < kStages; ++stage)
    {
        time += is_work(static_cast<Stage>(stage)) ? unit.time[stage] : 0;
    }
    return time;
}

/// Indices of the `top` entries with the largest values; equals in order.
template <class Entry, class Value>
std::vector<std::size_t> largest(const std::vector<Entry>& entries, std::size_t top, Value value)
{
    std::vector<std::size_t> order(entries.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b)
                     { return value(entries[a]) > value(entries[b]); });
    order.resize(std::min(top, order.size()));
    return order;
}

/// Says how many rows are left out, if any.
std::string note_of(std::size_t shown, std::size_t all)
{
    return shown == all ? "" : std::to_string(shown) + " of " + std::to_string(all);
}

Cell name_cell(const std::string& name)
{
    return name == "-" ? Cell() : Cell(name);
}

/// Empties the cells of the columns that `unknown` tells.
template <class Unknown> void leave_empty(Table& table, const Unknown& unknown)
{
    for (std::vector<Cell>& row : table.rows)
    {
        for (std::size_t c = 0; c < row.size(); ++c)
        {
            if (unknown(table.columns[c]))
            {
                row[c] = {};
            }
        }
    }
}

/// Whether totals were added up again from operations, which do not say what was placed where.
bool is_rebuilt(const ResultHeader& header)
{
    return header.recovered && !header.summary.complete && header.summary.crossbars == 0;
}

/// Whether a file holds the figures of a column of the overview. Operations that were added up
/// again do not say what was placed, moved or, below the level of stages, how units spent their
/// time.
bool knows(const ResultReader& reader, const Table& table, const Column& column)
{
    const ResultHeader& header = reader.header();
    if (column.kind == ColumnKind::text || (has_totals(header) && !is_rebuilt(header)))
    {
        return true;
    }
    if (!has_totals(header))
    {
        return false;
    }
    const bool stages = header.level >= ActivityLevel::stage;
    return table.title == kLayers  ? column.name == "operations" || column.kind == ColumnKind::time
           : table.title == kUnits ? column.name == "operations" || stages
                                   : false;
}

} // namespace

Table summary_table(const ResultReader& reader)
{
    const ResultHeader& header = reader.header();
    const Summary& summary = header.summary;
    Table table{"Summary", {text("figure"), {"value", ColumnKind::mixed}, text("unit")}, {}, ""};
    const auto add = [&](const std::string& name, Cell value, Cell unit = std::string()) {
        table.rows.push_back({name, std::move(value), std::move(unit)});
    };
    const bool known = has_totals(header);
    const bool placed = known && !is_rebuilt(header);
    const auto add_total = [&](const std::string& name, Cell value, Cell unit = std::string())
    { add(name, known ? std::move(value) : Cell(), std::move(unit)); };
    constexpr UnitCell of_time{"ns", "ps"};
    add("complete", summary.complete);
    if (!summary.complete && summary.span != 0)
    {
        add(header.cut ? "cut at its limit" : "interrupted", TimeCell{summary.span}, of_time);
    }
    add("activity level", std::string(name_of(header.level)));
    const std::string span = summary.complete ? "makespan" : "span";
    add_total(span, TimeCell{summary.span}, of_time);
    add_total(span + " in cycles", header.reference_clock.edge_at_or_after(summary.span),
              std::string("cycles of the reference clock"));
    add_total("operations", summary.operations);
    if (!summary.complete)
    {
        add("operations in flight", placed ? Cell(summary.unfinished) : Cell());
    }
    add("recorded operations", reader.count<OpRecord>());
    add("crossbars", placed ? Cell(std::uint64_t{summary.crossbars}) : Cell());
    add("utilization", placed ? Cell(ShareCell{summary.utilization}) : Cell(), UnitCell{"%", ""});
    add_total("images arrived", std::uint64_t{summary.images.arrived});
    add_total("images ended", std::uint64_t{summary.images.count});
    if (summary.images.offered > 0)
    {
        add_total("images offered", summary.images.offered, std::string("1/s"));
    }
    if (summary.images.served > 0)
    {
        add_total("images served", summary.images.served, std::string("1/s"));
    }
    add("units", std::uint64_t{summary.units.size()});
    add("layers", std::uint64_t{summary.layers.size()});
    return table;
}

Table layer_table(const Summary& summary)
{
    Table table{kLayers,
                {text("layer"), text("kind"), number("crossbars"), number("operations"),
                 number("vectors"), time("start"), time("end"), share("utilization"),
                 number("moved_bytes"), number("memory_bytes")},
                {},
                ""};
    for (const LayerSummary& layer : summary.layers)
    {
        const bool ran = layer.start != kNever;
        table.rows.push_back(
            {layer.name, layer.kind, std::uint64_t{layer.crossbars}, layer.operations,
             layer.vectors, ran ? Cell(TimeCell{layer.start}) : Cell(),
             ran ? Cell(TimeCell{layer.end}) : Cell(),
             layer.crossbars != 0 && summary.span != 0
                 ? Cell(
                       ShareCell{utilization_of(layer.compute_time, layer.crossbars, summary.span)})
                 : Cell(),
             layer.moved_bytes, layer.memory_bytes});
    }
    return table;
}

Table unit_table(const Summary& summary, std::size_t top)
{
    Table table{
        kUnits,
        {text("unit"), text("kind"), number("operations"), time("busy"), share("busy_share")},
        {},
        ""};
    for (unsigned stage = 0; stage < kStages; ++stage)
    {
        if (!is_work(static_cast<Stage>(stage)))
        {
            table.columns.push_back(share(name_of(static_cast<Stage>(stage))));
        }
    }
    for (const std::size_t i : largest(summary.units, top, busy_time))
    {
        const UnitSummary& unit = summary.units[i];
        std::vector<Cell> row = {unit.name, std::string(name_of(unit.kind)), unit.operations,
                                 TimeCell{busy_time(unit)},
                                 ShareCell{ratio(busy_time(unit), summary.span)}};
        for (unsigned stage = 0; stage < kStages; ++stage)
        {
            if (!is_work(static_cast<Stage>(stage)))
            {
                row.emplace_back(ShareCell{ratio(unit.time[stage], summary.span)});
            }
        }
        table.rows.push_back(std::move(row));
    }
    table.note = note_of(table.rows.size(), summary.units.size());
    return table;
}

Table image_times_table(const ImageSummary& images)
{
    Table table{"Images",
                {text("time"), time("mean"), time("p50"), time("p95"), time("p99"), time("most")},
                {},
                ""};
    const auto add =
        [&](const char* name, double mean, const Percentiles& percentiles, const Tick most)
    {
        table.rows.push_back({std::string(name), TimeCell{static_cast<Tick>(mean + 0.5)},
                              TimeCell{percentiles.p50}, TimeCell{percentiles.p95},
                              TimeCell{percentiles.p99}, TimeCell{most}});
    };
    if (images.count != 0)
    {
        add("latency", images.mean_latency, images.latency, images.most_latency);
    }
    if (images.count != 0 && images.timed)
    {
        add("waiting", images.waiting.mean, images.waiting.percentiles, images.waiting.most);
        add("service", images.service.mean, images.service.percentiles, images.service.most);
    }
    table.note = note_of(images.count, images.arrived);
    return table;
}

Table image_table(const ResultReader& reader, std::size_t top)
{
    const auto latency = [](const ImageRecord& image)
    {
        const Tick from = image.arrival != kNever ? image.arrival : image.start;
        return image.end == kNever ? kNever : image.end - from;
    };
    const std::vector<ImageRecord> images =
        reader.read<ImageRecord>(0, reader.count<ImageRecord>());
    Table table{"Slowest images",
                {number("image"), time("arrival"), time("start"), time("end"), time("waiting"),
                 time("service"), time("latency")},
                {},
                ""};
    const auto if_known = [](bool known, Tick ps) { return known ? Cell(TimeCell{ps}) : Cell(); };
    for (const std::size_t i : largest(images, top, latency))
    {
        const ImageRecord& image = images[i];
        const bool arrived = image.arrival != kNever;
        const bool started = image.start != kNever;
        const bool ended = image.end != kNever;
        table.rows.push_back({std::uint64_t{image.image}, if_known(arrived, image.arrival),
                              if_known(started, image.start), if_known(ended, image.end),
                              if_known(arrived && started, image.start - image.arrival),
                              if_known(ended, image.end - image.start),
                              if_known(ended, latency(image))});
    }
    table.note = note_of(table.rows.size(), images.size());
    return table;
}

Table link_table(const Summary& summary, std::size_t top)
{
    Table table{"Busiest links",
                {text("link"), number("flits"), time("busy"), share("busy_share"), time("stalled")},
                {},
                ""};
    for (const std::size_t i :
         largest(summary.links, top, [](const LinkSummary& link) { return link.busy; }))
    {
        const LinkSummary& link = summary.links[i];
        table.rows.push_back({link.name, link.flits, TimeCell{link.busy},
                              ShareCell{ratio(link.busy, summary.span)}, TimeCell{link.stalled}});
    }
    table.note = note_of(table.rows.size(), summary.links.size());
    return table;
}

Table buffer_table(const Summary& summary)
{
    Table table{
        "Buffers in use, in bytes",
        {text("buffer"), number("capacity"), number("peak"), number("mean"), number("waits")},
        {},
        ""};
    for (const BufferSummary& buffer : summary.buffers)
    {
        if (buffer.peak != 0 || buffer.waits != 0)
        {
            table.rows.push_back(
                {buffer.name, buffer.capacity == ~std::uint64_t{0} ? Cell() : Cell(buffer.capacity),
                 buffer.peak, buffer.mean, buffer.waits});
        }
    }
    table.note = note_of(table.rows.size(), summary.buffers.size());
    return table;
}

Table path_table(const std::string& title, const std::vector<PathPart>& parts, std::size_t top)
{
    Tick whole = 0;
    bool has_what = false;
    bool has_layer = false;
    for (const PathPart& part : parts)
    {
        whole += part.time;
        has_what = has_what || !part.what.empty();
        has_layer = has_layer || !part.layer.empty();
    }
    Table table{title, {}, {}, ""};
    if (has_what || !has_layer)
    {
        table.columns.push_back(text("what"));
    }
    if (has_layer)
    {
        table.columns.push_back(text("layer"));
    }
    const std::size_t names = table.columns.size();
    table.columns.insert(table.columns.end(), {time("time"), share("share"), number("count")});
    const auto add = [&](std::vector<Cell> row, Tick time, std::uint64_t count)
    {
        row.emplace_back(TimeCell{time});
        row.emplace_back(ShareCell{ratio(time, whole)});
        row.emplace_back(count);
        table.rows.push_back(std::move(row));
    };
    PathPart other;
    for (std::size_t i = 0; i < parts.size(); ++i)
    {
        if (i >= top)
        {
            other.time += parts[i].time;
            other.count += parts[i].count;
            continue;
        }
        std::vector<Cell> row;
        if (has_what || !has_layer)
        {
            row.emplace_back(parts[i].what);
        }
        if (has_layer)
        {
            row.push_back(name_cell(parts[i].layer));
        }
        add(std::move(row), parts[i].time, parts[i].count);
    }
    if (other.count != 0)
    {
        std::vector<Cell> row(names);
        row[0] = std::string("other");
        add(std::move(row), other.time, other.count);
    }
    return table;
}

Table change_table(const std::string& title, const std::vector<PathChange>& changes)
{
    Table table{title,
                {text("what"), text("layer"), time("other"), time("this"), time("difference")},
                {},
                ""};
    for (const PathChange& change : changes)
    {
        table.rows.push_back({change.what, name_cell(change.layer), TimeCell{change.before},
                              TimeCell{change.after}, TimeChangeCell{change.difference()}});
    }
    return table;
}

Table chain_table(const ResultReader& reader, const Chain& chain)
{
    const std::uint64_t left_out = chain.length - chain.records.size();
    Table table{"What let it start",
                {number("operation"), text("kind"), text("unit"), text("layer"), number("image"),
                 time("ready"), time("start"), time("end"), text("finished"), time("waited"),
                 text("cause"), number("because"), text("reads")},
                {},
                note_of(chain.records.size(), chain.length) +
                    (left_out == 0 ? "" : ", " + std::to_string(left_out) + " left out")};
    for (const OpRecord& record : chain.records)
    {
        const bool caused = record.because != ~std::uint64_t{0};
        table.rows.push_back(
            {record.id, std::string(trace::name_of(static_cast<trace::OpKind>(record.kind))),
             reader.unit_name(record.unit), name_cell(reader.layer_name(record.layer)),
             std::uint64_t{record.image}, TimeCell{record.ready}, TimeCell{record.start},
             TimeCell{record.end}, record.unfinished == 0, TimeCell{record.wait},
             std::string(name_of(static_cast<Cause>(record.cause))),
             caused ? Cell(record.because) : Cell(),
             record.padding != 0 ? Cell(std::string("padding")) : Cell()});
    }
    return table;
}

void validate(const ResultReader& reader)
{
    const ResultHeader& header = reader.header();
    const Summary& summary = header.summary;
    constexpr double rounding = 1e-9;
    if (summary.utilization < 0 || summary.utilization > 1 + rounding)
    {
        reader.fail("/@utilization", "is not between 0 and 1");
    }
    std::uint64_t macros = 0;
    for (const UnitSummary& unit : summary.units)
    {
        macros += unit.kind == trace::UnitKind::macro ? 1 : 0;
        Tick time = 0;
        for (const Tick part : unit.time)
        {
            if (part > summary.span || time + part > summary.span)
            {
                reader.fail("/units", unit.name + " spent more time than the run took");
            }
            time += part;
        }
    }
    if (summary.crossbars > macros)
    {
        reader.fail("/@crossbars", "is " + std::to_string(summary.crossbars) + ", and there are " +
                                       std::to_string(macros) + " macros");
    }
    if (header.closed && header.level >= ActivityLevel::unit &&
        summary.operations + summary.unfinished != reader.count<OpRecord>())
    {
        reader.fail("/@operations", "is " + std::to_string(summary.operations) + " and " +
                                        std::to_string(summary.unfinished) +
                                        " are unfinished, and /ops has " +
                                        std::to_string(reader.count<OpRecord>()) + " records");
    }
    std::optional<std::uint32_t> before;
    reader.for_each<ImageRecord>(
        [&](const ImageRecord& image)
        {
            const std::string where = "/images, image " + std::to_string(image.image);
            if (before && *before >= image.image)
            {
                reader.fail(where, "comes after image " + std::to_string(*before));
            }
            if (header.closed && image.end != kNever && image.end > summary.span)
            {
                reader.fail(where, "ends after the run");
            }
            before = image.image;
        });
    for (const LayerSummary& layer : summary.layers)
    {
        if (layer.start != kNever && (layer.start > layer.end || layer.end > summary.span))
        {
            reader.fail("/layers", layer.name + " has impossible times");
        }
    }
}

std::string network_of(const ResultReader& reader)
{
    const nlohmann::json header =
        nlohmann::json::parse(reader.header().trace_header, nullptr, false);
    const nlohmann::json::json_pointer name("/network/name");
    return header.is_object() && header.contains(name) && header[name].is_string()
               ? header[name].get<std::string>()
               : "";
}

std::vector<Table> overview(const ResultReader& reader, std::size_t top)
{
    const Summary& summary = reader.header().summary;
    std::vector<Table> tables = {summary_table(reader), layer_table(summary),
                                 unit_table(summary, top), link_table(summary, top),
                                 buffer_table(summary)};
    for (auto table = tables.begin() + 1; table != tables.end(); ++table)
    {
        leave_empty(*table, [&](const Column& column) { return !knows(reader, *table, column); });
    }
    if (summary.images.arrived > 1 || summary.images.timed)
    {
        tables.insert(tables.begin() + 1, image_times_table(summary.images));
    }
    if (reader.count<OpRecord>() != 0)
    {
        const CriticalPath path = critical_path(reader);
        const std::string title = "Where the span went";
        tables.push_back(path_table(title + ", by cause", by_cause(path.parts), top));
        tables.push_back(path_table(title + ", by layer", by_layer(path.parts), top));
        tables.push_back(path_table(title + ", by cause and layer", path.parts, top));
    }
    return tables;
}

} // namespace tessera::record
