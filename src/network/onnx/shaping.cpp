// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include <algorithm>
#include <utility>

namespace tessera::network::onnx
{

void Importer::concat(const Node& node)
{
    std::vector<std::size_t> computed;
    for (std::size_t slot = 0; slot < node.inputs.size(); ++slot)
    {
        if (constant(node, slot) == nullptr)
        {
            computed.push_back(slot);
        }
    }
    if (computed.empty())
    {
        throw Unsupported("of constants");
    }
    View at = view(node, computed[0]);
    const std::size_t axis = axis_of(node.integer("axis", 1), at.rank());
    if (computed.size() != node.inputs.size())
    {
        set(node, with_leading_rows(node, at, axis));
        return;
    }
    if (node.inputs.size() == 1)
    {
        set(node, at);
        return;
    }
    // The axis that grows is the height if that is what it is now, else the channels.
    std::vector<View> parts;
    for (const std::size_t slot : computed)
    {
        parts.push_back(view(node, slot));
        Extents one = parts.back().extents();
        Extents other = at.extents();
        if (one.size() == other.size())
        {
            one[axis] = other[axis] = 1;
        }
        if (one != other)
        {
            throw Unsupported("of operands whose extents do not go together");
        }
        if (parts.back().extent(axis) > at.extent(axis))
        {
            at = parts.back();
        }
    }
    const Factors grows = at.axes[axis];
    const bool by_rows =
        !grows.empty() && grows.size() == at.bounds[0] && grows == up_to(grows.size());
    if (!by_rows)
    {
        at = with_channels(std::move(at), {axis}, true);
    }
    std::int64_t extent = 0;
    std::vector<LayerId> layers;
    for (View& one : parts)
    {
        View pattern = at;
        if (!refine(pattern, one, axis))
        {
            one = laid_out_anew(one, one.extents());
            pattern = laid_out_anew(pattern, pattern.extents());
            if (!refine(pattern, one, axis))
            {
                throw Unsupported("of operands whose elements are interleaved");
            }
        }
        // The other axes in the order of the pattern, this one first or last.
        std::vector<std::size_t> others;
        Factors place(pattern.atoms.size(), one.atoms.size());
        for (std::size_t other = 0; other < one.rank(); ++other)
        {
            for (std::size_t i = 0; other != axis && i < one.axes[other].size(); ++i)
            {
                place[pattern.axes[other][i]] = one.axes[other][i];
            }
        }
        Factors order;
        std::size_t height = 0;
        for (std::size_t atom = 0; atom < place.size(); ++atom)
        {
            if (place[atom] != one.atoms.size())
            {
                order.push_back(place[atom]);
                height += atom < pattern.bounds[0] ? 1 : 0;
            }
        }
        const Factors own = one.axes[axis];
        Bounds bounds{height, order.size()};
        if (by_rows)
        {
            const std::size_t width = static_cast<std::size_t>(std::count_if(
                place.begin(), place.begin() + static_cast<std::ptrdiff_t>(pattern.bounds[1]),
                [&](std::size_t atom) { return atom != one.atoms.size(); }));
            order.insert(order.begin(), own.begin(), own.end());
            bounds = {own.size(), own.size() + width};
        }
        else
        {
            order.insert(order.end(), own.begin(), own.end());
        }
        extent += one.extent(axis);
        one = arranged(std::move(one), order, bounds);
        layers.push_back(one.layer);
    }
    const LayerId layer = add("concat", "", layers, {{"axis", by_rows ? "height" : "channels"}});
    View made = parts.front();
    made.layer = layer;
    if (by_rows)
    {
        set(node, with_new_rows(std::move(made), axis, extent));
    }
    else
    {
        set(node, with_new_channels(std::move(made), layer, axis, extent));
    }
}

View Importer::with_leading_rows(const Node& node, View at, std::size_t axis)
{
    const Tensor* rows = constant(node, 0);
    if (node.inputs.size() != 2 || rows == nullptr || at.rank() != 3 || axis != 1 ||
        !at.axes[0].empty() || rows->extents.size() != 3 || rows->extents[0] != 1 ||
        rows->extents[2] != at.extent(2))
    {
        throw Unsupported("with constants");
    }
    Factors order = at.axes[1];
    const std::size_t height = order.size();
    order.insert(order.end(), at.axes[2].begin(), at.axes[2].end());
    at = arranged(std::move(at), order, {height, height});
    const std::int64_t extent = at.extent(1) + rows->extents[1];
    LayerId layer = add("pad", ".rows", {at.layer}, {{"padding", {rows->extents[1], 0, 0, 0}}});
    layer = add("embedding", "", {layer}, {{"first_rows", rows->extents[1]}});
    take_table(layer, *rows, 0);
    at.layer = layer;
    return with_new_rows(std::move(at), 1, extent);
}

View Importer::cut(View from, std::size_t axis, std::int64_t begin, std::int64_t count)
{
    const std::int64_t extent = from.extent(axis);
    if (count < 1 || begin < 0 || begin + count > extent)
    {
        throw Unsupported("that leaves nothing");
    }
    if (count == extent)
    {
        return from;
    }
    const Factors own = from.axes[axis];
    // The first row of all.
    if (begin == 0 && count == 1 && own.size() == from.bounds[0] && own == up_to(own.size()))
    {
        const LayerId layer =
            add("max_pool", ".first", {from.layer}, {{"kernel", 1}, {"stride", {extent, 1}}});
        from.layer = layer;
        from.atoms.erase(from.atoms.begin(),
                         from.atoms.begin() + static_cast<std::ptrdiff_t>(own.size()));
        from.axes[axis].clear();
        for (Factors& factors : from.axes)
        {
            for (std::size_t& atom : factors)
            {
                atom -= own.size();
            }
        }
        from.bounds = {0, from.bounds[1] - own.size()};
        return from;
    }
    // Channels, if the axis is what changes slowest among them.
    const std::size_t first = from.bounds[1];
    bool leads = !own.empty() && first + own.size() <= from.atoms.size();
    for (std::size_t i = 0; leads && i < own.size(); ++i)
    {
        leads = own[i] == first + i;
    }
    if (!leads)
    {
        from = with_channels(std::move(from), {axis}, true);
    }
    const std::size_t start = from.bounds[1];
    const std::size_t length = from.axes[axis].size();
    const std::int64_t inner = part(from, start + length, from.atoms.size());
    from.layer =
        add("split", "", {from.layer}, {{"range", {begin * inner, (begin + count) * inner}}});
    // One atom, or none, takes the place of the axis' own.
    const auto at = from.atoms.begin() + static_cast<std::ptrdiff_t>(start);
    from.atoms.erase(at, at + static_cast<std::ptrdiff_t>(length));
    const std::size_t fresh = count > 1 ? 1 : 0;
    if (fresh == 1)
    {
        from.atoms.insert(from.atoms.begin() + static_cast<std::ptrdiff_t>(start), count);
    }
    from.axes[axis].clear();
    for (Factors& factors : from.axes)
    {
        for (std::size_t& atom : factors)
        {
            atom = atom >= start + length ? atom - length + fresh : atom;
        }
    }
    if (fresh == 1)
    {
        from.axes[axis] = {start};
    }
    return from;
}

void Importer::slice(const Node& node)
{
    View at = view(node, 0);
    const Extents extents = at.extents();
    for (const Cut& one : cuts_of(node, constants(node, nullptr), extents))
    {
        if (one.step != 1 && one.count != 1)
        {
            throw Unsupported("with steps of " + std::to_string(one.step));
        }
        at = cut(std::move(at), one.axis, one.begin, one.count);
    }
    set(node, std::move(at));
}

void Importer::split(const Node& node)
{
    const View from = view(node, 0);
    const std::size_t axis = axis_of(node.integer("axis", 0), from.rank());
    std::int64_t begin = 0;
    std::size_t slot = 0;
    for (const std::int64_t size : parts_of(node, constants(node, nullptr), from.extent(axis)))
    {
        const std::string& name = node.outputs[slot];
        if (readers_.count(name) != 0 || outside_.count(name) != 0)
        {
            set(node, cut(from, axis, begin, size), slot);
        }
        begin += size;
        ++slot;
    }
}

void Importer::gather(const Node& node)
{
    if (const Tensor* table = constant(node, 0))
    {
        View tokens = view(node, 1);
        if (table->extents.size() != 2 || node.integer("axis", 0) != 0)
        {
            throw Unsupported("from a table of " + std::to_string(table->extents.size()) + " axes");
        }
        const Factors order = tokens.order();
        tokens = arranged(std::move(tokens), order, {order.size(), order.size()});
        const LayerId layer =
            add("embedding", "", {tokens.layer},
                {{"vocabulary", table->extents[0]}, {"channels", table->extents[1]}});
        tokens.axes.emplace_back();
        set(node, with_new_channels(tokens, layer, tokens.rank() - 1, table->extents[1]));
        return;
    }
    const Tensor& indices = needed_constant(node, 1);
    View from = view(node, 0);
    const std::size_t axis = axis_of(node.integer("axis", 0), from.rank());
    const std::vector<std::int64_t> list = whole_numbers(indices);
    if (list.empty() || indices.extents.size() > 1)
    {
        throw Unsupported("with indices of " + std::to_string(indices.extents.size()) + " axes");
    }
    for (std::size_t i = 1; i < list.size(); ++i)
    {
        if (list[i] != list[i - 1] + 1)
        {
            throw Unsupported("with indices that are not neighbours");
        }
    }
    const std::int64_t begin = list[0] < 0 ? list[0] + from.extent(axis) : list[0];
    from = cut(std::move(from), axis, begin, static_cast<std::int64_t>(list.size()));
    if (indices.extents.empty())
    {
        from.axes.erase(from.axes.begin() + static_cast<std::ptrdiff_t>(axis));
    }
    set(node, std::move(from));
}

void Importer::set_reshaped(const Node& node, const View& from, const Extents& extents)
{
    auto made = reshaped(from, extents);
    set(node, made ? std::move(*made) : laid_out_anew(from, extents));
}

void Importer::reshape(const Node& node)
{
    const View from = view(node, 0);
    Tensor wanted;
    if (has(node, 1))
    {
        wanted = needed_constant(node, 1);
    }
    else
    {
        wanted = tensor_of(node.integers("shape")); // before opset 5
    }
    const Extents extents =
        reshape_extents(from.extents(), wanted, node.integer("allowzero", 0) != 0);
    set_reshaped(node, from, extents);
}

void Importer::flatten(const Node& node)
{
    const View from = view(node, 0);
    const std::int64_t given = node.integer("axis", 1);
    const std::size_t axis =
        given == static_cast<std::int64_t>(from.rank()) ? from.rank() : axis_of(given, from.rank());
    std::int64_t before = 1;
    for (std::size_t i = 0; i < axis; ++i)
    {
        before *= from.extent(i);
    }
    set_reshaped(node, from, {before, from.elements() / before});
}

void Importer::squeeze(const Node& node)
{
    const View from = view(node, 0);
    Tensor extents;
    extents.extents = from.extents();
    set_reshaped(node, from, squeeze_extents(node, constants(node, &extents)));
}

void Importer::unsqueeze(const Node& node)
{
    const View from = view(node, 0);
    Tensor extents;
    extents.extents = from.extents();
    set_reshaped(node, from, unsqueeze_extents(node, constants(node, &extents)));
}

void Importer::expand(const Node& node)
{
    const View from = view(node, 0);
    const Extents wanted = whole_numbers(needed_constant(node, 1));
    const Extents extents = broadcast(from.extents(), wanted);
    Extents padded = from.extents();
    padded.insert(padded.begin(), extents.size() - padded.size(), 1);
    if (extents != padded)
    {
        throw Unsupported("that repeats a computed tensor");
    }
    set_reshaped(node, from, extents);
}

void Importer::tile(const Node& node)
{
    for (const std::int64_t repeat : whole_numbers(needed_constant(node, 1)))
    {
        if (repeat != 1)
        {
            throw Unsupported("that repeats a computed tensor");
        }
    }
    set(node, view(node, 0));
}

void Importer::transpose(const Node& node)
{
    View at = view(node, 0);
    std::vector<Factors> axes;
    for (const std::size_t axis : permutation_of(node, at.rank()))
    {
        axes.push_back(at.axes[axis]);
    }
    at.axes = std::move(axes);
    set(node, std::move(at));
}

} // namespace tessera::network::onnx
