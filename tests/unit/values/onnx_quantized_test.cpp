// SPDX-License-Identifier: Apache-2.0
// Quantised ONNX files: what their whole numbers become, against a plain evaluation of ONNX's own
// definitions (onnx_quantized.h).
//
// ONNX rounds halves to even, Tessera's ratios round them up; its scales are of infinite precision
// here, multipliers of ratios have 31, 20 (sums) and 15 (means) bits. So codes must be equal but
// where the exact result is a half, or nearer to one than the multiplier is exact; there they may
// differ by one. The evaluation goes on with the codes that were made, so every layer is judged on
// its own.
#include "onnx_quantized.h"

#include "config/load.h"
#include "network/onnx/import.h"
#include "tessera/error.h"
#include "values/crossbars.h"
#include "values/dataset.h"
#include "values/float_network.h"
#include "values/integer_file.h"
#include "values/quantize.h"
#include "values/reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

namespace tessera::values
{
namespace
{

using test::Numbers;
using test::QuantizedEvaluation;
using test::QuantizedModel;
namespace pb = ::onnx;

network::WeightedNetwork imported(const QuantizedModel& model)
{
    network::onnx::Imported all = network::onnx::import(
        network::onnx::decode_graph(model.bytes(), "model.onnx", network::onnx::Values::all));
    return {std::move(all.network), std::move(all.weights)};
}

IntegerNetwork integers_of(const QuantizedModel& model)
{
    return quantize(imported(model), nullptr, {}, "model.onnx");
}

/// A random quantised network, in QDQ form or of QLinear operators.
class RandomModel
{
public:
    enum class Form
    {
        qdq,
        qlinear
    };

    /// With `halves` all scales are powers of two, so that many results are halves.
    RandomModel(std::uint32_t seed, Form form, bool halves)
        : random_(seed), form_(form), halves_(halves)
    {
        channels_ = pick(1, 4);
        height_ = pick(4, 9);
        width_ = pick(4, 9);
        model.input("image", {1, channels_, height_, width_});
        if (halves)
        {
            at_.scale = 0x1p-7F;
        }
        else
        {
            at_.scale = 0.01F;
        }
        at_.type = code_type();
        at_.zero = zero_of(at_.type);
        input = at_;
        quantize("image");
        const int blocks = pick(1, 4);
        for (int block = 0; block < blocks; ++block)
        {
            switch (pick(0, 5))
            {
            case 3:
                branches();
                break;
            case 0:
                max_pool();
                break;
            case 1:
                mean("AveragePool");
                break;
            case 2:
                residual();
                break;
            default:
                conv(pick(0, 1) == 1);
            }
        }
        conv(true);
        mean("GlobalAveragePool");
        dense();
        model.output(at_.reals.empty() ? at_.codes : at_.reals, {1, kClasses},
                     at_.reals.empty() ? at_.type : int{pb::TensorProto::FLOAT});
    }

    QuantizedModel model;
    struct Tensor
    {
        std::string codes, reals; ///< names; the latter "" in QLinear form
        std::string scale_name, zero_name;
        float scale = 1;
        int type = pb::TensorProto::UINT8;
        std::int32_t zero = 0;
    } input;

    [[nodiscard]] std::vector<float> image()
    {
        std::vector<float> image;
        for (int i = 0; i < channels_in() * height_in() * width_in(); ++i)
        {
            // Quarters of codes, from below the least to above the greatest.
            image.push_back(static_cast<float>(pick(-1100, 1100)) / 4 * input.scale);
        }
        return image;
    }

private:
    static constexpr int kClasses = 5;

    int channels_in() { return dimension(1); }
    int height_in() { return dimension(2); }
    int width_in() { return dimension(3); }
    int dimension(int axis)
    {
        return static_cast<int>(
            model.graph().input(0).type().tensor_type().shape().dim(axis).dim_value());
    }
    int pick(int least, int most)
    {
        return std::uniform_int_distribution<int>(least, most)(random_);
    }
    int code_type() { return pick(0, 1) == 0 ? pb::TensorProto::UINT8 : pb::TensorProto::INT8; }
    int zero_of(int type) { return pick(20, 235) - (type == pb::TensorProto::INT8 ? 128 : 0); }
    float about(double scale)
    {
        return static_cast<float>(halves_ ? std::exp2(std::round(std::log2(scale))) : scale);
    }
    std::string next(const std::string& stem) { return stem + std::to_string(++count_); }

    /// Codes `reals` as `at_` says, and takes them out of the codes again.
    void quantize(const std::string& reals)
    {
        at_.scale_name = model.real(at_.scale);
        at_.zero_name = model.code(at_.type, at_.zero);
        at_.codes = next("codes");
        model.node("QuantizeLinear", at_.codes, {reals, at_.scale_name, at_.zero_name});
        dequantize();
    }
    void dequantize()
    {
        at_.reals.clear();
        if (form_ == Form::qdq)
        {
            at_.reals = next("reals");
            model.node("DequantizeLinear", at_.reals, {at_.codes, at_.scale_name, at_.zero_name});
        }
    }
    /// at_ is coded anew, with a scale near `scale`; with `cut` without codes below zero.
    void recode(double scale, bool cut)
    {
        at_.scale = about(scale);
        at_.type = code_type();
        at_.zero = cut ? (at_.type == pb::TensorProto::INT8 ? -128 : 0) : zero_of(at_.type);
        at_.scale_name = model.real(at_.scale);
        at_.zero_name = model.code(at_.type, at_.zero);
    }
    /// The result of a node, in either form.
    void result(const std::string& name)
    {
        if (form_ == Form::qdq)
        {
            const Tensor now = at_;
            quantize(name);
            at_.scale = now.scale;
        }
        else
        {
            at_.codes = name;
        }
    }

