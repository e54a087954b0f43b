// SPDX-License-Identifier: Apache-2.0
#include "numerics/converter.h"

#include "numerics/purpose.h"

#include <algorithm>
#include <cmath>

namespace tessera::numerics
{

CodeTable::CodeTable(const Scheme& scheme, const Draws& draws, std::array<std::uint32_t, 2> which,
                     double quanta)
    : thresholds_(std::size_t{1} << scheme.converter.bits),
      middle_(signed_conversion(scheme) ? 1 << (scheme.converter.bits - 1) : 0)
{
    const ConverterScheme& converter = scheme.converter;
    const auto normal = [&](std::size_t element)
    {
        return draws.normal({which[0], which[1], static_cast<std::uint32_t>(element),
                             static_cast<std::uint32_t>(Purpose::converter)});
    };
    const auto codes = static_cast<double>(thresholds_.size());

    // What each bit's capacitor moves the level by, in codes.
    std::vector<double> weights(converter.bits);
    double total = 1 + converter.mismatch * normal(converter.bits); // the terminating unit
    for (unsigned bit = 0; bit < converter.bits; ++bit)
    {
        const double units = std::exp2(bit);
        weights[bit] = units + converter.mismatch * std::sqrt(units) * normal(bit);
        total += weights[bit];
    }

    std::vector<double> exact(thresholds_.size());
    for (std::size_t code = 0; code < exact.size(); ++code)
    {
        auto level = static_cast<double>(code);
        if (converter.circuit == Circuit::sar)
        {
            level = 0;
            for (unsigned bit = 0; bit < converter.bits; ++bit)
            {
                level += (code >> bit & 1U) != 0 ? weights[bit] * codes / total : 0;
            }
        }
        else if (converter.circuit == Circuit::flash && code > 0)
        {
            level += converter.comparator_offset * normal(code);
        }
        const double place = static_cast<double>(code) / codes;
        const double bow = converter.inl * 4 * place * (1 - place);
        exact[code] =
            (level - 0.5 - middle_ - bow - converter.offset) / converter.gain * code_step(scheme);
    }
    if (converter.circuit != Circuit::sar)
    {
        std::sort(exact.begin() + 1, exact.end());
    }
    std::transform(exact.begin(), exact.end(), thresholds_.begin(),
                   [quanta](double level) { return static_cast<float>(level * quanta); });
}

bool needs_table(const ConverterScheme& converter)
{
    return converter.rounding == Rounding::uniform &&
           (converter.circuit != Circuit::uniform || converter.offset != 0 || converter.gain != 1 ||
            converter.inl != 0);
}

std::array<float, 2> code_range(const Scheme& scheme)
{
    // Sums of cells without errors stay below 2^24; a block refuses what exceeds this.
    constexpr float most = 0x1p30F;
    if (scheme.converter.rounding == Rounding::ideal)
    {
        return {-most, most};
    }
    const auto codes = static_cast<float>(std::int32_t{1} << scheme.converter.bits);
    return signed_conversion(scheme) ? std::array<float, 2>{-codes / 2, codes / 2 - 1}
                                     : std::array<float, 2>{0, codes - 1};
}

} // namespace tessera::numerics
