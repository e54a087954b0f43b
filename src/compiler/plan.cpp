// SPDX-License-Identifier: Apache-2.0
#include "compiler/plan.h"

#include "base/integer.h"
#include "compiler/mapping.h"
#include "compiler/set_order.h"
#include "config/macro_timing.h"
#include "tessera/error.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <limits>
#include <map>
#include <numeric>
#include <string>
#include <system_error>
#include <utility>

namespace tessera::compiler
{
namespace
{

using network::LayerKind;

/// Rows of a sequence (width 1) that one operation handles: single tokens would be very many
/// operations of hardly any work.
constexpr std::uint32_t kSequenceChunk = 16;

std::uint8_t ceil_log2(std::uint64_t value)
{
    std::uint8_t bits = 0;
    while ((std::uint64_t{1} << bits) < value)
    {
        ++bits;
    }
    return bits;
}

void check_widths(const Graph& graph, const config::ChipConfig& chip)
{
    const auto check = [&](std::uint32_t needed, std::uint32_t given, const char* key)
    {
        if (needed > given)
        {
            throw InputError(chip.place(key),
                             "is " + std::to_string(given) + ", but network '" +
                                 graph.network().name + "' has " + std::to_string(needed) + " bits",
                             "raise it, or quantise the network to " + std::to_string(given) +
                                 " bits");
        }
    };
    const network::Network& network = graph.network();
    check(network.activation_bits, chip.macro.input_bits, "macro.input_bits");
    check(network.weight_bits, chip.macro.weight_bits, "macro.weight_bits");
    for (std::uint32_t i = 0; i < graph.size(); ++i)
    {
        if (!graph.dynamic(LayerId(i)))
        {
            continue;
        }
        if (chip.mapping.attention == "digital")
        {
            check(network.activation_bits, chip.digital.macro.input_bits, "/digital/input_bits");
            check(network.activation_bits, chip.digital.macro.weight_bits, "/digital/weight_bits");
        }
        else
        {
            check(network.activation_bits, chip.macro.weight_bits, "/macro/weight_bits");
        }
    }
}

/// What others see of the data of a layer: where heads have groups of their own, all of them
/// together.
std::vector<Group> as_read(const std::vector<Group>& groups)
{
    if (!groups.front().narrow())
    {
        return groups;
    }
    Group all = groups.front();
    all.columns = Group::kAllColumns;
    for (const Group& group : groups)
    {
        all.channels.end = std::max(all.channels.end, group.channels.end);
    }
    return {all};
}

/// Neighbouring groups in one tile become one.
std::vector<Group> merged(const std::vector<Group>& groups)
{
    std::vector<Group> result;
    for (const Group& group : groups)
    {
        if (!result.empty() && result.back().tiles == group.tiles)
        {
            result.back().channels.end = group.channels.end;
        }
        else
        {
            result.push_back(group);
        }
    }
    return result;
}

/// The same groups where their first copy is.
std::vector<Group> first_copies(std::vector<Group> groups)
{
    for (Group& group : groups)
    {
        group.tiles.resize(1);
    }
    return groups;
}

/// Greatest part of `set` of at most `most`, at least 1, that divides it: parts do not reach over
/// its end. A set as long as the whole may end in a smaller part.
std::uint32_t part_of(std::uint32_t set, std::uint32_t whole, std::uint32_t most)
{
    std::uint32_t part = std::max(most, 1U);
    while (set < whole && set % part != 0)
    {
        --part;
    }
    return part;
}

std::optional<std::uint32_t> positive_number(const std::string& text)
{
    std::uint32_t value = 0;
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data(), end, value);
    return read.ec == std::errc() && read.ptr == end && value > 0 ? std::optional(value)
                                                                  : std::nullopt;
}

std::uint64_t macros_in(const std::vector<Berth>& berths)
{
    std::uint64_t macros = 0;
    for (const Berth& berth : berths)
    {
        macros = std::max(macros, std::uint64_t{berth.macro} + 1);
    }
    return macros;
}

/// What "4x8" says; nothing for words. Throws UsageError for anything else.
std::optional<SetShape> explicit_sets(const std::string& sets)
{
    if (sets == "row" || sets == "pixel" || sets == "auto")
    {
        return std::nullopt;
    }
    const std::size_t times = sets.find('x');
    if (times != std::string::npos)
    {
        const auto rows = positive_number(sets.substr(0, times));
        const auto columns = positive_number(sets.substr(times + 1));
        if (rows && columns)
        {
            return SetShape{*rows, *columns};
        }
    }
    throw UsageError("there are no sets '" + sets +
                     "'; use row, pixel, auto, or rows x columns such as 4x8");
}

} // namespace

