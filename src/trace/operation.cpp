// SPDX-License-Identifier: Apache-2.0
#include "tessera/trace.h"

#include "base/interrupt.h"
#include "tessera/error.h"
#include "trace/compact.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <tuple>

namespace tessera::trace
{
namespace
{

constexpr std::array<const char*, kOpKinds> kKindNames = {"mvm",  "vec",   "move",
                                                          "load", "store", "program"};

/// Takes a number without leading zeros from the front of `text`.
std::optional<std::uint32_t> take_number(std::string_view& text)
{
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const auto digits = static_cast<std::size_t>(end - text.data());
    if (error != std::errc() || (digits > 1 && text.front() == '0'))
    {
        return std::nullopt;
    }
    text.remove_prefix(digits);
    return value;
}

bool take(std::string_view& text, std::string_view prefix)
{
    if (text.substr(0, prefix.size()) != prefix)
    {
        return false;
    }
    text.remove_prefix(prefix.size());
    return true;
}

/// Takes "t3" or "mem0" from the front of `text`.
std::optional<NodeId> take_node(std::string_view& text, std::uint32_t tiles,
                                std::uint32_t memory_ports)
{
    const bool is_tile = take(text, "t");
    if (!is_tile && !take(text, "mem"))
    {
        return std::nullopt;
    }
    const auto number = take_number(text);
    if (!number || *number >= (is_tile ? tiles : memory_ports))
    {
        return std::nullopt;
    }
    return NodeId(is_tile ? *number : tiles + *number);
}

} // namespace

const char* name_of(OpKind kind)
{
    return kKindNames.at(static_cast<std::size_t>(kind));
}

std::optional<OpKind> find_kind(std::string_view name)
{
    for (std::size_t i = 0; i < kOpKinds; ++i)
    {
        if (name == kKindNames[i])
        {
            return static_cast<OpKind>(i);
        }
    }
    return std::nullopt;
}

UnitKind issuer_of(OpKind kind)
{
    switch (kind)
    {
    case OpKind::mvm:
    case OpKind::program:
        return UnitKind::macro;
    case OpKind::vec:
        return UnitKind::vector_unit;
    case OpKind::move:
    case OpKind::store:
        return UnitKind::network_interface;
    case OpKind::load:
        break;
    }
    return UnitKind::memory_port;
}

void Operation::clear()
{
    in.clear();
    after.clear();
    to.clear();
    if (!arguments.empty())
    {
        arguments.clear();
    }
    id = OpId();
    kind = OpKind::mvm;
    at = UnitId();
    bytes = 0;
    uses = 0;
    n = 0;
    into = -1;
    release = 0;
    start_hint.reset();
    block = BlockId();
    layer = LayerId();
    image = 0;
    bits = 0;
    function = 0;
    ofm.reset();
    tensor = TensorId();
    box.reset();
    address.reset();
}

std::string node_name(NodeId node, std::uint32_t tiles)
{
    return node.value() < tiles ? "t" + std::to_string(node.value())
                                : "mem" + std::to_string(node.value() - tiles);
}

std::string TracedUnit::name(std::uint32_t tiles) const
{
    std::string text = node_name(node, tiles);
    switch (kind)
    {
    case UnitKind::macro:
        return text + ".m" + std::to_string(position);
    case UnitKind::vector_unit:
        return text + ".vec";
    case UnitKind::network_interface:
        return text + ".ni";
    case UnitKind::memory_port:
        break;
    }
    return text;
}

std::optional<NodeId> parse_node(std::string_view name, std::uint32_t tiles,
                                 std::uint32_t memory_ports)
{
    const auto node = take_node(name, tiles, memory_ports);
    return name.empty() ? node : std::nullopt;
}

std::optional<TracedUnit> parse_unit(std::string_view name, std::uint32_t tiles,
                                     std::uint32_t memory_ports)
{
    const auto node = take_node(name, tiles, memory_ports);
    if (!node)
    {
        return std::nullopt;
    }
    TracedUnit unit;
    unit.node = *node;
    if (node->value() >= tiles)
    {
        unit.kind = UnitKind::memory_port;
    }
    else if (take(name, ".m"))
    {
        const auto position = take_number(name);
        if (!position)
        {
            return std::nullopt;
        }
        unit.kind = UnitKind::macro;
        unit.position = *position;
    }
    else if (take(name, ".vec"))
    {
        unit.kind = UnitKind::vector_unit;
    }
    else if (take(name, ".ni"))
    {
        unit.kind = UnitKind::network_interface;
    }
    else
    {
        return std::nullopt;
    }
    return name.empty() ? std::optional(unit) : std::nullopt;
}

bool overlap(const Block& a, const Block& b)
{
    const auto meet =
        [](std::uint64_t a_at, std::uint64_t a_size, std::uint64_t b_at, std::uint64_t b_size)
    { return a_at < b_at + b_size && b_at < a_at + a_size; };
    return a.at == b.at && meet(a.row_at, a.height(), b.row_at, b.height()) &&
           meet(a.column_at, a.width(), b.column_at, b.width());
}

bool OperationSource::images_left(const TellImages& tell)
{
    Operation operation;
    for (std::uint32_t unit = 0; unit < header().units.size(); ++unit)
    {
        for (operation.clear(); next(UnitId(unit), operation); operation.clear())
        {
            if (operation.kind != OpKind::program && !tell(operation.image, operation.image))
            {
                return false;
            }
        }
    }
    return true;
}

namespace
{

template <typename Operations> void finalize(Header& header, Operations& operations)
{
    std::vector<std::uint32_t> order(header.units.size());
    std::iota(order.begin(), order.end(), 0U);
    const auto key = [&](std::uint32_t unit)
    {
        const TracedUnit& u = header.units[unit];
        return std::make_tuple(u.node.value(), u.kind, u.position);
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return key(a) < key(b); });

    std::vector<TracedUnit> units;
    std::vector<UnitId> renumbered(order.size());
    for (const std::uint32_t old : order)
    {
        renumbered[old] = UnitId(static_cast<std::uint32_t>(units.size()));
        units.push_back(header.units[old]);
        units.back().operations = 0;
    }
    header.units = std::move(units);

    const auto renumber = [&](UnitId unit, const std::string& pointer)
    {
        if (unit.index() >= renumbered.size())
        {
            throw InputError({"", 0, pointer}, "names a unit that is not in the list of units",
                             "add the unit to the header");
        }
        return renumbered[unit.index()];
    };
    for (std::size_t i = 0; i < header.blocks.size(); ++i)
    {
        Block& block = header.blocks[i];
        block.at = renumber(block.at, "/placement/blocks/" + std::to_string(i) + "/at");
    }
    std::vector<std::uint64_t> latest(header.units.size(), 0);
    header.operations = 0;
    header.window = 0;
    for (auto& operation : operations)
    {
        throw_if_interrupted();
        operation.at =
            renumber(operation.at, "/operations/" + std::to_string(header.operations) + "/at");
        ++header.operations;
        ++header.units[operation.at.index()].operations;
        std::uint64_t& predecessor = latest[operation.at.index()];
        header.window = std::max(header.window, header.operations - predecessor);
        predecessor = header.operations;
    }
}

} // namespace

void finalize(Trace& trace)
{
    finalize(trace.header, trace.operations);
}

void finalize(CompactTrace& trace)
{
    finalize(trace.header, trace);
}

} // namespace tessera::trace
