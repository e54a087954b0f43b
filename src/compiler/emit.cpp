// SPDX-License-Identifier: Apache-2.0
#include "compiler/emit.h"

#include "base/integer.h"
#include "base/interrupt.h"
#include "compiler/functions.h"
#include "tessera/error.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>

namespace tessera::compiler
{
namespace
{

using trace::CompactOperation;
using trace::OpKind;

/// Rows of weights that are loaded at once: writing begins before all of them are there.
constexpr std::uint64_t kMostRowsWritten = 64;

std::uint8_t bits_of_sum(std::uint8_t bits, std::size_t terms)
{
    while (terms > 1)
    {
        ++bits;
        terms = (terms + 1) / 2;
    }
    return bits;
}

void add_destination(trace::CompactTrace& operations, OpId transfer, NodeId tile)
{
    if (!operations.arrives_at(operations[transfer], tile))
    {
        operations.add_destination(transfer, tile);
    }
}

void make_ofm(CompactOperation& operation, const Volume& made)
{
    operation.box = made.box();
    operation.has_ofm = true;
}

std::uint32_t count(std::uint64_t value, const network::Network& network,
                    const network::Layer& layer)
{
    if (value > std::numeric_limits<std::uint32_t>::max())
    {
        throw InputError({network.name, 0, "/layers/" + layer.name},
                         "one vector operation would have " + std::to_string(value) + " elements",
                         "put the layer on crossbars (mapping.on_crossbar) or divide it");
    }
    return static_cast<std::uint32_t>(value);
}

/// True: one image comes after the other, each with the same tasks in the same order.
bool repeats(const std::vector<Task>& order, std::uint32_t images)
{
    const std::size_t of_image = order.size() / images;
    for (std::size_t i = 0; i < order.size(); ++i)
    {
        const Task& first = order[i % of_image];
        const Task& task = order[i];
        if (task.image != i / of_image || task.layer != first.layer || task.index != first.index ||
            task.writes != first.writes)
        {
            return false;
        }
    }
    return true;
}

} // namespace

Emitter::Emitter(const Plan& plan, const Deliveries* deliveries)
    : plan_(plan), deliveries_(deliveries), arguments_(plan.graph().size())
{
    std::uint32_t next = 0;
    std::uint64_t operands = 0;
    for (std::uint32_t i = 0; i < plan.graph().size(); ++i)
    {
        first_operand_.push_back(operands);
        operands += plan.graph().layer(LayerId(i)).inputs.size();
        streams_.push_back(next);
        next += static_cast<std::uint32_t>(plan[LayerId(i)].grid.groups.size());
    }
    streams_.push_back(next);
    work_on(0);
}

void Emitter::reserve(const std::vector<std::size_t>& stages, std::uint32_t images)
{
    std::size_t count = 0;
    for (const std::size_t stage : stages)
    {
        for (const LayerId id : plan_.stages()[stage])
        {
            // What makes and sends a datum; partial sums, each of which may be sent, and the sums
            // of every tile.
            const LayerPlan& its = plan_[id];
            std::size_t of_task = 2 * its.grid.groups.size();
            const std::size_t blocks = its.blocks.size() / its.grid.copies();
            for (std::size_t b = 0; b < blocks; ++b)
            {
                const bool another_tile =
                    b == 0 || its.blocks[b].slot.tile != its.blocks[b - 1].slot.tile;
                of_task += another_tile ? 3 : 1;
            }
            count += its.grid.tasks() * of_task;
        }
    }
    const std::size_t wanted = operations_.size() + count * images;
    operations_.reserve(std::min(wanted, kMostOperations));
    notes_.reserve(std::min(wanted, kMostOperations));
}

void Emitter::restart()
{
    operations_.clear();
    notes_.clear();
    arguments_.assign(arguments_.size(), std::nullopt);
    marks_ = 0;
    images_.clear();
    work_on(0);
}

void Emitter::work_on(std::uint32_t image)
{
    image_ = image;
    if (images_.size() <= image)
    {
        images_.resize(std::size_t{image} + 1);
    }
    if (images_[image].data.empty())
    {
        images_[image].data.resize(plan_.graph().size());
        images_[image].done.resize(plan_.graph().size(), 0);
    }
}

void Emitter::emit_weights(std::uint32_t segment)
{
    struct Part
    {
        LayerId layer;
        const PlacedBlock* block = nullptr;
        std::uint64_t row_bytes = 0;
        std::uint32_t written = 0; ///< rows
    };
    std::vector<Part> parts;
    std::map<NodeId, std::uint64_t> blocks_in; // a tile
    std::uint64_t longest = 1;
    for (std::uint32_t i = 0; i < plan_.graph().size(); ++i)
    {
        const LayerPlan& layer = plan_[LayerId(i)];
        if (layer.segment != segment || !layer.portions.empty())
        {
            continue; // operands are written when they are there
        }
        for (std::size_t b = 0; b < layer.blocks.size(); ++b)
        {
            const std::uint64_t row_bytes = ceil_div(
                std::uint64_t{layer.blocks[b].columns.size()} * plan_.chip().macro.weight_bits, 8);
            parts.push_back({LayerId(i), &layer.blocks[b], row_bytes, 0});
            ++blocks_in[layer.blocks[b].slot.tile];
            longest = std::max(longest, row_bytes);
        }
    }
    const std::uint64_t capacity = plan_.chip().buffer.capacity;
    std::uint64_t most_blocks = 1;
    for (const auto& [tile, blocks] : blocks_in)
    {
        most_blocks = std::max(most_blocks, blocks);
    }
    if (capacity < longest)
    {
        throw InputError({plan_.chip().name, 0, "/buffer/capacity"},
                         "is " + std::to_string(capacity) +
                             " bytes, and one row of weights takes " + std::to_string(longest),
                         "raise it, or give macros fewer columns");
    }
    // Each macro of a tile has the rows that it writes and the next ones in half of the buffer.
    const std::uint64_t rows =
        std::clamp<std::uint64_t>(capacity / (4 * most_blocks * longest), 1, kMostRowsWritten);
    const std::uint64_t slots =
        std::clamp<std::uint64_t>(capacity / (rows * longest), 1, 2 * most_blocks);
    const std::uint32_t stream =
        streams_.back() + 2 * static_cast<std::uint32_t>(plan_.block_count());
    std::map<NodeId, std::vector<OpId>> writes; // in a tile
    std::uint32_t turn = 0;
    for (bool more = true; more;)
    {
        more = false;
        for (Part& part : parts)
        {
            const std::uint32_t left = part.block->rows.size() - part.written;
            if (left == 0)
            {
                continue;
            }
            const NodeId tile = part.block->slot.tile;
            std::vector<OpId>& before = writes[tile];
            const auto n = static_cast<std::uint32_t>(std::min<std::uint64_t>(rows, left));
            CompactOperation load = operation(
                OpKind::load, memory_port(turn++ % plan_.chip().memory.ports), part.layer);
            load.bits = static_cast<std::uint8_t>(plan_.chip().macro.weight_bits);
            load.bytes = n * part.row_bytes;
            const OpId loaded = push(load, nullptr, 0, stream);
            operations_.add_destination(loaded, tile);
            if (before.size() >= slots)
            {
                operations_.add_after(loaded, before[before.size() - slots]);
            }
            CompactOperation program =
                operation(OpKind::program, macro(part.block->slot), part.layer);
            program.block = part.block->id;
            program.n = n * plan_[part.layer].replicas;
            before.push_back(push(program, operations_.add_list({loaded}), stream));
            part.written += n;
            more = true;
        }
    }
}

/// Lists of the stage before name operations that this one cannot read from.
void Emitter::enter(std::size_t stage)
{
    stage_ = static_cast<std::uint32_t>(stage);
    for (Progress& image : images_)
    {
        image.known.clear();
    }
}

void Emitter::emit(std::size_t stage, const Pipeline& pipeline)
{
    const Timetable timetable(plan_, pipeline);
    emit(stage, pipeline, timetable, timetable.order(stage));
}

std::uint32_t Emitter::emit_repeating(std::size_t stage, const Pipeline& pipeline)
{
    const Timetable timetable(plan_, pipeline);
    std::vector<Task> order = timetable.order(stage);
    const std::uint32_t copies = repeats(order, pipeline.images) ? pipeline.images : 1;
    order.resize(order.size() / copies);
    emit(stage, {pipeline.images / copies, pipeline.in_flight}, timetable, order);
    return copies;
}

void Emitter::emit(std::size_t stage, const Pipeline& pipeline, const Timetable& timetable,
                   const std::vector<Task>& order)
{
    enter(stage);
    const auto by_start = [&](const Task& a, const Task& b)
    { return timetable[a].start < timetable[b].start; };
    // Tasks that read what is not on the chip: by image, as they start.
    std::vector<char> loads(plan_.graph().size(), 0);
    std::vector<std::deque<Task>> loading(pipeline.images);
    for (const LayerId id : plan_.stages()[stage])
    {
        loads[id.index()] = reads_memory(id) ? 1 : 0;
        const std::uint32_t tasks = loads[id.index()] != 0 ? plan_[id].grid.tasks() : 0;
        for (std::uint32_t image = 0; image < pipeline.images; ++image)
        {
            for (std::uint32_t index = 0; index < tasks; ++index)
            {
                loading[image].push_back({id, index, image});
            }
        }
    }
    for (std::deque<Task>& tasks : loading)
    {
        std::stable_sort(tasks.begin(), tasks.end(), by_start);
    }
    for (const Task& task : order)
    {
        // Memory ports load in the order of emission, and an image's first loads wait until it
        // enters: those of images before must not come behind them, though their tasks end later.
        const std::uint32_t image = loads[task.layer.index()] != 0 ? task.image : 0;
        for (std::uint32_t other = image - std::min(image, pipeline.in_flight - 1); other < image;
             ++other)
        {
            work_on(other);
            std::deque<Task>& tasks = loading[other];
            for (; !tasks.empty() && !by_start(task, tasks.front()); tasks.pop_front())
            {
                load_operands(tasks.front().layer, tasks.front().index);
            }
        }
        work_on(task.image);
        task.writes ? emit_portion(task.layer, task.index) : emit_task(task.layer, task.index);
    }
}

bool Emitter::reads_memory(LayerId id)
{
    regions_.clear();
    plan_.graph().operands(id, Volume::of(plan_.graph().layer(id).output), regions_);
    return std::any_of(regions_.begin(), regions_.end(),
                       [this](const Region& region) { return !on_chip(region.layer); });
}

/// What a task reads from memory, ahead of it.
void Emitter::load_operands(LayerId id, std::uint32_t task)
{
    consumer_ = id;
    const auto load_to = [this](NodeId tile)
    {
        for (const Region& region : regions_)
        {
            overlaps_.clear();
            if (!on_chip(region.layer))
            {
                plan_[region.layer].grid.overlapping(region.volume, overlaps_);
            }
            for (const std::size_t datum : overlaps_)
            {
                (void)load(region.layer, datum, tile);
            }
        }
    };
    const LayerPlan& plan = plan_[id];
    const std::size_t rows = plan.blocks_per_group();
    for (std::size_t group = 0; group < plan.grid.groups.size(); ++group)
    {
        const std::size_t datum = task * plan.grid.groups.size() + group;
        const Volume made = plan.grid.datum(datum);
        const std::size_t first =
            (plan.grid.copy_of(task) * plan.grid.groups.size() + group) * rows;
        for (std::size_t i = first; i < first + rows; ++i)
        {
            regions_.clear();
            plan_.graph().block_operand(id, plan.blocks[i].rows, made, regions_);
            load_to(plan.blocks[i].slot.tile);
        }
        if (plan.blocks.empty())
        {
            regions_.clear();
            plan_.graph().operands(id, made, regions_);
            load_to(plan.grid.home(datum));
        }
    }
}

void Emitter::emit(std::size_t stage)
{
    enter(stage);
    const Stage& layers = plan_.stages()[stage];
    std::vector<Cursor> cursors(layers.size());
    std::map<LayerId, std::size_t> position;
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        cursors[i].layer = layers[i];
        position[layers[i]] = i;
    }
    std::set<std::size_t> ready;
    std::vector<std::vector<std::size_t>> waiting(layers.size()); // for a layer's next task
    const auto consider = [&](std::size_t i)
    {
        if (cursors[i].next == plan_[layers[i]].grid.tasks())
        {
            return;
        }
        const LayerId missing = missing_input(cursors[i]);
        if (missing.valid())
        {
            waiting[position.at(missing)].push_back(i);
        }
        else
        {
            ready.insert(i);
        }
    };
    for (std::size_t i = 0; i < cursors.size(); ++i)
    {
        consider(i);
    }
    while (!ready.empty())
    {
        const std::size_t i = *ready.rbegin();
        ready.erase(i);
        Cursor& cursor = cursors[i];
        const std::size_t portions = cursor.next == 0 ? plan_[cursor.layer].portions.size() : 0;
        for (std::uint32_t portion = 0; portion < portions; ++portion)
        {
            emit_portion(cursor.layer, portion);
        }
        emit_task(cursor.layer, cursor.next);
        images_[image_].done[cursor.layer.index()] = ++cursor.next;
        cursor.known = false;
        consider(i);
        for (const std::size_t reader : std::exchange(waiting[i], {}))
        {
            consider(reader);
        }
    }
}

