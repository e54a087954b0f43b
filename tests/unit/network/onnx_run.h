// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "float_executor.h"
#include "network/onnx/import.h"

#include <string>
#include <vector>

// What an imported model computes, in the order of ONNX tensors.
namespace tessera::network
{

/// For each element of a view's layer its position in the ONNX tensor.
inline std::vector<std::size_t> positions_of(const onnx::View& view)
{
    std::vector<std::size_t> strides(view.atoms.size(), 0);
    std::size_t stride = 1;
    const onnx::Factors order = view.order();
    for (std::size_t i = order.size(); i-- > 0;)
    {
        strides[order[i]] = stride;
        stride *= static_cast<std::size_t>(view.atoms[order[i]]);
    }
    std::vector<std::size_t> positions{0};
    for (std::size_t atom = 0; atom < view.atoms.size(); ++atom)
    {
        std::vector<std::size_t> next;
        for (const std::size_t base : positions)
        {
            for (std::size_t i = 0; i < static_cast<std::size_t>(view.atoms[atom]); ++i)
            {
                next.push_back(base + i * strides[atom]);
            }
        }
        positions = std::move(next);
    }
    return positions;
}

/// The elements of a view in ONNX order, from those of its layer.
template <class T> std::vector<T> in_onnx_order(const onnx::View& view, const std::vector<T>& map)
{
    std::vector<T> values(map.size());
    const std::vector<std::size_t> positions = positions_of(view);
    for (std::size_t i = 0; i < positions.size(); ++i)
    {
        values.at(positions[i]) = map.at(i);
    }
    return values;
}

/// The other way round.
template <class T>
std::vector<T> in_layer_order(const onnx::View& view, const std::vector<T>& values)
{
    std::vector<T> map;
    for (const std::size_t position : positions_of(view))
    {
        map.push_back(values.at(position));
    }
    return map;
}

inline onnx::Imported import_bytes(const std::string& bytes)
{
    return onnx::import(onnx::decode_graph(bytes, "model.onnx", onnx::Values::all));
}

/// The first output; `inputs` in the order of the graph, those that layers read.
inline std::vector<double> outputs_of(const onnx::Imported& imported,
                                      const std::vector<std::vector<double>>& inputs)
{
    FloatExecutor executor(imported.network, imported.weights);
    for (std::size_t i = 0; i < imported.inputs.size(); ++i)
    {
        const onnx::View& view = imported.inputs[i].view;
        executor.set(view.layer, in_layer_order(view, inputs.at(i)));
    }
    executor.run();
    const onnx::View& view = imported.outputs.front().view;
    return in_onnx_order(view, executor.map(view.layer));
}

} // namespace tessera::network
