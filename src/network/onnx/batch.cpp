// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/batch.h"

#include "base/nearest.h"
#include "tessera/error.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <unordered_map>

namespace tessera::network::onnx
{
namespace
{

/// What an operator does to the first axis of an operand.
enum class Fate : std::uint8_t
{
    kept,  ///< it is the first axis of the result
    proof, ///< the same, and the operator has a batch by definition
    mixed  ///< elements of different positions meet, or the axis goes elsewhere
};

/// Follows the first axis of extent `batch` from some inputs.
class Follower
{
public:
    Follower(const Graph& graph, std::int64_t batch) : graph_(graph), batch_(batch) {}

    void begin(const Port& input)
    {
        ranks_[input.name] = input.extents.size();
        proved_ = proved_ || input.extents.size() > 2;
    }

    void run()
    {
        for (const Node& node : graph_.nodes)
        {
            for (std::size_t slot = 0; slot < node.inputs.size() && mixer_ == nullptr; ++slot)
            {
                if (!node.inputs[slot].empty() && follows(node.inputs[slot]))
                {
                    take(node, slot);
                }
            }
        }
    }

    [[nodiscard]] bool follows(const std::string& name) const { return ranks_.count(name) != 0; }
    /// 0: not known.
    [[nodiscard]] std::size_t rank(const std::string& name) const { return ranks_.at(name); }
    /// The node where the axis ends; null: there is none.
    [[nodiscard]] const Node* mixer() const { return mixer_; }
    [[nodiscard]] bool proved() const { return proved_; }
    /// Does it come to a product with weights, whose rows are multiplied one by one?
    [[nodiscard]] bool multiplied() const { return multiplied_; }

private:
    [[nodiscard]] const Tensor* constant(const Node& node, std::size_t slot) const
    {
        const auto found = slot < node.inputs.size() ? graph_.constants.find(node.inputs[slot])
                                                     : graph_.constants.end();
        return found == graph_.constants.end() ? nullptr : &found->second;
    }

    void take(const Node& node, std::size_t slot)
    {
        if (node.operation == "Shape" || node.operation == "Size")
        {
            return; // asks for the extents that the operand has
        }
        std::size_t rank = ranks_.at(node.inputs[slot]); // of the results
        const Fate fate = fate_of(node, slot, rank);
        if (fate == Fate::mixed)
        {
            mixer_ = &node;
            return;
        }
        proved_ = proved_ || fate == Fate::proof;
        multiplied_ = multiplied_ || node.operation == "Gemm" || node.operation == "MatMul";
        for (const std::string& output : node.outputs)
        {
            ranks_[output] = rank;
        }
    }

    [[nodiscard]] static Fate kept_if(bool condition)
    {
        return condition ? Fate::kept : Fate::mixed;
    }

    /// Is this axis the first? Negative ones count from the end.
    [[nodiscard]] static bool is_first(std::int64_t axis, std::size_t rank)
    {
        return axis == 0 || (rank != 0 && axis == -static_cast<std::int64_t>(rank));
    }

    [[nodiscard]] static bool has_first(const std::vector<std::int64_t>& axes, std::size_t rank)
    {
        return std::any_of(axes.begin(), axes.end(),
                           [&](std::int64_t axis) { return is_first(axis, rank); });
    }

    /// Axes given as an attribute, or since some opset as an operand.
    [[nodiscard]] std::vector<std::int64_t> axes_of(const Node& node, std::size_t slot,
                                                    const char* key = "axes") const
    {
        const Tensor* operand = constant(node, slot);
        return operand != nullptr && operand->known ? operand->integers : node.integers(key);
    }

