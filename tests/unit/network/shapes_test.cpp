// SPDX-License-Identifier: Apache-2.0
// Inferred shapes and costs: windows by enumeration, kinds by hand, whole graphs at random.
#include "network/shapes.h"

#include "network/network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>

namespace tessera::network
{
namespace
{

/// Windows counted one by one: the last element of each must lie in the padded map; with `ceil`
/// its first one must lie in the map or the padding before it.
std::uint64_t windows_one_by_one(const Window& window, std::uint64_t extent, bool ceil)
{
    const std::uint64_t padded = extent + window.before + window.after;
    std::uint64_t count = 0;
    for (std::uint64_t first = 0;; first += window.stride)
    {
        const bool complete = first + window.span() <= padded;
        // One window may be cut off, and only if the one before it left something.
        const bool cut_off = ceil && count > 0 && !complete && first < extent + window.before &&
                             first - window.stride + window.span() < padded;
        if (!complete && !cut_off)
        {
            return count;
        }
        ++count;
        if (cut_off)
        {
            return count;
        }
    }
}

TEST(Windows, AgreeWithCountingThemOneByOne)
{
    std::size_t cases = 0;
    for (std::uint64_t extent = 1; extent <= 12; ++extent)
    {
        for (std::uint64_t kernel = 1; kernel <= 5; ++kernel)
        {
            for (std::uint64_t stride = 1; stride <= 6; ++stride)
            {
                for (std::uint64_t dilation = 1; dilation <= 3; ++dilation)
                {
                    for (std::uint64_t before = 0; before <= 3; ++before)
                    {
                        for (std::uint64_t after = 0; after <= 3; ++after)
                        {
                            const Window w{kernel, stride, dilation, before, after};
                            for (const bool ceil : {false, true})
                            {
                                ASSERT_EQ(w.count(extent, ceil),
                                          windows_one_by_one(w, extent, ceil))
                                    << extent << ' ' << kernel << ' ' << stride << ' ' << dilation
                                    << ' ' << before << ' ' << after << ' ' << ceil;
                                ++cases;
                            }
                        }
                    }
                }
            }
        }
    }
    EXPECT_EQ(cases, 12U * 5 * 6 * 3 * 4 * 4 * 2);
}

TEST(Windows, FitAtTheEdgeAndNotBeyond)
{
    EXPECT_EQ((Window{5, 1, 1, 0, 0}.count(5, false)), 1U);
    EXPECT_EQ((Window{5, 1, 1, 0, 0}.count(4, false)), 0U);
    EXPECT_EQ((Window{5, 1, 1, 0, 1}.count(4, false)), 1U);
    EXPECT_EQ((Window{3, 1, 2, 0, 0}.count(5, false)), 1U);
    EXPECT_EQ((Window{3, 1, 2, 0, 0}.count(4, false)), 0U);
    // PyTorch's example of the difference: 3x3/2 on 112 gives 55, with ceil_mode 56.
    EXPECT_EQ((Window{3, 2, 1, 0, 0}.count(112, false)), 55U);
    EXPECT_EQ((Window{3, 2, 1, 0, 0}.count(112, true)), 56U);
    // A window that would begin in the padding after the map is not taken.
    EXPECT_EQ((Window{2, 2, 1, 1, 1}.count(3, true)), 2U);
}

TEST(Windows, SamePaddingGivesTheRoundedUpQuotient)
{
    for (std::uint64_t extent = 1; extent <= 40; ++extent)
    {
        for (std::uint64_t kernel = 1; kernel <= 7; ++kernel)
        {
            for (std::uint64_t stride = 1; stride <= 5; ++stride)
            {
                for (std::uint64_t dilation = 1; dilation <= 3; ++dilation)
                {
                    Window w{kernel, stride, dilation, 0, 0};
                    const auto [before, after] = w.same(extent);
                    w.before = before;
                    w.after = after;
                    ASSERT_EQ(w.count(extent, false), (extent + stride - 1) / stride);
                    ASSERT_TRUE(after == before || after == before + 1) << "odd element goes after";
                    if (before + after > 0) // and never more than needed
                    {
                        --(w.after > 0 ? w.after : w.before);
                        ASSERT_LT(w.count(extent, false), (extent + stride - 1) / stride);
                    }
                }
            }
        }
    }
}

TEST(Product, StopsAtItsLimit)
{
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max() - 1;
    EXPECT_EQ(product({}, 5), 1U);
    EXPECT_EQ(product({2, 3}, 6), 6U);
    EXPECT_EQ(product({2, 3}, 5), 6U);
    EXPECT_EQ(product({4, 4}, 5), 6U);
    EXPECT_EQ(product({1ULL << 33U, 1ULL << 33U}, kMost), kMost + 1);
    EXPECT_EQ(product({kMost, 0}, kMost), 0U);
}

/// The last layer of input (height x width x channels), then `layers`.
Layer last(const char* input_shape, const std::string& layers)
{
    const Network n = parse(std::string(R"({"name": "n", "layers": [)") +
                                R"({"name": "in", "kind": "input", "shape": )" + input_shape +
                                "},\n" + layers + "]}",
                            "n.json");
    return n.layers.back();
}

struct Inferred
{
    const char* what;
    const char* input;
    const char* layers;
    Shape output;
    std::uint64_t parameters, macs;
};

class Kinds : public testing::TestWithParam<Inferred>
{
};

TEST_P(Kinds, InferShapeAndCosts)
{
    const Layer layer = last(GetParam().input, GetParam().layers);
    EXPECT_EQ(layer.output.height, GetParam().output.height);
    EXPECT_EQ(layer.output.width, GetParam().output.width);
    EXPECT_EQ(layer.output.channels, GetParam().output.channels);
    EXPECT_EQ(layer.parameters, GetParam().parameters);
    EXPECT_EQ(layer.macs, GetParam().macs);
}

INSTANTIATE_TEST_SUITE_P(
    ByHand, Kinds,
    testing::Values(
        Inferred{"conv",
                 "[10, 8, 3]",
                 R"({"name": "a", "kind": "conv2d", "channels": 5, "kernel": [3, 1]})",
                 {8, 8, 5},
                 3 * 3 * 5 + 5,
                 64 * 45},
        Inferred{
            "conv_even_same",
            "[5, 5, 1]",
            R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 2, "padding": "same"})",
            {5, 5, 1},
            5,
            100},
        Inferred{
            "conv_stride_same",
            "[5, 6, 1]",
            R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 3, "stride": 2, "padding": "same"})",
            {3, 3, 1},
            10,
            81},
        Inferred{
            "conv_valid",
            "[5, 6, 1]",
            R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 3, "padding": "valid"})",
            {3, 4, 1},
            10,
            108},
        Inferred{
            "conv_dilated",
            "[9, 9, 1]",
            R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 3, "dilation": [2, 4]})",
            {5, 1, 1},
            10,
            45},
        Inferred{
            "conv_padded_2",
            "[4, 4, 1]",
            R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 3, "padding": [0, 1]})",
            {2, 4, 1},
            10,
            72},
        Inferred{
            "conv_padded_4",
            "[4, 4, 1]",
            R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 3, "padding": [1, 0, 0, 2]})",
            {3, 4, 1},
            10,
            108},
        Inferred{
            "conv_depthwise",
            "[4, 4, 6]",
            R"({"name": "a", "kind": "conv2d", "channels": 12, "kernel": 3, "padding": 1, "groups": 6, "bias": false})",
            {4, 4, 12},
            9 * 12,
            16 * 9 * 12},
        Inferred{"dense_per_position",
                 "[7, 2, 6]",
                 R"({"name": "a", "kind": "dense", "channels": 3})",
                 {7, 2, 3},
                 21,
                 14 * 18},
        Inferred{"pool_default_stride",
                 "[7, 7, 2]",
                 R"({"name": "a", "kind": "max_pool", "kernel": [2, 3]})",
                 {3, 2, 2},
                 0,
                 0},
        Inferred{"pool_ceil",
                 "[7, 7, 2]",
                 R"({"name": "a", "kind": "average_pool", "kernel": 2, "ceil_mode": true})",
                 {4, 4, 2},
                 0,
                 0},
        Inferred{"pool_padded",
                 "[112, 112, 2]",
                 R"({"name": "a", "kind": "max_pool", "kernel": 3, "stride": 2, "padding": 1})",
                 {56, 56, 2},
                 0,
                 0},
        Inferred{"pool_dilated",
                 "[7, 7, 2]",
                 R"({"name": "a", "kind": "max_pool", "kernel": 2, "stride": 1, "dilation": 3})",
                 {4, 4, 2},
                 0,
                 0},
        Inferred{"first_row",
                 "[128, 1, 3]",
                 R"({"name": "a", "kind": "max_pool", "kernel": 1, "stride": [128, 1]})",
                 {1, 1, 3},
                 0,
                 0},
        Inferred{"global_pool",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "global_average_pool"})",
                 {1, 1, 2},
                 0,
                 0},
        Inferred{
            "mul_per_channel",
            "[7, 5, 2]",
            R"({"name": "g", "kind": "global_average_pool"},{"name": "a", "kind": "mul", "inputs": ["in", "g"]})",
            {7, 5, 2},
            0,
            0},
        Inferred{"concat_three",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "concat", "inputs": ["in", "in", "in"]})",
                 {7, 5, 6},
                 0,
                 0},
        Inferred{"concat_rows",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "concat", "inputs": ["in", "in"], "axis": "height"})",
                 {14, 5, 2},
                 0,
                 0},
        Inferred{"split_all",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "split", "range": [0, 2]})",
                 {7, 5, 2},
                 0,
                 0},
        Inferred{"split_last",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "split", "range": [1, 2]})",
                 {7, 5, 1},
                 0,
                 0},
        Inferred{"upsample",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "upsample", "scale": 3})",
                 {21, 15, 2},
                 0,
                 0},
        Inferred{"pad",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "pad", "padding": [1, 2, 3, 4]})",
                 {10, 12, 2},
                 0,
                 0},
        Inferred{
            "layer_norm", "[7, 1, 9]", R"({"name": "a", "kind": "layer_norm"})", {7, 1, 9}, 18, 0},
        Inferred{"reshape",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "reshape", "shape": [1, 1, 70]})",
                 {1, 1, 70},
                 0,
                 0},
        Inferred{"transpose_hw",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "transpose", "axes": "height,width"})",
                 {5, 7, 2},
                 0,
                 0},
        Inferred{"transpose_hc",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "transpose", "axes": "height,channels"})",
                 {2, 5, 7},
                 0,
                 0},
        Inferred{"transpose_wc",
                 "[7, 5, 2]",
                 R"({"name": "a", "kind": "transpose", "axes": "width,channels"})",
                 {7, 2, 5},
                 0,
                 0},
        Inferred{
            "tokens",
            "[9, 1, 1]",
            R"({"name": "a", "kind": "embedding", "vocabulary": 100, "channels": 8, "positions": 9, "segments": 2})",
            {9, 1, 8},
            111 * 8,
            0},
        Inferred{"first_rows",
                 "[9, 1, 8]",
                 R"({"name": "a", "kind": "embedding", "first_rows": 9})",
                 {9, 1, 8},
                 72,
                 0},
        Inferred{
            "scores",
            "[9, 1, 8]",
            R"({"name": "a", "kind": "matmul", "inputs": ["in", "in"], "heads": 4, "transpose_second": true})",
            {9, 4, 9},
            0,
            9 * 9 * 8},
        Inferred{
            "context",
            "[9, 1, 8]",
            R"({"name": "s", "kind": "matmul", "inputs": ["in", "in"], "heads": 4, "transpose_second": true},
                    {"name": "a", "kind": "matmul", "inputs": ["s", "in"], "heads": 4})",
            {9, 1, 8},
            0,
            9 * 9 * 8},
        Inferred{"matmul",
                 "[6, 1, 6]",
                 R"({"name": "a", "kind": "matmul", "inputs": ["in", "in"]})",
                 {6, 1, 6},
                 0,
                 216}),
    [](const auto& info) { return std::string(info.param.what); });