    struct Matrix
    {
        std::string codes, scale, zero;
        std::vector<float> scales;
        double mean = 0;
    };
    /// Weights, in QDQ form with their DequantizeLinear.
    Matrix weights(const std::vector<std::int64_t>& extents, std::int64_t axis)
    {
        Matrix its;
        const bool per_axis = pick(0, 1) == 1;
        const auto columns = static_cast<std::size_t>(extents[static_cast<std::size_t>(axis)]);
        for (std::size_t c = 0; c < (per_axis ? columns : 1); ++c)
        {
            its.scales.push_back(about(pick(10, 40) * 1e-4));
            its.mean += static_cast<double>(its.scales.back()) /
                        static_cast<double>(per_axis ? columns : 1);
        }
        const bool shifted = pick(0, 2) == 0; // unsigned around 128
        const int type = shifted ? pb::TensorProto::UINT8 : pb::TensorProto::INT8;
        std::int64_t count = 1;
        for (const std::int64_t extent : extents)
        {
            count *= extent;
        }
        std::vector<std::int32_t> codes;
        for (std::int64_t i = 0; i < count; ++i)
        {
            codes.push_back(pick(-128, 127) + (shifted ? 128 : 0));
        }
        its.codes = model.codes(extents, type, codes);
        const auto one = [&](std::size_t size) -> std::vector<std::int64_t>
        {
            return per_axis ? std::vector<std::int64_t>{static_cast<std::int64_t>(size)}
                            : std::vector<std::int64_t>{};
        };
        its.scale = model.reals(one(columns), its.scales);
        its.zero = model.codes(one(columns), type,
                               std::vector<std::int32_t>(its.scales.size(), shifted ? 128 : 0));
        if (form_ == Form::qdq)
        {
            const std::string reals = next("weights");
            QuantizedModel::set(
                model.node("DequantizeLinear", reals, {its.codes, its.scale, its.zero}), "axis",
                axis);
            its.codes = reals;
        }
        return its;
    }
    /// Codes of 32 bits, in QDQ form with their DequantizeLinear.
    std::string bias(const Matrix& weights, int channels)
    {
        std::vector<std::int32_t> codes;
        std::vector<float> scales;
        for (int c = 0; c < channels; ++c)
        {
            codes.push_back(pick(-20000, 20000));
            scales.push_back(
                at_.scale *
                weights.scales[weights.scales.size() == 1 ? 0 : static_cast<std::size_t>(c)]);
        }
        std::string name = model.codes({channels}, pb::TensorProto::INT32, codes);
        if (form_ == Form::qdq)
        {
            const std::string reals = next("bias");
            QuantizedModel::set(
                model.node("DequantizeLinear", reals, {name, model.reals({channels}, scales)}),
                "axis", 0);
            name = reals;
        }
        return name;
    }

    void conv(bool strides, bool keep_shape = false)
    {
        const int kernel = keep_shape ? 3 : pick(1, std::min(3, std::min(height_, width_)));
        const bool depthwise = !keep_shape && pick(0, 4) == 0;
        const int outputs = keep_shape || depthwise ? channels_ : pick(1, 6);
        const int stride = strides && !keep_shape ? pick(1, 2) : 1;
        const int pad = kernel / 2;
        const Matrix w = weights({outputs, depthwise ? 1 : channels_, kernel, kernel}, 0);
        const std::string shift = pick(0, 2) == 0 ? "" : bias(w, outputs);
        const std::string name = next("conv");
        const Tensor from = at_;
        const int cut = pick(0, 2); // 1: a relu, 2: a clip
        const double rows = (depthwise ? 1 : channels_) * kernel * kernel;
        recode(static_cast<double>(from.scale) * w.mean * std::sqrt(rows) * pick(20, 80),
               cut != 0 && form_ == Form::qlinear);
        pb::NodeProto* node = nullptr;
        if (form_ == Form::qdq)
        {
            std::vector<std::string> inputs{from.reals, w.codes};
            if (!shift.empty())
            {
                inputs.push_back(shift);
            }
            node = &model.node("Conv", name, inputs);
        }
        else
        {
            std::vector<std::string> inputs{from.codes,     from.scale_name, from.zero_name,
                                            w.codes,        w.scale,         w.zero,
                                            at_.scale_name, at_.zero_name};
            if (!shift.empty())
            {
                inputs.push_back(shift);
            }
            node = &model.node("QLinearConv", name, inputs);
        }
        QuantizedModel::set(*node, "kernel_shape", {kernel, kernel});
        QuantizedModel::set(*node, "strides", {stride, stride});
        QuantizedModel::set(*node, "pads", {pad, pad, pad, pad});
        QuantizedModel::set(*node, "group", std::int64_t{depthwise ? channels_ : 1});
        std::string last = name;
        if (form_ == Form::qdq && cut == 1)
        {
            last = next("relu");
            model.node("Relu", last, {name});
        }
        else if (form_ == Form::qdq && cut == 2)
        {
            last = next("clip");
            model.node("Clip", last, {name, model.real(0), model.real(6)});
        }
        result(last);
        channels_ = outputs;
        height_ = (height_ + 2 * pad - kernel) / stride + 1;
        width_ = (width_ + 2 * pad - kernel) / stride + 1;
    }

