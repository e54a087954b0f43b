// SPDX-License-Identifier: Apache-2.0
// Files of QONNX, as Brevitas, FINN and hls4ml have them: reals between quantisers. What becomes of
// them, against the operators' definitions, written out here. QONNX rounds halves to even,
// Tessera's ratios round them up, so codes may differ by one where the exact result is a half.
#include "onnx_quantized.h"

#include "network/onnx/import.h"
#include "tessera/error.h"
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

using network::LayerKind;
using test::QuantizedModel;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace pb = ::onnx;

using Reals = std::vector<double>;
using Extents = std::vector<std::int64_t>;

constexpr const char* kDomain = "qonnx.custom_op.general";

std::vector<float> floats(const Reals& values)
{
    return {values.begin(), values.end()};
}

/// A Quant: its scales lie along axis 0, or last of all, or there is one.
struct Quant
{
    Reals scale{1};
    double zero_point = 0;
    double bits = 8;
    bool has_sign = true, narrow = false;
    std::string rounding = "ROUND";
    std::string domain = kDomain;
    std::string operation = "Quant";

    [[nodiscard]] double least() const
    {
        return has_sign ? -std::exp2(bits - 1) + (narrow ? 1 : 0) : 0;
    }
    [[nodiscard]] double most() const
    {
        return has_sign ? std::exp2(bits - 1) - 1 : std::exp2(bits) - (narrow ? 2 : 1);
    }

    std::string add(QuantizedModel& m, const std::string& from, const std::string& name,
                    const Extents& scales = {}) const
    {
        pb::NodeProto& node =
            m.node(operation, name,
                   {from, m.reals(scales, floats(scale)), m.real(static_cast<float>(zero_point)),
                    m.real(static_cast<float>(bits))},
                   domain);
        QuantizedModel::set(node, "signed", has_sign ? 1 : 0);
        QuantizedModel::set(node, "narrow", narrow ? 1 : 0);
        pb::AttributeProto& attribute = *node.add_attribute();
        attribute.set_name("rounding_mode");
        attribute.set_type(pb::AttributeProto::STRING);
        attribute.set_s(rounding);
        return name;
    }

    /// Before rounding, limited; zero point added.
    [[nodiscard]] double units(double value, std::size_t place = 0) const
    {
        return std::clamp(value / scale[place] + zero_point, least(), most());
    }
    [[nodiscard]] double value(double code, std::size_t place = 0) const
    {
        return (code - zero_point) * scale[place];
    }
    /// Of a constant, halves to even.
    [[nodiscard]] double rounded(double value, std::size_t place = 0) const
    {
        const double exact = units(value, place);
        const double below = std::floor(exact);
        const double rest = exact - below;
        const bool up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2) != 0);
        return this->value(below + (up ? 1 : 0), place);
    }
};

network::onnx::Imported imported(const QuantizedModel& model)
{
    return network::import_bytes(model.bytes());
}

std::size_t index_of_layer(const network::Network& network, const std::string& name)
{
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        if (network.layers[i].name == name)
        {
            return i;
        }
    }
    throw std::logic_error(name);
}

/// image -> conv -> batch norm -> relu -> max pool -> conv by two values a channel -> flatten ->
/// dense, with a Quant wherever Brevitas has one.
class RandomNetwork
{
public:
    static constexpr std::int64_t kInput = 2, kHidden = 4, kExtent = 6, kClasses = 3;
    static constexpr std::int64_t kFlat = kHidden * 2 * 2;