std::uint32_t Grid::sets() const
{
    return static_cast<std::uint32_t>(ceil_div(shape.height, set.rows) *
                                      ceil_div(shape.width, set.columns));
}

std::uint32_t Grid::set_at(std::uint32_t row, std::uint32_t column) const
{
    return row / set.rows * static_cast<std::uint32_t>(ceil_div(shape.width, set.columns)) +
           column / set.columns;
}

std::vector<std::uint32_t> Grid::sequence() const
{
    std::vector<std::uint32_t> result(tasks());
    std::iota(result.begin(), result.end(), 0U);
    if (!rank_of_set.empty())
    {
        std::stable_sort(result.begin(), result.end(),
                         [this](std::uint32_t a, std::uint32_t b)
                         { return rank_of_set[set_of(a)] < rank_of_set[set_of(b)]; });
    }
    return result;
}

void Grid::tasks_in(const Volume& volume, std::vector<std::size_t>& tasks) const
{
    for (std::uint32_t row = volume.rows.begin / chunk; row * chunk < volume.rows.end; ++row)
    {
        for (std::uint32_t column = volume.columns.begin / segment;
             column * segment < volume.columns.end; ++column)
        {
            tasks.push_back(std::size_t{row} * segments() + column);
        }
    }
}

Volume Grid::task(std::uint32_t index) const
{
    const std::uint32_t row = index / segments() * chunk;
    const std::uint32_t column = index % segments() * segment;
    return {{row, std::min(row + chunk, shape.height)},
            {column, std::min(column + segment, shape.width)},
            {0, shape.channels}};
}

Volume Grid::datum(std::size_t index) const
{
    Volume volume = task(static_cast<std::uint32_t>(index / groups.size()));
    const Group& group = groups[group_of(index)];
    volume.channels = group.channels;
    volume.columns = volume.columns.clipped(group.columns);
    return volume;
}

std::uint64_t Grid::bytes(std::size_t index) const
{
    return (datum(index).elements() * bits + 7) / 8;
}

void Grid::overlapping(const Volume& volume, std::vector<std::size_t>& data) const
{
    if (groups.front().narrow())
    {
        std::vector<std::size_t> tasks;
        tasks_in(volume, tasks);
        for (const std::size_t task : tasks)
        {
            for (std::size_t g = 0; g < groups.size(); ++g)
            {
                if (!volume.columns.clipped(groups[g].columns).empty() &&
                    !volume.channels.clipped(groups[g].channels).empty())
                {
                    data.push_back(task * groups.size() + g);
                }
            }
        }
        return;
    }
    const auto first_group = static_cast<std::size_t>(
        std::upper_bound(groups.begin(), groups.end(), volume.channels.begin,
                         [](std::uint32_t channel, const Group& group)
                         { return channel < group.channels.end; }) -
        groups.begin());
    for (std::uint32_t row = volume.rows.begin / chunk; row * chunk < volume.rows.end; ++row)
    {
        for (std::uint32_t column = volume.columns.begin / segment;
             column * segment < volume.columns.end; ++column)
        {
            const std::size_t task = std::size_t{row} * segments() + column;
            for (std::size_t g = first_group;
                 g < groups.size() && groups[g].channels.begin < volume.channels.end; ++g)
            {
                data.push_back(task * groups.size() + g);
            }
        }
    }
}

std::uint32_t Grid::tasks_until(const Volume& volume) const
{
    return (volume.rows.end - 1) / chunk * segments() + (volume.columns.end - 1) / segment + 1;
}

