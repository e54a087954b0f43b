// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include "base/nearest.h"
#include "network/shapes.h"
#include "tessera/error.h"

#include <algorithm>
#include <set>
#include <utility>

namespace tessera::network::onnx
{

using nlohmann::json;

bool has_batch(const std::string& operation)
{
    static const std::set<std::string> kThese{
        "Conv",          "MaxPool",      "AveragePool",  "GlobalAveragePool",
        "GlobalMaxPool", "Upsample",     "Resize",       "BatchNormalization",
        "ConvTranspose", "DepthToSpace", "SpaceToDepth", "Pad"};
    return kThese.count(operation) != 0;
}

bool Importer::has(const Node& node, std::size_t slot)
{
    return slot < node.inputs.size() && !node.inputs[slot].empty();
}

const Tensor* Importer::constant(const Node& node, std::size_t slot) const
{
    if (!has(node, slot))
    {
        return nullptr;
    }
    const auto found = graph_.constants.find(node.inputs[slot]);
    return found == graph_.constants.end() ? nullptr : &found->second;
}

const Tensor& Importer::needed_constant(const Node& node, std::size_t slot) const
{
    const Tensor* tensor = constant(node, slot);
    if (tensor == nullptr)
    {
        throw Unsupported("with an operand " + std::to_string(slot) + " that is computed");
    }
    return *tensor;
}

Tensor Importer::parameter(const Node& node, std::size_t slot) const
{
    if (const Tensor* tensor = constant(node, slot))
    {
        return *tensor;
    }
    const auto input = has(node, slot) ? inputs_.find(node.inputs[slot]) : inputs_.end();
    if (input == inputs_.end() || !graph_.inputs[input->second].known)
    {
        throw Unsupported("with weights that are computed");
    }
    Tensor tensor;
    tensor.extents = graph_.inputs[input->second].extents;
    tensor.known = false;
    if (std::find(tensor.extents.begin(), tensor.extents.end(), -1) != tensor.extents.end())
    {
        throw Unsupported("with weights whose extents are not fixed");
    }
    return tensor;
}

Operands Importer::constants(const Node& node, const Tensor* first) const
{
    Operands operands{first};
    for (std::size_t slot = 1; slot < node.inputs.size(); ++slot)
    {
        operands.push_back(has(node, slot) ? &needed_constant(node, slot) : nullptr);
    }
    return operands;
}

View Importer::view(const Node& node, std::size_t slot)
{
    if (!has(node, slot))
    {
        throw Unsupported("without operand " + std::to_string(slot));
    }
    return view(node.inputs[slot]);
}

View Importer::view(const std::string& name)
{
    const auto found = views_.find(name);
    if (found != views_.end())
    {
        return found->second;
    }
    const auto input = inputs_.find(name);
    if (input == inputs_.end())
    {
        throw Unsupported("of a constant");
    }
    return views_.emplace(name, make_input(graph_.inputs[input->second])).first->second;
}

View Importer::make_input(const Port& port)
{
    const std::string place = "/graph/" + port.name;
    if (!port.known || port.extents.empty())
    {
        throw InputError({graph_.file, 0, place}, "the input has no shape",
                         "export the model with the shapes of its inputs");
    }
    Extents extents = port.extents;
    for (std::size_t i = 0; i < extents.size(); ++i)
    {
        if (extents[i] == -1 && i == 0)
        {
            extents[i] = 1;
        }
        if (extents[i] == -1)
        {
            const std::string symbol = port.symbols[i];
            throw InputError({graph_.file, 0, place},
                             "axis " + std::to_string(i) + " of the input" +
                                 (symbol.empty() ? "" : ", " + in_quotes(symbol) + ',') +
                                 " has no fixed extent",
                             "export the model with fixed extents (the batch may stay open)");
        }
        if (extents[i] < 1 || extents[i] > kMaxExtent)
        {
            throw InputError({graph_.file, 0, place},
                             "the input has an extent of " + std::to_string(extents[i]),
                             "give extents from 1 to 65536");
        }
    }
    // Which axes are height, width, channels.
    const std::size_t rank = extents.size();
    std::vector<std::size_t> rows;
    std::vector<std::size_t> columns;
    std::vector<std::size_t> channels;
    if (rank >= 4 && !channels_last(port.name))
    {
        rows = {0};
        for (std::size_t i = 2; i + 1 < rank; ++i)
        {
            rows.push_back(i);
        }
        columns = {rank - 1};
        channels = {1};
    }
    else if (rank == 3 && read_as_map(port.name))
    {
        rows = {0, 2};
        channels = {1};
    }
    else if (rank == 2 && port.type.bits != 0 && !is_coded(port.name))
    {
        rows = {0, 1}; // tokens
    }
    else
    {
        for (std::size_t i = 0; i + 1 < rank; ++i)
        {
            rows.push_back(i);
        }
        channels = {rank - 1};
        if (rows.size() == 3 || (rows.size() == 2 && extents[0] != 1))
        {
            columns = {rows.back()};
            rows.pop_back();
        }
    }
    View view = make_view(extents, rows, columns, channels);
    const std::string reader = std::exchange(node_name_, port.name);
    const auto group = [&](std::size_t begin, std::size_t end)
    {
        std::int64_t product = 1;
        for (std::size_t atom = begin; atom < end; ++atom)
        {
            product *= view.atoms[atom];
            if (product > kMaxExtent)
            {
                throw InputError({graph_.file, 0, place}, "the input is too large",
                                 "keep every extent within 65536");
            }
        }
        return product;
    };
    view.layer = add("input", "", {},
                     {{"shape",
                       {group(0, view.bounds[0]), group(view.bounds[0], view.bounds[1]),
                        group(view.bounds[1], view.atoms.size())}}});
    node_name_ = reader;
    result_.inputs.push_back({port.name, view});
    roots_.emplace(view.layer.index(), port.name);
    code_input(port, view);
    return view;
}

bool Importer::channels_last(const std::string& name) const
{
    const std::vector<const Node*> readers = readers_of(name);
    return !readers.empty() &&
           std::all_of(readers.begin(), readers.end(),
                       [](const Node* node)
                       {
                           return node->operation == "Transpose" &&
                                  node->integers("perm") == std::vector<std::int64_t>{0, 3, 1, 2};
                       });
}

bool Importer::read_as_map(const std::string& name) const
{
    const std::vector<const Node*> readers = readers_of(name);
    return std::any_of(readers.begin(), readers.end(),
                       [](const Node* node) { return has_batch(node->operation); });
}

} // namespace tessera::network::onnx