    /// `rank` is that of the operand, and becomes that of the result.
    Fate fate_of(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        static const std::set<std::string> kBatched{
            "AveragePool",   "BatchNormalization", "Conv",    "ConvTranspose", "DepthToSpace",
            "GlobalMaxPool", "GlobalAveragePool",  "MaxPool", "Resize",        "SpaceToDepth",
            "Upsample"};
        static const std::set<std::string> kPairs{"Add", "Sub", "Mul", "Div",  "Pow",
                                                  "Max", "Min", "Sum", "Where"};
        using Rule = Fate (Follower::*)(const Node&, std::size_t, std::size_t&) const;
        static const std::map<std::string, Rule> kRules{{"Concat", &Follower::axis},
                                                        {"Expand", &Follower::expand},
                                                        {"Flatten", &Follower::flatten},
                                                        {"Gather", &Follower::gather},
                                                        {"Gemm", &Follower::gemm},
                                                        {"LayerNormalization", &Follower::axis},
                                                        {"MatMul", &Follower::matmul},
                                                        {"Pad", &Follower::pad},
                                                        {"ReduceMax", &Follower::reduce},
                                                        {"ReduceMean", &Follower::reduce},
                                                        {"RMSNormalization", &Follower::axis},
                                                        {"ReduceMin", &Follower::reduce},
                                                        {"ReduceSum", &Follower::reduce},
                                                        {"Reshape", &Follower::reshape},
                                                        {"Slice", &Follower::slice},
                                                        {"Softmax", &Follower::axis},
                                                        {"Split", &Follower::axis},
                                                        {"Squeeze", &Follower::squeeze},
                                                        {"Tile", &Follower::tile},
                                                        {"Transpose", &Follower::transpose},
                                                        {"Unsqueeze", &Follower::squeeze}};
        if (kBatched.count(node.operation) != 0)
        {
            return slot != 0 ? Fate::mixed : Fate::proof;
        }
        if (kPairs.count(node.operation) != 0)
        {
            return pair(node, slot, rank);
        }
        const auto rule = kRules.find(node.operation);
        if (rule != kRules.end())
        {
            return (this->*rule->second)(node, slot, rank);
        }
        return kept_if(slot == 0); // of single elements
    }

    Fate pair(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        for (std::size_t other = 0; other < node.inputs.size(); ++other)
        {
            const Tensor* tensor = constant(node, other);
            const std::size_t its = tensor != nullptr             ? tensor->extents.size()
                                    : follows(node.inputs[other]) ? rank_of(node, other)
                                                                  : rank_of_input(node, other);
            if (other != slot && rank != 0 && its > rank)
            {
                return Fate::mixed; // the axis is not the first of the result
            }
        }
        return Fate::kept;
    }
    [[nodiscard]] std::size_t rank_of(const Node& node, std::size_t slot) const
    {
        return ranks_.at(node.inputs[slot]);
    }
    [[nodiscard]] std::size_t rank_of_input(const Node& node, std::size_t slot) const
    {
        const auto port =
            std::find_if(graph_.inputs.begin(), graph_.inputs.end(),
                         [&](const Port& one) { return one.name == node.inputs[slot]; });
        return port == graph_.inputs.end() ? 0 : port->extents.size();
    }

