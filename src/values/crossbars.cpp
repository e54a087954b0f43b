// SPDX-License-Identifier: Apache-2.0
#include "values/crossbars.h"

#include "base/interrupt.h"
#include "base/nearest.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <tuple>

namespace tessera::values
{

using network::LayerKind;
using numerics::Matrix;
using numerics::VectorIdentity;

Matrix<std::int32_t> part_of(const Matrix<std::int32_t>& matrix, compiler::Extent rows,
                             compiler::Extent columns)
{
    Matrix<std::int32_t> part(rows.size(), columns.size());
    for (std::size_t row = 0; row < part.rows(); ++row)
    {
        const std::int32_t* from = matrix.row(rows.begin + row) + columns.begin;
        std::copy(from, from + part.columns(), part.row(row));
    }
    return part;
}

Matrix<std::int32_t> part_of_diagonal(const Matrix<std::int32_t>& weights, std::uint32_t groups,
                                      compiler::Extent rows, compiler::Extent columns)
{
    const std::size_t wide = weights.columns() / groups;
    Matrix<std::int32_t> part(rows.size(), columns.size());
    for (std::size_t row = 0; row < part.rows(); ++row)
    {
        const std::size_t its = rows.begin + row;
        const std::size_t first = its / weights.rows() * wide;
        const std::size_t begin = std::max<std::size_t>(first, columns.begin);
        const std::size_t end = std::min<std::size_t>(first + wide, columns.end);
        for (std::size_t column = begin; column < end; ++column)
        {
            part(row, column - columns.begin) = weights(its % weights.rows(), column);
        }
    }
    return part;
}

void in_parallel(std::size_t count, unsigned threads, const std::function<void(std::size_t)>& work,
                 Reporter* reporter)
{
    std::vector<std::exception_ptr> failures(count);
    std::atomic<std::size_t> next{0};
    std::atomic<std::size_t> done{0};
    std::atomic<bool> failed{false};
    std::size_t told = 0;
    const auto tell = [&]()
    {
        const std::size_t now = done;
        reporter->add(now - std::exchange(told, now));
    };
    const auto loop = [&](bool tells)
    {
        for (std::size_t i = next++; i < count && !failed; i = next++)
        {
            try
            {
                throw_if_interrupted();
                work(i);
                ++done;
                if (tells && reporter != nullptr)
                {
                    tell();
                }
            }
            catch (...)
            {
                failures[i] = std::current_exception();
                failed = true;
            }
        }
    };
    std::vector<std::thread> others;
    for (std::size_t i = 1; i < std::min<std::size_t>(threads, count); ++i)
    {
        try
        {
            others.emplace_back(loop, false);
        }
        catch (const std::exception&)
        {
            break; // no room for another thread: the others do its work
        }
    }
    loop(true);
    for (std::thread& other : others)
    {
        other.join();
    }
    for (const std::exception_ptr& failure : failures)
    {
        if (failure)
        {
            std::rethrow_exception(failure);
        }
    }
}

std::vector<Piece> pieces_of(const IntegerNetwork& integers, const config::ChipConfig& chip)
{
    const auto& kinds = chip.mapping.on_crossbar;
    const auto on_crossbar = [&](const network::Layer& layer)
    {
        return layer.kind == LayerKind::matmul
                   ? chip.mapping.attention != "vector"
                   : multiplies(layer.kind) &&
                         (layer.groups == 1 || chip.mapping.depthwise == "crossbar") &&
                         std::find(kinds.begin(), kinds.end(), name_of(layer.kind)) != kinds.end();
    };
    std::vector<Piece> pieces;
    for (std::uint32_t i = 0; i < integers.layers.size(); ++i)
    {
        const network::Layer& layer = integers.network.layers[i];
        if (!on_crossbar(layer))
        {
            continue;
        }
        const bool digital = layer.kind == LayerKind::matmul && chip.mapping.attention == "digital";
        for (const compiler::MatrixBlock& block :
             compiler::cut(integers.network, layer, digital ? chip.digital.macro : chip.macro))
        {
            pieces.push_back({LayerId(i), 0, block.rows, block.columns, 1, digital});
        }
    }
    return pieces;
}

std::optional<std::int32_t> centre_of(const IntegerLayer& operand, unsigned bits)
{
    const std::int64_t half = std::int64_t{1} << (bits - 1);
    if (operand.least >= -half && operand.most < half)
    {
        return 0;
    }
    return std::int64_t{operand.most} - operand.least < 2 * half
               ? std::optional(static_cast<std::int32_t>(operand.least + half))
               : std::nullopt;
}

namespace
{

/// Throws InputError where a piece does not fit the layer that it is a part of, or its macro the
/// codes.
void check_piece(const IntegerNetwork& integers, const Piece& piece, const Analogue& analogue)
{
    const network::Network& network = integers.network;
    const network::Layer& layer = network[piece.layer];
    const auto refuse = [&](const std::string& problem, const std::string& remedy) {
        throw InputError({network.name, 0, "/layers/" + layer.name}, problem, remedy);
    };
    if (!multiplies(layer.kind))
    {
        refuse("has no weights for crossbars", "compile the trace for this network");
    }
    const compiler::WeightMatrix matrix = compiler::weight_matrix(network, layer);
    if (piece.rows.end > matrix.rows || piece.columns.end > matrix.columns)
    {
        refuse("has fewer weights than a crossbar is to hold",
               "compile the trace for this network");
    }
    if (piece.digital)
    {
        return;
    }
    const IntegerLayer& operand = integers[layer.inputs[0]];
    if (!drives(analogue, {operand.least, operand.most}))
    {
        refuse("reads codes from " + std::to_string(operand.least) + " to " +
                   std::to_string(operand.most) + ", which " +
                   std::to_string(analogue.input_bits()) + " bits of the chip's inputs cannot hold",
               "raise macro.input_bits");
    }
    if (layer.kind == LayerKind::matmul &&
        !centre_of(integers[layer.inputs[1]], analogue.weight_bits()))
    {
        refuse("writes codes that " + std::to_string(analogue.weight_bits()) +
                   " bits of the chip's weights cannot hold",
               "raise macro.weight_bits, or set mapping.attention to vector");
    }
}

} // namespace

Crossbars::Crossbars(const IntegerNetwork& integers, std::vector<Piece> pieces,
                     const Analogue& analogue, std::uint64_t seed, unsigned threads)
    : analogue_(analogue),
      seed_(seed),
      operands_(integers.layers.size()),
      parts_(integers.layers.size()),
      exact_(integers.layers.size())
{
    const network::Network& network = integers.network;
    if (network.weight_bits > analogue.weight_bits() ||
        network.activation_bits > analogue.input_bits())
    {
        throw InputError({network.name, 0, "/macro/weight_bits"},
                         "or macro.input_bits of the chip are fewer than the " +
                             std::to_string(network.weight_bits) + " and " +
                             std::to_string(network.activation_bits) + " of the network",
                         "raise them");
    }
    // The same numbers in whichever order the pieces were found: those of a chip without copies
    // first.
    const auto key = [](const Piece& piece)
    { return std::tuple(piece.copy, piece.layer.value(), piece.columns.begin, piece.rows.begin); };
    std::sort(pieces.begin(), pieces.end(),
              [&](const Piece& a, const Piece& b) { return key(a) < key(b); });
    for (const Piece& piece : pieces)
    {
        check_piece(integers, piece, analogue);
        const std::vector<LayerId>& inputs = network[piece.layer].inputs;
        Operands& its = operands_[piece.layer.index()];
        its.driven = {integers[inputs[0]].least, integers[inputs[0]].most};
        if (network[piece.layer].kind == LayerKind::matmul && !piece.digital)
        {
            its.centre = *centre_of(integers[inputs[1]], analogue.weight_bits());
        }
        Part& part = parts_[piece.layer.index()].emplace_back();
        part.piece = piece;
        part.numbers.resize(piece.replicas);
        part.faults.resize(piece.replicas);
    }
    place_faults(network);
    struct Made
    {
        Part* part;
        std::uint32_t replica;
    };
    std::vector<Made> made;
    std::vector<Part*> fixed; // that are programmed at the beginning
    for (std::size_t layer = 0; layer < parts_.size(); ++layer)
    {
        for (Part& part : parts_[layer])
        {
            for (std::uint32_t replica = 0; replica < part.piece.replicas; ++replica)
            {
                made.push_back({&part, replica});
            }
            if (network.layers[layer].kind != LayerKind::matmul)
            {
                fixed.push_back(&part);
            }
        }
    }
    std::sort(made.begin(), made.end(),
              [&](const Made& a, const Made& b) {
                  return std::tuple(a.replica, key(a.part->piece)) <
                         std::tuple(b.replica, key(b.part->piece));
              });
    for (std::uint32_t number = 0; number < made.size(); ++number)
    {
        made[number].part->numbers[made[number].replica] = number;
    }
    for (std::size_t i = 0; i < exact_.size(); ++i)
    {
        if (parts_[i].empty())
        {
            exact_[i] = {integers.layers[i].weights, network.layers[i].groups};
        }
    }
    in_parallel(fixed.size(), threads,
                [&](std::size_t number)
                {
                    Part& part = *fixed[number];
                    const std::size_t layer = part.piece.layer.index();
                    part.programmed = make(part, operands_[layer].driven, 0,
                                           part_of_diagonal(integers.layers[layer].weights,
                                                            network.layers[layer].groups,
                                                            part.piece.rows, part.piece.columns),
                                           1);
                });
}

/// Gives every known fault to the piece that has its cell. A cell of a copy or replica that this
/// chip does not have is nobody's.
void Crossbars::place_faults(const network::Network& network)
{
    const unsigned per_weight = analogue_.aidac ? 0 : numerics::cells_per_weight(analogue_.scheme);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < parts_.size(); ++i)
    {
        if (!parts_[i].empty() && !parts_[i].front().piece.digital)
        {
            names.push_back(network.layers[i].name);
        }
    }
    for (std::size_t i = 0; i < analogue_.faults.cells.size(); ++i)
    {
        const StuckCell& cell = analogue_.faults.cells[i];
        const auto refuse =
            [&](const char* key, const std::string& problem, const std::string& remedy)
        {
            throw InputError({analogue_.faults.file, 0, "/cells/" + std::to_string(i) + '/' + key},
                             problem, remedy);
        };
        const auto layer =
            std::find_if(network.layers.begin(), network.layers.end(),
                         [&](const network::Layer& its) { return its.name == cell.layer; });
        std::vector<Part>* const parts =
            layer == network.layers.end() ? nullptr : &parts_[layer - network.layers.begin()];
        if (parts == nullptr || parts->empty() || parts->front().piece.digital)
        {
            refuse("layer",
                   in_quotes(cell.layer) + " is no layer of " + network.name + " on crossbars",
                   did_you_mean(cell.layer, names) + "known: " + joined(names));
        }
        const compiler::WeightMatrix matrix = compiler::weight_matrix(network, *layer);
        if (cell.row >= matrix.rows || cell.column >= matrix.columns)
        {
            refuse(cell.row >= matrix.rows ? "row" : "column", "lies beyond the weights",
                   fmt::format("{} has {} x {} weights", cell.layer, matrix.rows, matrix.columns));
        }
        if (cell.cell >= per_weight)
        {
            refuse(
                "cell", fmt::format("is {}", cell.cell),
                fmt::format("a weight has {} cells here: give 0..{}", per_weight, per_weight - 1));
        }
        for (Part& part : *parts)
        {
            const Piece& piece = part.piece;
            if (piece.copy == cell.copy && cell.replica < piece.replicas &&
                cell.row >= piece.rows.begin && cell.row < piece.rows.end &&
                cell.column >= piece.columns.begin && cell.column < piece.columns.end)
            {
                part.faults[cell.replica].push_back(
                    {cell.row - piece.rows.begin,
                     numerics::first_cell(analogue_.scheme, cell.column - piece.columns.begin) +
                         cell.cell,
                     cell.fault});
            }
        }
    }
}

