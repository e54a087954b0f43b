// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "compiler/graph.h"
#include "compiler/schedule.h"
#include "list_simulator.h"
#include "network/network.h"
#include "tessera/trace.h"
#include "trace/rules.h"

#include <algorithm>
#include <array>
#include <gtest/gtest.h>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

/// What every compiled trace must satisfy, worked out element by element and without the compiler's
/// own arithmetic of boxes.
namespace tessera::test
{

using Element = std::array<std::uint32_t, 3>; ///< row, column, channel

inline bool inside(const trace::Box& box, const Element& element)
{
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
        if (element[axis] < box.bounds[2 * axis] || element[axis] >= box.bounds[2 * axis + 1])
        {
            return false;
        }
    }
    return true;
}

inline std::uint64_t volume(const trace::Box& box)
{
    const auto& b = box.bounds;
    return std::uint64_t{b[1] - b[0]} * (b[3] - b[2]) * (b[5] - b[4]);
}

template <class Visit> void for_each_element(const trace::Box& box, Visit visit)
{
    const auto& b = box.bounds;
    for (std::uint32_t r = b[0]; r < b[1]; ++r)
    {
        for (std::uint32_t c = b[2]; c < b[3]; ++c)
        {
            for (std::uint32_t k = b[4]; k < b[5]; ++k)
            {
                visit(Element{r, c, k});
            }
        }
    }
}

class TraceChecks
{
public:
    TraceChecks(const trace::Trace& trace, const network::Network& network,
                const config::ChipConfig& chip)
        : trace_(trace), network_(network), chip_(chip), graph_(network, chip)
    {
    }

    /// References, units, uses and counts. Cheap: for traces of any size.
    void structure() const
    {
        trace::Rules rules(trace_.header);
        std::vector<std::uint64_t> per_unit(trace_.header.units.size(), 0);
        std::map<std::pair<OpId, NodeId>, std::uint32_t> reads;
        for (std::size_t i = 0; i < trace_.operations.size(); ++i)
        {
            trace::Operation copy = trace_.operations[i];
            ASSERT_EQ(copy.id.index(), i);
            try
            {
                rules.check(copy);
            }
            catch (const trace::Malformed& malformed)
            {
                FAIL() << "operation " << i << ": " << malformed.pointer << ' '
                       << malformed.problem;
            }
            ++per_unit[copy.at.index()];
            ASSERT_TRUE(copy.layer.valid());
            for (const OpId in : copy.in)
            {
                ASSERT_LT(in.index(), i);
                ASSERT_TRUE(holds(in, node(copy))) << "operation " << i << " reads " << in.value();
                ++reads[{in, node(copy)}];
            }
            std::set<OpId> after(copy.after.begin(), copy.after.end());
            ASSERT_EQ(after.size(), copy.after.size());
        }
        for (const trace::Operation& op : trace_.operations)
        {
            for (const auto& to : op.to)
            {
                if (op.kind != trace::OpKind::store)
                {
                    ASSERT_EQ(to.uses, (reads[{op.id, to.at}])) << "operation " << op.id.value();
                    ASSERT_GT(to.uses, 0U) << "sent for nothing: " << op.id.value();
                }
            }
            if (op.to.empty())
            {
                ASSERT_EQ(op.uses, (reads[{op.id, node(op)}])) << "operation " << op.id.value();
            }
        }
        EXPECT_EQ(trace_.header.operations, trace_.operations.size());
        for (std::size_t unit = 0; unit < per_unit.size(); ++unit)
        {
            EXPECT_EQ(per_unit[unit], trace_.header.units[unit].operations);
            EXPECT_GT(per_unit[unit], 0U);
        }
        EXPECT_EQ(trace_.header.layers.size(), network_.layers.size());
        const bool written =
            std::any_of(trace_.operations.begin(), trace_.operations.end(), loads_weights);
        std::map<UnitId, std::vector<const trace::Block*>> macros;
        for (const trace::Block& block : trace_.header.blocks)
        {
            const std::uint32_t tile = trace_.header.units[block.at.index()].node.value();
            const config::ChipConfig::Macro& macro = chip_.macro_of(tile);
            EXPECT_LE(block.row_at + block.height(), macro.rows);
            EXPECT_EQ(block.references, macro.reference_columns());
            EXPECT_LE(block.column_at + block.width(),
                      std::uint64_t{macro.columns} + macro.reference_columns());
            EXPECT_EQ(chip_.is_digital(tile),
                      chip_.mapping.attention == "digital" && graph_.dynamic(block.layer));
            for (const trace::Block* other : macros[block.at])
            {
                EXPECT_TRUE(written || !trace::overlap(block, *other))
                    << "two blocks in the same cells";
                EXPECT_NE(block.layer, other->layer) << "a layer gets into its own way";
            }
            macros[block.at].push_back(&block);
        }
        contents(written);
    }

