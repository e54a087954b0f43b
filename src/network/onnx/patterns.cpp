// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/patterns.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <set>
#include <unordered_set>

namespace tessera::network::onnx
{
namespace
{

constexpr std::size_t kMostNodes = 12; ///< of one activation

double sigmoid(double x)
{
    return 1 / (1 + std::exp(-x));
}

struct Known
{
    const char* name;
    double (*value)(double);
};

double gelu_tanh(double x)
{
    const double root = std::sqrt(2 / std::acos(-1.0));
    return x / 2 * (1 + std::tanh(root * (x + 0.044715 * x * x * x)));
}

constexpr std::array<Known, 9> kCurves{{
    {"relu", [](double x) { return std::max(x, 0.0); }},
    {"relu6", [](double x) { return std::clamp(x, 0.0, 6.0); }},
    {"sigmoid", sigmoid},
    {"tanh", [](double x) { return std::tanh(x); }},
    {"silu", [](double x) { return x * sigmoid(x); }},
    {"hard_swish", [](double x) { return x * std::clamp(x + 3, 0.0, 6.0) / 6; }},
    {"mish", [](double x) { return x * std::tanh(std::log1p(std::exp(x))); }},
    {"gelu", [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }},
    {"gelu_tanh", gelu_tanh},
}};
// Constants are written with few digits.
constexpr double kTolerance = 2e-3;

/// Elementwise operations and what they do to numbers.
using Operation = std::function<double(const Node&, const std::vector<double>&)>;
const std::map<std::string, Operation>& operations()
{
    using List = std::vector<double>;
    static const std::map<std::string, Operation> kOperations{
        {"Relu", [](const Node&, const List& v) { return std::max(v[0], 0.0); }},
        {"LeakyRelu", [](const Node& n, const List& v)
         { return v[0] < 0 ? v[0] * n.real("alpha", 0.01) : v[0]; }},
        {"Sigmoid", [](const Node&, const List& v) { return sigmoid(v[0]); }},
        {"HardSigmoid", [](const Node& n, const List& v)
         { return std::clamp(v[0] * n.real("alpha", 0.2) + n.real("beta", 0.5), 0.0, 1.0); }},
        {"HardSwish",
         [](const Node&, const List& v) { return v[0] * std::clamp(v[0] + 3, 0.0, 6.0) / 6; }},
        {"Tanh", [](const Node&, const List& v) { return std::tanh(v[0]); }},
        {"Erf", [](const Node&, const List& v) { return std::erf(v[0]); }},
        {"Exp", [](const Node&, const List& v) { return std::exp(v[0]); }},
        {"Log", [](const Node&, const List& v) { return std::log(v[0]); }},
        {"Sqrt", [](const Node&, const List& v) { return std::sqrt(v[0]); }},
        {"Abs", [](const Node&, const List& v) { return std::abs(v[0]); }},
        {"Neg", [](const Node&, const List& v) { return -v[0]; }},
        {"Reciprocal", [](const Node&, const List& v) { return 1 / v[0]; }},
        {"Softplus", [](const Node&, const List& v) { return std::log1p(std::exp(v[0])); }},
        {"Mish",
         [](const Node&, const List& v) { return v[0] * std::tanh(std::log1p(std::exp(v[0]))); }},
        {"Gelu",
         [](const Node& n, const List& v)
         {
             const std::string how = n.text("approximate", "none");
             return how == "tanh"   ? gelu_tanh(v[0])
                    : how == "none" ? v[0] / 2 * (1 + std::erf(v[0] / std::sqrt(2.0)))
                                    : std::numeric_limits<double>::quiet_NaN();
         }},
        {"Swish",
         [](const Node& n, const List& v) { return v[0] * sigmoid(n.real("alpha", 1) * v[0]); }},
        {"Identity", [](const Node&, const List& v) { return v[0]; }},
        {"Clip",
         [](const Node& n, const List& v)
         {
             constexpr double kInfinity = std::numeric_limits<double>::infinity();
             const double least =
                 v.size() > 1 && !std::isnan(v[1]) ? v[1] : n.real("min", -kInfinity);
             const double most =
                 v.size() > 2 && !std::isnan(v[2]) ? v[2] : n.real("max", kInfinity);
             return std::min(std::max(v[0], least), most);
         }},
        {"Add", [](const Node&, const List& v) { return v[0] + v[1]; }},
        {"Sub", [](const Node&, const List& v) { return v[0] - v[1]; }},
        {"Mul", [](const Node&, const List& v) { return v[0] * v[1]; }},
        {"Div", [](const Node&, const List& v) { return v[0] / v[1]; }},
        {"Pow", [](const Node&, const List& v) { return std::pow(v[0], v[1]); }},
        {"Min", [](const Node&, const List& v) { return std::min(v[0], v[1]); }},
        {"Max", [](const Node&, const List& v) { return std::max(v[0], v[1]); }},
    };
    return kOperations;
}

class Finder
{
public:
    Finder(const Graph& graph, const std::map<std::string, Tensor>& constants,
           const std::unordered_set<std::string>& codes)
        : graph_(graph), constants_(constants), codes_(codes)
    {
        found_.inner.resize(graph.nodes.size(), false);
        for (std::size_t i = 0; i < graph.nodes.size(); ++i)
        {
            for (const std::string& output : graph.nodes[i].outputs)
            {
                makers_.emplace(output, i);
            }
            for (const std::string& input : graph.nodes[i].inputs)
            {
                readers_[input].push_back(i);
            }
        }
        for (const Port& output : graph.outputs)
        {
            readers_[output.name].push_back(graph.nodes.size()); // somebody outside
        }
    }

