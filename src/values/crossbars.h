// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/mapping.h"
#include "config/chip_config.h"
#include "values/analogue.h"
#include "values/array.h"
#include "values/integer_network.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace tessera::values
{

/// A part of a layer's weight matrix that one macro holds: of compiler::weight_matrix(), which has
/// groups along its diagonal and zeros elsewhere.
struct Piece
{
    LayerId layer;
    std::uint32_t copy = 0; ///< of weights that the chip holds several times
    compiler::Extent rows;
    compiler::Extent columns;
    std::uint32_t replicas = 1; ///< along the diagonal of the macro: the vectors go round them

    friend bool operator==(const Piece& a, const Piece& b)
    {
        return a.layer == b.layer && a.copy == b.copy && a.rows.begin == b.rows.begin &&
               a.rows.end == b.rows.end && a.columns.begin == b.columns.begin &&
               a.columns.end == b.columns.end && a.replicas == b.replicas;
    }
};
/// As the mapping cuts the layers that the chip has on crossbars, without copies.
[[nodiscard]] std::vector<Piece> pieces_of(const IntegerNetwork& network,
                                           const config::ChipConfig& chip);

/// The weights of a network in the macros of one programmed chip. Every piece has cells of its own.
class Crossbars : public Products
{
public:
    /// `seed` names the chip and all noise on it. Keeps no reference. Programs pieces on up to
    /// `threads` threads; the result depends neither on how many nor on the order of the pieces.
    /// Layers without pieces are multiplied exactly. Throws InputError.
    Crossbars(const IntegerNetwork& network, std::vector<Piece> pieces, const Analogue& analogue,
              std::uint64_t seed, unsigned threads);

    /// With the pieces of copy 0.
    [[nodiscard]] numerics::Matrix<std::int64_t>
    multiply(LayerId id, const numerics::Matrix<std::int32_t>& inputs, std::uint32_t image,
             std::uint32_t first) const override;

    /// Sums of one piece, where `inputs` has its rows only and the vectors are at the output
    /// positions `pixels`.
    [[nodiscard]] numerics::Matrix<std::int64_t>
    multiply_piece(const Piece& piece, const numerics::Matrix<std::int32_t>& inputs,
                   std::uint32_t image, const std::vector<std::uint32_t>& pixels) const;

private:
    struct Part
    {
        Piece piece;
        std::vector<std::unique_ptr<const Array>> arrays; ///< by replica

        [[nodiscard]] numerics::Matrix<std::int64_t>
        sums(const numerics::Matrix<std::int32_t>& inputs,
             const std::vector<numerics::VectorIdentity>& vectors) const;
    };

    std::vector<std::vector<Part>> parts_; ///< by layer; empty: not on crossbars
    struct Exact
    {
        numerics::Matrix<std::int32_t> weights;
        std::uint32_t groups = 1;
    };
    std::vector<Exact> exact_; ///< of those
};

/// With ranges that suit the images, layer by layer, where the chip has such: of `calibrated`
/// converters those of a geometric row whose sums have the smallest squared error; of AiDAC those
/// that nothing seen is cut off by, and the offset of every column is trimmed. Nothing else is
/// disturbed.
[[nodiscard]] Analogue calibrated(const Analogue& analogue, const IntegerNetwork& network,
                                  const std::vector<Piece>& pieces,
                                  const std::vector<Map<std::int32_t>>& images);

/// Calls work(index) for all indices below `count` on `threads` threads. The first exception, by
/// index, is thrown again.
void in_parallel(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& work);

} // namespace tessera::values
