// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/quantized.h"

#include "base/nearest.h"
#include "network/onnx/importer.h"
#include "network/onnx/rewriter.h"
#include "network/onnx/unsupported.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_set>
#include <utility>

namespace tessera::network::onnx
{
namespace
{

constexpr const char* kContributed = "com.microsoft";
constexpr const char* kQuantize = "QuantizeLinear";
constexpr const char* kDequantize = "DequantizeLinear";

[[noreturn]] void refuse(const Node& node, const std::string& file, const std::string& problem,
                         const std::string& remedy)
{
    throw InputError({file, 0, "/graph/" + node.name}, problem, remedy);
}

std::size_t size_of(const Tensor& tensor)
{
    return static_cast<std::size_t>(tensor.elements());
}

/// Where the operands of a QLinear operator are. An operand is followed by its scale and its zero
/// point.
struct Form
{
    const char* domain;
    const char* becomes;
    std::vector<std::size_t> operands;
    std::size_t result;                ///< slot of the result's scale
    std::optional<std::size_t> weight; ///< operand that may have a scale an axis
    std::int64_t weight_axis = 0;
    std::optional<std::size_t> bias; ///< slot; its scale is the product of the operands'
};

const std::map<std::string, Form>& forms()
{
    static const std::map<std::string, Form> kForms{
        {"QLinearConv", {"", "Conv", {0, 3}, 6, 3, 0, 8}},
        {"QLinearMatMul", {"", "MatMul", {0, 3}, 6, 3, -1, {}}},
        {"QGemm", {kContributed, "Gemm", {0, 3}, 7, 3, 1, 6}},
        {"QLinearAdd", {kContributed, "Add", {0, 3}, 6, {}, 0, {}}},
        {"QLinearMul", {kContributed, "Mul", {0, 3}, 6, {}, 0, {}}},
        {"QLinearAveragePool", {kContributed, "AveragePool", {0}, 3, {}, 0, {}}},
        {"QLinearGlobalAveragePool", {kContributed, "GlobalAveragePool", {0}, 3, {}, 0, {}}},
        {"QLinearLeakyRelu", {kContributed, "LeakyRelu", {0}, 3, {}, 0, {}}},
        {"QLinearSigmoid", {kContributed, "Sigmoid", {0}, 3, {}, 0, {}}},
        {"QLinearSoftmax", {kContributed, "Softmax", {0}, 3, {}, 0, {}}},
    };
    return kForms;
}

/// Rewrites the nodes of a graph one by one, in their order.
class Speller : Rewriter
{
public:
    explicit Speller(Graph& graph) : Rewriter(graph) {}

    void run()
    {
        for (Node& node : std::exchange(graph_.nodes, {}))
        {
            const auto form = forms().find(node.operation);
            if (is_concat(node))
            {
                concat(node);
            }
            else if (form != forms().end() && form->second.domain == node.domain &&
                     node.integer("channels_last", 0) == 0)
            {
                spell(node, form->second);
            }
            else
            {
                if ((node.operation == kQuantize || node.operation == kDequantize) &&
                    node.domain == kContributed)
                {
                    node.domain.clear();
                }
                graph_.nodes.push_back(std::move(node));
            }
        }
    }

private:
    [[nodiscard]] static bool is_concat(const Node& node)
    {
        return node.operation == "QLinearConcat" && node.domain == kContributed;
    }
    /// The reals of operand `slot`, whose scale and zero point follow it.
    std::string reals(const Node& node, std::size_t slot, std::int64_t axis)
    {
        std::string made = fresh(node.name + ".operand" + std::to_string(slot));
        Node& added =
            add(node, kDequantize,
                {operand(node, slot), operand(node, slot + 1), operand(node, slot + 2)}, {made});
        added.attributes["axis"].integer = axis;
        return made;
    }

    /// The operator on reals, and how its result is coded.
    void finish(const Node& node, const char* becomes, std::vector<std::string> inputs,
                const std::string& scale, const std::string& zero_point)
    {
        const bool codes = !scale.empty() || node.operation != "QGemm"; // else reals
        std::vector<std::string> outputs = node.outputs;
        if (codes)
        {
            outputs = {fresh(node.name + ".result")};
        }
        add(node, becomes, std::move(inputs), outputs).attributes = node.attributes;
        if (codes)
        {
            add(node, kQuantize, {outputs[0], scale, zero_point}, node.outputs);
        }
    }

