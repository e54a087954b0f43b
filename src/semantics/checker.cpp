// SPDX-License-Identifier: Apache-2.0
#include "semantics/checker.h"

#include "base/integer.h"
#include "tessera/error.h"
#include "trace/reader.h"

#include <algorithm>
#include <fmt/format.h>
#include <optional>
#include <string_view>

namespace tessera::semantics
{
namespace
{

using network::Layer;
using network::LayerKind;
using network::Shape;
using trace::Box;
using trace::Malformed;
using trace::Operation;
using trace::OpKind;

bool contains(const Box& outer, const Box& inner)
{
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
        if (inner.bounds[2 * axis] < outer.bounds[2 * axis] ||
            inner.bounds[2 * axis + 1] > outer.bounds[2 * axis + 1])
        {
            return false;
        }
    }
    return true;
}

std::uint64_t elements(const Box& box)
{
    const auto& b = box.bounds;
    return std::uint64_t{b[1] - b[0]} * (b[3] - b[2]) * (b[5] - b[4]);
}

Box whole(const Shape& shape)
{
    return {{0, shape.height, 0, shape.width, 0, shape.channels}};
}

std::string text_of(const Box& box)
{
    return fmt::format("[{}]", fmt::join(box.bounds, ","));
}

/// Adds rows to those of a partial sum. The first row that is in both.
std::optional<std::uint32_t> add_rows(Stretches& rows, const Stretches& more)
{
    Stretches all = rows;
    all.insert(all.end(), more.begin(), more.end());
    std::sort(all.begin(), all.end(),
              [](const Stretch& a, const Stretch& b) { return a.begin < b.begin; });
    rows.clear();
    for (const Stretch& stretch : all)
    {
        if (!rows.empty() && stretch.begin < rows.back().end)
        {
            return stretch.begin;
        }
        if (!rows.empty() && stretch.begin == rows.back().end)
        {
            rows.back().end = stretch.end;
        }
        else
        {
            rows.push_back(stretch);
        }
    }
    return std::nullopt;
}

bool equal(const Stretches& a, const Stretches& b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Stretch& x, const Stretch& y)
                      { return x.begin == y.begin && x.end == y.end; });
}

} // namespace

nlohmann::ordered_json Report::json() const
{
    return {{"network", network}, {"images", images}, {"layers", layers},
            {"regions", regions}, {"loads", loads},   {"left_out", left_out}};
}

std::string Report::text() const
{
    std::string text =
        fmt::format("computes {} ({} layers, {} image{}): {} regions of feature maps are needed, "
                    "all are read\n",
                    trace::shown(network), layers, images, images == 1 ? "" : "s", regions);
    if (loads != 0)
    {
        text += fmt::format("{} loads of stored data, each after its stores\n", loads);
    }
    if (left_out != 0)
    {
        text += fmt::format("{} elements are not made; nothing needs them\n", left_out);
    }
    return text;
}

Checker::Checker(const trace::Header& header, const network::Network& network)
    : header_(header),
      network_(network),
      naming_(header, network, effort_),
      order_(header.units.size())
{
    for (std::uint32_t i = 0; i < header.blocks.size(); ++i)
    {
        const trace::Block& block = header.blocks[i];
        if (network_[naming_.layers[block.layer.index()]].kind == LayerKind::matmul)
        {
            dynamic_[block.at].emplace_back(i);
        }
    }
    report_.network = network.name;
}

std::string Checker::text_of(const Operation& operation) const
{
    return fmt::format("operation {} ({}{} at {})", operation.id.value(), name_of(operation.kind),
                       operation.layer.valid()
                           ? " of layer " +
                                 trace::shown(header_.layers[operation.layer.index()].name)
                           : "",
                       header_.units[operation.at.index()].name(header_.tiles));
}

