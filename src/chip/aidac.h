// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/compute_unit.h"
#include "numerics/aidac_cost.h"
#include "tessera/summary.h"

#include <array>
#include <cstdint>
#include <memory>

namespace tessera::chip
{

/// What all AiDAC macros of a chip have in common.
struct AidacDesign
{
    numerics::AidacModel model;
    numerics::AidacScheme scheme;
    numerics::AidacCost cost;
    numerics::AidacTiming timing;
    std::vector<EnergySummary> energy; ///< of one product, by component
};

/// What inputs are on average, of full scale, where their energy counts: numbers that move in time
/// do not change times and energies. Assumed: as for the efficiency that papers state.
constexpr double kAidacInputLevel = 0.5;

/// Loads the model that `macro.aidac` names. Throws InputError where it does not fit the macro.
[[nodiscard]] AidacDesign aidac_design(const config::ChipConfig& chip);
[[nodiscard]] config::MacroTiming macro_timing(const AidacDesign& design);

/// One kind of circuit of an AiDAC macro, and what it has done so far.
struct AidacPart
{
    const char* name = "";
    Parameters parameters;
    std::vector<Stage> stages;            ///< during which it works
    Tick per_product = 0;                 ///< ps of them
    std::uint64_t energy_per_product = 0; ///< attojoules
    std::uint64_t products = 0; ///< replicas of a block make theirs at the same time: they are one

    [[nodiscard]] Tick busy() const { return products * per_product; }
    [[nodiscard]] std::uint64_t energy() const { return products * energy_per_product; }
};

/// A grid of arrays with row drivers, capacitors, time accumulators and time-to-digital converters.
class AidacMacro final : public Macro
{
public:
    AidacMacro(UnitPlace place, const config::ChipConfig::Macro& config, const AidacDesign& design,
               Wheel& wheel, Sequencer& sequencer, Ports& ports);
    [[nodiscard]] Parameters parameters() const override;
    /// Row drivers, capacitors, accumulators, converters.
    [[nodiscard]] const std::array<AidacPart, 4>& parts() const { return parts_; }
    [[nodiscard]] std::uint64_t products() const { return parts_.front().products; }

protected:
    Tick compute(Flight& flight, Tick from) override;

private:
    std::string model_;
    std::array<AidacPart, 4> parts_;
};

} // namespace tessera::chip
