// SPDX-License-Identifier: Apache-2.0
// Quantised operators that are made of other layers, or of functions with numbers of their own:
// their whole numbers, against the definitions of ONNX on reals.
#include "onnx_quantized.h"

#include "network/onnx/import.h"
#include "unit/network/onnx_run.h"
#include "values/float_network.h"
#include "values/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>

namespace tessera::values
{
namespace
{

using test::QuantizedModel;
namespace pb = ::onnx;

using Extents = std::vector<std::int64_t>;

struct Coding
{
    float scale = 1;
    std::int32_t zero_point = 0;
};

/// image -> QuantizeLinear -> what `build` adds -> QuantizeLinear, of uint8.
class Quantised
{
public:
    Quantised(const Extents& extents, Coding input, Coding output,
              const std::function<std::string(QuantizedModel&, const std::string&)>& build)
        : input_(input), output_(output)
    {
        QuantizedModel m;
        m.input("image", extents);
        const std::string from = code(m, "image", "in", input);
        m.output(code(m, build(m, from), "out", output), {});
        network::onnx::Imported all = network::import_bytes(m.bytes());
        into_ = all.inputs.front().view;
        out_of_ = all.outputs.front().view;
        weighted_ = {std::move(all.network), std::move(all.weights)};
        integers_ = quantize(weighted_, nullptr, {}, "model.onnx");
    }

    [[nodiscard]] const IntegerNetwork& integers() const { return integers_; }

    /// The reals that the operator sees of codes, in ONNX order.
    [[nodiscard]] std::vector<double> reals(const std::vector<std::int32_t>& codes) const
    {
        std::vector<double> values;
        for (const std::int32_t code : codes)
        {
            values.push_back((code - input_.zero_point) * double{input_.scale});
        }
        return values;
    }
    /// The codes that come out for codes that go in, both in ONNX order.
    [[nodiscard]] std::vector<std::int32_t> run(const std::vector<std::int32_t>& codes) const
    {
        Map<std::int32_t> map = network::in_layer_order(into_, codes);
        for (std::int32_t& code : map)
        {
            code -= input_.zero_point;
        }
        std::vector<std::int32_t> out =
            network::in_onnx_order(out_of_, values::run(integers_, map)[out_of_.layer.index()]);
        for (std::int32_t& code : out)
        {
            code += output_.zero_point;
        }
        return out;
    }

    /// Codes may be off by one where the exact result is within `slack` of a half.
    void expect(const std::vector<std::int32_t>& codes, const std::vector<double>& wanted,
                double slack = 1e-6) const
    {
        const std::vector<std::int32_t> made = run(codes);
        ASSERT_EQ(made.size(), wanted.size());
        for (std::size_t i = 0; i < made.size(); ++i)
        {
            const double units =
                std::clamp(wanted[i] / double{output_.scale} + output_.zero_point, 0.0, 255.0);
            ASSERT_NEAR(made[i], units, 0.5 + slack * (1 + std::abs(units))) << i;
        }
    }

private:
    static std::string code(QuantizedModel& m, const std::string& from, const std::string& name,
                            Coding how)
    {
        const std::string scale = m.real(how.scale);
        const std::string zero = m.code(pb::TensorProto::UINT8, how.zero_point);
        m.node("QuantizeLinear", name + ".codes", {from, scale, zero});
        m.node("DequantizeLinear", name, {name + ".codes", scale, zero});
        return name;
    }

