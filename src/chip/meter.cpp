// SPDX-License-Identifier: Apache-2.0
#include "chip/meter.h"

#include "base/time_limit.h"

#include <algorithm>

namespace tessera::chip
{
namespace
{

/// In the order of the chip, whatever changed first.
template <class Figures> void sort(Reading::Changes<Figures>& changes)
{
    std::sort(changes.begin(), changes.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
}

} // namespace

Meter::Meter(Chip& chip)
    : chip_(chip),
      told_(chip.units().size()),
      layers_(chip.sequencer().layers().size()),
      present_(layers_.size()),
      links_(chip.fabric().links(0).size()),
      waits_(chip.buffers().size(), 0)
{
    units_.start(told_.size());
    for (IssueUnit* const unit : chip.units())
    {
        unit->tell(units_);
        ++steady_[static_cast<std::size_t>(unit->place().kind)]
                 [static_cast<std::size_t>(Stage::no_work)];
    }
    chip.fabric().watch();
    buffers_.touched.start(waits_.size());
    chip.watch(buffers_);
}

const Reading& Meter::read(Tick at)
{
    reading_.begin = reading_.end;
    reading_.end = at;
    if (at - reading_.begin > longest())
    {
        throw SimulationError("a window of " + std::to_string(at - reading_.begin) +
                              " ps is too long for the times of " +
                              std::to_string(chip_.units().size()) +
                              " units to be added up; give --stats-every at most " +
                              std::to_string(longest()) + " ps");
    }
    reading_.operations = 0;
    reading_.vectors = 0;
    reading_.events = chip_.wheel().delivered() - events_;
    reading_.computing = 0;
    reading_.layers.clear();
    reading_.links.clear();
    reading_.buffers.clear();
    events_ = chip_.wheel().delivered();
    const auto length = static_cast<std::int64_t>(at - reading_.begin);
    for (std::size_t kind = 0; kind < reading_.kinds.size(); ++kind)
    {
        reading_.kinds[kind].operations = 0;
        for (unsigned stage = 0; stage < kStages; ++stage)
        {
            reading_.kinds[kind].time[stage] =
                static_cast<std::int64_t>(steady_[kind][stage]) * length;
        }
    }
    units_.take([this](std::uint32_t number) { return read_unit(number); });
    read_layers();
    read_links();
    read_buffers();
    return reading_;
}

Tick Meter::longest() const
{
    return kLongestSum / std::max<std::size_t>(chip_.units().size(), 1);
}

/// True: it changes by itself.
bool Meter::read_unit(std::size_t number)
{
    const IssueUnit& unit = *chip_.units()[number];
    const UnitPlace& place = unit.place();
    Told& told = told_[number];
    Reading::Kind& kind = reading_.kinds[static_cast<std::size_t>(place.kind)];
    auto& steady = steady_[static_cast<std::size_t>(place.kind)];
    if (told.steady)
    {
        // It has been counted up to the end, and was steady up to the beginning at least.
        const auto stage = static_cast<std::size_t>(told.stage);
        --steady[stage];
        kind.time[stage] -= static_cast<std::int64_t>(reading_.end - reading_.begin);
        told.time[stage] += reading_.begin - told.at;
    }
    const auto in_flight = [&](const Flight& flight, Stage stage, Tick length)
    {
        if (place.crossbar && computes(stage))
        {
            if (const auto layer = chip_.sequencer().layer_of(flight.op))
            {
                present_[*layer].compute_time += length;
            }
        }
    };
    const IssueUnit::Times now = unit.times(reading_.end, in_flight);
    for (unsigned stage = 0; stage < kStages; ++stage)
    {
        const Tick difference = now[stage] - told.time[stage];
        kind.time[stage] += static_cast<std::int64_t>(difference);
        reading_.computing +=
            place.crossbar && computes(static_cast<Stage>(stage)) ? difference : 0;
    }
    for (const Flight* const flight : unit.flights())
    {
        const auto layer = chip_.sequencer().layer_of(flight->op);
        if (layer && on_macro(flight->op.kind))
        {
            present_[*layer].macro_time += reading_.end - flight->start;
        }
    }
    kind.operations += unit.operations() - told.operations;
    reading_.operations += unit.operations() - told.operations;
    reading_.vectors += unit.vectors() - told.vectors;
    const auto stage = unit.steady();
    told = {now,
            reading_.end,
            unit.operations(),
            unit.vectors(),
            stage.has_value(),
            stage.value_or(Stage::no_work)};
    if (stage)
    {
        ++steady[static_cast<std::size_t>(*stage)];
    }
    return !stage;
}

void Meter::read_layers()
{
    const std::vector<LayerSummary>& ended = chip_.sequencer().layers();
    for (std::size_t i = 0; i < ended.size(); ++i)
    {
        const Reading::Layer now{ended[i].operations,
                                 ended[i].vectors,
                                 ended[i].moved_bytes,
                                 ended[i].memory_bytes,
                                 ended[i].compute_time + present_[i].compute_time,
                                 ended[i].macro_time + present_[i].macro_time};
        present_[i] = {};
        const Reading::Layer& told = layers_[i];
        if (now.operations != told.operations || now.compute_time != told.compute_time ||
            now.macro_time != told.macro_time)
        {
            reading_.layers.push_back(
                {static_cast<std::uint32_t>(i),
                 {now.operations - told.operations, now.vectors - told.vectors,
                  now.moved_bytes - told.moved_bytes, now.memory_bytes - told.memory_bytes,
                  now.compute_time - told.compute_time, now.macro_time - told.macro_time}});
            layers_[i] = now;
        }
    }
}

void Meter::read_links()
{
    chip_.fabric().changes(
        reading_.end,
        [this](std::size_t link, const noc::Fabric::LinkFigures& now)
        {
            const noc::Fabric::LinkFigures told = links_[link];
            if (now.flits != told.flits || now.busy != told.busy || now.stalled != told.stalled)
            {
                reading_.links.push_back(
                    {static_cast<std::uint32_t>(link),
                     {now.flits - told.flits, now.busy - told.busy, now.stalled - told.stalled}});
                links_[link] = now;
            }
        });
    sort(reading_.links);
}

void Meter::read_buffers()
{
    buffers_.touched.take(
        [this](std::uint32_t number)
        {
            const double byte_ticks = chip_.take_recent(number, reading_.end);
            const Buffer& buffer = chip_.buffers()[number];
            reading_.buffers.push_back(
                {number, {buffer.used(), byte_ticks, buffer.waits() - waits_[number]}});
            waits_[number] = buffer.waits();
            return false;
        });
    sort(reading_.buffers);
    buffers_.begin = reading_.end;
}

} // namespace tessera::chip
