// SPDX-License-Identifier: Apache-2.0
#include "semantics/field.h"

#include <algorithm>

namespace tessera::semantics
{
namespace
{

using network::Layer;
using network::LayerKind;
using network::Network;
using network::Shape;

Stretch rows_of(const trace::Box& box)
{
    return {box.bounds[0], box.bounds[1]};
}
Stretch columns_of(const trace::Box& box)
{
    return {box.bounds[2], box.bounds[3]};
}
Stretch channels_of(const trace::Box& box)
{
    return {box.bounds[4], box.bounds[5]};
}

Stretch common(Stretch a, Stretch b)
{
    const std::uint32_t begin = std::max(a.begin, b.begin);
    return {begin, std::max(begin, std::min(a.end, b.end))};
}

/// Adds positions at the end; begin is not before that of what was added last.
template <class List> void add_stretch(List& list, typename List::value_type stretch)
{
    if (!list.empty() && stretch.begin <= list.back().end)
    {
        list.back().end = std::max(list.back().end, stretch.end);
    }
    else
    {
        list.push_back(stretch);
    }
}

Stretches shifted(const Stretches& list, std::int64_t by, std::uint32_t limit)
{
    Stretches result;
    for (const Stretch& stretch : list)
    {
        const auto at = [&](std::uint32_t position)
        {
            return static_cast<std::uint32_t>(
                std::clamp<std::int64_t>(std::int64_t{position} + by, 0, limit));
        };
        if (at(stretch.begin) < at(stretch.end))
        {
            result.push_back({at(stretch.begin), at(stretch.end)});
        }
    }
    return result;
}

/// One axis of a sliding window.
struct Axis
{
    std::uint32_t stride;
    std::uint32_t dilation;
    std::uint32_t padding; ///< before the first element
    std::uint32_t extent;  ///< of the input
};

/// Positions in the input that taps `taps` read for results `made`; padding is left out.
Stretches positions(const Axis& axis, Stretch taps, Stretch made, Effort& effort)
{
    Stretches result;
    const auto add = [&](std::int64_t begin, std::int64_t end)
    {
        const auto from = std::clamp<std::int64_t>(begin - axis.padding, 0, axis.extent);
        const auto to = std::clamp<std::int64_t>(end - axis.padding, 0, axis.extent);
        if (from < to)
        {
            add_stretch(result,
                        Stretch{static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to)});
        }
    };
    const auto at = [&axis](std::uint32_t result_position, std::uint32_t tap)
    { return std::int64_t{result_position} * axis.stride + std::int64_t{tap} * axis.dilation; };
    const bool gapless = (axis.dilation == 1 && taps.size() >= axis.stride) ||
                         (axis.stride == 1 && made.size() >= axis.dilation);
    if (gapless)
    {
        add(at(made.begin, taps.begin), at(made.end - 1, taps.end - 1) + 1);
    }
    else if (axis.dilation == 1 || taps.size() == 1)
    {
        effort.spend(made.size());
        for (std::uint32_t r = made.begin; r < made.end; ++r)
        {
            add(at(r, taps.begin), at(r, taps.end - 1) + 1);
        }
    }
    else
    {
        effort.spend(std::uint64_t{made.size()} * taps.size());
        std::vector<std::int64_t> all;
        for (std::uint32_t r = made.begin; r < made.end; ++r)
        {
            for (std::uint32_t tap = taps.begin; tap < taps.end; ++tap)
            {
                all.push_back(at(r, tap));
            }
        }
        std::sort(all.begin(), all.end());
        for (const std::int64_t position : all)
        {
            add(position, position + 1);
        }
    }
    return result;
}

Axis vertical(const Layer& layer, const Shape& input)
{
    return {layer.stride_height, layer.dilation_height, layer.padding.top, input.height};
}
Axis horizontal(const Layer& layer, const Shape& input)
{
    return {layer.stride_width, layer.dilation_width, layer.padding.left, input.width};
}

void append(Need need, std::vector<Need>& out)
{
    if (!need.rows.empty() && !need.columns.empty() && need.channels.size() != 0)
    {
        out.push_back(std::move(need));
    }
}

void append_window(const Network& network, LayerId id, Stretch vertical_taps,
                   Stretch horizontal_taps, Stretch channels, const trace::Box& made,
                   Effort& effort, std::vector<Need>& out)
{
    const Layer& layer = network[id];
    const Shape& input = network.input_shape(layer);
    append(
        {layer.inputs[0], positions(vertical(layer, input), vertical_taps, rows_of(made), effort),
         positions(horizontal(layer, input), horizontal_taps, columns_of(made), effort), channels},
        out);
}

/// Heads lie side by side in the channels, or apart in the width.
void append_heads(const Network& network, LayerId operand, std::uint32_t heads, Stretch rows,
                  Stretch wanted, std::vector<Need>& out)
{
    const Shape& shape = network[operand].output;
    if (shape.width == heads)
    {
        append({operand, {rows}, {wanted}, {0, shape.channels}}, out);
        return;
    }
    const std::uint32_t depth = shape.channels / heads;
    append({operand, {rows}, {{0, 1}}, {wanted.begin * depth, wanted.end * depth}}, out);
}

void append_matmul(const Network& network, LayerId id, std::size_t k, const trace::Box& made,
                   Effort& effort, std::vector<Need>& out)
{
    const Layer& layer = network[id];
    const LayerId operand = layer.inputs[k];
    const Shape& second = network.input_shape(layer, 1);
    const Stretch channels = channels_of(made);
    if (layer.transpose_second)
    {
        // rows of A x heads x rows of B
        append_heads(network, operand, layer.heads, k == 0 ? rows_of(made) : channels,
                     columns_of(made), out);
        return;
    }
    // rows of A x 1 x (heads x columns of B)
    const std::uint32_t columns = layer.output.channels / layer.heads;
    const Stretch heads{channels.begin / columns, (channels.end - 1) / columns + 1};
    if (k == 0)
    {
        append_heads(network, operand, layer.heads, rows_of(made), heads, out);
        return;
    }
    const Stretch rows{0, second.height};
    if (second.width != layer.heads)
    {
        append({operand, {rows}, {{0, 1}}, channels}, out);
        return;
    }
    effort.spend(heads.size());
    for (std::uint32_t head = heads.begin; head < heads.end; ++head)
    {
        const Stretch its = common(channels, {head * columns, (head + 1) * columns});
        append({operand,
                {rows},
                {{head, head + 1}},
                {its.begin - head * columns, its.end - head * columns}},
               out);
    }
}

/// A stretch of elements (or of positions) counted row by row.
struct Flat
{
    std::uint64_t begin;
    std::uint64_t end;
};

/// Cuts [begin, end) at multiples of `length` into the end of one line, whole lines, and the
/// beginning of one: calls part(first line, last line + 1, begin in line, end in line).
template <class Part> void cut_lines(Flat flat, std::uint64_t length, Part part)
{
    while (flat.begin < flat.end)
    {
        const std::uint64_t line = flat.begin / length;
        const std::uint64_t in_line = flat.begin % length;
        if (in_line == 0 && flat.end - flat.begin >= length)
        {
            const std::uint64_t lines = (flat.end - flat.begin) / length;
            part(line, line + lines, std::uint64_t{0}, length);
            flat.begin += lines * length;
        }
        else
        {
            const std::uint64_t end = std::min(flat.end - line * length, length);
            part(line, line + 1, in_line, end);
            flat.begin = line * length + end;
        }
    }
}

Stretch narrow(std::uint64_t begin, std::uint64_t end)
{
    return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
}

void append_reshaped(const Network& network, const Need& need, Effort& effort,
                     std::vector<Need>& out)
{
    const Layer& layer = network[need.tensor];
    const Shape& to = layer.output;
    const Shape& from = network.input_shape(layer);
    const bool same_channels = from.channels == to.channels;
    const std::uint64_t unit = same_channels ? 1 : to.channels;
    const Stretch part = same_channels ? Stretch{0, 1} : need.channels;
    std::vector<Flat> flats;
    const auto add = [&](std::uint64_t first, std::uint64_t last) // positions
    {
        if (part.size() == unit)
        {
            effort.spend(1);
            add_stretch(flats, Flat{first * unit, last * unit});
            return;
        }
        effort.spend(last - first);
        for (std::uint64_t position = first; position < last; ++position)
        {
            add_stretch(flats, Flat{position * unit + part.begin, position * unit + part.end});
        }
    };
    for (const Stretch& rows : need.rows)
    {
        if (need.columns.front().size() == to.width)
        {
            add(std::uint64_t{rows.begin} * to.width, std::uint64_t{rows.end} * to.width);
            continue;
        }
        for (std::uint64_t row = rows.begin; row < rows.end; ++row)
        {
            for (const Stretch& columns : need.columns)
            {
                add(row * to.width + columns.begin, row * to.width + columns.end);
            }
        }
    }
    const auto append_positions = [&](std::uint64_t begin, std::uint64_t end, Stretch channels)
    {
        cut_lines(
            {begin, end}, from.width,
            [&](std::uint64_t first, std::uint64_t last, std::uint64_t b, std::uint64_t e)
            {
                effort.spend(1);
                append({layer.inputs[0], {narrow(first, last)}, {narrow(b, e)}, channels}, out);
            });
    };
    for (const Flat& flat : flats)
    {
        if (same_channels)
        {
            append_positions(flat.begin, flat.end, need.channels);
            continue;
        }
        cut_lines(flat, from.channels,
                  [&](std::uint64_t first, std::uint64_t last, std::uint64_t b, std::uint64_t e)
                  { append_positions(first, last, narrow(b, e)); });
    }
}

void append_parts(const Network& network, const Need& need, std::vector<Need>& out)
{
    const Layer& layer = network[need.tensor];
    std::uint32_t offset = 0;
    for (const LayerId part : layer.inputs)
    {
        const Shape& shape = network[part].output;
        Need its = need;
        its.tensor = part;
        if (layer.axis == "height")
        {
            its.rows = shifted(need.rows, -std::int64_t{offset}, shape.height);
            offset += shape.height;
        }
        else
        {
            const Stretch kept = common(need.channels, {offset, offset + shape.channels});
            its.channels = {kept.begin - offset, kept.end - offset};
            offset += shape.channels;
        }
        append(std::move(its), out);
    }
}

/// Where the sorted, distinct `bounds` cut [first, last] begins at `position`.
std::size_t index_of(const std::vector<std::uint32_t>& bounds, std::uint32_t position)
{
    return static_cast<std::size_t>(std::lower_bound(bounds.begin(), bounds.end(), position) -
                                    bounds.begin());
}

/// By segment of `bounds`: the first position in it that `needed` holds; its end: none.
std::vector<std::uint32_t> first_needed(const std::vector<std::uint32_t>& bounds,
                                        const Stretches& needed)
{
    std::vector<std::uint32_t> result;
    std::size_t next = 0;
    for (std::size_t i = 0; i + 1 < bounds.size(); ++i)
    {
        while (next < needed.size() && needed[next].end <= bounds[i])
        {
            ++next;
        }
        result.push_back(next < needed.size()
                             ? std::min(std::max(needed[next].begin, bounds[i]), bounds[i + 1])
                             : bounds[i + 1]);
    }
    return result;
}

} // namespace