    /// Every MVM finds the whole of its block in the macro. Where weights are written, all are;
    /// second operands of products always are, for every image.
    void contents(bool written) const
    {
        const std::vector<trace::Block>& blocks = trace_.header.blocks;
        std::map<UnitId, std::vector<std::size_t>> on;     // a macro
        std::vector<std::uint64_t> rows(blocks.size(), 0); // there
        std::map<BlockId, std::uint32_t> image;            // that an operand is of
        for (std::size_t i = 0; i < rows.size(); ++i)
        {
            rows[i] = written || graph_.dynamic(blocks[i].layer) ? 0 : blocks[i].height();
            on[blocks[i].at].push_back(i);
        }
        for (const trace::Operation& op : trace_.operations)
        {
            if (!op.block.valid())
            {
                continue;
            }
            const trace::Block& block = blocks[op.block.index()];
            if (op.kind == trace::OpKind::mvm)
            {
                ASSERT_EQ(rows[op.block.index()], block.height()) << "operation " << op.id.value();
                continue;
            }
            if (const auto [its, first] = image.try_emplace(op.block, op.image);
                graph_.dynamic(block.layer) && !first && its->second != op.image)
            {
                its->second = op.image;
                rows[op.block.index()] = 0;
            }
            rows[op.block.index()] += op.n;
            for (const std::size_t other : on[op.at])
            {
                if (other != op.block.index() && trace::overlap(block, blocks[other]))
                {
                    rows[other] = 0;
                }
            }
        }
    }

    /// Every operand element of every operation is there, every result is made once and complete.
    void values() const
    {
        std::map<std::pair<std::uint32_t, LayerId>, std::map<Element, int>> made;
        Cells cells;
        for (const trace::Operation& op : trace_.operations)
        {
            switch (op.kind)
            {
            case trace::OpKind::mvm:
                graph_.dynamic(op.layer) ? check_product(op, cells) : check_mvm(op);
                break;
            case trace::OpKind::vec:
                if (graph_.role(op.layer) == compiler::Role::crossbar)
                {
                    check_accumulate(op);
                }
                else
                {
                    check_vector(op);
                }
                if (final_data(op))
                {
                    for_each_element(*op.ofm,
                                     [&](const Element& element) {
                                         ++made[{op.image, op.layer}][element];
                                     });
                }
                break;
            case trace::OpKind::load:
                check_load(op);
                break;
            case trace::OpKind::program:
                graph_.dynamic(op.layer) ? check_operand(op, cells) : check_program(op);
                break;
            default:
                EXPECT_EQ(*op.ofm, *operation(op.in[0]).ofm);
                EXPECT_EQ(op.bytes, operation(op.in[0]).bytes);
                EXPECT_EQ(op.bits, operation(op.in[0]).bits);
                break;
            }
            if (::testing::Test::HasFailure())
            {
                return;
            }
        }
        for (const auto& [key, elements] : made)
        {
            EXPECT_EQ(elements.size(), network_[key.second].output.elements());
            for (const auto& [element, times] : elements)
            {
                EXPECT_EQ(times, 1);
            }
        }
        std::uint32_t images = 0;
        for (const trace::Operation& op : trace_.operations)
        {
            images = std::max(images, op.image + 1);
        }
        std::size_t computed = 0;
        for (std::uint32_t i = 0; i < graph_.size(); ++i)
        {
            computed += graph_.role(LayerId(i)) == compiler::Role::crossbar ||
                                graph_.role(LayerId(i)) == compiler::Role::vector
                            ? images
                            : 0;
        }
        EXPECT_EQ(made.size(), computed);
        check_outputs(images);
    }

