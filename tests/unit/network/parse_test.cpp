// SPDX-License-Identifier: Apache-2.0
// What the parser accepts, and what it says about what it does not accept.
#include "network/network.h"

#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

namespace tessera::network
{
namespace
{

using testing::HasSubstr;

/// A network file of these layers, one a line; the first is on line 2.
std::string file_of(const std::vector<std::string>& layers, const std::string& more = "")
{
    std::string text = R"({"name": "n", "layers": [)";
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        text += (i == 0 ? "\n" : ",\n") + layers[i];
    }
    return text + "\n]" + more + "}";
}

const std::string kInput = R"({"name": "in", "kind": "input", "shape": [8, 8, 4]})";

Network network_of(const std::vector<std::string>& layers, const std::string& more = "")
{
    return parse(file_of(layers, more), "n.json");
}

struct Malformed
{
    const char* what;
    std::string text;
    const char* place;   ///< how the message begins after the file name
    const char* problem; ///< part of the message
};

Malformed layer(const char* what, const std::string& json, const char* pointer, const char* problem)
{
    return {what, file_of({kInput, json}), pointer, problem};
}

std::vector<Malformed> malformed()
{
    std::vector<Malformed> list{
        // Syntax
        {"empty", "", ":1: ", "unexpected end of input"},
        {"not_json", "layers:\n", ":1: ", "not valid JSON"},
        {"cut_off", "{\"name\": \"n\",\n\"layers\": [", ":2: ", "not valid JSON"},
        {"nan", "{\"name\": \"n\",\n\"activation_bits\": NaN}", ":2: ", "not valid JSON"},
        {"huge_number", "{\"name\": \"n\",\n\n\"weight_bits\": 1e999}", ":3: ", "1e999"},
        {"not_utf8", "{\"name\": \"\xff\"}", ":1: ", "UTF-8"},
        {"trailing", file_of({kInput}) + "{}", ":3: ", "not valid JSON"},
        {"duplicate_key", "{\"name\": \"n\",\n\"name\": \"m\"}", ":2: /name: ", "twice"},
        {"duplicate_layer_key",
         file_of({kInput, R"({"name": "a", "kind": "dense", "channels": 1, "channels": 2})"}),
         ":3: /layers/1/channels: ", "twice"},
        {"too_deep", "{\"name\": \"n\", \"layers\": [[[[[[[[[0]]]]]]]]]}", ":1: ", "deeper than 8"},
        // The network
        {"an_array", "[]", ":1: ", "must be an object, not a list"},
        {"unknown_key", "{\"name\": \"n\",\n\"layer\": []}",
         ":2: /layer: ", "did you mean 'layers'?"},
        {"no_name", "{\"layers\": []}", ":1: /name: ", "is missing"},
        {"bad_name", "{\"name\": \"a b\", \"layers\": []}", ":1: /name: ", "'a b' is not a name"},
        {"no_layers", "{\"name\": \"n\"}", ":1: /layers: ", "is missing"},
        {"empty_layers", "{\"name\": \"n\", \"layers\": []}", ":1: /layers: ", "at least one"},
        {"layers_object", "{\"name\": \"n\", \"layers\": {}}", ":1: /layers: ", "array"},
        {"bits_0", "{\"name\": \"n\", \"weight_bits\": 0}", ":1: /weight_bits: ", "from 1 to 32"},
        {"bits_33", "{\"name\": \"n\",\n \"activation_bits\": 33}", ":2: /activation_bits: ", "33"},
        {"bits_text", "{\"name\": \"n\", \"weight_bits\": \"8\"}",
         ":1: /weight_bits: ", "not text"},
        {"format", "{\"name\": \"n\", \"format\": \"onnx\"}", ":1: /format: ", "tessera-network"},
        {"version", "{\"name\": \"n\", \"version\": \"2.0\"}", ":1: /version: ", "use 1.0"},
        {"source_number", "{\"name\": \"n\", \"source\": 1}", ":1: /source: ", "must be a string"},
        {"only_inputs", file_of({kInput}), ":1: /layers: ", "all inputs"},
        {"unread_input",
         file_of({kInput, R"({"name": "b", "kind": "input", "shape": [1, 1, 1]})",
                  R"({"name": "d", "kind": "dense", "channels": 1})"}),
         ":2: /layers/0: ", "'in' is read by no layer"},
        {"unknown_output",
         file_of({kInput, R"({"name": "dense", "kind": "softmax"})"}, R"(, "outputs": ["dens"])"),
         ":4: /outputs/0: ", "did you mean 'dense'?"},
        {"output_twice",
         file_of({kInput, R"({"name": "a", "kind": "softmax"})"}, R"(, "outputs": ["a", "a"])"),
         ":4: /outputs/1: ", "given twice"},
        {"output_input",
         file_of({kInput, R"({"name": "a", "kind": "softmax"})"}, R"(, "outputs": ["in"])"),
         ":4: /outputs/0: ", "is an input"},
        {"output_number",
         file_of({kInput, R"({"name": "a", "kind": "softmax"})"}, R"(, "outputs": [1])"),
         ":4: /outputs/0: ", "no layer"},
        {"outputs_empty",
         file_of({kInput, R"({"name": "a", "kind": "softmax"})"}, R"(, "outputs": [])"),
         ":4: /outputs: ", "array of layer names"},
        {"dead_layer",
         file_of({kInput, R"({"name": "a", "kind": "softmax"})",
                  R"({"name": "b", "kind": "softmax", "inputs": ["in"]})"},
                 R"(, "outputs": ["a"])"),
         ":4: /layers/2: ", "read by no layer"},
        {"first_is_no_input", file_of({R"({"name": "a", "kind": "softmax"})"}),
         ":2: /layers/0: ", "no layer before it"},
        {"later_layer",
         file_of({kInput, R"({"name": "a", "kind": "add", "inputs": ["in", "b"]})",
                  R"({"name": "b", "kind": "softmax"})"}),
         ":3: /layers/1/inputs/1: ", "'b' comes later"},
        {"many_layers",
         "{\"name\": \"n\",\n\"layers\": [0" +
             []
             {
                 std::string zeros;
                 for (int i = 0; i < 100'000; ++i)
                 {
                     zeros += ",0";
                 }
                 return zeros;
             }() +
             "]}",
         ":2: /layers: ", "more than 100000 layers"},
    };
    const std::vector<Malformed> layers{
        // Any layer
        layer("layer_number", "1", ":3: /layers/1: ", "must be an object, not a whole number"),
        layer("unnamed", R"({"kind": "softmax"})", ":3: /layers/1/name: ", "is missing"),
        layer("name_null", R"({"name": null, "kind": "softmax"})",
              ":3: /layers/1/name: ", "not null"),
        layer("empty_name", R"({"name": "", "kind": "softmax"})",
              ":3: /layers/1/name: ", "not a name"),
        layer("long_name", R"({"name": ")" + std::string(257, 'a') + R"(", "kind": "softmax"})",
              ":3: /layers/1/name: ", "1 to 256"),
        layer("same_name", R"({"name": "in", "kind": "softmax"})",
              ":3: /layers/1/name: ", "already the name of layer 0"),
        layer("no_kind", R"({"name": "a"})", ":3: /layers/1/kind: ", "is missing"),
        layer("unknown_kind", R"({"name": "a", "kind": "conv2"})",
              ":3: /layers/1/kind: ", "did you mean 'conv2d'?"),
        layer("kind_number", R"({"name": "a", "kind": 3})",
              ":3: /layers/1/kind: ", "must be a string"),
        layer("unknown_layer_key", R"({"name": "a", "kind": "dense", "channel": 3})",
              ":3: /layers/1/channel: ", "did you mean 'channels'?"),
        layer("key_of_another_kind",
              R"({"name": "a", "kind": "dense", "channels": 3, "groups": 1})",
              ":3: /layers/1/groups: ", "not a key of a layer of kind dense"),
        layer("escaped_key", R"({"name": "a", "kind": "softmax", "a/b~c": 1})",
              ":3: /layers/1/a~1b~0c: ", "not a key"),
        layer("inputs_text", R"({"name": "a", "kind": "softmax", "inputs": "in"})",
              ":3: /layers/1/inputs: ", "must be an array of 1"),
        layer("no_inputs", R"({"name": "a", "kind": "softmax", "inputs": []})",
              ":3: /layers/1/inputs: ", "must be an array of 1"),
        layer("two_inputs", R"({"name": "a", "kind": "softmax", "inputs": ["in", "in"]})",
              ":3: /layers/1/inputs: ", "must be an array of 1"),
        layer("input_number", R"({"name": "a", "kind": "softmax", "inputs": [0]})",
              ":3: /layers/1/inputs/0: ", "must be the name of a layer"),
        layer("itself", R"({"name": "a", "kind": "softmax", "inputs": ["a"]})",
              ":3: /layers/1/inputs/0: ", "the layer itself"),
        layer("unknown_input", R"({"name": "a", "kind": "softmax", "inputs": ["inn"]})",
              ":3: /layers/1/inputs/0: ", "did you mean 'in'?"),
        layer("input_of_input",
              R"({"name": "a", "kind": "input", "shape": [1, 1, 1], "inputs": ["in"]})",
              ":3: /layers/1/inputs: ", "for an input of the network"),
        // input
        layer("shape_of_2", R"({"name": "a", "kind": "input", "shape": [1, 1]})",
              ":3: /layers/1/shape: ", "array of 3"),
        layer("shape_0", R"({"name": "a", "kind": "input", "shape": [1, 0, 1]})",
              ":3: /layers/1/shape/1: ", "is 0, out of range"),
        layer("shape_65537", R"({"name": "a", "kind": "input", "shape": [1, 1, 65537]})",
              ":3: /layers/1/shape/2: ", "is 65537"),
        layer("shape_negative", R"({"name": "a", "kind": "input", "shape": [-1, 1, 1]})",
              ":3: /layers/1/shape/0: ", "is -1"),
        layer("shape_fraction", R"({"name": "a", "kind": "input", "shape": [1.5, 1, 1]})",
              ":3: /layers/1/shape/0: ", "whole number"),
        layer("shape_2_64",
              R"({"name": "a", "kind": "input", "shape": [18446744073709551616, 1, 1]})",
              ":3: /layers/1/shape/0: ", "whole number"),
        layer("too_many_elements", R"({"name": "a", "kind": "input", "shape": [65536, 32769, 1]})",
              ":3: /layers/1: ", "65536x32769x1 is too large"),
        // conv2d and dense
        layer("conv_no_kernel", R"({"name": "a", "kind": "conv2d", "channels": 1})",
              ":3: /layers/1/kernel: ", "is missing"),
        layer("conv_no_channels", R"({"name": "a", "kind": "conv2d", "kernel": 1})",
              ":3: /layers/1/channels: ", "is missing"),
        layer("kernel_0", R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 0})",
              ":3: /layers/1/kernel: ", "is 0"),
        layer("kernel_of_3",
              R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": [1, 1, 1]})",
              ":3: /layers/1/kernel: ", "array of 2"),
        layer("kernel_too_large", R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 9})",
              ":3: /layers/1/kernel: ", "covers 9x9, more than the padded input of 8x8"),
        layer("dilated_too_large",
              R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 3, "dilation": [4, 1]})",
              ":3: /layers/1/kernel: ", "covers 9x3"),
        layer("stride_0",
              R"({"name": "a", "kind": "conv2d", "channels": 1, "kernel": 1, "stride": [1, 0]})",
              ":3: /layers/1/stride/1: ", "is 0"),
        layer("groups_3",
              R"({"name": "a", "kind": "conv2d", "channels": 3, "kernel": 1, "groups": 3})",
              ":3: /layers/1/groups: ", "does not divide"),
        layer("groups_of_outputs",
              R"({"name": "a", "kind": "conv2d", "channels": 6, "kernel": 1, "groups": 4})",
              ":3: /layers/1/groups: ", "does not divide"),
        layer("padding_sane",
              R"({"name": "a", "kind": "conv2d", "channels": 6, "kernel": 1, "padding": "sam"})",
              ":3: /layers/1/padding: ", "did you mean 'same'?"),
        layer(
            "padding_of_3",
            R"({"name": "a", "kind": "conv2d", "channels": 6, "kernel": 1, "padding": [1, 1, 1]})",
            ":3: /layers/1/padding: ", "array of 2 or 4"),
        layer("padding_negative",
              R"({"name": "a", "kind": "conv2d", "channels": 6, "kernel": 1, "padding": [-1, 1]})",
              ":3: /layers/1/padding/0: ", "is -1"),
        layer("bias_1", R"({"name": "a", "kind": "dense", "channels": 6, "bias": 1})",
              ":3: /layers/1/bias: ", "true or false"),
        // pools, upsample, pad
        layer("pool_padding", R"({"name": "a", "kind": "max_pool", "kernel": 2, "padding": 2})",
              ":3: /layers/1/padding: ", "outside the map"),
        layer(
            "same_and_ceil",
            R"({"name": "a", "kind": "max_pool", "kernel": 2, "padding": "same", "ceil_mode": true})",
            ":3: /layers/1/ceil_mode: ", "does not go with"),
        layer("dilated_average",
              R"({"name": "a", "kind": "average_pool", "kernel": 2, "dilation": 2})",
              ":3: /layers/1/dilation: ", "not a key"),
        layer("scale_0", R"({"name": "a", "kind": "upsample", "scale": 0})",
              ":3: /layers/1/scale: ", "is 0"),
        layer("scale_too_large", R"({"name": "a", "kind": "upsample", "scale": 8193})",
              ":3: /layers/1: ", "too large"),
        layer("pad_same", R"({"name": "a", "kind": "pad", "padding": "same"})",
              ":3: /layers/1/padding: ", "not text"),
        layer("pad_too_large", R"({"name": "a", "kind": "pad", "padding": [65529, 0, 0, 0]})",
              ":3: /layers/1: ", "too large"),
        // operands
        layer("add_alone", R"({"name": "a", "kind": "add", "inputs": ["in"]})",
              ":3: /layers/1/inputs: ", "array of 2 or more"),
        layer("add_default", R"({"name": "a", "kind": "add"})",
              ":3: /layers/1/inputs: ", "is missing"),
        layer("matmul_default", R"({"name": "a", "kind": "matmul"})",
              ":3: /layers/1/inputs: ", "is missing"),
        layer("split_empty", R"({"name": "a", "kind": "split", "range": [2, 2]})",
              ":3: /layers/1/range: ", "is empty"),
        layer("split_beyond", R"({"name": "a", "kind": "split", "range": [2, 5]})",
              ":3: /layers/1/range: ", "beyond the 4 input channels"),
        layer("concat_axis",
              R"({"name": "a", "kind": "concat", "inputs": ["in", "in"], "axis": "width"})",
              ":3: /layers/1/axis: ", "use channels or height"),
        layer("activation", R"({"name": "a", "kind": "activation", "function": "leakyrelu"})",
              ":3: /layers/1/function: ", "did you mean 'leaky_relu'?"),
        layer("matmul_heads",
              R"({"name": "a", "kind": "matmul", "inputs": ["in", "in"], "heads": 3})",
              ":3: /layers/1/inputs/0: ", "does not hold 3 heads"),
        layer("reshape", R"({"name": "a", "kind": "reshape", "shape": [1, 1, 255]})",
              ":3: /layers/1/shape: ", "256 elements"),
        layer("transpose", R"({"name": "a", "kind": "transpose", "axes": "channels,height"})",
              ":3: /layers/1/axes: ", "height,channels"),
        layer("embedding_of_a_map", R"({"name": "a", "kind": "embedding", "positions": 8})",
              ":3: /layers/1: ", "not a sequence"),
    };
    list.insert(list.end(), layers.begin(), layers.end());

    const auto second = [&](const char* what, const std::string& first, const std::string& json,
                            const char* place, const char* problem) {
        list.push_back({what, file_of({kInput, first, json}), place, problem});
    };
    const std::string wide = R"({"name": "w", "kind": "dense", "channels": 5})";
    second("add_shapes", wide, R"({"name": "a", "kind": "add", "inputs": ["in", "w"]})",
           ":4: /layers/2/inputs/1: ", "has shape 8x8x5, the first has 8x8x4");
    second("mul_shapes", R"({"name": "w", "kind": "max_pool", "kernel": [1, 8]})",
           R"({"name": "a", "kind": "mul", "inputs": ["in", "w"]})",
           ":4: /layers/2/inputs/1: ", "8x1x4");
    second("concat_shapes", R"({"name": "w", "kind": "max_pool", "kernel": 2})",
           R"({"name": "a", "kind": "concat", "inputs": ["in", "w"]})",
           ":4: /layers/2/inputs/1: ", "may differ in channels only");
    second("concat_rows", wide,
           R"({"name": "a", "kind": "concat", "inputs": ["in", "w"], "axis": "height"})",
           ":4: /layers/2/inputs/1: ", "may differ in height only");
    const std::string sequence = R"({"name": "s", "kind": "reshape", "shape": [64, 1, 4]})";
    second("matmul_shapes", sequence, R"({"name": "a", "kind": "matmul", "inputs": ["s", "s"]})",
           ":4: /layers/2/inputs/1: ", "64 rows");
    second("no_table", sequence, R"({"name": "a", "kind": "embedding"})",
           ":4: /layers/2: ", "has no table");
    second("few_positions", sequence, R"({"name": "a", "kind": "embedding", "positions": 63})",
           ":4: /layers/2/positions: ", "too few for 64 tokens");
    second("many_first_rows", sequence, R"({"name": "a", "kind": "embedding", "first_rows": 65})",
           ":4: /layers/2/first_rows: ", "more than the 64 rows");
    second("vocabulary_of_vectors", sequence,
           R"({"name": "a", "kind": "embedding", "vocabulary": 65, "channels": 3})",
           ":4: /layers/2/vocabulary: ", "64x1x4");
    second("channels_without_vocabulary", sequence,
           R"({"name": "a", "kind": "embedding", "positions": 64, "channels": 4})",
           ":4: /layers/2/channels: ", "without a vocabulary");
    return list;
}

