// SPDX-License-Identifier: Apache-2.0
// What imported networks compute, in the plainest arithmetic, against the results that
// libonnx-testdata ships: weights, their order, layouts, folding.
#include "network/onnx/import.h"

#include "float_executor.h"
#include "onnx_file.h"
#include "onnx_run.h"
#include "tessera/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>

namespace tessera::network
{
namespace
{

namespace fs = std::filesystem;
namespace pb = ::onnx;

std::vector<double> floats_of(const pb::TensorProto& tensor)
{
    if (tensor.data_type() != pb::TensorProto::FLOAT)
    {
        throw std::runtime_error("its tensors are no floats");
    }
    std::vector<double> values(tensor.float_data().begin(), tensor.float_data().end());
    for (std::size_t i = 0; i + 4 <= tensor.raw_data().size(); i += 4)
    {
        float value = 0;
        std::memcpy(&value, tensor.raw_data().data() + i, 4);
        values.push_back(static_cast<double>(value));
    }
    return values;
}

/// Runs the model on its first image; the greatest difference to the published result, relative to
/// 1 + its size. Throws std::runtime_error for what cannot be run.
double difference(const pb::ModelProto& model, const std::string& folder)
{
    const onnx::Imported imported =
        onnx::import(onnx::decode_graph(model.SerializeAsString(), "m", onnx::Values::all));
    FloatExecutor executor(imported.network, imported.weights);
    for (const onnx::Imported::Port& input : imported.inputs)
    {
        const auto& ports = model.graph().input();
        const auto port = std::find_if(ports.begin(), ports.end(),
                                       [&](const auto& one) { return one.name() == input.name; });
        const auto file = port - ports.begin(); // what has data comes first
        const pb::TensorProto tensor =
            tensor_in(folder + "/test_data_set_0/input_" + std::to_string(file) + ".pb");
        const std::vector<double> values = floats_of(tensor);
        FloatExecutor::Map map;
        for (const std::size_t position : positions_of(input.view))
        {
            map.push_back(values.at(position));
        }
        executor.set(input.view.layer, std::move(map));
    }
    executor.run();
    double worst = 0;
    for (std::size_t k = 0; k < imported.outputs.size(); ++k)
    {
        const onnx::View& view = imported.outputs[k].view;
        const std::vector<double> wanted =
            floats_of(tensor_in(folder + "/test_data_set_0/output_" + std::to_string(k) + ".pb"));
        const FloatExecutor::Map& made = executor.map(view.layer);
        const std::vector<std::size_t> positions = positions_of(view);
        for (std::size_t i = 0; i < positions.size(); ++i)
        {
            const double value = wanted.at(positions[i]);
            const double error = std::abs(made[i] - value) / (1 + std::abs(value));
            worst = std::isnan(error) ? 1e9 : std::max(worst, error);
        }
    }
    return worst;
}

TEST(OnnxValues, AreThoseThatOnnxPublishes)
{
    constexpr const char* kFolder = "/usr/share/libonnx-testdata/data";
    if (!fs::exists(kFolder))
    {
        GTEST_SKIP() << "libonnx-testdata is not installed";
    }
    std::map<std::string, int> compared;
    int run = 0;
    for (const auto& suite : fs::directory_iterator(kFolder))
    {
        for (const auto& entry : fs::directory_iterator(suite))
        {
            const std::string folder = entry.path().string();
            if (!fs::exists(folder + "/model.onnx") ||
                !fs::exists(folder + "/test_data_set_0/output_0.pb"))
            {
                continue;
            }
            SCOPED_TRACE(folder);
            const pb::ModelProto model = model_in(folder);
            try
            {
                // Values near the one place where a close approximation differs are still close.
                EXPECT_LT(difference(model, folder), 2e-3);
                ++run;
                for (const auto& node : model.graph().node())
                {
                    ++compared[node.op_type()];
                }
            }
            catch (const InputError&) // NOLINT(bugprone-empty-catch): see onnx_testdata.txt
            {
            }
            catch (const std::runtime_error& reason)
            {
                std::cout << folder.substr(folder.rfind('/') + 1)
                          << " is not run: " << reason.what() << '\n';
            }
        }
    }
    std::cout << run << " models agree\n";
    for (const auto& [operation, count] : compared)
    {
        std::cout << operation << ' ' << count << ", ";
    }
    std::cout << '\n';
    for (const char* operation : {"Celu",        "ConvTranspose", "DepthToSpace",
                                  "Elu",         "Max",           "Min",
                                  "PRelu",       "Selu",          "SpaceToDepth",
                                  "Add",         "AveragePool",   "BatchNormalization",
                                  "Clip",        "Concat",        "Conv",
                                  "Flatten",     "Gemm",          "GlobalAveragePool",
                                  "HardSigmoid", "HardSwish",     "LayerNormalization",
                                  "LeakyRelu",   "MatMul",        "MaxPool",
                                  "Mul",         "ReduceMean",    "Relu",
                                  "Reshape",     "Sigmoid",       "Slice",
                                  "Softmax",     "Split",         "Squeeze",
                                  "Sub",         "Tanh",          "Transpose",
                                  "Unsqueeze"})
    {
        EXPECT_GT(compared[operation], 0) << operation;
    }
}

} // namespace
} // namespace tessera::network