    /// Stages of the schedule follow one another, and images unless they flow; with `capacity`, no
    /// operation waits for space and nothing stays.
    void run(const Simulated& run, std::uint64_t capacity,
             const std::string& schedule = "layer-by-layer") const
    {
        ASSERT_TRUE(run.finished) << "deadlock";
        EXPECT_EQ(run.waits, 0U);
        for (const auto& [tile, bytes] : run.peak)
        {
            EXPECT_LE(bytes, capacity) << "tile " << tile.value();
        }
        for (const auto& [tile, bytes] : run.left)
        {
            EXPECT_EQ(bytes, 0U) << "tile " << tile.value();
        }
        if (std::any_of(trace_.operations.begin(), trace_.operations.end(), loads_weights))
        {
            turns(run);
            return;
        }
        const compiler::Schedule& policy = compiler::schedule(schedule);
        const auto stages = policy.stages(graph_);
        std::map<LayerId, std::size_t> stage_of;
        for (std::size_t stage = 0; stage < stages.size(); ++stage)
        {
            for (const LayerId id : stages[stage])
            {
                stage_of[id] = stage;
            }
        }
        std::map<std::size_t, std::pair<Tick, Tick>> span;
        for (const trace::Operation& op : trace_.operations)
        {
            const std::size_t image = policy.as_soon_as_possible() ? 0 : op.image;
            const std::size_t stage = image * stages.size() + stage_of.at(op.layer);
            auto& [first, last] = span.try_emplace(stage, kNever, 0).first->second;
            first = std::min(first, run.start[op.id.index()]);
            last = std::max(last, run.end[op.id.index()]);
        }
        Tick before = 0;
        for (const auto& [stage, times] : span)
        {
            EXPECT_GE(times.first, before) << "stage " << stage;
            before = times.second;
        }
    }

    /// Nothing else works while weights are written.
    void turns(const Simulated& run) const
    {
        Tick before = 0; // end of all that came before the phase that goes on
        Tick last = 0;
        bool writing = true;
        for (const trace::Operation& op : trace_.operations)
        {
            const bool writes =
                (op.kind == trace::OpKind::program && !op.tensor.valid()) || loads_weights(op);
            if (writes != writing)
            {
                before = last;
                writing = writes;
            }
            EXPECT_GE(run.start[op.id.index()], before) << "operation " << op.id.value();
            last = std::max(last, run.end[op.id.index()]);
        }
    }

private:
    [[nodiscard]] const trace::Operation& operation(OpId id) const
    {
        return trace_.operations[id.index()];
    }
    [[nodiscard]] NodeId node(const trace::Operation& op) const
    {
        return trace_.header.units[op.at.index()].node;
    }
    [[nodiscard]] bool holds(OpId datum, NodeId tile) const
    {
        const trace::Operation& made = operation(datum);
        if (made.kind == trace::OpKind::mvm || made.kind == trace::OpKind::vec)
        {
            return node(made) == tile;
        }
        return made.kind != trace::OpKind::store &&
               std::any_of(made.to.begin(), made.to.end(),
                           [tile](const trace::Destination& to) { return to.at == tile; });
    }
    /// A finished part of a layer's output, not a partial sum.
    [[nodiscard]] bool final_data(const trace::Operation& op) const
    {
        return op.kind == trace::OpKind::load ||
               (op.kind != trace::OpKind::mvm && op.bits == network_.activation_bits);
    }
    [[nodiscard]] LayerId layer_of_data(const trace::Operation& op) const
    {
        return op.kind == trace::OpKind::load ? graph_.head(LayerId(op.tensor.value())) : op.layer;
    }
    [[nodiscard]] const trace::Box& box_of_data(const trace::Operation& op) const
    {
        return op.kind == trace::OpKind::load ? *op.box : *op.ofm;
    }

