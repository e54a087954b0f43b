// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/contributed.h"

#include "network/onnx/rewriter.h"

#include <unordered_map>
#include <utility>

namespace tessera::network::onnx
{
namespace
{

class Speller : Rewriter
{
public:
    using Rewriter::Rewriter;

    void run()
    {
        static const std::unordered_map<std::string, void (Speller::*)(const Node&)> kForms{
            {"BiasGelu", &Speller::gelu},
            {"FastGelu", &Speller::gelu},
            {"Gelu", &Speller::gelu},
            {"QuickGelu", &Speller::quick_gelu},
            {"SimplifiedLayerNormalization", &Speller::same},
            {"SkipLayerNormalization", &Speller::norm_of_sum},
            {"SkipSimplifiedLayerNormalization", &Speller::norm_of_sum},
        };
        for (Node& node : std::exchange(graph_.nodes, {}))
        {
            const auto form = kForms.find(node.operation);
            if (node.domain != "com.microsoft" || form == kForms.end() || node.outputs.empty())
            {
                graph_.nodes.push_back(std::move(node));
                continue;
            }
            (this->*form->second)(node);
        }
    }

private:
    /// The sum of `from` and an operand, or `from` itself where there is none.
    std::string with_sum(const Node& node, const std::string& from, std::size_t slot)
    {
        const std::string other = operand(node, slot);
        if (other.empty())
        {
            return from;
        }
        std::string sum = fresh(node.name + ".sum");
        add(node, "Add", {from, other}, {sum});
        return sum;
    }

    /// Of the sum with the second operand, if there is one.
    void gelu(const Node& node)
    {
        const std::string from = with_sum(node, operand(node, 0), 1);
        add(node, "Gelu", {from}, node.outputs).attributes["approximate"].text =
            node.operation == "FastGelu" ? "tanh" : "none";
    }

    void quick_gelu(const Node& node)
    {
        constexpr double kAlpha = 1.702; // where none is given
        add(node, "Swish", node.inputs, node.outputs).attributes["alpha"].real =
            static_cast<float>(node.real("alpha", kAlpha));
    }

    void same(const Node& node)
    {
        add(node, node.operation.c_str(), node.inputs, node.outputs).attributes = node.attributes;
    }

    /// Operands: input, what is skipped, scale, shift (unless simplified), bias of the sum.
    /// Results: the norm, mean, deviation, the sum.
    void norm_of_sum(const Node& node)
    {
        constexpr double kEpsilon = 1e-12; // where none is given
        constexpr std::size_t kSum = 3;
        const bool simplified = node.operation == "SkipSimplifiedLayerNormalization";
        const std::string first = with_sum(node, operand(node, 0), 1);
        const std::string sum = with_sum(node, first, simplified ? 3 : 4);
        std::vector<std::string> results = node.outputs;
        if (has_result(node, kSum))
        {
            add(node, "Identity", {sum}, {node.outputs[kSum]});
        }
        results.resize(std::min(results.size(), kSum));
        std::vector<std::string> inputs{sum, operand(node, 2)};
        if (!simplified && !operand(node, 3).empty())
        {
            inputs.push_back(operand(node, 3));
        }
        Node& norm = add(node, simplified ? "RMSNormalization" : "LayerNormalization",
                         std::move(inputs), std::move(results));
        norm.attributes["epsilon"].real = static_cast<float>(node.real("epsilon", kEpsilon));
        norm.attributes["axis"].integer = -1;
    }
};

} // namespace

void spell_out_contributed(Graph& graph)
{
    Speller(graph).run();
}

} // namespace tessera::network::onnx
