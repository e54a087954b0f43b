// SPDX-License-Identifier: Apache-2.0
#include "numerics/processes.h"

#include "base/philox.h"
#include "numerics/kernels.h"
#include "numerics/purpose.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace tessera::numerics
{
namespace
{

/// Last number of draws: the purpose, and above it what of the moment has no room in a number of
/// its own.
std::uint32_t word(Purpose purpose, std::uint64_t moment)
{
    constexpr unsigned own_bits = 32;
    constexpr unsigned purpose_bits = 8;
    return static_cast<std::uint32_t>(purpose) | static_cast<std::uint32_t>(moment >> own_bits)
                                                     << purpose_bits;
}

constexpr std::size_t kMostRows = 65536; ///< draws tell so many apart

} // namespace

Fluctuation::Fluctuation(const SlowNoise& noise, std::size_t rows, std::size_t columns,
                         const FluctuationIdentity& identity)
    : noise_(noise),
      key_(),
      changes_(rows, columns),
      normals_((columns + kNormalChunk - 1) / kNormalChunk * kNormalChunk)
{
    if (rows > kMostRows)
    {
        throw InputError({"", 0, "rows"},
                         "are " + std::to_string(rows) + ", but cells of at most 65536 fluctuate",
                         "make blocks of parts of the rows");
    }
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
    constexpr double most = 0x1p53; // beyond, doubles do not count one by one
    const double holds = time / (process.constant * kHeld);
    if (!(holds < most))
    {
        throw InputError({"", 0, "flicker, telegraph"},
                         "have a time constant of " + std::to_string(process.constant) +
                             " s, too short to be followed for " + std::to_string(time) + " s",
                         "raise the shortest time constant, or leave the steps out");
    }
    const auto now = static_cast<std::uint64_t>(holds) + 1;
    const std::uint64_t last = process.read[row];
    if (now <= last)
    {
        return std::nullopt;
    }
    process.read[row] = now;
    return Step{last == 0 ? 0 : std::exp(-static_cast<double>(now - last) * kHeld), now};
}

void Fluctuation::relax(Process& process, std::uint32_t number, std::size_t row, const Step& step)
{
    const std::size_t columns = process.state.columns();
    normals(normals_.data(), columns, 0, static_cast<std::uint32_t>(row) | number << 16U,
            static_cast<std::uint32_t>(step.moment), word(Purpose::flicker, step.moment), key_);
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
                    static_cast<std::uint32_t>(step.moment), word(Purpose::telegraph, step.moment)},
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
