// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/command.h"
#include "cli/workload.h"
#include "values/comparison.h"

#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>
#include <vector>

namespace tessera::cli
{

/// `tessera run --values`: numbers in everything that a chip moves and computes.
class ValueRun
{
public:
    static void add_options(Options& options);

    /// Reads images and whole numbers, and programs the chip. Throws InputError, UsageError.
    ValueRun(const Options& options, const Workload& workload);

    [[nodiscard]] chip::Follower& follower() { return *machine_; }

    /// After the run: compares, and writes values.h5 into the folder.
    void finish(const std::string& folder);
    void print(std::ostream& out) const;
    [[nodiscard]] nlohmann::ordered_json json() const;
    /// Throws SimulationError if data were read before they had arrived, or if what must be equal
    /// bit for bit is not.
    void judge() const;

private:
    values::IntegerNetwork integers_;
    values::Analogue analogue_;
    std::vector<values::Piece> pieces_;
    std::vector<values::Map<std::int32_t>> inputs_;
    std::string errors_; ///< "all", "noiseless", "lossless"
    std::unique_ptr<const values::Crossbars> crossbars_;
    std::unique_ptr<values::Machine> machine_;
    std::vector<values::LayerComparison> layers_;
};

} // namespace tessera::cli
