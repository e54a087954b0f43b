// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/rewriter.h"

#include <utility>

namespace tessera::network::onnx
{

Rewriter::Rewriter(Graph& graph) : graph_(graph)
{
    for (const auto& [name, tensor] : graph.constants)
    {
        names_.insert(name);
    }
    for (const Port& port : graph.inputs)
    {
        names_.insert(port.name);
    }
    for (const Node& node : graph.nodes)
    {
        names_.insert(node.outputs.begin(), node.outputs.end());
    }
}

std::string Rewriter::fresh(const std::string& stem)
{
    std::string name = stem;
    while (!names_.insert(name).second)
    {
        name += '\'';
    }
    return name;
}

Node& Rewriter::add(const Node& stands_for, const char* operation, std::vector<std::string> inputs,
                    std::vector<std::string> outputs)
{
    Node node;
    node.name = stands_for.name;
    node.operation = operation;
    node.inputs = std::move(inputs);
    node.outputs = std::move(outputs);
    graph_.nodes.push_back(std::move(node));
    return graph_.nodes.back();
}

std::string Rewriter::constant(const std::string& stem, Tensor tensor)
{
    std::string name = fresh(stem);
    graph_.constants.emplace(name, std::move(tensor));
    return name;
}

std::string Rewriter::operand(const Node& node, std::size_t slot)
{
    return slot < node.inputs.size() ? node.inputs[slot] : std::string();
}

bool Rewriter::has_result(const Node& node, std::size_t slot)
{
    return slot < node.outputs.size() && !node.outputs[slot].empty();
}

} // namespace tessera::network::onnx
