// SPDX-License-Identifier: Apache-2.0
#include "values/machine.h"

#include "tessera/error.h"
#include "trace/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

namespace tessera::values
{

using network::Layer;
using network::LayerKind;
using network::Shape;
using numerics::Matrix;
using numerics::VectorIdentity;
using semantics::Stretch;
using semantics::Stretches;
using trace::Box;
using trace::Operation;
using trace::OpKind;

namespace
{

/// Of the rows, columns or channels of a box.
std::uint32_t extent(const Box& box, std::size_t axis)
{
    return box.bounds[2 * axis + 1] - box.bounds[2 * axis];
}

std::size_t count(const Box& box)
{
    return std::size_t{extent(box, 0)} * extent(box, 1) * extent(box, 2);
}

bool valid(const Box& box, const Shape& shape)
{
    const std::array<std::uint32_t, 3> most{shape.height, shape.width, shape.channels};
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
        if (box.bounds[2 * axis] >= box.bounds[2 * axis + 1] ||
            box.bounds[2 * axis + 1] > most[axis])
        {
            return false;
        }
    }
    return true;
}

template <class Visit> void each(const Box& box, Visit visit)
{
    for (std::uint32_t row = box.bounds[0]; row < box.bounds[1]; ++row)
    {
        for (std::uint32_t column = box.bounds[2]; column < box.bounds[3]; ++column)
        {
            for (std::uint32_t channel = box.bounds[4]; channel < box.bounds[5]; ++channel)
            {
                visit(Element{row, column, channel});
            }
        }
    }
}

bool apart(const Stretches& a, const Stretches& b)
{
    return std::none_of(a.begin(), a.end(),
                        [&](const Stretch& x)
                        {
                            return std::any_of(b.begin(), b.end(),
                                               [&](const Stretch& y)
                                               { return x.begin < y.end && y.begin < x.end; });
                        });
}

/// What of the stretches lies in `limits`.
Stretches clipped(const Stretches& rows, const Stretch& limits)
{
    Stretches result;
    for (const Stretch& stretch : rows)
    {
        const Stretch its{std::max(stretch.begin, limits.begin), std::min(stretch.end, limits.end)};
        if (its.begin < its.end)
        {
            result.push_back(its);
        }
    }
    return result;
}

std::uint64_t size_of(const Stretches& rows)
{
    std::uint64_t all = 0;
    for (const Stretch& stretch : rows)
    {
        all += stretch.size();
    }
    return all;
}

} // namespace

bool Machine::Content::holds(const Element& at) const
{
    const auto& b = box.bounds;
    return at.row >= b[0] && at.row < b[1] && at.column >= b[2] && at.column < b[3] &&
           at.channel >= b[4] && at.channel < b[5];
}

std::int64_t Machine::Content::at(const Element& element) const
{
    const auto& b = box.bounds;
    return values[(std::size_t{element.row - b[0]} * (b[3] - b[2]) + (element.column - b[2])) *
                      (b[5] - b[4]) +
                  (element.channel - b[4])];
}

/// What one operation sees of its tile's buffer.
class Machine::Reader
{
public:
    Reader(Machine& machine, const Operation& operation, NodeId node, Tick now)
        : machine_(machine), operation_(operation), node_(node), now_(now)
    {
        for (const OpId operand : operation.in)
        {
            const auto found = machine.data_.find({operand, node});
            if (found != machine.data_.end() && found->second.here)
            {
                operands_.push_back(found->second.content.get());
            }
        }
    }

    /// What is computed next: named when something is missing.
    void begin(LayerId layer, const Element& making)
    {
        layer_ = layer;
        making_ = making;
        poisoned_ = false;
    }
    [[nodiscard]] bool poisoned() const { return poisoned_; }

    /// Code of one element of the output of `tensor`; 0 where it is poison.
    [[nodiscard]] std::int32_t code(LayerId tensor, const Element& at)
    {
        const std::int64_t value = find(tensor, at);
        if (value == kPoison)
        {
            poisoned_ = true;
            return 0;
        }
        return static_cast<std::int32_t>(value);
    }