class Rejects : public testing::TestWithParam<Malformed>
{
};

TEST_P(Rejects, WithPlaceAndRemedy)
{
    const Malformed& input = GetParam();
    try
    {
        (void)parse(input.text, "n.json");
        FAIL() << "accepted";
    }
    catch (const InputError& error)
    {
        const std::string message = error.what();
        EXPECT_THAT(message, testing::StartsWith(std::string("n.json") + input.place));
        EXPECT_THAT(message, HasSubstr(input.problem));
        EXPECT_THAT(message, HasSubstr("; ")) << "no remedy";
        EXPECT_EQ(error.code(), ExitCode::bad_input);
    }
}

INSTANTIATE_TEST_SUITE_P(Malformed, Rejects, testing::ValuesIn(malformed()),
                         [](const auto& info) { return std::string(info.param.what); });

TEST(Parse, TakesTheLayerBeforeAsInput)
{
    const Network n = network_of(
        {kInput, R"({"name": "a", "kind": "softmax"})", R"({"name": "b", "kind": "softmax"})"});
    ASSERT_EQ(n.layers.size(), 3U);
    EXPECT_EQ(n.layers[2].inputs, std::vector<LayerId>{LayerId(1)});
    EXPECT_EQ(n.outputs, std::vector<LayerId>{LayerId(2)});
    EXPECT_EQ(n.activation_bits, 8U);
    EXPECT_EQ(n.weight_bits, 8U);
}

