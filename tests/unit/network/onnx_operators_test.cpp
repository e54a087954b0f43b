// SPDX-License-Identifier: Apache-2.0
// Operators that are made of other layers, or of functions with numbers of their own: what they
// compute, against their definitions, which are written out here.
#include "onnx_run.h"
#include "tessera/error.h"
#include "unit/values/onnx_quantized.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <random>

namespace tessera::network
{
namespace
{

using test::QuantizedModel;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
namespace pb = ::onnx;

using Extents = std::vector<std::int64_t>;

std::int64_t elements_of(const Extents& extents)
{
    return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

void set_real(pb::NodeProto& node, const std::string& key, float value)
{
    pb::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(key);
    attribute.set_type(pb::AttributeProto::FLOAT);
    attribute.set_f(value);
}

void set_text(pb::NodeProto& node, const std::string& key, const std::string& value)
{
    pb::AttributeProto& attribute = *node.add_attribute();
    attribute.set_name(key);
    attribute.set_type(pb::AttributeProto::STRING);
    attribute.set_s(value);
}

std::vector<double> random_values(std::mt19937& random, std::int64_t count, double spread = 2)
{
    std::normal_distribution<double> normal(0, spread);
    std::vector<double> values;
    for (std::int64_t i = 0; i < count; ++i)
    {
        values.push_back(static_cast<double>(static_cast<float>(normal(random))));
    }
    return values;
}

std::vector<float> floats(const std::vector<double>& values)
{
    return {values.begin(), values.end()};
}

void expect_near(const std::vector<double>& made, const std::vector<double>& wanted, double error)
{
    ASSERT_EQ(made.size(), wanted.size());
    for (std::size_t i = 0; i < made.size(); ++i)
    {
        ASSERT_NEAR(made[i], wanted[i], error * (1 + std::abs(wanted[i]))) << i;
    }
}

std::vector<std::string> kinds_of(const Network& network)
{
    std::vector<std::string> kinds;
    for (const Layer& layer : network.layers)
    {
        kinds.push_back(function_name(layer));
    }
    return kinds;
}

/// A model of one input of these extents; `build` adds nodes and names the result.
QuantizedModel model_of(const Extents& extents,
                        const std::function<std::string(QuantizedModel&)>& build)
{
    QuantizedModel model;
    model.input("x", extents);
    const std::string result = build(model);
    model.output(result, {});
    return model;
}

std::string refusal(const Extents& extents,
                    const std::function<std::string(QuantizedModel&)>& build)
{
    try
    {
        static_cast<void>(import_bytes(model_of(extents, build).bytes()));
    }
    catch (const InputError& error)
    {
        EXPECT_FALSE(error.remedy().empty());
        return error.what();
    }
    return "";
}

/// An operator of one operand and of scalars in its attributes.
struct Function
{
    std::string operation, domain;
    std::vector<std::pair<std::string, float>> attributes;
    std::string approximate;
    std::string layer; ///< what it becomes; "" where it takes several
    std::function<double(double)> value;
};

double sigmoid(double x)
{
    return 1 / (1 + std::exp(-x));
}
double gelu(double x)
{
    return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
}
double gelu_by_tanh(double x)
{
    return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
double elu(double alpha, double x)
{
    return x < 0 ? alpha * (std::exp(x) - 1) : x;
}

std::vector<Function> functions()
{
    const std::string microsoft = "com.microsoft";
    const auto swish = [](double alpha)
    { return [alpha](double x) { return x * sigmoid(alpha * x); }; };
    return {
        {"Gelu", "", {}, "", "gelu", gelu},
        {"Gelu", "", {}, "none", "gelu", gelu},
        {"Gelu", "", {}, "tanh", "gelu_tanh", gelu_by_tanh},
        {"Gelu", microsoft, {}, "", "gelu", gelu},
        {"FastGelu", microsoft, {}, "", "gelu_tanh", gelu_by_tanh},
        {"QuickGelu", microsoft, {}, "", "silu", swish(1.702)},
        {"QuickGelu", microsoft, {{"alpha", 1}}, "", "silu", swish(1)},
        {"Swish", "", {}, "", "silu", swish(1)},
        {"Swish", "", {{"alpha", 0.5F}}, "", "silu", swish(0.5)},
        {"Swish", "", {{"alpha", -2}}, "", "silu", swish(-2)},
        {"Elu", "", {}, "", "elu", [](double x) { return elu(1, x); }},
        {"Elu", "", {{"alpha", 2.5F}}, "", "elu", [](double x) { return elu(2.5, x); }},
        {"Celu", "", {}, "", "elu", [](double x) { return elu(1, x); }},
        {"Celu",
         "",
         {{"alpha", 0.5F}},
         "",
         "",
         [](double x) { return std::max(0.0, x) + std::min(0.0, 0.5 * (std::exp(x / 0.5) - 1)); }},
        {"Selu",
         "",
         {},
         "",
         "selu",
         [](double x) { return 1.0507009873554804934 * elu(1.6732632423543772848, x); }},
        {"Selu", "", {{"alpha", 2}, {"gamma", 3}}, "", "", [](double x) { return 3 * elu(2, x); }},
    };
}

TEST(Functions, AreThoseOfTheirDefinitions)
{
    std::mt19937 random(1);
    const Extents extents{1, 3, 4, 5};
    for (const Function& function : functions())
    {
        SCOPED_TRACE(function.domain + ' ' + function.operation + ' ' + function.layer);
        const QuantizedModel model =
            model_of(extents,
                     [&](QuantizedModel& m)
                     {
                         pb::NodeProto& node =
                             m.node(function.operation, "y", {"x"}, function.domain);
                         for (const auto& [key, value] : function.attributes)
                         {
                             set_real(node, key, value);
                         }
                         if (!function.approximate.empty())
                         {
                             set_text(node, "approximate", function.approximate);
                         }
                         return node.name();
                     });
        const onnx::Imported imported = import_bytes(model.bytes());
        if (!function.layer.empty())
        {
            EXPECT_THAT(kinds_of(imported.network), ElementsAre("input", function.layer));
        }
        const std::vector<double> x = random_values(random, elements_of(extents));
        std::vector<double> wanted;
        std::transform(x.begin(), x.end(), std::back_inserter(wanted), function.value);
        expect_near(outputs_of(imported, {x}), wanted, 1e-6);
    }
    EXPECT_THAT(refusal(extents,
                        [](QuantizedModel& m)
                        {
                            set_text(m.node("Gelu", "y", {"x"}), "approximate", "cubic");
                            return "y";
                        }),
                HasSubstr("Gelu (with approximate 'cubic') at 'y'"));
    EXPECT_THAT(refusal(extents,
                        [](QuantizedModel& m)
                        {
                            set_real(m.node("Celu", "y", {"x"}), "alpha", 0);
                            return "y";
                        }),
                HasSubstr("Celu (with an alpha that is not above 0) at 'y'"));
}

TEST(Functions, QuickGeluIsFoundWrittenOut)
{
    std::mt19937 random(2);
    const onnx::Imported imported =
        import_bytes(model_of({1, 6, 8},
                              [](QuantizedModel& m)
                              {
                                  m.node("Mul", "scaled", {"x", m.real(1.702F)});
                                  m.node("Sigmoid", "gate", {"scaled"});
                                  m.node("Mul", "y", {"x", "gate"});
                                  return "y";
                              })
                         .bytes());
    EXPECT_THAT(kinds_of(imported.network), ElementsAre("input", "silu"));
    const std::vector<double> x = random_values(random, 48);
    std::vector<double> wanted;
    std::transform(x.begin(), x.end(), std::back_inserter(wanted),
                   [](double v) { return v * sigmoid(double{1.702F} * v); });
    expect_near(outputs_of(imported, {x}), wanted, 1e-6);
}

TEST(Functions, AGeluWrittenWithATanhIsNotTheOneWithErf)
{
    const auto root = static_cast<float>(std::sqrt(2 / std::acos(-1.0)));
    const onnx::Imported imported =
        import_bytes(model_of({1, 6, 8},
                              [&](QuantizedModel& m)
                              {
                                  m.node("Pow", "cube", {"x", m.real(3)});
                                  m.node("Mul", "part", {"cube", m.real(0.044715F)});
                                  m.node("Add", "sum", {"x", "part"});
                                  m.node("Mul", "scaled", {"sum", m.real(root)});
                                  m.node("Tanh", "tanh", {"scaled"});
                                  m.node("Add", "more", {"tanh", m.real(1)});
                                  m.node("Mul", "half", {"x", m.real(0.5F)});
                                  m.node("Mul", "y", {"half", "more"});
                                  return "y";
                              })
                         .bytes());
    EXPECT_THAT(kinds_of(imported.network), ElementsAre("input", "gelu_tanh"));
}

TEST(Functions, ABiasComesBeforeGelu)
{
    std::mt19937 random(3);
    const std::vector<double> bias = random_values(random, 8);
    for (const std::string operation : {"BiasGelu", "FastGelu"})
    {
        const onnx::Imported imported =
            import_bytes(model_of({1, 6, 8},
                                  [&](QuantizedModel& m) {
                                      return m
                                          .node(operation, "y", {"x", m.reals({8}, floats(bias))},
                                                "com.microsoft")
                                          .name();
                                  })
                             .bytes());
        const std::vector<double> x = random_values(random, 48);
        std::vector<double> wanted;
        for (std::size_t i = 0; i < x.size(); ++i)
        {
            const double sum = x[i] + bias[i % 8];
            wanted.push_back(operation == "BiasGelu" ? gelu(sum) : gelu_by_tanh(sum));
        }
        expect_near(outputs_of(imported, {x}), wanted, 1e-6);
    }
}

TEST(PRelu, HasASlopeForAllOrOneAChannel)
{
    std::mt19937 random(4);
    const Extents extents{1, 3, 4, 5};
    for (const Extents& slopes : {Extents{}, Extents{1}, Extents{3, 1, 1}, Extents{1, 3, 1, 1},
                                  Extents{1, 1, 4, 1}, Extents{5}})
    {
        SCOPED_TRACE(testing::PrintToString(slopes));
        const std::vector<double> slope = random_values(random, elements_of(slopes), 0.7);
        const onnx::Imported imported = import_bytes(
            model_of(extents,
                     [&](QuantizedModel& m) {
                         return m.node("PRelu", "y", {"x", m.reals(slopes, floats(slope))}).name();
                     })
                .bytes());
        EXPECT_EQ(imported.network.parameters(), slope.size());
        const std::vector<double> x = random_values(random, elements_of(extents));
        std::vector<double> wanted;
        for (std::size_t i = 0; i < x.size(); ++i)
        {
            const std::size_t place = slope.size() == 1   ? 0
                                      : slope.size() == 3 ? i / 20
                                      : slope.size() == 4 ? i / 5 % 4
                                                          : i % 5;
            wanted.push_back(x[i] < 0 ? x[i] * slope[place] : x[i]);
        }
        expect_near(outputs_of(imported, {x}), wanted, 1e-6);
    }
    const auto with_slopes = [&](const Extents& slopes)
    {
        return refusal(extents,
                       [&](QuantizedModel& m)
                       {
                           const std::vector<float> values(
                               static_cast<std::size_t>(elements_of(slopes)));
                           return m.node("PRelu", "y", {"x", m.reals(slopes, values)}).name();
                       });
    };
    EXPECT_THAT(with_slopes({3, 4, 5}), HasSubstr("PRelu (with slopes for more than one axis;"));
    EXPECT_THAT(with_slopes({2, 1, 3, 1, 1}), HasSubstr("PRelu (with slopes for other extents)"));
    EXPECT_THAT(refusal(extents,
                        [](QuantizedModel& m)
                        {
                            m.node("Sigmoid", "s", {"x"});
                            return m.node("PRelu", "y", {"x", "s"}).name();
                        }),
                HasSubstr("PRelu (with weights that are computed)"));
}

TEST(Bounds, AreConstantsForAllOrOneAChannel)
{
    std::mt19937 random(5);
    const Extents extents{1, 3, 4, 5};
    for (const std::string operation : {"Max", "Min"})
    {
        for (const Extents& bounds : {Extents{}, Extents{3, 1, 1}})
        {
            for (const bool twice : {false, true})
            {
                SCOPED_TRACE(operation + testing::PrintToString(bounds));
                const std::vector<double> bound = random_values(random, elements_of(bounds), 1);
                const onnx::Imported imported = import_bytes(
                    model_of(
                        extents,
                        [&](QuantizedModel& m)
                        {
                            std::vector<std::string> operands{m.reals(bounds, floats(bound)), "x"};
                            if (twice)
                            {
                                operands.push_back(m.real(0.25F));
                            }
                            return m.node(operation, "y", operands).name();
                        })
                        .bytes());
                const std::vector<double> x = random_values(random, elements_of(extents));
                std::vector<double> wanted;
                for (std::size_t i = 0; i < x.size(); ++i)
                {
                    const double its = bound[bound.size() == 1 ? 0 : i / 20];
                    double value = operation == "Max" ? std::max(x[i], its) : std::min(x[i], its);
                    if (twice)
                    {
                        value = operation == "Max" ? std::max(value, 0.25) : std::min(value, 0.25);
                    }
                    wanted.push_back(value);
                }
                expect_near(outputs_of(imported, {x}), wanted, 1e-6);
            }
        }
    }
    EXPECT_THAT(refusal(extents,
                        [](QuantizedModel& m)
                        {
                            m.node("Sigmoid", "s", {"x"});
                            return m.node("Max", "y", {"x", "s"}).name();
                        }),
                HasSubstr("Max (of two computed tensors) at 'y'"));
    EXPECT_THAT(
        refusal(extents,
                [](QuantizedModel& m) {
                    return m.node("Min", "y", {"x", m.reals({3, 4, 1}, std::vector<float>(12, 1))})
                        .name();
                }),
        HasSubstr("Min (with a constant for every element) at 'y'"));
}

TEST(Blocks, MoveBetweenDepthAndSpace)
{
    std::mt19937 random(6);
    for (const std::int64_t block : {1, 2, 3})
    {
        for (const std::int64_t depth : {1, 2, 5})
        {
            const Extents wide{1, depth, 2 * block, 3 * block};
            const Extents deep{1, depth * block * block, 2, 3};
            for (const std::string mode : {"DCR", "CRD", "back"})
            {
                SCOPED_TRACE(mode + std::to_string(block) + ' ' + std::to_string(depth));
                const bool back = mode == "back";
                for (const bool goes_on : {false, true}) // something reads rows of channels then
                {
                    const onnx::Imported imported = import_bytes(
                        model_of(back ? wide : deep,
                                 [&](QuantizedModel& m)
                                 {
                                     pb::NodeProto& node =
                                         m.node(back ? "SpaceToDepth" : "DepthToSpace", "y", {"x"});
                                     QuantizedModel::set(node, "blocksize", block);
                                     if (mode == "CRD")
                                     {
                                         set_text(node, "mode", mode);
                                     }
                                     if (!goes_on)
                                     {
                                         return std::string("y");
                                     }
                                     QuantizedModel::set(m.node("MaxPool", "z", {"y"}),
                                                         "kernel_shape", {1, 2});
                                     return std::string("z");
                                 })
                            .bytes());
                    const std::vector<double> x = random_values(random, elements_of(wide));
                    std::vector<double> y(x.size());
                    std::size_t next = 0; // elements of the wide tensor
                    for (std::int64_t c = 0; c < depth; ++c)
                    {
                        for (std::int64_t row = 0; row < wide[2]; ++row)
                        {
                            for (std::int64_t column = 0; column < wide[3]; ++column, ++next)
                            {
                                const std::int64_t phase = row % block * block + column % block;
                                const std::int64_t channel =
                                    mode == "CRD" ? c * block * block + phase : phase * depth + c;
                                const auto place = static_cast<std::size_t>(
                                    (channel * 2 + row / block) * 3 + column / block);
                                (back ? y[place] : y[next]) = back ? x[next] : x[place];
                            }
                        }
                    }
                    if (goes_on)
                    {
                        const auto width = static_cast<std::size_t>(back ? deep[3] : wide[3]);
                        std::vector<double> pooled;
                        for (std::size_t i = 0; i < y.size(); ++i)
                        {
                            if (i % width + 1 < width)
                            {
                                pooled.push_back(std::max(y[i], y[i + 1]));
                            }
                        }
                        y = std::move(pooled);
                    }
                    EXPECT_EQ(outputs_of(imported, {x}), y);
                }
            }
        }
    }
    const auto refused = [&](const std::string& operation, std::int64_t block, const char* mode)
    {
        return refusal({1, 6, 4, 4},
                       [&](QuantizedModel& m)
                       {
                           pb::NodeProto& node = m.node(operation, "y", {"x"});
                           QuantizedModel::set(node, "blocksize", block);
                           set_text(node, "mode", mode);
                           return node.name();
                       });
    };
    EXPECT_THAT(refused("DepthToSpace", 2, "DCR"), HasSubstr("(of 6 channels in blocks of 2)"));
    EXPECT_THAT(refused("DepthToSpace", 0, "DCR"), HasSubstr("(with a blocksize of 0)"));
    EXPECT_THAT(refused("DepthToSpace", 1, "RCD"), HasSubstr("(with mode 'RCD')"));
    EXPECT_THAT(refused("SpaceToDepth", 3, "DCR"),
                HasSubstr("(of 4 x 4 positions in blocks of 3)"));
}

/// A ConvTranspose, and what ONNX says it computes: every element of the input adds the kernel,
/// times itself, to a stretch of the output.
struct Transposed
{
    std::int64_t channels = 1, outer = 1, groups = 1; ///< outer: of one group
    bool flat = false;                                ///< one axis only
    std::array<std::int64_t, 2> input{4, 4}, kernel{3, 3}, stride{1, 1}, dilation{1, 1}, more{0, 0},
        before{0, 0}, after{0, 0};
    std::string automatic = "NOTSET";
    bool shaped = false, biased = true;

    [[nodiscard]] std::size_t rank() const { return flat ? 1 : 2; }
    [[nodiscard]] std::vector<std::int64_t> list(const std::array<std::int64_t, 2>& its) const
    {
        return {its.begin(), its.begin() + static_cast<std::ptrdiff_t>(rank())};
    }
    [[nodiscard]] std::int64_t whole(std::size_t i) const
    {
        return stride[i] * (input[i] - 1) + more[i] + (kernel[i] - 1) * dilation[i] + 1;
    }
    [[nodiscard]] std::int64_t output(std::size_t i) const
    {
        return whole(i) - before[i] - after[i];
    }
    [[nodiscard]] Extents input_extents() const
    {
        Extents extents{1, channels};
        extents.insert(extents.end(), input.begin(),
                       input.begin() + static_cast<std::ptrdiff_t>(rank()));
        return extents;
    }
    [[nodiscard]] Extents kernel_extents() const
    {
        Extents extents{channels, outer};
        extents.insert(extents.end(), kernel.begin(),
                       kernel.begin() + static_cast<std::ptrdiff_t>(rank()));
        return extents;
    }

    pb::NodeProto& add(QuantizedModel& m, std::vector<std::string> operands) const
    {
        pb::NodeProto& node = m.node("ConvTranspose", "y", operands);
        QuantizedModel::set(node, "strides", list(stride));
        QuantizedModel::set(node, "dilations", list(dilation));
        QuantizedModel::set(node, "output_padding", list(more));
        QuantizedModel::set(node, "group", groups);
        set_text(node, "auto_pad", automatic);
        if (shaped)
        {
            Extents wanted;
            for (std::size_t i = 0; i < rank(); ++i)
            {
                wanted.push_back(output(i));
            }
            QuantizedModel::set(node, "output_shape", wanted);
        }
        else if (automatic == "NOTSET")
        {
            std::vector<std::int64_t> pads = list(before);
            const std::vector<std::int64_t> ends = list(after);
            pads.insert(pads.end(), ends.begin(), ends.end());
            QuantizedModel::set(node, "pads", pads);
        }
        return node;
    }

    [[nodiscard]] std::vector<double> values(const std::vector<double>& x,
                                             const std::vector<double>& w,
                                             const std::vector<double>& bias) const
    {
        std::vector<double> y;
        for (std::int64_t c = 0; c < groups * outer; ++c)
        {
            y.insert(y.end(), static_cast<std::size_t>(output(0) * output(1)),
                     biased ? bias[static_cast<std::size_t>(c)] : 0.0);
        }
        for (std::int64_t c = 0; c < channels; ++c)
        {
            const std::int64_t group = c / (channels / groups);
            for (std::int64_t o = 0; o < outer; ++o)
            {
                for (std::int64_t row = 0; row < input[0]; ++row)
                {
                    for (std::int64_t column = 0; column < input[1]; ++column)
                    {
                        for (std::int64_t ky = 0; ky < kernel[0]; ++ky)
                        {
                            for (std::int64_t kx = 0; kx < kernel[1]; ++kx)
                            {
                                const std::int64_t at =
                                    row * stride[0] + ky * dilation[0] - before[0];
                                const std::int64_t to =
                                    column * stride[1] + kx * dilation[1] - before[1];
                                if (at >= 0 && to >= 0 && at < output(0) && to < output(1))
                                {
                                    y[static_cast<std::size_t>(
                                        ((group * outer + o) * output(0) + at) * output(1) + to)] +=
                                        x[static_cast<std::size_t>((c * input[0] + row) * input[1] +
                                                                   column)] *
                                        w[static_cast<std::size_t>(
                                            ((c * outer + o) * kernel[0] + ky) * kernel[1] + kx)];
                                }
                            }
                        }
                    }
                }
            }
        }
        return y;
    }
};

Transposed random_transposed(std::mt19937& random)
{
    const auto pick = [&](std::int64_t least, std::int64_t most)
    { return std::uniform_int_distribution<std::int64_t>(least, most)(random); };
    Transposed its;
    its.flat = pick(0, 5) == 0;
    its.groups = pick(0, 2) == 0 ? pick(2, 3) : 1;
    its.channels = its.groups * pick(1, 3);
    its.outer = pick(1, 3);
    its.biased = pick(0, 2) != 0;
    for (std::size_t i = 0; i < 2; ++i)
    {
        if (its.flat && i == 1)
        {
            its.input[i] = its.kernel[i] = 1;
            continue;
        }
        its.input[i] = pick(1, 5);
        its.kernel[i] = pick(1, 5);
        its.stride[i] = pick(1, 4);
        its.dilation[i] = pick(1, 3);
        its.more[i] = pick(0, 3) == 0 ? pick(0, std::max(its.stride[i], its.dilation[i]) - 1) : 0;
        its.before[i] = pick(0, std::min<std::int64_t>(4, its.whole(i) - 1));
        its.after[i] = pick(0, std::min<std::int64_t>(4, its.whole(i) - 1 - its.before[i]));
    }
    const std::int64_t how = pick(0, 7);
    if (how <= 3)
    {
        its.automatic = how == 1   ? "SAME_UPPER"
                        : how == 2 ? "SAME_LOWER"
                        : how == 3 ? "VALID"
                                   : "NOTSET";
        its.shaped = how == 0;
        for (std::size_t i = 0; i < its.rank(); ++i)
        {
            const std::int64_t wanted = how == 0   ? pick(1, its.whole(i) + 3)
                                        : how == 3 ? its.whole(i)
                                                   : its.input[i] * its.stride[i];
            const std::int64_t total = its.whole(i) - wanted;
            // Where there is nothing to cut off, what is missing comes at the end.
            its.before[i] = total < 0 ? 0 : (how == 1 ? total / 2 : total - total / 2);
            its.after[i] = total - its.before[i];
        }
    }
    return its;
}

TEST(ConvTranspose, IsThatOfItsDefinition)
{
    std::mt19937 random(7);
    std::map<std::string, int> seen;
    for (int run = 0; run < 400; ++run)
    {
        SCOPED_TRACE(run);
        const Transposed its = random_transposed(random);
        const std::vector<double> w = random_values(random, elements_of(its.kernel_extents()), 1);
        const std::vector<double> bias = random_values(random, its.groups * its.outer, 1);
        const onnx::Imported imported = import_bytes(
            model_of(its.input_extents(),
                     [&](QuantizedModel& m)
                     {
                         std::vector<std::string> operands{
                             "x", m.reals(its.kernel_extents(), floats(w))};
                         if (its.biased)
                         {
                             operands.push_back(m.reals({its.groups * its.outer}, floats(bias)));
                         }
                         return its.add(m, operands).name();
                     })
                .bytes());
        Extents extents{1, its.groups * its.outer};
        for (std::size_t i = 0; i < its.rank(); ++i)
        {
            extents.push_back(its.output(i));
        }
        ASSERT_EQ(imported.outputs.front().view.extents(), extents);
        EXPECT_EQ(imported.network.parameters(),
                  w.size() + (its.biased ? bias.size() : std::size_t{0}));
        const std::vector<double> x = random_values(random, elements_of(its.input_extents()), 1);
        expect_near(outputs_of(imported, {x}), its.values(x, w, bias), 1e-5);
        ++seen[its.automatic];
        seen["groups"] += its.groups > 1 ? 1 : 0;
        seen["cut"] += its.output(0) % its.stride[0] != 0 ? 1 : 0;
        seen["flat"] += its.flat ? 1 : 0;
        seen["longer"] += its.after[0] < 0 ? 1 : 0;
    }
    for (const char* what :
         {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", "groups", "cut", "flat", "longer"})
    {
        EXPECT_GT(seen[what], 10) << what;
    }
}

TEST(ConvTranspose, IsOneConvolutionOfTheWindowsThatOverlap)
{
    const auto layers = [](std::int64_t kernel, std::int64_t pad)
    {
        Transposed its;
        its.channels = 3;
        its.outer = 2;
        its.kernel = {kernel, kernel};
        its.stride = {2, 2};
        its.before = its.after = {pad, pad};
        const std::vector<float> w(static_cast<std::size_t>(elements_of(its.kernel_extents())), 1);
        Network network =
            import_bytes(
                model_of(its.input_extents(),
                         [&](QuantizedModel& m) {
                             return its.add(m, {"x", m.reals(its.kernel_extents(), w)}).name();
                         })
                    .bytes())
                .network;
        return network.layers;
    };
    // Windows that lie side by side: as many products as the definition has.
    const std::vector<Layer> apart = layers(2, 0);
    EXPECT_EQ(apart[1].kernel_height, 1U);
    EXPECT_EQ(apart[1].output, (Shape{4, 4, 8}));
    EXPECT_EQ(apart[1].macs, 4U * 4 * 3 * 2 * 2 * 2);
    // The usual upsampling by 2: 9 taps for 4, whose others are zeros.
    const std::vector<Layer> overlapping = layers(4, 1);
    EXPECT_EQ(overlapping[1].kernel_height, 3U);
    EXPECT_EQ(overlapping[1].output, (Shape{4, 4, 8}));
    EXPECT_EQ(overlapping[1].macs, 4U * 4 * 3 * 8 * 9);
}

TEST(ConvTranspose, RefusesWhatItCannotBe)
{
    const auto refused = [](const std::function<void(Transposed&)>& spoil, const Extents& kernel)
    {
        Transposed its;
        spoil(its);
        return refusal(its.input_extents(),
                       [&](QuantizedModel& m)
                       {
                           const std::vector<float> w(static_cast<std::size_t>(elements_of(kernel)),
                                                      1);
                           return its.add(m, {"x", m.reals(kernel, w)}).name();
                       });
    };
    EXPECT_THAT(refused([](Transposed&) {}, {2, 1, 3, 3}),
                HasSubstr("(with weights for 2 channels in 1 groups and an input of 1)"));
    EXPECT_THAT(refused([](Transposed&) {}, {1, 1, 3}), HasSubstr("(with a kernel of 3 axes)"));
    EXPECT_THAT(refused([](Transposed& t) { t.automatic = "SAME"; }, {1, 1, 3, 3}),
                HasSubstr("(with auto_pad 'SAME')"));
    EXPECT_THAT(refused(
                    [](Transposed& t) {
                        t.before = {9, 9};
                    },
                    {1, 1, 3, 3}),
                HasSubstr("(with an output of -3 rows or columns)"));
    EXPECT_THAT(refused(
                    [](Transposed& t) {
                        t.stride = {300, 300};
                    },
                    {1, 1, 3, 3}),
                HasSubstr("more than 65536 channels or 2^28 weights)"));
    EXPECT_THAT(refused(
                    [](Transposed& t) {
                        t.stride = {0, 1};
                    },
                    {1, 1, 3, 3}),
                HasSubstr("(with strides that are no 2 numbers from 1 to 65536)"));
}

/// y = scale (x - mean) / sqrt(mean of (x - mean)^2 + epsilon) + shift; the mean is 0 unless
/// `centred`.
std::vector<double> norm(const std::vector<double>& x, std::size_t channels, bool centred,
                         double epsilon, const std::vector<double>& scale,
                         const std::vector<double>& shift)
{
    std::vector<double> y;
    for (std::size_t first = 0; first < x.size(); first += channels)
    {
        double mean = 0;
        double square = 0;
        for (std::size_t c = 0; centred && c < channels; ++c)
        {
            mean += x[first + c] / static_cast<double>(channels);
        }
        for (std::size_t c = 0; c < channels; ++c)
        {
            square += std::pow(x[first + c] - mean, 2) / static_cast<double>(channels);
        }
        for (std::size_t c = 0; c < channels; ++c)
        {
            y.push_back(scale[c] * (x[first + c] - mean) / std::sqrt(square + epsilon) +
                        (shift.empty() ? 0 : shift[c]));
        }
    }
    return y;
}

TEST(RmsNorm, IsALayerNormWhoseMeanStays)
{
    std::mt19937 random(8);
    const std::vector<double> scale = random_values(random, 8, 1);
    for (const auto& [operation, domain] :
         {std::pair<std::string, std::string>{"RMSNormalization", ""},
          {"SimplifiedLayerNormalization", ""},
          {"SimplifiedLayerNormalization", "com.microsoft"}})
    {
        for (const float epsilon : {1e-5F, 0.5F})
        {
            const onnx::Imported imported = import_bytes(
                model_of({1, 6, 8},
                         [&, &operation = operation, &domain = domain](QuantizedModel& m)
                         {
                             pb::NodeProto& node =
                                 m.node(operation, "y", {"x", m.reals({8}, floats(scale))}, domain);
                             if (epsilon == 0.5F)
                             {
                                 set_real(node, "epsilon", epsilon);
                             }
                             return node.name();
                         })
                    .bytes());
            EXPECT_THAT(kinds_of(imported.network), ElementsAre("input", "rms_norm"));
            EXPECT_EQ(imported.network.parameters(), 8U);
            const std::vector<double> x = random_values(random, 48);
            expect_near(outputs_of(imported, {x}),
                        norm(x, 8, false, static_cast<double>(epsilon), scale, {}), 1e-6);
        }
    }
}

TEST(RmsNorm, IsFoundWrittenOut)
{
    std::mt19937 random(10);
    const std::vector<double> scale = random_values(random, 8, 1);
    for (const bool reciprocal : {false, true})
    {
        for (const bool of_difference : {false, true}) // what is normalised may be any sum
        {
            const onnx::Imported imported = import_bytes(
                model_of({1, 6, 8},
                         [&](QuantizedModel& m)
                         {
                             m.node("Tanh", "tanh", {"x"});
                             m.node("Sub", "difference", {"x", "tanh"});
                             const std::string of = of_difference ? "difference" : "x";
                             m.node("Pow", "square", {of, m.real(2)});
                             pb::NodeProto& mean = m.node("ReduceMean", "mean", {"square"});
                             QuantizedModel::set(mean, "axes", std::vector<std::int64_t>{-1});
                             m.node("Add", "more", {"mean", m.real(0.125F)});
                             m.node("Sqrt", "root", {"more"});
                             m.node("Reciprocal", "inverse", {"root"});
                             m.node(reciprocal ? "Mul" : "Div", "norm",
                                    {of, reciprocal ? "inverse" : "root"});
                             m.node("Mul", "y", {m.reals({8}, floats(scale)), "norm"});
                             return "y";
                         })
                    .bytes());
            EXPECT_EQ(function_name(imported.network.layers.back()), "rms_norm");
            std::vector<double> x = random_values(random, 48);
            std::vector<double> from = x;
            for (double& value : from)
            {
                value -= of_difference ? std::tanh(value) : 0;
            }
            expect_near(outputs_of(imported, {x}), norm(from, 8, false, 0.125, scale, {}), 1e-6);
        }
    }
}

TEST(SkipNorms, AreANormOfASum)
{
    std::mt19937 random(9);
    const std::vector<double> scale = random_values(random, 8, 1);
    const std::vector<double> shift = random_values(random, 8, 1);
    const std::vector<double> bias = random_values(random, 8, 1);
    for (const bool simplified : {false, true})
    {
        for (const bool biased : {false, true})
        {
            for (const bool sum_goes_on : {false, true})
            {
                const onnx::Imported imported = import_bytes(
                    model_of({1, 6, 8},
                             [&](QuantizedModel& m)
                             {
                                 m.node("Tanh", "other", {"x"});
                                 std::vector<std::string> operands{"x", "other",
                                                                   m.reals({8}, floats(scale))};
                                 if (!simplified)
                                 {
                                     operands.push_back(m.reals({8}, floats(shift)));
                                 }
                                 if (biased)
                                 {
                                     operands.push_back(m.reals({8}, floats(bias)));
                                 }
                                 pb::NodeProto& node =
                                     m.node(simplified ? "SkipSimplifiedLayerNormalization"
                                                       : "SkipLayerNormalization",
                                            "y", operands, "com.microsoft");
                                 set_real(node, "epsilon", 0.25F);
                                 if (!sum_goes_on)
                                 {
                                     return std::string("y");
                                 }
                                 for (const char* name : {"", "", "sum"})
                                 {
                                     node.add_output(name);
                                 }
                                 m.node("Add", "z", {"y", "sum"});
                                 return std::string("z");
                             })
                        .bytes());
                const std::vector<double> x = random_values(random, 48);
                std::vector<double> sum;
                for (std::size_t i = 0; i < x.size(); ++i)
                {
                    sum.push_back(x[i] + std::tanh(x[i]) + (biased ? bias[i % 8] : 0));
                }
                std::vector<double> wanted = norm(sum, 8, !simplified, 0.25, scale,
                                                  simplified ? std::vector<double>() : shift);
                for (std::size_t i = 0; sum_goes_on && i < wanted.size(); ++i)
                {
                    wanted[i] += sum[i];
                }
                expect_near(outputs_of(imported, {x}), wanted, 1e-6);
            }
        }
    }
}

} // namespace
} // namespace tessera::network
