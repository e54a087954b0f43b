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

/// Decides which layers run together, and in which order their work is issued.
class Schedule
{
public:
    virtual ~Schedule() = default;
    /// Contract: every crossbar and vector layer is in exactly one stage, after or in the stages of
    /// the layers whose data it reads; no stage is empty.
    [[nodiscard]] virtual std::vector<Stage> stages(const Graph& graph) const = 0;
    /// True: the sets of all layers of a stage are issued in the order of planned ends (Timetable).
    /// False: depth first, which keeps the fewest data alive.
    [[nodiscard]] virtual bool as_soon_as_possible() const = 0;
};

/// "layer-by-layer": one stage per crossbar layer, in the order of the network; a vector layer runs
/// along with the last crossbar layer that it depends on.
/// "xinf": all layers in one stage; a set starts as soon as the sets that it reads are there
/// (cross-layer inference, CLSA-CIM). Throws UsageError listing the known ones.
[[nodiscard]] const Schedule& schedule(const std::string& name);

} // namespace tessera::compiler