const Checker::Content& Checker::operand(const Operation& operation, std::size_t i) const
{
    const auto pointer = [i] { return "/in/" + std::to_string(i); };
    const auto found = data_.find(operation.in[i]);
    if (found == data_.end())
    {
        throw Malformed{
            pointer(),
            fmt::format("operation {} has no result that is still alive", operation.in[i].value()),
            "name an earlier operation, and count this use there"};
    }
    const Content& content = found->second.content;
    if (content.image != operation.image)
    {
        throw Malformed{pointer(),
                        fmt::format("{} works on image {}, its operand belongs to image {}",
                                    text_of(operation), operation.image, content.image),
                        "read the data of the same image"};
    }
    return content;
}

std::uint8_t Checker::bits_of(LayerId layer) const
{
    return naming_.bits[layer.index()];
}

/// `ofm` of an operation that computes.
Box Checker::made_by(const Operation& operation, LayerId layer) const
{
    if (!operation.ofm)
    {
        throw Malformed{"/ofm", text_of(operation) + " does not say which elements it makes",
                        "give `ofm` (and `layer` or `block`), or check the trace without "
                        "--semantic"};
    }
    const Box& box = *operation.ofm;
    if (elements(box) == 0 || !contains(whole(network_[layer].output), box))
    {
        const Shape& shape = network_[layer].output;
        throw Malformed{"/ofm",
                        fmt::format("{} makes {} of an output of {} x {} x {}", text_of(operation),
                                    semantics::text_of(box), shape.height, shape.width,
                                    shape.channels),
                        "give half-open rows, columns and channels inside the layer's output, "
                        "none of them empty"};
    }
    return box;
}

void Checker::check_size(const Operation& operation, const Content& content) const
{
    if (operation.bits == 0 || !content.tensor.valid())
    {
        return;
    }
    const std::uint8_t bits = bits_of(content.tensor);
    if (!content.sum_of.valid() && bits != 0 && operation.bits != bits)
    {
        throw Malformed{"/bits",
                        fmt::format("{} has elements of {} bits, but its tensor has {}",
                                    text_of(operation), operation.bits, bits),
                        "give the tensor's width; partial sums are wider, and are added up by a "
                        "vec of the tensor's width"};
    }
    const std::uint64_t needed = ceil_div(elements(content.box) * operation.bits, 8);
    if (operation.bytes < needed)
    {
        throw Malformed{"/bytes",
                        fmt::format("{} holds {} elements of {} bits, which take {} bytes, not {}",
                                    text_of(operation), elements(content.box), operation.bits,
                                    needed, operation.bytes),
                        "give the size of the result"};
    }
}

/// Every needed element must be in an operand.
void Checker::find_needs(const Operation& operation, LayerId layer, std::vector<Need>& needs)
{
    std::map<LayerId, std::vector<const Box*>> boxes;
    for (std::size_t i = 0; i < operation.in.size(); ++i)
    {
        const Content& content = operand(operation, i);
        if (content.tensor.valid() && !content.sum_of.valid())
        {
            boxes[content.tensor].push_back(&content.box);
        }
    }
    while (!needs.empty())
    {
        const Need need = std::move(needs.back());
        needs.pop_back();
        const auto found = boxes.find(need.tensor);
        const Layer& source = network_[need.tensor];
        if (found == boxes.end() && renames(source.kind))
        {
            append_renamed(network_, need, effort_, needs);
            continue;
        }
        static const std::vector<const Box*> kNothing;
        const auto missing =
            uncovered(need, found == boxes.end() ? kNothing : found->second, effort_);
        if (missing)
        {
            throw Malformed{
                "/in",
                fmt::format("{} lacks [{},{},{}] (row, column, channel) of layer {}, which it "
                            "needs to make {} of layer {}",
                            text_of(operation), (*missing)[0], (*missing)[1], (*missing)[2],
                            trace::shown(source.name), semantics::text_of(*operation.ofm),
                            trace::shown(network_[layer].name)),
                "add the operation that makes or brings it to `in`, and count this use there"};
        }
        ++regions_;
    }
}