    Patterns run()
    {
        for (std::size_t i = graph_.nodes.size(); i-- > 0;)
        {
            if (!found_.inner[i] && !layer_norm(i))
            {
                activation(i);
            }
        }
        return std::move(found_);
    }

private:
    [[nodiscard]] const Tensor* constant(const std::string& name) const
    {
        const auto found = constants_.find(name);
        return found == constants_.end() ? nullptr : &found->second;
    }
    [[nodiscard]] std::optional<double> scalar(const std::string& name) const
    {
        const Tensor* tensor = constant(name);
        return tensor != nullptr && tensor->known && tensor->elements() == 1
                   ? std::optional(tensor->value(0))
                   : std::nullopt;
    }
    [[nodiscard]] bool elementwise(std::size_t index) const
    {
        const Node& node = graph_.nodes[index];
        const bool binary = node.operation == "Add" || node.operation == "Sub" ||
                            node.operation == "Mul" || node.operation == "Div" ||
                            node.operation == "Pow" || node.operation == "Min" ||
                            node.operation == "Max";
        const bool on_codes =
            std::any_of(node.inputs.begin(), node.inputs.end(),
                        [&](const std::string& input) { return codes_.count(input) != 0; });
        return !on_codes && !found_.inner[index] && found_.roots.count(index) == 0 &&
               node.domain.empty() && node.outputs.size() == 1 &&
               node.inputs.size() >= (binary ? 2 : 1) &&
               node.inputs.size() <= (node.operation == "Clip" ? 3
                                      : binary                 ? 2
                                                               : 1) &&
               operations().count(node.operation) != 0;
    }
    [[nodiscard]] const Node* maker(const std::string& name) const
    {
        const auto found = makers_.find(name);
        return found == makers_.end() ? nullptr : &graph_.nodes[found->second];
    }

    /// Takes in the nodes behind `root` until all of them read one tensor only, and then looks what
    /// they compute of it.
    void activation(std::size_t root)
    {
        if (!elementwise(root))
        {
            return;
        }
        std::set<std::size_t> region{root};
        while (region.size() <= kMostNodes)
        {
            std::set<std::string> open;
            for (const std::size_t node : region)
            {
                for (const std::string& input : graph_.nodes[node].inputs)
                {
                    const auto from = makers_.find(input);
                    if (input.empty() || scalar(input) ||
                        (from != makers_.end() && region.count(from->second) != 0))
                    {
                        continue;
                    }
                    if (constant(input) != nullptr)
                    {
                        return; // a tensor of its own
                    }
                    open.insert(input);
                }
            }
            if (open.size() == 1)
            {
                Pattern pattern;
                pattern.source = *open.begin();
                if (names(root, region, pattern))
                {
                    take(root, region, std::move(pattern));
                    return;
                }
            }
            // The node nearest to the root whose result nobody else reads.
            std::optional<std::size_t> next;
            for (const std::string& name : open)
            {
                const auto from = makers_.find(name);
                if (from != makers_.end() && elementwise(from->second) &&
                    (!next || from->second > *next) && only_read_by(name, region))
                {
                    next = from->second;
                }
            }
            if (!next)
            {
                return;
            }
            region.insert(*next);
        }
    }

    [[nodiscard]] bool only_read_by(const std::string& name,
                                    const std::set<std::size_t>& region) const
    {
        const auto readers = readers_.find(name);
        return readers == readers_.end() ||
               std::all_of(readers->second.begin(), readers->second.end(),
                           [&](std::size_t node) { return region.count(node) != 0; });
    }

