// SPDX-License-Identifier: Apache-2.0
// Networks exported by PyTorch (tools/export_onnx.py) against the native ones of the same name.
#include "network/network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace tessera::network
{
namespace
{

std::string path_of(const std::string& name)
{
    const std::string folder =
        name == "resnet18" ? "/models/networks/" : "/tests/unit/network/onnx/";
    return TESSERA_SOURCE_DIR + folder + name + ".onnx";
}

/// What must agree of a layer that multiplies or looks at windows.
using Facts = std::tuple<std::string,                   // kind
                         std::vector<std::uint32_t>,    // shapes
                         std::vector<std::uint32_t>,    // window
                         std::uint64_t, std::uint64_t>; // costs

std::vector<Facts> facts_of(const Network& network, const std::vector<LayerKind>& kinds)
{
    std::vector<Facts> facts;
    for (const Layer& layer : network.layers)
    {
        if (std::find(kinds.begin(), kinds.end(), layer.kind) == kinds.end())
        {
            continue;
        }
        std::vector<std::uint32_t> shapes;
        for (std::size_t k = 0; k < layer.inputs.size(); ++k)
        {
            const Shape& shape = network.input_shape(layer, k);
            shapes.insert(shapes.end(), {shape.height, shape.width, shape.channels});
        }
        shapes.insert(shapes.end(),
                      {layer.output.height, layer.output.width, layer.output.channels});
        facts.emplace_back(
            name_of(layer.kind) + (layer.activation.empty() ? "" : '/' + layer.activation), shapes,
            std::vector<std::uint32_t>{layer.kernel_height, layer.kernel_width, layer.stride_height,
                                       layer.stride_width, layer.padding.top, layer.padding.bottom,
                                       layer.padding.left, layer.padding.right, layer.groups,
                                       layer.heads},
            layer.parameters, layer.macs);
    }
    std::sort(facts.begin(), facts.end());
    return facts;
}

/// Crossbars of 256 x 256 that the weights of conv2d and dense take, a group after the other.
std::uint64_t crossbars(const Network& network)
{
    constexpr std::uint64_t kSide = 256;
    std::uint64_t count = 0;
    for (const Layer& layer : network.layers)
    {
        if (layer.kind == LayerKind::conv2d || layer.kind == LayerKind::dense)
        {
            const std::uint64_t rows = std::uint64_t{layer.kernel_height} * layer.kernel_width *
                                       network.input_shape(layer).channels / layer.groups;
            const std::uint64_t columns = layer.output.channels / layer.groups;
            count += layer.groups * ((rows + kSide - 1) / kSide) * ((columns + kSide - 1) / kSide);
        }
    }
    return count;
}

const std::vector<LayerKind> kComputing{LayerKind::conv2d, LayerKind::dense, LayerKind::matmul};
const std::vector<LayerKind> kOthers{
    LayerKind::max_pool,   LayerKind::average_pool, LayerKind::global_average_pool,
    LayerKind::activation, LayerKind::add,          LayerKind::softmax,
    LayerKind::layer_norm, LayerKind::upsample};

class Exported : public testing::TestWithParam<const char*>
{
};

TEST_P(Exported, EqualsTheNativeNetwork)
{
    const Network imported = load(path_of(GetParam()));
    const Network native = load(find(GetParam()));
    EXPECT_EQ(imported.name, native.name);
    EXPECT_EQ(imported.macs(), native.macs());
    EXPECT_EQ(imported.parameters(), native.parameters());
    EXPECT_EQ(crossbars(imported), crossbars(native));
    EXPECT_EQ(facts_of(imported, kComputing), facts_of(native, kComputing));
    EXPECT_EQ(facts_of(imported, kOthers), facts_of(native, kOthers));
    std::vector<Shape> made;
    std::vector<Shape> wanted;
    for (const LayerId output : imported.outputs)
    {
        made.push_back(imported[output].output);
    }
    for (const LayerId output : native.outputs)
    {
        wanted.push_back(native[output].output);
    }
    EXPECT_TRUE(made == wanted);
    for (const Layer& layer : imported.layers)
    {
        EXPECT_NE(layer.kind, LayerKind::batch_norm) << layer.name;
        EXPECT_NE(layer.kind, LayerKind::transpose) << layer.name;
    }
}

INSTANTIATE_TEST_SUITE_P(Convolutions, Exported,
                         testing::Values("resnet18", "resnet50", "vgg16", "mobilenetv2",
                                         "tinyyolov4", "lenet5"));

// Its padded pool is a pad and a pool in PyTorch.
TEST(ExportedNetworks, TinyYoloV3EqualsTheNativeNetwork)
{
    const Network imported = load(path_of("tinyyolov3"));
    const Network native = load(find("tinyyolov3"));
    EXPECT_EQ(facts_of(imported, kComputing), facts_of(native, kComputing));
    EXPECT_EQ(imported.parameters(), native.parameters());
    EXPECT_EQ(crossbars(imported), crossbars(native));
    EXPECT_EQ(facts_of(imported, {LayerKind::upsample, LayerKind::activation}),
              facts_of(native, {LayerKind::upsample, LayerKind::activation}));
}

// torchvision keeps query, key and value in one matrix; the heads are those of the native graph.
TEST(ExportedNetworks, VitEqualsTheNativeNetwork)
{
    const Network imported = load(path_of("vit-b16"));
    const Network native = load(find("vit-b16"));
    EXPECT_EQ(imported.macs(), native.macs());
    EXPECT_EQ(imported.parameters(), native.parameters());
    EXPECT_EQ(crossbars(imported), crossbars(native));
    for (const LayerKind kind : {LayerKind::matmul, LayerKind::softmax, LayerKind::layer_norm,
                                 LayerKind::activation, LayerKind::add, LayerKind::conv2d})
    {
        EXPECT_EQ(facts_of(imported, {kind}), facts_of(native, {kind})) << name_of(kind);
    }
    for (const Layer& layer : imported.layers)
    {
        EXPECT_NE(layer.kind, LayerKind::transpose) << layer.name;
    }
    EXPECT_EQ(imported[imported.outputs.at(0)].output, (Shape{1, 1, 1000}));
}

// The exporter keeps the 128 rows of the 512 positions that are used.
TEST(ExportedNetworks, BertEqualsTheNativeNetwork)
{
    const Network imported = load(path_of("bert-base"));
    const Network native = load(find("bert-base"));
    EXPECT_EQ(imported.macs(), native.macs());
    EXPECT_EQ(imported.parameters() + (512 - 128) * 768, native.parameters());
    EXPECT_EQ(crossbars(imported), crossbars(native));
    EXPECT_EQ(facts_of(imported, kComputing), facts_of(native, kComputing));
    for (const LayerKind kind : {LayerKind::softmax, LayerKind::layer_norm, LayerKind::activation})
    {
        EXPECT_EQ(facts_of(imported, {kind}), facts_of(native, {kind})) << name_of(kind);
    }
    EXPECT_EQ(imported[imported.outputs.at(0)].output, (Shape{1, 1, 768}));
}

} // namespace
} // namespace tessera::network
