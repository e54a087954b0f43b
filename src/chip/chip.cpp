// SPDX-License-Identifier: Apache-2.0
#include "chip/chip.h"

#include "base/integer.h"
#include "base/interrupt.h"
#include "base/throughput.h"
#include "chip/deadlock.h"
#include "noc/fabric.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <string>
#include <unordered_set>

namespace tessera::chip
{
namespace
{

// A few milliseconds, whatever the events do.
constexpr std::uint64_t kEventsPerLook = std::uint64_t{1} << 13U;

} // namespace

Chip::Layout::Layout(const config::ChipConfig& config)
    : units_per_tile(config.tiles.macros + 2),
      units(config.tile_count() * units_per_tile + config.memory.ports),
      space(units),
      ports(space + 1),
      sequencer(ports + config.tile_count()),
      fabric(sequencer + 1),
      sleepers(fabric + noc::fabric_wake_count(config))
{
}

Chip::Chip(const config::ChipConfig& config, trace::OperationSource& source, ActivitySink& sink,
           std::uint64_t shuffle, const std::vector<UnitId>& external)
    : config_(config),
      aidac_(config.macro.kind == "aidac"
                 ? std::make_unique<const AidacDesign>(aidac_design(config))
                 : nullptr),
      timing_(aidac_ ? macro_timing(*aidac_) : macro_timing(config.macro)),
      digital_timing_(macro_timing(config.digital.macro)),
      source_(source),
      sink_(sink),
      layout_(config),
      wheel_(layout_.sleepers),
      outbox_(wheel_)
{
    build(shuffle, external);
    assign_streams();
    if (shuffle != 0)
    {
        wheel_.shuffle_wakes(shuffle);
    }
}

UnitId Chip::macro(TileId tile, std::uint32_t position) const
{
    return UnitId(tile.value() * layout_.units_per_tile + position);
}

UnitId Chip::vector_unit(TileId tile) const
{
    return macro(tile, config_.tiles.macros);
}

UnitId Chip::network_interface(TileId tile) const
{
    return macro(tile, config_.tiles.macros + 1);
}

UnitId Chip::memory_port(std::uint32_t port) const
{
    return UnitId(config_.tile_count() * layout_.units_per_tile + port);
}

void Chip::build(std::uint64_t shuffle, const std::vector<UnitId>& external)
{
    const std::uint32_t tiles = config_.tile_count();
    for (std::uint32_t tile = 0; tile < tiles; ++tile)
    {
        buffers_.emplace_back("t" + std::to_string(tile), config_.buffer.capacity);
        ports_.push_back(std::make_unique<Ports>(wheel_, layout_.ports + tile, config_.buffer));
        wheel_.attach(layout_.ports + tile, *ports_.back(), buffers_.back().name() + ".ports");
    }
    clients_.resize(layout_.units);
    units_.resize(layout_.units);
    owned_.resize(layout_.units);
    memory_ports_.resize(config_.memory.ports);
    space_ = std::make_unique<SpaceAllocator>(wheel_, layout_.space, buffers_, clients_);
    wheel_.attach(layout_.space, *space_, "space");
    sequencer_ =
        std::make_unique<Sequencer>(wheel_, layout_.sequencer, config_.clock, source_, sink_);
    wheel_.attach(layout_.sequencer, *sequencer_, "sequencer");
    fabric_ = noc::make_fabric(config_, wheel_, layout_.fabric, *sequencer_);

    std::vector<std::uint32_t> order(layout_.units);
    std::iota(order.begin(), order.end(), 0U);
    for (std::size_t i = order.size(); shuffle != 0 && i > 1; --i)
    {
        std::swap(order[i - 1], order[(shuffle * i * 0x9E3779B97F4A7C15ULL >> 32U) % i]);
    }
    std::vector<bool> outside(layout_.units, false);
    for (const UnitId unit : external)
    {
        outside.at(unit.index()) = true;
    }
    for (const std::uint32_t unit : order)
    {
        throw_if_interrupted();
        build_unit(UnitId(unit), outside[unit]);
    }
    sequencer_->connect(units_, *space_);
}

void Chip::build_unit(UnitId id, bool external)
{
    const std::uint32_t tiles = config_.tile_count();
    const std::uint32_t tile = id.value() / layout_.units_per_tile;
    const std::uint32_t position = id.value() % layout_.units_per_tile;
    std::unique_ptr<IssueUnit> unit;
    if (tile >= tiles)
    {
        const std::uint32_t port = id.value() - tiles * layout_.units_per_tile;
        UnitPlace place{id, trace::UnitKind::memory_port, NodeId(tiles + port),
                        "mem" + std::to_string(port)};
        auto memory = std::make_unique<MemoryPort>(std::move(place), config_, wheel_, *sequencer_,
                                                   *fabric_, external ? &outbox_ : nullptr);
        memory_ports_[port] = memory.get();
        unit = std::move(memory);
    }
    else
    {
        const std::string& tile_name = buffers_[tile].name();
        Ports& ports = *ports_[tile];
        if (position < config_.tiles.macros)
        {
            UnitPlace place{id, trace::UnitKind::macro, NodeId(tile),
                            tile_name + ".m" + std::to_string(position)};
            const bool digital = config_.is_digital(tile);
            place.crossbar = !digital;
            const config::ChipConfig::Macro& macro = config_.macro_of(tile);
            const config::MacroTiming& timing = digital ? digital_timing_ : timing_;
            if (external)
            {
                unit = std::make_unique<ForeignMacro>(std::move(place), macro, timing, wheel_,
                                                      *sequencer_, ports, outbox_);
            }
            else if (aidac_ && !digital)
            {
                unit = std::make_unique<AidacMacro>(std::move(place), macro, *aidac_, wheel_,
                                                    *sequencer_, ports);
            }
            else
            {
                unit = std::make_unique<Macro>(std::move(place), macro, timing, wheel_, *sequencer_,
                                               ports);
            }
        }
        else if (position == config_.tiles.macros)
        {
            unit = std::make_unique<VectorUnit>(
                UnitPlace{id, trace::UnitKind::vector_unit, NodeId(tile), tile_name + ".vec"},
                config_.vector, wheel_, *sequencer_, ports);
        }
        else
        {
            unit = std::make_unique<NetworkInterface>(
                UnitPlace{id, trace::UnitKind::network_interface, NodeId(tile), tile_name + ".ni"},
                config_.noc, wheel_, *sequencer_, *fabric_, tiles, memory_ports_);
        }
    }
    wheel_.attach(id.value(), *unit, unit->place().name);
    clients_[id.index()] = unit.get();
    units_[id.index()] = unit.get();
    owned_[id.index()] = std::move(unit);
}

void Chip::assign_streams()
{
    const trace::Header& header = source_.header();
    const auto refuse = [&](const std::string& what, const std::string& has)
    {
        throw InputError({source_.name(), 1, ""},
                         "the trace uses " + what + ", the chip has " + has,
                         "run it on the chip it was compiled for, or compile it again");
    };
    if (header.memory_ports > config_.memory.ports)
    {
        refuse(std::to_string(header.memory_ports) + " memory ports",
               std::to_string(config_.memory.ports));
    }
    if (header.tiles != config_.tile_count())
    {
        // Nodes are numbered tiles first, then memory ports: the numbers only mean the same when
        // the number of tiles does.
        refuse(std::to_string(header.tiles) + " tiles", std::to_string(config_.tile_count()));
    }
    for (std::size_t stream = 0; stream < header.units.size(); ++stream)
    {
        const trace::TracedUnit& traced = header.units[stream];
        UnitId unit;
        switch (traced.kind)
        {
        case trace::UnitKind::macro:
            if (traced.position >= config_.tiles.macros)
            {
                refuse("macro " + traced.name(header.tiles),
                       std::to_string(config_.tiles.macros) + " macros per tile");
            }
            unit = macro(TileId(traced.node.value()), traced.position);
            break;
        case trace::UnitKind::vector_unit:
            unit = vector_unit(TileId(traced.node.value()));
            break;
        case trace::UnitKind::network_interface:
            unit = network_interface(TileId(traced.node.value()));
            break;
        case trace::UnitKind::memory_port:
            unit = memory_port(traced.node.value() - header.tiles);
            break;
        }
        sequencer_->assign(unit, UnitId(static_cast<std::uint32_t>(stream)));
    }
    check_blocks();
    count_crossbars();
}

void Chip::count_crossbars()
{
    const trace::Header& header = source_.header();
    const auto is_crossbar = [&](const trace::TracedUnit& unit)
    { return unit.kind == trace::UnitKind::macro && !config_.is_digital(unit.node.value()); };
    std::unordered_set<std::uint32_t> holders;
    std::vector<std::unordered_set<std::uint32_t>> of_layer(header.layers.size());
    for (const trace::Block& block : header.blocks)
    {
        if (is_crossbar(header.units[block.at.index()]))
        {
            holders.insert(block.at.value());
            of_layer.at(block.layer.index()).insert(block.at.value());
        }
    }
    // Foreign traces may leave the placement out: then what works holds weights.
    crossbars_ = static_cast<std::uint32_t>(
        !holders.empty() ? holders.size()
                         : std::count_if(header.units.begin(), header.units.end(),
                                         [&](const trace::TracedUnit& unit)
                                         { return is_crossbar(unit) && unit.operations != 0; }));
    for (const auto& crossbars : of_layer)
    {
        crossbars_of_.push_back(static_cast<std::uint32_t>(crossbars.size()));
    }
}

/// Blocks lie within their macros, and leave room for the reference columns that they need there.
void Chip::check_blocks() const
{
    const trace::Header& header = source_.header();
    const auto refuse = [&](std::size_t block, const std::string& problem)
    {
        throw InputError({source_.name(), 1, "/placement/blocks/" + std::to_string(block)}, problem,
                         "run it on the chip it was compiled for, or compile it again");
    };
    std::vector<trace::Block> physical = header.blocks;
    std::map<UnitId, std::vector<std::size_t>> shared; // blocks beside references, by macro
    for (std::size_t i = 0; i < physical.size(); ++i)
    {
        trace::Block& block = physical[i];
        const trace::TracedUnit& home = header.units[block.at.index()];
        const config::ChipConfig::Macro& macro = config_.macro_of(home.node.value());
        const std::uint32_t references = macro.reference_columns();
        block.references = std::max(block.references, references); // a foreign trace may not say
        const std::uint64_t last_row = block.row_at + block.height();
        const std::uint64_t last_column = block.column_at + block.width();
        if (last_row > macro.rows || last_column > std::uint64_t{macro.columns} + references)
        {
            refuse(i, fmt::format("the trace uses {} rows and {} columns{} of macro {}, the chip "
                                  "has macros of {}x{}{}",
                                  last_row, last_column,
                                  block.references == 0 ? "" : ", references included,",
                                  home.name(header.tiles), macro.rows, macro.columns,
                                  references == 0 ? "" : " and a reference column"));
        }
        if (references != 0)
        {
            shared[block.at].push_back(i);
        }
    }
    for (const auto& [unit, blocks] : shared)
    {
        for (std::size_t a = 0; a < blocks.size(); ++a)
        {
            for (std::size_t b = 0; b < a; ++b)
            {
                if (trace::overlap(physical[blocks[a]], physical[blocks[b]]) &&
                    !trace::overlap(header.blocks[blocks[a]], header.blocks[blocks[b]]))
                {
                    refuse(blocks[a],
                           fmt::format("leaves no room for reference columns beside block {} in "
                                       "macro {}, whose signs are made with an offset",
                                       blocks[b], header.units[unit.index()].name(header.tiles)));
                }
            }
        }
    }
}

void Chip::answer(std::uint32_t tag, Tick waited, Tick end)
{
    outbox_.note_answer();
    Flight& flight = sequencer_->flight(tag);
    units_[flight.unit.index()]->answered(flight, waited, end);
}

void Chip::accept(std::uint32_t tag, Tick tick)
{
    Flight& flight = sequencer_->flight(tag);
    units_[flight.unit.index()]->accepted(flight, tick);
}

void Chip::watch(BufferWatch& watch)
{
    for (std::size_t tile = 0; tile < buffers_.size(); ++tile)
    {
        buffers_[tile].tell(watch, tile);
    }
}

std::unique_ptr<IssueUnit> Chip::release(UnitId unit)
{
    return std::move(owned_[unit.index()]);
}

bool Chip::done() const
{
    return sequencer_->ended() == sequencer_->total();
}

Progress Chip::progress() const
{
    return {wheel_.now(), wheel_.delivered(), sequencer_->ended(), sequencer_->total()};
}

bool Chip::advance(Tick limit, const Monitor& monitor)
{
    const std::uint64_t asked = outbox_.asked();
    if (!looked_)
    {
        looked_ = true; // however few events there are, and however long it took to build the chip
        if (monitor && !monitor(progress()))
        {
            return false;
        }
    }
    for (;;)
    {
        const Tick last = std::min({limit, until_, look_at_});
        wheel_.pause_after(wheel_.delivered() + kEventsPerLook);
        wheel_.run_until(last);
        if (outbox_.asked() != asked)
        {
            return true;
        }
        const Tick next = wheel_.next();
        if (next == kNever)
        {
            return true;
        }
        if (next > last)
        {
            if (last == look_at_)
            {
                seen_ = look_at_; // also where looking ends the run
                look_(look_at_);
                look_at_ = look_at_ < kNever - look_period_ ? look_at_ + look_period_ : kNever;
            }
            else if (last == until_)
            {
                reached_limit_ = !done();
                limit_ = until_;
                until_ = kNever; // what is left of a run that is done moves credits, nothing else
                if (reached_limit_)
                {
                    return false;
                }
            }
            else
            {
                return true;
            }
        }
        if (monitor && !monitor(progress()))
        {
            return false;
        }
    }
}

void Chip::close()
{
    sequencer_->settle();
    sequencer_->close(span(), reached_limit_);
    if (!done())
    {
        sequencer_->cut(span());
    }
    closed_ = true;
    sink_.operations.finish();
    sink_.dependencies.finish();
    sink_.intervals.finish();
    sink_.stalls.finish();
    sink_.cycles.finish();
    sink_.images.finish();
}

void Chip::look_every(Tick period, std::function<void(Tick)> look)
{
    look_period_ = look_at_ = period;
    look_ = std::move(look);
}

Tick Chip::span() const
{
    return done()           ? sequencer_->makespan()
           : reached_limit_ ? limit_
                            : std::max(wheel_.now(), seen_);
}

Summary Chip::summary(Tick at) const
{
    Summary summary;
    summary.span = at;
    summary.complete = done();
    summary.operations = sequencer_->ended();
    summary.unfinished = sequencer_->unfinished();
    summary.events = wheel_.delivered();
    Wide computing = 0;
    for (const IssueUnit* const unit : units_)
    {
        summary.units.push_back(unit->summary(at));
        for (unsigned stage = 0; unit->place().crossbar && stage < kStages; ++stage)
        {
            computing += computes(static_cast<Stage>(stage)) ? summary.units.back().time[stage] : 0;
        }
    }
    if (aidac_)
    {
        std::uint64_t products = 0;
        for (const IssueUnit* const unit : units_)
        {
            const auto* const macro = dynamic_cast<const AidacMacro*>(unit);
            products += macro != nullptr ? macro->products() : 0;
        }
        summary.energy = aidac_->energy;
        for (EnergySummary& term : summary.energy)
        {
            term.attojoules *= products;
        }
    }
    for (const Buffer& buffer : buffers_)
    {
        summary.buffers.push_back(buffer.summary(at));
    }
    summary.links = fabric_->links(at);
    summary.layers = sequencer_->layers();
    for (std::size_t i = 0; i < summary.layers.size(); ++i)
    {
        LayerSummary& layer = summary.layers[i];
        layer.crossbars = crossbars_of_[i];
        layer.start = layer.start == kNever ? sequencer_->padding_start(i) : layer.start;
    }
    if (closed_)
    {
        summary.images = image_summary([this](const ImageVisitor& visit)
                                       { sequencer_->images().for_each(visit); },
                                       sequencer_->in_turns());
    }
    summary.crossbars = crossbars_;
    summary.utilization = utilization_of(static_cast<double>(computing), crossbars_, at);
    return summary;
}

bool run_native(Chip& chip, const Monitor& monitor)
{
    if (!chip.advance(kNever - 1, monitor))
    {
        return false;
    }
    if (chip.wheel().idle() && !chip.done())
    {
        throw_deadlock(chip);
    }
    return true;
}

} // namespace tessera::chip