    void spell(const Node& node, const Form& form)
    {
        const std::int64_t weight_axis =
            node.operation == "QGemm" && node.integer("transB", 0) != 0 ? 0 : form.weight_axis;
        std::vector<std::string> inputs;
        for (const std::size_t slot : form.operands)
        {
            inputs.push_back(reals(node, slot, slot == form.weight ? weight_axis : 1));
        }
        if (form.bias && !operand(node, *form.bias).empty())
        {
            std::string scale = fresh(node.name + ".bias_scale");
            add(node, "Mul", {operand(node, 1), operand(node, 4)}, {scale});
            if (const double alpha = node.real("alpha", 1); alpha != 1)
            {
                // The bias counts in what the products are worth, alpha included.
                Tensor factor;
                factor.reals = {static_cast<float>(alpha)};
                const std::string name = fresh(node.name + ".alpha");
                graph_.constants.emplace(name, std::move(factor));
                const std::string both = fresh(node.name + ".bias_scale");
                add(node, "Mul", {scale, name}, {both});
                scale = both;
            }
            const std::string bias = fresh(node.name + ".bias");
            Node& added = add(node, kDequantize, {operand(node, *form.bias), scale}, {bias});
            added.attributes["axis"].integer = 0;
            inputs.push_back(bias);
        }
        finish(node, form.becomes, std::move(inputs), operand(node, form.result),
               operand(node, form.result + 1));
    }

