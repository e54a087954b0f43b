// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/import.h"

#include "base/nearest.h"
#include "network/fold.h"
#include "network/kinds.h"
#include "network/object_reader.h"
#include "network/onnx/constants.h"
#include "network/onnx/patterns.h"
#include "network/onnx/unsupported.h"
#include "network/shapes.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace tessera::network::onnx
{
namespace
{

using nlohmann::json;
using Bounds = std::array<std::size_t, 2>;

/// 0, 1, ..., count - 1
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

/// Operators whose first operand has a batch first, whatever its shape.
bool has_batch(const std::string& operation)
{
    static const std::set<std::string> kThese{"Conv",
                                              "MaxPool",
                                              "AveragePool",
                                              "GlobalAveragePool",
                                              "GlobalMaxPool",
                                              "Upsample",
                                              "Resize",
                                              "BatchNormalization",
                                              "Pad"};
    return kThese.count(operation) != 0;
}

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

class Importer
{
public:
    explicit Importer(Graph graph) : graph_(std::move(graph)), evaluator_(graph_.opset) {}

    Imported run()
    {
        evaluate_constants();
        patterns_ = find_patterns(graph_, graph_.constants);
        find_readers();
        drop_batches();
        for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
        {
            lower(i);
        }
        refuse_unsupported();
        finish();
        return std::move(result_);
    }

private:
    using Handler = void (Importer::*)(const Node&);

    // Before layers are made

    void evaluate_constants()
    {
        for (const Node& node : graph_.nodes)
        {
            if (!Evaluator::knows(node))
            {
                continue;
            }
            try
            {
                (void)evaluate(node);
            }
            catch (const Unsupported&) // NOLINT(bugprone-empty-catch): again when its turn comes
            {
            }
        }
    }

    /// Executes a node of constants; false if not all operands are.
    bool evaluate(const Node& node)
    {
        if (done_.count(node.outputs.empty() ? "" : node.outputs[0]) != 0)
        {
            return true;
        }
        Operands operands;
        for (const std::string& input : node.inputs)
        {
            const auto found = graph_.constants.find(input);
            if (found == graph_.constants.end() && !input.empty())
            {
                return false;
            }
            operands.push_back(input.empty() ? nullptr : &found->second);
        }
        keep(node, evaluator_.run(node, operands));
        return true;
    }

    void keep(const Node& node, std::vector<Tensor> values)
    {
        for (std::size_t k = 0; k < values.size() && k < node.outputs.size(); ++k)
        {
            graph_.constants[node.outputs[k]] = std::move(values[k]);
            done_.insert(node.outputs[k]);
        }
    }

    void find_readers()
    {
        for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
        {
            const Node& node = graph_.nodes[i];
            for (std::size_t slot = 0; slot < node.inputs.size(); ++slot)
            {
                readers_[node.inputs[slot]].push_back({i, slot});
            }
        }
        for (const Port& output : graph_.outputs)
        {
            ++outside_[output.name];
        }
        for (std::size_t i = 0; i < graph_.inputs.size(); ++i)
        {
            inputs_.emplace(graph_.inputs[i].name, i);
        }
    }

    /// Inputs that reach an operator with a batch through others that keep it: their first extent
    /// becomes 1.
    void drop_batches()
    {
        static const std::set<std::string> kKeep{
            "Relu",      "LeakyRelu",   "Clip",   "Sigmoid", "Tanh",     "Add",     "Mul",
            "Sub",       "Div",         "Concat", "Pad",     "Identity", "Dropout", "Cast",
            "HardSwish", "HardSigmoid", "Erf",    "Split",   "Slice"};
        std::unordered_set<std::string> batched;
        for (std::size_t i = graph_.nodes.size(); i-- > 0;)
        {
            const Node& node = graph_.nodes[i];
            const bool keeps =
                kKeep.count(node.operation) != 0 &&
                std::any_of(node.outputs.begin(), node.outputs.end(),
                            [&](const std::string& output) { return batched.count(output) != 0; });
            if (has_batch(node.operation) || keeps)
            {
                const std::size_t count = keeps ? node.inputs.size() : std::size_t{1};
                for (std::size_t k = 0; k < count && k < node.inputs.size(); ++k)
                {
                    batched.insert(node.inputs[k]);
                }
            }
        }
        for (Port& input : graph_.inputs)
        {
            if (batched.count(input.name) != 0 && input.extents.size() >= 3 && input.extents[0] > 1)
            {
                input.extents[0] = 1;
            }
        }
    }

    // Node by node

    void lower(std::size_t index)
    {
        const Node& node = graph_.nodes[index];
        node_name_ = node.name;
        if (patterns_.inner[index])
        {
            return;
        }
        try
        {
            const auto pattern = patterns_.roots.find(index);
            if (pattern != patterns_.roots.end())
            {
                if (!waits(pattern->second.source))
                {
                    lower(node, pattern->second);
                }
                return;
            }
            const auto handler = handlers().find(node.operation);
            const bool known = node.domain.empty() && handler != handlers().end();
            if (!known && !Evaluator::knows(node))
            {
                throw Unsupported("");
            }
            if (std::any_of(node.inputs.begin(), node.inputs.end(),
                            [&](const std::string& input) { return waits(input); }))
            {
                return;
            }
            if (Evaluator::knows(node) && (evaluate(node) || evaluate_shape(node)))
            {
                return;
            }
            if (!known)
            {
                throw Unsupported("only of constants");
            }
            (this->*handler->second)(node);
        }
        catch (const Unsupported& reason)
        {
            unsupported_.push_back({node.operation, node.name, reason.what()});
        }
    }

    /// Does this come from a node that cannot be imported?
    [[nodiscard]] bool waits(const std::string& name) const
    {
        return !name.empty() && views_.count(name) == 0 && graph_.constants.count(name) == 0 &&
               inputs_.count(name) == 0;
    }

    /// Shape and Size need to know the extents only.
    bool evaluate_shape(const Node& node)
    {
        if (node.operation != "Shape" && node.operation != "Size")
        {
            return false;
        }
        Tensor extents;
        extents.extents = view(node, 0).extents();
        extents.known = false;
        keep(node, evaluator_.run(node, {&extents}));
        return true;
    }

    void refuse_unsupported() const
    {
        if (unsupported_.empty())
        {
            return;
        }
        // By operator and reason, in order of appearance.
        constexpr std::size_t kMostNames = 10;
        struct Entry
        {
            std::string text;
            std::vector<std::string> nodes;
        };
        std::vector<Entry> entries;
        for (const Problem& problem : unsupported_)
        {
            const std::string text =
                in_quotes(problem.operation).substr(1, problem.operation.size()) +
                (problem.reason.empty() ? "" : " (" + problem.reason + ")");
            auto entry = std::find_if(entries.begin(), entries.end(),
                                      [&](const Entry& one) { return one.text == text; });
            if (entry == entries.end())
            {
                entry = entries.insert(entries.end(), {text, {}});
            }
            entry->nodes.push_back(in_quotes(problem.node));
        }
        std::string list;
        for (Entry& entry : entries)
        {
            const std::size_t more = entry.nodes.size() - std::min(entry.nodes.size(), kMostNames);
            entry.nodes.resize(entry.nodes.size() - more);
            list += (list.empty() ? "" : "; ") + entry.text + " at " + joined(entry.nodes) +
                    (more == 0 ? "" : " and " + std::to_string(more) + " more");
        }
        throw InputError({graph_.file, 0, "/graph"},
                         "has " + std::to_string(unsupported_.size()) +
                             (unsupported_.size() == 1 ? " node" : " nodes") +
                             " that no layer stands for: " + list,
                         "replace or remove them before exporting");
    }

    void finish()
    {
        Network& network = result_.network;
        network.name = sanitized(graph_.name.empty() || graph_.name == "torch_jit" ||
                                         graph_.name == "main_graph"
                                     ? stem(graph_.file)
                                     : graph_.name);
        network.source = "ONNX" + (graph_.producer.empty() ? "" : " by " + graph_.producer);
        std::set<std::size_t> taken;
        for (const Port& output : graph_.outputs)
        {
            if (graph_.constants.count(output.name) != 0)
            {
                throw InputError({graph_.file, 0, "/graph"},
                                 "the output " + in_quotes(output.name) + " is a constant",
                                 "remove it");
            }
            if (waits(output.name))
            {
                throw InputError({graph_.file, 0, "/graph"},
                                 "the output " + in_quotes(output.name) +
                                     " is a by-product that no layer makes",
                                 "remove it");
            }
            node_name_ = output.name;
            View view = this->view(output.name);
            if (network[view.layer].kind == LayerKind::input)
            {
                view = laid_out_anew(view, view.extents(), true);
            }
            if (taken.insert(view.layer.index()).second)
            {
                network.outputs.push_back(view.layer);
            }
            result_.outputs.push_back({output.name, view});
        }
        drop_unread();
        // Folding moves layers; outputs are in the order of the network's afterwards.
        const std::vector<LayerId> before = network.outputs;
        fold_batch_norms(network, result_.weights);
        std::size_t next = 0; // inputs stay in their order
        for (std::uint32_t i = 0; i < network.layers.size(); ++i)
        {
            if (network.layers[i].kind == LayerKind::input)
            {
                result_.inputs[next++].view.layer = LayerId(i);
            }
        }
        for (Imported::Port& output : result_.outputs)
        {
            const auto at = std::find(before.begin(), before.end(), output.view.layer);
            output.view.layer = network.outputs[static_cast<std::size_t>(at - before.begin())];
        }
    }

    /// Layers that no output needs: made for operands that turned out to be folded.
    void drop_unread()
    {
        Network& network = result_.network;
        std::vector<bool> needed(network.layers.size(), false);
        for (const LayerId output : network.outputs)
        {
            needed[output.index()] = true;
        }
        for (std::size_t i = network.layers.size(); i-- > 0;)
        {
            for (const LayerId input : network.layers[i].inputs)
            {
                needed[input.index()] = needed[input.index()] || needed[i];
            }
        }
        std::vector<LayerId> moved(network.layers.size());
        std::vector<Layer> layers;
        std::vector<Weights> weights;
        for (std::size_t i = 0; i < network.layers.size(); ++i)
        {
            if (!needed[i])
            {
                continue;
            }
            moved[i] = LayerId(static_cast<std::uint32_t>(layers.size()));
            layers.push_back(std::move(network.layers[i]));
            weights.push_back(std::move(result_.weights[i]));
            for (LayerId& input : layers.back().inputs)
            {
                input = moved[input.index()];
            }
        }
        network.layers = std::move(layers);
        result_.weights = std::move(weights);
        for (LayerId& output : network.outputs)
        {
            output = moved[output.index()];
        }
        result_.inputs.erase(std::remove_if(result_.inputs.begin(), result_.inputs.end(),
                                            [&](const Imported::Port& input)
                                            { return !needed[input.view.layer.index()]; }),
                             result_.inputs.end());
        for (Imported::Port& output : result_.outputs)
        {
            output.view.layer = moved[output.view.layer.index()];
        }
    }

    // Operands

    [[nodiscard]] static bool has(const Node& node, std::size_t slot)
    {
        return slot < node.inputs.size() && !node.inputs[slot].empty();
    }

    [[nodiscard]] const Tensor* constant(const Node& node, std::size_t slot) const
    {
        if (!has(node, slot))
        {
            return nullptr;
        }
        const auto found = graph_.constants.find(node.inputs[slot]);
        return found == graph_.constants.end() ? nullptr : &found->second;
    }

    [[nodiscard]] const Tensor& needed_constant(const Node& node, std::size_t slot) const
    {
        const Tensor* tensor = constant(node, slot);
        if (tensor == nullptr)
        {
            throw Unsupported("with an operand " + std::to_string(slot) + " that is computed");
        }
        return *tensor;
    }

    /// Trained constants: those of the file, or an input that stands for stripped ones.
    [[nodiscard]] Tensor parameter(const Node& node, std::size_t slot) const
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

    /// Operand constants by slot: what Evaluator's helpers want.
    [[nodiscard]] Operands constants(const Node& node, const Tensor* first) const
    {
        Operands operands{first};
        for (std::size_t slot = 1; slot < node.inputs.size(); ++slot)
        {
            operands.push_back(has(node, slot) ? &needed_constant(node, slot) : nullptr);
        }
        return operands;
    }

    View view(const Node& node, std::size_t slot)
    {
        if (!has(node, slot))
        {
            throw Unsupported("without operand " + std::to_string(slot));
        }
        return view(node.inputs[slot]);
    }

    View view(const std::string& name)
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

    View make_input(const Port& port)
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
        else if (rank == 2 && port.integral)
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
        return view;
    }

    [[nodiscard]] bool channels_last(const std::string& name) const
    {
        const auto readers = readers_.find(name);
        return readers != readers_.end() &&
               std::all_of(readers->second.begin(), readers->second.end(),
                           [&](const Reader& reader)
                           {
                               const Node& node = graph_.nodes[reader.node];
                               return node.operation == "Transpose" &&
                                      node.integers("perm") ==
                                          std::vector<std::int64_t>{0, 3, 1, 2};
                           });
    }

    [[nodiscard]] bool read_as_map(const std::string& name) const
    {
        const auto readers = readers_.find(name);
        return readers != readers_.end() &&
               std::any_of(readers->second.begin(), readers->second.end(),
                           [&](const Reader& reader)
                           { return has_batch(graph_.nodes[reader.node].operation); });
    }

    [[nodiscard]] static View make_view(const Extents& extents,
                                        const std::vector<std::size_t>& rows,
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

    // Layers

    [[nodiscard]] static std::string stem(const std::string& file)
    {
        const std::size_t slash = file.find_last_of('/');
        const std::string name = slash == std::string::npos ? file : file.substr(slash + 1);
        return name.substr(0, name.find('.'));
    }

    [[nodiscard]] static std::string sanitized(const std::string& name)
    {
        constexpr std::size_t kLongest = 200;
        constexpr const char* kAllowed =
            "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-";
        std::string result = name.substr(0, kLongest);
        for (std::size_t at = 0;
             (at = result.find_first_not_of(kAllowed, at)) != std::string::npos;)
        {
            result[at] = '_';
        }
        return result.empty() ? "layer" : result;
    }

    /// Adds a layer of a kind with these keys, named after the node.
    LayerId add(const char* kind, const std::string& suffix, const std::vector<LayerId>& inputs,
                json keys)
    {
        const auto& rules = kind_rules();
        const auto rule = std::find_if(rules.begin(), rules.end(),
                                       [&](const KindRule& one)
                                       { return std::string(name_of(one.kind)) == kind; });
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
        result_.network.layers.push_back(std::move(layer));
        result_.weights.emplace_back();
        return LayerId(static_cast<std::uint32_t>(result_.network.layers.size() - 1));
    }

    Layer& layer(const View& view) { return result_.network.layers[view.layer.index()]; }
    Weights& weights(LayerId layer) { return result_.weights[layer.index()]; }

    void set(const Node& node, View view, std::size_t slot = 0)
    {
        if (slot < node.outputs.size() && !node.outputs[slot].empty())
        {
            views_.insert_or_assign(node.outputs[slot], std::move(view));
        }
    }

    [[nodiscard]] static std::int64_t part(const View& view, std::size_t begin, std::size_t end)
    {
        std::int64_t product = 1;
        for (std::size_t atom = begin; atom < end; ++atom)
        {
            product *= view.atoms[atom];
        }
        return product;
    }

    /// A reshape of the layer's output to height, width, channels; none if it has them.
    LayerId shape_as(LayerId layer, std::int64_t height, std::int64_t width, std::int64_t channels)
    {
        const Shape& shape = result_.network[layer].output;
        if (shape.height == height && shape.width == width && shape.channels == channels)
        {
            return layer;
        }
        return add("reshape", ".reshape", {layer}, {{"shape", {height, width, channels}}});
    }

    /// The same tensor with its elements in another order: the atoms in that of `order`, cut into
    /// height, width and channels at `bounds`. Made of as few transposes as move one block at a
    /// time.
    View arranged(View view, const Factors& order, const Bounds& bounds)
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
            while (end < now.size() && i + (end - j) < order.size() &&
                   now[end] == order[i + (end - j)])
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

    /// The tensor with its elements in ONNX order, and axes of these extents, each an atom. With
    /// `always` there is a layer even if none is needed.
    View laid_out_anew(View view, const Extents& extents, bool always = false)
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
        result.layer = always
                           ? add("reshape", "", {view.layer}, {{"shape", {height, width, depth}}})
                           : shape_as(view.layer, height, width, depth);
        return result;
    }

    /// [1, channels, height, width] or [1, channels, height], the elements as layers have them.
    View feature_map(View view)
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

    /// The tensor with the elements of `axes` as channels: in the order of the axes, or in whatever
    /// order spares a transpose.
    View with_channels(View view, const std::vector<std::size_t>& axes, bool in_order)
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

    /// For each channel of the layer its position along `axes` taken together.
    [[nodiscard]] static std::vector<std::size_t>
    channel_positions(const View& view, const std::vector<std::size_t>& axes)
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

    /// `view` with another layer's output of the same shape but for its channels, which are `axis`.
    [[nodiscard]] static View with_new_channels(View view, LayerId layer, std::size_t axis,
                                                std::int64_t extent)
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

    // Scales and shifts

    /// scale x + shift, one of each a channel (or one for all). `parameters` of them are trained.
    View affine(View view, std::vector<double> scale, std::vector<double> shift, bool known,
                std::uint64_t parameters, const char* suffix)
    {
        const std::uint32_t channels = result_.network[view.layer].output.channels;
        const LayerId layer = add("batch_norm", suffix, {view.layer}, json::object());
        result_.network.layers[layer.index()].parameters = parameters;
        if (known)
        {
            scale.resize(channels, scale.empty() ? 1 : scale.front());
            shift.resize(channels, shift.empty() ? 0 : shift.front());
            Weights& w = weights(layer);
            w.known = true;
            w.scale.assign(scale.begin(), scale.end());
            w.bias.assign(shift.begin(), shift.end());
        }
        view.layer = layer;
        return view;
    }

    View scaled(View view, double scale, double shift, const char* suffix)
    {
        return affine(std::move(view), {scale}, {shift}, true, 0, suffix);
    }

    View activated(View view, const std::string& function)
    {
        view.layer = add("activation", "", {view.layer}, {{"function", function}});
        return view;
    }

    /// min(max(x, least), most) out of relu and relu6.
    View clipped(View view, double least, double most)
    {
        if (!(least < most) || std::isinf(least))
        {
            if (!std::isinf(least) || !(least < most))
            {
                throw Unsupported("with bounds that leave nothing");
            }
            // min(x, most) = most - relu(most - x)
            if (std::isinf(most))
            {
                return view;
            }
            view = activated(scaled(std::move(view), -1, most, ".mirror"), "relu");
            return scaled(std::move(view), -1, most, ".back");
        }
        const bool open = std::isinf(most);
        const double width = open ? 1 : (most - least) / 6;
        if (least != 0 || width != 1)
        {
            view = scaled(std::move(view), 1 / width, -least / width, ".scale");
        }
        view = activated(std::move(view), open ? "relu" : "relu6");
        return least != 0 || width != 1 ? scaled(std::move(view), width, least, ".back") : view;
    }

    // What single operators become

    static const std::unordered_map<std::string, Handler>& handlers();

    void lower(const Node& node, const Pattern& pattern)
    {
        node_name_ = node.name;
        if (!pattern.function.empty())
        {
            const View made = activated(view(pattern.source), pattern.function);
            if (pattern.function == "leaky_relu")
            {
                layer(made).slope = pattern.slope;
            }
            set(node, made);
            return;
        }
        const View source = view(pattern.source);
        std::vector<std::size_t> axes;
        for (const std::int64_t axis : pattern.axes)
        {
            axes.push_back(axis_of(axis, source.rank()));
        }
        const auto find = [&](const std::string& name)
        { return name.empty() ? nullptr : &graph_.constants.at(name); };
        set(node,
            normalised(source, axes, find(pattern.scale), find(pattern.bias), pattern.epsilon));
    }

    View normalised(View view, std::vector<std::size_t> axes, const Tensor* scale,
                    const Tensor* bias, double epsilon)
    {
        std::sort(axes.begin(), axes.end());
        view = with_channels(std::move(view), axes, false);
        const LayerId layer = add("layer_norm", "", {view.layer}, json::object());
        const std::size_t channels = result_.network[layer].output.channels;
        Weights& w = weights(layer);
        const std::vector<std::size_t> positions = channel_positions(view, axes);
        std::uint64_t parameters = 0;
        w.known = true;
        const auto take = [&](const Tensor* from, float otherwise)
        {
            std::vector<float> values(channels, otherwise);
            if (from == nullptr)
            {
                return values;
            }
            if (from->elements() != static_cast<std::int64_t>(channels))
            {
                throw Unsupported("with a scale or bias of another size");
            }
            parameters += channels;
            w.known = w.known && from->known && from->real;
            for (std::size_t c = 0; w.known && c < channels; ++c)
            {
                values[c] = from->reals[positions[c]];
            }
            return values;
        };
        w.scale = take(scale, 1);
        w.bias = take(bias, 0);
        if (!w.known)
        {
            w = Weights();
        }
        view.layer = layer;
        this->layer(view).parameters = parameters;
        this->layer(view).epsilon = epsilon;
        return view;
    }

    void same(const Node& node)
    {
        set(node, view(node, 0));
        if (node.outputs.size() > 1 && readers_.count(node.outputs[1]) != 0)
        {
            throw Unsupported("with a mask that is read");
        }
    }

    void cast(const Node& node)
    {
        const std::int64_t type = node.integer("to", 1);
        if (type == 8 || type == 9)
        {
            throw Unsupported("to text or booleans");
        }
        set(node, view(node, 0));
    }

    void dropout(const Node& node)
    {
        const Tensor* training = constant(node, 2);
        if (has(node, 2) && (training == nullptr || !training->known || training->value(0) != 0))
        {
            throw Unsupported("while training; export the model in evaluation mode");
        }
        same(node);
    }

    void clip(const Node& node)
    {
        const auto bound = [&](std::size_t slot, const char* key, double otherwise)
        {
            if (!has(node, slot))
            {
                return node.real(key, otherwise);
            }
            const Tensor& tensor = needed_constant(node, slot);
            if (!tensor.known || tensor.elements() != 1)
            {
                throw Unsupported("with bounds whose values are not in the file");
            }
            return tensor.value(0);
        };
        constexpr double kInfinity = std::numeric_limits<double>::infinity();
        constexpr double kLarge = 3e38; // what exporters write for no bound
        double least = bound(1, "min", -kInfinity);
        double most = bound(2, "max", kInfinity);
        least = least <= -kLarge ? -kInfinity : least;
        most = most >= kLarge ? kInfinity : most;
        set(node, clipped(view(node, 0), least, most));
    }

    void hard_sigmoid(const Node& node)
    {
        const double alpha = node.real("alpha", 0.2);
        const double beta = node.real("beta", 0.5);
        View at = scaled(view(node, 0), 6 * alpha, 6 * beta, ".scale");
        set(node, scaled(activated(at, "relu6"), 1.0 / 6, 0, ".back"));
    }

    void negate(const Node& node) { set(node, scaled(view(node, 0), -1, 0, "")); }

    void unknown_function(const Node& /*node*/) { throw Unsupported("outside an activation"); }

    /// Kernel, strides, dilations and padding of Conv and pools, for two axes.
    json window(const Node& node, const View& map, const std::vector<std::int64_t>& kernel,
                bool dilates)
    {
        const std::size_t axes = map.rank() - 2;
        const auto checked = [&](const std::vector<std::int64_t>& list, std::size_t count,
                                 std::int64_t least, const char* what)
        {
            if (list.size() != count ||
                std::any_of(list.begin(), list.end(),
                            [&](std::int64_t value)
                            { return value < least || value > std::int64_t{kMaxExtent}; }))
            {
                throw Unsupported("with " + std::string(what) + " that are no " +
                                  std::to_string(count) + " numbers from " + std::to_string(least) +
                                  " to 65536");
            }
            return list;
        };
        const auto list = [&](const char* key, std::size_t count, std::int64_t otherwise)
        {
            const auto& given = node.integers(key);
            return checked(given.empty() ? std::vector<std::int64_t>(count, otherwise) : given,
                           count, otherwise == 0 ? 0 : 1, key);
        };
        const auto both = [&](std::vector<std::int64_t> values)
        {
            values.resize(2, 1); // one-dimensional maps have a width of 1
            return json(values);
        };
        const std::vector<std::int64_t> sizes = checked(kernel, axes, 1, "a kernel");
        const std::vector<std::int64_t> strides = list("strides", axes, 1);
        const std::vector<std::int64_t> dilations = list("dilations", axes, 1);
        std::vector<std::int64_t> pads = list("pads", 2 * axes, 0);
        const std::string automatic = node.text("auto_pad", "NOTSET");
        if (automatic == "SAME_UPPER" || automatic == "SAME_LOWER")
        {
            for (std::size_t i = 0; i < axes; ++i)
            {
                const Window rule{static_cast<std::uint64_t>(sizes[i]),
                                  static_cast<std::uint64_t>(strides[i]),
                                  static_cast<std::uint64_t>(dilations[i]), 0, 0};
                auto [before, after] = rule.same(static_cast<std::uint64_t>(map.extent(2 + i)));
                if (automatic == "SAME_LOWER")
                {
                    std::swap(before, after);
                }
                pads[i] = before;
                pads[axes + i] = after;
            }
        }
        else if (automatic == "VALID")
        {
            pads.assign(2 * axes, 0);
        }
        else if (automatic != "NOTSET")
        {
            throw Unsupported("with auto_pad " + in_quotes(automatic));
        }
        json keys = {{"kernel", both(sizes)}, {"stride", both(strides)}};
        if (dilates)
        {
            keys["dilation"] = both(dilations);
        }
        else if (std::any_of(dilations.begin(), dilations.end(), [](auto d) { return d != 1; }))
        {
            throw Unsupported("with dilations");
        }
        keys["padding"] =
            axes == 2 ? json{pads[0], pads[2], pads[1], pads[3]} : json{pads[0], pads[1], 0, 0};
        return keys;
    }

    /// Extents of the layer's output on the axes of a feature map.
    [[nodiscard]] View map_of(LayerId layer, std::size_t rank) const
    {
        const Shape& shape = result_.network[layer].output;
        Extents extents{1, shape.channels, shape.height};
        if (rank == 4)
        {
            extents.push_back(shape.width);
        }
        View view =
            make_view(extents, {2},
                      rank == 4 ? std::vector<std::size_t>{3} : std::vector<std::size_t>{}, {1});
        view.layer = layer;
        return view;
    }

    void conv(const Node& node)
    {
        const View map = feature_map(view(node, 0));
        const Tensor kernel = parameter(node, 1);
        if (kernel.extents.size() != map.rank())
        {
            throw Unsupported("with a kernel of " + std::to_string(kernel.extents.size()) +
                              " axes");
        }
        const std::int64_t channels = kernel.extents[0];
        const std::int64_t groups = node.integer("group", 1);
        const std::vector<std::int64_t> sizes(kernel.extents.begin() + 2, kernel.extents.end());
        json keys = window(node, map, sizes, true);
        keys["channels"] = channels;
        keys["groups"] = groups;
        keys["bias"] = has(node, 2);
        const LayerId layer = add("conv2d", "", {map.layer}, std::move(keys));
        const Layer& made = result_.network[layer];
        if (kernel.extents[1] * groups != map.extent(1))
        {
            throw Unsupported("with weights for " + std::to_string(kernel.extents[1]) +
                              " channels a group and an input of " + std::to_string(map.extent(1)));
        }
        const std::size_t inner = static_cast<std::size_t>(kernel.extents[1]);
        const std::size_t positions = std::size_t{made.kernel_height} * made.kernel_width;
        Tensor bias;
        const bool biased = has(node, 2);
        if (biased)
        {
            bias = parameter(node, 2);
            if (bias.elements() != channels)
            {
                throw Unsupported("with a bias of another size");
            }
        }
        if (kernel.known && kernel.real && (!biased || (bias.known && bias.real)))
        {
            Weights& w = weights(layer);
            w.known = true;
            w.rows = positions * inner;
            w.columns = static_cast<std::size_t>(channels);
            w.matrix.resize(w.rows * w.columns);
            std::size_t next = 0; // in the order of the file: output, input, ky, kx
            for (std::size_t column = 0; column < w.columns; ++column)
            {
                for (std::size_t c = 0; c < inner; ++c)
                {
                    for (std::size_t position = 0; position < positions; ++position)
                    {
                        w.matrix[(position * inner + c) * w.columns + column] =
                            kernel.reals[next++];
                    }
                }
            }
            w.bias = biased ? bias.reals : std::vector<float>();
        }
        set(node, map_of(layer, map.rank()));
    }

    void pool(const Node& node)
    {
        const bool is_max = node.operation == "MaxPool";
        if (node.outputs.size() > 1 &&
            (readers_.count(node.outputs[1]) != 0 || outside_.count(node.outputs[1]) != 0))
        {
            throw Unsupported("with indices");
        }
        View map = feature_map(view(node, 0));
        json keys = window(node, map, node.integers("kernel_shape"), is_max);
        keys["ceil_mode"] = node.integer("ceil_mode", 0) != 0;
        const bool padded = keys["padding"] != json{0, 0, 0, 0};
        if (!is_max && padded && node.integer("count_include_pad", 0) != 0)
        {
            map.layer = add("pad", ".pad", {map.layer}, {{"padding", keys["padding"]}});
            keys["padding"] = 0;
        }
        else if (keys["kernel"] == json{1, 1} && keys["stride"] == json{1, 1} && !padded)
        {
            set(node, map);
            return;
        }
        const LayerId layer =
            add(is_max ? "max_pool" : "average_pool", "", {map.layer}, std::move(keys));
        set(node, map_of(layer, map.rank()));
    }

    void global_pool(const Node& node)
    {
        const View map = view(node, 0);
        if (map.rank() < 3)
        {
            throw Unsupported("of " + std::to_string(map.rank()) + " axes");
        }
        std::vector<std::size_t> axes = up_to(map.rank());
        axes.erase(axes.begin(), axes.begin() + 2);
        reduce(node, map, axes, true, node.operation == "GlobalMaxPool");
    }

    void reduce_mean(const Node& node)
    {
        const View from = view(node, 0);
        std::vector<std::int64_t> given = node.integers("axes");
        if (has(node, 1))
        {
            given = whole_numbers(needed_constant(node, 1));
        }
        std::vector<std::size_t> axes;
        for (const std::int64_t axis : given)
        {
            axes.push_back(axis_of(axis, from.rank()));
        }
        reduce(node, from, given.empty() ? up_to(from.rank()) : axes,
               node.integer("keepdims", 1) != 0, node.operation == "ReduceMax");
    }

    /// Mean or maximum over some axes: the rest are channels, and a window covers the map.
    void reduce(const Node& node, View from, std::vector<std::size_t> axes, bool keep, bool is_max)
    {
        std::vector<std::size_t> rest;
        for (std::size_t axis = 0; axis < from.rank(); ++axis)
        {
            if (std::find(axes.begin(), axes.end(), axis) == axes.end())
            {
                rest.push_back(axis);
            }
        }
        from = with_channels(std::move(from), rest, false);
        const Shape& shape = result_.network[from.layer].output;
        const LayerId layer =
            is_max ? add("max_pool", "", {from.layer}, {{"kernel", {shape.height, shape.width}}})
                   : add("global_average_pool", "", {from.layer}, json::object());
        View made = from;
        made.layer = layer;
        made.atoms.erase(made.atoms.begin(),
                         made.atoms.begin() + static_cast<std::ptrdiff_t>(from.bounds[1]));
        made.bounds = {0, 0};
        std::vector<Factors> left;
        for (std::size_t axis = 0; axis < from.rank(); ++axis)
        {
            const bool gone = std::find(rest.begin(), rest.end(), axis) == rest.end();
            Factors factors = gone ? Factors() : from.axes[axis];
            for (std::size_t& atom : factors)
            {
                atom -= from.bounds[1];
            }
            if (!gone || keep)
            {
                left.push_back(std::move(factors));
            }
        }
        made.axes = std::move(left);
        set(node, std::move(made));
    }

    void batch_norm(const Node& node)
    {
        if (node.integer("training_mode", 0) != 0 || node.outputs.size() > 1)
        {
            throw Unsupported("while training; export the model in evaluation mode");
        }
        View map = view(node, 0);
        if (map.rank() < 2)
        {
            throw Unsupported("of " + std::to_string(map.rank()) + " axes");
        }
        if (!map.axes[0].empty() && map.rank() > 2)
        {
            throw Unsupported("with a batch of " + std::to_string(map.extent(0)) +
                              "; export the model with 1");
        }
        map = with_channels(std::move(map), {1}, true);
        const std::int64_t channels = map.extent(1);
        bool known = true;
        std::vector<Tensor> list;
        for (std::size_t slot = 1; slot < 5; ++slot)
        {
            list.push_back(parameter(node, slot));
            if (list.back().elements() != channels)
            {
                throw Unsupported("with constants for another number of channels");
            }
            known = known && list.back().known && list.back().real;
        }
        std::vector<double> scale;
        std::vector<double> shift;
        for (std::size_t c = 0; known && c < static_cast<std::size_t>(channels); ++c)
        {
            scale.push_back(list[0].value(c) /
                            std::sqrt(list[3].value(c) + node.real("epsilon", 1e-5)));
            shift.push_back(list[1].value(c) - list[2].value(c) * scale.back());
        }
        set(node, affine(std::move(map), scale, shift, known,
                         2 * static_cast<std::uint64_t>(channels), ""));
    }

    void layer_normalization(const Node& node)
    {
        const View from = view(node, 0);
        for (std::size_t k = 1; k < node.outputs.size(); ++k)
        {
            if (readers_.count(node.outputs[k]) != 0)
            {
                throw Unsupported("with a mean or deviation that is read");
            }
        }
        std::vector<std::size_t> axes;
        for (std::size_t axis = axis_of(node.integer("axis", -1), from.rank()); axis < from.rank();
             ++axis)
        {
            axes.push_back(axis);
        }
        const Tensor scale = parameter(node, 1);
        const Tensor bias = has(node, 2) ? parameter(node, 2) : Tensor();
        set(node, normalised(from, axes, &scale, has(node, 2) ? &bias : nullptr,
                             node.real("epsilon", 1e-5)));
    }

    void softmax(const Node& node)
    {
        constexpr std::int64_t kOneAxis = 13; // before, all axes from `axis` on
        View from = view(node, 0);
        const bool one = graph_.opset >= kOneAxis;
        const std::size_t axis = axis_of(node.integer("axis", one ? -1 : 1), from.rank());
        std::vector<std::size_t> axes{axis};
        for (std::size_t next = axis + 1; !one && next < from.rank(); ++next)
        {
            axes.push_back(next);
        }
        from = with_channels(std::move(from), axes, false);
        from.layer = add("softmax", "", {from.layer}, json::object());
        set(node, std::move(from));
    }

    /// x W + bias over the last axis. W is [inner, outer], or [outer, inner] if `transposed`.
    View dense(View from, const Tensor& matrix, bool transposed, const Tensor* bias, double alpha,
               double beta)
    {
        const std::size_t last = from.rank() - 1;
        const std::int64_t inner = matrix.extents[transposed ? 1 : 0];
        const std::int64_t outer = matrix.extents[transposed ? 0 : 1];
        if (inner != from.extent(last))
        {
            throw Unsupported("with a matrix of " + std::to_string(inner) +
                              " rows and an operand of " + std::to_string(from.extent(last)) +
                              " columns");
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
            if (bias != nullptr)
            {
                for (std::size_t column = 0; column < w.columns; ++column)
                {
                    w.bias.push_back(static_cast<float>(
                        beta *
                        static_cast<double>(bias->reals[bias->elements() == 1 ? 0 : column])));
                }
            }
        }
        return with_new_channels(std::move(from), layer, last, outer);
    }

    void gemm(const Node& node)
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
            if (bias.elements() != outer && bias.elements() != 1)
            {
                throw Unsupported("with a bias for every element");
            }
        }
        set(node, dense(std::move(from), matrix, transposed, has(node, 2) ? &bias : nullptr,
                        node.real("alpha", 1), node.real("beta", 1)));
    }

    void matmul(const Node& node)
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
            throw Unsupported("of " + std::to_string(a.rank()) + " and " +
                              std::to_string(b.rank()) + " axes");
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
            a = scaled(std::move(a), *scale, 0, ".scale");
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
                            in_place ? Bounds{rows.size(), rows.size()}
                                     : Bounds{rows.size(), apart});
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
        const LayerId layer = add("matmul", "", {a.layer, b.layer},
                                  {{"heads", count}, {"transpose_second", transposed}});
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

    /// The factor of a Mul or Div by a scalar that is all that reads the product; that node then
    /// passes its operand on.
    std::optional<double> scale_of_product(const Node& node)
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

    void binary(const Node& node)
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
            b = scaled(std::move(b), -1, 0, ".negative");
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

    /// A product with a factor per channel.
    View per_channel(View a, View b, bool product)
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

    /// Two tensors of the same extents, the second in the order of the first.
    View elementwise(const char* kind, View a, View b)
    {
        align(a, b, std::nullopt);
        a.layer = add(kind, "", {a.layer, b.layer}, json::object());
        return a;
    }

    /// Brings the elements of `b` into the order of `a`; the extents of all axes but `except` are
    /// the same.
    void align(View& a, View& b, std::optional<std::size_t> except)
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

    void sum(const Node& node)
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

    /// Add, Sub, Mul, Div with a constant: a scale or shift for all, or one a channel, or a table
    /// of one row a position.
    View with_constant(const Node& node, View view, const Tensor& tensor, bool first)
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

    /// Adds a row of constants to every position of a sequence: position embeddings.
    View with_table(View view, const Tensor& tensor)
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
        (void)tensor;
        const std::uint32_t positions = result_.network[view.layer].output.height;
        view.layer = add("embedding", "", {view.layer}, {{"positions", positions}});
        return view;
    }

    void concat(const Node& node)
    {
        std::vector<std::size_t> computed;
        for (std::size_t slot = 0; slot < node.inputs.size(); ++slot)
        {
            if (constant(node, slot) == nullptr)
            {
                computed.push_back(slot);
            }
        }
        if (computed.empty())
        {
            throw Unsupported("of constants");
        }
        View at = view(node, computed[0]);
        const std::size_t axis = axis_of(node.integer("axis", 1), at.rank());
        if (computed.size() != node.inputs.size())
        {
            set(node, with_leading_rows(node, at, axis));
            return;
        }
        if (node.inputs.size() == 1)
        {
            set(node, at);
            return;
        }
        // The axis that grows is the height if that is what it is now, else the channels.
        std::vector<View> parts;
        for (const std::size_t slot : computed)
        {
            parts.push_back(view(node, slot));
            Extents one = parts.back().extents();
            Extents other = at.extents();
            if (one.size() == other.size())
            {
                one[axis] = other[axis] = 1;
            }
            if (one != other)
            {
                throw Unsupported("of operands whose extents do not go together");
            }
            if (parts.back().extent(axis) > at.extent(axis))
            {
                at = parts.back();
            }
        }
        const Factors grows = at.axes[axis];
        const bool by_rows =
            !grows.empty() && grows.size() == at.bounds[0] && grows == up_to(grows.size());
        if (!by_rows)
        {
            at = with_channels(std::move(at), {axis}, true);
        }
        std::int64_t extent = 0;
        std::vector<LayerId> layers;
        for (View& one : parts)
        {
            View pattern = at;
            if (!refine(pattern, one, axis))
            {
                one = laid_out_anew(one, one.extents());
                pattern = laid_out_anew(pattern, pattern.extents());
                if (!refine(pattern, one, axis))
                {
                    throw Unsupported("of operands whose elements are interleaved");
                }
            }
            // The other axes in the order of the pattern, this one first or last.
            std::vector<std::size_t> others;
            Factors place(pattern.atoms.size(), one.atoms.size());
            for (std::size_t other = 0; other < one.rank(); ++other)
            {
                for (std::size_t i = 0; other != axis && i < one.axes[other].size(); ++i)
                {
                    place[pattern.axes[other][i]] = one.axes[other][i];
                }
            }
            Factors order;
            std::size_t height = 0;
            for (std::size_t atom = 0; atom < place.size(); ++atom)
            {
                if (place[atom] != one.atoms.size())
                {
                    order.push_back(place[atom]);
                    height += atom < pattern.bounds[0] ? 1 : 0;
                }
            }
            const Factors own = one.axes[axis];
            Bounds bounds{height, order.size()};
            if (by_rows)
            {
                const std::size_t width = static_cast<std::size_t>(std::count_if(
                    place.begin(), place.begin() + static_cast<std::ptrdiff_t>(pattern.bounds[1]),
                    [&](std::size_t atom) { return atom != one.atoms.size(); }));
                order.insert(order.begin(), own.begin(), own.end());
                bounds = {own.size(), own.size() + width};
            }
            else
            {
                order.insert(order.end(), own.begin(), own.end());
            }
            extent += one.extent(axis);
            one = arranged(std::move(one), order, bounds);
            layers.push_back(one.layer);
        }
        const LayerId layer =
            add("concat", "", layers, {{"axis", by_rows ? "height" : "channels"}});
        View made = parts.front();
        made.layer = layer;
        if (by_rows)
        {
            set(node, with_new_rows(std::move(made), axis, extent));
        }
        else
        {
            set(node, with_new_channels(std::move(made), layer, axis, extent));
        }
    }

    [[nodiscard]] static View with_new_rows(View view, std::size_t axis, std::int64_t extent)
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

    /// Constant rows before a sequence (a class token): rows of zeros with an embedding added.
    View with_leading_rows(const Node& node, View at, std::size_t axis)
    {
        const Tensor* rows = constant(node, 0);
        if (node.inputs.size() != 2 || rows == nullptr || at.rank() != 3 || axis != 1 ||
            !at.axes[0].empty() || rows->extents.size() != 3 || rows->extents[0] != 1 ||
            rows->extents[2] != at.extent(2))
        {
            throw Unsupported("with constants");
        }
        Factors order = at.axes[1];
        const std::size_t height = order.size();
        order.insert(order.end(), at.axes[2].begin(), at.axes[2].end());
        at = arranged(std::move(at), order, {height, height});
        const std::int64_t extent = at.extent(1) + rows->extents[1];
        LayerId layer = add("pad", ".rows", {at.layer}, {{"padding", {rows->extents[1], 0, 0, 0}}});
        layer = add("embedding", "", {layer}, {{"first_rows", rows->extents[1]}});
        at.layer = layer;
        return with_new_rows(std::move(at), 1, extent);
    }

    /// Elements [begin, begin + count) of an axis.
    View cut(View from, std::size_t axis, std::int64_t begin, std::int64_t count)
    {
        const std::int64_t extent = from.extent(axis);
        if (count < 1 || begin < 0 || begin + count > extent)
        {
            throw Unsupported("that leaves nothing");
        }
        if (count == extent)
        {
            return from;
        }
        const Factors own = from.axes[axis];
        // The first row of all.
        if (begin == 0 && count == 1 && own.size() == from.bounds[0] && own == up_to(own.size()))
        {
            const LayerId layer =
                add("max_pool", ".first", {from.layer}, {{"kernel", 1}, {"stride", {extent, 1}}});
            from.layer = layer;
            from.atoms.erase(from.atoms.begin(),
                             from.atoms.begin() + static_cast<std::ptrdiff_t>(own.size()));
            from.axes[axis].clear();
            for (Factors& factors : from.axes)
            {
                for (std::size_t& atom : factors)
                {
                    atom -= own.size();
                }
            }
            from.bounds = {0, from.bounds[1] - own.size()};
            return from;
        }
        // Channels, if the axis is what changes slowest among them.
        const std::size_t first = from.bounds[1];
        bool leads = !own.empty() && first + own.size() <= from.atoms.size();
        for (std::size_t i = 0; leads && i < own.size(); ++i)
        {
            leads = own[i] == first + i;
        }
        if (!leads)
        {
            from = with_channels(std::move(from), {axis}, true);
        }
        const std::size_t start = from.bounds[1];
        const std::size_t length = from.axes[axis].size();
        const std::int64_t inner = part(from, start + length, from.atoms.size());
        from.layer =
            add("split", "", {from.layer}, {{"range", {begin * inner, (begin + count) * inner}}});
        // One atom, or none, takes the place of the axis' own.
        const auto at = from.atoms.begin() + static_cast<std::ptrdiff_t>(start);
        from.atoms.erase(at, at + static_cast<std::ptrdiff_t>(length));
        const std::size_t fresh = count > 1 ? 1 : 0;
        if (fresh == 1)
        {
            from.atoms.insert(from.atoms.begin() + static_cast<std::ptrdiff_t>(start), count);
        }
        from.axes[axis].clear();
        for (Factors& factors : from.axes)
        {
            for (std::size_t& atom : factors)
            {
                atom = atom >= start + length ? atom - length + fresh : atom;
            }
        }
        if (fresh == 1)
        {
            from.axes[axis] = {start};
        }
        return from;
    }

    void slice(const Node& node)
    {
        View at = view(node, 0);
        const Extents extents = at.extents();
        for (const Cut& one : cuts_of(node, constants(node, nullptr), extents))
        {
            if (one.step != 1 && one.count != 1)
            {
                throw Unsupported("with steps of " + std::to_string(one.step));
            }
            at = cut(std::move(at), one.axis, one.begin, one.count);
        }
        set(node, std::move(at));
    }

    void split(const Node& node)
    {
        const View from = view(node, 0);
        const std::size_t axis = axis_of(node.integer("axis", 0), from.rank());
        std::int64_t begin = 0;
        std::size_t slot = 0;
        for (const std::int64_t size : parts_of(node, constants(node, nullptr), from.extent(axis)))
        {
            const std::string& name = node.outputs[slot];
            if (readers_.count(name) != 0 || outside_.count(name) != 0)
            {
                set(node, cut(from, axis, begin, size), slot);
            }
            begin += size;
            ++slot;
        }
    }

    void gather(const Node& node)
    {
        if (const Tensor* table = constant(node, 0))
        {
            View tokens = view(node, 1);
            if (table->extents.size() != 2 || node.integer("axis", 0) != 0)
            {
                throw Unsupported("from a table of " + std::to_string(table->extents.size()) +
                                  " axes");
            }
            const Factors order = tokens.order();
            tokens = arranged(std::move(tokens), order, {order.size(), order.size()});
            const LayerId layer =
                add("embedding", "", {tokens.layer},
                    {{"vocabulary", table->extents[0]}, {"channels", table->extents[1]}});
            tokens.axes.emplace_back();
            set(node, with_new_channels(tokens, layer, tokens.rank() - 1, table->extents[1]));
            return;
        }
        const Tensor& indices = needed_constant(node, 1);
        View from = view(node, 0);
        const std::size_t axis = axis_of(node.integer("axis", 0), from.rank());
        const std::vector<std::int64_t> list = whole_numbers(indices);
        if (list.empty() || indices.extents.size() > 1)
        {
            throw Unsupported("with indices of " + std::to_string(indices.extents.size()) +
                              " axes");
        }
        for (std::size_t i = 1; i < list.size(); ++i)
        {
            if (list[i] != list[i - 1] + 1)
            {
                throw Unsupported("with indices that are not neighbours");
            }
        }
        const std::int64_t begin = list[0] < 0 ? list[0] + from.extent(axis) : list[0];
        from = cut(std::move(from), axis, begin, static_cast<std::int64_t>(list.size()));
        if (indices.extents.empty())
        {
            from.axes.erase(from.axes.begin() + static_cast<std::ptrdiff_t>(axis));
        }
        set(node, std::move(from));
    }

    void set_reshaped(const Node& node, const View& from, const Extents& extents)
    {
        auto made = reshaped(from, extents);
        set(node, made ? std::move(*made) : laid_out_anew(from, extents));
    }

    void reshape(const Node& node)
    {
        const View from = view(node, 0);
        Tensor wanted;
        if (has(node, 1))
        {
            wanted = needed_constant(node, 1);
        }
        else
        {
            wanted = tensor_of(node.integers("shape")); // before opset 5
        }
        const Extents extents =
            reshape_extents(from.extents(), wanted, node.integer("allowzero", 0) != 0);
        set_reshaped(node, from, extents);
    }

    void flatten(const Node& node)
    {
        const View from = view(node, 0);
        const std::int64_t given = node.integer("axis", 1);
        const std::size_t axis = given == static_cast<std::int64_t>(from.rank())
                                     ? from.rank()
                                     : axis_of(given, from.rank());
        std::int64_t before = 1;
        for (std::size_t i = 0; i < axis; ++i)
        {
            before *= from.extent(i);
        }
        set_reshaped(node, from, {before, from.elements() / before});
    }

    void squeeze(const Node& node)
    {
        const View from = view(node, 0);
        Tensor extents;
        extents.extents = from.extents();
        set_reshaped(node, from, squeeze_extents(node, constants(node, &extents)));
    }

    void unsqueeze(const Node& node)
    {
        const View from = view(node, 0);
        Tensor extents;
        extents.extents = from.extents();
        set_reshaped(node, from, unsqueeze_extents(node, constants(node, &extents)));
    }

    void expand(const Node& node)
    {
        const View from = view(node, 0);
        const Extents wanted = whole_numbers(needed_constant(node, 1));
        const Extents extents = broadcast(from.extents(), wanted);
        Extents padded = from.extents();
        padded.insert(padded.begin(), extents.size() - padded.size(), 1);
        if (extents != padded)
        {
            throw Unsupported("that repeats a computed tensor");
        }
        set_reshaped(node, from, extents);
    }

    void tile(const Node& node)
    {
        for (const std::int64_t repeat : whole_numbers(needed_constant(node, 1)))
        {
            if (repeat != 1)
            {
                throw Unsupported("that repeats a computed tensor");
            }
        }
        set(node, view(node, 0));
    }

    void transpose(const Node& node)
    {
        View at = view(node, 0);
        std::vector<Factors> axes;
        for (const std::size_t axis : permutation_of(node, at.rank()))
        {
            axes.push_back(at.axes[axis]);
        }
        at.axes = std::move(axes);
        set(node, std::move(at));
    }

    void pad(const Node& node)
    {
        const std::string mode = node.text("mode", "constant");
        if (mode != "constant")
        {
            throw Unsupported("with mode " + mode);
        }
        const Tensor* value = constant(node, 2);
        if ((has(node, 2) && (value == nullptr || !value->known || value->value(0) != 0)) ||
            node.real("value", 0) != 0)
        {
            throw Unsupported("with something else than zeros");
        }
        View at = view(node, 0);
        std::vector<std::int64_t> pads =
            has(node, 1) ? whole_numbers(needed_constant(node, 1)) : node.integers("pads");
        const std::size_t rank = at.rank();
        if (has(node, 3) || pads.size() != 2 * rank ||
            std::any_of(pads.begin(), pads.end(), [](std::int64_t p) { return p < 0; }))
        {
            throw Unsupported("with pads that are negative, or not two an axis");
        }
        if (std::all_of(pads.begin(), pads.end(), [](std::int64_t p) { return p == 0; }))
        {
            set(node, std::move(at));
            return;
        }
        if (rank < 3 || rank > 4 || pads[0] != 0 || pads[1] != 0 || pads[rank] != 0 ||
            pads[rank + 1] != 0)
        {
            throw Unsupported("of other axes than height and width");
        }
        at = feature_map(std::move(at));
        const bool both = rank == 4;
        const LayerId layer =
            add("pad", "", {at.layer},
                {{"padding",
                  {pads[2], pads[rank + 2], both ? pads[3] : 0, both ? pads[rank + 3] : 0}}});
        set(node, map_of(layer, rank));
    }

    void resize(const Node& node)
    {
        const bool upsample = node.operation == "Upsample";
        const View map = feature_map(view(node, 0));
        if (node.text("mode", "nearest") != "nearest")
        {
            throw Unsupported("with mode " + node.text("mode", ""));
        }
        const Extents from = map.extents();
        const std::size_t scales_at = upsample || graph_.opset < 11 ? 1 : 2;
        std::vector<double> scales;
        if (has(node, 3))
        {
            const std::vector<std::int64_t> sizes = whole_numbers(needed_constant(node, 3));
            for (std::size_t i = 0; i < sizes.size() && i < from.size(); ++i)
            {
                scales.push_back(static_cast<double>(sizes[i]) / static_cast<double>(from[i]));
            }
        }
        else if (has(node, scales_at))
        {
            const Tensor& tensor = needed_constant(node, scales_at);
            for (std::size_t i = 0; tensor.known && i < static_cast<std::size_t>(tensor.elements());
                 ++i)
            {
                scales.push_back(tensor.value(i));
            }
        }
        else if (const auto given = node.attributes.find("scales"); given != node.attributes.end())
        {
            scales.assign(given->second.reals.begin(), given->second.reals.end());
        }
        if (scales.size() != from.size())
        {
            throw Unsupported("with scales that are not in the file, or for other axes");
        }
        const double scale = scales.back();
        const bool whole = scale >= 1 && scale <= kMaxExtent && scale == std::floor(scale);
        if (map.rank() != 4 || scales[0] != 1 || scales[1] != 1 || scales[2] != scale || !whole)
        {
            throw Unsupported("with other scales than one whole number for height and width");
        }
        // Which neighbour is the nearest: with whole scales all agree but these.
        const std::string place =
            node.text("coordinate_transformation_mode",
                      upsample || scales_at == 1 ? "asymmetric" : "half_pixel");
        const std::string nearest =
            node.text("nearest_mode", upsample || scales_at == 1 ? "floor" : "round_prefer_floor");
        const bool halves = (place == "half_pixel" || place == "pytorch_half_pixel") &&
                            (nearest == "round_prefer_floor" || nearest == "round_prefer_ceil");
        const bool corners =
            place == "asymmetric" &&
            (nearest == "floor" || (nearest == "round_prefer_floor" && scale <= 2));
        if (!halves && !corners && scale != 1)
        {
            throw Unsupported("with coordinates " + in_quotes(place) + " and " +
                              in_quotes(nearest));
        }
        set(node,
            map_of(add("upsample", "", {map.layer}, {{"scale", static_cast<std::uint32_t>(scale)}}),
                   map.rank()));
    }

    void power(const Node& node)
    {
        const Tensor* exponent = constant(node, 1);
        const bool square = exponent != nullptr && exponent->known && exponent->elements() == 1 &&
                            exponent->value(0) == 2;
        if (!square)
        {
            throw Unsupported("with another exponent than 2");
        }
        const View at = view(node, 0);
        set(node, elementwise("mul", at, at));
    }

    static constexpr std::size_t kMaxLayers = 100'000;

    struct Reader
    {
        std::size_t node, slot;
    };
    struct Problem
    {
        std::string operation, node, reason;
    };

    Graph graph_;
    Evaluator evaluator_;
    Patterns patterns_;
    std::unordered_map<std::string, std::vector<Reader>> readers_;
    std::unordered_map<std::string, std::size_t> outside_; ///< names that are outputs
    std::unordered_map<std::string, std::size_t> inputs_;  ///< positions in graph_.inputs
    std::unordered_map<std::string, View> views_;
    std::unordered_set<std::string> done_;   ///< evaluated
    std::unordered_set<std::size_t> passes_; ///< nodes whose scale was taken over
    std::unordered_set<std::string> names_;  ///< of layers
    std::vector<Problem> unsupported_;
    std::string node_name_;
    Imported result_;
};