Need need_of(LayerId tensor, const trace::Box& box)
{
    return {tensor, {rows_of(box)}, {columns_of(box)}, channels_of(box)};
}

Stretch input_channels_of(const Network& network, const Layer& layer, Stretch made)
{
    const std::uint32_t inputs = network.input_shape(layer).channels / layer.groups;
    const std::uint32_t outputs = layer.output.channels / layer.groups;
    return {made.begin / outputs * inputs, ((made.end - 1) / outputs + 1) * inputs};
}

void append_block_needs(const Network& network, LayerId id, Stretch rows, const trace::Box& made,
                        Effort& effort, std::vector<Need>& out)
{
    const Layer& layer = network[id];
    const std::uint32_t channels = network.input_shape(layer).channels / layer.groups;
    const std::uint64_t positions = std::uint64_t{layer.kernel_height} * layer.kernel_width;
    const Stretch read = input_channels_of(network, layer, channels_of(made));
    const auto append = [&](std::uint64_t first, std::uint64_t last, std::uint64_t b,
                            std::uint64_t e, std::uint64_t base)
    {
        const Stretch its = common(narrow(base + b, base + e), read);
        cut_lines({first, last}, layer.kernel_width,
                  [&](std::uint64_t ky_begin, std::uint64_t ky_end, std::uint64_t kx_begin,
                      std::uint64_t kx_end)
                  {
                      append_window(network, id, narrow(ky_begin, ky_end), narrow(kx_begin, kx_end),
                                    its, made, effort, out);
                  });
    };
    cut_lines({rows.begin, rows.end}, positions * channels,
              [&](std::uint64_t group, std::uint64_t group_end, std::uint64_t b, std::uint64_t e)
              {
                  if (e - b == positions * channels)
                  {
                      append(0, positions, 0, (group_end - group) * channels, group * channels);
                      return;
                  }
                  cut_lines({b, e}, channels,
                            [&](std::uint64_t first, std::uint64_t last, std::uint64_t from,
                                std::uint64_t to)
                            { append(first, last, from, to, group * channels); });
              });
}