Plan::Plan(const Graph& graph, const config::ChipConfig& chip, const Schedule& schedule,
           const PlanOptions& options)
    : graph_(graph),
      chip_(chip),
      schedule_(schedule),
      tiles_(options.tiles.empty() ? placement(chip).order(chip, {}) : options.tiles),
      layers_(graph.size()),
      stages_(schedule.stages(graph)),
      crossbars_(options.crossbars.value_or(config::macro_timing(chip.macro))),
      by_pixels_(options.by_pixels),
      fineness_(options.fineness)
{
    fineness_.resize(graph.size(), 0);
    check_widths(graph, chip);
    for (const NodeId tile : tiles_)
    {
        (chip.is_digital(tile.value()) ? digital_tiles_ : crossbar_tiles_).push_back(tile);
    }
    divide_into_sets(options.sets);
    order_sets(options.order);
    place_blocks(options);
    std::vector<std::vector<Group>> groups(graph.size()); // views and fused layers too
    for (std::uint32_t i = 0; i < graph.size(); ++i)
    {
        const LayerId id(i);
        const network::Layer& layer = graph.layer(id);
        Grid& grid = layers_[i].grid;
        if (graph.role(id) == Role::memory)
        {
            grid.groups = {{{0, grid.shape.channels}, {NodeId::none()}}};
        }
        else if (graph.role(id) == Role::vector)
        {
            grid.groups = vector_groups(id, groups[layer.inputs.front().index()]);
            if (grid.copies() > 1)
            {
                grid.copy_of_set = inherited_copies(id);
            }
        }
        groups[i] = graph.has_data(id) ? as_read(grid.groups) : groups_read(id, groups);
    }
    for (std::uint32_t stage = 0; stage < stages_.size(); ++stage)
    {
        for (const LayerId id : stages_[stage])
        {
            layers_[id.index()].stage = stage;
            layers_[id.index()].last_stage = stage;
        }
    }
    trace_readers();
}

/// CLSA-CIM's stage I. Inputs come by rows.
void Plan::divide_into_sets(const std::string& sets)
{
    const std::optional<SetShape> given = explicit_sets(sets);
    const bool rows = sets == "row" || (sets == "auto" && !by_pixels_);
    for (std::uint32_t i = 0; i < graph_.size(); ++i)
    {
        Grid& grid = layers_[i].grid;
        grid.shape = graph_.layer(LayerId(i)).output;
        grid.bits = static_cast<std::uint8_t>(graph_.network().activation_bits);
        grid.set = {rows_of_set(LayerId(i)), grid.shape.width};
        if (graph_.role(LayerId(i)) != Role::memory && !rows)
        {
            grid.set = given.value_or(SetShape{1, 1});
            grid.set.rows = std::min(grid.set.rows, grid.shape.height);
            grid.set.columns = std::min(grid.set.columns, grid.shape.width);
        }
        if (graph_.dynamic(LayerId(i)))
        {
            grid.set.columns = grid.shape.width; // all heads work at the same time
        }
        grid.chunk = grid.set.rows;
        grid.segment = grid.set.columns;
    }
}

void Plan::order_sets(const std::string& order)
{
    const SetOrder its(order);
    if (!its.raster() && !schedule_.as_soon_as_possible())
    {
        throw UsageError("layer by layer, the order of sets changes nothing; leave --order out, or "
                         "use --schedule xinf");
    }
    std::vector<std::vector<std::uint32_t>> ranks = its.ranks(graph_, layers_);
    for (std::size_t i = 0; i < layers_.size(); ++i)
    {
        layers_[i].grid.rank_of_set = std::move(ranks[i]);
    }
}

void Plan::place_blocks(const PlanOptions& options)
{
    Layers layers;
    Layers digital;
    for (std::uint32_t i = 0; i < graph_.size(); ++i)
    {
        const LayerId id(i);
        if (graph_.role(id) != Role::crossbar)
        {
            continue;
        }
        const network::Layer& layer = graph_.layer(id);
        const Grid& grid = layers_[i].grid;
        Mapped mapped{id,
                      weight_matrix(graph_.network(), layer),
                      cut(graph_.network(), layer, macro_of(id)),
                      {},
                      graph_.dynamic(id)};
        // One input vector of a product is a row, for all heads.
        const std::uint64_t width = mapped.dynamic ? 1 : grid.shape.width;
        const std::uint64_t of_set =
            grid.set.rows * (mapped.dynamic ? 1 : std::uint64_t{grid.set.columns});
        if (options.replicate_in_crossbar && !mapped.dynamic)
        {
            mapped.replicas = static_cast<std::uint32_t>(
                std::min<std::uint64_t>(replicas(mapped.blocks, chip_.macro), of_set));
            layers_[i].replicas = mapped.replicas;
        }
        const std::uint64_t steps = ceil_div(of_set, mapped.replicas);
        mapped.demand = {mapped.blocks.size(), grid.sets(), steps,
                         mapped.replicas == 1 ? grid.shape.height * width : grid.sets() * steps};
        if (mapped.dynamic)
        {
            divide_second_operand(id);
        }
        else
        {
            demands_.push_back(mapped.demand);
        }
        (in_digital(id) ? digital : layers).push_back(std::move(mapped));
    }
    place_crossbars(layers, options);
    place_digital(digital);
}