TEST(Padding, SameIsResolvedWithTheOddElementAfter)
{
    const Layer layer = last(
        "[5, 6, 1]",
        R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": [4, 3], "stride": [1, 2], "padding": "same"})");
    EXPECT_EQ(layer.padding.top, 1U);
    EXPECT_EQ(layer.padding.bottom, 2U);
    EXPECT_EQ(layer.padding.left, 0U);
    EXPECT_EQ(layer.padding.right, 1U);
}

/// A random valid graph as text, together with shapes worked out by definition.
class RandomGraph
{
public:
    explicit RandomGraph(std::uint64_t seed) : state_(seed)
    {
        const Shape input{1 + below(12), 1 + below(12), 1 + below(8)};
        add("in0", "input", {}, input,
            R"("shape": [)" + std::to_string(input.height) + ", " + std::to_string(input.width) +
                ", " + std::to_string(input.channels) + "]");
        const std::size_t layers = 1 + below(40);
        while (shapes_.size() <= layers)
        {
            grow();
        }
    }

    [[nodiscard]] std::string text() const
    {
        return "{\"name\": \"random\", \"layers\": [\n" + text_ + "\n]}";
    }
    [[nodiscard]] const std::map<std::string, Shape>& shapes() const { return shapes_; }
    [[nodiscard]] std::uint64_t macs() const { return macs_; }

private:
    std::uint32_t below(std::uint32_t limit)
    {
        state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
        return static_cast<std::uint32_t>(state_ >> 33U) % limit;
    }

