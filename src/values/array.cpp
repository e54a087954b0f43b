// SPDX-License-Identifier: Apache-2.0
#include "values/array.h"

#include "numerics/non_linear.h"
#include "values/integer_network.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <utility>

namespace tessera::values
{

using numerics::Matrix;
using numerics::VectorIdentity;

namespace
{

/// What the macro hands on is a whole number again: ties go up.
std::int64_t whole(double product)
{
    return static_cast<std::int64_t>(std::floor(product + 0.5));
}

numerics::Analog written(const Analogue& analogue, const numerics::Scheme& scheme,
                         const Matrix<std::int32_t>& weights,
                         const numerics::BlockIdentity& identity,
                         const std::vector<numerics::FaultyCell>& faults)
{
    if (!analogue.device)
    {
        return {};
    }
    const numerics::Device& device = *analogue.device;
    numerics::Writing writing;
    writing.cell_bits = scheme.cell_bits;
    writing.steps = analogue.steps;
    writing.time = analogue.age;
    writing.seed = identity.seed;
    writing.array = identity.block;
    writing.write_count = identity.write_count;
    writing.faults = faults;
    const numerics::Cells cells = numerics::cells_of(scheme, weights);
    numerics::Analog analog = numerics::write_cells(device, cells.levels, writing).analog;
    analog.off_cancels = analogue.off_cancels;
    if (device.non_linear)
    {
        return numerics::non_linear(scheme, cells, analog, device,
                                    {analogue.wires, analogue.read_volts});
    }
    if (!analogue.wires)
    {
        return analog;
    }
    numerics::ReadOut out;
    out.wires = *analogue.wires;
    out.off_us = device.off;
    out.step_us = device.target(1, scheme.cell_bits) - device.target(0, scheme.cell_bits);
    return numerics::through_wires(scheme, analog, out);
}

/// Crossbars with converters.
class AdcArray final : public Array
{
public:
    AdcArray(const numerics::Scheme& scheme, const Matrix<std::int32_t>& weights,
             const numerics::Analog& analog, const numerics::BlockIdentity& identity)
        : block_(scheme, weights, analog, identity),
          raise_(scheme.coding == numerics::InputCoding::zero_point
                     ? static_cast<std::int32_t>(scheme.zero_point)
                     : 0)
    {
    }
    [[nodiscard]] std::size_t rows() const override { return block_.rows(); }
    [[nodiscard]] std::size_t columns() const override { return block_.columns(); }
    [[nodiscard]] Matrix<std::int64_t> sums(const Matrix<std::int32_t>& inputs,
                                            const std::vector<VectorIdentity>& vectors,
                                            const numerics::Moments& moments) const override
    {
        return finished(block_.multiply(raise_ == 0 ? inputs : raised(inputs), vectors, moments),
                        block_.step());
    }
    [[nodiscard]] std::vector<Matrix<std::int64_t>>
    sums_at(const std::vector<double>& limits, const Matrix<std::int32_t>& inputs,
            const std::vector<VectorIdentity>& vectors,
            const numerics::Moments& moments) const override
    {
        std::vector<Matrix<std::int64_t>> all;
        for (numerics::Block::Converted& one :
             block_.at_limits(limits, raise_ == 0 ? inputs : raised(inputs), vectors, moments))
        {
            all.push_back(finished(std::move(one.codes), one.step));
        }
        return all;
    }
    [[nodiscard]] std::unique_ptr<numerics::Fluctuation>
    fluctuation(std::uint32_t start) const override
    {
        return block_.fluctuation(start);
    }

private:
    /// Codes of `step` levels as whole products.
    [[nodiscard]] Matrix<std::int64_t> finished(Matrix<std::int64_t> sums, double step) const
    {
        for (std::size_t i = 0; i < sums.rows(); ++i)
        {
            for (std::size_t c = 0; c < sums.columns(); ++c)
            {
                sums(i, c) = whole(static_cast<double>(sums(i, c)) * step) + block_.correction(c);
            }
        }
        return sums;
    }
    /// What the rows are driven with: above the zero point.
    [[nodiscard]] Matrix<std::int32_t> raised(Matrix<std::int32_t> inputs) const
    {
        for (std::size_t i = 0; i < inputs.rows(); ++i)
        {
            std::for_each(inputs.row(i), inputs.row(i) + inputs.columns(),
                          [this](std::int32_t& input) { input += raise_; });
        }
        return inputs;
    }