    [[nodiscard]] const std::vector<const Content*>& operands() const { return operands_; }

    /// Sum of the products of `all` rows of those of the weight matrix of `layer` that add up to
    /// the element, `limits`; 0 where it is poison.
    [[nodiscard]] std::int64_t sum(LayerId layer, const Element& at, const Stretch& limits,
                                   std::uint64_t all)
    {
        std::int64_t total = 0;
        Stretches rows;
        const auto add = [&](const Content& part)
        {
            if (part.sum_of != layer || part.image != operation_.image || !part.holds(at))
            {
                return;
            }
            const Stretches its = clipped(part.rows, limits);
            if (its.empty() || !apart(rows, its))
            {
                return;
            }
            rows.insert(rows.end(), its.begin(), its.end());
            const std::int64_t value = part.at(at);
            poisoned_ = poisoned_ || value == kPoison;
            total += value == kPoison ? 0 : value;
        };
        for (const Content* const operand : operands_)
        {
            add(*operand);
        }
        if (size_of(rows) < all)
        {
            machine_.each_here(node_, add);
        }
        if (size_of(rows) < all)
        {
            miss(layer, at, true);
        }
        return total;
    }

    /// Of the external memory.
    [[nodiscard]] std::int64_t stored(LayerId tensor, const Element& at)
    {
        const auto found = machine_.memory_.find({operation_.image, tensor});
        const std::int64_t value =
            found == machine_.memory_.end()
                ? kPoison
                : found->second[index_of(machine_.integers_.network[tensor].output, at)];
        if (value == kPoison)
        {
            miss(tensor, at, false);
        }
        return value;
    }

    /// Notes the first of a tensor's elements that are missing.
    void miss(LayerId tensor, const Element& at, bool sum)
    {
        poisoned_ = true;
        if (reported_.insert({tensor, sum}).second)
        {
            machine_.poison_.push_back(
                {operation_.id, now_, node_, layer_, making_, tensor, at, sum});
        }
    }

private:
    [[nodiscard]] std::int64_t find(LayerId tensor, const Element& at)
    {
        const auto fits = [&](const Content& content)
        {
            return content.tensor == tensor && !content.sum_of.valid() &&
                   content.image == operation_.image && content.holds(at);
        };
        if (last_ != nullptr && fits(*last_))
        {
            return last_->at(at);
        }
        for (const Content* const operand : operands_)
        {
            if (fits(*operand))
            {
                last_ = operand;
                return operand->at(at);
            }
        }
        const network::Network& network = machine_.integers_.network;
        if (semantics::renames(network[tensor].kind))
        {
            const std::optional<Origin> origin = origin_of(network, network[tensor], at);
            if (!origin)
            {
                return 0;
            }
            const std::int64_t code =
                find(network[tensor].inputs[origin->operand], origin->element);
            return code == kPoison ? kPoison
                                   : machine_.integers_[tensor].moved(
                                         origin->operand, static_cast<std::int32_t>(code));
        }
        bool there = false;
        std::int64_t value = kPoison;
        machine_.each_here(node_,
                           [&](const Content& content)
                           {
                               if (value == kPoison && fits(content))
                               {
                                   there = true;
                                   value = content.at(at);
                               }
                           });
        if (!there)
        {
            miss(tensor, at, false);
        }
        return value;
    }

    Machine& machine_;
    const Operation& operation_;
    NodeId node_;
    Tick now_;
    std::vector<const Content*> operands_;
    const Content* last_ = nullptr; ///< operand in which the last element was
    LayerId layer_;
    Element making_;
    bool poisoned_ = false;
    std::set<std::pair<LayerId, bool>> reported_;
};

namespace
{

Piece piece_of(const trace::Block& block, const trace::Header& header,
               const semantics::Naming& naming, const config::ChipConfig& chip)
{
    const NodeId tile = header.units[block.at.index()].node;
    return {
        naming.layers[block.layer.index()],     block.copy,     {block.row_begin, block.row_end},
        {block.column_begin, block.column_end}, block.replicas, chip.is_digital(tile.value())};
}

} // namespace