/// A layer of this stage that must make more data before the cursor's next task; none(): ready.
LayerId Emitter::missing_input(Cursor& cursor)
{
    const Graph& graph = plan_.graph();
    const LayerId id = cursor.layer;
    if (!cursor.known)
    {
        regions_.clear();
        graph.operands(id, plan_[id].grid.task(cursor.next), regions_);
        cursor.waits.clear();
        for (const Region& region : regions_)
        {
            if (graph.role(region.layer) != Role::memory && plan_[region.layer].stage == stage_)
            {
                cursor.waits.emplace_back(region.layer,
                                          plan_[region.layer].grid.tasks_until(region.volume));
            }
        }
        cursor.known = true;
    }
    for (const auto& [layer, tasks] : cursor.waits)
    {
        if (images_[image_].done[layer.index()] < tasks)
        {
            return layer;
        }
    }
    return LayerId::none();
}

void Emitter::emit_task(LayerId id, std::uint32_t task)
{
    consumer_ = id;
    if (reporter_ != nullptr)
    {
        reporter_->add();
    }
    if (plan_.graph().role(id) == Role::crossbar)
    {
        emit_crossbar(id, task);
    }
    else
    {
        emit_vector(id, task);
    }
}

/// Macros do one operation after the other: what is written here is there for all MVMs behind it,
/// and those of the image before are through with what it replaces.
void Emitter::emit_portion(LayerId id, std::uint32_t portion)
{
    consumer_ = id;
    const LayerId second = plan_.graph().layer(id).inputs[1];
    for (const PlacedBlock& block : plan_[id].blocks)
    {
        const Extent rows = plan_.rows_written(id, block, plan_[id].portions[portion]);
        if (rows.empty())
        {
            continue;
        }
        const Volume written = plan_.graph().second_operand(id, rows, block.columns);
        regions_.clear();
        plan_.graph().resolve(second, written, regions_);
        CompactOperation program = operation(OpKind::program, macro(block.slot), id);
        program.block = block.id;
        program.n = rows.size();
        program.tensor = TensorId(second.value());
        program.box = written.box();
        program.has_box = true;
        const List in = read(block.slot.tile);
        push(program, in, 0); // leaves nothing in a buffer
    }
}

