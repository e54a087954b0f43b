// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/qonnx.h"

#include "base/nearest.h"
#include "network/onnx/rewriter.h"
#include "network/onnx/unsupported.h"
#include "tessera/error.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace tessera::network::onnx
{
namespace
{

using Rounding = double (*)(double);

/// By the names that QONNX and Brevitas have for them.
const std::unordered_map<std::string, Rounding>& roundings()
{
    static const Rounding kEven = [](double v) { return std::nearbyint(v); };
    static const Rounding kDown = [](double v) { return std::trunc(v); };
    static const std::unordered_map<std::string, Rounding> kRoundings{
        {"ROUND", kEven},
        {"HALF_EVEN", kEven},
        {"FLOOR", [](double v) { return std::floor(v); }},
        {"CEIL", [](double v) { return std::ceil(v); }},
        {"DOWN", kDown},
        {"ROUND_TO_ZERO", kDown},
        {"UP", [](double v) { return std::copysign(std::ceil(std::abs(v)), v); }},
        {"HALF_UP", [](double v) { return std::round(v); }},
        {"HALF_DOWN", [](double v) { return std::copysign(std::ceil(std::abs(v) - 0.5), v); }},
    };
    return kRoundings;
}

/// What the operands and attributes of a quantiser say.
struct Quantizer
{
    bool bipolar = false; ///< two values, of which neither is 0
    CodeRange range{-1, 1};
    std::string rounding = "ROUND";
    bool known = true;                    ///< scales and zero points are in the file
    std::vector<float> scale;             ///< one, or one for each position along `axis`
    std::vector<std::int64_t> zero_point; ///< as many
    std::int64_t axis = -1;               ///< from the last, which is -1
    std::size_t count = 1;                ///< of scales
};

[[noreturn]] void refuse(const Node& node, const std::string& file, const std::string& problem,
                         const std::string& remedy)
{
    throw InputError({file, 0, "/graph/" + node.name}, problem, remedy);
}

std::size_t size_of(const Tensor& tensor)
{
    return static_cast<std::size_t>(tensor.elements());
}

std::string text_of(double value)
{
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    return text.back() == '.' ? text.substr(0, text.size() - 1) : text;
}

/// The axis along which scales or zero points vary, from the last; nothing if there is but one.
std::optional<std::int64_t> varying_axis(const Tensor& tensor)
{
    std::optional<std::int64_t> axis;
    for (std::size_t i = 0; i < tensor.extents.size(); ++i)
    {
        if (tensor.extents[i] == 1)
        {
            continue;
        }
        if (axis)
        {
            throw Unsupported("with scales or zero points for groups of elements; quantise per "
                              "tensor or per channel");
        }
        axis = static_cast<std::int64_t>(i) - static_cast<std::int64_t>(tensor.extents.size());
    }
    return axis;
}

/// A whole number of an operand or nothing if its value is not in the file.
std::optional<std::int64_t> bits_of(const Node& node, const Tensor& tensor, const std::string& file)
{
    constexpr double kMost = 32;
    if (tensor.elements() != 1)
    {
        throw Unsupported("with bit widths for channels; give it one");
    }
    if (!tensor.known)
    {
        return std::nullopt;
    }
    const double bits = tensor.value(0);
    if (!(bits >= 1 && bits <= kMost) || bits != std::floor(bits))
    {
        refuse(node, file, "has a bit width of " + text_of(bits),
               "give it a whole number of bits, from 1 to 32");
    }
    return static_cast<std::int64_t>(bits);
}

CodeRange range_of(std::int64_t bits, bool has_sign, bool narrow)
{
    const std::int64_t half = std::int64_t{1} << (bits - 1);
    return has_sign ? CodeRange{narrow ? 1 - half : -half, half - 1}
                    : CodeRange{0, 2 * half - (narrow ? 2 : 1)};
}

/// Scales and zero points, which are repeated to the number of the others.
void take_values(const Node& node, const Tensor& scale, const Tensor* zero_point,
                 const std::string& file, Quantizer& its)
{
    for (const Tensor* tensor : {&scale, zero_point})
    {
        if (tensor == nullptr)
        {
            continue;
        }
        if (size_of(*tensor) == 0)
        {
            refuse(node, file, "has an empty scale or zero point", "give it at least one");
        }
        const std::optional<std::int64_t> axis = varying_axis(*tensor);
        if (axis && its.count != 1 && (*axis != its.axis || size_of(*tensor) != its.count))
        {
            refuse(node, file, "has scales and zero points along different axes",
                   "give both along the axis of the channels");
        }
        if (axis)
        {
            its.axis = *axis;
            its.count = size_of(*tensor);
        }
        its.known = its.known && tensor->known;
    }
    for (std::size_t i = 0; its.known && i < its.count; ++i)
    {
        const double step = scale.value(size_of(scale) == 1 ? 0 : i);
        const auto single = static_cast<float>(step);
        const double zero =
            zero_point == nullptr ? 0 : zero_point->value(size_of(*zero_point) == 1 ? 0 : i);
        if (!std::isfinite(single) || !(single > 0))
        {
            refuse(node, file,
                   "has a scale of " + std::to_string(step) +
                       (its.count == 1 ? "" : " (number " + std::to_string(i) + ")"),
                   "scales are finite and above 0: quantise the model again");
        }
        if (zero != std::floor(zero) || zero < static_cast<double>(its.range.least) ||
            zero > static_cast<double>(its.range.most))
        {
            refuse(node, file,
                   "has a zero point of " + text_of(zero) + " for codes from " +
                       std::to_string(its.range.least) + " to " + std::to_string(its.range.most),
                   "give it one of its codes");
        }
        its.scale.push_back(single);
        its.zero_point.push_back(static_cast<std::int64_t>(zero));
    }
}

/// `operands` are those of the node, of which the first does not matter.
Quantizer quantizer_of(const Node& node, const Operands& operands, const std::string& file)
{
    const auto operand = [&](std::size_t slot)
    {
        const Tensor* tensor = slot < operands.size() ? operands[slot] : nullptr;
        if (tensor == nullptr)
        {
            throw Unsupported("with a scale, zero point or bit width that is left out or computed");
        }
        return tensor;
    };
    Quantizer its;
    its.bipolar = node.operation == "BipolarQuant";
    const Tensor* zero_point = nullptr;
    if (!its.bipolar)
    {
        its.rounding = node.text("rounding_mode", its.rounding);
        for (char& letter : its.rounding)
        {
            letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
        }
        if (roundings().count(its.rounding) == 0)
        {
            throw Unsupported("with rounding_mode " + in_quotes(its.rounding));
        }
        const bool has_sign = node.integer("signed", 1) != 0;
        const bool narrow = node.integer("narrow", 0) != 0;
        zero_point = operand(2);
        const std::optional<std::int64_t> bits = bits_of(node, *operand(3), file);
        its.known = bits.has_value();
        // QONNX takes a bit with a sign for a bipolar value.
        its.bipolar = has_sign && bits == 1;
        if (bits && !its.bipolar)
        {
            its.range = range_of(*bits, has_sign, narrow);
            if (its.range.least == its.range.most)
            {
                refuse(node, file, "has one code only", "give it more bits, or the whole range");
            }
        }
    }
    take_values(node, *operand(1), zero_point, file, its);
    return its;
}

/// Where the scale of each element of a tensor is.
class Places
{
public:
    Places(const Quantizer& its, const Extents& extents) : count_(its.count)
    {
        const auto rank = static_cast<std::int64_t>(extents.size());
        if (count_ == 1)
        {
            return;
        }
        axis_ = static_cast<std::size_t>(rank + its.axis);
        if (its.axis < -rank || extents[axis_] != static_cast<std::int64_t>(count_))
        {
            throw Unsupported("with " + std::to_string(count_) +
                              " scales or zero points, which do not fit its tensor");
        }
        for (std::size_t axis = axis_ + 1; axis < extents.size(); ++axis)
        {
            inner_ *= static_cast<std::size_t>(extents[axis]);
        }
    }
    [[nodiscard]] std::size_t of(std::size_t element) const
    {
        return count_ == 1 ? 0 : element / inner_ % count_;
    }
    [[nodiscard]] std::size_t axis() const { return axis_; }

private:
    std::size_t count_;
    std::size_t axis_ = 0;
    std::size_t inner_ = 1; ///< elements between two positions of the axis
};

/// QONNX computes in single precision: quotient, sum; limits and rounding are exact.
std::int64_t code_of(const Quantizer& its, Rounding rounding, float value, std::size_t place)
{
    const auto zero = static_cast<float>(its.zero_point[place]);
    const float units = value / its.scale[place] + zero;
    if (std::isnan(units))
    {
        throw Unsupported("of a constant that is no number");
    }
    if (its.bipolar)
    {
        return units >= 0 ? 1 : -1;
    }
    return static_cast<std::int64_t>(
        rounding(std::clamp(static_cast<double>(units), static_cast<double>(its.range.least),
                            static_cast<double>(its.range.most))));
}

Operands operands_of(const Node& node, const Graph& graph)
{
    Operands operands{nullptr};
    for (std::size_t slot = 1; slot < node.inputs.size(); ++slot)
    {
        const auto found = graph.constants.find(node.inputs[slot]);
        operands.push_back(found == graph.constants.end() ? nullptr : &found->second);
    }
    return operands;
}

/// What activations can be rounded to. Throws Unsupported.
Quantizer activation_quantizer(const Node& node, const Graph& graph)
{
    constexpr std::int64_t kMostCodes = 1 << 16;
    Quantizer its = quantizer_of(node, operands_of(node, graph), graph.file);
    if (its.rounding != "ROUND" && its.rounding != "HALF_EVEN")
    {
        throw Unsupported("of a computed tensor with rounding_mode " + in_quotes(its.rounding) +
                          "; activations are rounded to the nearest code: ROUND");
    }
    if (its.range.most - its.range.least >= kMostCodes)
    {
        throw Unsupported("of a computed tensor with more than 16 bits");
    }
    if (its.bipolar && (its.count != 1 || (its.known && its.zero_point[0] != 0)))
    {
        throw Unsupported("of a computed tensor to two values with a zero point, or with one scale "
                          "a channel");
    }
    return its;
}

class Speller : Rewriter
{
public:
    using Rewriter::Rewriter;

    void run()
    {
        for (Node& node : std::exchange(graph_.nodes, {}))
        {
            if (!is_quantizer(node) || of_constant(node))
            {
                graph_.nodes.push_back(std::move(node));
                continue;
            }
            try
            {
                spell(node, activation_quantizer(node, graph_));
            }
            catch (const Unsupported&) // it is refused when its turn comes
            {
                graph_.nodes.push_back(std::move(node));
            }
        }
    }

private:
    /// It is evaluated, or refused, as such.
    [[nodiscard]] bool of_constant(const Node& node) const
    {
        return graph_.constants.count(operand(node, 0)) != 0;
    }

    void spell(const Node& node, const Quantizer& its)
    {
        Tensor scale;
        Tensor zero_point;
        scale.extents = its.count == 1 ? Extents() : Extents{static_cast<std::int64_t>(its.count)};
        scale.known = its.known;
        scale.reals = its.scale;
        zero_point.extents = scale.extents;
        zero_point.known = its.known;
        zero_point.real = false;
        zero_point.integers = its.zero_point;
        zero_point.type = {its.range.most - its.range.least < 256 ? 8U : 16U, its.range.least < 0};
        const std::string scale_name = constant(node.name + ".scale", std::move(scale));
        const std::string zero_name = constant(node.name + ".zero_point", std::move(zero_point));
        std::string from = operand(node, 0);
        if (its.bipolar)
        {
            std::string two = fresh(node.name + ".sign");
            add(node, "BipolarQuant", {from, scale_name}, {two});
            from = std::move(two);
        }
        const std::string codes = fresh(node.name + ".codes");
        code(node, "QuantizeLinear", {from, scale_name, zero_name}, {codes}, its);
        code(node, "DequantizeLinear", {codes, scale_name, zero_name}, node.outputs, its);
    }
    void code(const Node& node, const char* operation, std::vector<std::string> inputs,
              std::vector<std::string> outputs, const Quantizer& its)
    {
        Node& added = add(node, operation, std::move(inputs), std::move(outputs));
        added.code_range = its.range;
        added.attributes["axis"].integer = its.axis;
    }
};

} // namespace

bool is_quantizer(const Node& node)
{
    static const std::unordered_set<std::string> kDomains{
        "qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas"};
    return (node.operation == "Quant" || node.operation == "IntQuant" ||
            node.operation == "BipolarQuant") &&
           kDomains.count(node.domain) != 0;
}

Tensor quantized_constant(const Node& node, const Operands& operands, const std::string& file)
{
    const Tensor* from = operands.empty() ? nullptr : operands[0];
    if (from == nullptr)
    {
        throw Unsupported("without operand 0");
    }
    const Quantizer its = quantizer_of(node, operands, file);
    const Rounding rounding = roundings().at(its.rounding);
    const Places places(its, from->extents);
    Tensor to;
    to.extents = from->extents;
    to.known = from->known && its.known;
    if (!to.known)
    {
        return to;
    }
    const std::size_t count = size_of(*from);
    for (std::size_t i = 0; i < count; ++i)
    {
        const std::size_t place = places.of(i);
        to.integers.push_back(code_of(its, rounding, static_cast<float>(from->value(i)), place) -
                              its.zero_point[place]);
        to.reals.push_back(static_cast<float>(to.integers.back()) * its.scale[place]);
    }
    to.steps = its.scale;
    to.axis = places.axis();
    return to;
}

void spell_out_quantizers(Graph& graph)
{
    Speller(graph).run();
}

void refuse_quantizer(const Node& node, const Graph& graph)
{
    (void)activation_quantizer(node, graph);
    throw Unsupported("without operand 0");
}

} // namespace tessera::network::onnx
