// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/values.h"
#include "values/machine.h"

#include <filesystem>
#include <memory>
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

    /// For chip::Chip::follow().
    [[nodiscard]] chip::Follower& follower() { return *machine_; }

    /// After the run: compares, and writes values.h5 into the folder unless it is empty.
    [[nodiscard]] ValueResult finish(RunResult run, const std::filesystem::path& folder) const;

private:
    Program program_; ///< whose header the machine refers to
    QuantizedNetwork network_;
    ValueErrors errors_;
    values::Analogue analogue_;
    std::vector<values::Piece> pieces_;
    std::vector<values::Map<std::int32_t>> inputs_;
    std::unique_ptr<const values::Crossbars> crossbars_;
    std::unique_ptr<values::Machine> machine_;
};

} // namespace tessera::simulation