    /// Operators along one axis.
    Fate axis(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const bool splits = node.operation == "Split";
        const bool softmax = node.operation == "Softmax";
        const std::int64_t otherwise = splits || node.operation == "Concat" ? 0
                                       : softmax && graph_.opset < 13       ? 1
                                                                            : -1;
        const bool data = node.operation == "Concat" || slot == 0;
        return kept_if(data && !is_first(node.integer("axis", otherwise), rank));
    }
    Fate expand(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const Tensor* wanted = constant(node, 1);
        if (slot != 0 || (wanted != nullptr && rank != 0 && wanted->integers.size() > rank))
        {
            return Fate::mixed;
        }
        return Fate::kept;
    }
    Fate flatten(const Node& node, std::size_t /*slot*/, std::size_t& rank) const
    {
        const bool first = is_first(node.integer("axis", 1), rank);
        rank = 2;
        return first ? Fate::mixed : Fate::proof;
    }
    Fate gather(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        if (slot == 1) // looks rows of a table up
        {
            const Tensor* table = constant(node, 0);
            const bool looks_up = table != nullptr && node.integer("axis", 0) == 0 && rank >= 2;
            rank += looks_up ? table->extents.size() - 1 : 0;
            return looks_up ? Fate::proof : Fate::mixed;
        }
        const Tensor* indices = constant(node, 1);
        const bool first = is_first(node.integer("axis", 0), rank);
        rank = indices == nullptr || rank == 0 ? 0 : rank - 1 + indices->extents.size();
        return kept_if(!first);
    }
    Fate gemm(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        rank = 2;
        return kept_if(slot == 0 && node.integer("transA", 0) == 0);
    }
    Fate matmul(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const Tensor* other = constant(node, 1 - std::min<std::size_t>(slot, 1));
        if (other != nullptr)
        {
            return kept_if(slot == 0 ? other->extents.size() <= 2 : rank > 2);
        }
        return kept_if(rank > 2);
    }
    Fate pad(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const std::vector<std::int64_t> pads = axes_of(node, 1, "pads");
        const bool first = !pads.empty() && (pads.front() != 0 || pads[pads.size() / 2] != 0);
        (void)rank;
        return slot != 0 || first ? Fate::mixed : Fate::kept;
    }
    Fate reduce(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const std::vector<std::int64_t> axes = axes_of(node, 1);
        const bool mixes = slot != 0 || axes.empty() || has_first(axes, rank);
        rank = node.integer("keepdims", 1) != 0 || rank == 0 ? rank
               : rank > axes.size()                          ? rank - axes.size()
                                                             : 0;
        return kept_if(!mixes);
    }
    Fate reshape(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const Tensor* wanted = constant(node, 1);
        if (slot != 0)
        {
            return Fate::mixed;
        }
        if (wanted == nullptr || !wanted->known)
        {
            rank = wanted == nullptr ? 0 : static_cast<std::size_t>(wanted->elements());
            return wanted == nullptr && node.inputs.size() < 2 ? Fate::mixed : Fate::kept;
        }
        rank = wanted->integers.size();
        const std::int64_t first = wanted->integers.empty() ? 1 : wanted->integers[0];
        return kept_if(first == 0 || first == -1 || first % batch_ == 0);
    }
    Fate slice(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const std::vector<std::int64_t> axes = axes_of(node, 3);
        const bool all = axes.empty(); // as many as there are starts, from the first on
        return kept_if(slot == 0 && !all && !has_first(axes, rank));
    }
    Fate squeeze(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const std::vector<std::int64_t> axes = axes_of(node, 1);
        const bool adds = node.operation == "Unsqueeze";
        const std::size_t made = rank == 0 || axes.empty() ? 0
                                 : adds                    ? rank + axes.size()
                                                           : rank - axes.size();
        const bool mixes = slot != 0 || has_first(axes, adds ? made : rank);
        rank = made;
        return kept_if(!mixes);
    }
    Fate tile(const Node& node, std::size_t slot, std::size_t& rank) const
    {
        const Tensor* repeats = constant(node, 1);
        (void)rank;
        return kept_if(slot == 0 && (repeats == nullptr || repeats->integers.empty() ||
                                     repeats->integers[0] == 1));
    }
    Fate transpose(const Node& node, std::size_t /*slot*/, std::size_t& rank) const
    {
        const std::vector<std::int64_t>& axes = node.integers("perm");
        (void)rank;
        return kept_if(!axes.empty() && axes[0] == 0);
    }

    const Graph& graph_;
    std::int64_t batch_;
    std::unordered_map<std::string, std::size_t> ranks_; ///< of tensors that begin with the axis
    const Node* mixer_ = nullptr;
    bool proved_ = false;
    bool multiplied_ = false;
};

/// Makes constants beside a batch those of one image.
class Divider
{
public:
    Divider(Graph& graph, const Follower& follower, std::int64_t batch)
        : graph_(graph), follower_(follower), batch_(batch)
    {
    }

    void run()
    {
        for (Node& node : graph_.nodes)
        {
            const bool beside =
                std::any_of(node.inputs.begin(), node.inputs.end(),
                            [&](const std::string& input) { return follower_.follows(input); });
            if (!beside)
            {
                continue;
            }
            if (node.operation == "Reshape" || node.operation == "Expand")
            {
                divide_extents(node);
            }
            else
            {
                take_one_row(node);
            }
        }
    }

private:
    /// The first extent that a Reshape or Expand asks for is that of the batch, times another.
    void divide_extents(Node& node)
    {
        const auto found =
            node.inputs.size() > 1 ? graph_.constants.find(node.inputs[1]) : graph_.constants.end();
        if (found == graph_.constants.end() || !found->second.known ||
            found->second.integers.empty() || found->second.integers[0] <= 0 ||
            found->second.integers[0] % batch_ != 0)
        {
            return;
        }
        Tensor made = found->second;
        made.integers[0] /= batch_;
        replace(node, 1, std::move(made));
    }