std::shared_ptr<const Programmed> Crossbars::make(const Part& part, const InputRange& range,
                                                  std::int32_t centre,
                                                  const Matrix<std::int32_t>& weights,
                                                  std::uint32_t write_count) const
{
    std::vector<std::unique_ptr<const Array>> arrays;
    for (std::size_t replica = 0; replica < part.numbers.size(); ++replica)
    {
        arrays.push_back(
            part.piece.digital
                ? make_digital_array(weights)
                : make_array(analogue_, part.piece.layer.index(), range, weights,
                             {seed_, part.piece.layer.value(), part.numbers[replica], write_count},
                             part.faults[replica]));
    }
    return std::make_shared<const Programmed>(part.piece, part.numbers.front(), std::move(arrays),
                                              centre, analogue_.interval);
}

/// Vectors go round the replicas, whose cells off the diagonal are left as made and conduct
/// nothing.
std::vector<Matrix<std::int64_t>> Programmed::held(const Matrix<std::int32_t>& inputs,
                                                   const std::vector<VectorIdentity>& vectors,
                                                   Fluctuations& cells, double start,
                                                   const Read& read) const
{
    const std::size_t replicas = arrays_.size();
    std::vector<Matrix<std::int64_t>> results;
    for (std::size_t replica = 0;
         replica < std::max<std::size_t>(1, std::min(replicas, inputs.rows())); ++replica)
    {
        const numerics::Moments moments{cells[replica].get(), start, interval_};
        if (replicas == 1)
        {
            results = read(*arrays_.front(), inputs, vectors, moments);
            break;
        }
        const std::size_t own = (inputs.rows() - replica + replicas - 1) / replicas;
        Matrix<std::int32_t> its_inputs(own, inputs.columns());
        std::vector<VectorIdentity> its_vectors;
        for (std::size_t i = 0; i < own; ++i)
        {
            const std::int32_t* const from = inputs.row(replica + i * replicas);
            std::copy(from, from + inputs.columns(), its_inputs.row(i));
            its_vectors.push_back(vectors[replica + i * replicas]);
        }
        const std::vector<Matrix<std::int64_t>> sums =
            read(*arrays_[replica], its_inputs, its_vectors, moments);
        results.resize(sums.size(), Matrix<std::int64_t>(inputs.rows(), piece_.columns.size()));
        for (std::size_t k = 0; k < sums.size(); ++k)
        {
            for (std::size_t i = 0; i < own; ++i)
            {
                std::copy(sums[k].row(i), sums[k].row(i) + sums[k].columns(),
                          results[k].row(replica + i * replicas));
            }
        }
    }
    for (std::size_t i = 0; centre_ != 0 && i < inputs.rows(); ++i)
    {
        const std::int64_t driven =
            std::accumulate(inputs.row(i), inputs.row(i) + inputs.columns(), std::int64_t{0});
        for (Matrix<std::int64_t>& result : results)
        {
            std::for_each(result.row(i), result.row(i) + result.columns(),
                          [&](std::int64_t& sum) { sum += centre_ * driven; });
        }
    }
    return results;
}