    /// Scale and zero point of the result come first.
    void concat(const Node& node)
    {
        std::vector<std::string> inputs;
        for (std::size_t slot = 2; slot < node.inputs.size(); slot += 3)
        {
            inputs.push_back(reals(node, slot, 1));
        }
        finish(node, "Concat", std::move(inputs), operand(node, 0), operand(node, 1));
    }
};

/// Rounded to nearest, ties to even, as ONNX wants it.
std::int64_t code(float value, float scale, std::int64_t zero_point, const Coding& coding)
{
    const double rounded = std::nearbyint(static_cast<double>(value / scale));
    const double wanted = rounded + static_cast<double>(zero_point);
    return std::isnan(wanted)
               ? zero_point
               : static_cast<std::int64_t>(std::clamp(wanted, static_cast<double>(coding.least()),
                                                      static_cast<double>(coding.most())));
}

} // namespace

void spell_out_quantized(Graph& graph)
{
    Speller(graph).run();
}

bool is_coding(const Node& node)
{
    return node.domain.empty() && (node.operation == kQuantize || node.operation == kDequantize);
}

std::string why_not_quantized(const Node& node)
{
    static const std::unordered_set<std::string> kDynamic{"ConvInteger",
                                                          "MatMulInteger",
                                                          "DynamicQuantizeLinear",
                                                          "MatMulIntegerToFloat",
                                                          "DynamicQuantizeMatMul",
                                                          "DynamicQuantizeLSTM",
                                                          "ConvTransposeWithDynamicQuantizer"};
    if (kDynamic.count(node.operation) != 0)
    {
        return "with scales that are found while it runs; quantise the model statically, in QDQ "
               "or QLinear form";
    }
    if (node.integer("channels_last", 0) != 0 && forms().count(node.operation) != 0)
    {
        return "with channels last; export it with channels first";
    }
    return "";
}

std::int64_t Coding::least() const
{
    return range ? range->least : type.has_sign ? -(std::int64_t{1} << (type.bits - 1)) : 0;
}

std::int64_t Coding::most() const
{
    return range ? range->most : (std::int64_t{1} << (type.bits - (type.has_sign ? 1 : 0))) - 1;
}

std::string name_of(const IntegerType& type)
{
    return (type.has_sign ? "int" : "uint") + std::to_string(type.bits);
}

Coding coding_of(const Node& node, const Operands& operands, const Extents& extents,
                 std::optional<IntegerType> type, const std::string& file)
{
    const auto wrong = [&](const std::string& problem, const std::string& remedy)
    { refuse(node, file, problem, remedy); };
    const char* const again = "quantise the model again";
    const Tensor* scale = operands[0];
    const Tensor* zero_point = operands[1];
    if (scale == nullptr)
    {
        wrong("has no scale", "give it a constant scale above 0 behind what it codes");
    }
    if (node.integer("block_size", 0) != 0)
    {
        throw Unsupported("with scales for blocks; quantise per tensor or per channel");
    }
    if (!scale->real)
    {
        wrong("has a scale that is a whole number", "give it a scale of type float");
    }
    Coding coding;
    const std::size_t count = size_of(*scale);
    coding.per_axis = scale->extents.size() == 1 && count != 1;
    if (scale->extents.size() > 1 || count == 0)
    {
        wrong("has scales of " + std::to_string(scale->extents.size()) + " axes, " +
                  std::to_string(count) + " in all",
              "give it one scale, or a list of one for each channel");
    }
    if (coding.per_axis)
    {
        const std::int64_t axis = node.integer("axis", 1);
        const auto rank = static_cast<std::int64_t>(extents.size());
        if (axis < -rank || axis >= rank)
        {
            wrong("has scales along axis " + std::to_string(axis) + " of a tensor of " +
                      std::to_string(rank) + " axes",
                  "name the axis of its channels");
        }
        coding.axis = static_cast<std::size_t>(axis < 0 ? axis + rank : axis);
        if (static_cast<std::int64_t>(count) != extents[coding.axis])
        {
            wrong("has " + std::to_string(count) + " scales for the " +
                      std::to_string(extents[coding.axis]) + " positions of axis " +
                      std::to_string(coding.axis),
                  "give it one scale, or one for each position, and name their axis");
        }
    }
    coding.type = type.value_or(IntegerType{8, false});
    if (zero_point != nullptr)
    {
        const IntegerType& own = zero_point->type;
        if (zero_point->real || own.bits == 0 || own.bits == 1 || own.bits == 64)
        {
            wrong("has a zero point that is no whole number of 8, 16 or 32 bits",
                  "give it a zero point of the type of the codes, such as uint8");
        }
        if (type && !(own == *type))
        {
            wrong("has a zero point of type " + name_of(own) + " for codes of type " +
                      name_of(*type),
                  "give both the same type");
        }
        if (size_of(*zero_point) != count || zero_point->extents.size() > 1)
        {
            wrong("has " + std::to_string(size_of(*zero_point)) + " zero points for " +
                      std::to_string(count) + " scales",
                  "give as many zero points as scales");
        }
        coding.type = own;
    }
    if (coding.type.bits > 16 && node.operation == kQuantize)
    {
        wrong("makes codes of type " + name_of(coding.type), "quantise to 8 or 16 bits");
    }
    if (coding.type.bits != 8 && coding.type.bits != 16 && coding.type.bits != 32)
    {
        wrong("has codes that are no whole numbers of 8, 16 or 32 bits", again);
    }
    coding.range = node.code_range;
    if (!scale->known || (zero_point != nullptr && !zero_point->known))
    {
        return coding;
    }
    for (std::size_t i = 0; i < count; ++i)
    {
        const float its = scale->reals[i];
        if (!std::isfinite(its) || !(its > 0))
        {
            wrong("has a scale of " + std::to_string(its) +
                      (count == 1 ? "" : " (number " + std::to_string(i) + ")"),
                  "scales are finite and above 0: " + std::string(again));
        }
        const std::int64_t zero = zero_point == nullptr ? 0 : zero_point->integers[i];
        if (zero < coding.least() || zero > coding.most() || (coding.type.bits == 32 && zero != 0))
        {
            wrong("has a zero point of " + std::to_string(zero) + " for codes of type " +
                      name_of(coding.type),
                  coding.type.bits == 32 ? "codes of 32 bits have none" : again);
        }
        coding.scale.push_back(its);
        coding.zero_point.push_back(zero);
    }
    return coding;
}

Tensor coded(const Node& node, const Operands& operands, const std::string& file)
{
    const Tensor* from = operands.empty() ? nullptr : operands[0];
    if (from == nullptr)
    {
        throw Unsupported("without operand 0");
    }
    const bool quantizes = node.operation == kQuantize;
    if (from->real != quantizes)
    {
        refuse(node, file,
               quantizes ? "quantises whole numbers" : "dequantises what are no whole numbers",
               quantizes ? "give it reals" : "give it codes, such as uint8");
    }
    const auto at = [&](std::size_t slot)
    { return slot < operands.size() ? operands[slot] : nullptr; };
    const Coding coding = coding_of(node, {at(1), at(2)}, from->extents,
                                    quantizes ? std::nullopt : std::optional(from->type), file);
    Tensor to;
    to.extents = from->extents;
    to.real = !quantizes;
    to.type = quantizes ? coding.type : IntegerType();
    to.known = from->known && !coding.scale.empty();
    if (!to.known)
    {
        return to;
    }
    std::size_t inner = 1; // elements that lie between two positions of the axis
    for (std::size_t axis = coding.axis + 1; coding.per_axis && axis < from->extents.size(); ++axis)
    {
        inner *= static_cast<std::size_t>(from->extents[axis]);
    }
    const std::size_t count = size_of(*from);
    to.integers.reserve(count);
    for (std::size_t i = 0; i < count; ++i)
    {
        const std::size_t place = coding.per_axis ? i / inner % coding.scale.size() : 0;
        const float scale = coding.scale[place];
        const std::int64_t zero = coding.zero_point[place];
        if (quantizes)
        {
            to.integers.push_back(code(from->reals[i], scale, zero, coding));
            continue;
        }
        to.integers.push_back(from->integers[i] - zero);
        to.reals.push_back(static_cast<float>(to.integers.back()) * scale);
    }
    if (!quantizes)
    {
        to.steps = coding.scale;
        to.axis = coding.axis;
    }
    return to;
}

} // namespace tessera::network::onnx