void Emitter::emit_crossbar(LayerId id, std::uint32_t task)
{
    for (std::size_t group = 0; group < plan_[id].grid.groups.size(); ++group)
    {
        emit_group(id, task, group);
    }
}

/// One column of blocks: their partial sums are added up in each tile, and then in the group's
/// tile.
void Emitter::emit_group(LayerId id, std::uint32_t task, std::size_t group)
{
    const LayerPlan& plan = plan_[id];
    const std::size_t datum = task * plan.grid.groups.size() + group;
    const std::size_t rows = plan.blocks_per_group();
    const std::size_t first_block =
        (plan.grid.copy_of(task) * plan.grid.groups.size() + group) * rows;
    const NodeId home = plan.grid.home(datum);
    const Volume made = plan.grid.datum(datum);
    // Partial sums: one stream per block, then one per block for sums of a tile on their way.
    const std::uint32_t streams = streams_.back();
    const auto blocks = static_cast<std::uint32_t>(plan_.block_count());
    std::map<NodeId, std::vector<Partial>> partials;
    std::map<NodeId, BlockId> first;
    for (std::size_t i = first_block; i < first_block + rows; ++i)
    {
        const PlacedBlock& block = plan.blocks[i];
        regions_.clear();
        plan_.graph().block_operand(id, block.rows, made, regions_);
        CompactOperation mvm = operation(OpKind::mvm, macro(block.slot), id);
        const List in = read(block.slot.tile);
        mvm.block = block.id;
        make_ofm(mvm, made);
        mvm.n = made.rows.size() * made.columns.size(); // of a product: one column, that of a head
        mvm.bits = block.bits;
        mvm.bytes = (made.elements() * block.bits + 7) / 8;
        const OpId made_by = push(mvm, in, streams + block.id.value());
        partials[block.slot.tile].push_back({made_by, block.bits});
        first.emplace(block.slot.tile, block.id);
    }
    const auto release = [&](const std::vector<Partial>& parts, OpId by)
    {
        for (const Partial& part : parts)
        {
            notes_[part.operation.value()].release = by;
        }
    };
    std::vector<Partial> arrived = partials[home];
    std::vector<Partial> sent;
    for (const auto& [tile, parts] : partials)
    {
        if (tile == home)
        {
            continue;
        }
        Partial sum = parts.front();
        const std::uint32_t stream = streams + blocks + first.at(tile).value();
        if (parts.size() > 1)
        {
            CompactOperation local = accumulation(id, made, tile, parts.size());
            local.bits = sum.bits = bits_of_sum(sum.bits, parts.size());
            local.bytes = (made.elements() * sum.bits + 7) / 8;
            sum.operation = push(local, sum_of(parts), stream);
            release(parts, sum.operation);
        }
        CompactOperation move = operation(OpKind::move, network_interface(tile), id);
        make_ofm(move, made);
        move.bits = sum.bits;
        move.bytes = (made.elements() * sum.bits + 7) / 8;
        const OpId moved = push(move, operations_.add_list({sum.operation}), stream);
        operations_.add_destination(moved, home);
        arrived.push_back({moved, sum.bits});
        if (parts.size() == 1)
        {
            sent.push_back(sum);
        }
    }
    CompactOperation total = accumulation(id, made, home, arrived.size());
    total.bits = plan.grid.bits;
    total.bytes = plan.grid.bytes(datum);
    const OpId producer = push(total, sum_of(arrived), stream(id, group));
    release(partials[home], producer);
    release(sent, producer);
    deliver(id, datum, producer);
}