std::vector<Piece> pieces_of(const trace::Header& header, const semantics::Naming& naming,
                             const config::ChipConfig& chip)
{
    std::vector<Piece> pieces;
    for (const trace::Block& block : header.blocks)
    {
        const Piece piece = piece_of(block, header, naming, chip);
        if (std::find(pieces.begin(), pieces.end(), piece) == pieces.end())
        {
            pieces.push_back(piece);
        }
    }
    return pieces;
}

void check_apart(const trace::Header& header, const config::ChipConfig& chip,
                 const Analogue& analogue, const std::string& file)
{
    if (!analogue.wires)
    {
        return;
    }
    std::map<UnitId, std::vector<std::size_t>> macros;
    for (std::size_t i = 0; i < header.blocks.size(); ++i)
    {
        const trace::Block& block = header.blocks[i];
        if (chip.is_digital(header.units[block.at.index()].node.value()))
        {
            continue;
        }
        for (const std::size_t other : macros[block.at])
        {
            trace::Block rows = block; // in all columns
            rows.column_at = header.blocks[other].column_at;
            trace::Block columns = block; // in all rows
            columns.row_at = header.blocks[other].row_at;
            if (!trace::overlap(block, header.blocks[other]) &&
                (trace::overlap(rows, header.blocks[other]) ||
                 trace::overlap(columns, header.blocks[other])))
            {
                throw InputError(
                    {file, 1, "/placement/blocks/" + std::to_string(i)},
                    "shares wires of " + header.units[block.at.index()].name(header.tiles) +
                        " with block " + std::to_string(other) +
                        ": what the cells of one do to reads of the other is not solved for",
                    "compile without --pack, or set macro.cell.row_ohm and column_ohm to 0");
            }
        }
        macros[block.at].push_back(i);
    }
}

Machine::Machine(const trace::Header& header, const IntegerNetwork& integers,
                 const config::ChipConfig& chip, const Crossbars& crossbars,
                 std::vector<Map<std::int32_t>> images)
    : header_(header),
      integers_(integers),
      crossbars_(crossbars),
      naming_(header, integers.network, effort_),
      images_(std::move(images))
{
    for (const trace::Block& block : header.blocks)
    {
        pieces_.push_back(piece_of(block, header, naming_, chip));
    }
}

template <class Visit> void Machine::each_here(NodeId node, Visit visit) const
{
    for (const auto& [key, datum] : data_)
    {
        if (key.node == node && datum.here)
        {
            visit(*datum.content);
        }
    }
}

void Machine::refuse(const Operation& operation, const std::string& problem) const
{
    throw InputError({"trace", 0, "operation " + std::to_string(operation.id.value())},
                     std::string("(") + name_of(operation.kind) + ") " + problem,
                     "see what tessera trace check --semantic says, or run without --values");
}

Box Machine::made_by(const Operation& operation, LayerId layer) const
{
    if (!operation.ofm || !valid(*operation.ofm, integers_.network[layer].output))
    {
        refuse(operation, "does not say which elements of its layer it makes");
    }
    return *operation.ofm;
}

/// Is the result codes, or partial sums still?
bool Machine::finishes(const Operation& operation, LayerId layer) const
{
    const std::uint8_t bits = naming_.bits[naming_.outputs[layer.index()].index()];
    return operation.bits == 0 || bits == 0 || operation.bits == bits;
}

/// What layers after `from`, up to `to`, make of its code.
std::int64_t Machine::through(LayerId from, LayerId to, const Element& at, std::int64_t code) const
{
    if (from == to || code == kPoison)
    {
        return code;
    }
    const std::int64_t before = through(from, integers_.network[to].inputs[0], at, code);
    return element(integers_, to, at,
                   [before](std::uint32_t, const Element&)
                   { return static_cast<std::int32_t>(before); });
}

Machine::Content Machine::product(const Operation& operation, Reader& reader, Tick now)
{
    if (!operation.block.valid())
    {
        refuse(operation, "does not say which weights it uses");
    }
    const LayerId layer = pieces_[operation.block.index()].layer;
    return integers_.network[layer].kind == LayerKind::matmul
               ? product_of_maps(operation, layer, reader, now)
               : product_of_weights(operation, layer, reader, now);
}