    numerics::Block block_;
    std::int32_t raise_;
};

/// Arrays of capacitors. Negative inputs take a second pass.
class AidacArray final : public Array
{
public:
    AidacArray(const AidacAnalogue& how, std::size_t layer, const Matrix<std::int32_t>& weights,
               const numerics::BlockIdentity& identity, bool two_passes)
        : block_(how.model, how.scheme, weights, how.errors, identity,
                 how.readouts.empty() ? numerics::AidacReadout{} : how.readouts[layer]),
          two_passes_(two_passes),
          // Two passes have the same offset, which leaves when they are subtracted.
          offsets_(how.trim && !two_passes ? block_.offsets()
                                           : std::vector<double>(block_.columns(), 0))
    {
    }
    [[nodiscard]] std::size_t rows() const override { return block_.rows(); }
    [[nodiscard]] std::size_t columns() const override { return block_.columns(); }
    [[nodiscard]] Matrix<std::int64_t> sums(const Matrix<std::int32_t>& inputs,
                                            const std::vector<VectorIdentity>& vectors,
                                            const numerics::Moments& /*moments*/) const override
    {
        Matrix<double> products = block_.product(two_passes_ ? part(inputs, 1) : inputs, vectors);
        if (two_passes_)
        {
            std::vector<VectorIdentity> again = vectors;
            for (VectorIdentity& vector : again)
            {
                vector.image ^= kSecondPass; // noise of its own
            }
            const Matrix<double> negative = block_.product(part(inputs, -1), again);
            for (std::size_t i = 0; i < products.rows(); ++i)
            {
                // Both are whole when they are subtracted: half a unit lost twice would be one.
                for (std::size_t c = 0; c < products.columns(); ++c)
                {
                    products(i, c) =
                        static_cast<double>(whole(products(i, c)) - whole(negative(i, c)));
                }
            }
        }
        Matrix<std::int64_t> sums(products.rows(), products.columns());
        for (std::size_t i = 0; i < sums.rows(); ++i)
        {
            std::transform(products.row(i), products.row(i) + products.columns(), offsets_.begin(),
                           sums.row(i),
                           [](double product, double offset) { return whole(product - offset); });
        }
        return sums;
    }

private:
    static constexpr std::uint32_t kSecondPass = 1U << 31U;

    /// Magnitudes of the inputs of one sign.
    [[nodiscard]] static Matrix<std::int32_t> part(const Matrix<std::int32_t>& inputs,
                                                   std::int32_t sign)
    {
        Matrix<std::int32_t> result(inputs.rows(), inputs.columns());
        for (std::size_t i = 0; i < inputs.rows(); ++i)
        {
            std::transform(inputs.row(i), inputs.row(i) + inputs.columns(), result.row(i),
                           [sign](std::int32_t input) { return std::max(sign * input, 0); });
        }
        return result;
    }

    numerics::AidacBlock block_;
    bool two_passes_;
    std::vector<double> offsets_; ///< by column, in units of the product
};

class DigitalArray final : public Array
{
public:
    explicit DigitalArray(const Matrix<std::int32_t>& weights) : weights_(weights) {}
    [[nodiscard]] std::size_t rows() const override { return weights_.rows(); }
    [[nodiscard]] std::size_t columns() const override { return weights_.columns(); }
    [[nodiscard]] Matrix<std::int64_t> sums(const Matrix<std::int32_t>& inputs,
                                            const std::vector<VectorIdentity>& /*vectors*/,
                                            const numerics::Moments& /*moments*/) const override
    {
        return exact_product(inputs, weights_, 1);
    }
    [[nodiscard]] std::vector<Matrix<std::int64_t>>
    sums_at(const std::vector<double>& limits, const Matrix<std::int32_t>& inputs,
            const std::vector<VectorIdentity>& vectors,
            const numerics::Moments& moments) const override
    {
        return {limits.size(), sums(inputs, vectors, moments)}; // whatever they are
    }

private:
    Matrix<std::int32_t> weights_;
};

} // namespace

std::vector<Matrix<std::int64_t>> Array::sums_at(const std::vector<double>& /*limits*/,
                                                 const Matrix<std::int32_t>& /*inputs*/,
                                                 const std::vector<VectorIdentity>& /*vectors*/,
                                                 const numerics::Moments& /*moments*/) const
{
    throw std::logic_error("this macro's converters have no range to be calibrated");
}

std::unique_ptr<const Array> make_digital_array(const Matrix<std::int32_t>& weights)
{
    return std::make_unique<DigitalArray>(weights);
}

numerics::InputCoding coding_of(const Analogue& analogue, const InputRange& inputs)
{
    if (inputs.least >= 0)
    {
        return numerics::InputCoding::positive;
    }
    const std::int32_t half = std::int32_t{1} << (analogue.input_bits() - 1);
    return inputs.least >= -half && inputs.most < half ? analogue.signed_inputs
                                                       : numerics::InputCoding::zero_point;
}

bool drives(const Analogue& analogue, const InputRange& inputs)
{
    const std::int64_t levels = std::int64_t{1} << analogue.input_bits();
    return analogue.aidac
               ? std::max(-std::int64_t{inputs.least}, std::int64_t{inputs.most}) < levels
               : inputs.most - std::min<std::int64_t>(inputs.least, 0) < levels;
}

std::unique_ptr<const Array> make_array(const Analogue& analogue, std::size_t layer,
                                        const InputRange& range,
                                        const Matrix<std::int32_t>& weights,
                                        const numerics::BlockIdentity& identity,
                                        const std::vector<numerics::FaultyCell>& faults)
{
    if (analogue.aidac)
    {
        return std::make_unique<AidacArray>(*analogue.aidac, layer, weights, identity,
                                            range.least < 0);
    }
    numerics::Scheme scheme = analogue.scheme;
    scheme.coding = coding_of(analogue, range);
    if (scheme.coding == numerics::InputCoding::zero_point)
    {
        scheme.zero_point = -std::int64_t{range.least};
    }
    if (scheme.converter.range == numerics::Range::calibrated && !analogue.limits.empty())
    {
        scheme.converter.limit = analogue.limits[layer];
    }
    return std::make_unique<AdcArray>(
        scheme, weights, written(analogue, scheme, weights, identity, faults), identity);
}

} // namespace tessera::values
