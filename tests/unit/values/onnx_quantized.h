// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <onnx/onnx_pb.h>
#include <stdexcept>
#include <string>
#include <vector>

// Quantised ONNX models in memory, and what ONNX says they compute: written from the operators'
// definitions, plain and slow.
namespace tessera::test
{

namespace pb = ::onnx;

/// A model in the making.
class QuantizedModel
{
public:
    QuantizedModel()
    {
        proto_.set_ir_version(8);
        proto_.add_opset_import()->set_version(13);
        auto* set = proto_.add_opset_import();
        set->set_domain("com.microsoft");
        set->set_version(1);
        graph().set_name("quantized");
    }
    pb::ModelProto& proto() { return proto_; }
    [[nodiscard]] const pb::ModelProto& proto() const { return proto_; }
    pb::GraphProto& graph() { return *proto_.mutable_graph(); }
    [[nodiscard]] std::string bytes() const { return proto_.SerializeAsString(); }

    void input(const std::string& name, const std::vector<std::int64_t>& extents,
               int type = pb::TensorProto::FLOAT)
    {
        port(graph().add_input(), name, extents, type);
    }
    void output(const std::string& name, const std::vector<std::int64_t>& extents,
                int type = pb::TensorProto::FLOAT)
    {
        port(graph().add_output(), name, extents, type);
    }

    /// Adds a constant of reals, of the name that it returns.
    std::string reals(const std::vector<std::int64_t>& extents, const std::vector<float>& values)
    {
        pb::TensorProto& tensor = constant(extents, pb::TensorProto::FLOAT);
        for (const float value : values)
        {
            tensor.add_float_data(value);
        }
        return tensor.name();
    }
    std::string real(float value) { return reals({}, {value}); }
    /// Whole numbers of up to 32 bits.
    std::string codes(const std::vector<std::int64_t>& extents, int type,
                      const std::vector<std::int32_t>& values)
    {
        pb::TensorProto& tensor = constant(extents, type);
        for (const std::int32_t value : values)
        {
            tensor.add_int32_data(value);
        }
        return tensor.name();
    }
    std::string code(int type, std::int32_t value) { return codes({}, type, {value}); }

    /// Adds a node with one result, which has its name.
    pb::NodeProto& node(const std::string& operation, const std::string& name,
                        const std::vector<std::string>& inputs, const std::string& domain = "")
    {
        pb::NodeProto& node = *graph().add_node();
        node.set_op_type(operation);
        node.set_name(name);
        node.set_domain(domain);
        for (const std::string& input : inputs)
        {
            node.add_input(input);
        }
        node.add_output(name);
        return node;
    }
    static void set(pb::NodeProto& node, const std::string& key, std::int64_t value)
    {
        pb::AttributeProto& attribute = *node.add_attribute();
        attribute.set_name(key);
        attribute.set_type(pb::AttributeProto::INT);
        attribute.set_i(value);
    }
    static void set(pb::NodeProto& node, const std::string& key,
                    const std::vector<std::int64_t>& values)
    {
        pb::AttributeProto& attribute = *node.add_attribute();
        attribute.set_name(key);
        attribute.set_type(pb::AttributeProto::INTS);
        for (const std::int64_t value : values)
        {
            attribute.add_ints(value);
        }
    }

private:
    static void port(pb::ValueInfoProto* info, const std::string& name,
                     const std::vector<std::int64_t>& extents, int type)
    {
        info->set_name(name);
        auto* tensor = info->mutable_type()->mutable_tensor_type();
        tensor->set_elem_type(type);
        for (const std::int64_t extent : extents)
        {
            tensor->mutable_shape()->add_dim()->set_dim_value(extent);
        }
    }
    pb::TensorProto& constant(const std::vector<std::int64_t>& extents, int type)
    {
        pb::TensorProto& tensor = *graph().add_initializer();
        tensor.set_name("constant" + std::to_string(graph().initializer_size()));
        tensor.set_data_type(type);
        for (const std::int64_t extent : extents)
        {
            tensor.add_dims(extent);
        }
        return tensor;
    }