void Plan::place_crossbars(const Layers& layers, const PlanOptions& options)
{
    const Segment all{0, layers.size()};
    const std::optional<Share> together = share(layers, all, options);
    if (together)
    {
        extra_ = together->extra;
        place_segment(layers, all, *together, options.pack);
        return;
    }
    if (!options.time_multiplex)
    {
        const std::uint64_t held = macros_in(
            berths(layers, all, std::vector<std::uint32_t>(layers.size(), 1), options.pack));
        throw InputError(
            {chip_.name, 0, "/tiles"},
            "network '" + graph_.network().name + "' needs " + std::to_string(held) +
                " macros of " + std::to_string(chip_.macro.rows) + "x" +
                std::to_string(chip_.macro.columns) + ", the chip has " +
                std::to_string(macros_of_chip()),
            "give it more tiles or macros (" + std::to_string(held - macros_of_chip()) +
                " are missing), larger macros, or fewer kinds in mapping.on_crossbar; or let "
                "parts of the network take turns (--time-multiplex)");
    }
    const std::vector<Segment> segments = cut_network(layers, options);
    segment_count_ = static_cast<std::uint32_t>(segments.size());
    for (std::uint32_t s = 0; s < segments.size(); ++s)
    {
        for (std::size_t i = segments[s].begin; i < segments[s].end; ++i)
        {
            layers_[layers[i].id.index()].segment = s;
        }
        const Share its = share(layers, segments[s], options).value();
        extra_ = std::max(extra_, its.extra);
        place_segment(layers, segments[s], its, options.pack);
    }
    divide_stages();
}

/// Nothing: the layers do not fit on the chip together. Throws InputError when there is no room for
/// as many copies as were asked for.
std::optional<Plan::Share> Plan::share(const Layers& layers, const Segment& segment,
                                       const PlanOptions& options) const
{
    Share result;
    result.copies.assign(segment.end - segment.begin, 1);
    const std::uint64_t macros = macros_of_chip();
    result.held = macros_in(berths(layers, segment, result.copies, options.pack));
    if (result.held > macros)
    {
        return std::nullopt;
    }
    const std::uint64_t left = macros - result.held;
    result.extra = options.extra_pes.value_or(left);
    if (result.extra > left && !options.time_multiplex)
    {
        throw InputError({chip_.name, 0, "/tiles"},
                         "network '" + graph_.network().name + "' and " +
                             std::to_string(result.extra) + " crossbars for copies need " +
                             std::to_string(result.held + result.extra) + " macros, the chip has " +
                             std::to_string(macros),
                         "ask for at most " + std::to_string(left) +
                             " (--extra-pes), or give it more tiles or macros");
    }
    result.extra = std::min(result.extra, left);
    std::vector<Demand> demands;
    for (std::size_t i = segment.begin; i < segment.end; ++i)
    {
        if (!layers[i].dynamic)
        {
            demands.push_back(layers[i].demand);
        }
    }
    const std::vector<std::uint32_t> copies =
        duplication(options.duplicate).copies(demands, result.extra);
    auto next = copies.begin();
    for (std::size_t i = segment.begin; i < segment.end; ++i)
    {
        if (!layers[i].dynamic)
        {
            result.copies[i - segment.begin] = *next++;
        }
    }
    return result;
}

