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
         const std::vector<numerics::VectorIdentity>& vectors) const = 0;
};

/// `layer` chooses among calibrated ranges; `signed_inputs`: some may be negative.
[[nodiscard]] std::unique_ptr<const Array> make_array(const Analogue& analogue, std::size_t layer,
                                                      bool signed_inputs,
                                                      const numerics::Matrix<std::int32_t>& weights,
                                                      const numerics::BlockIdentity& identity);

} // namespace tessera::values
