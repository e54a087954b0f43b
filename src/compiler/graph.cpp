// SPDX-License-Identifier: Apache-2.0
#include "compiler/graph.h"

#include "tessera/error.h"

#include <algorithm>
#include <string>

namespace tessera::compiler
{
namespace
{

using network::Layer;
using network::LayerKind;
using network::Shape;

/// Positions that taps `first`..`last` of a sliding window read for results `made`, without
/// padding.
Extent window(const Extent& made, std::uint32_t stride, std::uint32_t dilation,
              std::uint32_t padding, std::uint32_t first, std::uint32_t last, std::uint32_t limit)
{
    const auto clip = [limit](std::int64_t position)
    { return static_cast<std::uint32_t>(std::clamp<std::int64_t>(position, 0, limit)); };
    const std::int64_t begin =
        std::int64_t{made.begin} * stride - padding + std::int64_t{first} * dilation;
    const std::int64_t end =
        std::int64_t{made.end - 1} * stride - padding + std::int64_t{last} * dilation + 1;
    return {clip(begin), clip(end)};
}

bool is_view(LayerKind kind)
{
    return kind == LayerKind::concat || kind == LayerKind::split || kind == LayerKind::pad ||
           kind == LayerKind::reshape;
}

bool depthwise(const Layer& layer, const Shape& input)
{
    return layer.groups == input.channels && layer.output.channels == input.channels;
}

void check_crossbar_kinds(const config::ChipConfig& chip)
{
    const auto& kinds = chip.mapping.on_crossbar;
    for (std::size_t i = 0; i < kinds.size(); ++i)
    {
        if (kinds[i] != name_of(LayerKind::conv2d) && kinds[i] != name_of(LayerKind::dense))
        {
            Place place = chip.place("mapping.on_crossbar");
            place.pointer += '/' + std::to_string(i);
            throw InputError(
                place, "layers of kind '" + kinds[i] + "' have no weights to put on crossbars",
                "list conv2d, dense or both");
        }
    }
}

/// Elements [first, last] of a row-major map, as the smallest volume that contains them.
Volume enclosing(const Shape& shape, std::uint64_t first, std::uint64_t last)
{
    const std::uint64_t row = std::uint64_t{shape.width} * shape.channels;
    Volume volume = Volume::of(shape);
    volume.rows = {static_cast<std::uint32_t>(first / row),
                   static_cast<std::uint32_t>(last / row + 1)};
    if (volume.rows.size() == 1)
    {
        const std::uint64_t from = first % row;
        const std::uint64_t to = last % row;
        volume.columns = {static_cast<std::uint32_t>(from / shape.channels),
                          static_cast<std::uint32_t>(to / shape.channels + 1)};
        if (volume.columns.size() == 1)
        {
            volume.channels = {static_cast<std::uint32_t>(from % shape.channels),
                               static_cast<std::uint32_t>(to % shape.channels + 1)};
        }
    }
    return volume;
}

/// Elements [first, last] of a row-major map, as up to three volumes: the end of a row, whole rows
/// and the beginning of one; appended last first.
void append_lines(const Shape& shape, std::uint64_t first, std::uint64_t last,
                  std::vector<Volume>& out)
{
    const std::uint64_t row = std::uint64_t{shape.width} * shape.channels;
    const std::uint64_t whole_begin = (first + row - 1) / row * row;
    const std::uint64_t whole_end = (last + 1) / row * row;
    if (whole_begin >= whole_end && first / row == last / row)
    {
        out.push_back(enclosing(shape, first, last));
        return;
    }
    if (whole_end <= last)
    {
        out.push_back(enclosing(shape, whole_end, last));
    }
    if (whole_begin < whole_end)
    {
        out.push_back(enclosing(shape, whole_begin, whole_end - 1));
    }
    if (first < whole_begin)
    {
        out.push_back(enclosing(shape, first, whole_begin - 1));
    }
}

/// What `volume` of a reshape's output is in its input; the first part last.
std::vector<Volume> reshaped(const Shape& from, const Shape& to, const Volume& volume)
{
    const auto position = [&to](std::uint32_t row, std::uint32_t column)
    { return std::uint64_t{row} * to.width + column; };
    const std::uint64_t first = position(volume.rows.begin, volume.columns.begin);
    const std::uint64_t last = position(volume.rows.end - 1, volume.columns.end - 1);
    std::vector<Volume> parts;
    if (from.channels == to.channels)
    {
        append_lines({from.height, from.width, 1}, first, last, parts);
        for (Volume& part : parts)
        {
            part.channels = volume.channels;
        }
        return parts;
    }
    append_lines(from, first * to.channels + volume.channels.begin,
                 last * to.channels + volume.channels.end - 1, parts);
    return parts;
}

/// Positions `part` along the depths of all heads, one head after the other, of an operand of a
/// matmul: heads lie side by side in its channels, or apart in its width. Contract: `part` lies in
/// one head.
Volume of_head(const Shape& operand, std::uint32_t heads, const Extent& part, std::uint32_t depth)
{
    Volume volume = Volume::of(operand);
    volume.channels = part;
    if (operand.width == heads)
    {
        const std::uint32_t head = part.begin / depth;
        volume.columns = {head, head + 1};
        volume.channels = {part.begin - head * depth, part.end - head * depth};
    }
    return volume;
}

} // namespace

Extent Extent::clipped(const Extent& to) const
{
    return {std::max(begin, to.begin), std::min(end, to.end)};
}

Volume Volume::of(const Shape& shape)
{
    return {{0, shape.height}, {0, shape.width}, {0, shape.channels}};
}

trace::Box Volume::box() const
{
    return {{rows.begin, rows.end, columns.begin, columns.end, channels.begin, channels.end}};
}

Graph::Graph(const network::Network& network, const config::ChipConfig& chip) : network_(network)
{
    check_crossbar_kinds(chip);
    std::vector<std::uint32_t> consumers(size(), 0);
    for (const Layer& layer : network.layers)
    {
        for (const LayerId input : layer.inputs)
        {
            ++consumers[input.index()];
        }
    }
    for (const LayerId output : network.outputs)
    {
        ++consumers[output.index()]; // what leaves the chip cannot be swallowed by a successor
    }
    const auto& on_crossbar = chip.mapping.on_crossbar;
    for (std::uint32_t i = 0; i < size(); ++i)
    {
        const Layer& layer = network.layers[i];
        Role role = Role::vector;
        LayerId head(i);
        if (layer.kind == LayerKind::input)
        {
            role = Role::memory;
        }
        else if (is_view(layer.kind))
        {
            role = Role::view;
        }
        else if ((layer.groups == 1 || chip.mapping.depthwise == "crossbar") &&
                 std::find(on_crossbar.begin(), on_crossbar.end(), name_of(layer.kind)) !=
                     on_crossbar.end())
        {
            role = Role::crossbar;
        }
        else if (layer.kind == LayerKind::matmul && chip.mapping.attention != "vector")
        {
            role = Role::crossbar;
        }
        else if (layer.kind == LayerKind::activation || layer.kind == LayerKind::batch_norm)
        {
            const LayerId before = layer.inputs.at(0);
            const Role its = roles_[before.index()];
            if (consumers[before.index()] == 1 && (its == Role::crossbar || its == Role::fused))
            {
                role = Role::fused;
                head = heads_[before.index()];
                values_[head.index()] = LayerId(i);
            }
        }
        roles_.push_back(role);
        heads_.push_back(head);
        values_.emplace_back(i);
    }
}

bool Graph::has_data(LayerId id) const
{
    const Role its = role(id);
    return its == Role::memory || its == Role::crossbar || its == Role::vector;
}

bool Graph::channelwise(LayerId id) const
{
    const Layer& its = layer(id);
    switch (its.kind)
    {
    case LayerKind::max_pool:
    case LayerKind::average_pool:
    case LayerKind::global_average_pool:
    case LayerKind::add:
    case LayerKind::mul:
    case LayerKind::upsample:
    case LayerKind::activation:
    case LayerKind::batch_norm:
        return true;
    case LayerKind::softmax:
        return its.axis == "height";
    case LayerKind::conv2d:
        return depthwise(its, network_.input_shape(its));
    default:
        return false;
    }
}

void Graph::resolve(LayerId id, Volume volume, std::vector<Region>& out) const
{
    // No recursion: files may nest views thousands deep.
    std::vector<Region> open;
    while (true)
    {
        id = head(id);
        if (!volume.empty() && !has_data(id))
        {
            const Layer& its = layer(id);
            if (its.kind == LayerKind::concat)
            {
                open_parts(its, volume, open);
            }
            else if (its.kind == LayerKind::reshape)
            {
                for (const Volume& part : reshaped(network_.input_shape(its), its.output, volume))
                {
                    open.push_back({its.inputs.front(), part});
                }
            }
            else
            {
                open.push_back({its.inputs.front(), before_view(its, volume)});
            }
        }
        else if (!volume.empty())
        {
            out.push_back({id, volume});
        }
        if (open.empty())
        {
            return;
        }
        id = open.back().layer;
        volume = open.back().volume;
        open.pop_back();
    }
}

/// What makes up `volume` of a concatenation; the first part last.
void Graph::open_parts(const Layer& concat, const Volume& volume, std::vector<Region>& open) const
{
    const auto first = static_cast<std::ptrdiff_t>(open.size());
    const bool by_rows = concat.axis == "height";
    std::uint32_t offset = 0;
    for (const LayerId part : concat.inputs)
    {
        const Shape& shape = layer(part).output;
        const std::uint32_t length = by_rows ? shape.height : shape.channels;
        Volume sub = volume;
        Extent& cut = by_rows ? sub.rows : sub.channels;
        cut = cut.clipped({offset, offset + length});
        if (!cut.empty())
        {
            cut = {cut.begin - offset, cut.end - offset};
            open.push_back({part, sub});
        }
        offset += length;
    }
    std::reverse(open.begin() + first, open.end());
}

/// The part of a split's or pad's input that is `volume` of its output.
Volume Graph::before_view(const Layer& view, Volume volume) const
{
    const Shape& input = network_.input_shape(view);
    if (view.kind == LayerKind::split)
    {
        volume.channels.begin += view.channel_begin;
        volume.channels.end += view.channel_begin;
        return volume;
    }
    volume.rows = window(volume.rows, 1, 1, view.padding.top, 0, 0, input.height);
    volume.columns = window(volume.columns, 1, 1, view.padding.left, 0, 0, input.width);
    return volume;
}

void Graph::operand(LayerId id, std::size_t k, const Volume& made, std::vector<Region>& out) const
{
    const Layer& its = layer(id);
    const Shape& input = network_.input_shape(its, k);
    Volume needed = Volume::of(input);
    switch (its.kind)
    {
    case LayerKind::conv2d:
    case LayerKind::max_pool:
    case LayerKind::average_pool:
        if (its.dilation_height > 1 || its.dilation_width > 1)
        {
            dilated_operand(id, made, out);
            return;
        }
        needed.rows = window(made.rows, its.stride_height, its.dilation_height, its.padding.top, 0,
                             its.kernel_height - 1, input.height);
        needed.columns = window(made.columns, its.stride_width, its.dilation_width,
                                its.padding.left, 0, its.kernel_width - 1, input.width);
        break;
    case LayerKind::upsample:
        needed.rows = {made.rows.begin / its.scale, (made.rows.end - 1) / its.scale + 1};
        needed.columns = {made.columns.begin / its.scale, (made.columns.end - 1) / its.scale + 1};
        break;
    case LayerKind::transpose:
        needed = made;
        if (its.axis == "height,width")
        {
            std::swap(needed.rows, needed.columns);
        }
        else if (its.axis == "height,channels")
        {
            std::swap(needed.rows, needed.channels);
        }
        else
        {
            std::swap(needed.columns, needed.channels);
        }
        break;
    case LayerKind::matmul:
        if (k == 0)
        {
            needed.rows = made.rows;
        }
        break;
    case LayerKind::softmax:
        needed.columns = made.columns;
        if (its.axis != "height")
        {
            needed.rows = made.rows;
        }
        break;
    case LayerKind::global_average_pool:
        break;
    default:
        // one position of the result per position of the operand, or one factor for all
        if (input.height == its.output.height)
        {
            needed.rows = made.rows;
        }
        if (input.width == its.output.width)
        {
            needed.columns = made.columns;
        }
        break;
    }
    if (channelwise(id) && input.channels == its.output.channels)
    {
        needed.channels = made.channels;
    }
    resolve(its.inputs[k], needed, out);
}

void Graph::operands(LayerId id, const Volume& made, std::vector<Region>& out) const
{
    if (role(id) == Role::crossbar && !dynamic(id))
    {
        const Layer& its = layer(id);
        const std::uint64_t rows = std::uint64_t{its.kernel_height} * its.kernel_width *
                                   network_.input_shape(its).channels;
        block_operand(id, {0, static_cast<std::uint32_t>(rows)}, made, out);
        return;
    }
    for (std::size_t k = 0; k < layer(id).inputs.size(); ++k)
    {
        operand(id, k, made, out);
    }
}

/// Tap by tap: what lies between the taps is not read.
void Graph::dilated_operand(LayerId id, const Volume& made, std::vector<Region>& out) const
{
    const Layer& its = layer(id);
    const Shape& input = network_.input_shape(its);
    Volume needed = Volume::of(input);
    if (channelwise(id))
    {
        needed.channels = made.channels;
    }
    for (std::uint32_t ky = 0; ky < its.kernel_height; ++ky)
    {
        needed.rows = window(made.rows, its.stride_height, its.dilation_height, its.padding.top, ky,
                             ky, input.height);
        for (std::uint32_t kx = 0; kx < its.kernel_width; ++kx)
        {
            needed.columns = window(made.columns, its.stride_width, its.dilation_width,
                                    its.padding.left, kx, kx, input.width);
            resolve(its.inputs.front(), needed, out);
        }
    }
}

void Graph::block_operand(LayerId id, const Extent& rows, const Volume& made,
                          std::vector<Region>& out) const
{
    const Layer& its = layer(id);
    const Shape& input = network_.input_shape(its);
    if (its.kind == LayerKind::matmul)
    {
        const auto common =
            static_cast<std::uint32_t>(std::uint64_t{input.width} * input.channels / its.heads);
        Volume needed = Volume::of(input);
        if (rows.end - rows.begin <= common)
        {
            needed = of_head(input, its.heads, rows, common);
        }
        needed.rows = made.rows;
        resolve(its.inputs.front(), needed, out);
        return;
    }
    const std::uint32_t width = its.kernel_width;
    const auto append = [&](std::uint32_t first, std::uint32_t last, const Extent& channels)
    {
        Volume needed = Volume::of(input);
        needed.channels = channels;
        for (std::uint32_t ky = first / width; ky <= last / width; ++ky)
        {
            const std::uint32_t from = ky == first / width ? first % width : 0;
            const std::uint32_t to = ky == last / width ? last % width : width - 1;
            needed.rows = window(made.rows, its.stride_height, its.dilation_height, its.padding.top,
                                 ky, ky, input.height);
            needed.columns = window(made.columns, its.stride_width, its.dilation_width,
                                    its.padding.left, from, to, input.width);
            resolve(its.inputs.front(), needed, out);
        }
    };
    const std::uint32_t positions = its.kernel_height * width;
    const std::uint32_t channels = input.channels / its.groups; // of a group
    const std::uint32_t first_group = rows.begin / (positions * channels);
    const std::uint32_t last_group = (rows.end - 1) / (positions * channels);
    if (first_group != last_group)
    {
        append(0, positions - 1, {first_group * channels, (last_group + 1) * channels});
        return;
    }
    // The first and the last position may be cut.
    std::uint32_t first = rows.begin / channels % positions;
    const std::uint32_t last = (rows.end - 1) / channels % positions;
    const std::uint32_t base = first_group * channels;
    const Extent all{base, base + channels};
    const Extent head{base + rows.begin % channels, base + channels};
    const Extent tail{base, base + (rows.end - 1) % channels + 1};
    if (first == last)
    {
        append(first, last, head.clipped(tail));
        return;
    }
    if (!(head == all))
    {
        append(first, first, head);
        ++first;
    }
    const bool whole = tail == all;
    if (whole || first < last)
    {
        append(first, whole ? last : last - 1, all);
    }
    if (!whole)
    {
        append(last, last, tail);
    }
}

Volume Graph::second_operand(LayerId id, const Extent& rows, const Extent& columns) const
{
    const Layer& its = layer(id);
    const Shape& second = network_.input_shape(its, 1);
    const auto depth =
        static_cast<std::uint32_t>(std::uint64_t{second.width} * second.channels / its.heads);
    // Its rows and its channels are columns and rows of the matrix, or the other way round.
    const Extent& along = its.transpose_second ? columns : rows;
    const Extent& across = its.transpose_second ? rows : columns;
    Volume part = of_head(second, its.heads, across, depth);
    const std::uint32_t head = along.begin / second.height;
    part.rows = {along.begin - head * second.height, along.end - head * second.height};
    return part;
}

Volume Graph::made_by_columns(LayerId id, const Extent& columns) const
{
    const Layer& its = layer(id);
    Volume made = Volume::of(its.output);
    if (!its.transpose_second)
    {
        made.channels = columns;
        return made;
    }
    const std::uint32_t head = columns.begin / its.output.channels;
    made.columns = {head, head + 1};
    made.channels = {columns.begin - head * its.output.channels,
                     columns.end - head * its.output.channels};
    return made;
}

std::uint64_t Graph::work(LayerId id, const Volume& made) const
{
    const Layer& its = layer(id);
    switch (its.kind)
    {
    case LayerKind::max_pool:
    case LayerKind::average_pool:
        return made.elements() * its.kernel_height * its.kernel_width;
    case LayerKind::global_average_pool:
    {
        const Shape& input = network_.input_shape(its);
        return made.elements() * input.height * input.width;
    }
    case LayerKind::add:
    case LayerKind::mul:
        return made.elements() * std::max<std::size_t>(its.inputs.size() - 1, 1);
    case LayerKind::conv2d:
    case LayerKind::dense:
    case LayerKind::matmul:
        return made.elements() * (its.macs / its.output.elements());
    default:
        return made.elements();
    }
}

} // namespace tessera::compiler