/// Estimate of how long a segment is on the chip: its weights come from memory and are written, all
/// macros at once; then only MVMs count, as in Timetable.
Tick Plan::time_of(const Layers& layers, const Segment& segment, const Share& share,
                   const PlanOptions& options) const
{
    const Clock& clock = chip_.macro.clock;
    const Duration interval = config::macro_timing(chip_.macro).interval;
    std::uint64_t bits = 0;
    std::uint64_t rows = 0; // of the largest block
    std::uint64_t sum = 0;  // steps, one layer after the other
    std::uint64_t most = 0;
    Tick operands = 0; // writing them, one layer after the other
    for (std::size_t i = segment.begin; i < segment.end; ++i)
    {
        const std::uint32_t copies = share.copies[i - segment.begin];
        std::uint64_t its_rows = 0;
        for (const MatrixBlock& block : layers[i].blocks)
        {
            bits += layers[i].dynamic ? 0
                                      : std::uint64_t{copies} * block.rows.size() *
                                            block.columns.size() * chip_.macro.weight_bits;
            its_rows = std::max(its_rows, std::uint64_t{block.rows.size()} * layers[i].replicas);
        }
        if (layers[i].dynamic)
        {
            operands += (its_rows * chip_.macro.program.row_time).length(clock);
        }
        else
        {
            rows = std::max(rows, its_rows);
        }
        sum += layers[i].demand.steps(copies);
        most = std::max(most, layers[i].demand.steps(copies));
    }
    Tick writing = (rows * chip_.macro.program.row_time).length(clock);
    if (chip_.memory.channels != config::kUnlimited)
    {
        const double bytes_per_second = static_cast<double>(chip_.memory.bytes_per_second) *
                                        static_cast<double>(chip_.memory.channels) *
                                        chip_.memory.ports;
        writing = std::max(
            writing, static_cast<Tick>(static_cast<double>(bits) / 8 / bytes_per_second * 1e12));
    }
    const std::uint64_t steps = schedule_.as_soon_as_possible() ? most : sum;
    return writing + options.images * ((steps * interval).length(clock) + operands);
}

std::vector<Segment> Plan::cut_network(const Layers& layers, const PlanOptions& options) const
{
    const auto cost = [&](const Segment& segment) -> std::optional<Tick>
    {
        const std::optional<Share> its = share(layers, segment, options);
        return its ? std::optional(time_of(layers, segment, *its, options)) : std::nullopt;
    };
    const auto segments = cut_into_segments(layers.size(), cost);
    if (!segments)
    {
        const auto largest = std::max_element(layers.begin(), layers.end(),
                                              [](const Mapped& a, const Mapped& b)
                                              { return a.blocks.size() < b.blocks.size(); });
        throw InputError(
            {chip_.name, 0, "/tiles"},
            "layer '" + graph_.layer(largest->id).name + "' of network '" + graph_.network().name +
                "' alone needs " + std::to_string(largest->blocks.size()) + " macros of " +
                std::to_string(chip_.macro.rows) + "x" + std::to_string(chip_.macro.columns) +
                ", the chip has " + std::to_string(macros_of_chip()),
            "give it more tiles or macros (" +
                std::to_string(largest->blocks.size() - macros_of_chip()) +
                " are missing) or larger ones: whole layers take turns");
    }
    return *segments;
}

void Plan::place_segment(const Layers& layers, const Segment& segment, const Share& share,
                         bool pack)
{
    const std::vector<Berth> where = berths(layers, segment, share.copies, pack);
    const Berth* next = where.data();
    for (std::size_t i = segment.begin; i < segment.end; ++i)
    {
        place_copies(layers[i], share.copies[i - segment.begin], next);
    }
}

/// Operands are written into digital macros in the segment that makes the last of them.
void Plan::place_digital(const Layers& layers)
{
    std::map<std::uint32_t, std::uint64_t> taken; // in a segment
    std::uint64_t most = 0;
    for (const Mapped& layer : layers)
    {
        std::uint64_t& its = taken[layers_[layer.id.index()].segment];
        its += layer.blocks.size();
        most = std::max(most, its);
    }
    const std::uint64_t macros = digital_tiles_.size() * std::uint64_t{chip_.tiles.macros};
    if (most > macros)
    {
        const std::string missing = std::to_string(most - macros) + " are missing";
        throw InputError(
            {chip_.name, 0, "/digital/tile_columns"},
            "attention of network '" + graph_.network().name + "' needs " + std::to_string(most) +
                " digital macros of " + std::to_string(chip_.digital.macro.rows) + "x" +
                std::to_string(chip_.digital.macro.columns) + ", the chip has " +
                (macros == 0 ? "none" : std::to_string(macros)),
            "give it more columns of digital tiles (" + missing + "; --set digital.tile_columns=" +
                std::to_string(
                    ceil_div(most, std::uint64_t{chip_.tiles.rows} * chip_.tiles.macros)) +
                "), or let attention run elsewhere (--attention vector, crossbar)");
    }
    std::map<std::uint32_t, std::uint32_t> next; // in a segment
    for (const Mapped& layer : layers)
    {
        std::uint32_t& macro = next[layers_[layer.id.index()].segment];
        std::vector<Berth> where(layer.blocks.size());
        for (Berth& berth : where)
        {
            berth.macro = macro++;
        }
        const Berth* first = where.data();
        place_copies(layer, 1, first);
    }
}