void Emitter::emit_vector(LayerId id, std::uint32_t task)
{
    const Graph& graph = plan_.graph();
    const network::Layer& layer = graph.layer(id);
    const Grid& grid = plan_[id].grid;
    for (std::size_t group = 0; group < grid.groups.size(); ++group)
    {
        const std::size_t datum = task * grid.groups.size() + group;
        const NodeId tile = grid.home(datum);
        const Volume made = grid.datum(datum);
        CompactOperation vec = operation(OpKind::vec, vector_unit(tile), id);
        lists_.clear();
        for (std::size_t k = 0; k < layer.inputs.size(); ++k)
        {
            regions_.clear();
            graph.operand(id, k, made, regions_);
            lists_.push_back(read_again(id, k, tile));
        }
        if (!arguments_[id.index()])
        {
            arguments_[id.index()] =
                operations_.add_arguments(arguments_of(graph.network(), layer));
        }
        vec.function = function_of(layer);
        vec.arguments = *arguments_[id.index()];
        make_ofm(vec, made);
        vec.n = count(graph.work(id, made), graph.network(), layer);
        vec.bits = grid.bits;
        vec.bytes = grid.bytes(datum);
        deliver(id, datum, push(vec, lists_.data(), lists_.size(), stream(id, group)));
    }
}

