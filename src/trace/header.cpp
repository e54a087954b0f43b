// SPDX-License-Identifier: Apache-2.0
#include "trace/header.h"

#include "base/json.h"
#include "trace/rules.h"

#include <algorithm>
#include <tuple>

namespace tessera::trace
{
namespace
{

using Json = nlohmann::json;

[[noreturn]] void fail(std::string pointer, std::string problem, std::string remedy)
{
    throw Malformed{std::move(pointer), std::move(problem), std::move(remedy)};
}

std::string quoted(const std::string& text, const std::string& pointer)
{
    try
    {
        return Json(text).dump();
    }
    catch (const Json::exception&)
    {
        throw InputError({"", 0, pointer}, "is not UTF-8 text", "encode it as UTF-8");
    }
}

/// Writes the members of one object or list with commas between them.
class Members
{
public:
    explicit Members(std::string& out) : out_(out) {}
    std::string& key(const std::string& name)
    {
        separate();
        return out_ += '"' + name + "\":";
    }
    std::string& item()
    {
        separate();
        return out_;
    }

private:
    void separate()
    {
        if (!first_)
        {
            out_ += ',';
        }
        first_ = false;
    }
    std::string& out_;
    bool first_ = true;
};

std::string range(std::uint32_t begin, std::uint32_t end)
{
    return '[' + std::to_string(begin) + ',' + std::to_string(end) + ']';
}

std::string network_text(const Header& header)
{
    std::string out = "{";
    Members members(out);
    if (!header.network.empty())
    {
        members.key("name") += quoted(header.network, "/network/name");
    }
    if (!header.tensors.empty())
    {
        members.key("tensors") += '[';
        Members list(out);
        for (const Tensor& tensor : header.tensors)
        {
            list.item() += "{\"name\":" + quoted(tensor.name, "/network/tensors") + ",\"shape\":[" +
                           std::to_string(tensor.height) + ',' + std::to_string(tensor.width) +
                           ',' + std::to_string(tensor.channels) +
                           "],\"bits\":" + std::to_string(tensor.bits) + '}';
        }
        out += ']';
    }
    if (!header.layers.empty())
    {
        members.key("layers") += '[';
        Members list(out);
        for (const TracedLayer& layer : header.layers)
        {
            list.item() += "{\"name\":" + quoted(layer.name, "/network/layers") +
                           ",\"kind\":" + quoted(layer.kind, "/network/layers");
            if (layer.output.valid())
            {
                out += ",\"output\":" + std::to_string(layer.output.value());
            }
            if (layer.vectors != 0)
            {
                out += ",\"vectors\":" + std::to_string(layer.vectors);
            }
            out += ",\"input_bits\":" + std::to_string(layer.input_bits) + '}';
        }
        out += ']';
    }
    return out + '}';
}

std::string blocks_text(const Header& header)
{
    std::string out = "{\"blocks\":[";
    Members list(out);
    for (const Block& block : header.blocks)
    {
        list.item() += '{';
        Members members(out);
        if (block.layer.valid())
        {
            members.key("layer") += std::to_string(block.layer.value());
        }
        if (block.copy != 0)
        {
            members.key("copy") += std::to_string(block.copy);
        }
        members.key("rows") += range(block.row_begin, block.row_end);
        members.key("columns") += range(block.column_begin, block.column_end);
        members.key("at") += '"' + header.units[block.at.index()].name(header.tiles) + '"';
        if (block.row_at != 0 || block.column_at != 0)
        {
            members.key("corner") += range(block.row_at, block.column_at);
        }
        if (block.replicas != 1)
        {
            members.key("replicas") += std::to_string(block.replicas);
        }
        if (block.references != 0)
        {
            members.key("references") += std::to_string(block.references);
        }
        out += '}';
    }
    return out + "]}";
}

/// Walks an object, checking types and telling unknown keys from ignored ones.
class Reader
{
public:
    Reader(const Json& value, std::string pointer) : value_(value), pointer_(std::move(pointer)) {}

