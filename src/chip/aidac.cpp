// SPDX-License-Identifier: Apache-2.0
#include "chip/aidac.h"

#include "base/quantity.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <string_view>

namespace tessera::chip
{
namespace
{

std::array<AidacPart, 4> parts_of(const AidacDesign& design)
{
    const numerics::AidacCost& cost = design.cost;
    const numerics::AidacTiming& timing = design.timing;
    const auto count = [](std::size_t number) { return std::to_string(number); };
    const auto energy = [&](std::initializer_list<std::string_view> components)
    {
        std::uint64_t sum = 0;
        for (const EnergySummary& term : design.energy)
        {
            const bool its =
                std::find(components.begin(), components.end(), term.component) != components.end();
            sum += its ? term.attojoules : 0;
        }
        return sum;
    };
    return {{
        {"row_driver",
         {{"rows", count(cost.rows)}},
         {Stage::charge},
         timing.charge,
         energy({"row_drivers"})},
        {"capacitor_array",
         {{"arrays", count(cost.chained * cost.beside)}, {"cells", count(cost.cells)}},
         {Stage::multiply, Stage::share, Stage::weigh},
         timing.multiply + timing.share + timing.weigh,
         energy({"switches", "capacitors"})},
        {"column_time_accumulator",
         {{"chains", count(cost.beside * cost.groups_per_array)},
          {"conversions", count(cost.conversions)}},
         {Stage::chain},
         timing.chain,
         energy({"voltage_to_time", "accumulators"})},
        {"tdc",
         {{"converters", count(cost.tdcs)},
          {"bits", count(static_cast<std::size_t>(design.model.tdc_bits))}},
         {Stage::digitise},
         timing.digitise,
         energy({"time_to_digital"})},
    }};
}

} // namespace

AidacDesign aidac_design(const config::ChipConfig& chip)
{
    const config::ChipConfig::Macro& macro = chip.macro;
    AidacDesign design;
    design.model = numerics::load_aidac(macro.aidac.model, chip.place("macro.aidac.model"));
    design.scheme.weight_bits = macro.weight_bits;
    design.scheme.input_bits = macro.input_bits;
    design.scheme.signs =
        macro.aidac.signs == "paired" ? numerics::AidacSigns::paired : numerics::AidacSigns::offset;
    try
    {
        design.cost = numerics::aidac_cost(design.model, design.scheme, macro.rows, macro.columns);
    }
    catch (const InputError& error) // which knows the model's own name only
    {
        throw InputError({macro.aidac.model, 0, error.place().pointer}, error.problem(),
                         error.remedy());
    }
    design.timing = numerics::aidac_timing(design.model, design.cost.chained);
    for (const numerics::EnergyTerm& term :
         numerics::aidac_energy(design.model, design.scheme, design.cost, kAidacInputLevel))
    {
        design.energy.push_back({term.component, term.formula,
                                 static_cast<std::uint64_t>(std::llround(term.joules * 1e18))});
    }
    return design;
}

config::MacroTiming macro_timing(const AidacDesign& design)
{
    const numerics::AidacTiming& lengths = design.timing;
    config::MacroTiming timing;
    Duration sum;
    for (const auto& [stage, length] : {std::pair{Stage::charge, lengths.charge},
                                        {Stage::multiply, lengths.multiply},
                                        {Stage::share, lengths.share},
                                        {Stage::weigh, lengths.weigh},
                                        {Stage::chain, lengths.chain},
                                        {Stage::digitise, lengths.digitise}})
    {
        const Duration duration = Duration::of_ticks(length);
        if (!duration.zero())
        {
            timing.stages.push_back({stage, sum, duration});
        }
        sum = sum + duration;
    }
    for (std::size_t i = 1; i < timing.stages.size(); ++i)
    {
        if (timing.stages[i].length.ticks > timing.stages[timing.bottleneck].length.ticks)
        {
            timing.bottleneck = i;
        }
    }
    timing.latency = sum;
    timing.interval = timing.slice_interval = Duration::of_ticks(lengths.interval());
    return timing;
}

AidacMacro::AidacMacro(UnitPlace place, const config::ChipConfig::Macro& config,
                       const AidacDesign& design, Wheel& wheel, Sequencer& sequencer, Ports& ports)
    : Macro(std::move(place), config, macro_timing(design), wheel, sequencer, ports),
      model_(design.model.name),
      parts_(parts_of(design))
{
}

Parameters AidacMacro::parameters() const
{
    Parameters parameters = Macro::parameters();
    parameters.emplace_back("model", model_);
    return parameters;
}

Tick AidacMacro::compute(Flight& flight, Tick from)
{
    if (flight.op.kind == trace::OpKind::mvm)
    {
        const std::uint64_t products = entries(flight.op);
        for (AidacPart& part : parts_)
        {
            part.products += products;
        }
    }
    return Macro::compute(flight, from);
}

} // namespace tessera::chip
