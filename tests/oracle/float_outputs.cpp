// SPDX-License-Identifier: Apache-2.0
// What float networks compute: float_outputs NETWORK.onnx... reads an image (float32, rows x
// columns x channels) from NETWORK.onnx.in, writes the output layers' elements to NETWORK.onnx.out,
// and prints a line a network: "computed" with the outputs' shapes, or "refused" and why.
#include "network/weights.h"
#include "tessera/error.h"
#include "values/float_network.h"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace
{

using namespace tessera;

std::vector<float> read_floats(const std::string& path, std::size_t count)
{
    std::ifstream file(path, std::ios::binary);
    std::vector<float> values(count);
    file.read(reinterpret_cast<char*>(values.data()),
              static_cast<std::streamsize>(count * sizeof(float)));
    if (!file || file.peek() != std::ifstream::traits_type::eof())
    {
        throw std::runtime_error(path + " does not hold one image");
    }
    return values;
}

const network::Layer& input_of(const network::Network& network)
{
    return *std::find_if(network.layers.begin(), network.layers.end(),
                         [](const network::Layer& layer)
                         { return layer.kind == network::LayerKind::input; });
}

std::string shape_text(const network::Shape& shape)
{
    return std::to_string(shape.height) + 'x' + std::to_string(shape.width) + 'x' +
           std::to_string(shape.channels);
}

void compute(const std::string& path)
{
    const network::WeightedNetwork weighted = network::load_with_weights(path);
    values::check_weights(weighted, path);
    const std::vector<float> image =
        read_floats(path + ".in", input_of(weighted.network).output.elements());
    const std::vector<values::Map<float>> maps = values::FloatNetwork(weighted).run(image.data());
    std::ofstream file(path + ".out", std::ios::binary);
    std::cout << "computed";
    for (const LayerId output : weighted.network.outputs)
    {
        const values::Map<float>& map = maps.at(output.index());
        file.write(reinterpret_cast<const char*>(map.data()),
                   static_cast<std::streamsize>(map.size() * sizeof(float)));
        std::cout << ' ' << shape_text(weighted.network[output].output);
    }
    std::cout << std::endl;
}

} // namespace

int main(int count, char** arguments)
{
    for (int i = 1; i < count; ++i)
    {
        try
        {
            compute(arguments[i]);
        }
        catch (const InputError& error)
        {
            std::string line = error.what();
            for (char& letter : line)
            {
                letter = letter == '\n' ? ' ' : letter;
            }
            std::cout << "refused " << line << std::endl;
        }
    }
    return 0;
}
