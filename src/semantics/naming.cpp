// SPDX-License-Identifier: Apache-2.0
#include "semantics/naming.h"

#include "tessera/error.h"
#include "trace/reader.h"

#include <fmt/format.h>

#include <string>
#include <unordered_map>

namespace tessera::semantics
{

using network::LayerKind;
using network::Shape;
using trace::Malformed;

bool elementwise(LayerKind kind)
{
    return kind == LayerKind::activation || kind == LayerKind::batch_norm;
}

Naming::Naming(const trace::Header& header, const network::Network& network, Effort& effort)
{
    std::unordered_map<std::string, LayerId> names;
    for (std::uint32_t i = 0; i < network.layers.size(); ++i)
    {
        names.emplace(network.layers[i].name, LayerId(i));
        outputs.emplace_back(i);
    }
    bits.assign(network.layers.size(), 0);
    tensors.assign(header.tensors.size(), LayerId::none());
    for (std::size_t i = 0; i < header.tensors.size(); ++i)
    {
        const auto found = names.find(header.tensors[i].name);
        tensors[i] = found == names.end() ? LayerId::none() : found->second;
    }
    const auto pointer = [](const char* list, std::size_t i)
    { return fmt::format("/network/{}/{}", list, i); };
    for (std::size_t i = 0; i < header.layers.size(); ++i)
    {
        const trace::TracedLayer& traced = header.layers[i];
        const auto found = names.find(traced.name);
        if (found == names.end() || name_of(network[found->second].kind) != traced.kind)
        {
            throw Malformed{pointer("layers", i),
                            fmt::format("network {} has no layer '{}' of kind {}",
                                        trace::shown(network.name), trace::shown(traced.name),
                                        trace::shown(traced.kind)),
                            "name the layers as the network does, or give the network that the "
                            "trace was made for (--network)"};
        }
        const LayerId id = found->second;
        layers.push_back(id);
        LayerId& tensor = tensors[traced.output.index()];
        if (!tensor.valid())
        {
            tensor = id; // the trace has a name of its own for it
        }
        outputs[id.index()] = tensor;
    }
    for (std::size_t i = 0; i < header.layers.size(); ++i)
    {
        // A layer's data may hold the output of a later one that works element by element.
        LayerId tensor = outputs[layers[i].index()];
        while (tensor != layers[i] && elementwise(network[tensor].kind))
        {
            effort.spend(1);
            tensor = network[tensor].inputs[0];
        }
        if (tensor != layers[i])
        {
            throw Malformed{
                pointer("layers", i) + "/output",
                fmt::format("layer '{}' cannot make tensor '{}'",
                            trace::shown(header.layers[i].name),
                            trace::shown(header.tensors[header.layers[i].output.index()].name)),
                "name its own output, or that of activation and batch_norm layers "
                "which follow it"};
        }
    }
    for (std::size_t i = 0; i < header.tensors.size(); ++i)
    {
        if (!tensors[i].valid())
        {
            continue;
        }
        const trace::Tensor& tensor = header.tensors[i];
        const Shape& shape = network[tensors[i]].output;
        if (Shape{tensor.height, tensor.width, tensor.channels} != shape)
        {
            throw Malformed{pointer("tensors", i) + "/shape",
                            fmt::format("is {} x {} x {}, in network {} it is {} x {} x {}",
                                        tensor.height, tensor.width, tensor.channels,
                                        trace::shown(network.name), shape.height, shape.width,
                                        shape.channels),
                            "give the network that the trace was made for (--network)"};
        }
        bits[tensors[i].index()] = tensor.bits;
    }
}

} // namespace tessera::semantics
