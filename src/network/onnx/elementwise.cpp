// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include <algorithm>
#include <utility>

namespace tessera::network::onnx
{

using nlohmann::json;

void Importer::binary(const Node& node)
{
    const auto index = static_cast<std::size_t>(&node - graph_.nodes.data());
    if (node.inputs.size() == 1)
    {
        same(node);
        return;
    }
    if (passes_.count(index) != 0)
    {
        set(node, view(node, constant(node, 0) != nullptr ? 1 : 0));
        return;
    }
    if (node.inputs.size() > 2)
    {
        sum(node);
        return;
    }
    for (const std::size_t slot : {std::size_t{0}, std::size_t{1}})
    {
        if (const Tensor* tensor = constant(node, slot))
        {
            set(node, with_constant(node, view(node, 1 - slot), *tensor, slot == 0));
            return;
        }
    }
    View a = view(node, 0);
    View b = view(node, 1);
    if (node.operation == "Div")
    {
        throw Unsupported("of two computed tensors");
    }
    if (node.operation == "Sub")
    {
        b = times(std::move(b), -1, ".negative");
    }
    const bool product = node.operation == "Mul";
    const Extents extents = broadcast(a.extents(), b.extents());
    const bool swaps = a.extents() != extents;
    if (swaps)
    {
        std::swap(a, b);
    }
    if (a.extents() != extents)
    {
        throw Unsupported("that repeats both operands");
    }
    while (b.rank() < a.rank())
    {
        b.axes.insert(b.axes.begin(), Factors());
    }
    set(node, b.extents() == extents ? elementwise(product ? "mul" : "add", a, b)
                                     : per_channel(a, b, product));
}

View Importer::per_channel(View a, View b, bool product)
{
    if (!product)
    {
        throw Unsupported("that repeats a computed operand");
    }
    std::vector<std::size_t> axes;
    for (std::size_t axis = 0; axis < a.rank(); ++axis)
    {
        if (b.extent(axis) == a.extent(axis) && b.extent(axis) != 1)
        {
            axes.push_back(axis);
        }
    }
    a = with_channels(std::move(a), axes, true);
    b = with_channels(std::move(b), axes, true);
    a.layer = add("mul", "", {a.layer, b.layer}, json::object());
    return a;
}

View Importer::elementwise(const char* kind, View a, View b)
{
    align(a, b, std::nullopt);
    a.layer = add(kind, "", {a.layer, b.layer}, json::object());
    return a;
}

void Importer::align(View& a, View& b, std::optional<std::size_t> except)
{
    if (!refine(a, b, except))
    {
        a = laid_out_anew(a, a.extents());
        b = laid_out_anew(b, b.extents());
        (void)refine(a, b, except);
    }
    Factors order(a.atoms.size());
    for (std::size_t axis = 0; axis < a.rank(); ++axis)
    {
        if (axis == except)
        {
            continue;
        }
        for (std::size_t i = 0; i < a.axes[axis].size(); ++i)
        {
            order[a.axes[axis][i]] = b.axes[axis][i];
        }
    }
    if (!except)
    {
        b = arranged(b, order, a.bounds);
    }
}

void Importer::sum(const Node& node)
{
    if (node.operation != "Sum" && node.operation != "Add")
    {
        throw Unsupported("of more than two operands");
    }
    View at = view(node, 0);
    for (std::size_t slot = 1; slot < node.inputs.size(); ++slot)
    {
        const View next = view(node, slot);
        if (next.extents() != at.extents())
        {
            throw Unsupported("that repeats an operand");
        }
        at = elementwise("add", at, next);
    }
    set(node, std::move(at));
}

View Importer::with_constant(const Node& node, View view, const Tensor& tensor, bool first)
{
    const std::string& operation = node.operation;
    if (operation == "Div" && first)
    {
        throw Unsupported("of a constant by a computed tensor");
    }
    const Extents extents = view.extents();
    const Extents result = broadcast(extents, tensor.extents);
    const bool shifts = operation == "Add" || operation == "Sum" || operation == "Sub";
    if (result.size() > extents.size())
    {
        view.axes.insert(view.axes.begin(), result.size() - extents.size(), Factors());
    }
    if (view.extents() != result)
    {
        throw Unsupported("that repeats a computed operand");
    }
    Extents own(result.size() - tensor.extents.size(), 1);
    own.insert(own.end(), tensor.extents.begin(), tensor.extents.end());
    std::vector<std::size_t> axes; // along which the constant varies
    for (std::size_t axis = 0; axis < own.size(); ++axis)
    {
        if (own[axis] != 1)
        {
            axes.push_back(axis);
        }
    }
    const bool minus = operation == "Sub" && !first;
    const double sign = operation == "Sub" && first ? -1 : 1; // of x
    const auto scale = [&](double value)
    { return shifts ? sign : (operation == "Div" ? 1 / value : value); };
    const auto shift = [&](double value) { return shifts ? (minus ? -value : value) : 0; };
    const bool known = tensor.known;
    if (axes.size() > 1 && shifts && operation != "Sub" && own == result)
    {
        return with_table(std::move(view), tensor);
    }
    if (axes.size() > 1)
    {
        throw Unsupported("with a constant for every element");
    }
    if (axes.empty())
    {
        if (!known)
        {
            return affine(std::move(view), {}, {}, false, 0, "");
        }
        if (scale(tensor.value(0)) == 1 && shift(tensor.value(0)) == 0)
        {
            return view;
        }
        return scaled(std::move(view), scale(tensor.value(0)), shift(tensor.value(0)), "");
    }
    view = with_channels(std::move(view), axes, true);
    std::vector<double> scales;
    std::vector<double> shifts_by;
    const auto channels = static_cast<std::size_t>(view.extent(axes[0]));
    for (std::size_t c = 0; known && c < channels; ++c)
    {
        scales.push_back(scale(tensor.value(c)));
        shifts_by.push_back(shift(tensor.value(c)));
    }
    return affine(std::move(view), scales, shifts_by, known, channels, shifts ? ".bias" : "");
}

View Importer::with_table(View view, const Tensor& tensor)
{
    const std::size_t last = view.rank() - 1;
    Factors order;
    for (std::size_t axis = 0; axis < last; ++axis)
    {
        order.insert(order.end(), view.axes[axis].begin(), view.axes[axis].end());
    }
    const std::size_t rows = order.size();
    order.insert(order.end(), view.axes[last].begin(), view.axes[last].end());
    view = arranged(std::move(view), order, {rows, rows});
    const std::uint32_t positions = result_.network[view.layer].output.height;
    view.layer = add("embedding", "", {view.layer}, {{"positions", positions}});
    take_table(view.layer, tensor, 0);
    return view;
}

void Importer::take_table(LayerId layer, const Tensor& tensor, std::size_t first)
{
    if (!tensor.known || !tensor.real)
    {
        return;
    }
    Weights& w = weights(layer);
    const Shape& shape = result_.network[layer].output;
    w.known = true;
    w.rows = shape.height;
    w.columns = shape.channels;
    w.matrix.assign(w.rows * w.columns, 0.0F);
    std::copy(tensor.reals.begin(), tensor.reals.end(),
              w.matrix.begin() + static_cast<std::ptrdiff_t>(first * w.columns));
}

} // namespace tessera::network::onnx