    /// Constants of the same rank that have a row for each image.
    void take_one_row(Node& node)
    {
        std::size_t rank = 0;
        for (const std::string& input : node.inputs)
        {
            rank = std::max(rank, follower_.follows(input) ? follower_.rank(input) : 0);
        }
        static const std::set<std::string> kBeside{"Add", "Sub", "Mul", "Div",
                                                   "Max", "Min", "Sum", "Concat"};
        for (std::size_t slot = 0; slot < node.inputs.size(); ++slot)
        {
            const auto found = graph_.constants.find(node.inputs[slot]);
            if (kBeside.count(node.operation) == 0 || found == graph_.constants.end() ||
                found->second.extents.size() != rank || found->second.extents[0] != batch_)
            {
                continue;
            }
            const Tensor& all = found->second;
            Tensor one = all;
            one.extents[0] = 1;
            const auto shorten = [&](auto& list)
            {
                const auto count = static_cast<std::ptrdiff_t>(one.elements());
                for (auto row = list.begin(); row < list.end(); row += count)
                {
                    if (!std::equal(row, row + count, list.begin()))
                    {
                        throw InputError({graph_.file, 0, "/graph/" + node.name},
                                         "has a constant, " + in_quotes(node.inputs[slot]) +
                                             ", that differs from image to image of a batch of " +
                                             std::to_string(batch_),
                                         "export the model with a batch of 1, or say "
                                         "--batch-axis none if the axis is rows of one image");
                    }
                }
                list.resize(std::min(list.size(), static_cast<std::size_t>(count)));
            };
            shorten(one.reals);
            shorten(one.integers);
            replace(node, slot, std::move(one));
        }
    }

    void replace(Node& node, std::size_t slot, Tensor tensor)
    {
        const std::string name = node.inputs[slot] + "\n" + node.name; // in no file
        graph_.constants.insert_or_assign(name, std::move(tensor));
        node.inputs[slot] = name;
    }

    Graph& graph_;
    const Follower& follower_;
    std::int64_t batch_;
};

/// The decision about inputs that begin with the same extent.
std::string decide(Graph& graph, const std::vector<Port*>& inputs, BatchAxis axis)
{
    const Port& first = *inputs.front();
    const std::int64_t batch = first.extents[0];
    Follower follower(graph, batch);
    std::string names;
    for (const Port* input : inputs)
    {
        follower.begin(*input);
        names += (names.empty() ? "" : ", ") + in_quotes(input->name);
    }
    follower.run();
    const std::string begin = "axis 0 of " + names + ", " + std::to_string(batch) + ", ";
    if (axis == BatchAxis::none)
    {
        return begin + "is taken for rows of one image, as asked for";
    }
    if (const Node* mixer = follower.mixer())
    {
        if (axis == BatchAxis::first)
        {
            throw InputError({graph.file, 0, "/graph/" + mixer->name},
                             "mixes what lies along axis 0 of " + names +
                                 ", which --batch-axis 0 says is a batch",
                             "leave --batch-axis out");
        }
        return begin + "is taken for rows of one image (tokens): node " + in_quotes(mixer->name) +
               " mixes them";
    }
    if (axis == BatchAxis::automatic && !follower.proved() && !follower.multiplied())
    {
        return begin + "is taken for rows of one image: the graph does not tell, and has no "
                       "products with weights along it";
    }
    if (axis == BatchAxis::automatic && !follower.proved())
    {
        throw InputError({graph.file, 0, "/graph/" + first.name},
                         "begins with an axis of " + std::to_string(batch) +
                             ", a batch or the rows (tokens) of one image: nothing in the graph "
                             "tells which",
                         "say --batch-axis 0 for a batch, --batch-axis none for rows, or export "
                         "the model with a batch of 1");
    }
    Divider(graph, follower, batch).run();
    for (Port* input : inputs)
    {
        input->extents[0] = 1;
    }
    return begin + "is taken for a batch: the network is that of one image";
}

} // namespace

std::vector<std::string> drop_batches(Graph& graph, BatchAxis axis)
{
    // Inputs that stand for weights whose values were stripped have no batch.
    static const std::set<std::string> kWeighted{"Conv", "ConvTranspose", "Gemm",
                                                 "BatchNormalization", "LayerNormalization"};
    std::set<std::string> data;
    for (const Node& node : graph.nodes)
    {
        const bool first_only = kWeighted.count(node.operation) != 0;
        data.insert(node.inputs.begin(), first_only && !node.inputs.empty()
                                             ? node.inputs.begin() + 1
                                             : node.inputs.end());
    }
    std::map<std::int64_t, std::vector<Port*>> by_extent;
    for (Port& input : graph.inputs)
    {
        if (input.known && input.extents.size() >= 2 && input.extents[0] > 1 &&
            data.count(input.name) != 0)
        {
            by_extent[input.extents[0]].push_back(&input);
        }
    }
    std::vector<std::string> decisions;
    for (const auto& [extent, inputs] : by_extent)
    {
        decisions.push_back(decide(graph, inputs, axis));
    }
    return decisions;
}

} // namespace tessera::network::onnx