    /// Fills in the function that the region computes of pattern.source; false if it has no name.
    bool names(std::size_t root, const std::set<std::size_t>& region, Pattern& pattern) const
    {
        std::vector<double> x;
        std::vector<double> y;
        // From -9.75 and 9.75 inwards to 0: the two ends tell most that is no activation. Then far
        // out, where bounds may lie.
        constexpr std::array<double, 8> kFar{-30, 30, -300, 300, -1e4, 1e4, -1e6, 1e6};
        for (std::size_t i = 0; i < 121 + kFar.size(); ++i)
        {
            const double near = (i % 2 == 0 ? -0.1625 : 0.1625) * (60 - static_cast<double>(i / 2));
            x.push_back(i < 121 ? near : kFar[i - 121]);
            std::map<std::string, double> values{{pattern.source, x.back()}};
            for (const std::size_t index : region) // in the graph's order
            {
                const Node& node = graph_.nodes[index];
                std::vector<double> operands;
                for (const std::string& input : node.inputs)
                {
                    const auto value = values.find(input);
                    operands.push_back(input.empty() ? std::numeric_limits<double>::quiet_NaN()
                                       : value != values.end() ? value->second
                                                               : *scalar(input));
                }
                values[node.outputs.front()] = operations().at(node.operation)(node, operands);
            }
            y.push_back(values.at(graph_.nodes[root].outputs.front()));
            if (y.size() == 2 && !curve_of(x, y))
            {
                return false;
            }
        }
        if (const auto curve = curve_of(x, y))
        {
            pattern.function = curve->function;
            pattern.slope = curve->slope;
            return true;
        }
        return false;
    }

    void take(std::size_t root, const std::set<std::size_t>& nodes, Pattern pattern)
    {
        for (const std::size_t node : nodes)
        {
            found_.inner[node] = node != root;
        }
        found_.roots.emplace(root, std::move(pattern));
    }

    /// (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon), with what scales and shifts it; or
    /// the same without the means of x.
    bool layer_norm(std::size_t root)
    {
        std::set<std::size_t> nodes;
        Pattern pattern;
        std::string at = graph_.nodes[root].outputs.empty() ? "" : graph_.nodes[root].outputs[0];
        const auto peel = [&](const char* operation, std::string& into)
        {
            const Node* node = step(at, operation, nodes);
            if (node == nullptr || node->inputs.size() != 2)
            {
                return;
            }
            for (const std::size_t k : {std::size_t{0}, std::size_t{1}})
            {
                if (constant(node->inputs[k]) != nullptr &&
                    constant(node->inputs[1 - k]) == nullptr)
                {
                    into = node->inputs[k];
                    at = node->inputs[1 - k];
                    return;
                }
            }
        };
        peel("Add", pattern.bias);
        peel("Mul", pattern.scale);
        const auto [divided, divisor] = quotient(at, nodes);
        const Node* root_of = step(divisor, "Sqrt", nodes);
        const Node* sum = root_of != nullptr ? step(root_of->inputs[0], "Add", nodes) : nullptr;
        if (sum == nullptr)
        {
            return false;
        }
        std::set<std::size_t> more = nodes;
        const Node* difference = step(divided, "Sub", more);
        if (difference != nullptr && centred(*difference, more, pattern))
        {
            nodes = std::move(more);
        }
        else
        {
            pattern.centred = false;
            pattern.source = divided;
        }
        const std::size_t epsilon = scalar(sum->inputs[1]) ? 1 : 0;
        const Node* variance = step(sum->inputs[1 - epsilon], "ReduceMean", nodes);
        if (!scalar(sum->inputs[epsilon]) || variance == nullptr ||
            variance->integer("keepdims", 1) == 0)
        {
            return false;
        }
        const std::vector<std::int64_t> axes = axes_of(*variance);
        if (pattern.centred ? axes != pattern.axes : axes.empty())
        {
            return false;
        }
        pattern.axes = axes;
        pattern.epsilon = *scalar(sum->inputs[epsilon]);
        const Node* square = step(variance->inputs[0], "Pow", nodes);
        if (square == nullptr)
        {
            square = step(variance->inputs[0], "Mul", nodes);
            if (square == nullptr || square->inputs[0] != square->inputs[1])
            {
                return false;
            }
        }
        else if (scalar(square->inputs[1]) != 2.0)
        {
            return false;
        }
        if (square->inputs[0] != divided)
        {
            if (!pattern.centred)
            {
                return false;
            }
            // The difference made a second time.
            Pattern second;
            const Node* again = step(square->inputs[0], "Sub", nodes);
            if (again == nullptr || !centred(*again, nodes, second) ||
                second.source != pattern.source || second.axes != pattern.axes)
            {
                return false;
            }
        }
        // Nobody may read what lies inside.
        for (const std::size_t node : nodes)
        {
            if (node != root && !only_read_by(graph_.nodes[node].outputs[0], nodes))
            {
                return false;
            }
        }
        take(root, nodes, std::move(pattern));
        return true;
    }