    explicit RandomNetwork(std::uint32_t seed) : random_(seed)
    {
        model.input("image", {1, kInput, kExtent, kExtent});
        image = activation(0.02, pick(4, 8), pick(0, 1) == 1);
        image.add(model, "image", "image.q");

        v1 = normal(kHidden * kInput * 9, 0.1);
        w1 = weights(kHidden, 0.1, pick(2, 8));
        bias.scale = Reals();
        for (const double scale : w1.scale)
        {
            bias.scale.push_back(static_cast<double>(static_cast<float>(scale * image.scale[0])));
        }
        bias.bits = 24;
        b1 = normal(kHidden, 0.5);
        const std::string weight = w1.add(model, model.reals({kHidden, kInput, 3, 3}, floats(v1)),
                                          "w1", {kHidden, 1, 1, 1});
        bias.add(model, model.reals({kHidden}, floats(b1)), "b1", {kHidden});
        QuantizedModel::set(model.node("Conv", "conv1", {"image.q", weight, "b1"}), "pads",
                            {1, 1, 1, 1});
        for (Reals* list : {&gain, &shift, &mean, &variance})
        {
            *list = normal(kHidden, 0.3);
        }
        for (double& value : variance)
        {
            value = static_cast<double>(static_cast<float>(value * value + 0.5));
        }
        gain[0] = -std::abs(gain[0]) - 0.1;
        const auto list = [&](const Reals& values)
        { return model.reals({kHidden}, floats(values)); };
        model.node("BatchNormalization", "bn",
                   {"conv1", list(gain), list(shift), list(mean), list(variance)});
        model.node("Relu", "relu", {"bn"});
        hidden = activation(0.05, pick(2, 6), false);
        hidden.narrow = pick(0, 1) == 1;
        hidden.add(model, "relu", "hidden");
        pb::NodeProto& pool = model.node("MaxPool", "pool", {"hidden"});
        QuantizedModel::set(pool, "kernel_shape", {2, 2});
        QuantizedModel::set(pool, "strides", {2, 2});

        v2 = normal(kHidden * 4, 1);
        two = static_cast<double>(static_cast<float>(0.05 + 0.01 * pick(0, 9)));
        model.node(
            "BipolarQuant", "w2",
            {model.reals({kHidden, 1, 2, 2}, floats(v2)), model.real(static_cast<float>(two))},
            "finn.custom_op.general");
        QuantizedModel::set(model.node("Conv", "conv2", {"pool", "w2"}), "group", kHidden);
        middle = activation(0.01, pick(5, 8), true);
        middle.narrow = pick(0, 1) == 1;
        middle.domain = "onnx.brevitas";
        middle.add(model, "conv2", "middle");
        model.node("Flatten", "flat", {"middle"});

        // The weights of a Linear: quantised as PyTorch has them, then transposed.
        v3 = normal(kClasses * kFlat, 0.2);
        w3 = weights(kClasses, 0.2, pick(2, 4));
        w3.add(model, model.reals({kClasses, kFlat}, floats(v3)), "w3", {kClasses, 1});
        QuantizedModel::set(model.node("Transpose", "w3.t", {"w3"}), "perm", {1, 0});
        model.node("MatMul", "dense", {"flat", "w3.t"});
        logits = activation(0.02, 8, true);
        logits.zero_point = pick(-20, 20);
        logits.operation = "IntQuant";
        logits.add(model, "dense", "logits");
        model.output("logits", {1, kClasses});
    }

    std::vector<float> random_image()
    {
        std::vector<float> values;
        for (int i = 0; i < kInput * kExtent * kExtent; ++i)
        {
            values.push_back(static_cast<float>(std::normal_distribution<double>(0, 1)(random_)));
        }
        return values;
    }