    /// Where an element of a layer's output really comes from; false: padding.
    bool find(LayerId id, Element element, LayerId& layer, Element& where) const
    {
        const network::Layer& its = network_[id];
        switch (its.kind)
        {
        case network::LayerKind::concat:
        {
            const std::size_t axis = its.axis == "height" ? 0 : 2;
            for (const LayerId input : its.inputs)
            {
                const network::Shape& shape = network_[input].output;
                const std::uint32_t length = axis == 0 ? shape.height : shape.channels;
                if (element[axis] < length)
                {
                    return find(input, element, layer, where);
                }
                element[axis] -= length;
            }
            return false;
        }
        case network::LayerKind::split:
            element[2] += its.channel_begin;
            return find(its.inputs[0], element, layer, where);
        case network::LayerKind::pad:
        {
            const network::Shape& shape = network_.input_shape(its);
            element[0] -= its.padding.top; // wraps around in the padding before the map
            element[1] -= its.padding.left;
            return element[0] < shape.height && element[1] < shape.width &&
                   find(its.inputs[0], element, layer, where);
        }
        case network::LayerKind::reshape:
        {
            const network::Shape& to = its.output;
            const network::Shape& from = network_.input_shape(its);
            const std::uint32_t flat =
                (element[0] * to.width + element[1]) * to.channels + element[2];
            element = {flat / (from.width * from.channels), flat / from.channels % from.width,
                       flat % from.channels};
            return find(its.inputs[0], element, layer, where);
        }
        default:
            if (graph_.role(id) == compiler::Role::fused)
            {
                return find(its.inputs[0], element, layer, where);
            }
            layer = id;
            where = element;
            return true;
        }
    }

    void expect_operand(const trace::Operation& op, LayerId input, const Element& element) const
    {
        LayerId layer;
        Element where{};
        if (!find(input, element, layer, where))
        {
            return;
        }
        const bool there = std::any_of(op.in.begin(), op.in.end(),
                                       [&](OpId in)
                                       {
                                           const trace::Operation& datum = operation(in);
                                           return datum.image == op.image && final_data(datum) &&
                                                  layer_of_data(datum) == layer &&
                                                  inside(box_of_data(datum), where);
                                       });
        EXPECT_TRUE(there) << "operation " << op.id.value() << " of layer "
                           << network_[op.layer].name << " lacks " << network_[layer].name << " ["
                           << where[0] << "][" << where[1] << "][" << where[2] << ']';
    }

    /// Input position of a tap; false: padding.
    static bool tap(std::uint32_t made, std::uint32_t k, std::uint32_t stride,
                    std::uint32_t dilation, std::uint32_t padding, std::uint32_t limit,
                    std::uint32_t& position)
    {
        const std::int64_t at = std::int64_t{made} * stride + std::int64_t{k} * dilation - padding;
        position = static_cast<std::uint32_t>(at);
        return at >= 0 && at < limit;
    }

    void check_mvm(const trace::Operation& op) const
    {
        const trace::Block& block = trace_.header.blocks[op.block.index()];
        const network::Layer& layer = network_[op.layer];
        const network::Shape& input = network_.input_shape(layer);
        const auto& b = op.ofm->bounds;
        EXPECT_EQ(b[4], block.column_begin);
        EXPECT_EQ(b[5], block.column_end);
        EXPECT_EQ(op.n, (b[1] - b[0]) * (b[3] - b[2]));
        for (std::uint32_t r = b[0]; r < b[1]; ++r)
        {
            for (std::uint32_t c = b[2]; c < b[3]; ++c)
            {
                for (std::uint32_t row = block.row_begin; row < block.row_end; ++row)
                {
                    const std::uint32_t per_group = input.channels / layer.groups;
                    const std::uint32_t position =
                        row / per_group % (layer.kernel_height * layer.kernel_width);
                    const std::uint32_t group =
                        row / per_group / (layer.kernel_height * layer.kernel_width);
                    Element element{0, 0, group * per_group + row % per_group};
                    if (tap(r, position / layer.kernel_width, layer.stride_height,
                            layer.dilation_height, layer.padding.top, input.height, element[0]) &&
                        tap(c, position % layer.kernel_width, layer.stride_width,
                            layer.dilation_width, layer.padding.left, input.width, element[1]))
                    {
                        expect_operand(op, layer.inputs[0], element);
                    }
                }
            }
        }
    }

    /// What of which image's feature maps the cells of macros hold, by unit, row and column.
    using Cells = std::map<std::tuple<UnitId, std::uint32_t, std::uint32_t>,
                           std::tuple<std::uint32_t, LayerId, Element>>;