    void max_pool()
    {
        if (std::min(height_, width_) < 4)
        {
            return;
        }
        const std::string name = next("max");
        pb::NodeProto& node =
            model.node("MaxPool", name, {at_.reals.empty() ? at_.codes : at_.reals});
        QuantizedModel::set(node, "kernel_shape", {2, 2});
        QuantizedModel::set(node, "strides", {2, 2});
        result(name);
        height_ /= 2;
        width_ /= 2;
    }

    void mean(const std::string& operation)
    {
        const bool global = operation[0] == 'G';
        if (!global && std::min(height_, width_) < 4)
        {
            return;
        }
        const std::string name = next("mean");
        const Tensor from = at_;
        recode(static_cast<double>(from.scale) * pick(30, 90) / 100, false);
        pb::NodeProto& node = form_ == Form::qdq
                                  ? model.node(operation, name, {from.reals})
                                  : model.node("QLinear" + operation, name,
                                               {from.codes, from.scale_name, from.zero_name,
                                                at_.scale_name, at_.zero_name},
                                               "com.microsoft");
        if (!global)
        {
            QuantizedModel::set(node, "kernel_shape", {3, 3});
            QuantizedModel::set(node, "strides", {2, 2});
            QuantizedModel::set(node, "pads", {1, 1, 1, 1});
        }
        result(name);
        height_ = global ? 1 : (height_ - 1) / 2 + 1;
        width_ = global ? 1 : (width_ - 1) / 2 + 1;
    }

    void residual()
    {
        const Tensor before = at_;
        conv(false, true);
        const Tensor after = at_;
        const std::string name = next("sum");
        recode(static_cast<double>(before.scale + after.scale) * pick(60, 110) / 100, false);
        if (form_ == Form::qdq)
        {
            model.node("Add", name, {before.reals, after.reals});
        }
        else
        {
            model.node("QLinearAdd", name,
                       {before.codes, before.scale_name, before.zero_name, after.codes,
                        after.scale_name, after.zero_name, at_.scale_name, at_.zero_name},
                       "com.microsoft");
        }
        result(name);
    }

    /// What was there and what a convolution makes of it, behind one another: both with scales of
    /// their own, or the first one's for all.
    void branches()
    {
        const Tensor before = at_;
        const int channels = channels_;
        conv(false, true);
        const Tensor after = at_;
        const std::string name = next("concat");
        const double scale = static_cast<double>(std::max(before.scale, after.scale));
        recode(scale * pick(60, 110) / 100, false);
        if (pick(0, 3) == 0)
        {
            at_ = before;
        }
        if (form_ == Form::qdq)
        {
            QuantizedModel::set(model.node("Concat", name, {before.reals, after.reals}), "axis", 1);
        }
        else
        {
            QuantizedModel::set(
                model.node("QLinearConcat", name,
                           {at_.scale_name, at_.zero_name, before.codes, before.scale_name,
                            before.zero_name, after.codes, after.scale_name, after.zero_name},
                           "com.microsoft"),
                "axis", 1);
        }
        result(name);
        channels_ += channels;
    }

    void dense()
    {
        const std::string flat = next("flat");
        model.node("Flatten", flat, {at_.reals.empty() ? at_.codes : at_.reals});
        const Tensor from = at_;
        const std::string name = next("dense");
        const bool gemm = form_ == Form::qdq && pick(0, 1) == 1;
        const Matrix w =
            gemm ? weights({kClasses, channels_}, 0) : weights({channels_, kClasses}, 1);
        const std::string shift = gemm ? bias(w, kClasses) : "";
        recode(static_cast<double>(from.scale) * w.mean * std::sqrt(channels_) * pick(20, 80),
               false);
        if (gemm)
        {
            QuantizedModel::set(model.node("Gemm", name, {flat, w.codes, shift}), "transB", 1);
        }
        else if (form_ == Form::qdq)
        {
            model.node("MatMul", name, {flat, w.codes});
        }
        else
        {
            model.node("QLinearMatMul", name,
                       {flat, from.scale_name, from.zero_name, w.codes, w.scale, w.zero,
                        at_.scale_name, at_.zero_name});
        }
        result(name);
    }