/// Stages lie within segments; a layer without weights works in the segment that makes the last of
/// its operands.
void Plan::divide_stages()
{
    for (std::uint32_t i = 0; i < graph_.size(); ++i)
    {
        for (const LayerId input : graph_.layer(LayerId(i)).inputs)
        {
            std::uint32_t& its = layers_[i].segment;
            its = std::max(its, layers_[input.index()].segment);
        }
    }
    std::vector<Stage> divided;
    for (std::uint32_t segment = 0; segment < segment_count_; ++segment)
    {
        for (const Stage& stage : stages_)
        {
            Stage part;
            std::copy_if(stage.begin(), stage.end(), std::back_inserter(part),
                         [&](LayerId id) { return layers_[id.index()].segment == segment; });
            if (!part.empty())
            {
                divided.push_back(std::move(part));
            }
        }
    }
    stages_ = std::move(divided);
}

/// Where the blocks of a segment lie: by layer, copy, block.
std::vector<Berth> Plan::berths(const Layers& layers, const Segment& segment,
                                const std::vector<std::uint32_t>& copies, bool packed) const
{
    std::vector<Berth> result;
    std::vector<Cargo> cargo;          // first copies, then the others
    std::vector<std::size_t> position; // of each in the result
    std::size_t originals = 0;
    for (const bool first : {true, false})
    {
        std::size_t next = 0;
        for (std::size_t i = segment.begin; i < segment.end; ++i)
        {
            for (std::uint32_t copy = 0; copy < copies[i - segment.begin]; ++copy)
            {
                for (const MatrixBlock& block : layers[i].blocks)
                {
                    if ((copy == 0) == first)
                    {
                        const std::uint32_t replicas = layers[i].replicas;
                        const std::uint32_t columns =
                            block.columns.size() + chip_.macro.reference_columns();
                        cargo.push_back({block.rows.size() * replicas, columns * replicas, i});
                        position.push_back(next);
                    }
                    ++next;
                }
            }
        }
        originals = first ? cargo.size() : originals;
        result.resize(next);
    }
    if (packed)
    {
        const std::vector<Berth> found = pack(cargo, originals, chip_.macro);
        for (std::size_t i = 0; i < found.size(); ++i)
        {
            result[position[i]] = found[i];
        }
        return result;
    }
    for (std::uint32_t i = 0; i < result.size(); ++i)
    {
        result[i].macro = i;
    }
    return result;
}

/// The macros of the first tile, then those of the second, ...
Slot Plan::slot(std::uint32_t index, bool digital) const
{
    const TileOrder& tiles = digital ? digital_tiles_ : crossbar_tiles_;
    return {tiles[index / chip_.tiles.macros], index % chip_.tiles.macros};
}

/// Writing begins before all of an operand is there; its rows are those of the matrix unless it is
/// transposed.
void Plan::divide_second_operand(LayerId id)
{
    const network::Layer& layer = graph_.layer(id);
    const std::uint32_t height = graph_.network().input_shape(layer, 1).height;
    const std::uint32_t length = layer.transpose_second ? height : kSequenceChunk;
    for (std::uint32_t row = 0; row < height; row += length)
    {
        layers_[id.index()].portions.push_back({row, std::min(row + length, height)});
    }
}

Extent Plan::rows_written(LayerId id, const PlacedBlock& block, const Portion& portion) const
{
    const network::Layer& layer = graph_.layer(id);
    if (layer.transpose_second)
    {
        return block.rows;
    }
    const std::uint32_t height = graph_.network().input_shape(layer, 1).height;
    const std::uint32_t head = block.rows.begin / height * height;
    const Extent rows = block.rows.clipped({head + portion.begin, head + portion.end});
    return rows.empty() ? Extent{} : rows;
}

/// Channels and columns of a layer that columns of its matrix make.
Group Plan::group_of(const Mapped& layer, const Extent& columns) const
{
    if (!layer.dynamic || !graph_.layer(layer.id).transpose_second)
    {
        return {columns, {}};
    }
    const Volume made = graph_.made_by_columns(layer.id, columns);
    return {made.channels, {}, made.columns};
}