/// Rows of the weight matrix whose products are in a finished sum.
void Checker::check_rows(const Operation& operation, LayerId layer, const Stretches& rows,
                         const Box& box) const
{
    const Layer& its = network_[layer];
    const Stretch needed = rows_summed(layer, box);
    const auto check_gap = [&](std::uint64_t begin, std::uint64_t end)
    {
        const std::uint64_t row = std::max<std::uint64_t>(begin, needed.begin);
        if (row < std::min<std::uint64_t>(end, needed.end))
        {
            throw Malformed{
                "/in",
                fmt::format("{} lacks row {} of the weight matrix of layer {} in the sums {}",
                            text_of(operation), row, trace::shown(its.name),
                            semantics::text_of(box)),
                "add the mvm of the block with that row, or what brings its result, to `in`"};
        }
    };
    std::uint64_t next = 0;
    for (const Stretch& stretch : rows)
    {
        check_gap(next, stretch.begin);
        next = stretch.end;
    }
    check_gap(next, needed.end);
}

/// Rows of a layer's weight matrix that add up to elements of its output.
Stretch Checker::rows_summed(LayerId layer, const Box& made) const
{
    const Layer& its = network_[layer];
    if (its.kind == LayerKind::matmul)
    {
        // Every partial sum belongs to one head. What has several is in none: rows will be lacking.
        const HeadMatrix matrix = head_matrix(network_, its);
        const std::uint32_t head =
            its.transpose_second ? made.bounds[2] : made.bounds[4] / matrix.columns;
        return {head * matrix.rows, (head + 1) * matrix.rows};
    }
    const std::uint32_t positions = its.kernel_height * its.kernel_width;
    const Stretch read = input_channels_of(network_, its, {made.bounds[4], made.bounds[5]});
    return {read.begin * positions, read.end * positions};
}

Checker::Content Checker::product(const Operation& operation)
{
    if (!operation.block.valid())
    {
        throw Malformed{"/block", text_of(operation) + " does not say which weights it uses",
                        "give `block`, or check the trace without --semantic"};
    }
    const trace::Block& block = header_.blocks[operation.block.index()];
    const LayerId layer = naming_.layers[block.layer.index()];
    const Layer& its = network_[layer];
    if (its.kind == LayerKind::matmul)
    {
        return product_of_maps(operation, layer);
    }
    if (its.kind != LayerKind::conv2d && its.kind != LayerKind::dense)
    {
        throw Malformed{"/block",
                        fmt::format("{} uses weights of a layer of kind {}", text_of(operation),
                                    name_of(its.kind)),
                        "only products with the weights of conv2d and dense layers, and those of "
                        "matmul layers, can be checked"};
    }
    const Box box = made_by(operation, layer);
    if (box.bounds[4] < block.column_begin || box.bounds[5] > block.column_end)
    {
        throw Malformed{"/ofm",
                        fmt::format("{} makes channels {} to {}, its block has columns {} to {}",
                                    text_of(operation), box.bounds[4], box.bounds[5],
                                    block.column_begin, block.column_end),
                        "make channels of the block's columns"};
    }
    const std::uint64_t all =
        std::uint64_t{its.kernel_height} * its.kernel_width * network_.input_shape(its).channels;
    if (block.row_begin >= block.row_end || block.row_end > all)
    {
        throw Malformed{"/block",
                        fmt::format("{} uses rows {} to {} of a weight matrix of {} rows",
                                    text_of(operation), block.row_begin, block.row_end, all),
                        "correct the block in the header's placement.blocks"};
    }
    const std::uint64_t pixels = elements(box) / (box.bounds[5] - box.bounds[4]);
    if (operation.n != pixels)
    {
        throw Malformed{"/n",
                        fmt::format("{} takes {} input vectors for {} pixels", text_of(operation),
                                    operation.n, pixels),
                        "give one input vector for each pixel of `ofm`"};
    }
    std::vector<Need> needs;
    append_block_needs(network_, layer, {block.row_begin, block.row_end}, box, effort_, needs);
    find_needs(operation, layer, needs);
    Content result{naming_.outputs[layer.index()],
                   layer,
                   {{block.row_begin, block.row_end}},
                   box,
                   operation.image};
    if (operation.bits != 0 && operation.bits == bits_of(result.tensor))
    {
        check_rows(operation, layer, result.rows, box);
        result.sum_of = LayerId::none();
        result.rows.clear();
    }
    return result;
}

