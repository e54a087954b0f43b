// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include "base/nearest.h"

#include <cmath>
#include <limits>
#include <utility>

namespace tessera::network::onnx
{

using nlohmann::json;

void Importer::gelu(const Node& node)
{
    const std::string how = node.text("approximate", "none");
    if (how != "none" && how != "tanh")
    {
        throw Unsupported("with approximate " + in_quotes(how));
    }
    set(node, activated(view(node, 0), how == "tanh" ? "gelu_tanh" : "gelu"));
}

void Importer::swish(const Node& node)
{
    set(node, activated(view(node, 0), "silu", node.real("alpha", 1)));
}

void Importer::elu(const Node& node)
{
    set(node, activated(view(node, 0), "elu", node.real("alpha", 1)));
}

void Importer::celu(const Node& node)
{
    // alpha elu(x / alpha)
    const double alpha = node.real("alpha", 1);
    if (!(alpha > 0))
    {
        throw Unsupported("with an alpha that is not above 0");
    }
    View at = view(node, 0);
    at = alpha == 1 ? at : scaled(std::move(at), 1 / alpha, 0, ".scale");
    at = activated(std::move(at), "elu");
    set(node, alpha == 1 ? at : scaled(std::move(at), alpha, 0, ".back"));
}

void Importer::selu(const Node& node)
{
    constexpr float kAlpha = 1.67326319217681884765625F;
    constexpr float kGamma = 1.05070102214813232421875F;
    const double alpha = node.real("alpha", static_cast<double>(kAlpha));
    const double gamma = node.real("gamma", static_cast<double>(kGamma));
    if (static_cast<float>(alpha) == kAlpha && static_cast<float>(gamma) == kGamma)
    {
        set(node, activated(view(node, 0), "selu"));
        return;
    }
    set(node, scaled(activated(view(node, 0), "elu", alpha), gamma, 0, ".scale"));
}

void Importer::prelu(const Node& node)
{
    constexpr std::int64_t kBroadcasts = 7; // before, a list is one of channels
    Tensor slopes = parameter(node, 1);
    View at = view(node, 0);
    if (graph_.opset < kBroadcasts && slopes.extents.size() == 1 && at.rank() > 2)
    {
        slopes.extents.resize(at.rank() - 1, 1);
    }
    if (broadcast(at.extents(), slopes.extents) != at.extents())
    {
        throw Unsupported("with slopes for other extents");
    }
    const std::size_t before = at.rank() - slopes.extents.size();
    std::vector<std::size_t> axes;
    for (std::size_t i = 0; i < slopes.extents.size(); ++i)
    {
        if (slopes.extents[i] != 1)
        {
            axes.push_back(before + i);
        }
    }
    if (axes.size() > 1)
    {
        throw Unsupported("with slopes for more than one axis; export it with one a channel");
    }
    if (axes.empty() && slopes.known)
    {
        at = activated(std::move(at), "leaky_relu", slopes.value(0));
        layer(at).parameters = 1;
        set(node, std::move(at));
        return;
    }
    at = axes.empty() ? at : with_channels(std::move(at), axes, true);
    at = activated(std::move(at), "prelu");
    layer(at).parameters = static_cast<std::uint64_t>(slopes.elements());
    if (slopes.known)
    {
        Weights& w = weights(at.layer);
        w.known = true;
        for (std::size_t c = 0; c < layer(at).output.channels; ++c)
        {
            w.scale.push_back(static_cast<float>(slopes.value(c)));
        }
    }
    set(node, std::move(at));
}

void Importer::bipolar(const Node& node)
{
    const Tensor& scale = needed_constant(node, 1);
    set(node, activated(view(node, 0), "sign", scale.known ? scale.value(0) : 1));
}

void Importer::extremum(const Node& node)
{
    const bool greater = node.operation == "Max";
    std::optional<View> at;
    for (std::size_t slot = 0; slot < node.inputs.size(); ++slot)
    {
        if (constant(node, slot) == nullptr)
        {
            if (at)
            {
                throw Unsupported("of two computed tensors");
            }
            at = view(node, slot);
        }
    }
    if (!at)
    {
        throw Unsupported("without a computed operand");
    }
    for (std::size_t slot = 0; slot < node.inputs.size(); ++slot)
    {
        if (const Tensor* bound = constant(node, slot))
        {
            at = limited_by(std::move(*at), *bound, greater);
        }
    }
    set(node, std::move(*at));
}

View Importer::limited_by(View view, const Tensor& bound, bool greater)
{
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (broadcast(view.extents(), bound.extents) != view.extents())
    {
        throw Unsupported("that repeats a computed operand");
    }
    if (bound.elements() == 1)
    {
        if (!bound.known)
        {
            throw Unsupported("with bounds whose values are not in the file");
        }
        return greater ? clipped(std::move(view), bound.value(0), kInfinity)
                       : clipped(std::move(view), -kInfinity, bound.value(0));
    }
    const std::size_t before = view.rank() - bound.extents.size();
    std::vector<std::size_t> axes;
    for (std::size_t i = 0; i < bound.extents.size(); ++i)
    {
        if (bound.extents[i] != 1)
        {
            axes.push_back(before + i);
        }
    }
    if (axes.size() > 1)
    {
        throw Unsupported("with a constant for every element");
    }
    // max(x, c) = c + relu(x - c), min(x, c) = c - relu(c - x)
    view = with_channels(std::move(view), axes, true);
    const auto channels = static_cast<std::size_t>(view.extent(axes[0]));
    const double sign = greater ? 1 : -1;
    std::vector<double> shift;
    std::vector<double> back;
    for (std::size_t c = 0; bound.known && c < channels; ++c)
    {
        shift.push_back(-sign * bound.value(c));
        back.push_back(bound.value(c));
    }
    const std::vector<double> scale(channels, sign);
    view = affine(std::move(view), scale, shift, bound.known, channels, ".shift");
    view = activated(std::move(view), "relu");
    return affine(std::move(view), scale, back, bound.known, 0, ".back");
}

void Importer::rms_normalization(const Node& node)
{
    const View from = view(node, 0);
    for (std::size_t k = 1; k < node.outputs.size(); ++k)
    {
        if (readers_.count(node.outputs[k]) != 0 || outside_.count(node.outputs[k]) != 0)
        {
            throw Unsupported("with a deviation that is read");
        }
    }
    std::vector<std::size_t> axes;
    for (std::size_t axis = axis_of(node.integer("axis", -1), from.rank()); axis < from.rank();
         ++axis)
    {
        axes.push_back(axis);
    }
    const Tensor scale = parameter(node, 1);
    set(node, normalised(from, axes, &scale, nullptr, node.real("epsilon", 1e-5), false));
}

} // namespace tessera::network::onnx
