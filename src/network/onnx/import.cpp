// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include "base/nearest.h"
#include "network/fold.h"
#include "network/onnx/batch.h"
#include "tessera/error.h"

#include <algorithm>
#include <set>
#include <utility>

namespace tessera::network::onnx
{

Imported Importer::run()
{
    spell_out_contributed(graph_);
    spell_out_quantized(graph_);
    evaluate_constants();
    spell_out_quantizers(graph_);
    result_.network.notes = drop_batches(graph_, batch_axis_);
    result_.network.files = std::move(graph_.files);
    find_readers();
    patterns_ = find_patterns(graph_, graph_.constants, code_tensors());
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i)
    {
        lower(i);
    }
    refuse_unsupported();
    finish();
    return std::move(result_);
}

void Importer::evaluate_constants()
{
    for (const Node& node : graph_.nodes)
    {
        if (!Evaluator::knows(node) && !is_coding(node) && !is_quantizer(node))
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

bool Importer::evaluate(const Node& node)
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
    if (is_quantizer(node))
    {
        keep(node, {quantized_constant(node, operands, graph_.file)});
        return true;
    }
    keep(node, is_coding(node) ? std::vector<Tensor>{coded(node, operands, graph_.file)}
                               : evaluator_.run(node, operands));
    return true;
}

void Importer::keep(const Node& node, std::vector<Tensor> values)
{
    for (std::size_t k = 0; k < values.size() && k < node.outputs.size(); ++k)
    {
        graph_.constants[node.outputs[k]] = std::move(values[k]);
        done_.insert(node.outputs[k]);
    }
}

void Importer::find_readers()
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

void Importer::lower(std::size_t index)
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
        if (!known && !Evaluator::knows(node) && !is_quantizer(node))
        {
            throw Unsupported(why_not_quantized(node));
        }
        if (std::any_of(node.inputs.begin(), node.inputs.end(),
                        [&](const std::string& input) { return waits(input); }))
        {
            return;
        }
        for (const std::string& input : node.inputs)
        {
            const auto port = inputs_.find(input);
            if (port != inputs_.end() && takes_codes(graph_.inputs[port->second]))
            {
                (void)view(input); // which says what codes they are
            }
        }
        if (reads_codes(node) && !Evaluator::asks_for_extents(node))
        {
            on_codes(node);
            return;
        }
        if (is_quantizer(node) && !evaluate(node))
        {
            refuse_quantizer(node, graph_);
        }
        if (is_quantizer(node) || ((Evaluator::knows(node) || is_coding(node)) &&
                                   (evaluate(node) || evaluate_shape(node))))
        {
            return;
        }
        if (!known)
        {
            throw Unsupported("of a computed tensor: it can be computed of constants alone");
        }
        (this->*handler->second)(node);
    }
    catch (const Unsupported& reason)
    {
        unsupported_.push_back({node.operation, node.name, reason.what()});
    }
}

bool Importer::waits(const std::string& name) const
{
    return !name.empty() && views_.count(name) == 0 && graph_.constants.count(name) == 0 &&
           inputs_.count(name) == 0;
}

bool Importer::evaluate_shape(const Node& node)
{
    if (!Evaluator::asks_for_extents(node))
    {
        return false;
    }
    Tensor extents;
    extents.extents = view(node, 0).extents();
    extents.known = false;
    keep(node, evaluator_.run(node, {&extents}));
    return true;
}

void Importer::refuse_unsupported() const
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
        const std::string text = in_quotes(problem.operation).substr(1, problem.operation.size()) +
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

