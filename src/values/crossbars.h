// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/reporter.h"
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
    /// sums() with each of these limits of calibrated converters, all of the same reads.
    [[nodiscard]] std::vector<numerics::Matrix<std::int64_t>>
    sums_at(const std::vector<double>& limits, const numerics::Matrix<std::int32_t>& inputs,
            const std::vector<numerics::VectorIdentity>& vectors, Fluctuations& cells,
            double start) const;
    /// At the beginning of the time that `start` tells apart from others.
    [[nodiscard]] Fluctuations fluctuations(std::uint32_t start) const;

private:
    /// One read of one array, with one result or several.
    using Read = std::function<std::vector<numerics::Matrix<std::int64_t>>(
        const Array&, const numerics::Matrix<std::int32_t>&,
        const std::vector<numerics::VectorIdentity>&, const numerics::Moments&)>;
    [[nodiscard]] std::vector<numerics::Matrix<std::int64_t>>
    held(const numerics::Matrix<std::int32_t>& inputs,
         const std::vector<numerics::VectorIdentity>& vectors, Fluctuations& cells, double start,
         const Read& read) const;

    Piece piece_;
    std::uint32_t cells_;
    std::vector<std::unique_ptr<const Array>> arrays_; ///< by replica
    std::int32_t centre_; ///< what codes are held above, and what is added again digitally
    double interval_;
};

/// What the codes of a matmul's second operand are held above, so that weights of `bits` bits can
/// be what is left: 0 where they can be the codes. Nothing: they cannot.
[[nodiscard]] std::optional<std::int32_t> centre_of(const IntegerLayer& operand, unsigned bits);

[[nodiscard]] numerics::Matrix<std::int32_t> part_of(const numerics::Matrix<std::int32_t>& matrix,
                                                     compiler::Extent rows,
                                                     compiler::Extent columns);
/// Part of the matrix that has the matrices of the groups along its diagonal, each the columns of
/// `weights` that are its own. Everything else in it is a weight of 0, held as any other.
[[nodiscard]] numerics::Matrix<std::int32_t>
part_of_diagonal(const numerics::Matrix<std::int32_t>& weights, std::uint32_t groups,
                 compiler::Extent rows, compiler::Extent columns);

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

    /// multiply() and multiply_maps() with each of these limits of calibrated converters, whatever
    /// those of the layer are, all of the same reads.
    [[nodiscard]] std::vector<numerics::Matrix<std::int64_t>>
    multiply_at(const std::vector<double>& limits, LayerId id,
                const numerics::Matrix<std::int32_t>& inputs, std::uint32_t image,
                std::uint32_t first) const;
    [[nodiscard]] std::vector<numerics::Matrix<std::int64_t>>
    multiply_maps_at(const std::vector<double>& limits, LayerId id,
                     const numerics::Matrix<std::int32_t>& inputs,
                     const numerics::Matrix<std::int32_t>& second, std::uint32_t image) const;

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
    using Cells = std::function<std::shared_ptr<const Programmed>(const Part&)>;
    using Read = std::function<std::vector<numerics::Matrix<std::int64_t>>(
        const Programmed&, const numerics::Matrix<std::int32_t>&,
        const std::vector<numerics::VectorIdentity>&, Fluctuations&, double)>;
    /// Over the pieces of a layer, result by result of a read.
    [[nodiscard]] std::vector<numerics::Matrix<std::int64_t>>
    add_up(LayerId id, const numerics::Matrix<std::int32_t>& inputs, std::uint32_t image,
           std::uint32_t first, const Cells& cells, const Read& read) const;
    [[nodiscard]] Cells written(const numerics::Matrix<std::int32_t>& second, std::uint32_t heads,
                                std::uint32_t image) const;

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

/// Calls work(index) for all indices below `count` on `threads` threads. The first exception, by
/// index, is thrown again. `reporter`: told of what is done, by the thread that calls; may be null.
void in_parallel(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& work,
                 Reporter* reporter = nullptr);

} // namespace tessera::values