/// An mvm with the part of a matmul's second operand that its macro holds.
Checker::Content Checker::product_of_maps(const Operation& operation, LayerId layer)
{
    const trace::Block& block = header_.blocks[operation.block.index()];
    const HeadMatrix matrix = head_matrix(network_, network_[layer]);
    const Stretch rows{block.row_begin, block.row_end};
    const std::uint32_t head = block.row_begin / matrix.rows;
    const bool in_head =
        rows.begin < rows.end && head < matrix.heads && (rows.end - 1) / matrix.rows == head &&
        block.column_begin < block.column_end && block.column_begin / matrix.columns == head &&
        (block.column_end - 1) / matrix.columns == head;
    if (!in_head)
    {
        throw Malformed{"/block",
                        fmt::format("{} uses rows {} to {} and columns {} to {} of the matrices of "
                                    "{} heads, of {} x {} each",
                                    text_of(operation), rows.begin, rows.end, block.column_begin,
                                    block.column_end, matrix.heads, matrix.rows, matrix.columns),
                        "let a block hold a part of one head"};
    }
    const Box box = made_by(operation, layer);
    const auto columns = columns_of_head(network_, layer, box);
    if (!columns || columns->begin < block.column_begin || columns->end > block.column_end)
    {
        throw Malformed{"/ofm",
                        fmt::format("{} makes {}, its block has columns {} to {} of the matrix of "
                                    "head {}",
                                    text_of(operation), semantics::text_of(box), block.column_begin,
                                    block.column_end, head),
                        "make what the block's columns are"};
    }
    const Stretch made{box.bounds[0], box.bounds[1]};
    if (operation.n != made.size())
    {
        throw Malformed{"/n",
                        fmt::format("{} takes {} input vectors for {} rows", text_of(operation),
                                    operation.n, made.size()),
                        "give one input vector for each row of `ofm`"};
    }
    std::vector<Need> needs{first_operand(network_, layer, rows, made)};
    find_needs(operation, layer, needs);
    const Need held = second_operand(network_, layer, rows, *columns);
    const Written& written = written_[operation.block];
    std::vector<const Box*> boxes;
    if (written.image == operation.image)
    {
        for (const Box& its : written.boxes)
        {
            boxes.push_back(&its);
        }
    }
    if (const auto missing = uncovered(held, boxes, effort_))
    {
        throw Malformed{
            "/block",
            fmt::format("{} multiplies with [{},{},{}] (row, column, channel) of layer {}, which "
                        "is not in its macro",
                        text_of(operation), (*missing)[0], (*missing)[1], (*missing)[2],
                        trace::shown(network_[held.tensor].name)),
            "write it before, on the same macro: a program with `block`, `tensor` and `box`"};
    }
    Content result{naming_.outputs[layer.index()], layer, {rows}, box, operation.image};
    if (operation.bits != 0 && operation.bits == bits_of(result.tensor))
    {
        check_rows(operation, layer, result.rows, box);
        result.sum_of = LayerId::none();
        result.rows.clear();
    }
    return result;
}