    pb::ModelProto proto_;
};

/// A tensor of the evaluation: reals, or codes that stand as they are in the file.
struct Numbers
{
    std::vector<std::int64_t> extents;
    std::vector<double> values;
    /// By how much whole-number arithmetic may be off, in the same units: multipliers of a finite
    /// number of bits, scales of sums that are products of scales.
    std::vector<double> slack;
    int type = pb::TensorProto::FLOAT;
    double step = 0;   ///< of reals that were codes: what one is worth
    std::string maker; ///< node that computed it

    [[nodiscard]] double near(std::size_t i) const { return slack.empty() ? 0 : slack[i]; }
};

/// Executes a model of batch 1, node by node, with exact scales in double precision.
class QuantizedEvaluation
{
public:
    /// Sees each result of a QuantizeLinear: codes before rounding (zero point added), codes
    /// (which it may change), the least and greatest code of the type, the zero point.
    struct Rounded
    {
        const Numbers& before; ///< in units of a code
        Numbers& codes;
        double least, most;
        double zero_point;
        std::string maker; ///< of what is quantised
    };
    using Watch = std::function<void(const Rounded&)>;

    QuantizedEvaluation(const pb::ModelProto& model, Watch watch)
        : graph_(model.graph()), watch_(std::move(watch))
    {
        for (const pb::TensorProto& tensor : graph_.initializer())
        {
            Numbers its;
            its.type = tensor.data_type();
            its.extents.assign(tensor.dims().begin(), tensor.dims().end());
            if (its.type == pb::TensorProto::FLOAT)
            {
                its.values.assign(tensor.float_data().begin(), tensor.float_data().end());
            }
            else
            {
                its.values.assign(tensor.int32_data().begin(), tensor.int32_data().end());
            }
            tensors_[tensor.name()] = std::move(its);
        }
    }

    void run(const std::vector<double>& image)
    {
        const auto& port = graph_.input(0);
        Numbers input;
        input.values = image;
        input.maker = port.name();
        input.type = port.type().tensor_type().elem_type();
        for (const auto& dimension : port.type().tensor_type().shape().dim())
        {
            input.extents.push_back(dimension.dim_value());
        }
        tensors_[port.name()] = std::move(input);
        for (const pb::NodeProto& node : graph_.node())
        {
            step(node);
        }
    }

    [[nodiscard]] const Numbers& of(const std::string& name) const { return tensors_.at(name); }

private:
    [[nodiscard]] bool has(const pb::NodeProto& node, int slot) const
    {
        return slot < node.input_size() && !node.input(slot).empty();
    }
    [[nodiscard]] const Numbers& in(const pb::NodeProto& node, int slot) const
    {
        return tensors_.at(node.input(slot));
    }
    static std::int64_t integer(const pb::NodeProto& node, const std::string& key,
                                std::int64_t otherwise)
    {
        for (const auto& attribute : node.attribute())
        {
            if (attribute.name() == key)
            {
                return attribute.i();
            }
        }
        return otherwise;
    }
    static std::vector<std::int64_t> list(const pb::NodeProto& node, const std::string& key,
                                          const std::vector<std::int64_t>& otherwise)
    {
        for (const auto& attribute : node.attribute())
        {
            if (attribute.name() == key)
            {
                return {attribute.ints().begin(), attribute.ints().end()};
            }
        }
        return otherwise;
    }
    static std::pair<double, double> bounds(int type)
    {
        switch (type)
        {
        case pb::TensorProto::UINT8:
            return {0, 255};
        case pb::TensorProto::INT8:
            return {-128, 127};
        case pb::TensorProto::UINT16:
            return {0, 65535};
        case pb::TensorProto::INT16:
            return {-32768, 32767};
        default:
            throw std::runtime_error("no codes of this type");
        }
    }

    /// Position of element i along an axis.
    static std::size_t along(const Numbers& x, std::size_t axis, std::size_t i)
    {
        std::size_t inner = 1;
        for (std::size_t a = axis + 1; a < x.extents.size(); ++a)
        {
            inner *= static_cast<std::size_t>(x.extents[a]);
        }
        return i / inner % static_cast<std::size_t>(x.extents[axis]);
    }

