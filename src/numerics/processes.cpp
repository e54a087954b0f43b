// SPDX-License-Identifier: Apache-2.0
#include "numerics/processes.h"

#include "base/philox.h"
#include "numerics/kernels.h"
#include "numerics/purpose.h"

#include <algorithm>
#include <cmath>

namespace tessera::numerics
{

Fluctuation::Fluctuation(const SlowNoise& noise, std::size_t rows, std::size_t columns,
                         const FluctuationIdentity& identity)
    : noise_(noise),
      key_(),
      changes_(rows, columns),
      normals_((columns + kNormalChunk - 1) / kNormalChunk * kNormalChunk)
{
    const auto words = Draws(identity.seed)
                           .words({identity.array, identity.start, 0,
                                   static_cast<std::uint32_t>(Purpose::fluctuation_key)});
    key_ = {words[0], words[1]};
    const auto process = [&](double constant, double sigma)
    {
        return Process{constant, sigma, std::vector<std::uint64_t>(rows),
                       Matrix<float>(rows, columns)};
    };
    if (noise.flicker)
    {
        const Flicker& flicker = *noise.flicker;
        const double sigma = flicker.sigma / std::sqrt(static_cast<double>(flicker.processes));
        for (unsigned i = 0; i < flicker.processes; ++i)
        {
            const double place = flicker.processes == 1 ? 0 : i / (flicker.processes - 1.0);
            relaxations_.push_back(process(
                flicker.shortest * std::pow(flicker.longest / flicker.shortest, place), sigma));
        }
    }
    if (noise.telegraph)
    {
        const Telegraph& telegraph = *noise.telegraph;
        traps_ = process(1 / (1 / telegraph.mean_full + 1 / telegraph.mean_empty), 0);
    }
}

const float* Fluctuation::changes(std::size_t row, double time)
{
    bool moved = false;
    for (std::uint32_t number = 0; number < relaxations_.size(); ++number)
    {
        if (const auto step = step_to(relaxations_[number], row, time))
        {
            relax(relaxations_[number], number, row, *step);
            moved = true;
        }
    }
    if (traps_)
    {
        if (const auto step = step_to(*traps_, row, time))
        {
            fill_and_empty(*traps_, row, *step);
            moved = true;
        }
    }
    float* const changes = changes_.row(row);
    if (!moved)
    {
        return changes;
    }
    const std::size_t columns = changes_.columns();
    std::fill_n(changes, columns, 0.0F);
    for (const Process& relaxation : relaxations_)
    {
        add_scaled(changes, relaxation.state.row(row), columns,
                   static_cast<float>(relaxation.sigma));
    }
    if (traps_)
    {
        take_off(changes, traps_->state.row(row), columns,
                 static_cast<float>(noise_.telegraph->amplitude));
    }
    std::transform(changes, changes + columns, changes,
                   [](float change) { return std::max(change, -1.0F); });
    return changes;
}

/// Nothing: it is held where it is.
std::optional<Fluctuation::Step> Fluctuation::step_to(Process& process, std::size_t row,
                                                      double time)
{
    constexpr double most = 1e18;
    const auto now =
        static_cast<std::uint64_t>(std::min(time / (process.constant * kHeld), most)) + 1;
    const std::uint64_t last = process.read[row];
    if (now <= last)
    {
        return std::nullopt;
    }
    process.read[row] = now;
    return Step{last == 0 ? 0 : std::exp(-static_cast<double>(now - last) * kHeld),
                static_cast<std::uint32_t>(now)};
}

void Fluctuation::relax(Process& process, std::uint32_t number, std::size_t row, const Step& step)
{
    const std::size_t columns = process.state.columns();
    normals(normals_.data(), columns, 0, static_cast<std::uint32_t>(row) | number << 16U,
            step.moment, static_cast<std::uint32_t>(Purpose::flicker), key_);
    mix(process.state.row(row), normals_.data(), columns, static_cast<float>(step.kept),
        static_cast<float>(std::sqrt(1 - step.kept * step.kept)));
}

void Fluctuation::fill_and_empty(Process& process, std::size_t row, const Step& step) const
{
    const Telegraph& telegraph = *noise_.telegraph;
    const double occupied = telegraph.mean_full / (telegraph.mean_full + telegraph.mean_empty);
    float* const full = process.state.row(row);
    const std::size_t columns = process.state.columns();
    for (std::size_t column = 0; column < columns; column += 4)
    {
        const auto words =
            philox({static_cast<std::uint32_t>(column), static_cast<std::uint32_t>(row),
                    step.moment, static_cast<std::uint32_t>(Purpose::telegraph)},
                   key_);
        for (std::size_t i = 0; i < std::min<std::size_t>(4, columns - column); ++i)
        {
            float& state = full[column + i];
            const double probability =
                occupied + (static_cast<double>(state) - occupied) * step.kept;
            state = words[i] * 0x1p-32 < probability ? 1.0F : 0.0F;
        }
    }
}

} // namespace tessera::numerics