/// Weights are not followed; what is written of a feature map must be in the operands.
void Checker::check_program(const Operation& operation)
{
    if (!operation.block.valid())
    {
        return;
    }
    const LayerId layer = naming_.layers[header_.blocks[operation.block.index()].layer.index()];
    if (network_[layer].kind != LayerKind::matmul)
    {
        return;
    }
    const LayerId second = network_[layer].inputs[1];
    const LayerId tensor =
        operation.tensor.valid() ? naming_.tensors[operation.tensor.index()] : LayerId::none();
    if (!operation.box || elements(*operation.box) == 0 || tensor != second)
    {
        throw Malformed{"/tensor",
                        fmt::format("{} does not say what it writes of layer {}",
                                    text_of(operation), trace::shown(network_[second].name)),
                        "give `tensor` and `box`, the part of the second operand, or check the "
                        "trace without --semantic"};
    }
    const std::uint64_t rows = rows_filled(network_, layer, *operation.box);
    if (operation.n != rows)
    {
        throw Malformed{"/n",
                        fmt::format("{} writes {} rows, {} fills {}", text_of(operation),
                                    operation.n, semantics::text_of(*operation.box), rows),
                        "count the rows of the macro that change"};
    }
    std::vector<Need> needs{need_of(tensor, *operation.box)};
    find_needs(operation, layer, needs);
}

/// What a checked program leaves behind. What another block of the macro has in the same cells is
/// gone; everything, if nothing is said of the cells.
void Checker::write(const Operation& operation)
{
    const auto others = dynamic_.find(operation.at);
    for (std::size_t i = 0; others != dynamic_.end() && i < others->second.size(); ++i)
    {
        const BlockId other = others->second[i];
        const bool replaced =
            !operation.block.valid() ||
            trace::overlap(header_.blocks[operation.block.index()], header_.blocks[other.index()]);
        if (other != operation.block && replaced)
        {
            written_.erase(other);
        }
    }
    if (!operation.block.valid() || !operation.box)
    {
        return;
    }
    Written& its = written_[operation.block];
    if (its.image != operation.image)
    {
        its = {operation.image, {}};
    }
    its.boxes.push_back(*operation.box);
}

/// A vec that adds up partial sums of `layer`.
Checker::Content Checker::sum(const Operation& operation, LayerId layer)
{
    LayerId made = layer;
    if (operation.layer.valid())
    {
        made = naming_.layers[operation.layer.index()];
        LayerId from = made;
        while (from != layer && elementwise(network_[from].kind))
        {
            effort_.spend(1);
            from = network_[from].inputs[0];
        }
        if (from != layer)
        {
            throw Malformed{"/in",
                            fmt::format("{} reads partial sums of layer {}", text_of(operation),
                                        trace::shown(network_[layer].name)),
                            "only the layer itself, or one that works on it element by element, "
                            "can finish them"};
        }
    }
    const LayerKind kind = network_[layer].kind;
    if (kind != LayerKind::conv2d && kind != LayerKind::dense && kind != LayerKind::matmul)
    {
        throw Malformed{"/fn",
                        text_of(operation) + " adds up partial sums, but its layer has no weights",
                        "give the layer's function"};
    }
    const Box box = made_by(operation, layer);
    std::array<std::vector<std::uint32_t>, 3> bounds;
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
        bounds[axis] = {box.bounds[2 * axis], box.bounds[2 * axis + 1]};
    }
    for (std::size_t i = 0; i < operation.in.size(); ++i)
    {
        const Content& part = operand(operation, i);
        if (part.sum_of != layer)
        {
            throw Malformed{"/in/" + std::to_string(i),
                            fmt::format("{} adds something else to partial sums of layer {}",
                                        text_of(operation), trace::shown(network_[layer].name)),
                            "finish the sums first, then let another vec go on"};
        }
        for (std::size_t axis = 0; axis < 3; ++axis)
        {
            for (const std::uint32_t bound :
                 {part.box.bounds[2 * axis], part.box.bounds[2 * axis + 1]})
            {
                if (bound > box.bounds[2 * axis] && bound < box.bounds[2 * axis + 1])
                {
                    bounds[axis].push_back(bound);
                }
            }
        }
    }
    for (auto& its : bounds)
    {
        std::sort(its.begin(), its.end());
        its.erase(std::unique(its.begin(), its.end()), its.end());
    }
    const std::uint8_t bits = bits_of(naming_.outputs[made.index()]);
    const bool finished = operation.bits == 0 || bits == 0 || operation.bits == bits;
    Content result{naming_.outputs[made.index()],
                   finished ? LayerId::none() : layer,
                   {},
                   box,
                   operation.image};
    bool first = true;
    for (std::size_t r = 0; r + 1 < bounds[0].size(); ++r)
    {
        for (std::size_t c = 0; c + 1 < bounds[1].size(); ++c)
        {
            for (std::size_t k = 0; k + 1 < bounds[2].size(); ++k)
            {
                const Box cell{{bounds[0][r], bounds[0][r + 1], bounds[1][c], bounds[1][c + 1],
                                bounds[2][k], bounds[2][k + 1]}};
                Stretches rows;
                for (std::size_t i = 0; i < operation.in.size(); ++i)
                {
                    const Content& part = operand(operation, i);
                    effort_.spend(1 + part.rows.size() + rows.size());
                    if (!contains(part.box, cell))
                    {
                        continue;
                    }
                    if (const auto twice = add_rows(rows, part.rows))
                    {
                        throw Malformed{
                            "/in/" + std::to_string(i),
                            fmt::format("{} adds the products of row {} of the weight matrix of "
                                        "layer {} twice",
                                        text_of(operation), *twice,
                                        trace::shown(network_[layer].name)),
                            "name every partial sum once"};
                    }
                }
                if (finished)
                {
                    check_rows(operation, layer, rows, cell);
                }
                else if (rows.empty() || (!first && !equal(rows, result.rows)))
                {
                    throw Malformed{"/in",
                                    fmt::format("{} lacks rows of the weight matrix in the sums "
                                                "{} that the rest of them has",
                                                text_of(operation), semantics::text_of(cell)),
                                    "add up parts of the output with different rows apart"};
                }
                else
                {
                    result.rows = std::move(rows);
                }
                first = false;
            }
        }
    }
    return result;
}