/// Sends a new datum to every tile that reads it, and to memory if it is needed there.
void Emitter::deliver(LayerId id, std::size_t datum, OpId producer)
{
    const LayerPlan& plan = plan_[id];
    const std::uint32_t group = plan.grid.group_of(datum);
    const NodeId home = plan.grid.home(datum);
    bool stored = plan.leaves;
    std::vector<NodeId> tiles;
    if (deliveries_ == nullptr)
    {
        stored = stored || plan.last_stage > stage_;
    }
    else
    {
        const Readers& readers = deliveries_->readers[id.index()];
        const std::vector<NodeId>& later = readers.later[datum];
        tiles = readers.same_stage[datum];
        if (deliveries_->resident[id.index()] != 0)
        {
            tiles.insert(tiles.end(), later.begin(), later.end());
        }
        else
        {
            stored = stored || !later.empty();
        }
        std::sort(tiles.begin(), tiles.end());
        tiles.erase(std::unique(tiles.begin(), tiles.end()), tiles.end());
        tiles.erase(std::remove(tiles.begin(), tiles.end(), home), tiles.end());
    }
    stored = stored || waits_in_memory(id);
    Datum& state = data(id)[datum];
    state.producer = producer;
    const bool moves = deliveries_ == nullptr || !tiles.empty();
    const List in = moves || stored ? operations_.add_list({producer}) : List::none();
    if (moves)
    {
        CompactOperation move = operation(OpKind::move, network_interface(home), id);
        make_ofm(move, plan.grid.datum(datum));
        move.bits = plan.grid.bits;
        move.bytes = plan.grid.bytes(datum);
        state.move = push(move, in, stream(id, group));
        for (const NodeId tile : tiles)
        {
            operations_.add_destination(state.move, tile);
        }
    }
    if (stored)
    {
        CompactOperation store = operation(OpKind::store, network_interface(home), id);
        make_ofm(store, plan.grid.datum(datum));
        store.has_box = true;
        store.tensor = TensorId(plan_.graph().value(id).value());
        store.bits = plan.grid.bits;
        store.bytes = plan.grid.bytes(datum);
        state.store = push(store, in, stream(id, group));
        operations_.add_destination(state.store, port_of(id, datum));
    }
}