    [[nodiscard]] const std::string& pointer() const { return pointer_; }
    [[nodiscard]] std::string at(const std::string& key) const { return pointer_to(pointer_, key); }

    /// Throws unless this is an object with no keys but these (and x-...).
    void only(std::initializer_list<const char*> keys) const
    {
        object();
        for (const auto& item : value_.items())
        {
            const std::string& key = item.key();
            const auto same = [&](const char* known) { return key == known; };
            if (key.rfind("x-", 0) != 0 && std::none_of(keys.begin(), keys.end(), same))
            {
                std::string list;
                for (const char* known : keys)
                {
                    list += (list.empty() ? "" : ", ") + std::string(known);
                }
                fail(at(key), "is an unknown key", "use " + list + ", or a key beginning with x-");
            }
        }
    }
    void object() const
    {
        if (!value_.is_object())
        {
            fail(pointer_, "must be an object, not " + std::string(type_name(value_)),
                 "write {...}");
        }
    }
    [[nodiscard]] bool has(const char* key) const { return value_.contains(key); }
    [[nodiscard]] const Json& value() const { return value_; }
    [[nodiscard]] Reader operator[](const char* key) const
    {
        if (!has(key))
        {
            fail(pointer_, "lacks \"" + std::string(key) + "\"", "add it");
        }
        return {value_[key], at(key)};
    }
    [[nodiscard]] std::string text() const
    {
        if (!value_.is_string())
        {
            fail(pointer_, "must be text, not " + std::string(type_name(value_)), "write \"...\"");
        }
        return value_.get<std::string>();
    }
    [[nodiscard]] std::uint64_t number(std::uint64_t minimum, std::uint64_t maximum) const
    {
        if (!value_.is_number_unsigned() || value_.get<std::uint64_t>() < minimum ||
            value_.get<std::uint64_t>() > maximum)
        {
            fail(pointer_,
                 "is not a whole number from " + std::to_string(minimum) + " to " +
                     std::to_string(maximum),
                 "write one without sign, fraction or exponent");
        }
        return value_.get<std::uint64_t>();
    }
    [[nodiscard]] std::uint32_t number32(std::uint64_t minimum = 0,
                                         std::uint64_t maximum = 0xffff'ffffU) const
    {
        return static_cast<std::uint32_t>(number(minimum, maximum));
    }
    [[nodiscard]] std::vector<Reader> list() const
    {
        if (!value_.is_array())
        {
            fail(pointer_, "must be a list, not " + std::string(type_name(value_)), "write [...]");
        }
        std::vector<Reader> items;
        items.reserve(value_.size());
        for (const Json& item : value_)
        {
            items.emplace_back(item, pointer_ + '/' + std::to_string(items.size()));
        }
        return items;
    }
    [[nodiscard]] std::vector<Reader> list_of(std::size_t size) const
    {
        std::vector<Reader> items = list();
        if (items.size() != size)
        {
            fail(pointer_, "has " + std::to_string(items.size()) + " entries",
                 "give exactly " + std::to_string(size));
        }
        return items;
    }

private:
    const Json& value_;
    std::string pointer_;
};

Tensor read_tensor(const Reader& in)
{
    in.only({"name", "shape", "bits"});
    Tensor tensor;
    tensor.name = in.has("name") ? in["name"].text() : "";
    const std::vector<Reader> shape = in["shape"].list_of(3);
    tensor.height = shape[0].number32(1);
    tensor.width = shape[1].number32(1);
    tensor.channels = shape[2].number32(1);
    tensor.bits = static_cast<std::uint8_t>(in["bits"].number(1, kMaxBits));
    return tensor;
}

TracedLayer read_layer(const Reader& in)
{
    in.only({"name", "kind", "output", "vectors", "input_bits"});
    TracedLayer layer;
    layer.name = in.has("name") ? in["name"].text() : "";
    layer.kind = in.has("kind") ? in["kind"].text() : "";
    if (in.has("output"))
    {
        layer.output = TensorId(in["output"].number32(0, 0xffff'fffeU));
    }
    layer.vectors = in.has("vectors") ? in["vectors"].number(0, kMaxNumber) : 0;
    layer.input_bits =
        static_cast<std::uint8_t>(in.has("input_bits") ? in["input_bits"].number(1, kMaxBits) : 8);
    return layer;
}

TracedUnit read_unit(const Header& header, const std::string& name, const std::string& pointer)
{
    const auto unit = parse_unit(name, header.tiles, header.memory_ports);
    if (!unit)
    {
        fail(pointer, '"' + name + "\" is not a unit of this chip",
             "use t<tile>.m<macro>, t<tile>.vec, t<tile>.ni or mem<port>, within `tiles` and "
             "`memory_ports`");
    }
    return *unit;
}

auto sort_key(const TracedUnit& unit)
{
    return std::make_tuple(unit.node.value(), unit.kind, unit.position);
}

Header read(const Json& json)
{
    const Reader in(json, "");
    in.object();
    if (!in.has("format") || !json["format"].is_string() || json["format"] != "tessera-trace")
    {
        fail("/format", "this is not a trace: format is not \"tessera-trace\"",
             "give a trace (*.trace.jsonl, *.trace.jsonl.gz or *.trace.h5)");
    }
    const std::string version = in["version"].text();
    if (version != "1.0")
    {
        fail("/version", "version " + version + " is not known", "this program reads version 1.0");
    }
    in.only({"format", "version", "producer", "network", "mapping", "placement", "tiles",
             "memory_ports", "counts", "window"});

    Header header;
    header.producer = in.has("producer") ? in["producer"].text() : "unknown";
    header.tiles = in["tiles"].number32(0, kMaxTiles);
    header.memory_ports =
        in.has("memory_ports") ? in["memory_ports"].number32(0, kMaxMemoryPorts) : 0;
    if (in.has("network"))
    {
        const Reader network = in["network"];
        network.only({"name", "tensors", "layers"});
        header.network = network.has("name") ? network["name"].text() : "";
        if (network.has("tensors"))
        {
            for (const Reader& tensor : network["tensors"].list())
            {
                header.tensors.push_back(read_tensor(tensor));
            }
        }
        if (network.has("layers"))
        {
            for (const Reader& layer : network["layers"].list())
            {
                header.layers.push_back(read_layer(layer));
            }
        }
    }
    if (in.has("mapping"))
    {
        const Reader mapping = in["mapping"];
        mapping.object();
        for (const auto& item : mapping.value().items())
        {
            header.mapping[item.key()] = Reader(item.value(), mapping.at(item.key())).text();
        }
    }

    const Reader counts = in["counts"];
    counts.only({"operations", "units"});
    header.operations = counts["operations"].number(0, kMaxNumber);
    const Reader units = counts["units"];
    units.object();
    for (const auto& item : units.value().items())
    {
        header.units.push_back(read_unit(header, item.key(), units.at(item.key())));
        header.units.back().operations =
            Reader(item.value(), units.at(item.key())).number(0, kMaxNumber);
    }
    std::vector<TracedUnit> homes;
    if (in.has("placement"))
    {
        const Reader placement = in["placement"];
        placement.only({"blocks"});
        for (const Reader& entry : placement["blocks"].list())
        {
            entry.only(
                {"layer", "copy", "rows", "columns", "at", "corner", "replicas", "references"});
            Block block;
            block.layer =
                entry.has("layer") ? LayerId(entry["layer"].number32(0, 0xffff'fffeU)) : LayerId();
            block.copy = entry.has("copy") ? entry["copy"].number32() : 0;
            const std::vector<Reader> rows = entry["rows"].list_of(2);
            const std::vector<Reader> columns = entry["columns"].list_of(2);
            block.row_begin = rows[0].number32();
            block.row_end = rows[1].number32();
            block.column_begin = columns[0].number32();
            block.column_end = columns[1].number32();
            if (entry.has("corner"))
            {
                const std::vector<Reader> corner = entry["corner"].list_of(2);
                block.row_at = corner[0].number32();
                block.column_at = corner[1].number32();
            }
            block.replicas = entry.has("replicas") ? entry["replicas"].number32(1) : 1;
            block.references = entry.has("references") ? entry["references"].number32(0, 1) : 0;
            header.blocks.push_back(block);
            homes.push_back(read_unit(header, entry["at"].text(), entry.at("at")));
        }
    }
    // A macro may hold weights that no operation uses: it is in the list of units all the same.
    for (const TracedUnit& home : homes)
    {
        header.units.push_back(home);
    }
    std::stable_sort(header.units.begin(), header.units.end(),
                     [](const TracedUnit& a, const TracedUnit& b)
                     { return sort_key(a) < sort_key(b); });
    header.units.erase(std::unique(header.units.begin(), header.units.end(),
                                   [](const TracedUnit& a, const TracedUnit& b)
                                   { return sort_key(a) == sort_key(b); }),
                       header.units.end());
    const UnitIndex index(header);
    for (std::size_t i = 0; i < homes.size(); ++i)
    {
        header.blocks[i].at = index.find(homes[i]);
    }
    header.window = in["window"].number(0, kMaxNumber);
    check_header(header);
    return header;
}

} // namespace

std::string header_text(const Header& header)
{
    std::string out = R"({"format":"tessera-trace","version":"1.0","producer":)" +
                      quoted(header.producer, "/producer");
    if (!header.network.empty() || !header.tensors.empty() || !header.layers.empty())
    {
        out += ",\"network\":" + network_text(header);
    }
    if (!header.mapping.empty())
    {
        out += ",\"mapping\":{";
        Members members(out);
        for (const auto& [key, value] : header.mapping)
        {
            members.item() += quoted(key, "/mapping") + ':' + quoted(value, "/mapping");
        }
        out += '}';
    }
    if (!header.blocks.empty())
    {
        out += ",\"placement\":" + blocks_text(header);
    }
    out += ",\"tiles\":" + std::to_string(header.tiles) +
           ",\"memory_ports\":" + std::to_string(header.memory_ports) +
           ",\"counts\":{\"operations\":" + std::to_string(header.operations) + ",\"units\":{";
    Members members(out);
    for (const TracedUnit& unit : header.units)
    {
        members.key(unit.name(header.tiles)) += std::to_string(unit.operations);
    }
    return out + "}},\"window\":" + std::to_string(header.window) + '}';
}

Header parse_header(std::string_view text, const std::string& file)
{
    const JsonDocument document = parse_json(text, file);
    try
    {
        return read(document.value());
    }
    catch (const Malformed& problem)
    {
        throw InputError({file, 1, shown(problem.pointer)}, shown(problem.problem), problem.remedy);
    }
}

void check_header(const Header& header)
{
    if (header.tiles > kMaxTiles || header.memory_ports > kMaxMemoryPorts)
    {
        fail(header.tiles > kMaxTiles ? "/tiles" : "/memory_ports", "is too great",
             "the limits are 1048576 tiles and 65536 memory ports");
    }
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < header.units.size(); ++i)
    {
        const TracedUnit& unit = header.units[i];
        const bool is_port = unit.kind == UnitKind::memory_port;
        if (unit.node.value() >= header.tiles + header.memory_ports ||
            (unit.node.value() >= header.tiles) != is_port ||
            (unit.kind != UnitKind::macro && unit.position != 0))
        {
            fail("/counts/units", "unit " + std::to_string(i) + " is not a unit of this chip",
                 "list units of existing tiles and memory ports");
        }
        if (i != 0 && !(sort_key(header.units[i - 1]) < sort_key(unit)))
        {
            fail("/counts/units", unit.name(header.tiles) + " is listed twice or out of order",
                 "finalize() the trace before writing or running it");
        }
        if (unit.operations > kMaxNumber - sum)
        {
            fail("/counts/units", "the counts are too great", "check them");
        }
        sum += unit.operations;
    }
    if (sum != header.operations)
    {
        fail("/counts/operations",
             "is " + std::to_string(header.operations) + ", but the units' counts add up to " +
                 std::to_string(sum),
             "make them agree");
    }
    if (header.window > header.operations)
    {
        fail("/window",
             "is greater than the number of operations, " + std::to_string(header.operations),
             "give the greatest distance in lines between an operation and its predecessor on the "
             "same unit");
    }
    for (std::size_t i = 0; i < header.tensors.size(); ++i)
    {
        const Tensor& tensor = header.tensors[i];
        const std::string pointer = "/network/tensors/" + std::to_string(i);
        if (tensor.height == 0 || tensor.width == 0 || tensor.channels == 0 || tensor.bits == 0 ||
            tensor.bits > kMaxBits)
        {
            fail(pointer, "is empty, or its elements have not 1 to 64 bits", "correct its shape");
        }
        // A product of three such numbers and 64 bits may not fit into 64 bits.
        if (std::uint64_t{tensor.height} * tensor.width >
            (std::uint64_t{1} << 56U) / tensor.channels)
        {
            fail(pointer + "/shape", "has more than 2^56 elements", "correct its shape");
        }
    }
    for (std::size_t i = 0; i < header.layers.size(); ++i)
    {
        const TracedLayer& layer = header.layers[i];
        const std::string pointer = "/network/layers/" + std::to_string(i);
        if (layer.output.valid() && layer.output.index() >= header.tensors.size())
        {
            fail(pointer + "/output",
                 "there are only " + std::to_string(header.tensors.size()) + " tensors",
                 "give a position in network.tensors");
        }
        if (layer.input_bits == 0 || layer.input_bits > kMaxBits)
        {
            fail(pointer + "/input_bits", "is not a number from 1 to 64", "correct it");
        }
    }
    for (std::size_t i = 0; i < header.blocks.size(); ++i)
    {
        const Block& block = header.blocks[i];
        const std::string pointer = "/placement/blocks/" + std::to_string(i);
        if (block.layer.valid() && block.layer.index() >= header.layers.size())
        {
            fail(pointer + "/layer",
                 "there are only " + std::to_string(header.layers.size()) + " layers",
                 "give a position in network.layers");
        }
        if (block.row_begin >= block.row_end)
        {
            fail(pointer + "/rows", "is empty", "give [first, one past the last]");
        }
        if (block.column_begin >= block.column_end)
        {
            fail(pointer + "/columns", "is empty", "give [first, one past the last]");
        }
        if (block.at.index() >= header.units.size() ||
            header.units[block.at.index()].kind != UnitKind::macro)
        {
            fail(pointer + "/at", "is not a macro", "weights are placed on macros (t0.m0)");
        }
    }
}

UnitIndex::UnitIndex(const Header& header)
    : header_(&header), first_(std::size_t{header.tiles} + header.memory_ports + 1, 0)
{
    for (const TracedUnit& unit : header.units)
    {
        ++first_[unit.node.index() + 1];
    }
    for (std::size_t node = 1; node < first_.size(); ++node)
    {
        first_[node] += first_[node - 1];
    }
}

UnitId UnitIndex::find(const TracedUnit& unit) const
{
    const auto& units = header_->units;
    const std::uint32_t begin = first_[unit.node.index()];
    const std::uint32_t end = first_[unit.node.index() + 1];
    const auto matches = [&](std::uint32_t index)
    { return index < end && sort_key(units[index]) == sort_key(unit); };
    // Macros are mostly numbered without gaps from the tile's first unit on.
    if (unit.kind == UnitKind::macro && unit.position < end - begin &&
        matches(begin + unit.position))
    {
        return UnitId(begin + unit.position);
    }
    const auto found = std::lower_bound(units.begin() + begin, units.begin() + end, unit,
                                        [](const TracedUnit& a, const TracedUnit& b)
                                        { return sort_key(a) < sort_key(b); });
    const auto index = static_cast<std::uint32_t>(found - units.begin());
    return matches(index) ? UnitId(index) : UnitId();
}

} // namespace tessera::trace
