// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include "network/kinds.h"
#include "network/object_reader.h"
#include "tessera/error.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace tessera::network::onnx
{

using nlohmann::json;

namespace
{

/// What the rules of kinds take for whole numbers.
void make_unsigned(json& value)
{
    if (value.is_array() || value.is_object())
    {
        for (json& inner : value)
        {
            make_unsigned(inner);
        }
    }
    else if (value.is_number_integer() && value >= 0)
    {
        value = value.get<std::uint64_t>();
    }
}

} // namespace

std::string text_of(const Extents& extents)
{
    std::string text;
    for (const std::int64_t extent : extents)
    {
        text += (text.empty() ? "" : "x") + std::to_string(extent);
    }
    return text;
}

Factors up_to(std::size_t count)
{
    Factors result(count);
    std::iota(result.begin(), result.end(), std::size_t{0});
    return result;
}

std::int64_t product_of(const View& view, const Factors& factors)
{
    return std::accumulate(factors.begin(), factors.end(), std::int64_t{1},
                           [&](std::int64_t p, std::size_t atom) { return p * view.atoms[atom]; });
}

View Importer::make_view(const Extents& extents, const std::vector<std::size_t>& rows,
                         const std::vector<std::size_t>& columns,
                         const std::vector<std::size_t>& channels)
{
    View view;
    view.axes.resize(extents.size());
    const auto take = [&](const std::vector<std::size_t>& axes)
    {
        for (const std::size_t axis : axes)
        {
            if (extents[axis] > 1)
            {
                view.axes[axis] = {view.atoms.size()};
                view.atoms.push_back(extents[axis]);
            }
        }
        return view.atoms.size();
    };
    view.bounds[0] = take(rows);
    view.bounds[1] = take(columns);
    (void)take(channels);
    return view;
}

LayerId Importer::add(const char* kind, const std::string& suffix,
                      const std::vector<LayerId>& inputs, json keys)
{
    const auto& rules = kind_rules();
    const auto rule =
        std::find_if(rules.begin(), rules.end(),
                     [&](const KindRule& one) { return std::string(name_of(one.kind)) == kind; });
    Layer layer;
    layer.kind = rule->kind;
    layer.inputs = inputs;
    const std::string base = sanitized(node_name_) + suffix;
    layer.name = base;
    for (std::size_t number = 2; !names_.insert(layer.name).second; ++number)
    {
        layer.name = base + '_' + std::to_string(number);
    }
    std::vector<Shape> operands;
    for (const LayerId input : inputs)
    {
        operands.push_back(result_.network[input].output);
    }
    make_unsigned(keys);
    const JsonDocument document(graph_.file, std::move(keys), 0, {});
    const ObjectReader object(document, document.value(), "/graph/" + node_name_,
                              "a layer of kind " + std::string(kind));
    rule->read(object, operands, layer);
    if (result_.network.layers.size() >= kMaxLayers)
    {
        throw InputError({graph_.file, 0, "/graph"}, "makes more than 100000 layers",
                         "divide the network");
    }
    codes_.push_back(moved_codes(layer));
    result_.network.layers.push_back(std::move(layer));
    result_.weights.emplace_back();
    return LayerId(static_cast<std::uint32_t>(result_.network.layers.size() - 1));
}

void Importer::set(const Node& node, View view, std::size_t slot)
{
    if (slot < node.outputs.size() && !node.outputs[slot].empty())
    {
        roots_.emplace(view.layer.index(), node.outputs[slot]);
        views_.insert_or_assign(node.outputs[slot], std::move(view));
    }
}

std::int64_t Importer::part(const View& view, std::size_t begin, std::size_t end)
{
    std::int64_t product = 1;
    for (std::size_t atom = begin; atom < end; ++atom)
    {
        product *= view.atoms[atom];
    }
    return product;
}

LayerId Importer::shape_as(LayerId layer, std::int64_t height, std::int64_t width,
                           std::int64_t channels)
{
    const Shape& shape = result_.network[layer].output;
    if (shape.height == height && shape.width == width && shape.channels == channels)
    {
        return layer;
    }
    return add("reshape", ".reshape", {layer}, {{"shape", {height, width, channels}}});
}

View Importer::arranged(View view, const Factors& order, const Bounds& bounds)
{
    Factors now = up_to(view.atoms.size());
    const auto extent = [&](std::size_t begin, std::size_t end)
    {
        std::int64_t product = 1;
        for (std::size_t i = begin; i < end; ++i)
        {
            product *= view.atoms[now[i]];
        }
        return product;
    };
    const auto swap = [&](std::size_t a, std::size_t b, std::size_t c, const char* axes)
    {
        view.layer = shape_as(view.layer, extent(0, a), extent(a, b), extent(b, c));
        view.layer = add("transpose", ".transpose", {view.layer}, {{"axes", axes}});
    };
    const auto at = [](std::size_t i) { return static_cast<std::ptrdiff_t>(i); };
    for (std::size_t i = 0; i < order.size(); ++i)
    {
        if (now[i] == order[i])
        {
            continue;
        }
        const auto j =
            static_cast<std::size_t>(std::find(now.begin(), now.end(), order[i]) - now.begin());
        std::size_t end = j;
        while (end < now.size() && i + (end - j) < order.size() && now[end] == order[i + (end - j)])
        {
            ++end;
        }
        // prefix [0, i), X [i, j), Y [j, end), rest: X and Y change places.
        if (i == 0)
        {
            swap(j, end, now.size(), "height,width");
        }
        else if (end == now.size())
        {
            swap(i, j, end, "width,channels");
        }
        else
        {
            swap(j, end, now.size(), "height,width"); // Y prefix X rest
            std::rotate(now.begin(), now.begin() + at(j), now.begin() + at(end));
            const std::size_t y = end - j;
            swap(y, y + i, now.size(), "height,width"); // prefix Y X rest
            std::rotate(now.begin(), now.begin() + at(y), now.begin() + at(y + i));
            continue;
        }
        std::rotate(now.begin() + at(i), now.begin() + at(j), now.begin() + at(end));
    }
    view.layer = shape_as(view.layer, extent(0, bounds[0]), extent(bounds[0], bounds[1]),
                          extent(bounds[1], now.size()));
    // Atoms are numbered by where they lie.
    Factors place(order.size());
    std::vector<std::int64_t> atoms;
    for (std::size_t i = 0; i < order.size(); ++i)
    {
        place[order[i]] = i;
        atoms.push_back(view.atoms[order[i]]);
    }
    view.atoms = std::move(atoms);
    view.bounds = bounds;
    for (Factors& axis : view.axes)
    {
        for (std::size_t& atom : axis)
        {
            atom = place[atom];
        }
    }
    return view;
}

View Importer::laid_out_anew(View view, const Extents& extents, bool always)
{
    const Factors order = view.order();
    if (order != up_to(order.size()))
    {
        const std::size_t last = order.empty() ? 0 : order.size() - 1;
        view = arranged(view, order, {last, last});
    }
    std::vector<std::size_t> rows = up_to(extents.size());
    std::vector<std::size_t> channels;
    std::vector<std::size_t> columns;
    // The last two axes that are longer than 1 are width and channels.
    for (std::vector<std::size_t>* list : {&channels, &columns})
    {
        while (!rows.empty() && extents[rows.back()] == 1)
        {
            rows.pop_back();
        }
        if (!rows.empty())
        {
            *list = {rows.back()};
            rows.pop_back();
        }
    }
    View result = make_view(extents, rows, columns, channels);
    const std::int64_t height = part(result, 0, result.bounds[0]);
    const std::int64_t width = part(result, result.bounds[0], result.bounds[1]);
    const std::int64_t depth = part(result, result.bounds[1], result.atoms.size());
    result.layer = always ? add("reshape", "", {view.layer}, {{"shape", {height, width, depth}}})
                          : shape_as(view.layer, height, width, depth);
    return result;
}

View Importer::feature_map(View view)
{
    if (view.rank() < 3 || view.rank() > 4)
    {
        throw Unsupported("of " + std::to_string(view.rank()) + " axes");
    }
    if (!view.axes[0].empty())
    {
        throw Unsupported("with a batch of " + std::to_string(view.extent(0)) +
                          "; export the model with 1");
    }
    Factors order = view.axes[2];
    Bounds bounds{order.size(), order.size()};
    if (view.rank() == 4)
    {
        order.insert(order.end(), view.axes[3].begin(), view.axes[3].end());
        bounds[1] = order.size();
    }
    order.insert(order.end(), view.axes[1].begin(), view.axes[1].end());
    return arranged(std::move(view), order, bounds);
}

View Importer::with_channels(View view, const std::vector<std::size_t>& axes, bool in_order)
{
    Factors channels;
    for (const std::size_t axis : axes)
    {
        channels.insert(channels.end(), view.axes[axis].begin(), view.axes[axis].end());
    }
    if (!in_order)
    {
        std::sort(channels.begin(), channels.end());
    }
    if (view.are_channels(channels))
    {
        return view;
    }
    Factors order;
    for (std::size_t atom = 0; atom < view.atoms.size(); ++atom)
    {
        if (std::find(channels.begin(), channels.end(), atom) == channels.end())
        {
            order.push_back(atom);
        }
    }
    // Height and width stay what they are, as far as they are still there.
    const auto kept = [&](std::size_t bound)
    {
        return static_cast<std::size_t>(std::count_if(
            order.begin(), order.end(), [&](std::size_t atom) { return atom < bound; }));
    };
    const Bounds bounds{kept(view.bounds[0]), order.size()};
    order.insert(order.end(), channels.begin(), channels.end());
    return arranged(std::move(view), order, bounds);
}

std::vector<std::size_t> Importer::channel_positions(const View& view,
                                                     const std::vector<std::size_t>& axes)
{
    std::vector<std::size_t> strides(view.atoms.size(), 0);
    std::size_t stride = 1;
    for (std::size_t a = axes.size(); a-- > 0;)
    {
        const Factors& axis = view.axes[axes[a]];
        for (std::size_t i = axis.size(); i-- > 0;)
        {
            strides[axis[i]] = stride;
            stride *= static_cast<std::size_t>(view.atoms[axis[i]]);
        }
    }
    std::vector<std::size_t> positions{0};
    for (std::size_t atom = view.bounds[1]; atom < view.atoms.size(); ++atom)
    {
        std::vector<std::size_t> next;
        next.reserve(positions.size() * static_cast<std::size_t>(view.atoms[atom]));
        for (const std::size_t base : positions)
        {
            for (std::size_t i = 0; i < static_cast<std::size_t>(view.atoms[atom]); ++i)
            {
                next.push_back(base + i * strides[atom]);
            }
        }
        positions = std::move(next);
    }
    return positions;
}

View Importer::with_new_channels(View view, LayerId layer, std::size_t axis, std::int64_t extent)
{
    view.layer = layer;
    view.atoms.resize(view.bounds[1]);
    view.axes[axis].clear();
    if (extent > 1)
    {
        view.axes[axis] = {view.atoms.size()};
        view.atoms.push_back(extent);
    }
    return view;
}

View Importer::map_of(LayerId layer, std::size_t rank) const
{
    const Shape& shape = result_.network[layer].output;
    Extents extents{1, shape.channels, shape.height};
    if (rank == 4)
    {
        extents.push_back(shape.width);
    }
    View view = make_view(
        extents, {2}, rank == 4 ? std::vector<std::size_t>{3} : std::vector<std::size_t>{}, {1});
    view.layer = layer;
    return view;
}

View Importer::with_new_rows(View view, std::size_t axis, std::int64_t extent)
{
    const std::size_t old = view.bounds[0];
    view.atoms.erase(view.atoms.begin(), view.atoms.begin() + static_cast<std::ptrdiff_t>(old));
    view.atoms.insert(view.atoms.begin(), extent);
    view.axes[axis].clear();
    for (Factors& factors : view.axes)
    {
        for (std::size_t& atom : factors)
        {
            atom = atom - old + 1;
        }
    }
    view.axes[axis] = {0};
    view.bounds = {1, view.bounds[1] - old + 1};
    return view;
}

} // namespace tessera::network::onnx
