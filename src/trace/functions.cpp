// SPDX-License-Identifier: Apache-2.0
#include "tessera/trace.h"

#include <unordered_map>

namespace tessera::trace
{

const std::vector<Function>& functions()
{
    static const std::vector<const char*> kPool = {"kernel_height", "kernel_width", "stride_height",
                                                   "stride_width",  "pad_top",      "pad_bottom",
                                                   "pad_left",      "pad_right",    "ceil_mode"};
    static const std::vector<Function> kFunctions = {
        {"accumulate", "sum of all operands, element by element (partial sums)", {}},
        {"bias", "adds the layer's bias", {}},
        {"relu", "max(x, 0)", {}},
        {"relu6", "min(max(x, 0), 6)", {}},
        {"leaky_relu", "x, or a fraction of it below 0", {"slope_numerator", "slope_denominator"}},
        {"silu", "x sigmoid(x)", {}},
        {"mish", "x tanh(ln(1 + e^x))", {}},
        {"gelu", "x Phi(x)", {}},
        {"sigmoid", "1 / (1 + e^-x)", {}},
        {"tanh", "hyperbolic tangent", {}},
        {"hard_swish", "x relu6(x + 3) / 6", {}},
        {"add", "sum of two operands", {}},
        {"mul", "product of two operands", {}},
        {"max_pool", "greatest element of a window", kPool},
        {"average_pool", "mean of a window", kPool},
        {"global_average_pool", "mean of every channel", {}},
        {"concat", "operands behind one another; axis 0 rows, 1 columns, 2 channels", {"axis"}},
        {"split", "a range of channels", {"begin", "end", "axis"}},
        {"upsample", "nearest neighbour", {"scale"}},
        {"pad", "a border of zeros", {"pad_top", "pad_bottom", "pad_left", "pad_right"}},
        {"batch_norm", "scale and offset per channel", {}},
        {"softmax", "over one axis: 0 rows, 1 columns, 2 channels", {"axis"}},
        {"layer_norm", "normalises every row over its channels", {"axis"}},
        {"matmul",
         "product of two operands that are both activations",
         {"rows", "inner", "columns", "heads", "transpose_second"}},
        {"reshape", "the same elements in another shape", {"height", "width", "channels"}},
        {"transpose", "exchanges axes", {"heads"}},
        {"requantize", "to `bits` of the operation, after a shift", {"shift"}},
        {"copy", "the operand as it is", {}},
        {"dense", "fully connected layer in digital arithmetic", {"rows", "inner", "columns"}},
        {"conv2d",
         "convolution in digital arithmetic",
         {"kernel_height", "kernel_width", "stride_height", "stride_width", "dilation_height",
          "dilation_width", "pad_top", "pad_bottom", "pad_left", "pad_right", "groups", "inner"}},
        {"embedding", "tokens to vectors by table look-up", {"table_rows"}},
        {"gelu_tanh", "gelu by a tanh: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2", {}},
        {"elu", "x, or a factor times e^x - 1 below 0", {}},
        {"selu", "1.0507 x, or 1.7581 (e^x - 1) below 0", {}},
        {"prelu", "x, or a fraction of the channel's own of it below 0", {}},
        {"sign", "one number from 0 on, its negative below", {}},
        {"rms_norm", "divides every row by the root of its mean square", {}},
    };
    return kFunctions;
}

std::optional<std::uint16_t> find_function(std::string_view name)
{
    static const std::unordered_map<std::string_view, std::uint16_t> kByName = []
    {
        std::unordered_map<std::string_view, std::uint16_t> map;
        for (const Function& function : functions())
        {
            map.emplace(function.name, static_cast<std::uint16_t>(map.size()));
        }
        return map;
    }();
    const auto found = kByName.find(name);
    return found == kByName.end() ? std::nullopt : std::optional(found->second);
}

std::vector<std::string> function_names()
{
    std::vector<std::string> names;
    for (const Function& function : functions())
    {
        names.emplace_back(function.name);
    }
    return names;
}

} // namespace tessera::trace
