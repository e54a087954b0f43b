// SPDX-License-Identifier: Apache-2.0
#include "numerics/processes.h"

#include "base/philox.h"
#include "numerics/purpose.h"
#include "tessera/error.h"

#include <cmath>

namespace tessera::numerics
{

Fluctuation::Fluctuation(const Device& device, std::size_t rows, std::size_t columns,
                         std::uint64_t seed, std::uint32_t array)
    : device_(device), seed_(seed), array_(array), factors_(rows, columns, 1)
{
    if (device.flicker)
    {
        relaxations_.assign(device.flicker->processes, Matrix<float>(rows, columns));
    }
    if (device.telegraph)
    {
        full_ = Matrix<std::uint8_t>(rows, columns);
    }
    step(0, true);
}

void Fluctuation::advance(double time)
{
    if (!(time >= time_))
    {
        throw SimulationError("the fluctuation of cells cannot go back in time");
    }
    if (time > time_)
    {
        step(time - time_, false);
        time_ = time;
    }
}

void Fluctuation::step(double interval, bool stationary)
{
    const Draws draws(seed_);
    const std::size_t rows = factors_.rows();
    const std::size_t columns = factors_.columns();
    factors_ = Matrix<float>(rows, columns, 1);
    const auto purpose = [&](std::size_t row, std::size_t column, Purpose what, std::size_t index)
    {
        return std::array<std::uint32_t, 4>{
            array_, static_cast<std::uint32_t>(row << 16U | column), steps_,
            static_cast<std::uint32_t>(what) | static_cast<std::uint32_t>(index << 8U)};
    };
    for (std::size_t process = 0; process < relaxations_.size(); ++process)
    {
        const Device::Flicker& flicker = *device_.flicker;
        const double place =
            relaxations_.size() == 1
                ? 0
                : static_cast<double>(process) / static_cast<double>(relaxations_.size() - 1);
        const double constant =
            flicker.shortest * std::pow(flicker.longest / flicker.shortest, place);
        const double kept = stationary ? 0 : std::exp(-interval / constant);
        const double fresh = std::sqrt(1 - kept * kept);
        const double sigma = flicker.sigma / std::sqrt(static_cast<double>(relaxations_.size()));
        for (std::size_t row = 0; row < rows; ++row)
        {
            for (std::size_t column = 0; column < columns; ++column)
            {
                float& state = relaxations_[process](row, column);
                state = static_cast<float>(
                    kept * state +
                    fresh * draws.normal(purpose(row, column, Purpose::flicker, process)));
                factors_(row, column) += static_cast<float>(sigma * state);
            }
        }
    }
    if (device_.telegraph)
    {
        const Device::Telegraph& trap = *device_.telegraph;
        const double rate = 1 / trap.mean_full + 1 / trap.mean_empty;
        const double occupied = trap.mean_full / (trap.mean_full + trap.mean_empty);
        const double kept = stationary ? 0 : std::exp(-rate * interval);
        for (std::size_t row = 0; row < rows; ++row)
        {
            for (std::size_t column = 0; column < columns; ++column)
            {
                std::uint8_t& full = full_(row, column);
                const double probability = occupied + (full - occupied) * kept;
                full = draws.uniform(purpose(row, column, Purpose::telegraph, 0)) < probability ? 1
                                                                                                : 0;
                factors_(row, column) *= static_cast<float>(1 - full * trap.amplitude);
            }
        }
    }
    ++steps_;
}

} // namespace tessera::numerics
