// SPDX-License-Identifier: Apache-2.0
// The parts of the importer that know which tensors are codes, and what those stand for.
#include "network/onnx/importer.h"

#include "base/nearest.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <utility>

namespace tessera::network::onnx
{
namespace
{

/// Operators that only say how the elements of a tensor are arranged: their result lies in the same
/// layer.
bool keeps_elements(const std::string& operation)
{
    static const std::set<std::string> kThese{"Reshape",   "Flatten",  "Squeeze", "Transpose",
                                              "Unsqueeze", "Identity", "Dropout"};
    return kThese.count(operation) != 0;
}

/// Operators that move or choose elements: on codes they mean the same as on what those stand for.
bool chooses_elements(const std::string& operation)
{
    static const std::set<std::string> kThese{
        "DepthToSpace", "Expand", "Gather",       "GlobalMaxPool", "MaxPool", "ReduceMax",
        "Resize",       "Slice",  "SpaceToDepth", "Split",         "Tile",    "Upsample"};
    return keeps_elements(operation) || kThese.count(operation) != 0;
}

/// Codes of one scale that are known.
bool is_plain(const Coding& coding)
{
    return !coding.per_axis && !coding.scale.empty();
}

bool same_meaning(const Coding& a, const Coding& b)
{
    return a.scale == b.scale && a.zero_point == b.zero_point && a.axis == b.axis;
}

double scale_of(const Coding& coding)
{
    return static_cast<double>(coding.scale[0]);
}

/// The numbers 0, 1, ... themselves.
Coding plain_integers(const IntegerType& type)
{
    Coding coding;
    coding.scale = {1.0F};
    coding.zero_point = {0};
    coding.type = type;
    return coding;
}

/// The types of ONNX that hold whole numbers, by their number there.
std::optional<IntegerType> integer_type(std::int64_t number)
{
    switch (number)
    {
    case 2:
        return IntegerType{8, false};
    case 3:
        return IntegerType{8, true};
    case 4:
        return IntegerType{16, false};
    case 5:
        return IntegerType{16, true};
    case 6:
        return IntegerType{32, true};
    case 7:
        return IntegerType{64, true};
    case 12:
        return IntegerType{32, false};
    default:
        return std::nullopt;
    }
}

} // namespace

bool is_real_type(std::int64_t number)
{
    constexpr std::array<std::int64_t, 4> kReals{1, 10, 11, 16}; // float, half, double, bfloat
    return std::find(kReals.begin(), kReals.end(), number) != kReals.end();
}

OutputCodes Coding::codes() const
{
    return {static_cast<double>(scale[0]), static_cast<std::int32_t>(least() - zero_point[0]),
            static_cast<std::int32_t>(most() - zero_point[0])};
}

bool Importer::is_coded(const std::string& name) const
{
    const auto readers = readers_.find(name);
    return readers != readers_.end() &&
           std::any_of(readers->second.begin(), readers->second.end(),
                       [&](const Reader& reader) { return is_coding(graph_.nodes[reader.node]); });
}

std::vector<const Node*> Importer::readers_of(const std::string& name) const
{
    std::vector<const Node*> all;
    std::vector<std::string> open{name};
    while (!open.empty())
    {
        const auto readers = readers_.find(open.back());
        open.pop_back();
        if (readers == readers_.end())
        {
            continue;
        }
        for (const Reader& reader : readers->second)
        {
            const Node& node = graph_.nodes[reader.node];
            if (is_coding(node) && reader.slot == 0 && !node.outputs.empty())
            {
                open.push_back(node.outputs[0]);
            }
            else
            {
                all.push_back(&node);
            }
        }
    }
    return all;
}

const Coding* Importer::coding(const std::string& name) const
{
    const auto found = codings_.find(name);
    return found == codings_.end() ? nullptr : &found->second;
}

bool Importer::takes_codes(const Port& port) const
{
    const unsigned bits = port.type.bits;
    return bits == 8 || bits == 16 || (bits == 32 && is_coded(port.name));
}

std::unordered_set<std::string> Importer::code_tensors() const
{
    std::unordered_set<std::string> codes;
    for (const Port& port : graph_.inputs)
    {
        if (takes_codes(port))
        {
            codes.insert(port.name);
        }
    }
    for (const Node& node : graph_.nodes)
    {
        const bool makes_reals = node.operation == "DequantizeLinear" ||
                                 (node.operation == "Cast" && is_real_type(node.integer("to", 1)));
        const bool reads = !node.inputs.empty() && codes.count(node.inputs[0]) != 0;
        if (node.operation == "QuantizeLinear" || (reads && !makes_reals))
        {
            codes.insert(node.outputs.begin(), node.outputs.end());
        }
    }
    return codes;
}

void Importer::code_input(const Port& port, const View& view)
{
    if (!takes_codes(port))
    {
        return;
    }
    // What the first that asks makes of them, or the numbers themselves.
    Coding its = plain_integers(port.type);
    std::vector<const std::string*> open{&port.name};
    for (std::size_t i = 0; i < open.size(); ++i)
    {
        const auto readers = readers_.find(*open[i]);
        for (std::size_t k = 0; readers != readers_.end() && k < readers->second.size(); ++k)
        {
            const Node& node = graph_.nodes[readers->second[k].node];
            if (readers->second[k].slot != 0 || node.outputs.empty())
            {
                continue;
            }
            if (chooses_elements(node.operation))
            {
                open.push_back(&node.outputs[0]);
                continue;
            }
            const bool one = node.operation == "DequantizeLinear" && has(node, 1) &&
                             needed_constant(node, 1).elements() == 1;
            if (one)
            {
                const Coding coding =
                    coding_of(node, coding_operands(node), {}, port.type, graph_.file);
                its = is_plain(coding) ? coding : its;
                open.clear();
                break;
            }
        }
    }
    codings_.insert_or_assign(port.name, its);
    if (its.type.bits <= 16)
    {
        set_codes(view.layer, its.codes());
        result_.network.layers[view.layer.index()].codes =
            InputCodes{scale_of(its), its.zero_point[0], its.least(), its.most()};
    }
}

Operands Importer::coding_operands(const Node& node) const
{
    const auto operand = [&](std::size_t slot)
    { return has(node, slot) ? &needed_constant(node, slot) : nullptr; };
    return {operand(1), operand(2)};
}

std::optional<OutputCodes> Importer::codes_of(LayerId id) const
{
    return codes_[id.index()];
}

void Importer::set_codes(LayerId id, const OutputCodes& codes)
{
    weights(id).codes.output = codes;
    codes_[id.index()] = codes;
}

std::optional<OutputCodes> Importer::moved_codes(const Layer& layer) const
{
    switch (layer.kind)
    {
    case LayerKind::split:
    case LayerKind::upsample:
    case LayerKind::pad:
    case LayerKind::reshape:
    case LayerKind::transpose:
    case LayerKind::max_pool:
        return codes_of(layer.inputs[0]);
    case LayerKind::concat:
    {
        std::optional<OutputCodes> all = codes_of(layer.inputs[0]);
        for (const LayerId operand : layer.inputs)
        {
            const std::optional<OutputCodes> its = codes_of(operand);
            if (!all || !its || its->scale != all->scale)
            {
                return std::nullopt;
            }
            all->least = std::min(all->least, its->least);
            all->most = std::max(all->most, its->most);
        }
        return all;
    }
    default:
        return std::nullopt;
    }
}

bool Importer::only_quantised(const std::string& name, const Node& by) const
{
    const auto same_value = [&](const Node& other, std::size_t slot)
    {
        const Tensor* a = constant(by, slot);
        const Tensor* b = constant(other, slot);
        return has(by, slot) == has(other, slot) &&
               (a == b || (a != nullptr && b != nullptr && a->known && b->known &&
                           a->reals == b->reals && a->integers == b->integers));
    };
    std::vector<const std::string*> open{&name};
    while (!open.empty())
    {
        const std::string& tensor = *open.back();
        open.pop_back();
        const auto readers = readers_.find(tensor);
        if (outside_.count(tensor) != 0 || readers == readers_.end())
        {
            return false;
        }
        for (const Reader& reader : readers->second)
        {
            const Node& node = graph_.nodes[reader.node];
            if (reader.slot != 0 || node.outputs.empty())
            {
                return false;
            }
            if (node.operation == "QuantizeLinear")
            {
                if (!same_value(node, 1) || !same_value(node, 2) ||
                    !(node.code_range == by.code_range))
                {
                    return false;
                }
                continue;
            }
            const bool clips = clips_.count(node.outputs[0]) != 0 && readers->second.size() == 1;
            if (!keeps_elements(node.operation) && !clips)
            {
                return false;
            }
            open.push_back(&node.outputs[0]);
        }
    }
    return true;
}

const Node* Importer::only_quantised(const Node& node) const
{
    const auto readers = readers_.find(node.outputs.at(0));
    if (readers == readers_.end())
    {
        return nullptr;
    }
    const Node& first = graph_.nodes[readers->second.front().node];
    return first.operation == "QuantizeLinear" && only_quantised(node.outputs[0], first) ? &first
                                                                                         : nullptr;
}

View Importer::coded_affine(View view, double factor, double shift, const OutputCodes& codes,
                            const char* suffix)
{
    view = scaled(std::move(view), factor, shift, suffix);
    set_codes(view.layer, codes);
    return view;
}

View Importer::times(View view, double factor, const char* suffix)
{
    const std::optional<OutputCodes> codes = codes_of(view.layer);
    if (!codes)
    {
        return scaled(std::move(view), factor, 0, suffix);
    }
    const OutputCodes its{codes->scale * std::abs(factor), factor < 0 ? -codes->most : codes->least,
                          factor < 0 ? -codes->least : codes->most};
    return coded_affine(std::move(view), factor, 0, its, suffix);
}

void Importer::quantize(const Node& node)
{
    View at = view(node, 0);
    const Coding coding =
        coding_of(node, coding_operands(node), at.extents(), std::nullopt, graph_.file);
    codings_.insert_or_assign(node.outputs.at(0), coding);
    const std::string name = in_quotes(node.name);
    const std::string problem =
        coding.per_axis        ? "node " + name + " codes it with one scale a channel"
        : coding.scale.empty() ? "the scale of node " + name + " is not in the file"
                               : "";
    if (!problem.empty())
    {
        weights(at.layer).codes.problem = problem;
        set(node, std::move(at));
        return;
    }
    OutputCodes codes = coding.codes();
    if (const auto clip = clips_.find(node.inputs[0]); clip != clips_.end())
    {
        codes = limited(codes, std::nearbyint(clip->second.first / codes.scale),
                        std::nearbyint(clip->second.second / codes.scale));
    }
    set(node, rounded(std::move(at), codes, node));
}

View Importer::rounded(View view, const OutputCodes& codes, const Node& by)
{
    const std::optional<OutputCodes> now = codes_of(view.layer);
    if (now && now->scale == codes.scale && now->least >= codes.least && now->most <= codes.most)
    {
        return view; // it is such codes
    }
    // A layer that has codes, or that somebody reads as it is, stays what it is. A concatenation
    // requantises what it joins.
    const bool joins =
        result_.network[view.layer].kind == LayerKind::concat && !weights(view.layer).codes.output;
    const auto root = roots_.find(view.layer.index());
    if ((now && !joins) || root == roots_.end() || !only_quantised(root->second, by))
    {
        return coded_affine(std::move(view), 1, 0, codes, ".codes");
    }
    set_codes(view.layer, codes);
    return view;
}

void Importer::dequantize(const Node& node)
{
    View at = view(node, 0);
    const Coding* from = coding(node.inputs[0]);
    if (from == nullptr)
    {
        throw Unsupported("of what are no codes");
    }
    const Coding to = coding_of(node, coding_operands(node), at.extents(), from->type, graph_.file);
    if (is_plain(*from) && !is_plain(to))
    {
        weights(at.layer).codes.output.reset();
        codes_[at.layer.index()].reset();
        weights(at.layer).codes.problem =
            to.per_axis ? "node " + in_quotes(node.name) + " codes it with one scale a channel"
                        : "the scale of node " + in_quotes(node.name) + " is not in the file";
    }
    set(node, meaning(std::move(at), *from, to));
}

View Importer::meaning(View view, const Coding& from, const Coding& to)
{
    if (same_meaning(from, to) || !is_plain(from) || !is_plain(to))
    {
        return view;
    }
    const std::optional<OutputCodes> codes = codes_of(view.layer);
    if (!codes)
    {
        return view; // codes of 32 bits, which nothing computes with
    }
    const std::int64_t moved = from.zero_point[0] - to.zero_point[0];
    const OutputCodes its{scale_of(to), static_cast<std::int32_t>(codes->least + moved),
                          static_cast<std::int32_t>(codes->most + moved)};
    return coded_affine(std::move(view), scale_of(to) / scale_of(from),
                        static_cast<double>(moved) * scale_of(to), its, ".codes");
}

OutputCodes Importer::limited(OutputCodes codes, double least, double most)
{
    codes.least = static_cast<std::int32_t>(std::max(least, static_cast<double>(codes.least)));
    codes.most = static_cast<std::int32_t>(std::min(most, static_cast<double>(codes.most)));
    if (codes.least >= codes.most)
    {
        throw Unsupported("that leaves one code, or none");
    }
    return codes;
}

bool Importer::reads_codes(const Node& node) const
{
    return !is_coding(node) &&
           std::any_of(node.inputs.begin(), node.inputs.end(),
                       [&](const std::string& input) { return coding(input) != nullptr; });
}

void Importer::on_codes(const Node& node)
{
    const Coding* found = coding(node.inputs[0]);
    const std::string& operation = node.operation;
    const auto refuse = [&](const std::string& what)
    { throw Unsupported("of codes" + what + "; put it behind the DequantizeLinear"); };
    if (operation == "Concat")
    {
        join_codes(node);
        return;
    }
    if (found == nullptr)
    {
        refuse("");
    }
    const Coding its = *found;
    const std::string type = ", which are " + name_of(its.type);
    if (!is_plain(its) && !keeps_elements(operation))
    {
        refuse(" with more than one scale");
    }
    if (chooses_elements(operation))
    {
        (this->*handlers().at(operation))(node);
        for (const std::string& output : node.outputs)
        {
            if (views_.count(output) != 0)
            {
                codings_.insert_or_assign(output, its);
            }
        }
        return;
    }
    const auto whole = [&](std::size_t slot, std::int64_t otherwise)
    {
        if (!has(node, slot))
        {
            return otherwise;
        }
        const Tensor& tensor = needed_constant(node, slot);
        if (!tensor.known || tensor.real || tensor.elements() != 1)
        {
            refuse(" by what is no integer of the file");
        }
        return tensor.integers[0];
    };
    if (operation == "Relu" || operation == "Clip")
    {
        const bool relu = operation == "Relu";
        limit_codes(node, its, relu ? 0 : whole(1, its.least()),
                    relu ? its.most() : whole(2, its.most()));
        return;
    }
    if (operation == "Pad")
    {
        const std::int64_t code = whole(2, 0);
        set(node, padded(node, static_cast<double>(code - its.zero_point[0]) * scale_of(its)));
        codings_.insert_or_assign(node.outputs.at(0), its);
        return;
    }
    if (operation == "Cast")
    {
        cast_codes(node, its);
        return;
    }
    refuse(type);
}

void Importer::limit_codes(const Node& node, const Coding& coding, std::int64_t least,
                           std::int64_t most)
{
    View at = view(node, 0);
    const std::optional<OutputCodes> now = codes_of(at.layer);
    if (now)
    {
        const std::int64_t zero = coding.zero_point[0];
        const OutputCodes codes =
            limited(*now, static_cast<double>(least - zero), static_cast<double>(most - zero));
        if (codes != *now)
        {
            at = codes.least == 0 && codes.most == now->most ? activated(std::move(at), "relu")
                                                             : scaled(std::move(at), 1, 0, "");
            set_codes(at.layer, codes);
        }
    }
    set(node, std::move(at));
    codings_.insert_or_assign(node.outputs.at(0), coding);
}

void Importer::join_codes(const Node& node)
{
    const Coding* first = coding(node.inputs.at(0));
    Node same = node; // whose operands have the codes of the first
    for (std::size_t slot = 0; slot < node.inputs.size(); ++slot)
    {
        const Coding* its = coding(node.inputs[slot]);
        if (first == nullptr || its == nullptr || !is_plain(*first) || !is_plain(*its))
        {
            throw Unsupported("of codes with constants, or with more than one scale each; put it "
                              "behind the DequantizeLinear");
        }
        View at = view(node, slot);
        if (!same_meaning(*its, *first))
        {
            same.inputs[slot] = node.name + ".operand" + std::to_string(slot);
            views_.insert_or_assign(same.inputs[slot], meaning(std::move(at), *its, *first));
        }
    }
    const Coding joined = *first;
    concat(same);
    codings_.insert_or_assign(node.outputs.at(0), joined);
}

void Importer::cast_codes(const Node& node, const Coding& coding)
{
    View at = view(node, 0);
    const std::int64_t number = node.integer("to", 1);
    if (is_real_type(number))
    {
        set(node, meaning(std::move(at), coding, plain_integers(coding.type)));
        return;
    }
    const std::optional<IntegerType> type = integer_type(number);
    if (!type)
    {
        throw Unsupported("of codes to a type that holds neither integers nor reals");
    }
    Coding made = coding;
    made.type = *type;
    const std::optional<OutputCodes> now = codes_of(at.layer);
    if (type->bits < 64 && now &&
        (now->least + coding.zero_point[0] < made.least() ||
         now->most + coding.zero_point[0] > made.most()))
    {
        throw Unsupported("of codes from " + std::to_string(now->least + coding.zero_point[0]) +
                          " to " + std::to_string(now->most + coding.zero_point[0]) + " to " +
                          name_of(*type) + ", which does not hold them all");
    }
    set(node, std::move(at));
    codings_.insert_or_assign(node.outputs.at(0), made);
}

void Importer::take_steps(const Tensor& matrix, std::size_t outputs_axis, const Tensor* bias,
                          Weights& w) const
{
    const auto columns = [&](const std::vector<float>& steps)
    {
        std::vector<double> all(w.columns, static_cast<double>(steps[0]));
        std::copy(steps.begin(), steps.size() == 1 ? steps.begin() : steps.end(), all.begin());
        return all;
    };
    if (matrix.steps.size() != 1 && matrix.axis != outputs_axis)
    {
        throw InputError({graph_.file, 0, "/graph/" + node_name_},
                         "has weights with a scale for each position of axis " +
                             std::to_string(matrix.axis) + ", along which products are added up",
                         "quantise them per tensor, or along axis " + std::to_string(outputs_axis) +
                             ", that of the output channels");
    }
    w.codes.scale = columns(matrix.steps);
    if (bias != nullptr && !bias->steps.empty() &&
        (bias->steps.size() == 1 || bias->steps.size() == w.columns))
    {
        w.codes.bias_scale = columns(bias->steps);
        w.codes.bias.resize(w.columns);
        for (std::size_t column = 0; column < w.columns; ++column)
        {
            w.codes.bias[column] = bias->integers[bias->integers.size() == 1 ? 0 : column];
        }
    }
}

void Importer::widen_activations()
{
    constexpr std::int64_t kBytes = 256;
    for (const Layer& layer : result_.network.layers)
    {
        for (const LayerId operand : layer.inputs)
        {
            const auto& its = result_.weights[operand.index()].codes.output;
            if (its && std::int64_t{its->most} - its->least >= kBytes)
            {
                result_.network.activation_bits = 16;
            }
        }
    }
}

} // namespace tessera::network::onnx
