// SPDX-License-Identifier: Apache-2.0
// Which axis of an input is a batch, and what becomes of constants that repeat for every image.
#include "onnx_run.h"
#include "tessera/error.h"
#include "unit/values/onnx_quantized.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <numeric>
#include <optional>

namespace tessera::network
{
namespace
{

using test::QuantizedModel;
using testing::HasSubstr;
namespace pb = ::onnx;

using Extents = std::vector<std::int64_t>;
using Build = std::function<void(QuantizedModel&)>;

std::vector<float> counted(std::int64_t count)
{
    std::vector<float> values(static_cast<std::size_t>(count));
    std::iota(values.begin(), values.end(), 1.0F);
    return values;
}

onnx::Imported import_with(const Extents& input, const Build& build,
                           BatchAxis axis = BatchAxis::automatic)
{
    QuantizedModel model;
    model.input("x", input);
    build(model);
    model.output("y", {});
    return onnx::import(onnx::decode_graph(model.bytes(), "model.onnx", onnx::Values::all), axis);
}

void gemm(QuantizedModel& model, const std::string& from, std::int64_t inner,
          const std::string& name, std::int64_t outer = 4)
{
    model.node("Gemm", name, {from, model.reals({inner, outer}, counted(inner * outer))});
}

std::string problem_of(const Extents& input, const Build& build,
                       BatchAxis axis = BatchAxis::automatic)
{
    try
    {
        static_cast<void>(import_with(input, build, axis));
        return "";
    }
    catch (const InputError& error)
    {
        return error.what();
    }
}

const Build kFlattened = [](QuantizedModel& model)
{
    QuantizedModel::set(model.node("Flatten", "flat", {"x"}), "axis", 1);
    gemm(model, "flat", 12, "y");
};

TEST(BatchAxis, OfAnySizeIsOneImage)
{
    for (const std::int64_t batch : {1, 2, 64, 70'000})
    {
        const onnx::Imported imported = import_with({batch, 1, 3, 4}, kFlattened);
        EXPECT_EQ(imported.network.macs(), 48U) << batch;
        EXPECT_EQ(imported.network.notes.size(), batch == 1 ? 0U : 1U);
    }
}

TEST(BatchAxis, RowsStraightIntoAProductAreAskedAbout)
{
    const Build build = [](QuantizedModel& model) { gemm(model, "x", 16, "y"); };
    EXPECT_THAT(problem_of({5, 16}, build), HasSubstr("--batch-axis 0 for a batch"));
    EXPECT_EQ(import_with({5, 16}, build, BatchAxis::first).network.macs(), 64U);
    EXPECT_EQ(import_with({5, 16}, build, BatchAxis::none).network.macs(), 320U);
    EXPECT_EQ(import_with({1, 16}, build).network.macs(), 64U);
}

TEST(BatchAxis, RowsThatAreMixedAreTokens)
{
    const Build build = [](QuantizedModel& model)
    {
        gemm(model, "x", 16, "q");
        gemm(model, "x", 16, "k");
        QuantizedModel::set(model.node("Transpose", "turned", {"k"}), "perm", Extents{1, 0});
        model.node("MatMul", "y", {"q", "turned"});
    };
    const onnx::Imported imported = import_with({5, 16}, build);
    EXPECT_EQ(imported.network.macs(), 2 * 5 * 64U + 5 * 5 * 4U);
    ASSERT_EQ(imported.network.notes.size(), 1U);
    EXPECT_THAT(imported.network.notes[0], HasSubstr("rows of one image (tokens)"));
    EXPECT_THAT(problem_of({5, 16}, build, BatchAxis::first), HasSubstr("mixes what lies along"));
}

TEST(BatchAxis, ExtentsThatNameTheBatchAreDivided)
{
    for (const std::int64_t batch : {2, 8})
    {
        // [N, 6, 4] -> [N x 2, 3, 4] -> [N, 24] -> Gemm
        const onnx::Imported imported =
            import_with({batch, 6, 4},
                        [&](QuantizedModel& model)
                        {
                            const auto extents = [&](const std::vector<std::int32_t>& values) {
                                return model.codes({static_cast<std::int64_t>(values.size())},
                                                   pb::TensorProto::INT32, values);
                            };
                            const auto n = static_cast<std::int32_t>(batch);
                            model.node("Reshape", "apart", {"x", extents({2 * n, 3, 4})});
                            model.node("Relu", "relu", {"apart"});
                            model.node("Reshape", "flat", {"relu", extents({n, 24})});
                            gemm(model, "flat", 24, "y");
                        });
        EXPECT_EQ(imported.network.macs(), 96U);
    }
}

TEST(BatchAxis, ConstantsOfEveryImageAreOneAndMustAgree)
{
    const auto with = [&](const std::vector<float>& values)
    {
        return [values](QuantizedModel& model)
        {
            model.node("Add", "sum", {"x", model.reals({2, 2, 3}, values)});
            gemm(model, "sum", 3, "y");
            model.graph().mutable_node()->rbegin()->set_op_type("MatMul");
        };
    };
    std::vector<float> same = counted(6);
    same.insert(same.end(), same.begin(), same.begin() + 6);
    const onnx::Imported imported = import_with({2, 2, 3}, with(same));
    EXPECT_EQ(imported.network.macs(), 24U);
    EXPECT_THAT(problem_of({2, 2, 3}, with(counted(12))),
                HasSubstr("differs from image to image of a batch of 2"));
}

TEST(OnnxAttributes, ThatRepeatAShapeMustAgreeWithIt)
{
    const auto conv = [](const std::optional<Extents>& said)
    {
        return [said](QuantizedModel& model)
        {
            pb::NodeProto& node =
                model.node("Conv", "y", {"x", model.reals({1, 1, 3, 2}, counted(6))});
            if (said)
            {
                QuantizedModel::set(node, "kernel_shape", *said);
            }
        };
    };
    EXPECT_EQ(problem_of({1, 1, 5, 5}, conv(std::nullopt)), "");
    EXPECT_EQ(problem_of({1, 1, 5, 5}, conv(Extents{3, 2})), "");
    EXPECT_THAT(problem_of({1, 1, 5, 5}, conv(Extents{2, 3})),
                HasSubstr("kernel_shape of 2x3 and weights for 3x2"));
    EXPECT_THAT(problem_of({1, 1, 5, 5}, conv(Extents{3})), HasSubstr("kernel_shape of 3"));
}

TEST(OnnxAttributes, CastsOfRealsToIntegersAreRefused)
{
    const auto cast = [](std::int64_t type)
    {
        return [type](QuantizedModel& model)
        {
            QuantizedModel::set(model.node("Cast", "cast", {"x"}), "to", type);
            model.node("Conv", "y", {"cast", model.reals({1, 1, 1, 1}, {1})});
        };
    };
    EXPECT_EQ(problem_of({1, 1, 2, 2}, cast(pb::TensorProto::FLOAT16)), "");
    EXPECT_THAT(problem_of({1, 1, 2, 2}, cast(pb::TensorProto::INT32)),
                HasSubstr("Cast (of reals to integers"));
}

} // namespace
} // namespace tessera::network