    QuantizedModel model;
    Quant image, w1, bias, hidden, middle, w3, logits;
    Reals v1, b1, v2, v3, gain, shift, mean, variance;
    double two = 0;

private:
    int pick(int least, int most)
    {
        return std::uniform_int_distribution<int>(least, most)(random_);
    }
    Reals normal(std::int64_t count, double spread)
    {
        std::normal_distribution<float> of(0, static_cast<float>(spread));
        Reals values;
        for (std::int64_t i = 0; i < count; ++i)
        {
            values.push_back(static_cast<double>(of(random_)));
        }
        return values;
    }
    Quant activation(double scale, int bits, bool has_sign)
    {
        Quant its;
        // Codes of few bits are as wide together as those of many.
        its.scale = {static_cast<double>(
            static_cast<float>(scale * std::exp2(8 - bits) * (1 + 0.1 * pick(0, 9))))};
        its.bits = bits;
        its.has_sign = has_sign;
        return its;
    }
    /// Of weights, for their first axis.
    Quant weights(std::int64_t outer, double spread, int bits)
    {
        Quant its;
        its.bits = bits;
        its.narrow = pick(0, 1) == 1;
        its.scale.clear();
        for (std::int64_t i = 0; i < outer; ++i)
        {
            its.scale.push_back(static_cast<double>(
                static_cast<float>(spread * std::exp2(2 - bits) * (1 + 0.1 * pick(0, 9)))));
        }
        return its;
    }

    std::mt19937 random_;
};

/// Judges the codes of one layer, in ONNX order, against exact results of the codes before it.
class Judge
{
public:
    explicit Judge(const Quant& quant) : quant_(quant) {}
    void see(std::int32_t made, double exact, const std::string& what)
    {
        const double code = made + quant_.zero_point;
        const double units = quant_.units(exact);
        ASSERT_GE(code, quant_.least()) << what;
        ASSERT_LE(code, quant_.most()) << what;
        // Multipliers have 31 bits.
        ASSERT_LE(std::abs(code - units), 0.5 + 1e-6 * (1 + std::abs(units))) << what;
        if (units > quant_.least() && units < quant_.most())
        {
            ++inside;
        }
    }
    int inside = 0;

private:
    const Quant& quant_;
};

