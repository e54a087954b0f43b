// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/graph.h"

#include "base/nearest.h"
#include "tessera/error.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace tessera::network::onnx
{

std::int64_t Tensor::elements() const
{
    std::int64_t product = 1;
    for (const std::int64_t extent : extents)
    {
        product *= extent;
    }
    return product;
}

std::int64_t Node::integer(const std::string& key, std::int64_t fallback) const
{
    const auto found = attributes.find(key);
    return found == attributes.end() ? fallback : found->second.integer;
}

double Node::real(const std::string& key, double fallback) const
{
    const auto found = attributes.find(key);
    return found == attributes.end() ? fallback : static_cast<double>(found->second.real);
}

std::string Node::text(const std::string& key, const std::string& fallback) const
{
    const auto found = attributes.find(key);
    return found == attributes.end() ? fallback : found->second.text;
}

const std::vector<std::int64_t>& Node::integers(const std::string& key) const
{
    static const std::vector<std::int64_t> kNone;
    const auto found = attributes.find(key);
    return found == attributes.end() ? kNone : found->second.integers;
}

bool is_onnx(const std::string& path)
{
    constexpr const char* kExtension = ".onnx";
    return path.size() > 5 && path.compare(path.size() - 5, 5, kExtension) == 0;
}

namespace
{

class Sorter
{
public:
    explicit Sorter(Graph& graph) : graph_(graph) {}

    void run()
    {
        define();
        std::vector<std::size_t> order;
        std::vector<State> states(graph_.nodes.size(), State::unseen);
        for (const Port& output : graph_.outputs)
        {
            if (makers_.find(output.name) == makers_.end())
            {
                fail("the graph's output " + in_quotes(output.name) + " is made by no node",
                     "export the model again");
            }
            visit(output.name, states, order);
        }
        std::vector<Node> nodes;
        nodes.reserve(order.size());
        for (const std::size_t index : order)
        {
            nodes.push_back(std::move(graph_.nodes[index]));
        }
        graph_.nodes = std::move(nodes);
    }

private:
    enum class State : std::uint8_t
    {
        unseen,
        open,
        done
    };
    static constexpr std::size_t kNoNode = ~std::size_t{0};

    [[noreturn]] void fail(const std::string& problem, const std::string& remedy) const
    {
        throw InputError({graph_.file, 0, "/graph"}, problem, remedy);
    }

    void define()
    {
        const auto add = [&](const std::string& name, std::size_t maker)
        {
            if (!makers_.emplace(name, maker).second)
            {
                fail("the name " + in_quotes(name) + " is defined twice",
                     "give every tensor one definition");
            }
        };
        for (const auto& [name, tensor] : graph_.constants)
        {
            add(name, kNoNode);
        }
        for (const Port& input : graph_.inputs)
        {
            add(input.name, kNoNode);
        }
        for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
        {
            for (const std::string& output : graph_.nodes[i].outputs)
            {
                if (!output.empty())
                {
                    add(output, i);
                }
            }
        }
    }

    /// Depth first without recursion: chains are as long as the file likes.
    void visit(const std::string& output, std::vector<State>& states,
               std::vector<std::size_t>& order)
    {
        struct Frame
        {
            std::size_t node, next_input;
        };
        std::vector<Frame> stack;
        const auto open = [&](std::size_t node)
        {
            if (node == kNoNode || states[node] == State::done)
            {
                return;
            }
            if (states[node] == State::open)
            {
                fail("node " + in_quotes(graph_.nodes[node].name) +
                         " reads what it makes itself: the graph has a cycle",
                     "unroll the loop when exporting");
            }
            states[node] = State::open;
            stack.push_back({node, 0});
        };
        open(makers_.at(output));
        while (!stack.empty())
        {
            Frame& top = stack.back();
            const Node& node = graph_.nodes[top.node];
            if (top.next_input == node.inputs.size())
            {
                states[top.node] = State::done;
                order.push_back(top.node);
                stack.pop_back();
                continue;
            }
            const std::string& input = node.inputs[top.next_input++];
            if (input.empty())
            {
                continue;
            }
            const auto maker = makers_.find(input);
            if (maker == makers_.end())
            {
                fail("node " + in_quotes(node.name) + " reads " + in_quotes(input) +
                         ", which nothing defines",
                     "export the model again, as a whole");
            }
            open(maker->second);
        }
    }

    Graph& graph_;
    std::unordered_map<std::string, std::size_t> makers_;
};

} // namespace

void sort_nodes(Graph& graph)
{
    Sorter(graph).run();
}

} // namespace tessera::network::onnx