TEST(Parse, EveryUnreadLayerIsAnOutputUnlessTheFileNamesThem)
{
    const std::vector<std::string> layers{kInput, R"({"name": "a", "kind": "softmax"})",
                                          R"({"name": "b", "kind": "softmax"})",
                                          R"({"name": "c", "kind": "softmax", "inputs": ["a"]})"};
    EXPECT_EQ(network_of(layers).outputs, (std::vector<LayerId>{LayerId(2), LayerId(3)}));
    EXPECT_EQ(network_of(layers, R"(, "outputs": ["c", "a", "b"])").outputs,
              (std::vector<LayerId>{LayerId(3), LayerId(1), LayerId(2)}));
}

TEST(Parse, AcceptsTheLimits)
{
    const Network n = network_of({R"({"name": "in", "kind": "input", "shape": [65536, 32768, 1]})",
                                  R"({"name": ")" + std::string(256, 'a') +
                                      R"(", "kind": "activation", "function": "relu"})"},
                                 R"(, "weight_bits": 32, "activation_bits": 1)");
    EXPECT_EQ(n.layers[1].output.elements(), std::uint64_t{1} << 31U);
    EXPECT_EQ(n.weight_bits, 32U);
    EXPECT_EQ(n.activation_bits, 1U);
}

TEST(Parse, RefusesMoreThan64MiB)
{
    std::string text = file_of({kInput, R"({"name": "a", "kind": "softmax"})"});
    text.resize(std::size_t{64} << 20U, ' ');
    EXPECT_NO_THROW((void)parse(text, "n.json"));
    EXPECT_THROW((void)parse(text + ' ', "n.json"), InputError);
}