/// `where`: the berth of the layer's first block; left behind that of its last.
void Plan::place_copies(const Mapped& layer, std::uint32_t copies, const Berth*& where)
{
    LayerPlan& plan = layers_[layer.id.index()];
    const config::ChipConfig::Macro& macro = macro_of(layer.id);
    for (std::uint32_t copy = 0; copy < copies; ++copy)
    {
        std::vector<std::pair<NodeId, std::size_t>> in_tile; // blocks, in the order of slots
        std::size_t groups = 0;                              // begun
        const auto close_group = [&]
        {
            // Most partial sums are already there: the fewest have to travel. (Ties go to the tile
            // filled first, not to the lowest, so that traffic does not depend on the placement.)
            const auto most =
                std::max_element(in_tile.begin(), in_tile.end(),
                                 [](const auto& a, const auto& b) { return a.second < b.second; });
            plan.grid.groups[groups - 1].tiles.push_back(most->first);
            in_tile.clear();
        };
        Extent columns;
        for (const MatrixBlock& block : layer.blocks)
        {
            if (!(block.columns == columns))
            {
                if (!in_tile.empty())
                {
                    close_group();
                }
                ++groups;
                if (copy == 0)
                {
                    plan.grid.groups.push_back(group_of(layer, block.columns));
                }
                columns = block.columns;
            }
            const Berth& berth = *where++;
            PlacedBlock placed;
            placed.id = BlockId(static_cast<std::uint32_t>(block_count_));
            placed.rows = block.rows;
            placed.columns = block.columns;
            placed.slot = slot(berth.macro, in_digital(layer.id));
            placed.row_at = berth.row;
            placed.column_at = berth.column;
            placed.bits =
                static_cast<std::uint8_t>(macro.input_bits + macro.weight_bits +
                                          ceil_log2(std::min<std::uint64_t>(
                                              block.rows.size(), layer.matrix.rows_of_group())));
            const auto its_tile =
                std::find_if(in_tile.begin(), in_tile.end(),
                             [&](const auto& tile) { return tile.first == placed.slot.tile; });
            if (its_tile == in_tile.end())
            {
                in_tile.emplace_back(placed.slot.tile, 1);
            }
            else
            {
                ++its_tile->second;
            }
            plan.blocks.push_back(placed);
            ++block_count_;
        }
        close_group();
    }
    if (copies > 1)
    {
        for (std::uint32_t set = 0; set < plan.grid.sets(); ++set)
        {
            const std::uint32_t rank =
                plan.grid.rank_of_set.empty() ? set : plan.grid.rank_of_set[set];
            plan.grid.copy_of_set.push_back(rank % copies);
        }
    }
}

/// Channel groups of the data that consumers of a fused layer or view read; `known`: of the layers
/// before.
std::vector<Group> Plan::groups_read(LayerId id, const std::vector<std::vector<Group>>& known) const
{
    const network::Layer& layer = graph_.layer(id);
    if (layer.kind == LayerKind::concat && layer.axis != "height")
    {
        std::vector<Group> all;
        std::uint32_t offset = 0;
        for (const LayerId input : layer.inputs)
        {
            for (Group group : first_copies(known[input.index()]))
            {
                group.channels = {group.channels.begin + offset, group.channels.end + offset};
                all.push_back(group);
            }
            offset += graph_.layer(input).output.channels;
        }
        return merged(all);
    }
    if (graph_.role(id) == Role::fused)
    {
        return known[layer.inputs.front().index()];
    }
    const std::vector<Group> its = first_copies(known[layer.inputs.front().index()]);
    if (layer.kind == LayerKind::split)
    {
        std::vector<Group> part;
        for (const Group& group : its)
        {
            const Extent kept = group.channels.clipped({layer.channel_begin, layer.channel_end});
            if (!kept.empty())
            {
                part.push_back({{kept.begin - layer.channel_begin, kept.end - layer.channel_begin},
                                group.tiles});
            }
        }
        return part;
    }
    if (layer.output.channels != its.back().channels.end)
    {
        return {{{0, layer.output.channels}, its.front().tiles}};
    }
    return its;
}

/// A vector layer works where its first operand is made; one that mixes channels, or finds its
/// operand in memory, in one tile.
std::vector<Group> Plan::vector_groups(LayerId id, const std::vector<Group>& operand) const
{
    const network::Layer& layer = graph_.layer(id);
    std::vector<Group> groups = operand;
    for (Group& group : groups)
    {
        if (!group.tiles.front().valid())
        {
            group.tiles = {tiles_.front()};
        }
    }
    if (!graph_.channelwise(id) || groups.back().channels.end != layer.output.channels)
    {
        return {{{0, layer.output.channels}, groups.front().tiles}};
    }
    return merged(groups);
}

