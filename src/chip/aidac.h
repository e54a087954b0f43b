// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "chip/compute_unit.h"
#include "numerics/aidac_cost.h"

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
};

/// Loads the model that `macro.aidac` names. Throws InputError where it does not fit the macro.
[[nodiscard]] AidacDesign aidac_design(const config::ChipConfig::Macro& macro);
[[nodiscard]] config::MacroTiming macro_timing(const AidacDesign& design);

/// One kind of circuit of an AiDAC macro, and what it has done so far.
struct AidacPart
{
    const char* name = "";
    Parameters parameters;
    std::vector<Stage> stages;  ///< during which it works
    Tick per_product = 0;       ///< ps of them
    std::uint64_t products = 0; ///< replicas of a block make theirs at the same time: they are one

    [[nodiscard]] Tick busy() const { return products * per_product; }
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

protected:
    Tick compute(Flight& flight, Tick from) override;

private:
    std::string model_;
    std::array<AidacPart, 4> parts_;
};

} // namespace tessera::chip
