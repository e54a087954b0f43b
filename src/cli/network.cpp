// SPDX-License-Identifier: Apache-2.0
#include "network/network.h"
#include "network/weights.h"

#include "cli/command.h"
#include "cli/workload.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>

namespace tessera::cli
{
namespace po = boost::program_options;

namespace
{

std::string shape_text(const network::Shape& shape)
{
    return fmt::format("{}x{}x{}", shape.height, shape.width, shape.channels);
}

void list_networks(std::ostream& out)
{
    for (const std::string& name : network::shipped())
    {
        const network::Network network = network::load(network::find(name));
        out << fmt::format("{:<14}{:>5} layers {:>10.3f} M parameters {:>10.3f} M MACs\n", name,
                           network.layers.size(), static_cast<double>(network.parameters()) / 1e6,
                           static_cast<double>(network.macs()) / 1e6);
    }
}

void show_network(std::ostream& out, const network::Network& network)
{
    out << network.name << ": " << network.source << '\n';
    for (const std::string& note : network.notes)
    {
        out << note << '\n';
    }
    for (const network::Layer& layer : network.layers)
    {
        out << fmt::format("{:<28} {:<21}{:>16}{:>12} parameters{:>14} MACs\n", layer.name,
                           name_of(layer.kind), shape_text(layer.output), layer.parameters,
                           layer.macs);
    }
    out << fmt::format("{} layers, {} parameters, {} MACs\n", network.layers.size(),
                       network.parameters(), network.macs());
}

/// "576x64, -0.12 to 0.31": the extents and the range of the values.
std::string matrix_text(const network::Weights& weights)
{
    const std::vector<float>& values = weights.matrix.empty() ? weights.scale : weights.matrix;
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    const std::string extents = weights.matrix.empty()
                                    ? fmt::format("{}", weights.scale.size())
                                    : fmt::format("{}x{}", weights.rows, weights.columns);
    return fmt::format("{:>14} {:>12.5g} to {:<12.5g}", extents, *least, *most);
}

void show_weights(std::ostream& out, const network::WeightedNetwork& weighted)
{
    using network::LayerKind;
    const network::Network& network = weighted.network;
    std::size_t known = 0;
    std::size_t all = 0;
    for (std::size_t i = 0; i < network.layers.size(); ++i)
    {
        const network::Layer& layer = network.layers[i];
        const network::Weights& weights = weighted.weights[i];
        if (layer.kind != LayerKind::conv2d && layer.kind != LayerKind::dense &&
            layer.kind != LayerKind::batch_norm && layer.kind != LayerKind::layer_norm &&
            layer.activation != "prelu")
        {
            continue;
        }
        ++all;
        known += weights.known ? 1 : 0;
        out << fmt::format("{:<28} {:<12} {}{}\n", layer.name, name_of(layer.kind),
                           weights.known ? matrix_text(weights) : "not in the file",
                           weights.known && !weights.bias.empty() ? " and a bias" : "");
    }
    out << fmt::format("weights of {} of {} layers\n", known, all);
}

} // namespace

Options network_options()
{
    Options options("network list|show [N]",
                    "list  name the shipped networks\n"
                    "show  print the layers of N, a shipped network or a file (JSON, ONNX)");
    options.all().add_options()("weights", "show the weights that an ONNX file holds: extents of "
                                           "the matrices, range of the values")(
        "batch-axis", po::value<std::string>()->default_value("auto"), kBatchAxisHelp);
    options.offer("batch-axis", {{"auto", "0", "none"}});
    options.positional("action");
    options.positional("network");
    options.offer("action", {{"list", "show"}});
    options.offer("network", {{}, network::shipped, true});
    options.needs({"network", "weights", "batch-axis"}, {{"action", {"show"}}});
    return options;
}

int network(const Arguments& arguments, const Streams& streams)
{
    Options options = network_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("action");
    const std::string action = options.list("action").front();
    if (action == "list")
    {
        list_networks(streams.out);
    }
    else if (action == "show")
    {
        options.require("network");
        const std::string path = network::find(options.list("network").front());
        if (options.has("weights"))
        {
            show_weights(streams.out, network::load_with_weights(path, batch_axis(options, path)));
        }
        else
        {
            show_network(streams.out, network::load(path, batch_axis(options, path)));
        }
    }
    else
    {
        throw UsageError("unknown action '" + action + "'; give list or show");
    }
    return 0;
}

} // namespace tessera::cli