/// The operation that brings the datum to `tile`.
OpId Emitter::fetch(LayerId id, std::size_t datum, NodeId tile)
{
    if (!on_chip(id))
    {
        return load(id, datum, tile);
    }
    const auto refuge = refuges_.find({id, consumer_});
    if (refuge != refuges_.end() && !refuge->second.valid())
    {
        return load(id, datum, tile);
    }
    if (refuge != refuges_.end() && refuge->second != tile)
    {
        return send(id, datum, refuge->second, tile);
    }
    return carried(id, datum, tile);
}

/// What has the datum in `tile` from when it was made.
OpId Emitter::carried(LayerId id, std::size_t datum, NodeId tile)
{
    const Datum& state = data(id)[datum];
    if (tile == plan_[id].grid.home(datum))
    {
        return state.producer;
    }
    if (!operations_.arrives_at(operations_[state.move], tile))
    {
        if (deliveries_ != nullptr)
        {
            throw std::logic_error("a datum is read where nothing brings it");
        }
        operations_.add_destination(state.move, tile);
    }
    return state.move;
}

/// Brings a datum from its refuge, once for each reader.
OpId Emitter::send(LayerId id, std::size_t datum, NodeId from, NodeId tile)
{
    Datum& state = data(id)[datum];
    if (state.load.valid() && state.loaded_for == consumer_)
    {
        add_destination(operations_, state.load, tile);
        return state.load;
    }
    const OpId there = carried(id, datum, from);
    const Grid& grid = plan_[id].grid;
    CompactOperation move = operation(OpKind::move, network_interface(from), id);
    make_ofm(move, grid.datum(datum));
    move.bits = grid.bits;
    move.bytes = grid.bytes(datum);
    const OpId sent = push(move, operations_.add_list({there}), stream(id, grid.group_of(datum)));
    operations_.add_destination(sent, tile);
    Datum& its = data(id)[datum];
    its.load = sent;
    its.loaded_for = consumer_;
    its.load_stage = stage_;
    return sent;
}

