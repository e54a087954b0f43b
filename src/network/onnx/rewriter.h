// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "network/onnx/graph.h"

#include <string>
#include <unordered_set>
#include <vector>

namespace tessera::network::onnx
{

/// What functions need that replace nodes of a graph by others.
class Rewriter
{
public:
    explicit Rewriter(Graph& graph);

protected:
    /// A name that nothing in the graph has.
    std::string fresh(const std::string& stem);
    /// Appends a node of ONNX itself, with the name of the one that it helps to stand for.
    Node& add(const Node& stands_for, const char* operation, std::vector<std::string> inputs,
              std::vector<std::string> outputs);
    /// Adds a constant of the name that it returns.
    std::string constant(const std::string& stem, Tensor tensor);
    /// "" where it is left out.
    [[nodiscard]] static std::string operand(const Node& node, std::size_t slot);
    [[nodiscard]] static bool has_result(const Node& node, std::size_t slot);

    Graph& graph_;

private:
    std::unordered_set<std::string> names_;
};

} // namespace tessera::network::onnx