void Checker::check_function(const Operation& operation, LayerId layer) const
{
    const std::string expected = network::function_name(network_[layer]);
    const char* given = trace::functions()[operation.function].name;
    if (expected != given)
    {
        throw Malformed{
            "/fn",
            fmt::format("{} computes {}, its layer is {}", text_of(operation), given, expected),
            "give the layer's function"};
    }
}

/// A vec that computes a layer from finished data.
Checker::Content Checker::function(const Operation& operation, LayerId layer)
{
    const Box box = made_by(operation, layer);
    const std::string given = trace::functions()[operation.function].name;
    const LayerId tensor = naming_.outputs[layer.index()];
    std::vector<Need> needs;
    if (given == "copy" || given == "requantize")
    {
        needs.push_back(need_of(tensor, box));
    }
    else
    {
        check_function(operation, layer);
        for (std::size_t k = 0; k < network_[layer].inputs.size(); ++k)
        {
            append_operand_needs(network_, layer, k, box, effort_, needs);
        }
    }
    find_needs(operation, layer, needs);
    return {tensor, LayerId::none(), {}, box, operation.image};
}

/// What a move or store takes along.
Checker::Content Checker::carried(const Operation& operation) const
{
    Content content = operand(operation, 0);
    if (content.tensor.valid() && operation.ofm)
    {
        if (elements(*operation.ofm) == 0 || !contains(content.box, *operation.ofm))
        {
            throw Malformed{"/ofm",
                            fmt::format("{} carries {}, its operand has only {} of layer {}",
                                        text_of(operation), semantics::text_of(*operation.ofm),
                                        semantics::text_of(content.box),
                                        trace::shown(network_[content.tensor].name)),
                            "name the operand that has it"};
        }
        content.box = *operation.ofm;
    }
    return content;
}