TEST(Parse, RefusesMoreThanTwoMillionValues)
{
    std::string text = R"({"name": "n", "layers": [0)";
    for (int i = 0; i < 2'000'001; ++i)
    {
        text += ",0";
    }
    try
    {
        (void)parse(text + "]}", "n.json");
        FAIL();
    }
    catch (const InputError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("more than 2000000 values"));
    }
}

const std::string kConv =
    R"({"name": "c", "kind": "conv2d", "channels": 6, "kernel": 1, "bias": false})";
const std::string kNorm = R"({"name": "bn", "kind": "batch_norm"})";

TEST(Fold, MovesABatchNormIntoTheConvolutionBeforeIt)
{
    const Network n = network_of({kInput, kConv, kNorm, R"({"name": "a", "kind": "softmax"})"});
    ASSERT_EQ(n.layers.size(), 3U);
    EXPECT_EQ(n.layers[1].name, "c");
    EXPECT_TRUE(n.layers[1].bias);
    EXPECT_EQ(n.layers[1].parameters, 4U * 6U + 2U * 6U);
    EXPECT_EQ(n.layers[2].inputs, std::vector<LayerId>{LayerId(1)});
    EXPECT_EQ(n.outputs, std::vector<LayerId>{LayerId(2)});
}

TEST(Fold, RenamesAnOutput)
{
    const Network n = network_of({kInput, kConv, kNorm}, R"(, "outputs": ["bn"])");
    ASSERT_EQ(n.layers.size(), 2U);
    EXPECT_EQ(n[n.outputs.at(0)].name, "c");
}