/// What cells make of the vectors, the first of which enters now. Those that are written again
/// fluctuate on.
Matrix<std::int64_t> Machine::sums(const Programmed& cells, const Matrix<std::int32_t>& inputs,
                                   const std::vector<VectorIdentity>& vectors, Tick now)
{
    auto state = fluctuations_.find(cells.cells());
    if (state == fluctuations_.end())
    {
        state = fluctuations_.emplace(cells.cells(), cells.fluctuations(0)).first;
    }
    return cells.sums(inputs, vectors, state->second, seconds(now));
}

template <class Poisoned>
Machine::Content Machine::result_of(const Operation& operation, LayerId layer, const Box& box,
                                    const Matrix<std::int64_t>& sums, Poisoned poisoned) const
{
    const Piece& piece = pieces_[operation.block.index()];
    const bool finished = operation.bits != 0 && finishes(operation, layer);
    const LayerId tensor = naming_.outputs[layer.index()];
    const Shape& shape = integers_.network[layer].output;
    const bool by_row = integers_.network[layer].kind == LayerKind::matmul;
    Content result{tensor,
                   finished ? LayerId::none() : layer,
                   {{piece.rows.begin, piece.rows.end}},
                   box,
                   operation.image,
                   {}};
    result.values.reserve(count(box));
    each(box,
         [&](const Element& at)
         {
             const std::size_t column = (by_row ? std::size_t{at.column} * shape.channels : 0) +
                                        at.channel - piece.columns.begin;
             const std::size_t row = at.row - box.bounds[0];
             const std::size_t vector =
                 by_row ? row : row * extent(box, 1) + (at.column - box.bounds[2]);
             const std::int64_t sum = sums(vector, column);
             const std::int64_t value =
                 finished ? through(layer, tensor, at, integers_[layer].finish(at.channel, sum))
                          : sum;
             result.values.push_back(poisoned(vector, column) ? kPoison : value);
         });
    return result;
}

/// A vector for each row of the first operand, with what was written of the second.
Machine::Content Machine::product_of_maps(const Operation& operation, LayerId layer, Reader& reader,
                                          Tick now)
{
    const Piece& piece = pieces_[operation.block.index()];
    const Layer& its = integers_.network[layer];
    const HeadProducts how(integers_.network, its);
    const Box box = made_by(operation, layer);
    const std::uint64_t first = std::uint64_t{box.bounds[2]} * its.output.channels + box.bounds[4];
    const std::uint64_t last =
        std::uint64_t{box.bounds[3] - 1} * its.output.channels + box.bounds[5];
    const bool one_stretch =
        extent(box, 1) == 1 || extent(box, 2) == its.output.channels; // of a row
    if (!one_stretch || first < piece.columns.begin || last > piece.columns.end)
    {
        refuse(operation, "makes elements that its block has no columns of");
    }
    Written& written = written_[operation.block];
    if (written.image != operation.image || written.codes.rows() == 0)
    {
        written = {operation.image, Matrix<std::int32_t>(piece.rows.size(), piece.columns.size()),
                   Matrix<Written::Cell>(piece.rows.size(), piece.columns.size()), nullptr};
    }
    const Shape& from = integers_.network.input_shape(its);
    Matrix<std::int32_t> inputs(extent(box, 0), piece.rows.size());
    std::vector<VectorIdentity> vectors;
    std::vector<char> poisoned_rows;
    for (std::uint32_t row = box.bounds[0]; row < box.bounds[1]; ++row)
    {
        reader.begin(layer, {row, box.bounds[2], box.bounds[4]});
        const std::size_t begin = std::size_t{row} * how.heads * how.common;
        for (std::uint32_t k = piece.rows.begin; k < piece.rows.end; ++k)
        {
            inputs(row - box.bounds[0], k - piece.rows.begin) =
                reader.code(its.inputs[0], element_at(from, begin + k));
        }
        vectors.push_back({operation.image, row});
        poisoned_rows.push_back(reader.poisoned() ? 1 : 0);
    }
    std::vector<char> poisoned_columns(piece.columns.size(), 0);
    for (std::uint64_t column = first; column < last; ++column)
    {
        for (std::uint32_t k = piece.rows.begin; k < piece.rows.end; ++k)
        {
            const std::size_t c = column - piece.columns.begin;
            const Written::Cell cell = written.cells(k - piece.rows.begin, c);
            poisoned_columns[c] = poisoned_columns[c] != 0 || cell != Written::Cell::code ? 1 : 0;
            if (cell == Written::Cell::empty)
            {
                reader.miss(
                    its.inputs[1],
                    element_at(integers_.network.input_shape(its, 1),
                               how.second(static_cast<std::uint32_t>(column / how.columns),
                                          k % how.common,
                                          static_cast<std::uint32_t>(column % how.columns))),
                    false);
            }
        }
    }
    if (!written.programmed)
    {
        written.programmed = crossbars_.write(piece, written.codes, operation.image);
    }
    return result_of(operation, layer, box, sums(*written.programmed, inputs, vectors, now),
                     [&](std::size_t vector, std::size_t column)
                     { return poisoned_rows[vector] != 0 || poisoned_columns[column] != 0; });
}

