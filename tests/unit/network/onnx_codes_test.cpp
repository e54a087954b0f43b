// SPDX-License-Identifier: Apache-2.0
// Where codes are, and what layers know of them.
#include "onnx_run.h"
#include "tessera/error.h"
#include "unit/values/onnx_quantized.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace tessera::network
{
namespace
{

using test::QuantizedModel;
using testing::ElementsAre;
using testing::HasSubstr;
namespace pb = ::onnx;

using Extents = std::vector<std::int64_t>;

/// An input x of 1 x 2 x 2 x 2 reals, and an output y.
onnx::Imported imported(const std::function<void(QuantizedModel&)>& build)
{
    QuantizedModel model;
    model.input("x", {1, 2, 2, 2});
    build(model);
    model.output("y", {});
    return import_bytes(model.bytes());
}

/// `name`.codes and `name`, which has the reals of the codes.
void quantise(QuantizedModel& model, const std::string& from, const std::string& name, float scale,
              std::int32_t zero)
{
    const std::string its_scale = model.real(scale);
    const std::string its_zero = model.code(pb::TensorProto::INT8, zero);
    model.node("QuantizeLinear", name + ".codes", {from, its_scale, its_zero});
    model.node("DequantizeLinear", name, {name + ".codes", its_scale, its_zero});
}

const Weights& last(const onnx::Imported& made)
{
    return made.weights.back();
}

std::vector<std::string> kinds_of(const Network& network)
{
    std::vector<std::string> kinds;
    for (const Layer& layer : network.layers)
    {
        kinds.emplace_back(name_of(layer.kind));
    }
    return kinds;
}

TEST(OnnxCodes, FunctionsOfCodesAreNoActivations)
{
    // On codes Relu cuts at code 0, which is 10 codes above the zero point, and Clip at code 91.
    const onnx::Imported made = imported(
        [](QuantizedModel& model)
        {
            quantise(model, "x", "q", 0.5F, -10);
            model.graph().mutable_node()->RemoveLast();
            model.node("Relu", "relu", {"q.codes"});
            model.node("Clip", "clip",
                       {"relu", model.code(pb::TensorProto::INT8, -41),
                        model.code(pb::TensorProto::INT8, 91)});
            model.node("DequantizeLinear", "y",
                       {"clip", model.real(0.5F), model.code(pb::TensorProto::INT8, -10)});
        });
    EXPECT_EQ(last(made).codes.output, (OutputCodes{0.5, 10, 101}));
}

TEST(OnnxCodes, BoundsFarOutAreNoneOfAnActivation)
{
    for (const auto& [most, layers] : {std::pair{20.0F, 4}, {999.0F, 4}, {3e38F, 2}})
    {
        const onnx::Imported made = imported(
            [most = most](QuantizedModel& model) {
                model.node("Clip", "y", {"x", model.real(0), model.real(most)});
            });
        EXPECT_EQ(static_cast<int>(made.network.layers.size()), layers) << most;
        const std::vector<double> x{-5, -1, 0, 5, 19, 21, 998, 1e5};
        const std::vector<double> y = outputs_of(made, {x});
        for (std::size_t i = 0; i < x.size(); ++i)
        {
            EXPECT_NEAR(y[i], std::clamp(x[i], 0.0, double{most}), 1e-3) << x[i];
        }
    }
}

TEST(OnnxCodes, NothingIsFoldedAcrossAQuantiser)
{
    const auto conv = [](bool quantised)
    {
        return imported(
            [quantised](QuantizedModel& model)
            {
                model.node("Conv", "conv", {"x", model.reals({2, 2, 1, 1}, {1, 2, 3, 4})});
                if (quantised)
                {
                    quantise(model, "conv", "q", 0.5F, 0);
                }
                model.node("Mul", "y",
                           {quantised ? "q" : "conv", model.reals({1, 2, 1, 1}, {2, 3})});
            });
    };
    EXPECT_THAT(kinds_of(conv(false).network), ElementsAre("input", "conv2d"));
    EXPECT_THAT(kinds_of(conv(true).network), ElementsAre("input", "conv2d", "batch_norm"));
}

TEST(OnnxCodes, WhoReadsATensorUnroundedSeesItUnrounded)
{
    // conv is quantised for one reader; the other one takes its reals.
    const onnx::Imported made = imported(
        [](QuantizedModel& model)
        {
            model.node("Conv", "conv", {"x", model.reals({2, 2, 1, 1}, {1, 0, 0, 1})});
            quantise(model, "conv", "q", 0.5F, 0);
            model.node("Add", "y", {"conv", "q"});
        });
    EXPECT_THAT(kinds_of(made.network), ElementsAre("input", "conv2d", "batch_norm", "add"));
    EXPECT_FALSE(made.weights[1].codes.output.has_value());
    EXPECT_EQ(made.weights[2].codes.output, (OutputCodes{0.5, -128, 127}));
}

const Weights& of_dense(const onnx::Imported& made)
{
    for (std::size_t i = 0; i < made.weights.size(); ++i)
    {
        if (made.network.layers[i].kind == LayerKind::dense)
        {
            return made.weights[i];
        }
    }
    throw std::logic_error("there is no dense layer");
}

TEST(OnnxCodes, OfWeightsSurviveWhatMovesAndScalesThem)
{
    const auto with = [](const std::function<std::string(QuantizedModel&, std::string)>& change)
    {
        return imported(
            [change](QuantizedModel& model)
            {
                const std::string codes =
                    model.codes({2, 2}, pb::TensorProto::INT8, {1, -2, 3, -128});
                QuantizedModel::set(model.node("Cast", "cast", {codes}), "to",
                                    std::int64_t{pb::TensorProto::FLOAT});
                QuantizedModel::set(model.node("Flatten", "flat", {"x"}), "axis", 1);
                model.node("Reshape", "pairs",
                           {"flat", model.codes({2}, pb::TensorProto::INT32, {4, 2})});
                model.node("MatMul", "y", {"pairs", change(model, "cast")});
            });
    };
    // A DequantizeLinear written out, and a reshape.
    const onnx::Imported made = with(
        [](QuantizedModel& model, const std::string& cast)
        {
            model.node("Sub", "centred", {cast, model.real(-3)});
            model.node("Mul", "scaled", {"centred", model.real(0.25F)});
            return model
                .node("Reshape", "moved",
                      {"scaled", model.codes({2}, pb::TensorProto::INT32, {2, 2})})
                .output(0);
        });
    EXPECT_THAT(of_dense(made).codes.matrix, ElementsAre(4, 1, 6, -125));
    EXPECT_THAT(of_dense(made).codes.scale, ElementsAre(0.25, 0.25));
    // What leaves no codes is remembered.
    const onnx::Imported lost = with(
        [](QuantizedModel& model, const std::string& cast) {
            return model.node("Sub", "off", {cast, model.real(0.3F)}).output(0);
        });
    EXPECT_TRUE(of_dense(lost).codes.matrix.empty());
    EXPECT_EQ(of_dense(lost).codes.problem_of_weights, "node \"off\" (Sub)");
}

TEST(OnnxCodes, FactorsOfAGemmAreInScalesAndSigns)
{
    const auto gemm = [](float alpha, float beta)
    {
        return imported(
            [&](QuantizedModel& model)
            {
                const std::string eighth = model.real(0.125F);
                model.node("DequantizeLinear", "w",
                           {model.codes({8, 2}, pb::TensorProto::INT8,
                                        {1, -2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4}),
                            eighth});
                model.node("DequantizeLinear", "b",
                           {model.codes({2}, pb::TensorProto::INT32, {5, -6}), eighth});
                QuantizedModel::set(model.node("Flatten", "flat", {"x"}), "axis", 1);
                pb::NodeProto& node = model.node("Gemm", "y", {"flat", "w", "b"});
                for (const auto& [key, value] : {std::pair{"alpha", alpha}, {"beta", beta}})
                {
                    pb::AttributeProto& attribute = *node.add_attribute();
                    attribute.set_name(key);
                    attribute.set_type(pb::AttributeProto::FLOAT);
                    attribute.set_f(value);
                }
            });
    };
    for (const float alpha : {1.0F, 0.5F, -2.0F, 0.0F})
    {
        for (const float beta : {1.0F, -0.5F, 0.0F})
        {
            const Codes codes = of_dense(gemm(alpha, beta)).codes;
            const auto worth = [](double code, double scale) { return code * scale; };
            EXPECT_EQ(worth(codes.matrix.at(1), codes.scale.at(1)), -2 * 0.125 * double{alpha});
            EXPECT_EQ(worth(static_cast<double>(codes.bias.at(0)), codes.bias_scale.at(0)),
                      5 * 0.125 * double{beta});
            EXPECT_GT(codes.scale[0], 0);
        }
    }
}

} // namespace
} // namespace tessera::network