HeadMatrix head_matrix(const Network& network, const Layer& layer)
{
    const Shape& second = network.input_shape(layer, 1);
    const auto depth =
        static_cast<std::uint32_t>(std::uint64_t{second.width} * second.channels / layer.heads);
    return layer.transpose_second ? HeadMatrix{layer.heads, depth, second.height}
                                  : HeadMatrix{layer.heads, second.height, depth};
}

std::optional<Stretch> columns_of_head(const Network& network, LayerId id, const trace::Box& made)
{
    const Layer& layer = network[id];
    const HeadMatrix matrix = head_matrix(network, layer);
    const Stretch channels = channels_of(made);
    if (layer.transpose_second)
    {
        const Stretch head = columns_of(made);
        const std::uint32_t base = head.begin * matrix.columns;
        return head.size() == 1 ? std::optional(Stretch{base + channels.begin, base + channels.end})
                                : std::nullopt;
    }
    return channels.begin / matrix.columns == (channels.end - 1) / matrix.columns
               ? std::optional(channels)
               : std::nullopt;
}

Need second_operand(const Network& network, LayerId id, Stretch rows, Stretch columns)
{
    const Layer& layer = network[id];
    const HeadMatrix matrix = head_matrix(network, layer);
    const LayerId operand = layer.inputs[1];
    const std::uint32_t head = rows.begin / matrix.rows;
    const auto in_head = [head](Stretch stretch, std::uint32_t size) {
        return Stretch{stretch.begin - head * size, stretch.end - head * size};
    };
    const Stretch down = in_head(rows, matrix.rows);
    const Stretch along = in_head(columns, matrix.columns);
    const Stretch channels = layer.transpose_second ? down : along;
    Need need{operand, {layer.transpose_second ? along : down}, {{0, 1}}, channels};
    if (network[operand].output.width == layer.heads)
    {
        need.columns = {{head, head + 1}};
    }
    else
    {
        const std::uint32_t depth = layer.transpose_second ? matrix.rows : matrix.columns;
        need.channels = {head * depth + channels.begin, head * depth + channels.end};
    }
    return need;
}