    static Numbers dequantized(const Numbers& x, const Numbers& scale, const Numbers* zero,
                               std::int64_t axis)
    {
        Numbers y = x;
        y.type = pb::TensorProto::FLOAT;
        const bool per_axis = scale.values.size() > 1;
        const auto at = static_cast<std::size_t>(
            axis < 0 ? axis + static_cast<std::int64_t>(x.extents.size()) : axis);
        for (std::size_t i = 0; i < y.values.size(); ++i)
        {
            const std::size_t place = per_axis ? along(x, at, i) : 0;
            y.values[i] =
                (x.values[i] - (zero == nullptr ? 0 : zero->values[place])) * scale.values[place];
        }
        y.slack.clear();
        y.step = scale.values[0];
        return y;
    }

    void quantize(const Numbers& x, const Numbers& scale, const Numbers* zero, std::int64_t axis,
                  const std::string& name)
    {
        Numbers before = x;
        const bool per_axis = scale.values.size() > 1;
        Numbers y = x;
        y.slack.clear();
        y.type = zero == nullptr ? int{pb::TensorProto::UINT8} : zero->type;
        const auto [least, most] = bounds(y.type);
        for (std::size_t i = 0; i < y.values.size(); ++i)
        {
            const std::size_t place =
                per_axis ? along(x, static_cast<std::size_t>(axis), i) : std::size_t{0};
            const double offset = zero == nullptr ? 0 : zero->values[place];
            const double units = x.values[i] / scale.values[place];
            const double below = std::floor(units);
            // Half to even, by hand.
            const double rest = units - below;
            const bool up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2) != 0);
            before.values[i] = units;
            if (!x.slack.empty())
            {
                before.slack[i] = x.slack[i] / scale.values[place];
            }
            y.values[i] = std::min(std::max(below + (up ? 1 : 0) + offset, least), most);
        }
        if (watch_ && !per_axis)
        {
            watch_({before, y, least, most, zero == nullptr ? 0 : zero->values[0], x.maker});
        }
        tensors_[name] = std::move(y);
    }

    /// Visits what the window of an output position covers of an NCHW map.
    template <class Visit>
    static void window(const Numbers& x, const std::vector<std::int64_t>& kernel,
                       const std::vector<std::int64_t>& strides,
                       const std::vector<std::int64_t>& pads, std::int64_t row, std::int64_t column,
                       Visit visit)
    {
        for (std::int64_t ky = 0; ky < kernel[0]; ++ky)
        {
            for (std::int64_t kx = 0; kx < kernel[1]; ++kx)
            {
                const std::int64_t y = row * strides[0] + ky - pads[0];
                const std::int64_t at = column * strides[1] + kx - pads[1];
                if (y >= 0 && at >= 0 && y < x.extents[2] && at < x.extents[3])
                {
                    visit(y, at, ky * kernel[1] + kx);
                }
            }
        }
    }
    static std::size_t place(const Numbers& x, std::int64_t c, std::int64_t y, std::int64_t at)
    {
        return static_cast<std::size_t>((c * x.extents[2] + y) * x.extents[3] + at);
    }
    static std::int64_t windows(std::int64_t extent, std::int64_t kernel, std::int64_t stride,
                                std::int64_t pads)
    {
        return (extent + pads - kernel) / stride + 1;
    }

    // Half a unit of multipliers of 31, 15 and 20 bits, relative; single precision for the product
    // of two scales that a bias has.
    static constexpr double kRatio = 0x1p-31;
    static constexpr double kMean = 0x1p-15;
    static constexpr double kSum = 0x1p-21;
    static constexpr double kScale = 0x1p-24;

    static Numbers conv(const pb::NodeProto& node, const Numbers& x, const Numbers& w,
                        const Numbers* bias)
    {
        const std::vector<std::int64_t> kernel{w.extents[2], w.extents[3]};
        const auto strides = list(node, "strides", {1, 1});
        const auto pads = list(node, "pads", {0, 0, 0, 0});
        const std::int64_t groups = integer(node, "group", 1);
        Numbers y;
        y.extents = {1, w.extents[0],
                     windows(x.extents[2], kernel[0], strides[0], pads[0] + pads[2]),
                     windows(x.extents[3], kernel[1], strides[1], pads[1] + pads[3])};
        const std::int64_t inner = w.extents[1];
        for (std::int64_t c = 0; c < y.extents[1]; ++c)
        {
            const std::int64_t group = c / (y.extents[1] / groups);
            for (std::int64_t row = 0; row < y.extents[2]; ++row)
            {
                for (std::int64_t column = 0; column < y.extents[3]; ++column)
                {
                    double sum = 0;
                    for (std::int64_t i = 0; i < inner; ++i)
                    {
                        window(x, kernel, strides, pads, row, column,
                               [&](std::int64_t yy, std::int64_t xx, std::int64_t tap)
                               {
                                   sum += x.values[place(x, group * inner + i, yy, xx)] *
                                          w.values[static_cast<std::size_t>(
                                              (c * inner + i) * kernel[0] * kernel[1] + tap)];
                               });
                    }
                    push_sum(y, sum, bias, static_cast<std::size_t>(c));
                }
            }
        }
        return y;
    }

    static void push_sum(Numbers& y, double sum, const Numbers* bias, std::size_t channel)
    {
        const double shift = bias == nullptr ? 0 : bias->values[channel];
        y.values.push_back(sum + shift);
        y.slack.push_back(std::abs(sum + shift) * kRatio + std::abs(shift) * kScale);
    }

    static Numbers product(const Numbers& x, const Numbers& w, bool transposed, const Numbers* bias)
    {
        const auto inner = static_cast<std::size_t>(w.extents[transposed ? 1 : 0]);
        const auto outer = static_cast<std::size_t>(w.extents[transposed ? 0 : 1]);
        Numbers y;
        y.extents = x.extents;
        y.extents.back() = static_cast<std::int64_t>(outer);
        for (std::size_t row = 0; row < x.values.size() / inner; ++row)
        {
            for (std::size_t c = 0; c < outer; ++c)
            {
                double sum = 0;
                for (std::size_t i = 0; i < inner; ++i)
                {
                    sum += x.values[row * inner + i] *
                           w.values[transposed ? c * inner + i : i * outer + c];
                }
                push_sum(y, sum, bias, c);
            }
        }
        return y;
    }

    /// Along the channels of maps.
    static Numbers concat(const std::vector<Numbers>& parts)
    {
        Numbers y;
        y.extents = parts.front().extents;
        y.extents[1] = 0;
        for (const Numbers& part : parts)
        {
            y.extents[1] += part.extents[1];
            y.values.insert(y.values.end(), part.values.begin(), part.values.end());
        }
        for (const double value : y.values)
        {
            y.slack.push_back(std::abs(value) * kRatio);
        }
        return y;
    }

    static Numbers pool(const pb::NodeProto& node, const Numbers& x, bool is_max, bool global)
    {
        const auto kernel = global ? std::vector<std::int64_t>{x.extents[2], x.extents[3]}
                                   : list(node, "kernel_shape", {});
        const auto strides = list(node, "strides", {1, 1});
        const auto pads = list(node, "pads", {0, 0, 0, 0});
        Numbers y;
        y.extents = {1, x.extents[1],
                     windows(x.extents[2], kernel[0], strides[0], pads[0] + pads[2]),
                     windows(x.extents[3], kernel[1], strides[1], pads[1] + pads[3])};
        for (std::int64_t c = 0; c < y.extents[1]; ++c)
        {
            for (std::int64_t row = 0; row < y.extents[2]; ++row)
            {
                for (std::int64_t column = 0; column < y.extents[3]; ++column)
                {
                    double sum = 0;
                    double most = -1e300;
                    double count = 0;
                    double slack = 0;
                    window(x, kernel, strides, pads, row, column,
                           [&](std::int64_t yy, std::int64_t xx, std::int64_t)
                           {
                               const double value = x.values[place(x, c, yy, xx)];
                               sum += value;
                               most = std::max(most, value);
                               slack = std::max(slack, x.near(place(x, c, yy, xx)));
                               ++count;
                           });
                    y.values.push_back(is_max ? most : sum / count);
                    y.slack.push_back(is_max ? slack : std::abs(sum / count) * kMean);
                }
            }
        }
        return y;
    }

    static Numbers add(const Numbers& a, const Numbers& b)
    {
        Numbers y = a;
        y.slack.assign(a.values.size(), 0);
        for (std::size_t i = 0; i < y.values.size(); ++i)
        {
            y.values[i] = a.values[i] + b.values[i];
            // Half a unit of the greater multiplier for each code.
            y.slack[i] = (std::abs(a.values[i] / a.step) + std::abs(b.values[i] / b.step)) *
                         std::max(a.step, b.step) * kSum;
        }
        return y;
    }

    void step(const pb::NodeProto& node)
    {
        const std::string& operation = node.op_type();
        const std::string& name = node.output(0);
        const auto zero = [&](int slot) { return has(node, slot) ? &in(node, slot) : nullptr; };
        if (operation == "QuantizeLinear")
        {
            quantize(in(node, 0), in(node, 1), zero(2), integer(node, "axis", 1), name);
            return;
        }
        if (operation == "DequantizeLinear")
        {
            Numbers y = dequantized(in(node, 0), in(node, 1), zero(2), integer(node, "axis", 1));
            y.maker = in(node, 0).maker;
            tensors_[name] = std::move(y);
            return;
        }
        const auto reals = [&](int slot, std::int64_t axis)
        { return dequantized(in(node, slot), in(node, slot + 1), zero(slot + 2), axis); };
        Numbers made;
        int result = -1; // slot of the result's scale
        if (operation == "Conv")
        {
            made = conv(node, in(node, 0), in(node, 1), zero(2));
        }
        else if (operation == "Gemm")
        {
            made = product(in(node, 0), in(node, 1), integer(node, "transB", 0) != 0, zero(2));
        }
        else if (operation == "MatMul")
        {
            made = product(in(node, 0), in(node, 1), false, nullptr);
        }
        else if (operation == "Relu" || operation == "Clip")
        {
            made = in(node, 0);
            const double most = operation == "Relu" ? 1e300 : in(node, 2).values[0];
            for (double& value : made.values)
            {
                value = std::min(std::max(value, 0.0), most);
            }
        }
        else if (operation == "MaxPool" || operation == "AveragePool" ||
                 operation == "GlobalAveragePool")
        {
            const bool codes = in(node, 0).type != pb::TensorProto::FLOAT;
            made = pool(node, in(node, 0), operation == "MaxPool", operation[0] == 'G');
            made.type = codes ? in(node, 0).type : made.type;
        }
        else if (operation == "Add")
        {
            made = add(in(node, 0), in(node, 1));
        }
        else if (operation == "Concat" || operation == "QLinearConcat")
        {
            std::vector<Numbers> parts;
            for (int slot = operation == "Concat" ? 0 : 2; slot < node.input_size();)
            {
                parts.push_back(operation == "Concat" ? in(node, slot) : reals(slot, 1));
                slot += operation == "Concat" ? 1 : 3;
            }
            made = concat(parts);
            result = operation == "Concat" ? -1 : 0;
        }
        else if (operation == "Flatten")
        {
            made = in(node, 0);
            made.extents = {1, static_cast<std::int64_t>(made.values.size())};
        }
        else if (operation == "QLinearConv")
        {
            Numbers bias;
            if (has(node, 8))
            {
                bias = in(node, 8);
                for (std::size_t i = 0; i < bias.values.size(); ++i)
                {
                    const Numbers& scales = in(node, 4);
                    bias.values[i] *=
                        in(node, 1).values[0] * scales.values[scales.values.size() == 1 ? 0 : i];
                }
            }
            made = conv(node, reals(0, 1), reals(3, 0), has(node, 8) ? &bias : nullptr);
            result = 6;
        }
        else if (operation == "QLinearMatMul")
        {
            made = product(reals(0, 1), reals(3, -1), false, nullptr);
            result = 6;
        }
        else if (operation == "QLinearAdd")
        {
            made = add(reals(0, 1), reals(3, 1));
            result = 6;
        }
        else if (operation == "QLinearAveragePool" || operation == "QLinearGlobalAveragePool")
        {
            made = pool(node, reals(0, 1), false, operation == "QLinearGlobalAveragePool");
            result = 3;
        }
        else
        {
            throw std::runtime_error("the evaluation does not know " + operation);
        }
        made.maker = node.name();
        if (result < 0)
        {
            tensors_[name] = std::move(made);
        }
        else
        {
            quantize(made, in(node, result), zero(result + 1), 1, name);
        }
    }

    const pb::GraphProto& graph_;
    Watch watch_;
    std::map<std::string, Numbers> tensors_;
};

} // namespace tessera::test
