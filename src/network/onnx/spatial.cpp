// SPDX-License-Identifier: Apache-2.0
#include "network/onnx/importer.h"

#include "base/nearest.h"
#include "network/shapes.h"

#include <algorithm>
#include <array>
#include <utility>

namespace tessera::network::onnx
{

using nlohmann::json;

namespace
{

/// One axis of a ConvTranspose: element i of the input and tap k of the kernel add to element
/// i x stride + k x dilation - before of the output.
struct Spread
{
    std::int64_t input = 1, kernel = 1, stride = 1, dilation = 1, more = 0; ///< output_padding
    std::int64_t before = 0, after = 0; ///< pads; below 0: elements that are made of nothing

    /// Of the output without pads.
    [[nodiscard]] std::int64_t whole() const
    {
        return stride * (input - 1) + more + dilation * (kernel - 1) + 1;
    }
    [[nodiscard]] std::int64_t output() const { return whole() - before - after; }
    /// Pads so that the output has this extent. What the kernel does not reach is at the end.
    void pad_to(std::int64_t extent, bool more_after)
    {
        const std::int64_t total = whole() - extent;
        if (total < 0)
        {
            before = 0;
            after = total;
            return;
        }
        before = more_after ? total / 2 : total - total / 2;
        after = total - before;
    }
};

std::int64_t floor_div(std::int64_t a, std::int64_t b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

/// A Spread as a window that slides over the input: output element q x stride + r, of phase r, is
/// the sum over taps j of input element q + first + j times kernel element at(j, r).
struct Phases
{
    explicit Phases(const Spread& from) : spread(from)
    {
        // Tap k belongs to the phase r and the offset o with k x dilation = r + before - o x
        // stride.
        const std::int64_t last_tap = from.dilation * (from.kernel - 1);
        first = std::min<std::int64_t>(0, -floor_div(last_tap - from.before, from.stride));
        const std::int64_t end = floor_div(from.stride - 1 + from.before, from.stride);
        count = (from.output() - 1) / from.stride + 1;
        // Elements at the end of the input may be what nothing in the output is made of.
        taps = std::max({end - first, from.input - count - first, std::int64_t{0}}) + 1;
    }
    [[nodiscard]] std::int64_t padding_before() const { return -first; }
    [[nodiscard]] std::int64_t padding_after() const
    {
        return count - 1 + first + taps - spread.input;
    }
    /// -1: there is none.
    [[nodiscard]] std::int64_t at(std::int64_t tap, std::int64_t phase) const
    {
        const std::int64_t place = phase + spread.before - (first + tap) * spread.stride;
        const bool there =
            place >= 0 && place % spread.dilation == 0 && place / spread.dilation < spread.kernel;
        return there ? place / spread.dilation : -1;
    }

    Spread spread;
    std::int64_t first = 0; ///< at most 0
    std::int64_t taps = 1;
    std::int64_t count = 1; ///< of windows
};

/// The two axes of a map; those of a one-dimensional one are height and nothing.
using Axes = std::array<Phases, 2>;

/// Visits the weights of the convolution in the order of a Conv: (group, phases, channel), input,
/// taps. visit(position in the ConvTranspose's weights, or -1 for a zero).
template <class Visit>
void each_weight(const Extents& kernel, std::int64_t groups, const Axes& axes, Visit visit)
{
    const Phases& rows = axes[0];
    const Phases& columns = axes[1];
    const std::int64_t inner = kernel[0] / groups;
    const std::int64_t outer = kernel[1];
    for (std::int64_t group = 0; group < groups; ++group)
    {
        for (std::int64_t phase = 0; phase < rows.spread.stride * columns.spread.stride; ++phase)
        {
            const std::int64_t down = phase / columns.spread.stride;
            const std::int64_t right = phase % columns.spread.stride;
            for (std::int64_t channel = 0; channel < outer; ++channel)
            {
                for (std::int64_t from = group * inner; from < (group + 1) * inner; ++from)
                {
                    for (std::int64_t tap = 0; tap < rows.taps * columns.taps; ++tap)
                    {
                        const std::int64_t y = rows.at(tap / columns.taps, down);
                        const std::int64_t x = columns.at(tap % columns.taps, right);
                        const std::int64_t filter = from * outer + channel;
                        visit(y < 0 || x < 0
                                  ? std::int64_t{-1}
                                  : (filter * rows.spread.kernel + y) * columns.spread.kernel + x);
                    }
                }
            }
        }
    }
}

/// Values of a ConvTranspose's output channels, once for each phase. `values` has those of all
/// groups, or of one.
template <class T>
std::vector<T> for_phases(const std::vector<T>& values, std::int64_t groups, std::int64_t outer,
                          const Axes& axes)
{
    std::vector<T> result;
    for (std::int64_t group = 0; group < groups; ++group)
    {
        for (std::int64_t phase = 0; phase < axes[0].spread.stride * axes[1].spread.stride; ++phase)
        {
            for (std::int64_t channel = 0; channel < outer; ++channel)
            {
                result.push_back(
                    values[static_cast<std::size_t>(group * outer + channel) % values.size()]);
            }
        }
    }
    return result;
}

/// The weights of a Conv that makes all phases of a ConvTranspose as channels of their own.
Tensor convolution_kernel(const Tensor& from, std::int64_t groups, const Axes& axes)
{
    Tensor to;
    const std::int64_t phases = axes[0].spread.stride * axes[1].spread.stride;
    to.extents = {groups * phases * from.extents[1], from.extents[0] / groups, axes[0].taps,
                  axes[1].taps};
    to.real = from.real;
    to.known = from.known;
    to.type = from.type;
    if (!from.known || !from.real)
    {
        return to;
    }
    each_weight(from.extents, groups, axes,
                [&](std::int64_t place)
                {
                    to.reals.push_back(place < 0 ? 0 : from.reals[static_cast<std::size_t>(place)]);
                    if (!from.steps.empty())
                    {
                        to.integers.push_back(
                            place < 0 ? 0 : from.integers[static_cast<std::size_t>(place)]);
                    }
                });
    // The first two axes change places.
    const bool per_output = from.steps.size() > 1 && from.axis == 1;
    to.steps = per_output ? for_phases(from.steps, groups, from.extents[1], axes) : from.steps;
    to.axis = from.axis == 0 ? 1 : (from.axis == 1 ? 0 : from.axis);
    return to;
}

Tensor bias_of_phases(const Tensor& from, std::int64_t groups, std::int64_t outer, const Axes& axes)
{
    Tensor to = from;
    if (!from.known || !from.real)
    {
        return to;
    }
    to.reals = for_phases(from.reals, groups, outer, axes);
    to.extents = {static_cast<std::int64_t>(to.reals.size())};
    if (!from.steps.empty())
    {
        to.integers = for_phases(from.integers, groups, outer, axes);
        to.steps =
            from.steps.size() == 1 ? from.steps : for_phases(from.steps, groups, outer, axes);
    }
    return to;
}

/// A list of one number an axis, `otherwise` where there is none. Throws Unsupported unless each is
/// from `least` to 65536.
std::vector<std::int64_t> numbers(const Node& node, const char* key, std::size_t count,
                                  std::int64_t otherwise, std::int64_t least)
{
    std::vector<std::int64_t> list = node.integers(key);
    if (list.empty())
    {
        list.assign(count, otherwise);
    }
    if (list.size() != count ||
        std::any_of(list.begin(), list.end(),
                    [&](std::int64_t value) { return value < least || value > kMaxExtent; }))
    {
        throw Unsupported("with " + std::string(key) + " that are no " + std::to_string(count) +
                          " numbers from " + std::to_string(least) + " to 65536");
    }
    return list;
}

/// Attributes of a ConvTranspose for the axes of a map.
Axes axes_of(const Node& node, const View& map, const Tensor& kernel)
{
    const std::size_t count = map.rank() - 2;
    const auto strides = numbers(node, "strides", count, 1, 1);
    const auto dilations = numbers(node, "dilations", count, 1, 1);
    const auto more = numbers(node, "output_padding", count, 0, 0);
    const auto pads = numbers(node, "pads", 2 * count, 0, 0);
    const std::string automatic = node.text("auto_pad", "NOTSET");
    const bool same = automatic == "SAME_UPPER" || automatic == "SAME_LOWER";
    if (!same && automatic != "NOTSET" && automatic != "VALID")
    {
        throw Unsupported("with auto_pad " + in_quotes(automatic));
    }
    const std::vector<std::int64_t> wanted = node.integers("output_shape").empty()
                                                 ? std::vector<std::int64_t>()
                                                 : numbers(node, "output_shape", count, 1, 1);
    std::array<Spread, 2> spreads;
    for (std::size_t i = 0; i < count; ++i)
    {
        Spread& its = spreads[i];
        its.input = map.extent(2 + i);
        its.kernel = kernel.extents[2 + i];
        its.stride = strides[i];
        its.dilation = dilations[i];
        its.more = more[i];
        if (!wanted.empty() || same)
        {
            its.pad_to(wanted.empty() ? its.input * its.stride : wanted[i],
                       automatic == "SAME_UPPER");
        }
        else if (automatic == "NOTSET")
        {
            its.before = pads[i];
            its.after = pads[count + i];
        }
        if (its.kernel < 1 || its.kernel > kMaxExtent || its.output() < 1 ||
            its.output() > kMaxExtent)
        {
            throw Unsupported("with an output of " + std::to_string(its.output()) +
                              " rows or columns");
        }
    }
    return {Phases(spreads[0]), Phases(spreads[1])};
}

/// Joins axes of a view: result axis i is made of those at parts[i], major to minor.
View joined_axes(View view, const std::vector<std::vector<std::size_t>>& parts)
{
    std::vector<Factors> axes;
    for (const std::vector<std::size_t>& part : parts)
    {
        Factors factors;
        for (const std::size_t axis : part)
        {
            factors.insert(factors.end(), view.axes[axis].begin(), view.axes[axis].end());
        }
        axes.push_back(std::move(factors));
    }
    view.axes = std::move(axes);
    return view;
}

/// Throws Unsupported unless the convolution has few enough channels and weights.
void check_size(const Tensor& kernel, std::int64_t groups, const Axes& axes)
{
    constexpr std::uint64_t kMost = std::uint64_t{1} << 28;
    const auto factor = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
    const std::uint64_t channels =
        product({factor(groups), factor(axes[0].spread.stride), factor(axes[1].spread.stride),
                 factor(kernel.extents[1])},
                kMaxExtent);
    if (channels > kMaxExtent || product({channels, factor(kernel.extents[0] / groups),
                                          factor(axes[0].taps), factor(axes[1].taps)},
                                         kMost) > kMost)
    {
        throw Unsupported("with strides or pads whose convolution has more than 65536 channels or "
                          "2^28 weights");
    }
}

std::int64_t block_of(const Node& node, const View& map)
{
    const std::int64_t block = node.integer("blocksize", 0);
    if (map.rank() != 4)
    {
        throw Unsupported("of " + std::to_string(map.rank()) + " axes");
    }
    if (block < 1 || block > kMaxExtent)
    {
        throw Unsupported("with a blocksize of " + std::to_string(block));
    }
    return block;
}

} // namespace

void Importer::depth_to_space(const Node& node)
{
    const View from = view(node, 0);
    const std::int64_t block = block_of(node, from);
    const std::string mode = node.text("mode", "DCR");
    if (mode != "DCR" && mode != "CRD")
    {
        throw Unsupported("with mode " + in_quotes(mode));
    }
    const Extents extents = from.extents();
    if (extents[1] % (block * block) != 0)
    {
        throw Unsupported("of " + std::to_string(extents[1]) + " channels in blocks of " +
                          std::to_string(block));
    }
    const std::int64_t depth = extents[1] / (block * block);
    const bool depth_first = mode == "CRD";
    const Extents apart = depth_first
                              ? Extents{extents[0], depth, block, block, extents[2], extents[3]}
                              : Extents{extents[0], block, block, depth, extents[2], extents[3]};
    const auto cut = reshaped(from, apart);
    set(node,
        joined_axes(cut ? *cut : laid_out_anew(from, apart),
                    depth_first ? std::vector<std::vector<std::size_t>>{{0}, {1}, {4, 2}, {5, 3}}
                                : std::vector<std::vector<std::size_t>>{{0}, {3}, {4, 1}, {5, 2}}));
}

void Importer::space_to_depth(const Node& node)
{
    const View from = view(node, 0);
    const std::int64_t block = block_of(node, from);
    const Extents extents = from.extents();
    if (extents[2] % block != 0 || extents[3] % block != 0)
    {
        throw Unsupported("of " + std::to_string(extents[2]) + " x " + std::to_string(extents[3]) +
                          " positions in blocks of " + std::to_string(block));
    }
    const Extents apart{extents[0], extents[1],         extents[2] / block,
                        block,      extents[3] / block, block};
    const auto cut = reshaped(from, apart);
    set(node, joined_axes(cut ? *cut : laid_out_anew(from, apart), {{0}, {3, 5, 1}, {2}, {4}}));
}

void Importer::conv_transpose(const Node& node)
{
    const View map = feature_map(view(node, 0));
    const Tensor kernel = parameter(node, 1);
    if (kernel.extents.size() != map.rank())
    {
        throw Unsupported("with a kernel of " + std::to_string(kernel.extents.size()) + " axes");
    }
    const std::int64_t groups = node.integer("group", 1);
    if (groups < 1 || kernel.extents[0] != map.extent(1) || kernel.extents[0] % groups != 0)
    {
        throw Unsupported("with weights for " + std::to_string(kernel.extents[0]) +
                          " channels in " + std::to_string(groups) + " groups and an input of " +
                          std::to_string(map.extent(1)));
    }
    const std::int64_t outer = kernel.extents[1];
    const Axes axes = axes_of(node, map, kernel);
    check_size(kernel, groups, axes);
    Tensor bias;
    const bool biased = has(node, 2);
    if (biased)
    {
        bias = parameter(node, 2);
        if (bias.elements() != groups * outer)
        {
            throw Unsupported("with a bias of another size");
        }
        bias = bias_of_phases(bias, groups, outer, axes);
    }
    const std::uint64_t parameters =
        static_cast<std::uint64_t>(kernel.elements()) +
        (biased ? static_cast<std::uint64_t>(groups * outer) : std::uint64_t{0});
    const LayerId layer =
        convolved(map, convolution_kernel(kernel, groups, axes), biased ? &bias : nullptr, groups,
                  {{"kernel", {axes[0].taps, axes[1].taps}},
                   {"stride", {1, 1}},
                   {"dilation", {1, 1}},
                   {"padding",
                    {axes[0].padding_before(), axes[0].padding_after(), axes[1].padding_before(),
                     axes[1].padding_after()}}});
    result_.network.layers[layer.index()].parameters = parameters; // none of the zeros
    // Height, width; in the channels groups, phases, channels of a group.
    View made = make_view({axes[0].count, axes[1].count, groups, axes[0].spread.stride,
                           axes[1].spread.stride, outer, 1},
                          {0}, {1}, {2, 3, 4, 5});
    made.layer = layer;
    made = map.rank() == 4 ? joined_axes(std::move(made), {{6}, {2, 5}, {0, 3}, {1, 4}})
                           : joined_axes(std::move(made), {{6}, {2, 5}, {0, 3}});
    for (std::size_t i = 0; i + 2 < map.rank(); ++i)
    {
        made = cut(std::move(made), 2 + i, 0, axes[i].spread.output());
    }
    set(node, std::move(made));
}

} // namespace tessera::network::onnx