Fluctuations Programmed::fluctuations(std::uint32_t start) const
{
    Fluctuations cells;
    for (const std::unique_ptr<const Array>& array : arrays_)
    {
        cells.push_back(array->fluctuation(start));
    }
    return cells;
}

Matrix<std::int64_t> Programmed::sums(const Matrix<std::int32_t>& inputs,
                                      const std::vector<VectorIdentity>& vectors,
                                      Fluctuations& cells, double start) const
{
    return std::move(held(inputs, vectors, cells, start,
                          [](const Array& array, const auto& its_inputs, const auto& its_vectors,
                             const auto& moments)
                          { return std::vector{array.sums(its_inputs, its_vectors, moments)}; })
                         .front());
}

std::vector<Matrix<std::int64_t>> Programmed::sums_at(const std::vector<double>& limits,
                                                      const Matrix<std::int32_t>& inputs,
                                                      const std::vector<VectorIdentity>& vectors,
                                                      Fluctuations& cells, double start) const
{
    return held(inputs, vectors, cells, start,
                [&](const Array& array, const auto& its_inputs, const auto& its_vectors,
                    const auto& moments)
                { return array.sums_at(limits, its_inputs, its_vectors, moments); });
}

std::vector<Matrix<std::int64_t>> Crossbars::add_up(LayerId id, const Matrix<std::int32_t>& inputs,
                                                    std::uint32_t image, std::uint32_t first,
                                                    const Cells& cells, const Read& read) const
{
    std::vector<VectorIdentity> vectors(inputs.rows());
    for (std::size_t i = 0; i < vectors.size(); ++i)
    {
        vectors[i] = {image, first + static_cast<std::uint32_t>(i)};
    }
    const std::vector<Part>& parts = parts_[id.index()];
    std::size_t columns = 0;
    for (const Part& part : parts)
    {
        columns = std::max<std::size_t>(columns, part.piece.columns.end);
    }
    std::vector<Matrix<std::int64_t>> totals;
    const auto vectors_end = static_cast<std::uint32_t>(inputs.rows());
    for (const Part& part : parts)
    {
        if (part.piece.copy != 0)
        {
            break; // sorted: copies come last
        }
        // Every image has a time of its own, which a layer's first vector begins.
        const std::shared_ptr<const Programmed> programmed = cells(part);
        Fluctuations state = programmed->fluctuations(image);
        const std::vector<Matrix<std::int64_t>> partial =
            read(*programmed, values::part_of(inputs, {0, vectors_end}, part.piece.rows), vectors,
                 state, first * analogue_.interval);
        totals.resize(partial.size(), Matrix<std::int64_t>(inputs.rows(), columns));
        for (std::size_t k = 0; k < partial.size(); ++k)
        {
            for (std::size_t i = 0; i < partial[k].rows(); ++i)
            {
                const std::int64_t* const from = partial[k].row(i);
                std::int64_t* const to = totals[k].row(i) + part.piece.columns.begin;
                std::transform(from, from + partial[k].columns(), to, to, std::plus<>());
            }
        }
    }
    return totals;
}