void Checker::check_store(const Operation& operation) const
{
    const Content content = carried(operation);
    if (!content.tensor.valid())
    {
        return;
    }
    if (!operation.box)
    {
        throw Malformed{"/box", text_of(operation) + " does not say what it stores",
                        "give `tensor` and `box`, or check the trace without --semantic"};
    }
    const LayerId tensor = naming_.tensors[operation.tensor.index()];
    if (content.sum_of.valid() || tensor != content.tensor ||
        !contains(content.box, *operation.box))
    {
        throw Malformed{"/in/0",
                        fmt::format("{} stores {} of tensor {}, its operand has {}{} of {}",
                                    text_of(operation), semantics::text_of(*operation.box),
                                    trace::shown(header_.tensors[operation.tensor.index()].name),
                                    content.sum_of.valid() ? "partial sums of " : "",
                                    semantics::text_of(content.box),
                                    trace::shown(network_[content.tensor].name)),
                        "store what the operand holds"};
    }
}

Checker::Content Checker::loaded(const Operation& operation)
{
    const LayerId tensor =
        operation.tensor.valid() ? naming_.tensors[operation.tensor.index()] : LayerId::none();
    Content content{tensor, LayerId::none(), {}, {}, operation.image};
    if (!tensor.valid())
    {
        return content; // weights, say
    }
    if (!operation.box || elements(*operation.box) == 0)
    {
        throw Malformed{"/box", text_of(operation) + " does not say what it loads",
                        "give `box`, or check the trace without --semantic"};
    }
    content.box = *operation.box;
    if (network_[tensor].kind == LayerKind::input)
    {
        return content;
    }
    const auto found = stores_.find({operation.image, tensor});
    static const Stores kNothing;
    const Stores& stores = found == stores_.end() ? kNothing : found->second;
    std::vector<const Box*> boxes;
    effort_.spend(stores.size());
    for (const Stored& store : stores)
    {
        if (std::find(operation.after.begin(), operation.after.end(), store.by) !=
            operation.after.end())
        {
            boxes.push_back(&store.box);
        }
    }
    const Need need = need_of(tensor, content.box);
    while (const auto missing = uncovered(need, boxes, effort_))
    {
        // Other stores count if order edges of other operations make the load wait for them.
        const auto [row, column, channel] = *missing;
        const Box wanted{{row, row + 1, column, column + 1, channel, channel + 1}};
        OpId writer;
        const auto store = std::find_if(stores.begin(), stores.end(),
                                        [&](const Stored& its)
                                        {
                                            effort_.spend(1);
                                            if (!contains(its.box, wanted))
                                            {
                                                return false;
                                            }
                                            writer = its.by;
                                            return order_.waits(operation, its.by, effort_);
                                        });
        if (store == stores.end())
        {
            throw Malformed{
                "/after",
                fmt::format("{} loads [{},{},{}] (row, column, channel) of layer {}, {}",
                            text_of(operation), row, column, channel,
                            trace::shown(network_[tensor].name),
                            writer.valid()
                                ? fmt::format("but does not wait for operation {}, which stores it",
                                              writer.value())
                                : "which nothing has stored"),
                writer.valid() ? "add the store to `after`" : "store it before"};
        }
        boxes.push_back(&store->box);
    }
    ++loads_;
    return content;
}

Checker::Content Checker::result_of(const Operation& operation)
{
    switch (operation.kind)
    {
    case OpKind::mvm:
        return product(operation);
    case OpKind::load:
        return loaded(operation);
    case OpKind::move:
        return carried(operation);
    case OpKind::vec:
        for (std::size_t i = 0; i < operation.in.size(); ++i)
        {
            const LayerId layer = operand(operation, i).sum_of;
            if (layer.valid())
            {
                return sum(operation, layer);
            }
        }
        if (!operation.layer.valid())
        {
            throw Malformed{"/layer", text_of(operation) + " does not say what it computes",
                            "give `layer`, or check the trace without --semantic"};
        }
        if (trace::functions()[operation.function].name == std::string_view("accumulate"))
        {
            return sum(operation, naming_.layers[operation.layer.index()]);
        }
        return function(operation, naming_.layers[operation.layer.index()]);
    case OpKind::store:
        check_store(operation);
        return {};
    case OpKind::program:
        check_program(operation);
        return {};
    }
    return {};
}

