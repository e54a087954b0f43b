// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace tessera::network::onnx
{

using nlohmann::json;

namespace
{

constexpr double kSameCode = 1e-4; ///< scales and constants are numbers of single precision

} // namespace

View Importer::affine(View view, std::vector<double> scale, std::vector<double> shift, bool known,
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

View Importer::scaled(View view, double scale, double shift, const char* suffix)
{
    return affine(std::move(view), {scale}, {shift}, true, 0, suffix);
}

View Importer::shifted(View view, double shift, const char* suffix)
{
    const std::optional<OutputCodes> codes = codes_of(view.layer);
    const double steps = codes ? std::nearbyint(shift / codes->scale) : 0;
    const bool whole =
        codes && std::abs(steps) < 0x1p24 && std::abs(shift / codes->scale - steps) <= kSameCode;
    if (!whole)
    {
        return scaled(std::move(view), 1, shift, suffix);
    }
    const auto by = static_cast<std::int32_t>(steps);
    return coded_affine(std::move(view), 1, shift,
                        {codes->scale, codes->least + by, codes->most + by}, suffix);
}

View Importer::activated(View view, const std::string& function)
{
    return activated(std::move(view), function, default_slope(function));
}

View Importer::activated(View view, const std::string& function, double slope)
{
    view.layer = add("activation", "", {view.layer}, {{"function", function}});
    layer(view).slope = slope;
    return view;
}

View Importer::clipped(View view, double least, double most)
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

View Importer::normalised(View view, std::vector<std::size_t> axes, const Tensor* scale,
                          const Tensor* bias, double epsilon, bool centred)
{
    std::sort(axes.begin(), axes.end());
    view = with_channels(std::move(view), axes, false);
    const LayerId layer = add("layer_norm", "", {view.layer}, {{"centred", centred}});
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

void Importer::same(const Node& node)
{
    set(node, view(node, 0));
    if (node.outputs.size() > 1 && readers_.count(node.outputs[1]) != 0)
    {
        throw Unsupported("with a mask that is read");
    }
}

void Importer::cast(const Node& node)
{
    const std::int64_t type = node.integer("to", 1);
    if (type == 8 || type == 9)
    {
        throw Unsupported("to text or booleans");
    }
    const auto port = inputs_.find(node.inputs.at(0));
    const bool tokens = port != inputs_.end() && graph_.inputs[port->second].type.bits != 0;
    if (!is_real_type(type) && !tokens)
    {
        throw Unsupported("of reals to integers, which drops what is behind the point");
    }
    set(node, view(node, 0));
}

void Importer::dropout(const Node& node)
{
    const Tensor* training = constant(node, 2);
    if (has(node, 2) && (training == nullptr || !training->known || training->value(0) != 0))
    {
        throw Unsupported("while training; export the model in evaluation mode");
    }
    same(node);
}

void Importer::clip(const Node& node)
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
    if (only_quantised(node) != nullptr && !(least == 0 && (most == 6 || std::isinf(most))))
    {
        clips_[node.outputs[0]] = {least, most};
        set(node, view(node, 0));
        return;
    }
    set(node, clipped(view(node, 0), least, most));
}

void Importer::hard_sigmoid(const Node& node)
{
    const double alpha = node.real("alpha", 0.2);
    const double beta = node.real("beta", 0.5);
    if (only_quantised(node) != nullptr)
    {
        clips_[node.outputs[0]] = {0, 1};
        set(node, scaled(view(node, 0), alpha, beta, ""));
        return;
    }
    View at = scaled(view(node, 0), 6 * alpha, 6 * beta, ".scale");
    set(node, scaled(activated(at, "relu6"), 1.0 / 6, 0, ".back"));
}

void Importer::negate(const Node& node)
{
    set(node, scaled(view(node, 0), -1, 0, ""));
}

void Importer::relu(const Node& node)
{
    set(node, activated(view(node, 0), "relu"));
}

void Importer::unknown_function(const Node& /*node*/)
{
    throw Unsupported("outside an activation");
}

void Importer::batch_norm(const Node& node)
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
    set(node,
        affine(std::move(map), scale, shift, known, 2 * static_cast<std::uint64_t>(channels), ""));
}

void Importer::layer_normalization(const Node& node)
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
    set(node,
        normalised(from, axes, &scale, has(node, 2) ? &bias : nullptr, node.real("epsilon", 1e-5)));
}

void Importer::softmax(const Node& node)
{
    constexpr std::int64_t kOneAxis = 13; // before, all axes from `axis` on
    View from = view(node, 0);
    // (QLinearSoftmax says itself which one it is of.)
    const bool one = node.integer("opset", graph_.opset) >= kOneAxis;
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

void Importer::power(const Node& node)
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

} // namespace tessera::network::onnx
