// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "numerics/block.h"
#include "numerics/matrix.h"
#include "values/analogue.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace tessera::values
{

/// A block of weights in one macro, programmed. Immutable: any number of threads may use it.
class Array
{
public:
    Array() = default;
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    virtual ~Array() = default;

    [[nodiscard]] virtual std::size_t rows() const = 0;
    [[nodiscard]] virtual std::size_t columns() const = 0;
    /// What the macro hands on for each of the vectors (rows of `inputs`): whole numbers in units
    /// of the product.
    [[nodiscard]] virtual numerics::Matrix<std::int64_t>
    sums(const numerics::Matrix<std::int32_t>& inputs,
         const std::vector<numerics::VectorIdentity>& vectors,
         const numerics::Moments& moments) const = 0;
    /// sums() with each of these limits of calibrated converters, all of the same reads. Throws
    /// std::logic_error for macros whose converters have none.
    [[nodiscard]] virtual std::vector<numerics::Matrix<std::int64_t>>
    sums_at(const std::vector<double>& limits, const numerics::Matrix<std::int32_t>& inputs,
            const std::vector<numerics::VectorIdentity>& vectors,
            const numerics::Moments& moments) const;
    /// As numerics::Block::fluctuation().
    [[nodiscard]] virtual std::unique_ptr<numerics::Fluctuation>
    fluctuation(std::uint32_t /*start*/) const
    {
        return nullptr;
    }
};

/// What the inputs of a layer can be: the codes of its operand.
struct InputRange
{
    std::int32_t least = 0;
    std::int32_t most = 255;
};

/// How crossbars are driven with such inputs: as they are, where none is negative; as the chip
/// drives inputs with a sign, where two's complement of its input bits holds them; else, as codes
/// of quantised files often are, by how far they are above the least, which stands for 0 and is
/// taken out again digitally.
[[nodiscard]] numerics::InputCoding coding_of(const Analogue& analogue, const InputRange& inputs);
/// Can the chip drive its rows with them?
[[nodiscard]] bool drives(const Analogue& analogue, const InputRange& inputs);

/// Of a digital macro: its sums are exact.
[[nodiscard]] std::unique_ptr<const Array>
make_digital_array(const numerics::Matrix<std::int32_t>& weights);

/// `layer` chooses among calibrated ranges; `faults` are cells known to be stuck.
[[nodiscard]] std::unique_ptr<const Array>
make_array(const Analogue& analogue, std::size_t layer, const InputRange& range,
           const numerics::Matrix<std::int32_t>& weights, const numerics::BlockIdentity& identity,
           const std::vector<numerics::FaultyCell>& faults = {});

} // namespace tessera::values
