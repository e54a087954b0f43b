// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/traffic.h"
#include "config/chip_config.h"
#include "tessera/ids.h"

#include <cstdint>
#include <vector>

namespace tessera::compiler
{

/// A macro of the chip.
struct Slot
{
    NodeId tile;
    std::uint32_t macro = 0; ///< inside the tile
};

/// Tiles in the order in which their macros are filled with blocks, layer after layer.
using TileOrder = std::vector<NodeId>;

/// Decides where on the chip what belongs together comes to lie. Which blocks share a tile is the
/// same for every placement; so what has to travel is too, and only how far is decided here.
class Placement
{
public:
    virtual ~Placement() = default;
    /// Every tile of the chip once. `traffic`: of the same program with the tiles filled in the
    /// order of their numbers; empty unless asked for.
    [[nodiscard]] virtual TileOrder order(const config::ChipConfig& chip,
                                          const std::vector<Flow>& traffic) const = 0;
    [[nodiscard]] virtual bool asks_for_traffic() const { return false; }
};

/// The policy `mapping.placement` names:
/// - "row-major": the order of their numbers.
/// - "snake": every other row backwards, so that each tile is beside the one before.
/// - "traffic": few bytes x hops; never more than either of these. Deterministic and bounded: a
///   construction along the greatest flows, then exchanges of tiles until none helps.
/// Throws InputError listing the known ones.
[[nodiscard]] const Placement& placement(const config::ChipConfig& chip);

} // namespace tessera::compiler