    Coding input_, output_;
    network::onnx::View into_, out_of_;
    network::WeightedNetwork weighted_;
    IntegerNetwork integers_;
};

std::vector<std::int32_t> random_codes(std::mt19937& random, std::size_t count, int least = 0,
                                       int most = 255)
{
    std::uniform_int_distribution<int> pick(least, most);
    std::vector<std::int32_t> codes(count);
    std::generate(codes.begin(), codes.end(), [&] { return pick(random); });
    return codes;
}

TEST(ConvTranspose, OfCodesIsExact)
{
    std::mt19937 random(1);
    for (const std::int64_t groups : {1, 3})
    {
        for (const std::int64_t kernel : {2, 3, 4})
        {
            SCOPED_TRACE(std::to_string(groups) + ' ' + std::to_string(kernel));
            constexpr std::int64_t kChannels = 3;
            constexpr std::int64_t kExtent = 4;
            const std::int64_t outer = groups == 1 ? 2 : 1;
            const std::int64_t results = groups * outer;
            const std::int64_t pad = kernel / 2 - 1 + kernel % 2;
            const std::int64_t width = 2 * (kExtent - 1) + kernel - 2 * pad;
            const std::vector<std::int32_t> w = random_codes(
                random, static_cast<std::size_t>(kChannels * outer * kernel * kernel), -127, 127);
            const std::vector<std::int32_t> bias =
                random_codes(random, static_cast<std::size_t>(results), -9000, 9000);
            const Coding input{0.02F, 7};
            // Of one group only: the channels of others have the scales of the first.
            const std::vector<float> scales =
                groups == 1 ? std::vector<float>{0.003F, 0.004F} : std::vector<float>{0.003F};
            std::vector<float> bias_scales;
            for (std::int64_t c = 0; c < results; ++c)
            {
                bias_scales.push_back(input.scale *
                                      scales[static_cast<std::size_t>(c) % scales.size()]);
            }
            const Quantised net(
                {1, kChannels, kExtent, kExtent}, input, {0.05F, 100},
                [&](QuantizedModel& m, const std::string& from)
                {
                    const auto per_axis = [&](const std::string& name, const std::string& codes,
                                              const std::vector<float>& steps, std::int64_t axis)
                    {
                        const auto count = static_cast<std::int64_t>(steps.size());
                        QuantizedModel::set(
                            m.node(
                                "DequantizeLinear", name,
                                {codes, m.reals(count == 1 ? Extents{} : Extents{count}, steps)}),
                            "axis", axis);
                    };
                    per_axis("w",
                             m.codes({kChannels, outer, kernel, kernel}, pb::TensorProto::INT8, w),
                             scales, 1);
                    per_axis("b", m.codes({results}, pb::TensorProto::INT32, bias), bias_scales, 0);
                    pb::NodeProto& node = m.node("ConvTranspose", "y", {from, "w", "b"});
                    QuantizedModel::set(node, "strides", {2, 2});
                    QuantizedModel::set(node, "pads", {pad, pad, pad, pad});
                    QuantizedModel::set(node, "group", groups);
                    return node.name();
                });
            const std::vector<std::int32_t> image =
                random_codes(random, kChannels * kExtent * kExtent);
            const std::vector<double> x = net.reals(image);
            std::vector<double> wanted;
            for (std::int64_t c = 0; c < results; ++c)
            {
                wanted.insert(wanted.end(), static_cast<std::size_t>(width * width),
                              bias[static_cast<std::size_t>(c)] *
                                  double{bias_scales[static_cast<std::size_t>(c)]});
            }
            for (std::int64_t i = 0; i < kChannels * outer * kernel * kernel * kExtent * kExtent;
                 ++i)
            {
                const std::int64_t place = i / (kExtent * kExtent); // of the kernel
                const std::int64_t from = place / (outer * kernel * kernel);
                const std::int64_t channel =
                    from / (kChannels / groups) * outer + place / (kernel * kernel) % outer;
                const std::int64_t row = i / kExtent % kExtent * 2 + place / kernel % kernel - pad;
                const std::int64_t column = i % kExtent * 2 + place % kernel - pad;
                if (row >= 0 && column >= 0 && row < width && column < width)
                {
                    wanted[static_cast<std::size_t>((channel * width + row) * width + column)] +=
                        x[static_cast<std::size_t>(from * kExtent * kExtent +
                                                   i % (kExtent * kExtent))] *
                        w[static_cast<std::size_t>(place)] *
                        double{scales[static_cast<std::size_t>(channel) % scales.size()]};
                }
            }
            net.expect(image, wanted);
        }
    }
}

TEST(PRelu, OfCodesHasOneRatioForEveryChannelAndOneForAll)
{
    std::mt19937 random(2);
    std::vector<float> slopes{0.25F, -0.5F, 1.5F, 0};
    const Quantised net({1, 4, 5, 5}, {0.02F, 120}, {0.03F, 90},
                        [&](QuantizedModel& m, const std::string& from) {
                            return m.node("PRelu", "y", {from, m.reals({4, 1, 1}, slopes)}).name();
                        });
    const std::vector<std::int32_t> image = random_codes(random, 100);
    std::vector<double> wanted = net.reals(image);
    for (std::size_t i = 0; i < wanted.size(); ++i)
    {
        wanted[i] *= wanted[i] < 0 ? double{slopes[i / 25]} : 1;
    }
    net.expect(image, wanted, 1e-4); // gains have 15 bits
}

TEST(Functions, OfCodesAreTables)
{
    std::mt19937 random(3);
    const std::vector<std::pair<std::string, std::function<double(double)>>> functions{
        {"Elu", [](double x) { return x < 0 ? std::exp(x) - 1 : x; }},
        {"Selu", [](double x)
         { return 1.0507009873554805 * (x < 0 ? 1.6732632423543772 * (std::exp(x) - 1) : x); }},
        {"Swish", [](double x) { return x / (1 + std::exp(-x)); }},
        {"Gelu", [](double x) { return x * std::erfc(-x / std::sqrt(2.0)) / 2; }},
        {"FastGelu", [](double x)
         { return x / 2 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }},
        {"QuickGelu", [](double x) { return x / (1 + std::exp(-1.702 * x)); }}};
    for (const auto& [operation, value] : functions)
    {
        SCOPED_TRACE(operation);
        const bool contributed = operation.find("ick") != std::string::npos || operation[0] == 'F';
        const Quantised net(
            {1, 300}, {0.03F, 128}, {0.025F, 80},
            [&, &operation = operation](QuantizedModel& m, const std::string& from)
            { return m.node(operation, "y", {from}, contributed ? "com.microsoft" : "").name(); });
        const std::vector<std::int32_t> image = random_codes(random, 300);
        std::vector<double> wanted = net.reals(image);
        std::transform(wanted.begin(), wanted.end(), wanted.begin(), value);
        net.expect(image, wanted);
    }
}

/// QLinearSoftmax is a softmax between codes: over one axis, or over all from one on, as its own
/// opset says.
TEST(QLinearSoftmax, IsTheSoftmaxOfItsOwnOpset)
{
    std::mt19937 random(4);
    for (const std::int64_t opset : {11, 13})
    {
        for (const std::int64_t axis : {1, 2, -1})
        {
            SCOPED_TRACE(std::to_string(opset) + ' ' + std::to_string(axis));
            QuantizedModel m;
            m.input("codes", {1, 4, 6}, pb::TensorProto::UINT8);
            pb::NodeProto& node = m.node("QLinearSoftmax", "y",
                                         {"codes", m.real(0.05F), m.code(pb::TensorProto::UINT8, 9),
                                          m.real(1 / 256.0F), m.code(pb::TensorProto::UINT8, 0)},
                                         "com.microsoft");
            QuantizedModel::set(node, "axis", axis);
            QuantizedModel::set(node, "opset", opset);
            m.output("y", {1, 4, 6}, pb::TensorProto::UINT8);
            network::onnx::Imported all = network::import_bytes(m.bytes());
            const network::onnx::View into = all.inputs.front().view;
            const network::onnx::View out_of = all.outputs.front().view;
            const IntegerNetwork integers =
                quantize({all.network, all.weights}, nullptr, {}, "model.onnx");
            std::vector<std::int32_t> image = random_codes(random, 24);
            Map<std::int32_t> map = network::in_layer_order(into, image);
            for (std::int32_t& code : map)
            {
                code -= 9;
            }
            const std::vector<std::int32_t> made =
                network::in_onnx_order(out_of, run(integers, map)[out_of.layer.index()]);
            for (std::size_t i = 0; i < 24; ++i)
            {
                double sum = 0;
                for (std::size_t k = 0; k < 24; ++k)
                {
                    const bool beside = opset == 11 ? (axis == 1 || i / 6 == k / 6)
                                        : axis == 1 ? i % 6 == k % 6
                                                    : i / 6 == k / 6;
                    sum += beside ? std::exp(double{0.05F} * (image[k] - image[i])) : 0;
                }
                ASSERT_NEAR(made[i], std::min(255.0, 256 / sum), 0.52); // powers are rounded too
            }
        }
    }
}

} // namespace
} // namespace tessera::values