void Importer::finish()
{
    Network& network = result_.network;
    network.name =
        sanitized(graph_.name.empty() || graph_.name == "torch_jit" || graph_.name == "main_graph"
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
        else if (view.rank() <= 2 && view.order() != up_to(view.atoms.size()))
        {
            // Classes are counted in the order of the file.
            view = laid_out_anew(view, view.extents());
        }
        else if (view.rank() == 4 && view.axes[0].empty() && view.are_channels(view.sorted(1)) &&
                 !view.are_channels(view.axes[1]))
        {
            view = feature_map(std::move(view));
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
    widen_activations();
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

void Importer::drop_unread()
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

std::string Importer::stem(const std::string& file)
{
    const std::size_t slash = file.find_last_of('/');
    const std::string name = slash == std::string::npos ? file : file.substr(slash + 1);
    return name.substr(0, name.find('.'));
}

std::string Importer::sanitized(const std::string& name)
{
    constexpr std::size_t kLongest = 200;
    constexpr const char* kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-";
    std::string result = name.substr(0, kLongest);
    for (std::size_t at = 0; (at = result.find_first_not_of(kAllowed, at)) != std::string::npos;)
    {
        result[at] = '_';
    }
    return result.empty() ? "layer" : result;
}

void Importer::lower(const Node& node, const Pattern& pattern)
{
    node_name_ = node.name;
    if (!pattern.function.empty())
    {
        set(node, activated(view(pattern.source), pattern.function, pattern.slope));
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
    set(node, normalised(source, axes, find(pattern.scale), find(pattern.bias), pattern.epsilon,
                         pattern.centred));
}

const std::unordered_map<std::string, Importer::Handler>& Importer::handlers()
{
    static const std::unordered_map<std::string, Handler> kHandlers{
        {"Add", &Importer::binary},
        {"AveragePool", &Importer::pool},
        {"BatchNormalization", &Importer::batch_norm},
        {"BipolarQuant", &Importer::bipolar},
        {"Cast", &Importer::cast},
        {"Celu", &Importer::celu},
        {"Clip", &Importer::clip},
        {"Concat", &Importer::concat},
        {"Conv", &Importer::conv},
        {"ConvTranspose", &Importer::conv_transpose},
        {"DepthToSpace", &Importer::depth_to_space},
        {"DequantizeLinear", &Importer::dequantize},
        {"Div", &Importer::binary},
        {"Dropout", &Importer::dropout},
        {"Elu", &Importer::elu},
        {"Erf", &Importer::unknown_function},
        {"Expand", &Importer::expand},
        {"Flatten", &Importer::flatten},
        {"Gather", &Importer::gather},
        {"Gelu", &Importer::gelu},
        {"Gemm", &Importer::gemm},
        {"GlobalAveragePool", &Importer::global_pool},
        {"GlobalMaxPool", &Importer::global_pool},
        {"HardSigmoid", &Importer::hard_sigmoid},
        {"Identity", &Importer::same},
        {"LayerNormalization", &Importer::layer_normalization},
        {"MatMul", &Importer::matmul},
        {"Max", &Importer::extremum},
        {"MaxPool", &Importer::pool},
        {"Min", &Importer::extremum},
        {"Mul", &Importer::binary},
        {"Neg", &Importer::negate},
        {"PRelu", &Importer::prelu},
        {"Pad", &Importer::pad},
        {"Pow", &Importer::power},
        {"QuantizeLinear", &Importer::quantize},
        {"RMSNormalization", &Importer::rms_normalization},
        {"Relu", &Importer::relu},
        {"ReduceMax", &Importer::reduce_mean},
        {"ReduceMean", &Importer::reduce_mean},
        {"Reshape", &Importer::reshape},
        {"Resize", &Importer::resize},
        {"Selu", &Importer::selu},
        {"SimplifiedLayerNormalization", &Importer::rms_normalization},
        {"Slice", &Importer::slice},
        {"Softmax", &Importer::softmax},
        {"SpaceToDepth", &Importer::space_to_depth},
        {"Split", &Importer::split},
        {"Squeeze", &Importer::squeeze},
        {"Sub", &Importer::binary},
        {"Sum", &Importer::binary},
        {"Swish", &Importer::swish},
        {"Tile", &Importer::tile},
        {"Transpose", &Importer::transpose},
        {"Unsqueeze", &Importer::unsqueeze},
        {"Upsample", &Importer::resize},
    };
    return kHandlers;
}

Imported import(Graph graph, BatchAxis batch_axis)
{
    return Importer(std::move(graph), batch_axis).run();
}

} // namespace tessera::network::onnx
