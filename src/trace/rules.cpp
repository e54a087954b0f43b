// SPDX-License-Identifier: Apache-2.0
#include "trace/rules.h"

#include "base/time_limit.h"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <limits>

namespace tessera::trace
{
namespace
{

constexpr unsigned kMvm = bit(OpKind::mvm);
constexpr unsigned kVec = bit(OpKind::vec);
constexpr unsigned kMove = bit(OpKind::move);
constexpr unsigned kLoad = bit(OpKind::load);
constexpr unsigned kStore = bit(OpKind::store);
constexpr unsigned kProgram = bit(OpKind::program);
constexpr unsigned kAll = kMvm | kVec | kMove | kLoad | kStore | kProgram;
constexpr std::uint64_t kMax32 = std::numeric_limits<std::uint32_t>::max();

std::array<unsigned, kOpKinds> masks(unsigned Field::*member)
{
    std::array<unsigned, kOpKinds> result{};
    for (unsigned kind = 0; kind < kOpKinds; ++kind)
    {
        for (unsigned key = 0; key < kOperationKeys; ++key)
        {
            if ((fields()[key].*member >> kind & 1U) != 0)
            {
                result[kind] |= 1U << key;
            }
        }
    }
    return result;
}

[[noreturn]] void fail(std::string pointer, std::string problem, std::string remedy)
{
    throw Malformed{std::move(pointer), std::move(problem), std::move(remedy)};
}

void check_earlier(const std::vector<OpId>& list, OpId id, const char* pointer)
{
    if (list.size() > kMaxFanIn)
    {
        fail(pointer, "has " + std::to_string(list.size()) + " entries",
             "the limit is 65535; combine some of them in an operation of their own");
    }
    for (std::size_t i = 0; i < list.size(); ++i)
    {
        if (!(list[i] < id))
        {
            fail(pointer + std::string("/") + std::to_string(i),
                 "refers to operation " + std::to_string(list[i].value()) +
                     ", which is not before operation " + std::to_string(id.value()),
                 "operations may only refer to earlier ones");
        }
    }
}

void check_number(std::uint64_t value, const char* pointer)
{
    if (value > kMaxNumber)
    {
        fail(pointer, "is too great", "the limit is " + std::to_string(kMaxNumber));
    }
}

void check_range(const Box& box, const char* pointer)
{
    for (std::size_t axis = 0; axis < 3; ++axis)
    {
        if (box.bounds[2 * axis] > box.bounds[2 * axis + 1])
        {
            fail(pointer + std::string("/") + std::to_string(2 * axis), "begins after its end",
                 "give [row begin, row end, column begin, column end, channel begin, channel end], "
                 "each end not before its begin");
        }
    }
}

} // namespace

std::string shown(std::string_view text)
{
    constexpr std::size_t kMost = 1000;
    std::string result;
    for (const char c : text.substr(0, kMost))
    {
        const auto code = static_cast<unsigned char>(c);
        result += code < 0x20 ? fmt::format("\\u{:04x}", code) : std::string(1, c);
    }
    return text.size() > kMost ? result + "..." : result;
}

const std::vector<Field>& fields()
{
    static const std::vector<Field> kFields = {
        {"id", Form::number, 0, kMaxNumber, kAll, kAll, "rises from line to line"},
        {"op", Form::text, 0, 0, kAll, kAll, "kind of operation"},
        {"at", Form::text, 0, 0, kAll, kAll,
         "issuing unit: t5.m3 (mvm, program), t5.vec (vec), t5.ni (move, store), mem0 (load)"},
        {"block", Form::number, 0, kMax32 - 1, kMvm | kProgram, 0,
         "position in the header's placement.blocks of the weights used"},
        {"ofm", Form::box, 0, kMax32, kAll & ~kProgram, 0,
         "region of the layer's output made or carried: half-open rows, columns, channels"},
        {"n", Form::number, 0, kMax32, kMvm | kVec | kProgram, kMvm | kVec | kProgram,
         "input vectors (mvm, at least 1), elements (vec), rows (program, at least 1)"},
        {"bits", Form::number, 0, kMaxBits, kAll & ~kProgram, 0, "width of an element"},
        {"bytes", Form::number, 0, kMaxNumber, kAll & ~kProgram, 0,
         "size of the result, per destination for move and load"},
        {"uses", Form::number, 0, kMax32, kMvm | kVec, 0,
         "how many operand slots will read the result"},
        {"in", Form::numbers, 0, kMaxNumber, kAll & ~kLoad, kMove | kStore,
         "operands in order: ids of earlier operations; each counts one use"},
        {"after", Form::numbers, 0, kMaxNumber, kAll, 0,
         "ids of earlier operations that must have ended"},
        {"into", Form::number, 0, kMaxFanIn - 1, kMvm | kVec, 0,
         "position in `in` of the operand whose space the result takes over"},
        {"to", Form::destinations, 0, kMax32, kMove | kLoad | kStore, kMove | kLoad | kStore,
         "destinations: tiles (move, load), one memory port (store)"},
        {"release", Form::number, 0, kLatestTime, kAll, 0, "earliest start in ps"},
        {"start", Form::number, 0, kMaxNumber, kAll, 0, "start in ps that the compiler planned"},
        {"layer", Form::number, 0, kMax32 - 1, kAll, 0,
         "position in the header's network.layers; implied by a block"},
        {"img", Form::number, 0, kMax32, kAll, 0, "image worked on"},
        {"fn", Form::text, 0, 0, kVec, kVec, "function"},
        {"args", Form::arguments, 0, 0, kVec, 0, "the function's arguments"},
        {"tensor", Form::number, 0, kMax32 - 1, kLoad | kStore | kProgram, 0,
         "position in the header's network.tensors; of a program: of which the operands hold what "
         "is written"},
        {"box", Form::box, 0, kMax32, kLoad | kStore | kProgram, 0, "region of the tensor"},
        {"address", Form::number, 0, kMaxNumber, kLoad | kStore, 0,
         "external memory address; by default from tensor and box"},
        {"end", Form::truth, 0, 0, 0, 0, "marks the last line"},
        {"ops", Form::number, 0, kMaxNumber, 0, 0, "number of operations"},
        {"crc32", Form::text, 0, 0, 0, 0,
         "CRC-32 (as in gzip) of all the lines before, newlines included: 8 lower-case hex digits"},
    };
    return kFields;
}

unsigned allowed_keys(OpKind kind)
{
    static const auto kMasks = masks(&Field::allowed);
    return kMasks[static_cast<std::size_t>(kind)];
}

unsigned required_keys(OpKind kind)
{
    static const auto kMasks = masks(&Field::required);
    return kMasks[static_cast<std::size_t>(kind)];
}

Rules::Rules(const Header& header) : header_(&header)
{
    for (unsigned kind = 0; kind < kOpKinds; ++kind)
    {
        allowed_[kind] = allowed_keys(static_cast<OpKind>(kind));
    }
}

void Rules::check(Operation& operation)
{
    if (operation.at.index() >= header_->units.size())
    {
        fail("/at", "is not a unit of this trace", "list the unit in the header's counts.units");
    }
    const TracedUnit& unit = header_->units[operation.at.index()];
    if (unit.kind != issuer_of(operation.kind))
    {
        fail("/at",
             std::string(name_of(operation.kind)) + " cannot be issued by " +
                 unit.name(header_->tiles),
             "mvm and program belong to macros (t0.m0), vec to vector units (t0.vec), move and "
             "store to network interfaces (t0.ni), load to memory ports (mem0)");
    }
    check_references(operation);
    check_unused(operation);
    check_destinations(operation);
    check_block(operation);
    check_rest(operation);
}

void Rules::check_references(const Operation& operation)
{
    if (operation.id.value() > kMaxNumber)
    {
        fail("/id", "is missing or too great",
             "give an id from 0 to " + std::to_string(kMaxNumber));
    }
    check_earlier(operation.in, operation.id, "/in");
    check_earlier(operation.after, operation.id, "/after");
    const std::size_t operands = operation.in.size();
    const bool moves = operation.kind == OpKind::move || operation.kind == OpKind::store;
    if (moves && operands != 1)
    {
        fail("/in",
             std::string(name_of(operation.kind)) + " takes exactly one operand, not " +
                 std::to_string(operands),
             "name the one datum that travels");
    }
    if (operation.kind == OpKind::load && operands != 0)
    {
        fail("/in", "load takes no operand", "use `after` for order");
    }
    if (operation.into >= 0 && static_cast<std::size_t>(operation.into) >= operands)
    {
        fail("/into", "there is no operand " + std::to_string(operation.into),
             "give a position in `in`, counted from 0");
    }
}

void Rules::check_unused(const Operation& operation) const
{
    const auto mask = [](Key key, bool present) { return present ? bit(key) : 0U; };
    const unsigned present =
        mask(Key::block, operation.block.valid()) | mask(Key::ofm, operation.ofm.has_value()) |
        mask(Key::n, operation.n != 0) | mask(Key::bits, operation.bits != 0) |
        mask(Key::bytes, operation.bytes != 0) | mask(Key::uses, operation.uses != 0) |
        mask(Key::into, operation.into >= 0) | mask(Key::to, !operation.to.empty()) |
        mask(Key::fn, operation.function != 0) | mask(Key::args, !operation.arguments.empty()) |
        mask(Key::tensor, operation.tensor.valid()) | mask(Key::box, operation.box.has_value()) |
        mask(Key::address, operation.address.has_value());
    const unsigned unexpected = present & ~allowed_[static_cast<std::size_t>(operation.kind)];
    if (unexpected == 0)
    {
        return;
    }
    for (unsigned key = 0; key < kOperationKeys; ++key)
    {
        if ((unexpected >> key & 1U) != 0)
        {
            const std::string name(fields()[key].name);
            fail("/" + name, std::string(name_of(operation.kind)) + " has no \"" + name + "\"",
                 "leave it out");
        }
    }
}

void Rules::check_destinations(const Operation& operation)
{
    const std::vector<Destination>& to = operation.to;
    const bool travels = (allowed_[static_cast<std::size_t>(operation.kind)] & bit(Key::to)) != 0;
    if (!travels)
    {
        return;
    }
    const bool stores = operation.kind == OpKind::store;
    if (to.empty() || (stores && to.size() != 1) || to.size() > kMaxFanIn)
    {
        fail("/to",
             std::string(name_of(operation.kind)) + " has " + std::to_string(to.size()) +
                 " destinations",
             stores ? "give one memory port" : "give 1 to 65535 tiles");
    }
    const NodeId own = header_->units[operation.at.index()].node;
    const std::uint32_t tiles = header_->tiles;
    for (std::size_t i = 0; i < to.size(); ++i)
    {
        const NodeId node = to[i].at;
        const auto pointer = [&] { return "/to/" + std::to_string(i) + "/at"; };
        if (stores ? node.value() < tiles || node.value() >= tiles + header_->memory_ports
                   : node.value() >= tiles)
        {
            fail(pointer(), "is not a " + std::string(stores ? "memory port" : "tile"),
                 stores ? "a store goes to a memory port (mem0)"
                        : "moves and loads go to tiles; write to memory with a store");
        }
        if (stores && to[i].uses != 0)
        {
            fail("/to/0/uses", "nothing reads what a store has written", "leave `uses` out");
        }
        if (node == own)
        {
            fail(pointer(), "is the tile that the data come from",
                 "read the datum where it is: every unit of a tile sees its buffer");
        }
    }
    if (to.size() > 1)
    {
        destinations_.clear();
        for (const Destination& destination : to)
        {
            destinations_.push_back(destination.at);
        }
        std::sort(destinations_.begin(), destinations_.end());
        const auto twice = std::adjacent_find(destinations_.begin(), destinations_.end());
        if (twice != destinations_.end())
        {
            fail("/to", "names " + node_name(*twice, tiles) + " twice",
                 "name every destination once and add up its uses");
        }
    }
}

void Rules::check_block(Operation& operation) const
{
    if (operation.block.valid())
    {
        if (operation.block.index() >= header_->blocks.size())
        {
            fail("/block", "there are only " + std::to_string(header_->blocks.size()) + " blocks",
                 "add the block to the header's placement.blocks");
        }
        const Block& block = header_->blocks[operation.block.index()];
        if (block.at != operation.at)
        {
            fail("/block",
                 "block " + std::to_string(operation.block.value()) + " is placed on " +
                     header_->units[block.at.index()].name(header_->tiles) + ", not on " +
                     header_->units[operation.at.index()].name(header_->tiles),
                 "issue the operation where its weights are");
        }
        if (operation.layer.valid() && operation.layer != block.layer)
        {
            fail("/layer", "is not the layer of the operation's block",
                 "leave `layer` out: the block implies it");
        }
        operation.layer = block.layer;
    }
    if (operation.layer.valid() && operation.layer.index() >= header_->layers.size())
    {
        fail("/layer", "there are only " + std::to_string(header_->layers.size()) + " layers",
             "add the layer to the header's network.layers");
    }
}

void Rules::check_rest(const Operation& operation) const
{
    if (operation.n == 0 && (operation.kind == OpKind::mvm || operation.kind == OpKind::program))
    {
        fail("/n", std::string(name_of(operation.kind)) + " of nothing", "give at least 1");
    }
    if (operation.bits > kMaxBits)
    {
        fail("/bits", "is " + std::to_string(operation.bits), "elements have at most 64 bits");
    }
    check_number(operation.bytes, "/bytes");
    if (operation.release > kLatestTime)
    {
        fail("/release", "is after the end of simulated time",
             "the limit is " + latest_time_text());
    }
    check_number(operation.start_hint.value_or(0), "/start");
    check_number(operation.address.value_or(0), "/address");
    if (operation.ofm)
    {
        check_range(*operation.ofm, "/ofm");
    }
    if (operation.tensor.valid() && operation.tensor.index() >= header_->tensors.size())
    {
        fail("/tensor", "there are only " + std::to_string(header_->tensors.size()) + " tensors",
             "add the tensor to the header's network.tensors");
    }
    if (operation.box)
    {
        check_range(*operation.box, "/box");
        if (!operation.tensor.valid())
        {
            fail("/box", "is a region of no tensor", "give `tensor` too");
        }
        const Tensor& tensor = header_->tensors[operation.tensor.index()];
        const auto& bounds = operation.box->bounds;
        if (bounds[1] > tensor.height || bounds[3] > tensor.width || bounds[5] > tensor.channels)
        {
            fail("/box",
                 "lies outside of tensor " + std::to_string(operation.tensor.value()) + " of " +
                     std::to_string(tensor.height) + " x " + std::to_string(tensor.width) + " x " +
                     std::to_string(tensor.channels),
                 "keep it inside the tensor");
        }
    }
    if (operation.kind != OpKind::vec)
    {
        return;
    }
    if (operation.function >= functions().size())
    {
        fail("/fn", "is unknown", "use one of the functions of the schema");
    }
    const Function& function = functions()[operation.function];
    for (const auto& argument : operation.arguments)
    {
        const auto& known = function.arguments;
        if (std::none_of(known.begin(), known.end(),
                         [&](const char* name) { return argument.first == name; }))
        {
            std::string list;
            for (const char* name : known)
            {
                list += (list.empty() ? "it takes " : ", ") + std::string(name);
            }
            fail("/args/" + argument.first, std::string(function.name) + " has no such argument",
                 list.empty() ? "it takes none" : list);
        }
    }
}

} // namespace tessera::trace
