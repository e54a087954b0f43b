// SPDX-License-Identifier: Apache-2.0
// The shipped networks against published figures.
#include "network/network.h"

#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

namespace tessera::network
{
namespace
{

struct Expected
{
    const char* name;
    /// Exact, from sums over the layer tables of the publications, done without these files.
    std::uint64_t parameters, macs;
    /// As published, with the digits that were published; see `source`.
    double published_parameters, published_macs;
    std::size_t convolutions; ///< conv2d layers
    std::uint64_t vectors;    ///< sum of their OH x OW
    std::uint64_t crossbars;  ///< sum of ceil(KhKwCin / 256) ceil(Cout / 256)
    std::vector<Shape> outputs;
    const char* source;
};

// MACs published as FLOPs that count multiplication and addition apart are halved here.
const std::vector<Expected>& table()
{
    static const std::vector<Expected> rows{
        {"tinyyolov3",
         8'852'366,
         2'782'480'896,
         8.86e6,
         2.78e9,
         13,
         232'882,
         142,
         {{13, 13, 255}, {26, 26, 255}},
         "5.56 GFLOPs: pjreddie.com/darknet/yolo; 8.86 M: AlexeyAB/darknet issue 6022"},
        {"tinyyolov4",
         6'056'606,
         3'453'938'176,
         6.06e6,
         3.46e9,
         21,
         113'061,
         117,
         {{13, 13, 255}, {26, 26, 255}},
         "6.929 GFLOPs, 6.0535 M with folded scales: Open Model Zoo, yolo-v4-tiny-tf"},
        {"vgg16",
         138'357'544,
         15'470'264'320,
         138.36e6,
         15.47e9,
         13,
         137'788,
         233,
         {{1, 1, 1000}},
         "torchvision vgg16"},
        {"vgg19",
         143'667'240,
         19'632'062'464,
         143.67e6,
         19.63e9,
         16,
         141'904,
         314,
         {{1, 1, 1000}},
         "torchvision vgg19"},
        {"resnet18",
         11'689'512,
         1'814'073'344,
         11.69e6,
         1.814e9,
         20,
         30'233,
         193,
         {{1, 1, 1000}},
         "torchvision resnet18"},
        {"resnet34",
         21'797'672,
         3'663'761'408,
         21.80e6,
         3.664e9,
         36,
         41'307,
         363,
         {{1, 1, 1000}},
         "torchvision resnet34"},
        {"resnet50",
         25'557'032,
         3'857'973'248,
         25.56e6,
         3.86e9,
         53,
         58'310,
         390,
         {{1, 1, 1000}},
         "parameters: torchvision; 3.8e9: arXiv:1512.03385, table 1"},
        {"resnet101",
         44'549'160,
         7'570'194'432,
         44.55e6,
         7.57e9,
         104,
         68'306,
         679,
         {{1, 1, 1000}},
         "parameters: torchvision; 7.6e9: arXiv:1512.03385, table 1"},
        {"resnet152",
         60'192'808,
         11'282'415'616,
         60.19e6,
         11.3e9,
         155,
         85'358,
         936,
         {{1, 1, 1000}},
         "parameters: torchvision; 11.3e9: arXiv:1512.03385, table 1"},
        {"mobilenetv2",
         3'504'872,
         300'774'272,
         3.50e6,
         0.301e9,
         52,
         0,
         0,
         {{1, 1, 1000}},
         "torchvision mobilenet_v2; 300 M: arXiv:1801.04381, table 4"},
        {"bert-base",
         109'482'240,
         11'174'215'680,
         109.5e6,
         11.25e9,
         0,
         0,
         0,
         {{1, 1, 768}},
         "parameters: transformers bert-base-uncased; 22.5 GFLOPs: arXiv:2004.02984"},
        {"vit-b16",
         86'567'656,
         17'563'828'224,
         86.57e6,
         17.56e9,
         1,
         196,
         9,
         {{1, 1, 1000}},
         "torchvision vit_b_16"},
        {"lenet5",
         61'706,
         416'520,
         61.7e3,
         0.4165e6,
         2,
         28 * 28 + 10 * 10,
         2,
         {{1, 1, 10}},
         "by hand: 156 + 2416 + 48120 + 10164 + 850 parameters"},
    };
    return rows;
}

class Shipped : public testing::TestWithParam<Expected>
{
};

TEST_P(Shipped, HasThePublishedFigures)
{
    const Expected& expected = GetParam();
    SCOPED_TRACE(expected.source);
    const Network network = load(find(expected.name));
    EXPECT_EQ(network.name, expected.name);
    EXPECT_FALSE(network.source.empty());
    EXPECT_EQ(network.parameters(), expected.parameters);
    EXPECT_EQ(network.macs(), expected.macs);
    const auto parameters = static_cast<double>(network.parameters());
    const auto macs = static_cast<double>(network.macs());
    EXPECT_NEAR(parameters / expected.published_parameters, 1.0, 0.002);
    EXPECT_NEAR(macs / expected.published_macs, 1.0, 0.01);

    std::vector<Shape> outputs;
    for (const LayerId id : network.outputs)
    {
        outputs.push_back(network[id].output);
    }
    EXPECT_TRUE(outputs == expected.outputs);

    std::size_t convolutions = 0;
    std::uint64_t vectors = 0;
    std::uint64_t crossbars = 0;
    bool grouped = false;
    for (const Layer& layer : network.layers)
    {
        if (layer.kind != LayerKind::conv2d)
        {
            continue;
        }
        ++convolutions;
        grouped = grouped || layer.groups != 1;
        vectors += std::uint64_t{layer.output.height} * layer.output.width;
        const std::uint64_t rows = std::uint64_t{layer.kernel_height} * layer.kernel_width *
                                   network.input_shape(layer).channels;
        crossbars += (rows + 255) / 256 * ((layer.output.channels + 255) / 256);
    }
    EXPECT_EQ(convolutions, expected.convolutions);
    if (!grouped) // the formula for crossbars is for ungrouped convolutions
    {
        EXPECT_EQ(vectors, expected.vectors);
        EXPECT_EQ(crossbars, expected.crossbars);
    }
}

TEST_P(Shipped, FoldsEveryBatchNormAndIsInTopologicalOrder)
{
    const Network network = load(find(GetParam().name));
    std::set<std::string> names;
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        const Layer& layer = network.layers[i];
        EXPECT_NE(layer.kind, LayerKind::batch_norm) << layer.name;
        EXPECT_TRUE(names.insert(layer.name).second) << layer.name;
        for (const LayerId input : layer.inputs)
        {
            EXPECT_LT(input.index(), i) << layer.name;
        }
    }
}

INSTANTIATE_TEST_SUITE_P(All, Shipped, testing::ValuesIn(table()),
                         [](const auto& info)
                         {
                             std::string name = info.param.name;
                             std::replace(name.begin(), name.end(), '-', '_');
                             return name;
                         });

// The convolutions one by one, from darknet's own listing (output rows, kernel, in, out).
TEST(ShippedLayers, TinyYoloV4FollowsDarknet)
{
    struct Row
    {
        std::uint32_t rows, kernel, in, out;
    };
    const std::vector<Row> darknet{{208, 3, 3, 32},   {104, 3, 32, 64},  {104, 3, 64, 64},
                                   {104, 3, 32, 32},  {104, 3, 32, 32},  {104, 1, 64, 64},
                                   {52, 3, 128, 128}, {52, 3, 64, 64},   {52, 3, 64, 64},
                                   {52, 1, 128, 128}, {26, 3, 256, 256}, {26, 3, 128, 128},
                                   {26, 3, 128, 128}, {26, 1, 256, 256}, {13, 3, 512, 512},
                                   {13, 1, 512, 256}, {13, 3, 256, 512}, {13, 1, 512, 255},
                                   {13, 1, 256, 128}, {26, 3, 384, 256}, {26, 1, 256, 255}};
    const Network network = load(find("tinyyolov4"));
    std::size_t at = 0;
    for (const Layer& layer : network.layers)
    {
        if (layer.kind == LayerKind::conv2d)
        {
            ASSERT_LT(at, darknet.size());
            EXPECT_EQ(layer.output.height, darknet[at].rows) << layer.name;
            EXPECT_EQ(layer.kernel_width, darknet[at].kernel) << layer.name;
            EXPECT_EQ(network.input_shape(layer).channels, darknet[at].in) << layer.name;
            EXPECT_EQ(layer.output.channels, darknet[at].out) << layer.name;
            ++at;
        }
        if (layer.kind == LayerKind::split)
        {
            EXPECT_EQ(layer.channel_begin * 2, network.input_shape(layer).channels);
            EXPECT_EQ(layer.channel_end, network.input_shape(layer).channels);
        }
    }
    EXPECT_EQ(at, darknet.size());
}

TEST(ShippedLayers, TinyYoloV3PadsItsLastPoolAfter)
{
    const Network network = load(find("tinyyolov3"));
    const auto pool = std::find_if(network.layers.begin(), network.layers.end(),
                                   [](const Layer& layer) { return layer.name == "pool5"; });
    ASSERT_NE(pool, network.layers.end());
    EXPECT_EQ(pool->output, (Shape{13, 13, 512}));
    EXPECT_EQ(pool->padding.top, 0U);
    EXPECT_EQ(pool->padding.bottom, 1U);
    EXPECT_EQ(pool->padding.left, 0U);
    EXPECT_EQ(pool->padding.right, 1U);
}

TEST(ShippedLayers, ResNet50HasItsStrideInTheFirst1x1)
{
    const Network network = load(find("resnet50"));
    for (const Layer& layer : network.layers)
    {
        if (layer.kind == LayerKind::conv2d && layer.kernel_height == 3)
        {
            EXPECT_EQ(layer.stride_height, 1U) << layer.name;
        }
    }
}

TEST(ShippedLayers, AttentionKeepsRowsHeadsAndKeys)
{
    const Network network = load(find("bert-base"));
    std::size_t products = 0;
    for (const Layer& layer : network.layers)
    {
        if (layer.kind == LayerKind::matmul)
        {
            ++products;
            EXPECT_EQ(layer.heads, 12U);
            EXPECT_EQ(layer.output,
                      (layer.transpose_second ? Shape{128, 12, 128} : Shape{128, 1, 768}));
            EXPECT_EQ(layer.macs, 128U * 128U * 768U);
        }
    }
    EXPECT_EQ(products, 24U);
}

TEST(Generator, WritesTheShippedFiles)
{
    const std::string command =
        "/usr/bin/python3 '" TESSERA_SOURCE_DIR "/tools/make_networks.py' --check";
    EXPECT_EQ(std::system(command.c_str()), 0); // NOLINT(concurrency-mt-unsafe)
}

TEST(Documentation, ShowsANetworkThatParses)
{
    std::ifstream stream(TESSERA_SOURCE_DIR "/models/networks/README.md");
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    const std::size_t begin = text.find("```json\n") + 8;
    const Network network = parse(text.substr(begin, text.find("```\n", begin) - begin), "README");
    EXPECT_EQ(network.layers.size(), 4U);
    for (const Expected& expected : table())
    {
        std::string macs = std::to_string(expected.macs);
        for (std::size_t at = macs.size(); at > 3; at -= 3)
        {
            macs.insert(at - 3, " ");
        }
        EXPECT_THAT(text, testing::HasSubstr(macs + " |")) << expected.name;
    }
}

TEST(Find, GivesThePathOfAShippedNetwork)
{
    EXPECT_THAT(find("vgg16"), testing::EndsWith("/models/networks/vgg16.json"));
}

TEST(Find, TakesAPathAsItIs)
{
    const std::string path = testing::TempDir() + "tessera_find_test.json";
    std::ofstream(path) << "{}";
    EXPECT_EQ(find(path), path);
    std::remove(path.c_str());
}

TEST(Find, ListsTheShippedNetworksAndTheNearestOne)
{
    for (const char* wrong : {"TinyYoloV5", "tinyyolov", "tinyyolov4.jsn"})
    {
        try
        {
            (void)find(wrong);
            FAIL() << wrong;
        }
        catch (const InputError& error)
        {
            EXPECT_THAT(error.what(), testing::HasSubstr("did you mean 'tinyyolov"));
            EXPECT_THAT(error.what(), testing::HasSubstr("bert-base, lenet5, "));
            EXPECT_THAT(error.what(), testing::HasSubstr("resnet18, resnet34")) << "listed once";
            EXPECT_THAT(error.what(), testing::HasSubstr(wrong));
        }
    }
    EXPECT_THROW((void)find(""), InputError);
}

TEST(Load, TellsWhichFileCannotBeRead)
{
    const auto message = [](const std::string& path) -> std::string
    {
        try
        {
            (void)load(path);
        }
        catch (const Error& error)
        {
            return error.what();
        }
        return "";
    };
    const std::string missing = testing::TempDir() + "no_such_network.json";
    EXPECT_THAT(message(missing), testing::HasSubstr(missing));
    EXPECT_THROW((void)load(missing), IoError);
    EXPECT_THAT(message(testing::TempDir()), testing::HasSubstr("is a folder"));
    EXPECT_THROW((void)load(testing::TempDir()), InputError);
}

} // namespace
} // namespace tessera::network