/// A part of the second operand of a matmul goes into the cells of a block. What other blocks had
/// in them is gone.
void Machine::write(const Operation& operation, Reader& reader)
{
    if (!operation.block.valid() ||
        integers_.network[pieces_[operation.block.index()].layer].kind != LayerKind::matmul)
    {
        return; // weights, which crossbars hold from the beginning
    }
    const trace::Block& block = header_.blocks[operation.block.index()];
    for (auto other = written_.begin(); other != written_.end();)
    {
        const bool gone = other->first != operation.block &&
                          trace::overlap(block, header_.blocks[other->first.index()]);
        other = gone ? written_.erase(other) : std::next(other);
    }
    const Piece& piece = pieces_[operation.block.index()];
    const Layer& layer = integers_.network[piece.layer];
    const HeadProducts how(integers_.network, layer);
    const LayerId second = layer.inputs[1];
    const Shape& shape = integers_.network[second].output;
    if (!operation.box || !valid(*operation.box, shape))
    {
        refuse(operation, "does not say what it writes");
    }
    Written& written = written_[operation.block];
    if (written.image != operation.image || written.codes.rows() == 0)
    {
        written = {operation.image, Matrix<std::int32_t>(piece.rows.size(), piece.columns.size()),
                   Matrix<Written::Cell>(piece.rows.size(), piece.columns.size()), nullptr};
    }
    written.programmed = nullptr;
    each(*operation.box,
         [&](const Element& at)
         {
             // The operand's rows are one head after the other.
             const std::uint32_t along = at.column * shape.channels + at.channel;
             const std::uint32_t head = along / (how.transposed ? how.common : how.columns);
             const std::uint32_t row = how.transposed ? along : head * how.common + at.row;
             const std::uint32_t column = how.transposed ? head * how.columns + at.row : along;
             if (row < piece.rows.begin || row >= piece.rows.end || column < piece.columns.begin ||
                 column >= piece.columns.end)
             {
                 return;
             }
             reader.begin(second, at);
             written.codes(row - piece.rows.begin, column - piece.columns.begin) =
                 reader.code(second, at);
             written.cells(row - piece.rows.begin, column - piece.columns.begin) =
                 reader.poisoned() ? Written::Cell::poison : Written::Cell::code;
         });
}

