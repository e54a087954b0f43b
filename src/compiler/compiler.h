// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/plan.h"
#include "config/chip_config.h"
#include "network/network.h"
#include "tessera/mapping_report.h"
#include "tessera/progress.h"
#include "trace/compact.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>

/// From a network and a chip to a trace.
///
/// Layers of the kinds in `mapping.on_crossbar` are cut into blocks that lie in macros; the rest is
/// computed by vector units. So are convolutions with groups (depthwise ones too), whose weight
/// matrices are nearly empty, unless `mapping.depthwise` puts them on crossbars, where the groups
/// lie along the diagonals of blocks. Products of two feature maps are too, unless
/// `mapping.attention` says into which macros their second operands are written. Weights of vector
/// layers are not moved.
///
/// What an operation means, for whoever computes values:
/// - mvm: rows of the layer's output (`ofm`: rows, columns, and the block's columns as channels) as
///   far as the weights of `block` contribute. Its operands hold the input elements, padding apart,
///   that the block's rows multiply; row (ky * kernel width + kx) * channels + c of the weight
///   matrix multiplies channel c at (ky, kx). With groups, each group has such rows for the
///   channels that it has, one group after the other, and only its own columns are not zero there.
///   `bits` = input bits + weight bits + ceil(log2(rows of the block that one column adds up)).
/// - vec accumulate: the sum of its operands. If `bits` is that of the layer's tensor it is the
/// last one
///   and also adds the bias, applies the batch_norm and activation layers that follow the crossbar
///   layer (and have no other input), and requantises; else it is the sum of one tile, still at
///   full width, and travels on.
/// - other vec: the layer's function, for the elements `ofm` of its output. Operands are listed
/// operand
///   layer by operand layer. `n` counts elementary operations (Graph::work).
/// - move: `ofm` of the output of `layer`, or of a partial sum of it (wider `bits`).
/// - load, store: `box` of `tensor`. The tensor of a crossbar layer is that of the last layer fused
///   into it. `layer` of a load is the layer that asked for it first.
/// - program: rows of a block are written: weights that a load brought, or, with `tensor` and
///   `box`, that part of the second operand of a matmul. Row h * d + k of a matmul's matrix, whose
///   heads have a common dimension of d, multiplies element k of head h; its columns are those of
///   all heads, one head after the other.
/// concat, split, pad and reshape make no operations: consumers read the producers' data.
/// Tensors of the header are numbered like the layers of the network.
namespace tessera::compiler
{

struct Options
{
    std::string schedule = "layer-by-layer"; ///< a schedule() policy
    PlanOptions plan;
    std::uint32_t images =
        1; ///< one behind the other, see Pipeline; layer by layer, one after the other
    std::map<std::string, std::string> mapping; ///< mapping-relevant config keys, for the header
    PhaseMonitor monitor{};                     ///< told how far it has come; may be empty
};

/// Throws InputError when the chip has too few macros or too small buffers for the network, or its
/// config names an unknown policy or kind; UsageError for unknown options.
[[nodiscard]] trace::Trace compile(const network::Network& network, const config::ChipConfig& chip,
                                   const Options& options = {});

/// A trace, and what was planned besides.
struct Compiled
{
    trace::CompactTrace trace;
    std::optional<MappingReport::Pipeline> pipeline; ///< of several images across layers
    std::optional<MappingReport::Buffers> buffers;   ///< finite ones, across layers
    std::vector<MappingReport::Divided> divided;     ///< layers whose sets are not made whole
    std::uint32_t computed = 0;                      ///< layers that have sets
    std::uint32_t plans = 0;                         ///< compared to choose the sizes of sets
};
[[nodiscard]] Compiled compile_and_plan(const network::Network& network,
                                        const config::ChipConfig& chip,
                                        const Options& options = {});

/// The options with what the compiler decides by planning: "demand" as an order of sets (settled())
/// and "auto" as their sizes, which become PlanOptions::fineness.
struct Decided
{
    Options options;
    std::uint32_t plans = 0; ///< compared for the sizes
};
[[nodiscard]] Decided decide(const Graph& graph, const config::ChipConfig& chip, Options options);

/// Layers whose sets are not made whole, by a plan that buffers have been planned for.
[[nodiscard]] std::vector<MappingReport::Divided> divided_sets(const Plan& plan);

} // namespace tessera::compiler
