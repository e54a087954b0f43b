// SPDX-License-Identifier: Apache-2.0
#include "compiler/functions.h"

#include "tessera/trace.h"

#include <stdexcept>

namespace tessera::compiler
{
namespace
{

using network::Layer;
using network::LayerKind;

std::uint16_t find(const std::string& name)
{
    const auto found = trace::find_function(name);
    if (!found)
    {
        throw std::logic_error("there is no vector function '" + name + "'");
    }
    return *found;
}

} // namespace

std::uint16_t function_of(const Layer& layer)
{
    return find(network::function_name(layer));
}

std::map<std::string, std::int64_t> arguments_of(const network::Network& network,
                                                 const Layer& layer)
{
    std::map<std::string, std::int64_t> arguments;
    const bool pool = layer.kind == LayerKind::max_pool || layer.kind == LayerKind::average_pool;
    switch (layer.kind)
    {
    case LayerKind::conv2d:
    case LayerKind::max_pool:
    case LayerKind::average_pool:
        arguments = {{"kernel_height", layer.kernel_height}, {"kernel_width", layer.kernel_width},
                     {"stride_height", layer.stride_height}, {"stride_width", layer.stride_width},
                     {"pad_top", layer.padding.top},         {"pad_bottom", layer.padding.bottom},
                     {"pad_left", layer.padding.left},       {"pad_right", layer.padding.right}};
        if (pool)
        {
            arguments["ceil_mode"] = layer.ceil_mode ? 1 : 0;
        }
        else
        {
            arguments["dilation_height"] = layer.dilation_height;
            arguments["dilation_width"] = layer.dilation_width;
            arguments["groups"] = layer.groups;
        }
        break;
    case LayerKind::dense:
        arguments = {{"inner", network.input_shape(layer).channels}};
        break;
    case LayerKind::matmul:
        arguments = {{"heads", layer.heads}, {"transpose_second", layer.transpose_second ? 1 : 0}};
        break;
    case LayerKind::softmax:
        arguments = {{"axis", layer.axis == "height" ? 0 : 2}};
        break;
    case LayerKind::upsample:
        arguments = {{"scale", layer.scale}};
        break;
    case LayerKind::embedding:
        arguments = {{"table_rows", static_cast<std::int64_t>(layer.table_rows)}};
        break;
    default:
        break;
    }
    return arguments;
}

std::uint16_t accumulate_function()
{
    return find("accumulate");
}

} // namespace tessera::compiler