Machine::Content Machine::product_of_weights(const Operation& operation, LayerId layer,
                                             Reader& reader, Tick now)
{
    const trace::Block& block = header_.blocks[operation.block.index()];
    const Layer& its = integers_.network[layer];
    const Shape& from = integers_.network.input_shape(its);
    const Box box = made_by(operation, layer);
    const std::uint32_t inner = from.channels / its.groups;
    const std::uint32_t outer = its.output.channels / its.groups;
    const std::size_t group_rows = integers_[layer].weights.rows();
    if (box.bounds[4] < block.column_begin || box.bounds[5] > block.column_end)
    {
        refuse(operation, "makes channels that its block has no columns of");
    }
    const std::size_t pixels = std::size_t{extent(box, 0)} * extent(box, 1);
    Matrix<std::int32_t> inputs(pixels, block.row_end - block.row_begin);
    std::vector<VectorIdentity> vectors;
    std::vector<char> poisoned;
    each({{box.bounds[0], box.bounds[1], box.bounds[2], box.bounds[3], 0, 1}},
         [&](const Element& pixel)
         {
             std::int32_t* const row = inputs.row(vectors.size());
             reader.begin(layer, {pixel.row, pixel.column, box.bounds[4]});
             // Groups whose columns are made; rows of others are not driven.
             for (std::uint32_t group = box.bounds[4] / outer; group <= (box.bounds[5] - 1) / outer;
                  ++group)
             {
                 each_in_window(its, from, pixel.row, pixel.column,
                                [&](std::uint32_t y, std::uint32_t x, std::size_t tap)
                                {
                                    const std::size_t first = group * group_rows + tap * inner;
                                    const std::size_t begin =
                                        std::max<std::size_t>(first, block.row_begin);
                                    const std::size_t end =
                                        std::min<std::size_t>(first + inner, block.row_end);
                                    for (std::size_t k = begin; k < end; ++k)
                                    {
                                        const auto channel = static_cast<std::uint32_t>(k - first);
                                        row[k - block.row_begin] = reader.code(
                                            its.inputs[0], {y, x, group * inner + channel});
                                    }
                                });
             }
             vectors.push_back({operation.image, pixel.row * its.output.width + pixel.column});
             poisoned.push_back(reader.poisoned() ? 1 : 0);
         });
    const Programmed& cells = crossbars_.programmed(pieces_[operation.block.index()]);
    return result_of(operation, layer, box, sums(cells, inputs, vectors, now),
                     [&](std::size_t vector, std::size_t) { return poisoned[vector] != 0; });
}

/// Rows of a layer's weight matrix that add up to an element: those of its group.
Stretch Machine::summed(LayerId layer, const Element& at) const
{
    const Layer& its = integers_.network[layer];
    const compiler::WeightMatrix matrix = compiler::weight_matrix(integers_.network, its);
    const std::uint64_t column =
        (its.kind == LayerKind::matmul ? std::uint64_t{at.column} * its.output.channels : 0) +
        at.channel;
    const std::uint64_t group = column / matrix.columns_of_group();
    const auto bound = [&](std::uint64_t index)
    { return static_cast<std::uint32_t>(index * matrix.rows_of_group()); };
    return {bound(group), bound(group + 1)};
}

/// A vec that adds up partial sums of `layer`.
Machine::Content Machine::sum(const Operation& operation, LayerId layer, Reader& reader) const
{
    const Box box = made_by(operation, layer);
    const LayerId made = operation.layer.valid() ? naming_.layers[operation.layer.index()] : layer;
    const LayerId tensor = naming_.outputs[made.index()];
    const bool finished = finishes(operation, made);
    Content result{tensor, finished ? LayerId::none() : layer, {}, box, operation.image, {}};
    for (const Content* const part : reader.operands())
    {
        if (!finished && apart(result.rows, part->rows))
        {
            result.rows.insert(result.rows.end(), part->rows.begin(), part->rows.end());
        }
    }
    each(box,
         [&](const Element& at)
         {
             reader.begin(made, at);
             const Stretch limits = summed(layer, at);
             const std::uint64_t all =
                 finished ? limits.size() : size_of(clipped(result.rows, limits));
             const std::int64_t sum = reader.sum(layer, at, limits, all);
             const std::int64_t value =
                 finished ? through(layer, tensor, at, integers_[layer].finish(at.channel, sum))
                          : sum;
             result.values.push_back(reader.poisoned() ? kPoison : value);
         });
    return result;
}

