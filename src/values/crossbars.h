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
#include <optional>
#include <utility>
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
    bool digital = false;       ///< in a digital macro, which makes no errors

    friend bool operator==(const Piece& a, const Piece& b)
    {
        return a.layer == b.layer && a.copy == b.copy && a.rows.begin == b.rows.begin &&
               a.rows.end == b.rows.end && a.columns.begin == b.columns.begin &&
               a.columns.end == b.columns.end && a.replicas == b.replicas && a.digital == b.digital;
    }
};

/// The states of a piece's cells, by replica; null where they do not fluctuate.
using Fluctuations = std::vector<std::unique_ptr<numerics::Fluctuation>>;

/// Weights in the cells of one piece. Immutable: any number of threads may use it.
class Programmed
{
public:
    /// `cells`: number of the physical array, of the first replica; `interval`: seconds from
    /// vector to vector of a replica.
    Programmed(const Piece& piece, std::uint32_t cells,
               std::vector<std::unique_ptr<const Array>> arrays, std::int32_t centre,
               double interval)
        : piece_(piece),
          cells_(cells),
          arrays_(std::move(arrays)),
          centre_(centre),
          interval_(interval)
    {
    }
    [[nodiscard]] const Piece& piece() const { return piece_; }
    /// The same of everything that is written into the same cells.
    [[nodiscard]] std::uint32_t cells() const { return cells_; }
    /// `inputs` has the rows of the piece only. `cells` are those of fluctuations(), which the
    /// reads, from `start` seconds on, take along.
    [[nodiscard]] numerics::Matrix<std::int64_t>
    sums(const numerics::Matrix<std::int32_t>& inputs,
         const std::vector<numerics::VectorIdentity>& vectors, Fluctuations& cells,
         double start) const;
    /// At the beginning of the time that `start` tells apart from others.
    [[nodiscard]] Fluctuations fluctuations(std::uint32_t start) const;

private:
    [[nodiscard]] numerics::Matrix<std::int64_t>
    held(const numerics::Matrix<std::int32_t>& inputs,
         const std::vector<numerics::VectorIdentity>& vectors, Fluctuations& cells,
         double start) const;

    Piece piece_;
    std::uint32_t cells_;
    std::vector<std::unique_ptr<const Array>> arrays_; ///< by replica
    std::int32_t centre_; ///< what codes are held above, and what is added again digitally
    double interval_;
};

/// What the codes of a matmul's second operand are held above, so that weights of `bits` bits can
/// be what is left: 0 where they can be the codes. Nothing: they cannot.
[[nodiscard]] std::optional<std::int32_t> centre_of(const IntegerLayer& operand, unsigned bits);

/// As the mapping cuts the layers that the chip has on crossbars, without copies.
[[nodiscard]] std::vector<Piece> pieces_of(const IntegerNetwork& network,
                                           const config::ChipConfig& chip);

/// The weights of a network in the macros of one programmed chip. Every piece has cells of its own.
/// Those of a matmul are written for every image, with errors of their own each time.
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

    [[nodiscard]] numerics::Matrix<std::int64_t>
    multiply_maps(LayerId id, const numerics::Matrix<std::int32_t>& inputs,
                  const numerics::Matrix<std::int32_t>& second, std::uint32_t image) const override;

    /// A piece of weights that are there from the beginning.
    [[nodiscard]] const Programmed& programmed(const Piece& piece) const;
    /// A piece of a matmul, written for an image: `codes` has its rows and columns.
    [[nodiscard]] std::shared_ptr<const Programmed>
    write(const Piece& piece, const numerics::Matrix<std::int32_t>& codes,
          std::uint32_t image) const;

private:
    struct Part
    {
        Piece piece;
        std::vector<std::uint32_t> numbers; ///< of the physical arrays, by replica
        std::vector<std::vector<numerics::FaultyCell>> faults; ///< by replica
        std::shared_ptr<const Programmed> programmed;          ///< null: of a matmul
    };
    /// What a matmul's operands are like.
    struct Operands
    {
        InputRange driven;
        std::int32_t centre = 0;
    };

    void place_faults(const network::Network& network);
    [[nodiscard]] const Part& part_of(const Piece& piece) const;
    [[nodiscard]] std::shared_ptr<const Programmed>
    make(const Part& part, const InputRange& range, std::int32_t centre,
         const numerics::Matrix<std::int32_t>& weights, std::uint32_t write_count) const;
    [[nodiscard]] numerics::Matrix<std::int64_t>
    add_up(LayerId id, const numerics::Matrix<std::int32_t>& inputs, std::uint32_t image,
           std::uint32_t first,
           const std::function<std::shared_ptr<const Programmed>(const Part&)>& cells) const;

    Analogue analogue_;
    std::uint64_t seed_;
    std::vector<Operands> operands_;       ///< by layer
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
/// disturbed, but for the off current that steered cells have by design.
[[nodiscard]] Analogue calibrated(const Analogue& analogue, const IntegerNetwork& network,
                                  const std::vector<Piece>& pieces,
                                  const std::vector<Map<std::int32_t>>& images);

/// Calls work(index) for all indices below `count` on `threads` threads. The first exception, by
/// index, is thrown again.
void in_parallel(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& work);

} // namespace tessera::values