    /// Where element `i` of head `head` is in an operand of a product of feature maps.
    static Element of_head(const network::Shape& operand, std::uint32_t heads, std::uint32_t row,
                           std::uint32_t head, std::uint32_t i)
    {
        return operand.width == heads ? Element{row, head, i}
                                      : Element{row, 0, head * (operand.channels / heads) + i};
    }

    /// Rows of a product's matrix for one head.
    [[nodiscard]] std::uint32_t common(const network::Layer& layer) const
    {
        const network::Shape& first = network_.input_shape(layer);
        return first.width * first.channels / layer.heads;
    }

    void check_operand(const trace::Operation& op, Cells& cells) const
    {
        const trace::Block& block = trace_.header.blocks[op.block.index()];
        const network::Layer& layer = network_[op.layer];
        const network::Shape& second = network_.input_shape(layer, 1);
        ASSERT_TRUE(op.box.has_value());
        EXPECT_EQ(op.tensor.value(), layer.inputs[1].value());
        const std::uint32_t depth = second.width * second.channels / layer.heads;
        std::set<std::uint32_t> rows;
        for_each_element(*op.box,
                         [&](const Element& element)
                         {
                             expect_operand(op, layer.inputs[1], element);
                             const bool apart = second.width == layer.heads;
                             const std::uint32_t head = apart ? element[1] : element[2] / depth;
                             const std::uint32_t i =
                                 head * depth + (apart ? element[2] : element[2] % depth);
                             const std::uint32_t j = head * second.height + element[0];
                             const std::uint32_t row = layer.transpose_second ? i : j;
                             const std::uint32_t column = layer.transpose_second ? j : i;
                             ASSERT_TRUE(row >= block.row_begin && row < block.row_end &&
                                         column >= block.column_begin && column < block.column_end);
                             rows.insert(row);
                             cells[{op.at, block.row_at + row - block.row_begin,
                                    block.column_at + column - block.column_begin}] = {
                                 op.image, layer.inputs[1], element};
                         });
        EXPECT_EQ(op.n, rows.size());
    }

    void check_product(const trace::Operation& op, const Cells& cells) const
    {
        const trace::Block& block = trace_.header.blocks[op.block.index()];
        const network::Layer& layer = network_[op.layer];
        const network::Shape& second = network_.input_shape(layer, 1);
        const auto& b = op.ofm->bounds;
        EXPECT_EQ(op.n, b[1] - b[0]);
        const std::uint32_t inner = common(layer);
        for_each_element(
            *op.ofm,
            [&](const Element& made)
            {
                const std::uint32_t columns =
                    layer.output.channels / (layer.transpose_second ? 1 : layer.heads);
                const std::uint32_t head = layer.transpose_second ? made[1] : made[2] / columns;
                const std::uint32_t c = made[2] % columns;
                const std::uint32_t column = head * columns + c;
                for (std::uint32_t row = block.row_begin; row < block.row_end; ++row)
                {
                    ASSERT_EQ(row / inner, head);
                    const std::uint32_t k = row % inner;
                    expect_operand(
                        op, layer.inputs[0],
                        of_head(network_.input_shape(layer), layer.heads, made[0], head, k));
                    const Element wanted = layer.transpose_second
                                               ? of_head(second, layer.heads, c, head, k)
                                               : of_head(second, layer.heads, k, head, c);
                    const auto found = cells.find({op.at, block.row_at + row - block.row_begin,
                                                   block.column_at + column - block.column_begin});
                    ASSERT_NE(found, cells.end());
                    EXPECT_EQ(found->second, std::tuple(op.image, layer.inputs[1], wanted));
                }
            });
    }