bool Emitter::waits_in_memory(LayerId id) const
{
    for (auto its = refuges_.lower_bound({id, LayerId(0)});
         its != refuges_.end() && its->first.first == id; ++its)
    {
        if (!its->second.valid())
        {
            return true;
        }
    }
    return false;
}

LayerId Emitter::layer_of(std::uint32_t stream) const
{
    if (partial(stream))
    {
        return LayerId::none();
    }
    const auto next = std::upper_bound(streams_.begin(), streams_.end(), stream);
    return LayerId(static_cast<std::uint32_t>(next - streams_.begin() - 1));
}

OpId Emitter::load(LayerId id, std::size_t datum, NodeId tile)
{
    Datum& state = data(id)[datum];
    // What waits in memory for several layers is needed at different times.
    const LayerId reader = on_chip(id) ? consumer_ : LayerId::none();
    if (state.load.valid() && state.load_stage == stage_ && state.loaded_for == reader)
    {
        add_destination(operations_, state.load, tile);
        return state.load;
    }
    const Grid& grid = plan_[id].grid;
    const NodeId port = port_of(id, datum);
    CompactOperation load =
        operation(OpKind::load, memory_port(port.value() - plan_.chip().tile_count()), consumer_);
    load.tensor = TensorId(plan_.graph().value(id).value());
    load.box = grid.datum(datum).box();
    load.has_box = true;
    load.bits = grid.bits;
    load.bytes = grid.bytes(datum);
    state.load = push(load, nullptr, 0, stream(id, grid.group_of(datum)));
    operations_.add_destination(state.load, tile);
    if (state.store.valid())
    {
        operations_.add_after(state.load, state.store);
    }
    state.loaded_for = reader;
    state.load_stage = stage_;
    return state.load;
}

/// What makes `regions_` there in the tile.
Emitter::List Emitter::read(NodeId tile)
{
    ++marks_;
    in_.clear();
    for (const Region& region : regions_)
    {
        overlaps_.clear();
        plan_[region.layer].grid.overlapping(region.volume, overlaps_);
        std::vector<Datum>& its = data(region.layer);
        for (const std::size_t datum : overlaps_)
        {
            if (its[datum].mark != marks_)
            {
                its[datum].mark = marks_;
                in_.push_back(fetch(region.layer, datum, tile));
            }
        }
    }
    return operations_.add_list(in_);
}

/// The same for an operand of a vector layer, whose tasks often read the same of it, all of a
/// sequence say: they then share the list. What waits in a refuge is brought for each of several
/// layers again, and so may come by another operation.
Emitter::List Emitter::read_again(LayerId id, std::size_t operand, NodeId tile)
{
    const bool settled =
        refuges_.empty() || std::none_of(regions_.begin(), regions_.end(),
                                         [&](const Region& region) {
                                             return refuges_.count({region.layer, consumer_}) != 0;
                                         });
    if (!settled)
    {
        return read(tile);
    }
    const std::uint64_t key =
        (first_operand_[id.index()] + operand) * plan_.chip().tile_count() + tile.value();
    Known& known = images_[image_].known[key];
    if (!known.list.valid() || known.regions != regions_)
    {
        known.regions = regions_;
        known.list = read(tile);
    }
    return known.list;
}

CompactOperation Emitter::operation(OpKind kind, UnitId at, LayerId layer) const
{
    CompactOperation result;
    result.kind = kind;
    result.at = at;
    result.layer = layer;
    result.image = image_;
    return result;
}

CompactOperation Emitter::accumulation(LayerId id, const Volume& made, NodeId tile,
                                       std::size_t parts) const
{
    CompactOperation sum = operation(OpKind::vec, vector_unit(tile), id);
    sum.function = accumulate_function();
    make_ofm(sum, made);
    sum.n = count(made.elements() * parts, plan_.graph().network(), plan_.graph().layer(id));
    return sum;
}

Emitter::List Emitter::sum_of(const std::vector<Partial>& parts)
{
    in_.clear();
    for (const Partial& part : parts)
    {
        in_.push_back(part.operation);
    }
    return operations_.add_list(in_);
}