void Checker::check(const Operation& operation)
{
    regions_ = 0;
    loads_ = 0;
    effort_.earn(1 + operation.in.size() + operation.after.size());
    result_ = result_of(operation);
    check_size(operation, result_);
}

void Checker::add(const Operation& operation)
{
    check(operation);
    report_.regions += regions_;
    report_.loads += loads_;
    images_.insert(operation.image);
    if (operation.kind == OpKind::store && operation.box &&
        naming_.tensors[operation.tensor.index()].valid())
    {
        stores_[{operation.image, naming_.tensors[operation.tensor.index()]}].push_back(
            {operation.id, *operation.box});
    }
    if (operation.kind == OpKind::program)
    {
        write(operation);
    }
    const bool computes = operation.kind == OpKind::mvm || operation.kind == OpKind::vec;
    if (computes && result_.tensor.valid() && !result_.sum_of.valid())
    {
        made_[{operation.image, result_.tensor}] += elements(result_.box);
    }
    for (const OpId id : operation.in)
    {
        const auto found = data_.find(id);
        if (found != data_.end() && --found->second.uses == 0)
        {
            data_.erase(found);
        }
    }
    std::uint64_t uses = operation.uses;
    for (const trace::Destination& to : operation.to)
    {
        uses += to.uses;
    }
    if (uses != 0)
    {
        data_.insert_or_assign(operation.id, Datum{std::move(result_), uses});
    }
    order_.add(operation);
}

Report Checker::finish()
{
    images_.insert(0);
    for (const std::uint32_t image : images_)
    {
        std::vector<Need> needs;
        for (const LayerId output : network_.outputs)
        {
            needs.push_back(need_of(output, whole(network_[output].output)));
        }
        while (!needs.empty())
        {
            const Need need = std::move(needs.back());
            needs.pop_back();
            const Layer& layer = network_[need.tensor];
            const auto found = stores_.find({image, need.tensor});
            if (found == stores_.end() && renames(layer.kind))
            {
                append_renamed(network_, need, effort_, needs);
                continue;
            }
            if (layer.kind == LayerKind::input)
            {
                continue; // lies in the memory from the beginning
            }
            std::vector<const Box*> boxes;
            for (std::size_t i = 0; found != stores_.end() && i < found->second.size(); ++i)
            {
                boxes.push_back(&found->second[i].box);
            }
            effort_.earn(boxes.size());
            if (const auto missing = uncovered(need, boxes, effort_))
            {
                throw Malformed{"",
                                fmt::format("image {}: [{},{},{}] (row, column, channel) of layer "
                                            "{}, an output of the network, is never stored",
                                            image, (*missing)[0], (*missing)[1], (*missing)[2],
                                            trace::shown(layer.name)),
                                "store all of every output"};
            }
        }
    }
    std::set<LayerId> layers;
    for (const auto& [key, made] : made_)
    {
        const std::uint64_t all = network_[key.second].output.elements();
        report_.left_out += all - std::min(all, made);
        layers.insert(key.second);
    }
    report_.layers = layers.size();
    report_.images = images_.size();
    return report_;
}

Report check(const std::string& path, const network::Network& network)
{
    const std::unique_ptr<trace::Reader> reader = trace::open_in_order(path);
    std::uint64_t line = 1;
    try
    {
        Checker checker(reader->header(), network);
        Operation operation;
        while (reader->next(operation))
        {
            line = reader->line();
            checker.add(operation);
        }
        ++line;
        return checker.finish();
    }
    catch (const Malformed& problem)
    {
        throw InputError({path, line, problem.pointer}, problem.problem, problem.remedy);
    }
}

} // namespace tessera::semantics