TEST(Qonnx, CodesAreThoseOfItsDefinition)
{
    int inside = 0;
    for (std::uint32_t seed = 1; seed <= 60; ++seed)
    {
        SCOPED_TRACE(seed);
        RandomNetwork net(seed);
        network::onnx::Imported all = imported(net.model);
        const network::onnx::View into = all.inputs.front().view;
        const IntegerNetwork integers =
            quantize({all.network, all.weights}, nullptr, {}, "model.onnx");
        const std::vector<float> pixels = net.random_image();
        const auto maps =
            run(integers, integers.codes(network::in_layer_order(into, pixels).data()));
        // Codes of a layer in the order of channels, rows, columns.
        const auto codes = [&](const std::string& name)
        {
            const std::size_t i = index_of_layer(integers.network, name);
            const network::Shape& shape = integers.network.layers[i].output;
            std::vector<std::int32_t> list;
            for (std::uint32_t c = 0; c < shape.channels; ++c)
            {
                for (std::uint32_t at = 0; at < shape.height * shape.width; ++at)
                {
                    list.push_back(maps[i][std::size_t{at} * shape.channels + c]);
                }
            }
            return list;
        };
        const auto reals = [&](const std::string& name, const Quant& quant)
        {
            Reals list;
            for (const std::int32_t code : codes(name))
            {
                list.push_back(code * quant.scale[0]);
            }
            return list;
        };
        constexpr auto kExtent = static_cast<std::size_t>(RandomNetwork::kExtent);
        constexpr auto kHidden = static_cast<std::size_t>(RandomNetwork::kHidden);

        Judge input(net.image);
        const std::vector<std::int32_t> image = codes("image");
        for (std::size_t i = 0; i < image.size(); ++i)
        {
            input.see(image[i], static_cast<double>(pixels[i]), "image");
        }
        Judge hidden(net.hidden);
        const Reals x = reals("image", net.image);
        const std::vector<std::int32_t> relu = codes("relu");
        for (std::size_t c = 0; c < kHidden; ++c)
        {
            const double factor = net.gain[c] / std::sqrt(net.variance[c] + 1e-5);
            for (std::size_t i = 0; i < kExtent * kExtent; ++i)
            {
                double sum = net.bias.rounded(net.b1[c], c);
                for (std::size_t k = 0; k < RandomNetwork::kInput; ++k)
                {
                    for (std::size_t tap = 0; tap < 9; ++tap)
                    {
                        const std::size_t row = i / kExtent + tap / 3;
                        const std::size_t column = i % kExtent + tap % 3;
                        if (row > 0 && column > 0 && row <= kExtent && column <= kExtent)
                        {
                            sum += x[(k * kExtent + row - 1) * kExtent + column - 1] *
                                   net.w1.rounded(net.v1[(c * RandomNetwork::kInput + k) * 9 + tap],
                                                  c);
                        }
                    }
                }
                // The bias is whole-numbered in units of input x weight once the norm is folded.
                const double unit = net.image.scale[0] * net.w1.scale[c] * std::abs(factor);
                const double exact = (sum - net.mean[c]) * factor + net.shift[c];
                const double slack = unit / net.hidden.scale[0] / 2;
                const double wanted = net.hidden.units(std::max(0.0, exact));
                const double made = relu[c * kExtent * kExtent + i];
                ASSERT_LE(std::abs(made - wanted), 0.5 + slack + 1e-5 * (1 + wanted)) << i;
            }
        }
        Judge middle(net.middle);
        const Reals pooled = reals("pool", net.hidden);
        const std::vector<std::int32_t> made = codes("conv2");
        ASSERT_EQ(pooled.size(), kHidden * 9);
        for (std::size_t c = 0; c < kHidden; ++c)
        {
            for (std::size_t i = 0; i < 4; ++i)
            {
                double sum = 0;
                for (std::size_t tap = 0; tap < 4; ++tap)
                {
                    sum += pooled[c * 9 + (i / 2 + tap / 2) * 3 + i % 2 + tap % 2] *
                           (net.v2[c * 4 + tap] >= 0 ? net.two : -net.two);
                }
                middle.see(made[c * 4 + i], sum, "conv2");
            }
        }
        Judge logits(net.logits);
        const Reals flat = reals("conv2", net.middle);
        const std::vector<std::int32_t> out = codes("dense");
        for (std::size_t k = 0; k < RandomNetwork::kClasses; ++k)
        {
            double sum = 0;
            for (std::size_t c = 0; c < flat.size(); ++c)
            {
                sum += flat[c] * net.w3.rounded(net.v3[k * flat.size() + c], k);
            }
            logits.see(out[k], sum, "dense");
        }
        inside += input.inside + middle.inside + logits.inside;
    }
    EXPECT_GT(inside, 3'000);
}

TEST(Qonnx, TheFloatNetworkRoundsAsTheFileDoes)
{
    for (std::uint32_t seed = 1; seed <= 10; ++seed)
    {
        RandomNetwork net(seed);
        network::onnx::Imported all = imported(net.model);
        const network::onnx::View into = all.inputs.front().view;
        const network::WeightedNetwork weighted{all.network, all.weights};
        const IntegerNetwork integers = quantize(weighted, nullptr, {}, "model.onnx");
        const std::vector<float> image = network::in_layer_order(into, net.random_image());
        const auto reals = FloatNetwork(weighted).run(image.data());
        for (std::size_t i = 0; i < reals.size(); ++i)
        {
            const auto& codes = weighted.weights[i].codes.output;
            for (std::size_t k = 0; codes && k < reals[i].size(); ++k)
            {
                const double code = double{reals[i][k]} / codes->scale;
                ASSERT_NEAR(code, std::round(code), 1e-3);
                ASSERT_GE(code, codes->least - 1e-3);
                ASSERT_LE(code, codes->most + 1e-3);
            }
        }
    }
}

/// x W with W = what a quantiser makes of a column of constants.
network::Weights weights_of(const Reals& values,
                            const std::function<void(QuantizedModel&, const std::string&)>& add)
{
    QuantizedModel m;
    const auto count = static_cast<std::int64_t>(values.size());
    m.input("x", {1, count});
    add(m, m.reals({count, 1}, floats(values)));
    m.node("MatMul", "y", {"x", "w"});
    m.output("y", {1, 1});
    return imported(m).weights[1];
}

TEST(Qonnx, ConstantsAreRoundedAsItsTableSays)
{
    const Reals values{5.5, 2.5, 1.6, 1.1, 1.0, -1.0, -1.1, -1.6, -2.5, -5.5};
    const std::vector<std::pair<std::string, std::vector<std::int32_t>>> table{
        {"ROUND", {6, 2, 2, 1, 1, -1, -1, -2, -2, -6}},
        {"half_even", {6, 2, 2, 1, 1, -1, -1, -2, -2, -6}},
        {"CEIL", {6, 3, 2, 2, 1, -1, -1, -1, -2, -5}},
        {"floor", {5, 2, 1, 1, 1, -1, -2, -2, -3, -6}},
        {"UP", {6, 3, 2, 2, 1, -1, -2, -2, -3, -6}},
        {"DOWN", {5, 2, 1, 1, 1, -1, -1, -1, -2, -5}},
        {"ROUND_TO_ZERO", {5, 2, 1, 1, 1, -1, -1, -1, -2, -5}},
        {"HALF_UP", {6, 3, 2, 1, 1, -1, -1, -2, -3, -6}},
        {"HALF_DOWN", {5, 2, 2, 1, 1, -1, -1, -2, -2, -5}}};
    for (const auto& [mode, wanted] : table)
    {
        SCOPED_TRACE(mode);
        Quant quant;
        quant.scale = {0.5};
        quant.rounding = mode;
        Reals halves;
        std::transform(values.begin(), values.end(), std::back_inserter(halves),
                       [](double v) { return v / 2; });
        const network::Weights its = weights_of(
            halves, [&](QuantizedModel& m, const std::string& from) { quant.add(m, from, "w"); });
        EXPECT_EQ(its.codes.matrix, wanted);
        EXPECT_THAT(its.codes.scale, ElementsAre(0.5));
        for (std::size_t i = 0; i < wanted.size(); ++i)
        {
            EXPECT_EQ(its.matrix[i], static_cast<float>(wanted[i]) / 2);
        }
    }
}

TEST(Qonnx, RangesAreThoseOfBitsSignAndNarrowness)
{
    struct Case
    {
        double bits;
        bool has_sign, narrow;
        std::int32_t least, most;
    };
    for (const Case& its :
         {Case{8, true, false, -128, 127}, Case{8, true, true, -127, 127},
          Case{8, false, false, 0, 255}, Case{8, false, true, 0, 254}, Case{4, true, false, -8, 7},
          Case{3, true, true, -3, 3}, Case{2, true, true, -1, 1}, Case{1, false, false, 0, 1},
          Case{2, false, true, 0, 2}, Case{16, true, false, -32768, 32767}})
    {
        SCOPED_TRACE(testing::PrintToString(its.bits));
        Quant quant;
        quant.bits = its.bits;
        quant.has_sign = its.has_sign;
        quant.narrow = its.narrow;
        const network::Weights constant =
            weights_of({-1e6, 0, 1e6}, [&](QuantizedModel& m, const std::string& from)
                       { quant.add(m, from, "w"); });
        EXPECT_THAT(constant.codes.matrix, ElementsAre(its.least, 0, its.most));
        for (const double zero : {0.0, 1.0})
        {
            quant.zero_point = zero;
            quant.scale = {0.25};
            QuantizedModel m;
            m.input("x", {1, 3});
            quant.add(m, "x", "y");
            m.node("Sigmoid", "z", {"y"});
            m.output("z", {1, 3});
            const auto codes = imported(m).weights[0].codes.output;
            ASSERT_TRUE(codes.has_value());
            const auto at = static_cast<std::int32_t>(zero);
            EXPECT_EQ(*codes, (network::OutputCodes{0.25, its.least - at, its.most - at}));
        }
    }
}

TEST(Qonnx, ZeroPointsOfConstantsAreCountedFrom)
{
    Quant quant;
    quant.scale = {0.5};
    quant.bits = 4;
    quant.has_sign = false;
    quant.zero_point = 5;
    const network::Weights its =
        weights_of({-100, -2.6, -0.2, 1, 100},
                   [&](QuantizedModel& m, const std::string& from) { quant.add(m, from, "w"); });
    EXPECT_THAT(its.codes.matrix, ElementsAre(-5, -5, 0, 2, 10));
    EXPECT_THAT(its.matrix, ElementsAre(-2.5F, -2.5F, 0.0F, 1.0F, 5.0F));
}

TEST(Qonnx, TwoValuesHaveNoZeroBetweenThem)
{
    const std::vector<std::function<void(QuantizedModel&, const std::string&, const std::string&)>>
        forms{[](QuantizedModel& m, const std::string& from, const std::string& name) {
                  m.node("BipolarQuant", name, {from, m.real(0.25F)}, kDomain);
              },
              [](QuantizedModel& m, const std::string& from, const std::string& name)
              {
                  Quant quant; // one bit with a sign
                  quant.bits = 1;
                  quant.scale = {0.25};
                  quant.add(m, from, name);
              }};
    for (const auto& add : forms)
    {
        const network::Weights its =
            weights_of({-3, -0.01, 0, 0.01},
                       [&](QuantizedModel& m, const std::string& from) { add(m, from, "w"); });
        EXPECT_THAT(its.codes.matrix, ElementsAre(-1, -1, 1, 1));
        EXPECT_THAT(its.matrix, ElementsAre(-0.25F, -0.25F, 0.25F, 0.25F));

        QuantizedModel m;
        m.input("x", {1, 4});
        Quant().add(m, "x", "x.q");
        add(m, "x.q", "y");
        m.node("MatMul", "z", {"y", "w"});
        add(m, m.reals({4, 1}, {1, 2, -1, 3}), "w");
        Quant out;
        out.scale = {0.0625};
        out.add(m, "z", "out");
        m.output("out", {1, 1});
        // The node that makes the weights comes after its reader: order does not matter.
        network::onnx::Imported all = imported(m);
        EXPECT_EQ(all.network.layers[1].activation, "sign");
        const network::WeightedNetwork weighted{all.network, all.weights};
        const IntegerNetwork integers = quantize(weighted, nullptr, {}, "model.onnx");
        const std::vector<float> image{-3, 0, 2, -1};
        const auto codes = run(integers, integers.codes(image.data()));
        EXPECT_THAT(codes[1], ElementsAre(-1, 1, 1, -1));
        EXPECT_THAT(codes[2], ElementsAre(-2)); // (-1 + 1 - 1 - 1) / 16, in sixteenths
        const auto reals = FloatNetwork(weighted).run(image.data());
        EXPECT_THAT(reals[1], ElementsAre(-0.25F, 0.25F, 0.25F, -0.25F));
        EXPECT_THAT(reals[2], ElementsAre(-0.125F));
    }
}

TEST(Qonnx, RefusalsNameTheNodeAndWhatIsWrong)
{
    const auto message = [](const std::function<void(Quant&)>& spoil, bool of_constant = false,
                            const Extents& scales = {})
    {
        Quant quant;
        spoil(quant);
        QuantizedModel m;
        m.input("x", {1, 3, 2, 2});
        quant.add(m, of_constant ? m.reals({3, 3, 1, 1}, std::vector<float>(9, 0.3F)) : "x", "q",
                  scales);
        m.node("Conv", "y",
               {of_constant ? "x" : "q",
                of_constant ? std::string("q") : m.reals({1, 3, 1, 1}, {1, 2, 3})});
        m.output("y", {});
        try
        {
            static_cast<void>(imported(m));
        }
        catch (const InputError& error)
        {
            EXPECT_FALSE(error.remedy().empty());
            return std::string(error.what());
        }
        return std::string();
    };
    for (const bool constant : {false, true})
    {
        EXPECT_EQ(message([](Quant&) {}, constant), "");
        EXPECT_THAT(message([](Quant& q) { q.bits = 4.5; }, constant),
                    HasSubstr("/graph/q: has a bit width of 4.5; give it a whole number"));
        EXPECT_THAT(message([](Quant& q) { q.bits = 0; }, constant),
                    HasSubstr("/graph/q: has a bit width of 0;"));
        EXPECT_THAT(message([](Quant& q) { q.scale = {0}; }, constant),
                    HasSubstr("/graph/q: has a scale of 0.000000; scales are finite and above 0"));
        EXPECT_THAT(message([](Quant& q) { q.zero_point = 0.5; }, constant),
                    HasSubstr("/graph/q: has a zero point of 0.5 for codes from -128 to 127"));
        EXPECT_THAT(message([](Quant& q) { q.zero_point = 200; }, constant),
                    HasSubstr("/graph/q: has a zero point of 200 for codes from -128 to 127"));
        EXPECT_THAT(message([](Quant& q) { q.rounding = "DPU"; }, constant),
                    HasSubstr("Quant (with rounding_mode 'DPU') at 'q'"));
        EXPECT_THAT(message(
                        [](Quant& q)
                        {
                            q.bits = 1;
                            q.has_sign = false;
                            q.narrow = true;
                        },
                        constant),
                    HasSubstr("/graph/q: has one code only"));
        EXPECT_THAT(message([](Quant& q) { q.scale = Reals(9, 1); }, constant, {3, 3, 1, 1}),
                    HasSubstr("Quant (with scales or zero points for groups of elements; quantise "
                              "per tensor or per channel) at 'q'"));
        EXPECT_THAT(message([](Quant& q) { q.domain = "com.example"; }, constant),
                    HasSubstr("Quant at 'q'"));
    }
    // Activations only.
    for (const char* mode : {"FLOOR", "CEIL", "ROUND_TO_ZERO", "HALF_UP"})
    {
        EXPECT_THAT(message([&](Quant& q) { q.rounding = mode; }),
                    AllOf(HasSubstr("Quant (of a computed tensor with rounding_mode '" +
                                    std::string(mode) + "'"),
                          HasSubstr("at 'q'")));
    }
    EXPECT_THAT(message([](Quant& q) { q.bits = 17; }),
                HasSubstr("Quant (of a computed tensor with more than 16 bits) at 'q'"));
    // Constants only: 3 scales along the axis over which products are added up.
    EXPECT_THAT(message([](Quant& q) { q.scale = Reals(3, 1); }, true, {1, 3, 1, 1}),
                HasSubstr("/graph/y: has weights with a scale for each position of axis 1"));
    EXPECT_THAT(message([](Quant& q) { q.scale = Reals(2, 1); }, true, {2, 1, 1, 1}),
                HasSubstr("Quant (with 2 scales or zero points, which do not fit its tensor)"));

    QuantizedModel m;
    m.input("x", {1, 3});
    m.input("s", {1});
    m.node("Quant", "q", {"x", "s", m.real(0), m.real(8)}, kDomain);
    m.node("Relu", "y", {"q"});
    m.output("y", {1, 3});
    try
    {
        static_cast<void>(imported(m));
        ADD_FAILURE();
    }
    catch (const InputError& error)
    {
        EXPECT_THAT(error.what(), HasSubstr("Quant (with a scale, zero point or bit width that is "
                                            "left out or computed) at 'q'"));
    }
}

} // namespace
} // namespace tessera::values