OpId Emitter::push(const CompactOperation& operation, const List* lists, std::size_t count,
                   std::uint32_t stream)
{
    throw_if_interrupted();
    if (operations_.size() == kMostOperations)
    {
        throw InputError({"", 0, ""},
                         "network '" + plan_.graph().network().name + "' needs more than " +
                             std::to_string(kMostOperations) + " operations",
                         "take smaller feature maps, or larger macros");
    }
    notes_.push_back({stream, kNoOperation});
    return operations_.push(operation, lists, count);
}

std::vector<Emitter::Datum>& Emitter::data(LayerId id)
{
    std::vector<Datum>& its = images_[image_].data[id.index()];
    if (its.empty())
    {
        const Grid& grid = plan_[id].grid;
        its.resize(std::size_t{grid.tasks()} * grid.groups.size());
    }
    return its;
}

bool Emitter::on_chip(LayerId id) const
{
    return plan_.graph().role(id) != Role::memory &&
           (plan_[id].stage == stage_ ||
            (deliveries_ != nullptr && deliveries_->resident[id.index()] != 0));
}

/// Rows take turns, so that all ports work; a datum is loaded where it was stored.
NodeId Emitter::port_of(LayerId id, std::size_t datum) const
{
    const Grid& grid = plan_[id].grid;
    const auto row = static_cast<std::uint32_t>(datum / grid.groups.size()) / grid.segments();
    return NodeId(plan_.chip().tile_count() + row % plan_.chip().memory.ports);
}

void Emitter::collect(std::size_t stage, std::vector<Readers>& readers) const
{
    for (std::uint32_t i = 0; i < plan_.graph().size(); ++i)
    {
        const bool own =
            plan_.graph().role(LayerId(i)) != Role::memory && plan_[LayerId(i)].stage == stage;
        Readers& its = readers[i];
        const std::vector<Datum>& data = images_.front().data[i]; // all images do the same
        if (!data.empty() && its.same_stage.size() != data.size())
        {
            its.same_stage.assign(data.size(), {});
            its.later.assign(data.size(), {});
        }
        for (std::size_t d = 0; d < data.size(); ++d)
        {
            const OpId by = own ? data[d].move : data[d].load;
            if (by.valid())
            {
                std::vector<NodeId>& all = own ? its.same_stage[d] : its.later[d];
                operations_.for_each_arrival(operations_[by],
                                             [&](trace::CompactTrace::Arrival arrival) {
                                                 all.push_back(operations_.destination(arrival).at);
                                             });
                std::sort(all.begin(), all.end());
                all.erase(std::unique(all.begin(), all.end()), all.end());
            }
        }
    }
}

UnitId Emitter::macro(const Slot& slot) const
{
    return UnitId(slot.tile.value() * (plan_.chip().tiles.macros + 2) + slot.macro);
}

UnitId Emitter::vector_unit(NodeId tile) const
{
    return macro({tile, plan_.chip().tiles.macros});
}

UnitId Emitter::network_interface(NodeId tile) const
{
    return macro({tile, plan_.chip().tiles.macros + 1});
}

UnitId Emitter::memory_port(std::uint32_t port) const
{
    return UnitId(macro({NodeId(plan_.chip().tile_count()), 0}).value() + port);
}

NodeId Emitter::node_of(UnitId unit) const
{
    const std::uint32_t first_port = memory_port(0).value();
    return unit.value() < first_port
               ? NodeId(unit.value() / (plan_.chip().tiles.macros + 2))
               : NodeId(plan_.chip().tile_count() + unit.value() - first_port);
}

trace::TracedUnit Emitter::traced(UnitId unit) const
{
    trace::TracedUnit result;
    result.node = node_of(unit);
    const std::uint32_t macros = plan_.chip().tiles.macros;
    if (!(unit < memory_port(0)))
    {
        result.kind = trace::UnitKind::memory_port;
        return result;
    }
    const std::uint32_t position = unit.value() % (macros + 2);
    if (position < macros)
    {
        result.position = position;
    }
    else
    {
        result.kind =
            position == macros ? trace::UnitKind::vector_unit : trace::UnitKind::network_interface;
    }
    return result;
}

std::size_t Emitter::unit_count() const
{
    return memory_port(plan_.chip().memory.ports).index();
}

} // namespace tessera::compiler
