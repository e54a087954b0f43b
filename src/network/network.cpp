// SPDX-License-Identifier: Apache-2.0
#include "network/network.h"

#include "base/nearest.h"
#include "network/onnx/graph.h"
#include "tessera/error.h"
#include "tessera/installation.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <system_error>

namespace tessera::network
{
namespace
{

std::filesystem::path shipped_folder()
{
    return std::filesystem::path(data_directory()) / "models" / "networks";
}

} // namespace

const char* name_of(BatchAxis axis)
{
    return axis == BatchAxis::first ? "0" : axis == BatchAxis::none ? "none" : "auto";
}

std::optional<BatchAxis> find_batch_axis(const std::string& name)
{
    for (const BatchAxis axis : {BatchAxis::automatic, BatchAxis::first, BatchAxis::none})
    {
        if (name == name_of(axis))
        {
            return axis;
        }
    }
    return std::nullopt;
}

const char* name_of(LayerKind kind)
{
    switch (kind)
    {
    case LayerKind::input:
        return "input";
    case LayerKind::conv2d:
        return "conv2d";
    case LayerKind::dense:
        return "dense";
    case LayerKind::max_pool:
        return "max_pool";
    case LayerKind::average_pool:
        return "average_pool";
    case LayerKind::global_average_pool:
        return "global_average_pool";
    case LayerKind::add:
        return "add";
    case LayerKind::mul:
        return "mul";
    case LayerKind::concat:
        return "concat";
    case LayerKind::split:
        return "split";
    case LayerKind::upsample:
        return "upsample";
    case LayerKind::pad:
        return "pad";
    case LayerKind::activation:
        return "activation";
    case LayerKind::batch_norm:
        return "batch_norm";
    case LayerKind::softmax:
        return "softmax";
    case LayerKind::layer_norm:
        return "layer_norm";
    case LayerKind::matmul:
        return "matmul";
    case LayerKind::embedding:
        return "embedding";
    case LayerKind::reshape:
        return "reshape";
    case LayerKind::transpose:
        return "transpose";
    }
    return "unknown";
}

const std::vector<std::string>& activations()
{
    static const std::vector<std::string> kNames{
        "relu", "relu6",      "leaky_relu", "mish", "silu", "gelu",  "sigmoid",
        "tanh", "hard_swish", "gelu_tanh",  "elu",  "selu", "prelu", "sign"};
    return kNames;
}

double default_slope(const std::string& activation)
{
    return activation == "leaky_relu" ? 0.1 : 1;
}

std::string function_name(const Layer& layer)
{
    return layer.kind == LayerKind::activation                     ? layer.activation
           : layer.kind == LayerKind::layer_norm && !layer.centred ? "rms_norm"
                                                                   : name_of(layer.kind);
}

std::uint64_t Network::parameters() const
{
    return std::accumulate(layers.begin(), layers.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const Layer& l) { return sum + l.parameters; });
}

std::uint64_t Network::macs() const
{
    return std::accumulate(layers.begin(), layers.end(), std::uint64_t{0},
                           [](std::uint64_t sum, const Layer& l) { return sum + l.macs; });
}

std::vector<std::string> shipped()
{
    std::vector<std::string> names;
    const std::filesystem::path folder = shipped_folder();
    std::error_code error;
    for (std::filesystem::directory_iterator at(folder, error), end; !error && at != end;
         at.increment(error))
    {
        const std::filesystem::path extension = at->path().extension();
        if (extension == ".json" || (extension == ".onnx" && onnx::can_decode()))
        {
            names.push_back(at->path().stem().string());
        }
    }
    if (error)
    {
        throw IoError("cannot list " + folder.string() + ": " + error.message() +
                      "; TESSERA_DATA must name the folder that holds models/ and configs/");
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end()); // JSON comes before ONNX
    return names;
}

std::string find(const std::string& name)
{
    namespace fs = std::filesystem;
    std::error_code error;
    for (const char* extension : {".json", ".onnx"})
    {
        const fs::path path = shipped_folder() / (name + extension);
        if (!name.empty() && name.find('/') == std::string::npos && fs::exists(path, error))
        {
            return path.string();
        }
    }
    if (!name.empty() && fs::exists(name, error))
    {
        return name;
    }
    const std::vector<std::string> names = shipped();
    std::string list;
    for (const std::string& one : names)
    {
        list += (list.empty() ? "" : ", ") + one;
    }
    throw InputError({}, in_quotes(name) + " is neither a shipped network nor a file",
                     did_you_mean(name, names) + "give the path of a file or one of: " +
                         (list.empty() ? "(none found)" : list));
}

} // namespace tessera::network