/// A vec that computes a layer from codes.
Machine::Content Machine::function(const Operation& operation, LayerId layer, Reader& reader) const
{
    const Box box = made_by(operation, layer);
    const std::string_view name = trace::functions()[operation.function].name;
    const LayerId tensor = naming_.outputs[layer.index()];
    const bool copies = name == "copy" || name == "requantize";
    Content result{tensor, LayerId::none(), {}, box, operation.image, {}};
    result.values.reserve(count(box));
    const std::vector<LayerId>& inputs = integers_.network[layer].inputs;
    if (!copies && by_position(integers_.network[layer]))
    {
        const IntegerLayer& its = integers_[layer];
        std::vector<std::int32_t> codes(integers_.network[layer].output.channels);
        each({{box.bounds[0], box.bounds[1], box.bounds[2], box.bounds[3], 0, 1}},
             [&](const Element& position)
             {
                 reader.begin(layer, {position.row, position.column, box.bounds[4]});
                 for (std::uint32_t channel = 0; channel < codes.size(); ++channel)
                 {
                     codes[channel] =
                         reader.code(inputs[0], {position.row, position.column, channel});
                 }
                 const std::vector<std::int32_t> made =
                     integers_.network[layer].kind == LayerKind::softmax
                         ? its.shares(codes)
                         : its.norms(codes, integers_.network[layer].centred);
                 for (std::uint32_t channel = box.bounds[4]; channel < box.bounds[5]; ++channel)
                 {
                     const Element at{position.row, position.column, channel};
                     result.values.push_back(
                         reader.poisoned() ? kPoison : through(layer, tensor, at, made[channel]));
                 }
             });
        return result;
    }
    each(box,
         [&](const Element& at)
         {
             reader.begin(layer, at);
             const std::int64_t value =
                 copies ? reader.code(tensor, at)
                        : through(layer, tensor, at,
                                  element(integers_, layer, at,
                                          [&](std::uint32_t operand, const Element& from)
                                          { return reader.code(inputs[operand], from); }));
             result.values.push_back(reader.poisoned() ? kPoison : value);
         });
    return result;
}

Machine::Content Machine::computed(const Operation& operation, Reader& reader, Tick now)
{
    if (operation.kind == OpKind::mvm)
    {
        return product(operation, reader, now);
    }
    for (const Content* const operand : reader.operands())
    {
        if (operand->sum_of.valid())
        {
            return sum(operation, operand->sum_of, reader);
        }
    }
    if (!operation.layer.valid())
    {
        refuse(operation, "does not say what it computes");
    }
    const LayerId layer = naming_.layers[operation.layer.index()];
    return trace::functions()[operation.function].name == std::string_view("accumulate")
               ? sum(operation, layer, reader)
               : function(operation, layer, reader);
}

Machine::Content Machine::loaded(const Operation& operation, Reader& reader) const
{
    const LayerId tensor =
        operation.tensor.valid() ? naming_.tensors[operation.tensor.index()] : LayerId::none();
    Content result{tensor, LayerId::none(), {}, {}, operation.image, {}};
    if (!tensor.valid())
    {
        return result; // weights, say
    }
    const Shape& shape = integers_.network[tensor].output;
    if (!operation.box || !valid(*operation.box, shape))
    {
        refuse(operation, "does not say what it loads");
    }
    result.box = *operation.box;
    result.values.reserve(count(result.box));
    const bool input = integers_.network[tensor].kind == LayerKind::input;
    each(result.box,
         [&](const Element& at)
         {
             reader.begin(tensor, at);
             result.values.push_back(input ? images_[operation.image][index_of(shape, at)]
                                           : reader.stored(tensor, at));
         });
    return result;
}

/// What a move or store takes along.
std::shared_ptr<const Machine::Content> Machine::carried(const Operation& operation,
                                                         NodeId node) const
{
    const auto found = data_.find({operation.in[0], node});
    if (found == data_.end() || !found->second.here)
    {
        refuse(operation, "moves what its tile does not hold");
    }
    const std::shared_ptr<const Content>& all = found->second.content;
    if (!all->tensor.valid() || !operation.ofm || *operation.ofm == all->box)
    {
        return all;
    }
    auto part = std::make_shared<Content>(*all);
    part->box = *operation.ofm;
    part->values.clear();
    each(part->box,
         [&](const Element& at)
         {
             if (!all->holds(at))
             {
                 refuse(operation, "moves elements that its operand does not have");
             }
             part->values.push_back(all->at(at));
         });
    return part;
}