TEST(Fold, TakesSeveralInARowAndKeepsABias)
{
    const Network n = network_of({kInput, R"({"name": "d", "kind": "dense", "channels": 3})", kNorm,
                                  R"({"name": "bn2", "kind": "batch_norm"})"});
    ASSERT_EQ(n.layers.size(), 2U);
    EXPECT_EQ(n.layers[1].parameters, 4U * 3U + 3U + 4U * 3U);
}

TEST(Fold, KeepsAScaleThatOthersBypass)
{
    const std::string add = R"({"name": "s", "kind": "add", "inputs": ["bn", "c"]})";
    const Network read_twice = network_of({kInput, kConv, kNorm, add});
    ASSERT_EQ(read_twice.layers.size(), 4U);
    EXPECT_EQ(read_twice.layers[2].kind, LayerKind::batch_norm);
    EXPECT_EQ(read_twice.layers[2].parameters, 12U);
    EXPECT_FALSE(read_twice.layers[1].bias);

    EXPECT_EQ(network_of({kInput, kConv, kNorm}, R"(, "outputs": ["c", "bn"])").layers.size(), 3U);
    EXPECT_EQ(network_of({kInput, kNorm}).layers.size(), 2U) << "there is nothing to fold into";
    EXPECT_EQ(
        network_of({kInput, kConv, R"({"name": "a", "kind": "softmax"})", kNorm}).layers.size(),
        4U);
}

