// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/device.h"
#include "numerics/matrix.h"

#include <cstdint>

namespace tessera::numerics
{

/// What of cells' conductance fluctuates slowly: 1/f noise as a sum of relaxations with time
/// constants evenly spaced in their logarithm, and a trap that fills and empties (random telegraph
/// noise). Transitions are exact for any interval, so steps may be as far apart as reads are.
class Fluctuation
{
public:
    /// Starts at time 0 in the stationary distribution. `array`: as in Writing.
    Fluctuation(const Device& device, std::size_t rows, std::size_t columns, std::uint64_t seed,
                std::uint32_t array);

    /// Moves on to `time`, in seconds, which must not lie in the past.
    void advance(double time);
    /// What a cell's conductance is multiplied by now.
    [[nodiscard]] float factor(std::size_t row, std::size_t column) const
    {
        return factors_(row, column);
    }

private:
    void step(double interval, bool stationary);

    Device device_;
    std::uint64_t seed_;
    std::uint32_t array_;
    std::uint32_t steps_ = 0;
    double time_ = 0;
    std::vector<Matrix<float>> relaxations_;
    Matrix<std::uint8_t> full_;
    Matrix<float> factors_;
};

} // namespace tessera::numerics
