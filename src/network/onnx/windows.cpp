// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include "base/nearest.h"
#include "network/shapes.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace tessera::network::onnx
{

using nlohmann::json;

json Importer::window(const Node& node, const View& map, const std::vector<std::int64_t>& kernel,
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
        return checked(given.empty() ? std::vector<std::int64_t>(count, otherwise) : given, count,
                       otherwise == 0 ? 0 : 1, key);
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

void Importer::conv(const Node& node)
{
    const View map = feature_map(view(node, 0));
    const Tensor kernel = parameter(node, 1);
    if (kernel.extents.size() != map.rank())
    {
        throw Unsupported("with a kernel of " + std::to_string(kernel.extents.size()) + " axes");
    }
    const std::int64_t channels = kernel.extents[0];
    const std::int64_t groups = node.integer("group", 1);
    const std::vector<std::int64_t> sizes(kernel.extents.begin() + 2, kernel.extents.end());
    const std::vector<std::int64_t>& said = node.integers("kernel_shape");
    if (!said.empty() && said != sizes)
    {
        throw Unsupported("with a kernel_shape of " + text_of(said) + " and weights for " +
                          text_of(sizes) + "; leave the attribute out or make them agree");
    }
    json keys = window(node, map, sizes, true);
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
    set(node, map_of(convolved(map, kernel, biased ? &bias : nullptr, groups, std::move(keys)),
                     map.rank()));
}

LayerId Importer::convolved(const View& map, const Tensor& kernel, const Tensor* bias,
                            std::int64_t groups, json keys)
{
    const std::int64_t channels = kernel.extents[0];
    keys["channels"] = channels;
    keys["groups"] = groups;
    keys["bias"] = bias != nullptr;
    const LayerId layer = add("conv2d", "", {map.layer}, std::move(keys));
    const Layer& made = result_.network[layer];
    if (kernel.extents[1] * groups != map.extent(1))
    {
        throw Unsupported("with weights for " + std::to_string(kernel.extents[1]) +
                          " channels a group and an input of " + std::to_string(map.extent(1)));
    }
    const std::size_t inner = static_cast<std::size_t>(kernel.extents[1]);
    const std::size_t positions = std::size_t{made.kernel_height} * made.kernel_width;
    if (kernel.known && kernel.real && (bias == nullptr || (bias->known && bias->real)))
    {
        Weights& w = weights(layer);
        w.known = true;
        w.rows = positions * inner;
        w.columns = static_cast<std::size_t>(channels);
        const auto arrange = [&](const auto& from, auto& into)
        {
            into.resize(w.rows * w.columns);
            std::size_t next = 0; // in the order of the file: output, input, ky, kx
            for (std::size_t column = 0; column < w.columns; ++column)
            {
                for (std::size_t c = 0; c < inner; ++c)
                {
                    for (std::size_t position = 0; position < positions; ++position)
                    {
                        into[(position * inner + c) * w.columns + column] =
                            static_cast<std::decay_t<decltype(into[0])>>(from[next++]);
                    }
                }
            }
        };
        arrange(kernel.reals, w.matrix);
        w.codes.problem_of_weights = kernel.lost_codes;
        w.bias = bias != nullptr ? bias->reals : std::vector<float>();
        if (!kernel.steps.empty())
        {
            arrange(kernel.integers, w.codes.matrix);
            take_steps(kernel, 0, bias, w);
        }
    }
    return layer;
}

namespace
{

/// The padding that is made a part of the map for a pool that counts it and rounds up: without the
/// elements behind in which a window would begin, as none may begin in the padding behind.
json counted_padding(const Shape& map, const json& keys)
{
    json padding = keys["padding"];
    const auto trim =
        [&](std::uint32_t extent, std::size_t axis, std::size_t before, std::size_t after)
    {
        Window rule;
        rule.kernel = keys["kernel"][axis].get<std::uint64_t>();
        rule.stride = keys["stride"][axis].get<std::uint64_t>();
        rule.before = padding[before].get<std::uint64_t>();
        rule.after = padding[after].get<std::uint64_t>();
        const std::uint64_t windows = rule.count(extent, true);
        const std::uint64_t inside = extent + rule.before;
        const Window whole{rule.kernel, rule.stride, 1, 0, 0};
        if (windows != 0 && whole.count(inside + rule.after, true) != windows)
        {
            const std::uint64_t covered = (windows - 1) * rule.stride + rule.kernel;
            padding[after] = covered > inside ? covered - inside : 0;
        }
    };
    trim(map.height, 0, 0, 1);
    trim(map.width, 1, 2, 3);
    return padding;
}

} // namespace

void Importer::pool(const Node& node)
{
    const bool is_max = node.operation == "MaxPool";
    if (node.outputs.size() > 1 &&
        (readers_.count(node.outputs[1]) != 0 || outside_.count(node.outputs[1]) != 0))
    {
        throw Unsupported("with indices");
    }
    View map = feature_map(view(node, 0));
    json keys = window(node, map, node.integers("kernel_shape"), is_max);
    const bool ceil = node.integer("ceil_mode", 0) != 0;
    keys["ceil_mode"] = ceil;
    const bool padded = keys["padding"] != json{0, 0, 0, 0};
    if (!is_max && padded && node.integer("count_include_pad", 0) != 0)
    {
        map.layer = add("pad", ".pad", {map.layer},
                        {{"padding", ceil ? counted_padding(result_.network[map.layer].output, keys)
                                          : keys["padding"]}});
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

void Importer::global_pool(const Node& node)
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

void Importer::reduce_mean(const Node& node)
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
    reduce(node, from, given.empty() ? up_to(from.rank()) : axes, node.integer("keepdims", 1) != 0,
           node.operation == "ReduceMax");
}

void Importer::reduce(const Node& node, View from, std::vector<std::size_t> axes, bool keep,
                      bool is_max)
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

void Importer::pad(const Node& node)
{
    double value = node.real("value", 0);
    if (has(node, 2))
    {
        const Tensor& tensor = needed_constant(node, 2);
        if (!tensor.known || tensor.elements() != 1)
        {
            throw Unsupported("with a value that is not in the file");
        }
        value = tensor.value(0);
    }
    set(node, padded(node, value));
}

View Importer::rounded_before(const Node& node, double& value)
{
    View at = view(node, 0);
    const Node* by = value == 0 ? nullptr : only_quantised(node);
    if (by == nullptr)
    {
        return at;
    }
    const Coding coding =
        coding_of(*by, coding_operands(*by), at.extents(), std::nullopt, graph_.file);
    if (coding.per_axis || coding.scale.empty())
    {
        return at;
    }
    const OutputCodes codes = coding.codes();
    value =
        codes.scale * std::clamp(std::nearbyint(value / codes.scale),
                                 static_cast<double>(codes.least), static_cast<double>(codes.most));
    return rounded(std::move(at), codes, *by);
}

View Importer::padded(const Node& node, double value)
{
    const std::string mode = node.text("mode", "constant");
    if (mode != "constant")
    {
        throw Unsupported("with mode " + mode);
    }
    if (!std::isfinite(value))
    {
        throw Unsupported("with what is not finite");
    }
    View at = reads_codes(node) ? view(node, 0) : rounded_before(node, value);
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
        return at;
    }
    if (rank < 3 || rank > 4 || pads[0] != 0 || pads[1] != 0 || pads[rank] != 0 ||
        pads[rank + 1] != 0)
    {
        throw Unsupported("of other axes than height and width");
    }
    at = feature_map(std::move(at));
    const bool both = rank == 4;
    // Layers pad with zeros: x - value is padded, and value added again.
    const std::optional<OutputCodes> codes = codes_of(at.layer);
    const bool shifts = value != 0;
    if (shifts)
    {
        at = shifted(std::move(at), -value, ".shift");
    }
    const LayerId layer = add(
        "pad", "", {at.layer},
        {{"padding", {pads[2], pads[rank + 2], both ? pads[3] : 0, both ? pads[rank + 3] : 0}}});
    at = map_of(layer, rank);
    if (shifts)
    {
        at = shifted(std::move(at), value, ".back");
        if (codes && codes_of(at.layer))
        {
            const auto code = static_cast<std::int32_t>(std::nearbyint(value / codes->scale));
            set_codes(at.layer,
                      {codes->scale, std::min(codes->least, code), std::max(codes->most, code)});
        }
    }
    return at;
}

void Importer::resize(const Node& node)
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
    const std::string place = node.text("coordinate_transformation_mode",
                                        upsample || scales_at == 1 ? "asymmetric" : "half_pixel");
    const std::string nearest =
        node.text("nearest_mode", upsample || scales_at == 1 ? "floor" : "round_prefer_floor");
    const bool halves = (place == "half_pixel" || place == "pytorch_half_pixel") &&
                        (nearest == "round_prefer_floor" || nearest == "round_prefer_ceil");
    const bool corners = place == "asymmetric" &&
                         (nearest == "floor" || (nearest == "round_prefer_floor" && scale <= 2));
    if (!halves && !corners && scale != 1)
    {
        throw Unsupported("with coordinates " + in_quotes(place) + " and " + in_quotes(nearest));
    }
    set(node,
        map_of(add("upsample", "", {map.layer}, {{"scale", static_cast<std::uint32_t>(scale)}}),
               map.rank()));
}

} // namespace tessera::network::onnx