    void check_accumulate(const trace::Operation& op) const
    {
        // The blocks whose results reach this sum.
        std::vector<const trace::Block*> blocks;
        std::vector<OpId> open = op.in;
        while (!open.empty())
        {
            const trace::Operation& part = operation(open.back());
            open.pop_back();
            EXPECT_EQ(*part.ofm, *op.ofm);
            if (part.kind == trace::OpKind::mvm)
            {
                blocks.push_back(&trace_.header.blocks[part.block.index()]);
            }
            else
            {
                open.insert(open.end(), part.in.begin(), part.in.end());
            }
        }
        if (!final_data(op))
        {
            return;
        }
        std::sort(blocks.begin(), blocks.end(),
                  [](const auto* a, const auto* b) { return a->row_begin < b->row_begin; });
        const network::Layer& layer = network_[op.layer];
        if (graph_.dynamic(op.layer))
        {
            check_head(op, blocks);
            return;
        }
        const std::uint32_t columns = layer.output.channels / layer.groups; // of a group
        const std::uint32_t group_rows = layer.kernel_height * layer.kernel_width *
                                         network_.input_shape(layer).channels / layer.groups;
        std::uint32_t rows = op.ofm->bounds[4] / columns * group_rows;
        for (const trace::Block* block : blocks)
        {
            EXPECT_EQ(block->layer, op.layer);
            EXPECT_EQ(block->row_begin, rows);
            EXPECT_EQ(block->column_begin, op.ofm->bounds[4]);
            EXPECT_EQ(block->column_end, op.ofm->bounds[5]);
            rows = block->row_end;
        }
        EXPECT_EQ(rows, ((op.ofm->bounds[5] - 1) / columns + 1) * group_rows);
    }

    /// The sum is made of all rows of its head.
    void check_head(const trace::Operation& op,
                    const std::vector<const trace::Block*>& blocks) const
    {
        const network::Layer& layer = network_[op.layer];
        const auto& b = op.ofm->bounds;
        const std::uint32_t columns =
            layer.output.channels / (layer.transpose_second ? 1 : layer.heads);
        const std::uint32_t head = layer.transpose_second ? b[2] : b[4] / columns;
        const std::uint32_t before = layer.transpose_second ? head * columns : 0;
        std::uint32_t row = head * common(layer);
        for (const trace::Block* block : blocks)
        {
            EXPECT_EQ(block->row_begin, row);
            EXPECT_EQ(block->column_begin, before + b[4]);
            EXPECT_EQ(block->column_end, before + b[5]);
            row = block->row_end;
        }
        EXPECT_EQ(row, (head + 1) * common(layer));
    }

    void check_vector(const trace::Operation& op) const
    {
        using network::LayerKind;
        const network::Layer& layer = network_[op.layer];
        const auto whole = [&](std::size_t k, const std::array<bool, 3>& same, const Element& made)
        {
            const network::Shape& shape = network_.input_shape(layer, k);
            trace::Box box{{0, shape.height, 0, shape.width, 0, shape.channels}};
            const std::array<std::uint32_t, 3> extent{shape.height, shape.width, shape.channels};
            for (std::size_t axis = 0; axis < 3; ++axis)
            {
                if (same[axis] && extent[axis] > 1)
                {
                    box.bounds[2 * axis] = made[axis];
                    box.bounds[2 * axis + 1] = made[axis] + 1;
                }
            }
            for_each_element(box, [&](const Element& element)
                             { expect_operand(op, layer.inputs[k], element); });
        };
        for_each_element(
            *op.ofm,
            [&](const Element& made)
            {
                for (std::size_t k = 0; k < layer.inputs.size(); ++k)
                {
                    const network::Shape& input = network_.input_shape(layer, k);
                    switch (layer.kind)
                    {
                    case LayerKind::max_pool:
                    case LayerKind::average_pool:
                    case LayerKind::conv2d:
                        check_window(op, layer, input, made);
                        break;
                    case LayerKind::upsample:
                        expect_operand(op, layer.inputs[k],
                                       {made[0] / layer.scale, made[1] / layer.scale, made[2]});
                        break;
                    case LayerKind::transpose:
                    {
                        Element element = made;
                        layer.axis == "height,width"      ? std::swap(element[0], element[1])
                        : layer.axis == "height,channels" ? std::swap(element[0], element[2])
                                                          : std::swap(element[1], element[2]);
                        expect_operand(op, layer.inputs[k], element);
                        break;
                    }
                    case LayerKind::global_average_pool:
                        whole(k, {false, false, true}, made);
                        break;
                    case LayerKind::matmul:
                        whole(k, {k == 0, false, false}, made);
                        break;
                    case LayerKind::softmax:
                        layer.axis == "height" ? whole(k, {false, true, true}, made)
                                               : whole(k, {true, true, false}, made);
                        break;
                    case LayerKind::layer_norm:
                    case LayerKind::dense:
                    case LayerKind::embedding:
                        whole(k, {true, true, false}, made);
                        break;
                    default:
                        whole(k, {true, true, true}, made);
                        break;
                    }
                }
            });
    }