    /// What is divided and by what, where `name` is a quotient, or a product with a reciprocal; its
    /// nodes are noted. "" for anything else.
    std::pair<std::string, std::string> quotient(const std::string& name,
                                                 std::set<std::size_t>& nodes) const
    {
        if (const Node* node = step(name, "Div", nodes))
        {
            return {node->inputs[0], node->inputs[1]};
        }
        if (const Node* product = step(name, "Mul", nodes))
        {
            for (const std::size_t k : {std::size_t{0}, std::size_t{1}})
            {
                if (const Node* reciprocal = step(product->inputs[k], "Reciprocal", nodes))
                {
                    return {product->inputs[1 - k], reciprocal->inputs[0]};
                }
            }
        }
        return {};
    }

    /// The node that makes `name` if it is such an operation; it is noted.
    const Node* step(const std::string& name, const char* operation,
                     std::set<std::size_t>& nodes) const
    {
        const auto found = makers_.find(name);
        if (found == makers_.end() || found_.inner[found->second] ||
            graph_.nodes[found->second].operation != operation ||
            graph_.nodes[found->second].inputs.empty() ||
            (graph_.nodes[found->second].inputs.size() < 2 && std::string(operation) != "Sqrt" &&
             std::string(operation) != "ReduceMean" && std::string(operation) != "Reciprocal"))
        {
            return nullptr;
        }
        nodes.insert(found->second);
        return &graph_.nodes[found->second];
    }

    [[nodiscard]] std::vector<std::int64_t> axes_of(const Node& node) const
    {
        if (node.inputs.size() > 1)
        {
            const Tensor* axes = constant(node.inputs[1]);
            return axes != nullptr && axes->known ? axes->integers : std::vector<std::int64_t>();
        }
        return node.integers("axes");
    }

    /// x - mean(x)
    bool centred(const Node& difference, std::set<std::size_t>& nodes, Pattern& pattern) const
    {
        const Node* mean = step(difference.inputs[1], "ReduceMean", nodes);
        if (mean == nullptr || mean->inputs[0] != difference.inputs[0] ||
            mean->integer("keepdims", 1) == 0)
        {
            return false;
        }
        pattern.source = difference.inputs[0];
        pattern.axes = axes_of(*mean);
        return !pattern.axes.empty();
    }

    const Graph& graph_;
    const std::map<std::string, Tensor>& constants_;
    const std::unordered_set<std::string>& codes_;
    std::unordered_map<std::string, std::size_t> makers_;
    std::unordered_map<std::string, std::vector<std::size_t>> readers_;
    Patterns found_;
};

} // namespace

std::optional<Curve> curve_of(const std::vector<double>& x, const std::vector<double>& y)
{
    const auto error = [&](auto curve)
    {
        double most = 0;
        for (std::size_t i = 0; i < x.size(); ++i)
        {
            const double its = std::abs(y[i] - curve(x[i]));
            most = std::isnan(its) ? std::numeric_limits<double>::infinity() : std::max(most, its);
        }
        return most;
    };
    std::optional<Curve> best;
    double least = kTolerance;
    for (const Known& known : kCurves)
    {
        const double its = error(known.value);
        if (its < least || (!best && its == least))
        {
            best = Curve{known.name, 1};
            least = its;
        }
    }
    if (best || x.front() == 0)
    {
        return best;
    }
    const double part = y.front() / x.front();
    const double steepness = std::log(part / (1 - part)) / x.front();
    constexpr double kFlat = 0.05; // x / 2 has a steepness of 0
    if (std::isfinite(steepness) && steepness > kFlat &&
        error([&](double v) { return v * sigmoid(steepness * v); }) <= kTolerance)
    {
        return Curve{"silu", steepness};
    }
    if (part > 0 && part < 1 && error([&](double v) { return v < 0 ? v * part : v; }) <= kTolerance)
    {
        return Curve{"leaky_relu", part};
    }
    return std::nullopt;
}

Patterns find_patterns(const Graph& graph, const std::map<std::string, Tensor>& constants,
                       const std::unordered_set<std::string>& codes)
{
    return Finder(graph, constants, codes).run();
}

} // namespace tessera::network::onnx