void Machine::started(const Operation& operation, NodeId node, Tick now)
{
    if (operation.image >= images_.size())
    {
        refuse(operation, "works for image " + std::to_string(operation.image) + ", but only " +
                              std::to_string(images_.size()) + " were given");
    }
    switch (operation.kind)
    {
    case OpKind::mvm:
    case OpKind::vec:
    {
        Reader reader(*this, operation, node, now);
        auto content = std::make_shared<Content>(computed(operation, reader, now));
        if (!content->sum_of.valid())
        {
            keep(made_, *content, content->box);
        }
        data_[{operation.id, node}] = {std::move(content), operation.uses, false};
        break;
    }
    case OpKind::load:
    {
        Reader reader(*this, operation, node, now);
        const auto content = std::make_shared<const Content>(loaded(operation, reader));
        for (const trace::Destination& to : operation.to)
        {
            data_[{operation.id, to.at}] = {content, to.uses, false};
        }
        break;
    }
    case OpKind::move:
    {
        const std::shared_ptr<const Content> content = carried(operation, node);
        for (const trace::Destination& to : operation.to)
        {
            data_[{operation.id, to.at}] = {content, to.uses, false};
        }
        break;
    }
    case OpKind::store:
        stores_[operation.id] = carried(operation, node);
        break;
    case OpKind::program:
    {
        Reader reader(*this, operation, node, now);
        write(operation, reader);
        break;
    }
    }
}

void Machine::arrived(OpId operation, NodeId node)
{
    const auto found = data_.find({operation, node});
    found->second.here = true;
    if (found->second.uses == 0)
    {
        data_.erase(found);
    }
}

void Machine::ended(const Operation& operation, NodeId node)
{
    if (operation.kind == OpKind::store)
    {
        const auto found = stores_.find(operation.id);
        const Content& content = *found->second;
        const LayerId tensor =
            operation.tensor.valid() ? naming_.tensors[operation.tensor.index()] : LayerId::none();
        if (content.tensor.valid() && tensor.valid())
        {
            if (tensor != content.tensor || content.sum_of.valid() || !operation.box ||
                !valid(*operation.box, integers_.network[tensor].output))
            {
                refuse(operation, "does not say which elements of its operand it stores");
            }
            keep(memory_, content, *operation.box);
        }
        stores_.erase(found);
    }
    for (const OpId operand : operation.in)
    {
        const auto found = data_.find({operand, node});
        if (found != data_.end() && --found->second.uses == 0)
        {
            data_.erase(found);
        }
    }
}

void Machine::keep(std::map<ImageOfLayer, std::vector<std::int64_t>>& maps, const Content& content,
                   const Box& box) const
{
    const Shape& shape = integers_.network[content.tensor].output;
    std::vector<std::int64_t>& map = maps[{content.image, content.tensor}];
    map.resize(shape.elements(), kPoison);
    each(box,
         [&](const Element& at)
         {
             if (content.holds(at))
             {
                 map[index_of(shape, at)] = content.at(at);
             }
         });
}

const std::vector<std::int64_t>* Machine::made(std::uint32_t image, LayerId layer) const
{
    const auto found = made_.find({image, layer});
    return found == made_.end() ? nullptr : &found->second;
}

std::string Machine::text_of(const Poison& poison) const
{
    const network::Network& network = integers_.network;
    const auto place = [](const Element& at)
    { return fmt::format("[{},{},{}]", at.row, at.column, at.channel); };
    return fmt::format(
        "operation {} at {} ps in {}: {}{} of layer \"{}\" had not arrived, which is needed for {} "
        "of layer \"{}\" (row, column, channel)",
        poison.operation.value(), poison.at, trace::node_name(poison.node, header_.tiles),
        poison.sum ? "partial sums of " : "", place(poison.missing), network[poison.tensor].name,
        place(poison.making), network[poison.layer].name);
}

} // namespace tessera::values