const std::unordered_map<std::string, Importer::Handler>& Importer::handlers()
{
    static const std::unordered_map<std::string, Handler> kHandlers{
        {"Add", &Importer::binary},
        {"AveragePool", &Importer::pool},
        {"BatchNormalization", &Importer::batch_norm},
        {"Cast", &Importer::cast},
        {"Clip", &Importer::clip},
        {"Concat", &Importer::concat},
        {"Conv", &Importer::conv},
        {"Div", &Importer::binary},
        {"Dropout", &Importer::dropout},
        {"Erf", &Importer::unknown_function},
        {"Expand", &Importer::expand},
        {"Flatten", &Importer::flatten},
        {"Gather", &Importer::gather},
        {"Gemm", &Importer::gemm},
        {"GlobalAveragePool", &Importer::global_pool},
        {"GlobalMaxPool", &Importer::global_pool},
        {"HardSigmoid", &Importer::hard_sigmoid},
        {"Identity", &Importer::same},
        {"LayerNormalization", &Importer::layer_normalization},
        {"MatMul", &Importer::matmul},
        {"MaxPool", &Importer::pool},
        {"Mul", &Importer::binary},
        {"Neg", &Importer::negate},
        {"Pad", &Importer::pad},
        {"Pow", &Importer::power},
        {"ReduceMax", &Importer::reduce_mean},
        {"ReduceMean", &Importer::reduce_mean},
        {"Reshape", &Importer::reshape},
        {"Resize", &Importer::resize},
        {"Slice", &Importer::slice},
        {"Softmax", &Importer::softmax},
        {"Split", &Importer::split},
        {"Squeeze", &Importer::squeeze},
        {"Sub", &Importer::binary},
        {"Sum", &Importer::binary},
        {"Tile", &Importer::tile},
        {"Transpose", &Importer::transpose},
        {"Unsqueeze", &Importer::unsqueeze},
        {"Upsample", &Importer::resize},
    };
    return kHandlers;
}

} // namespace

Imported import(Graph graph)
{
    return Importer(std::move(graph)).run();
}

} // namespace tessera::network::onnx
