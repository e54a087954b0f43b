// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tessera::network::onnx
{

namespace
{

template <class Code>
void scale_codes(std::vector<Code>& codes, std::vector<double>& scales, double factor)
{
    for (Code& code : codes)
    {
        code = factor > 0 ? code : factor < 0 ? -code : 0;
    }
    for (double& scale : scales)
    {
        scale *= factor == 0 ? 1 : std::abs(factor);
    }
}

} // namespace

View Importer::dense(View from, const Tensor& matrix, bool transposed, const Tensor* bias,
                     double alpha, double beta)
{
    const std::size_t last = from.rank() - 1;
    const std::int64_t inner = matrix.extents[transposed ? 1 : 0];
    const std::int64_t outer = matrix.extents[transposed ? 0 : 1];
    if (inner != from.extent(last))
    {
        throw Unsupported("with a matrix of " + std::to_string(inner) + " rows and an operand of " +
                          std::to_string(from.extent(last)) + " columns");
    }
    from = with_channels(std::move(from), {last}, false);
    const LayerId layer =
        add("dense", "", {from.layer}, {{"channels", outer}, {"bias", bias != nullptr}});
    const bool known =
        matrix.known && matrix.real && (bias == nullptr || (bias->known && bias->real));
    if (known)
    {
        Weights& w = weights(layer);
        w.known = true;
        w.rows = static_cast<std::size_t>(inner);
        w.columns = static_cast<std::size_t>(outer);
        w.matrix.reserve(w.rows * w.columns);
        for (const std::size_t row : channel_positions(from, {last}))
        {
            for (std::size_t column = 0; column < w.columns; ++column)
            {
                const float value =
                    matrix.reals[transposed ? column * w.rows + row : row * w.columns + column];
                w.matrix.push_back(static_cast<float>(alpha * static_cast<double>(value)));
            }
        }
        w.codes.problem_of_weights = matrix.lost_codes;
        if (!matrix.steps.empty())
        {
            for (const std::size_t row : channel_positions(from, {last}))
            {
                for (std::size_t column = 0; column < w.columns; ++column)
                {
                    w.codes.matrix.push_back(static_cast<std::int32_t>(
                        matrix.integers[transposed ? column * w.rows + row
                                                   : row * w.columns + column]));
                }
            }
            take_steps(matrix, transposed ? 0 : 1, bias, w);
            // What codes are worth takes the magnitude of a factor over, the codes its sign.
            scale_codes(w.codes.matrix, w.codes.scale, alpha);
            scale_codes(w.codes.bias, w.codes.bias_scale, beta);
        }
        if (bias != nullptr)
        {
            for (std::size_t column = 0; column < w.columns; ++column)
            {
                w.bias.push_back(static_cast<float>(
                    beta * static_cast<double>(bias->reals[bias->elements() == 1 ? 0 : column])));
            }
        }
    }
    return with_new_channels(std::move(from), layer, last, outer);
}

void Importer::gemm(const Node& node)
{
    View from = view(node, 0);
    if (from.rank() != 2)
    {
        throw Unsupported("of " + std::to_string(from.rank()) + " axes");
    }
    if (node.integer("transA", 0) != 0)
    {
        std::swap(from.axes[0], from.axes[1]);
    }
    const Tensor matrix = parameter(node, 1);
    if (matrix.extents.size() != 2)
    {
        throw Unsupported("with weights of " + std::to_string(matrix.extents.size()) + " axes");
    }
    const bool transposed = node.integer("transB", 0) != 0;
    const std::int64_t outer = matrix.extents[transposed ? 0 : 1];
    Tensor bias;
    if (has(node, 2))
    {
        bias = parameter(node, 2);
        const bool a_column = bias.elements() == outer && bias.extents.back() == outer;
        if (bias.elements() != 1 && !a_column)
        {
            throw Unsupported("with a bias of " + text_of(bias.extents) +
                              ", which is not one for all or one a column");
        }
    }
    set(node, dense(std::move(from), matrix, transposed, has(node, 2) ? &bias : nullptr,
                    node.real("alpha", 1), node.real("beta", 1)));
}

void Importer::matmul(const Node& node)
{
    if (const Tensor* matrix = constant(node, 1))
    {
        const View from = view(node, 0);
        if (matrix->extents.size() != 2 || from.rank() < 1)
        {
            throw Unsupported("with constants of " + std::to_string(matrix->extents.size()) +
                              " axes");
        }
        set(node, dense(from, *matrix, false, nullptr, 1, 1));
        return;
    }
    if (constant(node, 0) != nullptr)
    {
        throw Unsupported("with weights first");
    }
    View a = view(node, 0);
    View b = view(node, 1);
    if (a.rank() < 2 || a.rank() != b.rank())
    {
        throw Unsupported("of " + std::to_string(a.rank()) + " and " + std::to_string(b.rank()) +
                          " axes");
    }
    const std::size_t rank = a.rank();
    const Extents left = a.extents();
    const Extents right = b.extents();
    if (left[rank - 1] != right[rank - 2] ||
        !std::equal(left.begin(), left.end() - 2, right.begin()))
    {
        throw Unsupported("of operands whose extents do not go together");
    }
    // A scale of the product is one of the first operand, where it can be folded into weights.
    if (const auto scale = scale_of_product(node))
    {
        a = times(std::move(a), *scale, ".scale");
    }
    const auto heads = [&](const View& view)
    {
        Factors list;
        for (std::size_t axis = 0; axis + 2 < rank; ++axis)
        {
            list.insert(list.end(), view.axes[axis].begin(), view.axes[axis].end());
        }
        return list;
    };
    const auto as = [&](View view, const Factors& rows, const Factors& columns)
    {
        Factors order = rows;
        const Factors middle = heads(view);
        order.insert(order.end(), middle.begin(), middle.end());
        const std::size_t apart = order.size();
        order.insert(order.end(), columns.begin(), columns.end());
        // Heads side by side in the channels stay there.
        const bool in_place = order == up_to(order.size()) && view.bounds[0] == rows.size() &&
                              view.bounds[1] == rows.size();
        return arranged(std::move(view), order,
                        in_place ? Bounds{rows.size(), rows.size()} : Bounds{rows.size(), apart});
    };
    const auto sequence = [&](const View& view, const Factors& rows, const Factors& columns)
    {
        Factors order = rows;
        const Factors middle = heads(view);
        order.insert(order.end(), middle.begin(), middle.end());
        order.insert(order.end(), columns.begin(), columns.end());
        return order == up_to(order.size());
    };
    a = as(a, a.axes[rank - 2], a.axes[rank - 1]);
    const bool transposed = !sequence(b, b.axes[rank - 2], b.axes[rank - 1]) &&
                            sequence(b, b.axes[rank - 1], b.axes[rank - 2]);
    b = transposed ? as(b, b.axes[rank - 1], b.axes[rank - 2])
                   : as(b, b.axes[rank - 2], b.axes[rank - 1]);
    const std::int64_t count = product_of(a, heads(a));
    const LayerId layer =
        add("matmul", "", {a.layer, b.layer}, {{"heads", count}, {"transpose_second", transposed}});
    // Rows of A, heads, columns of B.
    Extents extents = left;
    extents[rank - 1] = right[rank - 1];
    View made;
    made.layer = layer;
    made.axes.resize(rank);
    const auto take = [&](std::size_t axis)
    {
        if (extents[axis] > 1)
        {
            made.axes[axis] = {made.atoms.size()};
            made.atoms.push_back(extents[axis]);
        }
    };
    take(rank - 2);
    made.bounds[0] = made.atoms.size();
    made.bounds[1] = made.bounds[0];
    for (std::size_t axis = 0; axis + 2 < rank; ++axis)
    {
        take(axis);
    }
    if (transposed)
    {
        made.bounds[1] = made.atoms.size();
    }
    take(rank - 1);
    set(node, std::move(made));
}

std::optional<double> Importer::scale_of_product(const Node& node)
{
    const auto readers = readers_.find(node.outputs.at(0));
    if (outside_.count(node.outputs[0]) != 0 || readers == readers_.end() ||
        readers->second.size() != 1)
    {
        return std::nullopt;
    }
    const Reader reader = readers->second.front();
    const Node& next = graph_.nodes[reader.node];
    if (patterns_.inner[reader.node] || patterns_.roots.count(reader.node) != 0 ||
        next.inputs.size() != 2 ||
        !(next.operation == "Mul" || (next.operation == "Div" && reader.slot == 0)))
    {
        return std::nullopt;
    }
    const Tensor* factor = constant(next, 1 - reader.slot);
    if (factor == nullptr || !factor->known || factor->elements() != 1 || factor->value(0) == 0)
    {
        return std::nullopt;
    }
    passes_.insert(reader.node);
    return next.operation == "Mul" ? factor->value(0) : 1 / factor->value(0);
}

} // namespace tessera::network::onnx