Need first_operand(const Network& network, LayerId id, Stretch rows, Stretch made)
{
    const Layer& layer = network[id];
    const LayerId operand = layer.inputs[0];
    const std::uint32_t common = head_matrix(network, layer).rows;
    const std::uint32_t head = rows.begin / common;
    if (network[operand].output.width != layer.heads)
    {
        return {operand, {made}, {{0, 1}}, rows};
    }
    return {operand,
            {made},
            {{head, head + 1}},
            {rows.begin - head * common, rows.end - head * common}};
}

std::uint64_t rows_filled(const Network& network, LayerId id, const trace::Box& box)
{
    const Layer& layer = network[id];
    if (layer.transpose_second)
    {
        return std::uint64_t{columns_of(box).size()} * channels_of(box).size();
    }
    // Its own rows, for every head that it has a part of.
    const HeadMatrix matrix = head_matrix(network, layer);
    const Stretch channels = channels_of(box);
    const bool apart = network.input_shape(layer, 1).width == layer.heads;
    const std::uint64_t heads =
        apart ? columns_of(box).size()
              : (channels.end - 1) / matrix.columns - channels.begin / matrix.columns + 1;
    return heads * rows_of(box).size();
}

void append_operand_needs(const Network& network, LayerId id, std::size_t k, const trace::Box& made,
                          Effort& effort, std::vector<Need>& out)
{
    const Layer& layer = network[id];
    const LayerId operand = layer.inputs[k];
    const Shape& input = network[operand].output;
    const Stretch rows = rows_of(made);
    const Stretch columns = columns_of(made);
    const Stretch channels = channels_of(made);
    const Stretch all_rows{0, input.height};
    const Stretch all_columns{0, input.width};
    const Stretch all_channels{0, input.channels};
    switch (layer.kind)
    {
    case LayerKind::input:
        return;
    case LayerKind::conv2d:
        append_window(network, id, {0, layer.kernel_height}, {0, layer.kernel_width},
                      input_channels_of(network, layer, channels), made, effort, out);
        return;
    case LayerKind::max_pool:
    case LayerKind::average_pool:
        append_window(network, id, {0, layer.kernel_height}, {0, layer.kernel_width}, channels,
                      made, effort, out);
        return;
    case LayerKind::global_average_pool:
        append({operand, {all_rows}, {all_columns}, channels}, out);
        return;
    case LayerKind::dense:
    case LayerKind::layer_norm:
    case LayerKind::embedding:
        append({operand, {rows}, {columns}, all_channels}, out);
        return;
    case LayerKind::softmax:
        append(layer.axis == "height" ? Need{operand, {all_rows}, {columns}, channels}
                                      : Need{operand, {rows}, {columns}, all_channels},
               out);
        return;
    case LayerKind::mul:
        // a factor per channel, or one per element
        append(input == layer.output ? need_of(operand, made)
                                     : Need{operand, {all_rows}, {all_columns}, channels},
               out);
        return;
    case LayerKind::add:
    case LayerKind::activation:
    case LayerKind::batch_norm:
        append(need_of(operand, made), out);
        return;
    case LayerKind::upsample:
    {
        const auto source = [&layer](Stretch stretch) {
            return Stretch{stretch.begin / layer.scale, (stretch.end - 1) / layer.scale + 1};
        };
        append({operand, {source(rows)}, {source(columns)}, channels}, out);
        return;
    }
    case LayerKind::matmul:
        append_matmul(network, id, k, made, effort, out);
        return;
    case LayerKind::transpose:
        append(layer.axis == "height,width"      ? Need{operand, {columns}, {rows}, channels}
               : layer.axis == "height,channels" ? Need{operand, {channels}, {columns}, rows}
                                                 : Need{operand, {rows}, {channels}, columns},
               out);
        return;
    case LayerKind::concat:
    case LayerKind::split:
    case LayerKind::pad:
    case LayerKind::reshape:
        if (k == 0) // all operands at once
        {
            append_renamed(network, need_of(id, made), effort, out);
        }
        return;
    }
}

