// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fstream>
#include <iterator>
#include <onnx/onnx_pb.h>
#include <string>

namespace tessera::network
{

inline std::string bytes_of(const std::string& path)
{
    std::ifstream stream(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

inline ::onnx::TensorProto tensor_in(const std::string& path)
{
    ::onnx::TensorProto tensor;
    tensor.ParseFromString(bytes_of(path));
    return tensor;
}

/// A model of libonnx-testdata. The operands that its test hands over beside the data (shapes,
/// weights, bounds) become constants, and of results beside the first (masks, means) nothing is
/// kept.
inline ::onnx::ModelProto model_in(const std::string& folder)
{
    ::onnx::ModelProto model;
    model.ParseFromString(bytes_of(folder + "/model.onnx"));
    ::onnx::GraphProto& graph = *model.mutable_graph();
    const auto& node = graph.node(graph.node_size() - 1);
    const auto is = [&](std::initializer_list<const char*> operations)
    {
        for (const char* one : operations)
        {
            if (node.op_type() == one)
            {
                return true;
            }
        }
        return false;
    };
    const bool computes_both =
        is({"Add", "Sub", "Mul", "Div", "Concat", "MatMul", "Sum", "Max", "Min", "Where", "Mean"});
    int file = 0;
    for (const auto& input : graph.input())
    {
        bool given = false;
        for (const auto& constant : graph.initializer())
        {
            given = given || constant.name() == input.name();
        }
        if (given)
        {
            continue;
        }
        ::onnx::TensorProto value =
            tensor_in(folder + "/test_data_set_0/input_" + std::to_string(file) + ".pb");
        if (!computes_both && file != 0)
        {
            value.set_name(input.name());
            *graph.add_initializer() = value;
        }
        ++file;
    }
    if (is({"LayerNormalization", "Dropout", "MaxPool"}))
    {
        while (graph.output_size() > 1)
        {
            graph.mutable_output()->RemoveLast();
        }
    }
    return model;
}

} // namespace tessera::network
