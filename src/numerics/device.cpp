// SPDX-License-Identifier: Apache-2.0
#include "numerics/device.h"

#include "base/philox.h"
#include "numerics/purpose.h"
#include "tessera/error.h"

#include <algorithm>
#include <cmath>

namespace tessera::numerics
{
namespace
{

/// The draws of one cell, or of one of its writes.
class CellDraws
{
public:
    CellDraws(const Writing& writing, std::size_t row, std::size_t column)
        : draws_(writing.seed),
          array_(writing.array),
          write_(writing.write_count),
          cell_(static_cast<std::uint32_t>(row << 16U | column))
    {
    }

    /// `index`: which of several draws for the purpose.
    [[nodiscard]] double normal(Purpose purpose, std::uint32_t index = 0) const
    {
        return draws_.normal({array_, cell_, write_, word(purpose, index)});
    }
    /// The same in every write.
    [[nodiscard]] double fate(Purpose purpose) const
    {
        return draws_.uniform({array_, cell_, 0, word(purpose, 0)});
    }

private:
    static std::uint32_t word(Purpose purpose, std::uint32_t index)
    {
        return static_cast<std::uint32_t>(purpose) | index << 8U;
    }
    Draws draws_;
    std::uint32_t array_;
    std::uint32_t write_;
    std::uint32_t cell_;
};

std::optional<Fault> drawn_fault(const Device& device, const Writing& writing,
                                 const CellDraws& draws)
{
    if (device.faults)
    {
        const double fate = draws.fate(Purpose::fault);
        if (fate < device.faults->stuck_on + device.faults->stuck_off)
        {
            return fate < device.faults->stuck_on ? Fault::stuck_on : Fault::stuck_off;
        }
    }
    if (device.endurance)
    {
        const double survives =
            device.endurance->cycles *
            std::pow(-std::log1p(-draws.fate(Purpose::lifetime)), 1 / device.endurance->shape);
        if (writing.write_count > survives)
        {
            return Fault::stuck_off;
        }
    }
    return std::nullopt;
}

void check_writing(const Device& device, const Matrix<std::uint8_t>& levels, const Writing& writing)
{
    if (writing.cell_bits < 1 || writing.cell_bits > device.bits)
    {
        throw InputError({device.name, 0, "cell_bits"},
                         "the device does not hold " + std::to_string(writing.cell_bits) + " bits",
                         "use 1.." + std::to_string(device.bits) + " bits a cell");
    }
    if (levels.rows() > 65536 || levels.columns() > 65536)
    {
        throw InputError({device.name, 0, ""}, "an array has at most 65536 rows and columns",
                         "write its parts as arrays of their own");
    }
    if (!(writing.time > 0) || !std::isfinite(writing.time))
    {
        throw InputError({device.name, 0, "time"}, "is not a time after programming",
                         "give a number of seconds above 0");
    }
    const std::set<Step> described = device.steps();
    for (const Step step : writing.steps)
    {
        if (device.contained.count(step) != 0)
        {
            throw InputError({device.name, 0, name_of(step)},
                             "would happen twice: the device's programming fit contains it",
                             std::string("do not enable ") + name_of(step));
        }
        if (described.count(step) == 0)
        {
            throw InputError({device.name, 0, name_of(step)}, "the device does not describe it",
                             "describe it in the device's file, or do not enable it");
        }
    }
    if (writing.steps.count(Step::verify) != 0 && writing.steps.count(Step::programming) == 0)
    {
        throw InputError({device.name, 0, "verify"}, "there is nothing to verify",
                         "enable programming too");
    }
    for (const FaultyCell& cell : writing.faults)
    {
        if (cell.row >= levels.rows() || cell.column >= levels.columns())
        {
            throw InputError({device.name, 0, "faults"},
                             "there is no cell " + std::to_string(cell.row) + '/' +
                                 std::to_string(cell.column),
                             "name cells of " + std::to_string(levels.rows()) + " x " +
                                 std::to_string(levels.columns()));
        }
    }
}

/// What the cell holds after programming, and the pulses that took.
double programmed(const Device& device, const Writing& writing, double target,
                  const CellDraws& draws, unsigned& pulses, bool& accepted)
{
    pulses = 1;
    accepted = true;
    if (writing.steps.count(Step::programming) == 0)
    {
        return target;
    }
    const double sigma = device.programming->at(target, device.on);
    double value = target + sigma * draws.normal(Purpose::programming);
    if (writing.steps.count(Step::verify) != 0)
    {
        const auto inside = [&](double now)
        { return std::abs(now - target) <= device.verify->window; };
        while (!inside(value) && pulses < device.verify->pulses)
        {
            value = target + sigma * draws.normal(Purpose::programming, pulses);
            ++pulses;
        }
        accepted = inside(value);
    }
    return value;
}

double aged(const Device& device, const Writing& writing, double value, const CellDraws& draws)
{
    if (writing.steps.count(Step::relaxation) != 0)
    {
        const Device::Relaxation& relaxation = *device.relaxation;
        const double ln = std::log(writing.time);
        value += relaxation.mean + relaxation.mean_per_ln * ln +
                 std::max(0.0, relaxation.sigma + relaxation.sigma_per_ln * ln) *
                     draws.normal(Purpose::relaxation);
    }
    if (writing.steps.count(Step::retention) != 0)
    {
        const Device::Retention& retention = *device.retention;
        const double exponent =
            retention.exponent + retention.sigma * draws.normal(Purpose::retention);
        value *= std::pow(std::max(1.0, writing.time / retention.from), -exponent);
    }
    return value;
}

} // namespace

double Curve::signed_at(double conductance_us, double on_us) const
{
    double x = conductance_us;
    if (over == Over::fraction)
    {
        x = conductance_us / on_us;
    }
    else if (over == Over::log10_siemens)
    {
        x = std::log10(std::max(conductance_us, 1e-6) * 1e-6);
    }
    double value = 0;
    for (std::size_t i = coefficients.size(); i-- > 0;)
    {
        value = value * x + coefficients[i];
    }
    return relative ? value * conductance_us : value;
}

double Curve::at(double conductance_us, double on_us) const
{
    return std::max(0.0, signed_at(conductance_us, on_us));
}

std::set<Step> Device::steps() const
{
    std::set<Step> described;
    const auto add = [&](bool present, Step step)
    {
        if (present)
        {
            described.insert(step);
        }
    };
    add(programming.has_value(), Step::programming);
    add(verify.has_value(), Step::verify);
    add(relaxation.has_value(), Step::relaxation);
    add(retention.has_value(), Step::retention);
    add(read_noise.has_value(), Step::read_noise);
    add(slow.flicker.has_value(), Step::flicker);
    add(slow.telegraph.has_value(), Step::telegraph);
    return described;
}

double Device::target(unsigned level, unsigned cell_bits) const
{
    return off + (on - off) * level / ((1U << cell_bits) - 1);
}

Written write_cells(const Device& device, const Matrix<std::uint8_t>& levels,
                    const Writing& writing)
{
    check_writing(device, levels, writing);
    const bool noisy = writing.steps.count(Step::read_noise) != 0;
    const double step = (device.on - device.off) / ((1U << writing.cell_bits) - 1);
    Written written;
    written.analog.levels = Matrix<float>(levels.rows(), levels.columns());
    written.analog.read_sigma =
        Matrix<float>(noisy ? levels.rows() : 0, noisy ? levels.columns() : 0);
    written.analog.off = device.off / step;
    if (writing.steps.count(Step::flicker) != 0)
    {
        written.analog.slow.flicker = device.slow.flicker;
    }
    if (writing.steps.count(Step::telegraph) != 0)
    {
        written.analog.slow.telegraph = device.slow.telegraph;
    }
    written.row_pulses.assign(levels.rows(), 0);
    Matrix<std::uint8_t> known(levels.rows(), levels.columns());
    for (const FaultyCell& cell : writing.faults)
    {
        known(cell.row, cell.column) = cell.fault == Fault::stuck_on ? 1 : 2;
    }
    for (std::size_t row = 0; row < levels.rows(); ++row)
    {
        for (std::size_t column = 0; column < levels.columns(); ++column)
        {
            const CellDraws draws(writing, row, column);
            std::optional<Fault> fault = drawn_fault(device, writing, draws);
            if (known(row, column) != 0)
            {
                fault = known(row, column) == 1 ? Fault::stuck_on : Fault::stuck_off;
            }
            double value = 0;
            if (fault)
            {
                value = *fault == Fault::stuck_on ? device.on : device.off;
                ++written.stuck;
            }
            else
            {
                unsigned pulses = 0;
                bool accepted = false;
                const double target = device.target(levels(row, column), writing.cell_bits);
                value = programmed(device, writing, target, draws, pulses, accepted);
                value = std::max(0.0, aged(device, writing, value, draws));
                written.row_pulses[row] = std::max(written.row_pulses[row], pulses);
                written.given_up += accepted ? 0 : 1;
            }
            written.analog.levels(row, column) = static_cast<float>((value - device.off) / step);
            if (noisy)
            {
                written.analog.read_sigma(row, column) =
                    static_cast<float>(device.read_noise->at(value, device.on) / step);
            }
        }
    }
    return written;
}

} // namespace tessera::numerics