/// A set of a vector layer belongs to the copy whose data it reads first. Contract: the first
/// operand is a layer with copies.
std::vector<std::uint32_t> Plan::inherited_copies(LayerId id) const
{
    const Grid& grid = layers_[id.index()].grid;
    std::vector<std::uint32_t> copies;
    std::vector<Region> regions;
    for (std::uint32_t task = 0; task < grid.tasks(); ++task)
    {
        regions.clear();
        graph_.operand(id, 0, grid.task(task), regions);
        if (regions.empty())
        {
            copies.push_back(0); // padding only
            continue;
        }
        const Region& first = regions.front();
        const Grid& source = layers_[first.layer.index()].grid;
        copies.push_back(source.copy_of_set.empty()
                             ? 0
                             : source.copy_of_set[source.set_at(first.volume.rows.begin,
                                                                first.volume.columns.begin)]);
    }
    return copies;
}

std::uint32_t Plan::rows_of_set(LayerId id) const
{
    const network::Layer& layer = graph_.layer(id);
    if (layer.output.width == 1)
    {
        return std::min(kSequenceChunk, layer.output.height);
    }
    // Attention scores are as wide as there are heads, but rows are still tokens.
    const bool keeps_rows = layer.kind == LayerKind::matmul || layer.kind == LayerKind::softmax ||
                            layer.kind == LayerKind::activation || layer.kind == LayerKind::add ||
                            layer.kind == LayerKind::mul;
    if (keeps_rows && graph_.network().input_shape(layer).height == layer.output.height)
    {
        return layers_[graph_.head(layer.inputs.front()).index()].grid.set.rows;
    }
    return 1;
}

void Plan::trace_readers()
{
    std::vector<Region> regions;
    for (const Stage& stage : stages_)
    {
        for (const LayerId id : stage)
        {
            regions.clear();
            for (const LayerId input : graph_.layer(id).inputs)
            {
                graph_.resolve(input, Volume::of(graph_.layer(input).output), regions);
            }
            for (const Region& region : regions)
            {
                LayerPlan& producer = layers_[region.layer.index()];
                producer.last_stage = std::max(producer.last_stage, layers_[id.index()].stage);
            }
        }
    }
    regions.clear();
    for (const LayerId id : graph_.network().outputs)
    {
        graph_.resolve(id, Volume::of(graph_.layer(id).output), regions);
    }
    for (const Region& region : regions)
    {
        layers_[region.layer.index()].leaves = true;
    }
}

void Plan::set_level(std::size_t stage, std::uint32_t level)
{
    for (const LayerId id : stages_[stage])
    {
        Grid& grid = layers_[id.index()].grid;
        layers_[id.index()].level =
            static_cast<std::uint8_t>(std::max<std::uint32_t>(level, fineness_[id.index()]));
        const std::uint32_t its = layers_[id.index()].level;
        const std::uint32_t parts = std::uint32_t{1}
                                    << std::min(its, std::uint32_t{16}); // extents end at 65536
        grid.chunk = part_of(grid.set.rows, grid.shape.height, grid.set.rows / parts);
        grid.segment = graph_.dynamic(id) ? grid.shape.width
                                          : part_of(grid.set.columns, grid.shape.width,
                                                    (grid.set.columns + parts - 1) / parts);
    }
}

SetShape Plan::whole_set(LayerId id) const
{
    const Grid& grid = layers_[id.index()].grid;
    return by_pixels_ ? SetShape{rows_of_set(id), grid.shape.width} : grid.set;
}

std::uint32_t Plan::coarsest_level(std::size_t stage) const
{
    std::uint8_t level = std::numeric_limits<std::uint8_t>::max();
    for (const LayerId id : stages_[stage])
    {
        level = std::min(level, fineness_[id.index()]);
    }
    return level;
}

std::uint32_t Plan::finest_level(std::size_t stage) const
{
    std::uint32_t level = 0;
    for (const LayerId id : stages_[stage])
    {
        level = std::max(level, finest_level(id));
    }
    return level;
}

std::uint32_t Plan::finest_level(LayerId id) const
{
    const SetShape& set = layers_[id.index()].grid.set;
    return std::max(ceil_log2(set.columns), ceil_log2(set.rows));
}

} // namespace tessera::compiler
