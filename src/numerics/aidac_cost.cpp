// SPDX-License-Identifier: Apache-2.0
#include "numerics/aidac_cost.h"

#include <algorithm>
#include <cmath>

namespace tessera::numerics
{
namespace
{

Tick picoseconds(double nanoseconds)
{
    return static_cast<Tick>(std::llround(nanoseconds * 1e3));
}

} // namespace

Tick AidacTiming::interval() const
{
    const Tick capacitors = charge + multiply + share + weigh + (sampled ? 0 : chain);
    return std::max({capacitors, chain, digitise});
}

AidacTiming aidac_timing(const AidacModel& model, std::size_t chained)
{
    AidacTiming timing;
    timing.charge = picoseconds(model.charge_ns);
    timing.multiply = picoseconds(model.multiply_ns);
    timing.share = picoseconds(model.share_ns);
    timing.weigh = picoseconds(model.weigh_ns);
    timing.chain = picoseconds(static_cast<double>(chained) * model.vtc_delay_ns + model.window_ns);
    timing.digitise = picoseconds(model.digitise_ns);
    timing.sampled = model.vtc_samples != 0;
    return timing;
}

std::vector<EnergyTerm> aidac_energy(const AidacModel& model, const AidacScheme& scheme,
                                     const AidacCost& cost, double level)
{
    const auto rows = static_cast<double>(cost.rows);
    const auto cells = static_cast<double>(cost.cells);
    const auto conversions = static_cast<double>(cost.conversions);
    const auto arrays = static_cast<double>(cost.chained * cost.beside);
    const double square = model.supply_v * model.supply_v;
    // The reference's cells and the first unit of a row are never charged by a driver.
    const double chargeable = rows * model.array_outputs * static_cast<double>(scheme.weight_bits) *
                              (1 - std::exp2(-static_cast<double>(scheme.input_bits)));
    const double seconds =
        static_cast<double>(aidac_timing(model, cost.chained).interval()) * 1e-12;
    return {
        {"row_drivers", "rows x driver_fJ", rows * model.driver_fj * 1e-15},
        {"switches", "cells x switch_fF x V^2", cells * model.switch_ff * 1e-15 * square},
        {"capacitors", "cells charged x input level x unit_fF x V^2",
         chargeable * level * model.unit_ff * 1e-15 * square},
        {"voltage_to_time", "conversions x vtc_fJ", conversions * model.vtc_fj * 1e-15},
        {"accumulators", "conversions x accumulator_fJ",
         conversions * model.accumulator_fj * 1e-15},
        {"time_to_digital", "outputs x tdc_fJ",
         static_cast<double>(cost.tdcs) * model.tdc_fj * 1e-15},
        {"control", "arrays x control_fJ", arrays * model.control_fj * 1e-15},
        {"static_while_computing", "arrays x static_uW x interval of a product",
         arrays * model.static_uw * 1e-6 * seconds},
    };
}

double total(const std::vector<EnergyTerm>& terms)
{
    double sum = 0;
    for (const EnergyTerm& term : terms)
    {
        sum += term.joules;
    }
    return sum;
}

} // namespace tessera::numerics
