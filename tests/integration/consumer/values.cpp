// SPDX-License-Identifier: Apache-2.0
#include <tessera/tessera.h>

#include <algorithm>
#include <iostream>

int main(int argc, char** argv)
try
{
    const tessera::ChipModel chip("aidac");
    const auto program = tessera::Program::compile("lenet5-fashion", chip);
    const tessera::QuantizedNetwork network("lenet5-fashion");
    tessera::Tensor image = network.input(1); // zeros, to be filled
    if (argc > 1)
        image = network.images(argv[1], 0, 1);
    tessera::ValueOptions values;
    values.errors = tessera::ValueErrors::noiseless;
    const tessera::ValueResult result = tessera::simulate(chip, program, network, image, values);
    result.require_equal();
    for (const tessera::LayerValues& layer : result.layers)
        std::cout << layer.name << ": " << layer.integers.different << " of " << layer.elements
                  << " are not the whole numbers\n";
    const std::vector<float>& logits = result.layers.back().output.numbers;
    const auto best = std::max_element(logits.begin(), logits.end());
    std::cout << "class " << best - logits.begin() << " after " << result.run.summary.span
              << " ps\n";
}
catch (const tessera::Error& error)
{
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
}
