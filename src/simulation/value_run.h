// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "simulation/run.h"
#include "tessera/values.h"
#include "values/comparison.h"
#include "values/machine.h"

#include <memory>
#include <optional>
#include <vector>

namespace tessera::simulation
{

/// The numbers of one run, whoever drives the chip.
class ValueRun
{
public:
    /// Programs the chip. Throws InputError where program, whole numbers, inputs and chip do not
    /// fit each other.
    ValueRun(const ChipModel& chip, const Program& program, const QuantizedNetwork& network,
             const Tensor& inputs, const ValueOptions& options, std::uint64_t seed);

    [[nodiscard]] const QuantizedNetwork& network() const { return network_; }

    /// Computes along with the run, and adds values.h5 to its results. Contract: `run` is of the
    /// same chip and program, and ends before this object.
    void follow(Run& run);

    /// After the run: what was computed, compared.
    [[nodiscard]] ValueResult finish(RunResult run);

private:
    /// Made once.
    const std::vector<values::LayerComparison>& compared();

    Program program_; ///< whose header the machine refers to
    QuantizedNetwork network_;
    ValueErrors errors_;
    values::Analogue analogue_;
    std::vector<values::Piece> pieces_;
    std::vector<values::Map<std::int32_t>> inputs_;
    std::unique_ptr<const values::Crossbars> crossbars_;
    std::unique_ptr<values::Machine> machine_;
    std::optional<std::vector<values::LayerComparison>> compared_;
};

} // namespace tessera::simulation