bool renames(LayerKind kind)
{
    return kind == LayerKind::concat || kind == LayerKind::split || kind == LayerKind::pad ||
           kind == LayerKind::reshape;
}

void append_renamed(const Network& network, const Need& need, Effort& effort,
                    std::vector<Need>& out)
{
    const Layer& layer = network[need.tensor];
    effort.spend(layer.inputs.size() + need.rows.size() + need.columns.size());
    switch (layer.kind)
    {
    case LayerKind::concat:
        append_parts(network, need, out);
        break;
    case LayerKind::split:
        append(
            {layer.inputs[0],
             need.rows,
             need.columns,
             {need.channels.begin + layer.channel_begin, need.channels.end + layer.channel_begin}},
            out);
        break;
    case LayerKind::pad:
    {
        const Shape& input = network.input_shape(layer);
        append({layer.inputs[0], shifted(need.rows, -std::int64_t{layer.padding.top}, input.height),
                shifted(need.columns, -std::int64_t{layer.padding.left}, input.width),
                need.channels},
               out);
        break;
    }
    default:
        append_reshaped(network, need, effort, out);
        break;
    }
}

std::optional<Element> uncovered(const Need& need, const std::vector<const trace::Box*>& boxes,
                                 Effort& effort)
{
    const std::array<Stretch, 3> whole{Stretch{need.rows.front().begin, need.rows.back().end},
                                       Stretch{need.columns.front().begin, need.columns.back().end},
                                       need.channels};
    std::array<std::vector<std::uint32_t>, 3> bounds;
    std::vector<std::array<Stretch, 3>> parts; // of boxes inside
    effort.spend(boxes.size() + need.rows.size() + need.columns.size());
    for (const trace::Box* box : boxes)
    {
        const std::array<Stretch, 3> part{common(rows_of(*box), whole[0]),
                                          common(columns_of(*box), whole[1]),
                                          common(channels_of(*box), whole[2])};
        bool all = true;
        bool some = true;
        for (std::size_t axis = 0; axis < 3; ++axis)
        {
            all = all && part[axis].size() == whole[axis].size();
            some = some && part[axis].size() != 0;
        }
        if (all)
        {
            return std::nullopt;
        }
        if (some)
        {
            parts.push_back(part);
        }
    }
    // Bounds of all parts cut the whole into cells that are covered as a whole or not at all.
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
        std::vector<std::uint32_t>& its = bounds[axis];
        its = {whole[axis].begin, whole[axis].end};
        for (const auto& part : parts)
        {
            its.push_back(part[axis].begin);
            its.push_back(part[axis].end);
        }
        std::sort(its.begin(), its.end());
        its.erase(std::unique(its.begin(), its.end()), its.end());
    }
    const std::array<std::size_t, 3> cells{bounds[0].size() - 1, bounds[1].size() - 1,
                                           bounds[2].size() - 1};
    // Each is at most 2^17, so the product does not overflow.
    effort.spend(std::uint64_t{cells[0]} * cells[1] * cells[2]);
    std::vector<char> covered(cells[0] * cells[1] * cells[2], 0);
    for (const auto& part : parts)
    {
        std::array<std::size_t, 3> from{};
        std::array<std::size_t, 3> to{};
        for (std::size_t axis = 0; axis < 3; ++axis)
        {
            from[axis] = index_of(bounds[axis], part[axis].begin);
            to[axis] = index_of(bounds[axis], part[axis].end);
        }
        effort.spend(std::uint64_t{to[0] - from[0]} * (to[1] - from[1]) * (to[2] - from[2]));
        for (std::size_t row = from[0]; row < to[0]; ++row)
        {
            for (std::size_t column = from[1]; column < to[1]; ++column)
            {
                const auto line = covered.begin() +
                                  static_cast<std::ptrdiff_t>((row * cells[1] + column) * cells[2]);
                std::fill(line + static_cast<std::ptrdiff_t>(from[2]),
                          line + static_cast<std::ptrdiff_t>(to[2]), 1);
            }
        }
    }
    const auto rows = first_needed(bounds[0], need.rows);
    const auto columns = first_needed(bounds[1], need.columns);
    for (std::size_t row = 0; row < cells[0]; ++row)
    {
        for (std::size_t column = 0; column < cells[1]; ++column)
        {
            if (rows[row] == bounds[0][row + 1] || columns[column] == bounds[1][column + 1])
            {
                continue; // nothing in this cell is needed
            }
            for (std::size_t channel = 0; channel < cells[2]; ++channel)
            {
                if (covered[(row * cells[1] + column) * cells[2] + channel] == 0)
                {
                    return Element{rows[row], columns[column], bounds[2][channel]};
                }
            }
        }
    }
    return std::nullopt;
}

} // namespace tessera::semantics