    std::mt19937 random_;
    Form form_;
    bool halves_;
    int count_ = 0;
    int channels_ = 1, height_ = 1, width_ = 1;
    Tensor at_;
};

struct Tally
{
    std::size_t elements = 0; ///< that were compared
    std::size_t halves = 0;   ///< exact halves that differ by one
    std::size_t close = 0;    ///< nearer to a half than the multiplier is exact
    std::size_t wrong = 0;
    std::string first; ///< that is wrong
};

/// Compares all layers of one image with what ONNX says.
void compare(const QuantizedModel& model, const IntegerNetwork& integers,
             const std::vector<float>& image, Tally& tally)
{
    const network::Network& network = integers.network;
    const network::Shape& in = network[integers.input()].output;
    std::vector<float> ours; // rows, columns, channels
    for (std::size_t i = 0; i < image.size(); ++i)
    {
        const std::size_t plane = std::size_t{in.height} * in.width;
        ours.push_back(image[i % in.channels * plane + i / in.channels]);
    }
    const auto maps = run(integers, integers.codes(ours.data()));
    const auto judge = [&](const QuantizedEvaluation::Rounded& at)
    {
        const auto found = std::find_if(network.layers.begin(), network.layers.end(),
                                        [&](const auto& layer) { return layer.name == at.maker; });
        ASSERT_NE(found, network.layers.end()) << at.maker;
        const auto& map = maps[static_cast<std::size_t>(found - network.layers.begin())];
        ASSERT_EQ(map.size(), at.codes.values.size()) << at.maker;
        const std::size_t channels = found->output.channels;
        const std::size_t plane = map.size() / channels;
        for (std::size_t i = 0; i < map.size(); ++i)
        {
            const double made = map[i % plane * channels + i / plane] + at.zero_point;
            double& wanted = at.codes.values[i];
            ++tally.elements;
            if (made == wanted)
            {
                continue;
            }
            const double exact = at.before.values[i];
            const double to_half = std::abs(exact - std::floor(exact) - 0.5);
            if (std::abs(made - wanted) == 1 && to_half <= 1e-12)
            {
                ++tally.halves;
            }
            else if (std::abs(made - wanted) == 1 && to_half <= at.before.near(i) + 1e-12)
            {
                ++tally.close;
            }
            else if (++tally.wrong == 1)
            {
                tally.first = at.maker + '[' + std::to_string(i) + "]: " + std::to_string(exact) +
                              " became " + std::to_string(made - at.zero_point);
            }
            wanted = made;
        }
    };
    QuantizedEvaluation evaluation(model.proto(), judge);
    evaluation.run({image.begin(), image.end()});
}

class Random : public testing::TestWithParam<RandomModel::Form>
{
};

TEST_P(Random, CodesAreThoseOfOnnx)
{
    for (const bool halves : {false, true})
    {
        Tally tally;
        std::ptrdiff_t scaled = 0; // layers that put data of several scales behind one another
        for (std::uint32_t seed = 1; seed <= 150; ++seed)
        {
            SCOPED_TRACE(seed);
            RandomModel random(seed, GetParam(), halves);
            const IntegerNetwork integers = integers_of(random.model);
            scaled += std::count_if(integers.network.layers.begin(), integers.network.layers.end(),
                                    [&](const network::Layer& layer)
                                    {
                                        const auto i = static_cast<std::size_t>(
                                            &layer - integers.network.layers.data());
                                        return layer.kind == network::LayerKind::concat &&
                                               !integers.layers[i].ratio.empty();
                                    });
            for (int image = 0; image < 2; ++image)
            {
                compare(random.model, integers, random.image(), tally);
            }
            ASSERT_EQ(tally.wrong, 0) << tally.first;
        }
        std::cout << (halves ? "powers of two: " : "any scales: ") << tally.elements
                  << " codes, unlike at halves " << tally.halves << ", nearer to one than a ratio "
                  << tally.close << '\n';
        EXPECT_GT(tally.elements, 20'000);
        EXPECT_GT(scaled, 30);
        if (halves)
        {
            EXPECT_GT(tally.halves, 0); // the two roundings do differ
        }
        else
        {
            EXPECT_LT(tally.close, tally.elements / 200);
        }
    }
}

TEST(Qdq, HasTheShapesAndProductsOfTheFloatGraph)
{
    for (std::uint32_t seed = 1; seed <= 40; ++seed)
    {
        SCOPED_TRACE(seed);
        RandomModel random(seed, RandomModel::Form::qdq, false);
        const network::Network quantised = imported(random.model).network;
        // Without any codes: weights are reals of these extents, everything else is itself.
        QuantizedModel plain = random.model;
        pb::GraphProto& graph = plain.graph();
        std::map<std::string, std::string> is;
        const auto resolved = [&](const std::string& name)
        { return is.count(name) == 0 ? name : is[name]; };
        pb::GraphProto kept = graph;
        kept.clear_node();
        for (pb::TensorProto& tensor : *kept.mutable_initializer())
        {
            if (tensor.int32_data_size() > 1)
            {
                tensor.set_data_type(pb::TensorProto::FLOAT);
                tensor.clear_int32_data();
            }
        }
        for (pb::NodeProto node : graph.node())
        {
            if (node.op_type() == "QuantizeLinear" || node.op_type() == "DequantizeLinear")
            {
                is[node.output(0)] = resolved(node.input(0));
                continue;
            }
            for (std::string& input : *node.mutable_input())
            {
                input = resolved(input);
            }
            *kept.add_node() = node;
        }
        for (pb::ValueInfoProto& output : *kept.mutable_output())
        {
            output.set_name(resolved(output.name()));
        }
        graph = kept;
        const network::Network floats = imported(plain).network;
        ASSERT_EQ(quantised.layers.size(), floats.layers.size());
        for (std::size_t i = 0; i < floats.layers.size(); ++i)
        {
            EXPECT_EQ(quantised.layers[i].name, floats.layers[i].name);
            EXPECT_EQ(quantised.layers[i].kind, floats.layers[i].kind);
            EXPECT_EQ(quantised.layers[i].output, floats.layers[i].output);
        }
        EXPECT_EQ(quantised.macs(), floats.macs());
        EXPECT_EQ(quantised.parameters(), floats.parameters());
    }
}

TEST_P(Random, LosslessCrossbarsGiveTheSameBitsAndFiniteOnesThoseOfTheReference)
{
    std::size_t raised = 0; // layers whose rows are driven from their zero point
    for (std::uint32_t seed = 1; seed <= 12; ++seed)
    {
        SCOPED_TRACE(seed);
        RandomModel random(seed, GetParam(), false);
        const IntegerNetwork integers = integers_of(random.model);
        for (const char* signs : {"differential", "offset"})
        {
            config::ChipConfig chip = config::load("clsa-256", {"macro.adc.range=full"}, {});
            chip.macro.cell.signs = signs;
            chip.macro.rows = 16; // several blocks, the last ones not full
            chip.macro.columns = 4;
            chip.macro.adc.bits = 6;
            ASSERT_EQ(chip.macro.input_bits, 8);
            const Analogue analogue = analogue_of(chip);
            const std::vector<Piece> pieces = pieces_of(integers, chip);
            for (const Piece& piece : pieces)
            {
                const IntegerLayer& operand = integers[integers.network[piece.layer].inputs[0]];
                raised += coding_of(analogue, {operand.least, operand.most}) ==
                                  numerics::InputCoding::zero_point
                              ? 1
                              : 0;
            }
            const Map<std::int32_t> codes = integers.codes(random.image().data());
            const Crossbars exact(integers, pieces, lossless(analogue), 1, 1);
            EXPECT_EQ(run(integers, codes, &exact), run(integers, codes)) << signs;
            const Crossbars finite(integers, pieces, noiseless(analogue), 1, 1);
            EXPECT_EQ(run(integers, codes, &finite),
                      finite_noiseless(integers, pieces, noiseless(analogue), codes))
                << signs;
        }
    }
    EXPECT_GT(raised, 10);
}

TEST_P(Random, TheFloatNetworkRoundsAsTheFileDoes)
{
    double off = 0;
    std::size_t count = 0;
    for (std::uint32_t seed = 1; seed <= 20; ++seed)
    {
        RandomModel random(seed, GetParam(), false);
        const network::WeightedNetwork weighted = imported(random.model);
        const IntegerNetwork integers = integers_of(random.model);
        const std::vector<float> image = random.image();
        const auto reals = FloatNetwork(weighted).run(image.data());
        const auto codes = run(integers, integers.codes(image.data()));
        const std::size_t out = weighted.network.outputs.front().index();
        for (std::size_t i = 0; i < codes[out].size(); ++i)
        {
            off = std::max(
                off, std::abs(static_cast<double>(reals[out][i]) / integers.layers[out].scale -
                              codes[out][i]));
            ++count;
        }
    }
    // Of a code or two, where a rounding of single precision went the other way before.
    EXPECT_LT(off, 2.5) << count;
}

INSTANTIATE_TEST_SUITE_P(Forms, Random,
                         testing::Values(RandomModel::Form::qdq, RandomModel::Form::qlinear),
                         [](const auto& form)
                         { return form.param == RandomModel::Form::qdq ? "qdq" : "qlinear"; });

/// The whole numbers of lenet5-fashion as a QDQ file: weights [outputs, inputs, rows, columns],
/// scales of weights so that each ratio is theirs, in single precision.
QuantizedModel exported_lenet(const IntegerNetwork& integers)
{
    QuantizedModel model;
    model.input("image", {1, 1, 28, 28});
    std::string at = "image";
    float scale = 0;
    const network::Network& network = integers.network;
    const auto code = [&](std::size_t i, int type)
    {
        scale = static_cast<float>(integers.layers[i].scale);
        const std::string name = network.layers[i].name;
        const std::string by = model.real(scale);
        const std::string zero = model.code(type, 0);
        model.node("QuantizeLinear", name + ".codes", {at, by, zero});
        at = name + ".reals";
        model.node("DequantizeLinear", at, {name + ".codes", by, zero});
    };
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        const network::Layer& layer = network.layers[i];
        const IntegerLayer& its = integers.layers[i];
        const bool last = i + 1 == network.layers.size();
        switch (layer.kind)
        {
        case network::LayerKind::input:
            code(i, pb::TensorProto::UINT8);
            break;
        case network::LayerKind::conv2d:
        case network::LayerKind::dense:
        {
            const bool conv = layer.kind == network::LayerKind::conv2d;
            const network::Shape& from = network.input_shape(layer);
            // What a dense layer after a map reads is rows x columns x channels of it here, but
            // channels x rows x columns in ONNX.
            const bool flattened = network[layer.inputs[0]].kind == network::LayerKind::reshape;
            const std::size_t channels =
                conv ? from.channels
                     : (flattened ? network.input_shape(network[layer.inputs[0]]).channels : 1);
            const std::size_t rows = its.weights.rows();
            const std::size_t places = rows / channels;
            std::vector<std::int32_t> codes;
            std::vector<float> scales;
            std::vector<float> units;
            for (std::size_t column = 0; column < its.weights.columns(); ++column)
            {
                for (std::size_t c = 0; c < channels; ++c)
                {
                    for (std::size_t place = 0; place < places; ++place)
                    {
                        codes.push_back(its.weights(place * channels + c, column));
                    }
                }
                const Ratio& ratio = its.ratio[column];
                const double exact = std::ldexp(static_cast<double>(ratio.multiplier),
                                                -static_cast<int>(ratio.shift));
                // The result's scale is that of the layer, also where a relu follows.
                scales.push_back(
                    static_cast<float>(exact * static_cast<double>(static_cast<float>(its.scale)) /
                                       static_cast<double>(scale)));
                units.push_back(scale * scales.back());
            }
            const auto outputs = static_cast<std::int64_t>(its.weights.columns());
            const std::vector<std::int64_t> extents =
                conv ? std::vector<std::int64_t>{outputs, from.channels, layer.kernel_height,
                                                 layer.kernel_width}
                     : std::vector<std::int64_t>{outputs, static_cast<std::int64_t>(rows)};
            QuantizedModel::set(model.node("DequantizeLinear", layer.name + ".weights",
                                           {model.codes(extents, pb::TensorProto::INT8, codes),
                                            model.reals({outputs}, scales)}),
                                "axis", 0);
            QuantizedModel::set(model.node("DequantizeLinear", layer.name + ".bias",
                                           {model.codes({outputs}, pb::TensorProto::INT32,
                                                        {its.bias.begin(), its.bias.end()}),
                                            model.reals({outputs}, units)}),
                                "axis", 0);
            pb::NodeProto& node = model.node(conv ? "Conv" : "Gemm", layer.name,
                                             {at, layer.name + ".weights", layer.name + ".bias"});
            if (conv)
            {
                QuantizedModel::set(node, "pads",
                                    {layer.padding.top, layer.padding.left, layer.padding.bottom,
                                     layer.padding.right});
            }
            else
            {
                QuantizedModel::set(node, "transB", 1);
            }
            at = layer.name;
            if (last)
            {
                code(i, pb::TensorProto::INT16);
            }
            break;
        }
        case network::LayerKind::activation:
            model.node("Relu", layer.name, {at});
            at = layer.name;
            code(i, pb::TensorProto::UINT8);
            break;
        case network::LayerKind::max_pool:
        {
            pb::NodeProto& node = model.node("MaxPool", layer.name, {at});
            QuantizedModel::set(node, "kernel_shape", {layer.kernel_height, layer.kernel_width});
            QuantizedModel::set(node, "strides", {layer.stride_height, layer.stride_width});
            at = layer.name;
            code(i, pb::TensorProto::UINT8);
            break;
        }
        default:
            model.node("Flatten", "flat", {at});
            at = "flat";
        }
    }
    model.output(at, {1, 10});
    return model;
}

TEST(Lenet, ComesBackFromAQdqFileBitForBit)
{
    const std::string source = TESSERA_SOURCE_DIR;
    const IntegerNetwork before =
        load_integers(source + "/models/networks/lenet5-fashion.integers").integers;
    const IntegerNetwork after = integers_of(exported_lenet(before));
    ASSERT_EQ(after.layers.size(), before.layers.size());
    double worst = 0; // of ratios, which go through single precision
    for (std::size_t i = 0; i < before.layers.size(); ++i)
    {
        const IntegerLayer& one = before.layers[i];
        const IntegerLayer& other = after.layers[i];
        SCOPED_TRACE(before.network.layers[i].name);
        EXPECT_EQ(after.network.layers[i].kind, before.network.layers[i].kind);
        EXPECT_EQ(other.least, one.least);
        EXPECT_EQ(other.most, one.most);
        EXPECT_EQ(other.bias, one.bias);
        ASSERT_EQ(other.weights.rows(), one.weights.rows());
        for (std::size_t row = 0; row < one.weights.rows(); ++row)
        {
            for (std::size_t c = 0; c < one.weights.columns(); ++c)
            {
                ASSERT_EQ(other.weights(row, c), one.weights(row, c)) << row << ' ' << c;
            }
        }
        ASSERT_EQ(other.ratio.size(), one.ratio.size());
        const auto value = [](const Ratio& ratio) {
            return std::ldexp(static_cast<double>(ratio.multiplier),
                              -static_cast<int>(ratio.shift));
        };
        for (std::size_t c = 0; c < one.ratio.size(); ++c)
        {
            worst = std::max(worst, std::abs(value(other.ratio[c]) / value(one.ratio[c]) - 1));
        }
    }
    EXPECT_LT(worst, 0x1p-24 + 0x1p-29);
    // The file that tests of the program take is the same.
    const IntegerNetwork shipped =
        quantize(network::load_with_weights(source + "/tests/oracle/lenet5-fashion-qdq.onnx"),
                 nullptr, {}, "lenet5-fashion-qdq.onnx");
    ASSERT_EQ(shipped.layers.size(), after.layers.size());
    const std::size_t count = 20;
    network::Layer image;
    image.output = {28, 28, 1};
    const Dataset images = load_dataset(source + "/tests/oracle/fashion-200-images-idx3-ubyte.gz",
                                        "", image, 0, count);
    const std::size_t out = before.network.outputs.front().index();
    for (std::size_t i = 0; i < count; ++i)
    {
        const float* image = images.image(i);
        ASSERT_EQ(before.codes(image), after.codes(image));
        EXPECT_EQ(run(after, after.codes(image))[out], run(before, before.codes(image))[out]) << i;
        EXPECT_EQ(run(shipped, shipped.codes(image)), run(after, after.codes(image))) << i;
    }
}

/// image -> conv -> relu -> dense, all of it quantised.
struct Small
{
    QuantizedModel model;
    Small()
    {
        model.input("image", {1, 2, 4, 4});
        code("image", "in", 0.01F, pb::TensorProto::UINT8, 7);
        QuantizedModel::set(
            model.node("DequantizeLinear", "w",
                       {model.codes({3, 2, 1, 1}, pb::TensorProto::INT8, {1, -2, 3, -4, 5, -6}),
                        model.reals({3}, {0.1F, 0.2F, 0.3F})}),
            "axis", 0);
        model.node("Conv", "conv", {"in.reals", "w"});
        model.node("Relu", "relu", {"conv"});
        code("relu", "mid", 0.02F, pb::TensorProto::UINT8, 0);
        model.node("Flatten", "flat", {"mid.reals"});
        model.node("DequantizeLinear", "v",
                   {model.codes({48, 2}, pb::TensorProto::INT8, std::vector<std::int32_t>(96, 3)),
                    model.real(0.5F)});
        model.node("MatMul", "dense", {"flat", "v"});
        code("dense", "out", 0.5F, pb::TensorProto::INT8, 3);
        model.output("out.reals", {1, 2});
    }
    void code(const std::string& from, const std::string& name, float scale, int type,
              std::int32_t zero)
    {
        const std::string by = model.real(scale);
        const std::string at = model.code(type, zero);
        model.node("QuantizeLinear", name + ".codes", {from, by, at});
        model.node("DequantizeLinear", name + ".reals", {name + ".codes", by, at});
    }
    pb::NodeProto& node(const std::string& name)
    {
        for (pb::NodeProto& node : *model.graph().mutable_node())
        {
            if (node.name() == name)
            {
                return node;
            }
        }
        throw std::logic_error(name);
    }
    void remove(const std::string& name)
    {
        auto& nodes = *model.graph().mutable_node();
        for (int i = 0; i < nodes.size(); ++i)
        {
            if (nodes[i].name() == name)
            {
                nodes.DeleteSubrange(i, 1);
                return;
            }
        }
    }
};

std::string message_of(const std::function<void(Small&)>& spoil)
{
    Small small;
    spoil(small);
    try
    {
        static_cast<void>(integers_of(small.model));
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.code(), ExitCode::bad_input);
        EXPECT_FALSE(error.remedy().empty());
        return error.what();
    }
    return "";
}

TEST(BadCodes, AreNamedWithTheirNode)
{
    using testing::AllOf;
    using testing::HasSubstr;
    const auto scale = [](const std::string& node, float value)
    { return [=](Small& small) { small.node(node).set_input(1, small.model.real(value)); }; };
    const auto zero = [](const std::string& node, int type, const std::vector<std::int32_t>& values)
    {
        return [=](Small& small)
        {
            pb::NodeProto& at = small.node(node);
            const std::vector<std::int64_t> extents =
                values.size() == 1
                    ? std::vector<std::int64_t>{}
                    : std::vector<std::int64_t>{static_cast<std::int64_t>(values.size())};
            const std::string name = small.model.codes(extents, type, values);
            while (at.input_size() > 2)
            {
                at.mutable_input()->RemoveLast();
            }
            at.add_input(name);
        };
    };
    EXPECT_EQ(message_of([](Small&) {}), "");
    for (const float value : {0.0F, -0.5F, std::numeric_limits<float>::quiet_NaN(),
                              std::numeric_limits<float>::infinity()})
    {
        EXPECT_THAT(message_of(scale("mid.codes", value)),
                    AllOf(HasSubstr("/graph/mid.codes: has a scale of"), HasSubstr("above 0")));
        EXPECT_THAT(message_of(scale("v", value)), HasSubstr("/graph/v: has a scale of"));
    }
    EXPECT_THAT(message_of(zero("mid.codes", pb::TensorProto::INT32, {0})),
                HasSubstr("/graph/mid.codes: makes codes of type int32"));
    EXPECT_THAT(message_of(zero("mid.codes", pb::TensorProto::INT64, {0})),
                HasSubstr("zero point that is no whole number of 8, 16 or 32 bits"));
    EXPECT_THAT(message_of(zero("mid.reals", pb::TensorProto::INT8, {0})),
                HasSubstr("/graph/mid.reals: has a zero point of type int8 for codes of type "
                          "uint8; give both the same type"));
    EXPECT_THAT(message_of(zero("w", pb::TensorProto::UINT8, {0, 0, 0})),
                HasSubstr("/graph/w: has a zero point of type uint8 for codes of type int8"));
    EXPECT_THAT(message_of(zero("w", pb::TensorProto::INT8, {0, 0})),
                HasSubstr("has 2 zero points for 3 scales"));
    EXPECT_THAT(message_of(zero("mid.codes", pb::TensorProto::UINT8, {300})),
                HasSubstr("has a zero point of 300 for codes of type uint8"));
    EXPECT_THAT(message_of(
                    [](Small& small)
                    {
                        pb::NodeProto& at = small.node("mid.codes");
                        at.mutable_input()->DeleteSubrange(1, 2);
                    }),
                HasSubstr("/graph/mid.codes: has no scale; give it"));
    EXPECT_THAT(message_of([](Small& small) { small.node("w").mutable_attribute(0)->set_i(1); }),
                HasSubstr("/graph/w: has 3 scales for the 2 positions of axis 1"));
    EXPECT_THAT(message_of([](Small& small) { small.node("w").mutable_attribute(0)->set_i(9); }),
                HasSubstr("/graph/w: has scales along axis 9 of a tensor of 4 axes"));
    EXPECT_THAT(message_of(
                    [](Small& small)
                    {
                        small.node("w").mutable_attribute(0)->set_i(1);
                        small.node("w").set_input(1, small.model.reals({2}, {1, 1}));
                    }),
                HasSubstr("/graph/conv: has weights with a scale for each position of axis 1"));
    EXPECT_THAT(message_of(
                    [](Small& small) {
                        small.node("w").set_input(1, small.model.reals({3, 1}, {1, 1, 1}));
                    }),
                HasSubstr("/graph/w: has scales of 2 axes"));
    EXPECT_THAT(
        message_of([](Small& small)
                   { small.node("v").set_input(1, small.model.code(pb::TensorProto::INT8, 1)); }),
        HasSubstr("/graph/v: has a scale that is a whole number"));
    EXPECT_THAT(message_of([](Small& small) { small.node("v").set_input(0, small.model.real(1)); }),
                HasSubstr("/graph/v: dequantises what are no whole numbers"));
    EXPECT_THAT(message_of([](Small& small) { small.node("w").set_input(1, "in.reals"); }),
                HasSubstr("at 'w'"));
    EXPECT_THAT(message_of(
                    [](Small& small)
                    {
                        small.node("dense").set_op_type("MatMulInteger");
                        small.node("dense").set_input(1, small.node("v").input(0));
                    }),
                HasSubstr("quantise the model statically"));
    // What is right ONNX, but no whole numbers can be made of.
    EXPECT_THAT(message_of(zero("v", pb::TensorProto::INT8, {-126})),
                HasSubstr("/graph/dense: has a weight of 129 steps from its zero point"));
    EXPECT_THAT(message_of(
                    [](Small& small)
                    {
                        small.remove("out.codes");
                        small.remove("out.reals");
                        small.model.graph().mutable_output(0)->set_name("dense");
                    }),
                AllOf(HasSubstr("/graph/dense: has no codes of the output of layer \"dense\""),
                      HasSubstr("--calibrate")));
    EXPECT_THAT(message_of(
                    [](Small& small) {
                        small.node("conv").set_input(
                            1, small.model.reals({3, 2, 1, 1}, {1, 2, 3, 4, 5, 6}));
                    }),
                HasSubstr("no codes of the weights of layer"));
    // Codes of another scale are made of codes by a layer.
    EXPECT_EQ(message_of(
                  [](Small& small)
                  {
                      small.code("mid.reals", "again", 0.04F, pb::TensorProto::UINT8, 0);
                      small.node("flat").set_input(0, "again.reals");
                  }),
              "");
    EXPECT_THAT(message_of(scale("out.codes", 1e-30F)), HasSubstr("/graph/"));
}

TEST(BadCodes, AnyByteMayBeWrong)
{
    std::size_t accepted = 0;
    std::size_t refused = 0;
    for (const char* seed : {"qdq", "qlinear"})
    {
        std::ifstream file(std::string(TESSERA_SOURCE_DIR "/tests/fuzz/corpus/onnx/") + seed,
                           std::ios::binary);
        const std::string whole{std::istreambuf_iterator<char>(file), {}};
        ASSERT_FALSE(whole.empty());
        for (std::size_t at = 0; at < whole.size(); ++at)
        {
            for (const int change : {0x01, 0x40, 0x80, 0xFF})
            {
                std::string bytes = whole;
                bytes[at] = static_cast<char>(bytes[at] ^ change);
                try
                {
                    network::onnx::Imported all = network::onnx::import(network::onnx::decode_graph(
                        bytes, "model.onnx", network::onnx::Values::all));
                    const IntegerNetwork integers =
                        quantize({std::move(all.network), std::move(all.weights)}, nullptr, {},
                                 "model.onnx");
                    ++accepted; // and checked
                }
                catch (const InputError& error)
                {
                    EXPECT_FALSE(error.remedy().empty()) << error.what();
                    ++refused;
                }
            }
        }
    }
    EXPECT_GT(accepted, 100);
    EXPECT_GT(refused, 1000);
}

TEST(PartlyQuantised, GetsRangesFromImages)
{
    Small small;
    small.remove("out.codes");
    small.remove("out.reals");
    small.model.graph().mutable_output(0)->set_name("dense");
    const network::WeightedNetwork weighted = imported(small.model);
    Dataset images;
    images.shape = {4, 4, 2};
    std::mt19937 random(3);
    for (int i = 0; i < 32 * 20; ++i)
    {
        images.pixels.push_back(static_cast<float>(random() % 1000) * 1e-3F);
    }
    const IntegerNetwork integers = quantize(weighted, &images, {}, "model.onnx");
    const auto layer = [&](const std::string& name) -> const IntegerLayer&
    {
        for (std::size_t i = 0; i < integers.layers.size(); ++i)
        {
            if (integers.network.layers[i].name == name)
            {
                return integers.layers[i];
            }
        }
        throw std::logic_error(name);
    };
    EXPECT_EQ(layer("image").least, -7);
    EXPECT_EQ(layer("image").most, 248);
    EXPECT_EQ(layer("relu").scale, static_cast<double>(0.02F));
    EXPECT_EQ(layer("conv").weights(1, 2), -6);
    EXPECT_EQ(layer("dense").most, 65535) << "outputs keep 16 bits, here without a sign";
    EXPECT_GT(layer("dense").scale, 0);
}

} // namespace
} // namespace tessera::values
