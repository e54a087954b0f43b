// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/graph.h"

#include <string>
#include <vector>

namespace tessera::compiler
{

/// Layers that run together, in topological order: their rows flow from one to the next. A stage
/// starts when every operation of the stage before it has ended.
using Stage = std::vector<LayerId>;

/// Decides which layers run together.
class Schedule
{
public:
    virtual ~Schedule() = default;
    /// Contract: every crossbar and vector layer is in exactly one stage, after or in the stages of
    /// the layers whose data it reads; no stage is empty.
    [[nodiscard]] virtual std::vector<Stage> stages(const Graph& graph) const = 0;
};

/// "layer-by-layer": one stage per crossbar layer, in the order of the network; a vector layer runs
/// along with the last crossbar layer that it depends on. Throws UsageError listing the known ones.
[[nodiscard]] const Schedule& schedule(const std::string& name);

} // namespace tessera::compiler