TEST(Fold, RewiresWhatFollows)
{
    const Network n = network_of({kInput, kConv, kNorm,
                                  R"({"name": "c2", "kind": "conv2d", "channels": 6, "kernel": 1})",
                                  R"({"name": "bn2", "kind": "batch_norm"})",
                                  R"({"name": "s", "kind": "add", "inputs": ["bn", "bn2"]})"});
    ASSERT_EQ(n.layers.size(), 4U);
    EXPECT_EQ(n.layers[3].inputs, (std::vector<LayerId>{LayerId(1), LayerId(2)}));
    EXPECT_EQ(n.layers[2].inputs, std::vector<LayerId>{LayerId(1)});
}

// Whatever happens to a file, it is either a network or an error with a place.
TEST(Parse, SurvivesDamagedFiles)
{
    std::ifstream stream(TESSERA_SOURCE_DIR "/models/networks/tinyyolov4.json");
    const std::string whole{std::istreambuf_iterator<char>(stream), {}};
    ASSERT_FALSE(whole.empty());
    std::uint64_t state = 1;
    const auto next = [&state](std::size_t below)
    {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        return static_cast<std::size_t>(state >> 33U) % below;
    };
    const std::string bytes = "\"{}[]:,019.-eE \n\t\\anu\xff";
    std::size_t accepted = 0;
    for (int trial = 0; trial < 2000; ++trial)
    {
        std::string text = whole;
        switch (trial % 3)
        {
        case 0:
            text[next(text.size())] = bytes[next(bytes.size())];
            break;
        case 1:
            text.erase(next(text.size()), next(40) + 1);
            break;
        default:
            text.insert(next(text.size()), text.substr(next(text.size()), next(60)));
            break;
        }
        try
        {
            const Network network = parse(text, "damaged.json");
            ++accepted;
            for (const Layer& layer : network.layers)
            {
                ASSERT_NE(layer.output.elements(), 0U);
            }
        }
        catch (const InputError& error)
        {
            ASSERT_EQ(error.place().file, "damaged.json");
        }
    }
    EXPECT_LT(accepted, 1000U); // some hit a blank or a name
}

} // namespace
} // namespace tessera::network