    void add(const std::string& name, const std::string& kind,
             const std::vector<std::string>& inputs, const Shape& shape, const std::string& keys)
    {
        text_ += std::string(text_.empty() ? "" : ",\n") + R"({"name": ")" + name +
                 R"(", "kind": ")" + kind + '"';
        if (!inputs.empty())
        {
            text_ += R"(, "inputs": [)";
            for (const std::string& input : inputs)
            {
                text_ += (&input == inputs.data() ? "\"" : ", \"") + input + '"';
            }
            text_ += ']';
        }
        text_ += (keys.empty() ? "" : ", ") + keys + '}';
        shapes_[name] = shape;
        names_.push_back(name);
    }

    void grow()
    {
        const std::string name = "layer" + std::to_string(names_.size());
        const std::string from = names_[below(static_cast<std::uint32_t>(names_.size()))];
        const Shape in = shapes_.at(from);
        switch (below(7))
        {
        case 0:
        {
            const std::uint32_t kernel = 1 + below(std::min({in.height, in.width, 4U}));
            const std::uint32_t stride = 1 + below(3);
            const std::uint32_t channels = 1 + below(9);
            std::uint32_t rows = 0;
            std::uint32_t columns = 0;
            for (std::uint32_t y = 0; y + kernel <= in.height; y += stride)
            {
                ++rows;
            }
            for (std::uint32_t x = 0; x + kernel <= in.width; x += stride)
            {
                ++columns;
            }
            add(name, "conv2d", {from}, {rows, columns, channels},
                "\"kernel\": " + std::to_string(kernel) + ", \"stride\": " +
                    std::to_string(stride) + ", \"channels\": " + std::to_string(channels));
            macs_ += std::uint64_t{rows} * columns * channels * kernel * kernel * in.channels;
            break;
        }
        case 1:
        {
            const std::uint32_t channels = 1 + below(9);
            add(name, "dense", {from}, {in.height, in.width, channels},
                "\"channels\": " + std::to_string(channels));
            macs_ += std::uint64_t{in.height} * in.width * channels * in.channels;
            break;
        }
        case 2:
            add(name, "max_pool", {from}, {(in.height + 1) / 2, (in.width + 1) / 2, in.channels},
                R"("kernel": 2, "padding": "same")");
            break;
        case 3:
            add(name, "add", {from, from}, in, "");
            break;
        case 4:
            if (in.channels > 64)
            {
                return;
            }
            add(name, "concat", {from, from}, {in.height, in.width, in.channels * 2}, "");
            break;
        case 5:
            add(name, "transpose", {from}, {in.height, in.channels, in.width},
                R"("axes": "width,channels")");
            break;
        default:
            add(name, "activation", {from}, in, R"("function": "relu")");
            break;
        }
    }

    std::uint64_t state_;
    std::string text_;
    std::vector<std::string> names_;
    std::map<std::string, Shape> shapes_;
    std::uint64_t macs_ = 0;
};

TEST(Graphs, AtRandomHaveTheShapesOfTheirDefinition)
{
    for (std::uint64_t seed = 1; seed <= 500; ++seed)
    {
        const RandomGraph graph(seed);
        SCOPED_TRACE(graph.text());
        const Network network = parse(graph.text(), "random.json");
        ASSERT_EQ(network.layers.size(), graph.shapes().size());
        std::vector<bool> read(network.layers.size());
        for (std::size_t i = 0; i < network.layers.size(); ++i)
        {
            const Layer& layer = network.layers[i];
            ASSERT_EQ(layer.output, graph.shapes().at(layer.name)) << layer.name;
            for (const LayerId input : layer.inputs)
            {
                ASSERT_LT(input.index(), i);
                read[input.index()] = true;
            }
        }
        ASSERT_EQ(network.macs(), graph.macs());
        for (const LayerId output : network.outputs)
        {
            ASSERT_FALSE(read[output.index()]);
            read[output.index()] = true;
        }
        ASSERT_EQ(std::count(read.begin(), read.end(), false), 0) << "a result is lost";
    }
}

} // namespace
} // namespace tessera::network