namespace
{

/// The one result of reads with the converters as they are.
std::vector<Matrix<std::int64_t>> as_set(const Programmed& programmed,
                                         const Matrix<std::int32_t>& inputs,
                                         const std::vector<VectorIdentity>& vectors,
                                         Fluctuations& cells, double start)
{
    return {programmed.sums(inputs, vectors, cells, start)};
}

/// Those of reads with each of some limits.
auto at(const std::vector<double>& limits)
{
    return [&limits](const Programmed& programmed, const Matrix<std::int32_t>& inputs,
                     const std::vector<VectorIdentity>& vectors, Fluctuations& cells, double start)
    { return programmed.sums_at(limits, inputs, vectors, cells, start); };
}

} // namespace

Crossbars::Cells Crossbars::written(const Matrix<std::int32_t>& second, std::uint32_t heads,
                                    std::uint32_t image) const
{
    return [this, &second, heads, image](const Part& part)
    {
        return write(part.piece,
                     part_of_diagonal(second, heads, part.piece.rows, part.piece.columns), image);
    };
}

Matrix<std::int64_t> Crossbars::multiply(LayerId id, const Matrix<std::int32_t>& inputs,
                                         std::uint32_t image, std::uint32_t first) const
{
    if (parts_[id.index()].empty())
    {
        return exact_product(inputs, exact_[id.index()].weights, exact_[id.index()].groups);
    }
    return std::move(
        add_up(
            id, inputs, image, first, [](const Part& part) { return part.programmed; }, as_set)
            .front());
}

