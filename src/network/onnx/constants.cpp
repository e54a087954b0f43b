// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/constants.h"

#include "network/onnx/unsupported.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

namespace tessera::network::onnx
{
namespace
{

constexpr std::size_t kMaxRank = 64;

std::int64_t elements_of(const Extents& extents)
{
    if (extents.size() > kMaxRank)
    {
        throw Unsupported("has more than 64 axes");
    }
    std::int64_t product = 1;
    for (const std::int64_t extent : extents)
    {
        if (extent < 0 || (extent != 0 && product > kMaxElements / extent))
        {
            throw Unsupported("makes a tensor with a negative extent or more than 2^40 elements");
        }
        product *= extent;
    }
    return product;
}

const Tensor& need(const Operands& operands, std::size_t index)
{
    if (index >= operands.size() || operands[index] == nullptr)
    {
        throw Unsupported("lacks operand " + std::to_string(index));
    }
    return *operands[index];
}

const Tensor* optional(const Operands& operands, std::size_t index)
{
    return index < operands.size() ? operands[index] : nullptr;
}

/// Distances in elements between neighbours along each axis.
Extents strides_of(const Extents& extents)
{
    Extents strides(extents.size(), 1);
    for (std::size_t axis = extents.size(); axis-- > 1;)
    {
        strides[axis - 1] = strides[axis] * extents[axis];
    }
    return strides;
}

/// Calls `visit(source)` for every element of `extents` in order, where a step along an axis moves
/// the source by `strides` of it.
template <class Visit>
void walk(const Extents& extents, const Extents& strides, std::int64_t start, Visit visit)
{
    std::vector<std::int64_t> at(extents.size(), 0);
    std::int64_t source = start;
    const std::int64_t count = elements_of(extents);
    for (std::int64_t i = 0; i < count; ++i)
    {
        visit(static_cast<std::size_t>(source));
        for (std::size_t axis = extents.size(); axis-- > 0;)
        {
            source += strides[axis];
            if (++at[axis] < extents[axis])
            {
                break;
            }
            source -= strides[axis] * extents[axis];
            at[axis] = 0;
        }
    }
}

void copy(const Tensor& from, std::size_t index, Tensor& to)
{
    if (to.real)
    {
        to.reals.push_back(from.reals[index]);
    }
    else
    {
        to.integers.push_back(from.integers[index]);
    }
}

/// Strides for reading `from` as if it had `extents`.
Extents broadcast_strides(const Extents& from, const Extents& extents)
{
    const Extents own = strides_of(from);
    Extents strides(extents.size(), 0);
    const std::size_t offset = extents.size() - from.size();
    for (std::size_t axis = 0; axis < from.size(); ++axis)
    {
        strides[offset + axis] = from[axis] == 1 ? 0 : own[axis];
    }
    return strides;
}

double power(double base, double exponent)
{
    return std::pow(base, exponent);
}

using Binary = double (*)(double, double);
const std::map<std::string, Binary>& binaries()
{
    static const std::map<std::string, Binary> kBinaries{
        {"Add", [](double a, double b) { return a + b; }},
        {"Sub", [](double a, double b) { return a - b; }},
        {"Mul", [](double a, double b) { return a * b; }},
        {"Div", [](double a, double b) { return a / b; }},
        {"Pow", power},
        {"Max", [](double a, double b) { return std::max(a, b); }},
        {"Min", [](double a, double b) { return std::min(a, b); }},
        {"Equal", [](double a, double b) { return a == b ? 1.0 : 0.0; }},
        {"Less", [](double a, double b) { return a < b ? 1.0 : 0.0; }},
        {"Greater", [](double a, double b) { return a > b ? 1.0 : 0.0; }},
        {"LessOrEqual", [](double a, double b) { return a <= b ? 1.0 : 0.0; }},
        {"GreaterOrEqual", [](double a, double b) { return a >= b ? 1.0 : 0.0; }},
        {"And", [](double a, double b) { return a != 0 && b != 0 ? 1.0 : 0.0; }},
        {"Or", [](double a, double b) { return a != 0 || b != 0 ? 1.0 : 0.0; }},
    };
    return kBinaries;
}

bool makes_booleans(const std::string& operation)
{
    return operation == "Equal" || operation == "Less" || operation == "Greater" ||
           operation == "LessOrEqual" || operation == "GreaterOrEqual" || operation == "And" ||
           operation == "Or";
}

using Unary = double (*)(double);
const std::map<std::string, Unary>& unaries()
{
    static const std::map<std::string, Unary> kUnaries{
        {"Neg", [](double a) { return -a; }},
        {"Abs", [](double a) { return std::abs(a); }},
        {"Floor", [](double a) { return std::floor(a); }},
        {"Ceil", [](double a) { return std::ceil(a); }},
        {"Sqrt", [](double a) { return std::sqrt(a); }},
        {"Exp", [](double a) { return std::exp(a); }},
        {"Log", [](double a) { return std::log(a); }},
        {"Reciprocal", [](double a) { return 1 / a; }},
        {"Not", [](double a) { return a == 0 ? 1.0 : 0.0; }},
    };
    return kUnaries;
}

void append(Tensor& tensor, double value)
{
    if (tensor.real)
    {
        tensor.reals.push_back(static_cast<float>(value));
        return;
    }
    constexpr double kLimit = 9.2e18;
    if (!(std::abs(value) < kLimit))
    {
        throw Unsupported("computes an integer beyond 64 bits");
    }
    tensor.integers.push_back(static_cast<std::int64_t>(value)); // toward zero, as ONNX divides
}

} // namespace

std::size_t axis_of(std::int64_t axis, std::size_t rank)
{
    const auto count = static_cast<std::int64_t>(rank);
    if (axis < -count || axis >= count)
    {
        throw Unsupported("names axis " + std::to_string(axis) + " of a tensor with " +
                          std::to_string(rank));
    }
    return static_cast<std::size_t>(axis < 0 ? axis + count : axis);
}

Extents broadcast(const Extents& a, const Extents& b)
{
    Extents result(std::max(a.size(), b.size()), 1);
    for (std::size_t i = 0; i < result.size(); ++i)
    {
        const std::int64_t one = i < a.size() ? a[a.size() - 1 - i] : 1;
        const std::int64_t other = i < b.size() ? b[b.size() - 1 - i] : 1;
        if (one != other && one != 1 && other != 1)
        {
            throw Unsupported("has operands whose extents do not go together: " +
                              std::to_string(one) + " and " + std::to_string(other));
        }
        result[result.size() - 1 - i] = one == 1 ? other : one;
    }
    return result;
}

std::vector<std::int64_t> whole_numbers(const Tensor& tensor)
{
    if (!tensor.known)
    {
        throw Unsupported("needs a constant for its shape whose values are not in the file");
    }
    if (tensor.real)
    {
        throw Unsupported("has reals where whole numbers are due");
    }
    return tensor.integers;
}

Tensor tensor_of(const std::vector<std::int64_t>& values)
{
    Tensor tensor;
    tensor.extents = {static_cast<std::int64_t>(values.size())};
    tensor.real = false;
    tensor.integers = values;
    return tensor;
}

Extents reshape_extents(const Extents& from, const Tensor& wanted, bool allow_zero)
{
    Extents result = whole_numbers(wanted);
    const std::int64_t elements = elements_of(from);
    std::int64_t known = 1;
    std::size_t open = result.size();
    if (result.size() > kMaxRank)
    {
        throw Unsupported("has more than 64 axes");
    }
    for (std::size_t i = 0; i < result.size(); ++i)
    {
        if (result[i] == 0 && !allow_zero)
        {
            result[i] = from[axis_of(static_cast<std::int64_t>(i), from.size())];
        }
        if (result[i] == -1 && open == result.size())
        {
            open = i;
            continue;
        }
        if (result[i] < 0 || (result[i] != 0 && known > kMaxElements / result[i]))
        {
            throw Unsupported("asks for the extent " + std::to_string(result[i]));
        }
        known *= result[i];
    }
    if (open != result.size() && known != 0 && elements % known == 0)
    {
        result[open] = elements / known;
        known = elements;
    }
    if (known != elements || std::find(result.begin(), result.end(), -1) != result.end())
    {
        throw Unsupported("makes " + std::to_string(known) + " elements of " +
                          std::to_string(elements) +
                          " (a fixed batch? export the model with a batch of 1)");
    }
    return result;
}

Tensor Evaluator::room(const Extents& extents, bool real, bool known)
{
    Tensor tensor;
    tensor.extents = extents;
    tensor.real = real;
    const std::int64_t count = elements_of(extents);
    tensor.known = known && count <= left_;
    if (tensor.known)
    {
        left_ -= count;
    }
    return tensor;
}

bool Evaluator::asks_for_extents(const Node& node)
{
    return node.domain.empty() && (node.operation == "Shape" || node.operation == "Size");
}

bool Evaluator::knows(const Node& node)
{
    static const std::vector<std::string> kOthers{
        "Cast",      "Concat",     "Constant",  "ConstantOfShape",
        "Expand",    "Flatten",    "Gather",    "Identity",
        "Range",     "ReduceProd", "ReduceSum", "ReduceMax",
        "ReduceMin", "Reshape",    "Shape",     "Size",
        "Slice",     "Split",      "Squeeze",   "Tile",
        "Transpose", "Unsqueeze",  "Where",     "Mod"};
    return node.domain.empty() &&
           (binaries().count(node.operation) != 0 || unaries().count(node.operation) != 0 ||
            std::find(kOthers.begin(), kOthers.end(), node.operation) != kOthers.end());
}

namespace
{

std::vector<std::int64_t> axes_of(const Node& node, const Operands& operands, std::size_t operand)
{
    const Tensor* tensor = optional(operands, operand);
    return tensor != nullptr ? whole_numbers(*tensor) : node.integers("axes");
}

} // namespace

Extents squeeze_extents(const Node& node, const Operands& operands)
{
    const Extents& from = need(operands, 0).extents;
    const std::vector<std::int64_t> axes = axes_of(node, operands, 1);
    Extents result;
    std::vector<bool> gone(from.size(), axes.empty());
    for (const std::int64_t axis : axes)
    {
        gone[axis_of(axis, from.size())] = true;
    }
    for (std::size_t i = 0; i < from.size(); ++i)
    {
        if (!gone[i] || (axes.empty() && from[i] != 1))
        {
            result.push_back(from[i]);
        }
        else if (from[i] != 1)
        {
            throw Unsupported("squeezes an extent of " + std::to_string(from[i]));
        }
    }
    return result;
}

Extents unsqueeze_extents(const Node& node, const Operands& operands)
{
    const Extents& from = need(operands, 0).extents;
    const std::vector<std::int64_t> axes = axes_of(node, operands, 1);
    if (from.size() + axes.size() > kMaxRank)
    {
        throw Unsupported("has more than 64 axes");
    }
    std::vector<bool> added(from.size() + axes.size(), false);
    for (const std::int64_t axis : axes)
    {
        const std::size_t at = axis_of(axis, added.size());
        if (added[at])
        {
            throw Unsupported("names an axis twice");
        }
        added[at] = true;
    }
    Extents result;
    std::size_t next = 0;
    for (const bool is_new : added)
    {
        result.push_back(is_new ? 1 : from[next++]);
    }
    return result;
}

namespace
{

/// After a reshape: the axis of the scales, if it is still one; else there are no codes any more.
void keep_axis(Tensor& tensor, const Extents& before)
{
    if (tensor.steps.size() <= 1)
    {
        return;
    }
    const auto outer = [](const Extents& extents, std::size_t axis) {
        return elements_of({extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(axis)});
    };
    for (std::size_t axis = 0; axis < tensor.extents.size(); ++axis)
    {
        if (tensor.extents[axis] == before[tensor.axis] &&
            outer(tensor.extents, axis) == outer(before, tensor.axis))
        {
            tensor.axis = axis;
            return;
        }
    }
    tensor.steps.clear();
    tensor.integers.clear();
}

/// Scaled codes are codes of another scale, and codes that are shifted by whole steps count from
/// another zero point: what is left of a DequantizeLinear that is written out.
void keep_codes(const std::string& operation, const Tensor& a, const Tensor& b, Tensor& to)
{
    if (a.steps.size() != 1 || !a.real || !b.steps.empty() || a.extents != to.extents)
    {
        return;
    }
    if ((operation == "Sub" || operation == "Add") && b.elements() == 1)
    {
        const double steps = b.value(0) / static_cast<double>(a.steps[0]);
        if (steps != std::nearbyint(steps) || std::abs(steps) > 0x1p24)
        {
            return;
        }
        const auto moved = static_cast<std::int64_t>(operation == "Sub" ? -steps : steps);
        to.integers = a.integers;
        for (std::int64_t& code : to.integers)
        {
            code += moved;
        }
        to.steps = a.steps;
        return;
    }
    if (operation != "Mul" && operation != "Div")
    {
        return;
    }
    // One factor, or one for each position of one axis.
    std::size_t axis = 0;
    std::size_t along = 0;
    const std::size_t offset = to.extents.size() - b.extents.size();
    for (std::size_t i = 0; i < b.extents.size(); ++i)
    {
        if (b.extents[i] != 1)
        {
            axis = offset + i;
            ++along;
        }
    }
    std::vector<float> steps;
    for (std::size_t i = 0; i < static_cast<std::size_t>(b.elements()); ++i)
    {
        const double factor = operation == "Mul" ? b.value(i) : 1 / b.value(i);
        steps.push_back(static_cast<float>(static_cast<double>(a.steps[0]) * factor));
        if (!(factor > 0) || !std::isfinite(factor))
        {
            return;
        }
    }
    if (along > 1)
    {
        return;
    }
    to.integers = a.integers;
    to.steps = std::move(steps);
    to.axis = axis;
}

} // namespace

std::vector<Tensor> Evaluator::run(const Node& node, const Operands& operands)
{
    std::vector<Tensor> made = compute(node, operands);
    const auto lost =
        std::find_if(operands.begin(), operands.end(),
                     [](const Tensor* operand)
                     {
                         return operand != nullptr && operand->real &&
                                (!operand->steps.empty() || !operand->lost_codes.empty());
                     });
    for (Tensor& tensor : made)
    {
        if (lost != operands.end() && tensor.real && tensor.steps.empty() &&
            tensor.lost_codes.empty())
        {
            tensor.lost_codes = !(*lost)->lost_codes.empty()
                                    ? (*lost)->lost_codes
                                    : "node \"" + node.name + "\" (" + node.operation + ')';
        }
    }
    return made;
}

std::vector<Tensor> Evaluator::compute(const Node& node, const Operands& operands)
{
    const std::string& operation = node.operation;
    const auto pick =
        [&](const Tensor& from, const Extents& extents, const Extents& strides, std::int64_t start)
    {
        Tensor to = room(extents, from.real, from.known);
        if (to.known)
        {
            walk(extents, strides, start, [&](std::size_t source) { copy(from, source, to); });
        }
        const bool same_axis =
            from.steps.size() == 1 ||
            (extents.size() == from.extents.size() && from.axis < extents.size() &&
             extents[from.axis] == from.extents[from.axis] &&
             strides[from.axis] == strides_of(from.extents)[from.axis]);
        if (to.known && !from.steps.empty() && same_axis)
        {
            walk(extents, strides, start,
                 [&](std::size_t source) { to.integers.push_back(from.integers[source]); });
            to.steps = from.steps;
            to.axis = from.axis;
        }
        return to;
    };
    const auto with_extents = [&](Extents extents)
    {
        const Tensor& from = need(operands, 0);
        if (elements_of(extents) != elements_of(from.extents))
        {
            throw Unsupported("changes the number of elements");
        }
        Tensor to = pick(from, from.extents, strides_of(from.extents), 0);
        to.extents = std::move(extents);
        keep_axis(to, from.extents);
        return to;
    };

    if (const auto unary = unaries().find(operation); unary != unaries().end())
    {
        const Tensor& from = need(operands, 0);
        Tensor to = room(from.extents, from.real, from.known);
        for (std::size_t i = 0; to.known && i < static_cast<std::size_t>(from.elements()); ++i)
        {
            append(to, unary->second(from.value(i)));
        }
        return {to};
    }
    if (const auto binary = binaries().find(operation);
        binary != binaries().end() || operation == "Mod")
    {
        const Tensor& a = need(operands, 0);
        if (operands.size() == 1)
        {
            return {a};
        }
        const Tensor& b = need(operands, 1);
        if (operands.size() > 2)
        {
            throw Unsupported("has more than two constant operands");
        }
        const Extents extents = broadcast(a.extents, b.extents);
        Tensor to =
            room(extents, (a.real || b.real) && !makes_booleans(operation), a.known && b.known);
        if (to.known)
        {
            std::vector<std::size_t> seconds;
            walk(extents, broadcast_strides(b.extents, extents), 0,
                 [&](std::size_t source) { seconds.push_back(source); });
            std::size_t next = 0;
            walk(extents, broadcast_strides(a.extents, extents), 0,
                 [&](std::size_t source)
                 {
                     const double one = a.value(source);
                     const double other = b.value(seconds[next++]);
                     if (!to.real && other == 0 && (operation == "Div" || operation == "Mod"))
                     {
                         throw Unsupported("divides by 0");
                     }
                     append(to, operation == "Mod" ? one - other * std::floor(one / other)
                                                   : binary->second(one, other));
                 });
            keep_codes(operation, a, b, to);
        }
        return {to};
    }
    if (operation == "Constant")
    {
        if (const auto value = node.attributes.find("value");
            value != node.attributes.end() && value->second.has_tensor)
        {
            return {value->second.tensor};
        }
        Tensor to;
        for (const auto& [key, attribute] : node.attributes)
        {
            to.real = key == "value_float" || key == "value_floats";
            if (key == "value_int")
            {
                to.integers = {attribute.integer};
            }
            else if (key == "value_float")
            {
                to.reals = {attribute.real};
            }
            else if (key == "value_ints" || key == "value_floats")
            {
                to.integers = attribute.integers;
                to.reals = attribute.reals;
                to.extents = {
                    static_cast<std::int64_t>(to.real ? to.reals.size() : to.integers.size())};
            }
            else
            {
                throw Unsupported("has a " + key);
            }
            return {to};
        }
        throw Unsupported("has no value");
    }
    if (operation == "Identity")
    {
        return {need(operands, 0)};
    }
    if (operation == "Shape")
    {
        const auto rank = static_cast<std::int64_t>(need(operands, 0).extents.size());
        const auto bound = [&](std::int64_t value)
        { return std::clamp<std::int64_t>(value < 0 ? value + rank : value, 0, rank); };
        const std::int64_t begin = bound(node.integer("start", 0));
        const std::int64_t end = std::max(begin, bound(node.integer("end", rank)));
        const Extents& extents = need(operands, 0).extents;
        return {tensor_of({extents.begin() + begin, extents.begin() + end})};
    }
    if (operation == "Size")
    {
        Tensor to = tensor_of({need(operands, 0).elements()});
        to.extents.clear();
        return {to};
    }
    if (operation == "Cast")
    {
        const Tensor& from = need(operands, 0);
        const std::int64_t type = node.integer("to", 1); // as TensorProto numbers them
        const bool real = type == 1 || type == 10 || type == 11 || type == 16;
        if (type == 8 || type == 14 || type == 15)
        {
            throw Unsupported("casts to text or complex numbers");
        }
        Tensor to = room(from.extents, real, from.known);
        for (std::size_t i = 0; to.known && i < static_cast<std::size_t>(from.elements()); ++i)
        {
            append(to, type == 9 ? (from.value(i) != 0 ? 1.0 : 0.0) : from.value(i));
        }
        if (to.known && real && !from.real && from.type.bits > 1 && from.type.bits <= 32)
        {
            to.integers = from.integers; // a DequantizeLinear written out begins so
            to.steps = {1.0F};
        }
        return {to};
    }
    if (operation == "ConstantOfShape" || operation == "Expand")
    {
        const bool fills = operation == "ConstantOfShape";
        Tensor value;
        value.extents = {1};
        value.reals = {0};
        if (const auto given = node.attributes.find("value");
            fills && given != node.attributes.end() && given->second.has_tensor)
        {
            value = given->second.tensor;
        }
        const Tensor& from = fills ? value : need(operands, 0);
        const Extents wanted = whole_numbers(need(operands, fills ? 0 : 1));
        (void)elements_of(wanted);
        const Extents extents = fills ? wanted : broadcast(from.extents, wanted);
        return {pick(from, extents,
                     fills ? Extents(extents.size(), 0) : broadcast_strides(from.extents, extents),
                     0)};
    }
    if (operation == "Reshape")
    {
        return {with_extents(reshape_extents(need(operands, 0).extents, need(operands, 1),
                                             node.integer("allowzero", 0) != 0))};
    }
    if (operation == "Flatten")
    {
        const Extents& from = need(operands, 0).extents;
        const std::int64_t axis = node.integer("axis", 1);
        const std::size_t at = axis == static_cast<std::int64_t>(from.size())
                                   ? from.size()
                                   : axis_of(axis, from.size());
        const auto middle = from.begin() + static_cast<std::ptrdiff_t>(at);
        return {
            with_extents({elements_of({from.begin(), middle}), elements_of({middle, from.end()})})};
    }
    if (operation == "Squeeze")
    {
        return {with_extents(squeeze_extents(node, operands))};
    }
    if (operation == "Unsqueeze")
    {
        return {with_extents(unsqueeze_extents(node, operands))};
    }
    if (operation == "Transpose")
    {
        const Tensor& from = need(operands, 0);
        const std::vector<std::size_t> axes = permutation_of(node, from.extents.size());
        const Extents own = strides_of(from.extents);
        Extents extents;
        Extents strides;
        for (const std::size_t axis : axes)
        {
            extents.push_back(from.extents[axis]);
            strides.push_back(own[axis]);
        }
        Tensor to = pick(from, extents, strides, 0);
        if (to.known && !from.steps.empty())
        {
            to.integers.clear();
            walk(extents, strides, 0,
                 [&](std::size_t source) { to.integers.push_back(from.integers[source]); });
            to.steps = from.steps;
            to.axis = static_cast<std::size_t>(std::find(axes.begin(), axes.end(), from.axis) -
                                               axes.begin());
        }
        return {std::move(to)};
    }
    if (operation == "Slice")
    {
        const Tensor& from = need(operands, 0);
        Extents extents = from.extents;
        Extents strides = strides_of(extents);
        std::int64_t start = 0;
        for (const Cut& cut : cuts_of(node, operands, from.extents))
        {
            start += cut.begin * strides[cut.axis];
            extents[cut.axis] = cut.count;
            strides[cut.axis] *= cut.step;
        }
        return {pick(from, extents, strides, start)};
    }
    if (operation == "Split")
    {
        const Tensor& from = need(operands, 0);
        const std::size_t axis = axis_of(node.integer("axis", 0), from.extents.size());
        const Extents strides = strides_of(from.extents);
        std::vector<Tensor> parts;
        std::int64_t begin = 0;
        for (const std::int64_t size : parts_of(node, operands, from.extents[axis]))
        {
            Extents extents = from.extents;
            extents[axis] = size;
            parts.push_back(pick(from, extents, strides, begin * strides[axis]));
            begin += size;
        }
        return parts;
    }
    if (operation == "Gather")
    {
        const Tensor& from = need(operands, 0);
        const Tensor& indices = need(operands, 1);
        const std::size_t axis = axis_of(node.integer("axis", 0), from.extents.size());
        const auto at = from.extents.begin() + static_cast<std::ptrdiff_t>(axis);
        const Extents outer(from.extents.begin(), at);
        const Extents inner(at + 1, from.extents.end());
        Extents extents = outer;
        extents.insert(extents.end(), indices.extents.begin(), indices.extents.end());
        extents.insert(extents.end(), inner.begin(), inner.end());
        Tensor to = room(extents, from.real, from.known && indices.known);
        if (to.known)
        {
            const std::int64_t block = elements_of(inner);
            for (std::int64_t o = 0; o < elements_of(outer); ++o)
            {
                for (const std::int64_t index : whole_numbers(indices))
                {
                    const std::int64_t row = index < 0 ? index + from.extents[axis] : index;
                    if (row < 0 || row >= from.extents[axis])
                    {
                        throw Unsupported("gathers element " + std::to_string(index) + " of " +
                                          std::to_string(from.extents[axis]));
                    }
                    for (std::int64_t i = 0; i < block; ++i)
                    {
                        copy(from,
                             static_cast<std::size_t>((o * from.extents[axis] + row) * block + i),
                             to);
                    }
                }
            }
        }
        return {to};
    }
    if (operation == "Concat")
    {
        const Tensor& first = need(operands, 0);
        const std::size_t axis = axis_of(node.integer("axis", 0), first.extents.size());
        Extents extents = first.extents;
        extents[axis] = 0;
        bool known = true;
        for (std::size_t k = 0; k < operands.size(); ++k)
        {
            const Tensor& part = need(operands, k);
            Extents rest = part.extents;
            if (rest.size() != extents.size() || part.real != first.real)
            {
                throw Unsupported("has operands that do not go together");
            }
            extents[axis] += rest[axis];
            rest[axis] = extents[axis];
            if (rest != extents)
            {
                throw Unsupported("has operands that do not go together");
            }
            known = known && part.known;
        }
        Tensor to = room(extents, first.real, known);
        const std::int64_t outer =
            elements_of({extents.begin(), extents.begin() + static_cast<std::ptrdiff_t>(axis)});
        for (std::int64_t o = 0; to.known && o < outer; ++o)
        {
            for (const Tensor* part : operands)
            {
                const std::int64_t block = part->elements() / std::max<std::int64_t>(outer, 1);
                for (std::int64_t i = 0; i < block; ++i)
                {
                    copy(*part, static_cast<std::size_t>(o * block + i), to);
                }
            }
        }
        return {to};
    }
    if (operation == "Tile")
    {
        const Tensor& from = need(operands, 0);
        const std::vector<std::int64_t> repeats = whole_numbers(need(operands, 1));
        if (repeats.size() != from.extents.size())
        {
            throw Unsupported("has a repeat for another number of axes");
        }
        Extents extents;
        for (std::size_t i = 0; i < repeats.size(); ++i)
        {
            // One by one: the product is checked before it can overflow.
            extents.push_back(from.extents[i]);
            extents.push_back(repeats[i]);
            (void)elements_of(extents);
        }
        // Each axis as [repeats, extent], the source standing still along the first.
        Extents own = strides_of(from.extents);
        Extents both;
        Extents strides;
        Extents merged;
        for (std::size_t i = 0; i < repeats.size(); ++i)
        {
            both.push_back(repeats[i]);
            both.push_back(from.extents[i]);
            strides.push_back(0);
            strides.push_back(own[i]);
            merged.push_back(repeats[i] * from.extents[i]);
        }
        Tensor to = pick(from, both, strides, 0);
        to.extents = merged;
        return {to};
    }
    if (operation == "Range")
    {
        for (std::size_t k = 0; k < 3; ++k)
        {
            if (!need(operands, k).known || need(operands, k).elements() != 1)
            {
                throw Unsupported("has bounds whose values are not in the file");
            }
        }
        const double start = operands[0]->value(0);
        const double step = operands[2]->value(0);
        const double count = std::ceil((operands[1]->value(0) - start) / step);
        if (!(count < static_cast<double>(left_)))
        {
            throw Unsupported("counts without an end");
        }
        Tensor to =
            room({static_cast<std::int64_t>(std::max(count, 0.0))}, operands[0]->real, true);
        for (std::int64_t i = 0; i < to.extents[0]; ++i)
        {
            append(to, start + static_cast<double>(i) * step);
        }
        return {to};
    }
    if (operation == "Where")
    {
        const Tensor& condition = need(operands, 0);
        const Tensor& yes = need(operands, 1);
        const Tensor& no = need(operands, 2);
        const Extents extents = broadcast(condition.extents, broadcast(yes.extents, no.extents));
        Tensor to = room(extents, yes.real || no.real, condition.known && yes.known && no.known);
        if (to.known)
        {
            const auto sources = [&](const Tensor& from)
            {
                std::vector<std::size_t> list;
                walk(extents, broadcast_strides(from.extents, extents), 0,
                     [&](std::size_t source) { list.push_back(source); });
                return list;
            };
            const auto a = sources(yes);
            const auto b = sources(no);
            const auto c = sources(condition);
            for (std::size_t i = 0; i < c.size(); ++i)
            {
                append(to, condition.value(c[i]) != 0 ? yes.value(a[i]) : no.value(b[i]));
            }
        }
        return {to};
    }
    // ReduceProd, ReduceSum, ReduceMax, ReduceMin
    const Tensor& from = need(operands, 0);
    const std::vector<std::int64_t> axes = axes_of(node, operands, 1);
    const bool keep = node.integer("keepdims", 1) != 0;
    std::vector<bool> reduced(from.extents.size(), axes.empty());
    for (const std::int64_t axis : axes)
    {
        reduced[axis_of(axis, from.extents.size())] = true;
    }
    const Extents own = strides_of(from.extents);
    Extents kept;
    Extents kept_strides;
    Extents inner;
    Extents inner_strides;
    Extents extents;
    for (std::size_t i = 0; i < from.extents.size(); ++i)
    {
        (reduced[i] ? inner : kept).push_back(from.extents[i]);
        (reduced[i] ? inner_strides : kept_strides).push_back(own[i]);
        if (!reduced[i] || keep)
        {
            extents.push_back(reduced[i] ? 1 : from.extents[i]);
        }
    }
    Tensor to = room(kept, from.real, from.known && elements_of(inner) != 0);
    if (to.known)
    {
        walk(kept, kept_strides, 0,
             [&](std::size_t start)
             {
                 bool first = true;
                 double value = 0;
                 walk(inner, inner_strides, static_cast<std::int64_t>(start),
                      [&](std::size_t source)
                      {
                          const double next = from.value(source);
                          value = first                       ? next
                                  : operation == "ReduceProd" ? value * next
                                  : operation == "ReduceSum"  ? value + next
                                  : operation == "ReduceMax"  ? std::max(value, next)
                                                              : std::min(value, next);
                          first = false;
                      });
                 append(to, value);
             });
    }
    to.extents = extents;
    return {to};
}

std::vector<std::size_t> permutation_of(const Node& node, std::size_t rank)
{
    const std::vector<std::int64_t>& wanted = node.integers("perm");
    std::vector<std::size_t> axes;
    std::vector<bool> seen(rank, false);
    for (std::size_t i = 0; i < rank; ++i)
    {
        const std::int64_t axis =
            i < wanted.size() ? wanted[i] : static_cast<std::int64_t>(rank - 1 - i);
        if ((!wanted.empty() && wanted.size() != rank) || axis < 0 ||
            axis >= static_cast<std::int64_t>(rank) || seen[static_cast<std::size_t>(axis)])
        {
            throw Unsupported("has a perm that is no order of " + std::to_string(rank) + " axes");
        }
        seen[static_cast<std::size_t>(axis)] = true;
        axes.push_back(static_cast<std::size_t>(axis));
    }
    return axes;
}

std::vector<Cut> cuts_of(const Node& node, const Operands& operands, const Extents& extents)
{
    const bool by_operands = operands.size() > 1;
    const auto list = [&](std::size_t operand, const char* key)
    {
        const Tensor* tensor = optional(operands, operand);
        return by_operands
                   ? (tensor != nullptr ? whole_numbers(*tensor) : std::vector<std::int64_t>())
                   : node.integers(key);
    };
    const std::vector<std::int64_t> starts = list(1, "starts");
    const std::vector<std::int64_t> ends = list(2, "ends");
    const std::vector<std::int64_t> axes = list(3, "axes");
    const std::vector<std::int64_t> steps = by_operands ? list(4, "") : std::vector<std::int64_t>();
    if (starts.empty() || starts.size() != ends.size() || starts.size() > extents.size() ||
        (!axes.empty() && axes.size() != starts.size()) ||
        (!steps.empty() && steps.size() != starts.size()))
    {
        throw Unsupported("has starts, ends, axes and steps that do not go together");
    }
    std::vector<Cut> cuts;
    std::vector<bool> seen(extents.size(), false);
    for (std::size_t i = 0; i < starts.size(); ++i)
    {
        Cut cut;
        cut.axis = axis_of(axes.empty() ? static_cast<std::int64_t>(i) : axes[i], extents.size());
        cut.step = steps.empty() ? 1 : steps[i];
        const std::int64_t extent = extents[cut.axis];
        if (cut.step == 0 || cut.step == std::numeric_limits<std::int64_t>::min() || seen[cut.axis])
        {
            throw Unsupported("has a step of 0, or cuts an axis twice");
        }
        seen[cut.axis] = true;
        const auto bound = [&](std::int64_t value, std::int64_t least, std::int64_t most)
        { return std::clamp(value < 0 ? value + extent : value, least, most); };
        if (cut.step > 0)
        {
            cut.begin = bound(starts[i], 0, extent);
            const std::int64_t end = bound(ends[i], 0, extent);
            cut.count = end > cut.begin ? (end - cut.begin - 1) / cut.step + 1 : 0;
        }
        else
        {
            cut.begin = bound(starts[i], 0, extent - 1);
            const std::int64_t end = bound(ends[i], -1, extent - 1);
            cut.count = end < cut.begin ? (cut.begin - end - 1) / -cut.step + 1 : 0;
        }
        cuts.push_back(cut);
    }
    return cuts;
}

std::vector<std::int64_t> parts_of(const Node& node, const Operands& operands, std::int64_t extent)
{
    const Tensor* sizes = optional(operands, 1);
    std::vector<std::int64_t> parts =
        sizes != nullptr ? whole_numbers(*sizes) : node.integers("split");
    const auto count = static_cast<std::int64_t>(node.outputs.size());
    const std::int64_t said = node.integer("num_outputs", count);
    if (said != count)
    {
        throw Unsupported("with num_outputs " + std::to_string(said) + " and " +
                          std::to_string(count) + " outputs");
    }
    if (parts.empty())
    {
        // Since opset 18, where num_outputs is given, the last part may be shorter.
        const bool uneven = node.attributes.count("num_outputs") != 0;
        if (count == 0 || (extent % count != 0 && !uneven))
        {
            throw Unsupported("splits " + std::to_string(extent) + " into " +
                              std::to_string(count) + " equal parts");
        }
        const std::int64_t part = (extent + count - 1) / count;
        parts.assign(node.outputs.size(), part);
        parts.back() = extent - part * (count - 1);
    }
    std::int64_t sum = 0;
    for (const std::int64_t part : parts)
    {
        sum = part < 0 || part > extent - sum ? extent + 1 : sum + part;
        if (sum > extent)
        {
            break;
        }
    }
    if (sum != extent || parts.size() != node.outputs.size())
    {
        throw Unsupported("has parts that do not make up " + std::to_string(extent));
    }
    return parts;
}

} // namespace tessera::network::onnx
