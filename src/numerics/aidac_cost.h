// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/aidac.h"
#include "tessera/tick.h"

#include <string>
#include <vector>

namespace tessera::numerics
{

/// How long the stages of one product take, in ps, and what they hold: charge to weigh hold the
/// capacitors, and so does the chain unless converters sample their input.
struct AidacTiming
{
    Tick charge = 0;
    Tick multiply = 0;
    Tick share = 0;
    Tick weigh = 0;
    Tick chain = 0; ///< delay of every chained array, then the window
    Tick digitise = 0;
    bool sampled = false;

    [[nodiscard]] Tick latency() const
    {
        return charge + multiply + share + weigh + chain + digitise;
    }
    /// The longest time that one product holds one resource.
    [[nodiscard]] Tick interval() const;
};
[[nodiscard]] AidacTiming aidac_timing(const AidacModel& model, std::size_t chained);

/// One component's part in the energy of one product.
struct EnergyTerm
{
    std::string component;
    std::string formula;
    double joules = 0;
};
/// Of one product with inputs that are `level` of full scale on average: drivers, switches,
/// capacitors (C V^2 of what the groups are charged with), voltage-to-time converters,
/// accumulators, time-to-digital converters, control, and what an array draws whatever it does, for
/// the interval of the product. What arrays without work draw is not known: nothing is counted.
[[nodiscard]] std::vector<EnergyTerm> aidac_energy(const AidacModel& model,
                                                   const AidacScheme& scheme, const AidacCost& cost,
                                                   double level);
[[nodiscard]] double total(const std::vector<EnergyTerm>& terms);

} // namespace tessera::numerics
