// SPDX-License-Identifier: Apache-2.0
#include "compiler/mapping.h"

#include "base/interrupt.h"
#include "tessera/error.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace tessera::compiler
{

WeightMatrix weight_matrix(const network::Network& network, const network::Layer& layer)
{
    if (layer.kind == network::LayerKind::matmul)
    {
        const network::Shape& second = network.input_shape(layer, 1);
        const std::uint64_t depth = std::uint64_t{second.width} * second.channels; // of all heads
        const std::uint64_t height = std::uint64_t{second.height} * layer.heads;
        return layer.transpose_second ? WeightMatrix{depth, height, layer.heads}
                                      : WeightMatrix{height, depth, layer.heads};
    }
    return {std::uint64_t{layer.kernel_height} * layer.kernel_width *
                network.input_shape(layer).channels,
            layer.output.channels, layer.groups};
}

std::vector<MatrixBlock> cut(const network::Network& network, const network::Layer& layer,
                             const config::ChipConfig::Macro& macro)
{
    const WeightMatrix matrix = weight_matrix(network, layer);
    if (matrix.rows > std::numeric_limits<std::uint32_t>::max())
    {
        throw InputError({network.name, 0, "/layers/" + layer.name},
                         "its weight matrix has " + std::to_string(matrix.rows) + " rows",
                         "keep kernel height x width x input channels below 2^32");
    }
    const std::uint64_t group_rows = matrix.rows_of_group();
    const std::uint64_t group_columns = matrix.columns_of_group();
    const std::uint64_t together =
        layer.kind == network::LayerKind::matmul
            ? 1
            : std::max<std::uint64_t>(
                  1, std::min(macro.rows / group_rows, macro.columns / group_columns));
    std::vector<MatrixBlock> blocks;
    for (std::uint64_t group = 0; group < matrix.groups; group += together)
    {
        const std::uint64_t next = std::min<std::uint64_t>(group + together, matrix.groups);
        const std::uint64_t last_row = next * group_rows;
        const std::uint64_t last_column = next * group_columns;
        for (std::uint64_t column = group * group_columns; column < last_column;
             column += macro.columns)
        {
            const Extent columns{
                static_cast<std::uint32_t>(column),
                static_cast<std::uint32_t>(std::min(column + macro.columns, last_column))};
            for (std::uint64_t row = group * group_rows; row < last_row; row += macro.rows)
            {
                blocks.push_back(
                    {{static_cast<std::uint32_t>(row),
                      static_cast<std::uint32_t>(std::min(row + macro.rows, last_row))},
                     columns});
            }
        }
    }
    return blocks;
}

std::uint32_t replicas(const std::vector<MatrixBlock>& blocks,
                       const config::ChipConfig::Macro& macro)
{
    std::uint32_t result = std::min(macro.rows, macro.columns);
    for (const MatrixBlock& block : blocks)
    {
        result = std::min(
            {result, macro.rows / block.rows.size(),
             columns_with_references(macro) / (block.columns.size() + macro.reference_columns())});
    }
    return std::max(result, 1U);
}

std::uint32_t columns_with_references(const config::ChipConfig::Macro& macro)
{
    return macro.columns + macro.reference_columns();
}

std::uint64_t weights_in(const MatrixBlock& block, const WeightMatrix& matrix)
{
    const std::uint64_t first = block.rows.begin / matrix.rows_of_group();
    const std::uint64_t last = (block.rows.end - 1) / matrix.rows_of_group();
    return first == last ? std::uint64_t{block.rows.size()} * block.columns.size()
                         : (last - first + 1) * matrix.rows_of_group() * matrix.columns_of_group();
}

namespace
{

/// A macro that is being filled: rectangles of it that are free.
class Hold
{
public:
    Hold(std::uint32_t rows, std::uint32_t columns) : free_{{{0, rows}, {0, columns}}} {}

    /// Takes the corner of the free rectangle that leaves the least along its shorter side.
    [[nodiscard]] bool take(const Cargo& block, Berth& berth)
    {
        const auto waste = [&block](const MatrixBlock& room)
        { return std::min(room.rows.size() - block.rows, room.columns.size() - block.columns); };
        auto best = free_.end();
        for (auto room = free_.begin(); room != free_.end(); ++room)
        {
            const bool fits =
                room->rows.size() >= block.rows && room->columns.size() >= block.columns;
            if (fits && (best == free_.end() || waste(*room) < waste(*best)))
            {
                best = room;
            }
        }
        if (best == free_.end() ||
            std::find(layers_.begin(), layers_.end(), block.layer) != layers_.end())
        {
            return false;
        }
        const MatrixBlock room = *best;
        free_.erase(best);
        layers_.push_back(block.layer);
        berth.row = room.rows.begin;
        berth.column = room.columns.begin;
        // The rest is cut in two, so that the larger part stays in one piece.
        const std::uint32_t row = room.rows.begin + block.rows;
        const std::uint32_t column = room.columns.begin + block.columns;
        const bool below_is_wide = room.rows.end - row >= room.columns.end - column;
        const std::uint32_t beside_end = below_is_wide ? row : room.rows.end;
        const std::uint32_t below_end = below_is_wide ? room.columns.end : column;
        keep({{room.rows.begin, beside_end}, {column, room.columns.end}});
        keep({{row, room.rows.end}, {room.columns.begin, below_end}});
        return true;
    }
    [[nodiscard]] bool full() const { return free_.empty(); }

private:
    void keep(const MatrixBlock& room)
    {
        if (!room.rows.empty() && !room.columns.empty())
        {
            free_.push_back(room);
        }
    }

    std::vector<MatrixBlock> free_;
    std::vector<std::size_t> layers_;
};

} // namespace

std::vector<Berth> pack(const std::vector<Cargo>& blocks, std::size_t movable,
                        const config::ChipConfig::Macro& macro)
{
    std::vector<std::size_t> order(blocks.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto area = [&blocks](std::size_t i)
    { return std::uint64_t{blocks[i].rows} * blocks[i].columns; };
    std::stable_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(movable),
                     [&](std::size_t a, std::size_t b) { return area(a) > area(b); });

    std::vector<Berth> berths(blocks.size());
    std::vector<Hold> holds;
    std::vector<std::uint32_t> open; // holds with room
    for (const std::size_t i : order)
    {
        throw_if_interrupted();
        const auto found = std::find_if(open.begin(), open.end(),
                                        [&](std::uint32_t hold)
                                        { return holds[hold].take(blocks[i], berths[i]); });
        if (found == open.end())
        {
            berths[i].macro = static_cast<std::uint32_t>(holds.size());
            holds.emplace_back(macro.rows, columns_with_references(macro));
            (void)holds.back().take(blocks[i], berths[i]);
            if (!holds.back().full())
            {
                open.push_back(berths[i].macro);
            }
            continue;
        }
        berths[i].macro = *found;
        if (holds[*found].full())
        {
            open.erase(found);
        }
    }
    // Numbers by first block.
    constexpr auto kNone = std::numeric_limits<std::uint32_t>::max();
    std::vector<std::uint32_t> number(holds.size(), kNone);
    std::uint32_t next = 0;
    for (Berth& berth : berths)
    {
        std::uint32_t& its = number[berth.macro];
        its = its == kNone ? next++ : its;
        berth.macro = its;
    }
    return berths;
}

} // namespace tessera::compiler
