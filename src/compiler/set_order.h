// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/plan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace tessera::compiler
{

/// In which order a layer makes its sets (CLSA-CIM's stage III).
///
/// "raster": row by row.
/// "demand:P": in the order in which the network's outputs need them. Outputs are made row by row,
/// but the last P percent of their rows column by column: the last set of the first layer, which is
/// the end of the longest chain of work, is then needed by a few sets of each later layer and not
/// by the last rows of all of them, so a pipeline drains fast. A set that nobody needs comes where
/// an output at its place would.
class SetOrder
{
public:
    /// Throws UsageError for anything else.
    explicit SetOrder(const std::string& name);
    [[nodiscard]] static SetOrder demand(std::uint32_t percent);

    [[nodiscard]] bool raster() const { return !percent_.has_value(); }
    /// By layer and set (Grid::set_at): how many sets of the layer are made before it. Layers
    /// without sets of their own have none. Contract: every task of the grids is a set.
    [[nodiscard]] std::vector<std::vector<std::uint32_t>>
    ranks(const Graph& graph, const std::vector<LayerPlan>& layers) const;

private:
    SetOrder() = default;
    std::optional<std::uint32_t> percent_; ///< nothing: raster
};

/// The options, with "demand" replaced by the order whose planned makespan is the least of a dozen:
/// "raster", which residual connections often make the shortest, or a "demand:P" (ties: raster,
/// then the smallest P). Anything else is left as it is.
[[nodiscard]] PlanOptions settled(const Graph& graph, const config::ChipConfig& chip,
                                  const Schedule& schedule, PlanOptions options);

} // namespace tessera::compiler