    void check_window(const trace::Operation& op, const network::Layer& layer,
                      const network::Shape& input, const Element& made) const
    {
        const bool pool = layer.kind != network::LayerKind::conv2d;
        const std::uint32_t per_group = pool ? 1 : input.channels / layer.groups;
        const std::uint32_t group =
            pool ? made[2] : made[2] / (layer.output.channels / layer.groups);
        for (std::uint32_t ky = 0; ky < layer.kernel_height; ++ky)
        {
            for (std::uint32_t kx = 0; kx < layer.kernel_width; ++kx)
            {
                for (std::uint32_t c = 0; c < per_group; ++c)
                {
                    Element element{0, 0, group * per_group + c};
                    if (tap(made[0], ky, layer.stride_height, layer.dilation_height,
                            layer.padding.top, input.height, element[0]) &&
                        tap(made[1], kx, layer.stride_width, layer.dilation_width,
                            layer.padding.left, input.width, element[1]))
                    {
                        expect_operand(op, layer.inputs[0], element);
                    }
                }
            }
        }
    }

    [[nodiscard]] static bool loads_weights(const trace::Operation& op)
    {
        return op.kind == trace::OpKind::load && !op.tensor.valid();
    }

    void check_program(const trace::Operation& op) const
    {
        const trace::Block& block = trace_.header.blocks[op.block.index()];
        ASSERT_EQ(op.in.size(), 1U);
        const trace::Operation& weights = operation(op.in[0]);
        EXPECT_TRUE(loads_weights(weights));
        EXPECT_EQ(weights.layer, op.layer);
        EXPECT_EQ(
            weights.bytes,
            op.n / block.replicas *
                (((block.column_end - block.column_begin) * chip_.macro.weight_bits + 7) / 8));
    }

    void check_load(const trace::Operation& op) const
    {
        if (loads_weights(op))
        {
            return;
        }
        const LayerId layer = layer_of_data(op);
        EXPECT_EQ(op.bytes, (volume(*op.box) * op.bits + 7) / 8);
        if (graph_.role(layer) == compiler::Role::memory)
        {
            return;
        }
        const bool stored = std::any_of(op.after.begin(), op.after.end(),
                                        [&](OpId id)
                                        {
                                            const trace::Operation& before = operation(id);
                                            return before.kind == trace::OpKind::store &&
                                                   before.tensor == op.tensor &&
                                                   before.image == op.image &&
                                                   *before.box == *op.box;
                                        });
        EXPECT_TRUE(stored) << "operation " << op.id.value() << " loads what was not stored";
    }

    void check_outputs(std::uint32_t images) const
    {
        std::map<std::pair<std::uint32_t, LayerId>, std::set<Element>> stored;
        for (const trace::Operation& op : trace_.operations)
        {
            if (op.kind == trace::OpKind::store)
            {
                for_each_element(*op.box,
                                 [&](const Element& element) {
                                     stored[{op.image, op.layer}].insert(element);
                                 });
            }
        }
        for (const LayerId output : network_.outputs)
        {
            const network::Shape& shape = network_[output].output;
            const trace::Box all{{0, shape.height, 0, shape.width, 0, shape.channels}};
            for_each_element(all,
                             [&](const Element& element)
                             {
                                 LayerId layer;
                                 Element where{};
                                 if (!find(output, element, layer, where) ||
                                     graph_.role(layer) == compiler::Role::memory)
                                 {
                                     return;
                                 }
                                 for (std::uint32_t image = 0; image < images; ++image)
                                 {
                                     EXPECT_EQ((stored[{image, layer}].count(where)), 1U);
                                 }
                             });
        }
    }

    const trace::Trace& trace_;
    const network::Network& network_;
    const config::ChipConfig& chip_;
    compiler::Graph graph_;
};

} // namespace tessera::test