Matrix<std::int64_t> Crossbars::multiply_maps(LayerId id, const Matrix<std::int32_t>& inputs,
                                              const Matrix<std::int32_t>& second,
                                              std::uint32_t image) const
{
    const auto heads = static_cast<std::uint32_t>(inputs.columns() / second.rows());
    if (parts_[id.index()].empty())
    {
        return exact_product(inputs, second, heads);
    }
    return std::move(add_up(id, inputs, image, 0, written(second, heads, image), as_set).front());
}

std::vector<Matrix<std::int64_t>> Crossbars::multiply_at(const std::vector<double>& limits,
                                                         LayerId id,
                                                         const Matrix<std::int32_t>& inputs,
                                                         std::uint32_t image,
                                                         std::uint32_t first) const
{
    return add_up(
        id, inputs, image, first, [](const Part& part) { return part.programmed; }, at(limits));
}

std::vector<Matrix<std::int64_t>> Crossbars::multiply_maps_at(const std::vector<double>& limits,
                                                              LayerId id,
                                                              const Matrix<std::int32_t>& inputs,
                                                              const Matrix<std::int32_t>& second,
                                                              std::uint32_t image) const
{
    const auto heads = static_cast<std::uint32_t>(inputs.columns() / second.rows());
    return add_up(id, inputs, image, 0, written(second, heads, image), at(limits));
}

const Crossbars::Part& Crossbars::part_of(const Piece& piece) const
{
    const std::vector<Part>& parts = parts_[piece.layer.index()];
    const auto part = std::find_if(parts.begin(), parts.end(),
                                   [&](const Part& one) { return one.piece == piece; });
    if (part == parts.end())
    {
        throw std::logic_error("crossbars know no such piece");
    }
    return *part;
}

const Programmed& Crossbars::programmed(const Piece& piece) const
{
    return *part_of(piece).programmed;
}

std::shared_ptr<const Programmed>
Crossbars::write(const Piece& piece, const Matrix<std::int32_t>& codes, std::uint32_t image) const
{
    const Operands& its = operands_[piece.layer.index()];
    const std::int32_t centre = piece.digital ? 0 : its.centre;
    Matrix<std::int32_t> weights = codes;
    for (std::size_t row = 0; row < weights.rows(); ++row)
    {
        std::for_each(weights.row(row), weights.row(row) + weights.columns(),
                      [&](std::int32_t& weight) { weight -= centre; });
    }
    return make(part_of(piece), its.driven, centre, weights, image + 1);
}

} // namespace tessera::values
