// SPDX-License-Identifier: Apache-2.0
#include "network/network.h"

#include "cli/command.h"
#include "cli/workload.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <ostream>

namespace tessera::cli
{
namespace
{

std::string shape_text(const network::Shape& shape)
{
    return fmt::format("{}x{}x{}", shape.height, shape.width, shape.channels);
}

void list_networks(std::ostream& out)
{
    for (const std::string& name : shipped_networks())
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
    for (const network::Layer& layer : network.layers)
    {
        out << fmt::format("{:<28} {:<21}{:>16}{:>12} parameters{:>14} MACs\n", layer.name,
                           name_of(layer.kind), shape_text(layer.output), layer.parameters,
                           layer.macs);
    }
    out << fmt::format("{} layers, {} parameters, {} MACs\n", network.layers.size(),
                       network.parameters(), network.macs());
}

} // namespace

Options network_options()
{
    Options options("network list|show [N]",
                    "list  name the shipped networks\n"
                    "show  print the layers of N, a shipped network or a file");
    options.positional("action");
    options.positional("network");
    options.offer("action", {{"list", "show"}});
    options.offer("network", {{}, shipped_networks, true});
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
        show_network(streams.out, network::load(network::find(options.list("network").front())));
    }
    else
    {
        throw UsageError("unknown action '" + action + "'; give list or show");
    }
    return 0;
}

} // namespace tessera::cli
