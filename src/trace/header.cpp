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

/// What is wrong with a header: all of it, so that whoever writes one by hand learns it at once.
class Faults
{
public:
    /// Does it, or notes why it cannot be done. Returns whether it was done.
    template <class Action> bool attempt(Action action)
    {
        try
        {
            action();
            return true;
        }
        catch (const Malformed& fault)
        {
            faults_.push_back(fault);
            return false;
        }
    }
    [[nodiscard]] bool empty() const { return faults_.empty(); }
    /// Throws Malformed with all of them, if there are any.
    void require_none() const
    {
        if (faults_.size() == 1)
        {
            throw faults_.front();
        }
        if (faults_.empty())
        {
            return;
        }
        constexpr std::size_t most = 20; // of a generator's fault that is everywhere
        std::string list;
        for (std::size_t i = 0; i < std::min(faults_.size(), most); ++i)
        {
            const Malformed& fault = faults_[i];
            list += (i == 0 ? "" : " | ") + shown(fault.pointer) + ": " + shown(fault.problem) +
                    "; " + fault.remedy;
        }
        if (faults_.size() > most)
        {
            list += " | and " + std::to_string(faults_.size() - most) + " more";
        }
        throw Malformed{"", "the header has " + std::to_string(faults_.size()) + " faults", list};
    }

private:
    std::vector<Malformed> faults_;
};

/// Walks an object, checking types and telling unknown keys from ignored ones.
class Reader
{
public:
    /// Keeps a reference to the faults.
    Reader(const Json& value, std::string pointer, Faults& faults)
        : value_(value), pointer_(std::move(pointer)), faults_(faults)
    {
    }

    [[nodiscard]] const std::string& pointer() const { return pointer_; }
    [[nodiscard]] std::string at(const std::string& key) const { return pointer_to(pointer_, key); }

    /// Reads a part, or notes what is wrong with it. Returns whether it was read.
    template <class Action> bool attempt(Action action) const { return faults_.attempt(action); }
    /// Throws unless this is an object; notes keys that are none of these (nor x-...).
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
                attempt(
                    [&] {
                        fail(at(key), "is an unknown key",
                             "use " + list + ", or a key beginning with x-");
                    });
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
            fail(at(key), "is missing", "add it");
        }
        return {value_[key], at(key), faults_};
    }
    /// A member out of value().items().
    [[nodiscard]] Reader member(const std::string& key, const Json& value) const
    {
        return {value, at(key), faults_};
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
            items.emplace_back(item, pointer_ + '/' + std::to_string(items.size()), faults_);
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
    Faults& faults_;
};

/// Reads a member that may be missing, or notes what is wrong with it.
template <class Read> void optional(const Reader& in, const char* key, Read read)
{
    if (in.has(key))
    {
        in.attempt([&] { read(in[key]); });
    }
}

Tensor read_tensor(const Reader& in)
{
    in.only({"name", "shape", "bits"});
    Tensor tensor;
    optional(in, "name", [&](const Reader& name) { tensor.name = name.text(); });
    in.attempt(
        [&]
        {
            const std::vector<Reader> shape = in["shape"].list_of(3);
            tensor.height = shape[0].number32(1);
            tensor.width = shape[1].number32(1);
            tensor.channels = shape[2].number32(1);
        });
    in.attempt([&] { tensor.bits = static_cast<std::uint8_t>(in["bits"].number(1, kMaxBits)); });
    return tensor;
}

TracedLayer read_layer(const Reader& in)
{
    in.only({"name", "kind", "output", "vectors", "input_bits"});
    TracedLayer layer;
    layer.input_bits = 8;
    optional(in, "name", [&](const Reader& name) { layer.name = name.text(); });
    optional(in, "kind", [&](const Reader& kind) { layer.kind = kind.text(); });
    optional(in, "output",
             [&](const Reader& output)
             { layer.output = TensorId(output.number32(0, 0xffff'fffeU)); });
    optional(in, "vectors",
             [&](const Reader& vectors) { layer.vectors = vectors.number(0, kMaxNumber); });
    optional(in, "input_bits",
             [&](const Reader& bits)
             { layer.input_bits = static_cast<std::uint8_t>(bits.number(1, kMaxBits)); });
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

/// The items of a list, each read by `read`.
template <class Read> void each(const Reader& in, const char* key, Read read)
{
    in.attempt(
        [&]
        {
            for (const Reader& item : in[key].list())
            {
                in.attempt([&] { read(item); });
            }
        });
}

void read_network(const Reader& in, Header& header)
{
    in.only({"name", "tensors", "layers"});
    optional(in, "name", [&](const Reader& name) { header.network = name.text(); });
    if (in.has("tensors"))
    {
        each(in, "tensors",
             [&](const Reader& tensor) { header.tensors.push_back(read_tensor(tensor)); });
    }
    if (in.has("layers"))
    {
        each(in, "layers",
             [&](const Reader& layer) { header.layers.push_back(read_layer(layer)); });
    }
}

/// First and last of a pair of numbers.
void read_pair(const Reader& in, std::uint32_t& first, std::uint32_t& second)
{
    const std::vector<Reader> pair = in.list_of(2);
    first = pair[0].number32();
    second = pair[1].number32();
}

/// A block but for its place.
Block read_block(const Reader& in)
{
    in.only({"layer", "copy", "rows", "columns", "at", "corner", "replicas", "references"});
    Block block;
    block.replicas = 1;
    optional(in, "layer",
             [&](const Reader& layer) { block.layer = LayerId(layer.number32(0, 0xffff'fffeU)); });
    optional(in, "copy", [&](const Reader& copy) { block.copy = copy.number32(); });
    in.attempt([&] { read_pair(in["rows"], block.row_begin, block.row_end); });
    in.attempt([&] { read_pair(in["columns"], block.column_begin, block.column_end); });
    optional(in, "corner",
             [&](const Reader& corner) { read_pair(corner, block.row_at, block.column_at); });
    optional(in, "replicas",
             [&](const Reader& replicas) { block.replicas = replicas.number32(1); });
    optional(in, "references",
             [&](const Reader& references) { block.references = references.number32(0, 1); });
    return block;
}

/// Returns whether units can be told by what `tiles` and `memory_ports` say.
bool read_sizes(const Reader& in, Header& header)
{
    const bool tiles = in.attempt([&] { header.tiles = in["tiles"].number32(0, kMaxTiles); });
    bool ports = true;
    if (in.has("memory_ports"))
    {
        ports = in.attempt(
            [&] { header.memory_ports = in["memory_ports"].number32(0, kMaxMemoryPorts); });
    }
    return tiles && ports;
}

/// `known`: units can be told.
void read_counts(const Reader& in, Header& header, bool known)
{
    in.only({"operations", "units"});
    in.attempt([&] { header.operations = in["operations"].number(0, kMaxNumber); });
    in.attempt(
        [&]
        {
            const Reader units = in["units"];
            units.object();
            for (const auto& item : units.value().items())
            {
                const std::string at = units.at(item.key());
                in.attempt(
                    [&]
                    {
                        const std::uint64_t count =
                            units.member(item.key(), item.value()).number(0, kMaxNumber);
                        if (known)
                        {
                            header.units.push_back(read_unit(header, item.key(), at));
                            header.units.back().operations = count;
                        }
                    });
            }
        });
}

/// Blocks, and by block the macro that it lies in.
std::vector<TracedUnit> read_placement(const Reader& in, Header& header, bool known)
{
    std::vector<TracedUnit> homes;
    in.only({"blocks"});
    each(in, "blocks",
         [&](const Reader& entry)
         {
             header.blocks.push_back(read_block(entry));
             const std::string at = entry["at"].text();
             if (known)
             {
                 homes.push_back(read_unit(header, at, entry.at("at")));
             }
         });
    return homes;
}

/// Reads what needs an addition that is easily forgotten, or notes it.
template <class Read> void sealed(const Reader& in, const char* key, Read read)
{
    in.attempt(
        [&]
        {
            if (!in.has(key))
            {
                fail(in.at(key), "is missing",
                     "add it, or let `tessera trace seal` add counts, window and the last line");
            }
            read(in[key]);
        });
}

Header read(const Json& json)
{
    Faults faults;
    const Reader in(json, "", faults);
    in.object();
    if (!in.has("format") || !json["format"].is_string() || json["format"] != "tessera-trace")
    {
        fail("/format", "this is not a trace: format is not \"tessera-trace\"",
             "give a trace (*.trace.jsonl, *.trace.jsonl.gz or *.trace.h5)");
    }
    in.attempt(
        [&]
        {
            const std::string version = in["version"].text();
            if (version != "1.0")
            {
                fail("/version", "version " + version + " is not known",
                     "this program reads version 1.0");
            }
        });
    in.only({"format", "version", "producer", "network", "mapping", "placement", "tiles",
             "memory_ports", "counts", "window"});

    Header header;
    header.producer = "unknown";
    optional(in, "producer", [&](const Reader& producer) { header.producer = producer.text(); });
    const bool known = read_sizes(in, header);
    optional(in, "network", [&](const Reader& network) { read_network(network, header); });
    optional(in, "mapping",
             [&](const Reader& mapping)
             {
                 mapping.object();
                 for (const auto& item : mapping.value().items())
                 {
                     in.attempt(
                         [&] {
                             header.mapping[item.key()] =
                                 mapping.member(item.key(), item.value()).text();
                         });
                 }
             });
    sealed(in, "counts", [&](const Reader& counts) { read_counts(counts, header, known); });
    std::vector<TracedUnit> homes;
    optional(in, "placement",
             [&](const Reader& placement) { homes = read_placement(placement, header, known); });
    sealed(in, "window",
           [&](const Reader& window) { header.window = window.number(0, kMaxNumber); });
    faults.require_none();
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
    check_header(header);
    return header;
}

} // namespace

Header parse_header(std::string_view text, const std::string& file)
{
    const JsonDocument document = parse_json(text, file);
    try
    {
        return read(document.value());
    }
    catch (const Malformed& problem)
    {
        // Several faults are one message; what is in it of the file has been made fit for that.
        throw InputError({file, 1, shown(problem.pointer)}, shown(problem.problem), problem.remedy);
    }
}

namespace
{

void check_units(const Header& header)
{
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
}

void check_tensor(const Tensor& tensor, const std::string& pointer)
{
    if (tensor.height == 0 || tensor.width == 0 || tensor.channels == 0 || tensor.bits == 0 ||
        tensor.bits > kMaxBits)
    {
        fail(pointer, "is empty, or its elements have not 1 to 64 bits", "correct its shape");
    }
    // A product of three such numbers and 64 bits may not fit into 64 bits.
    if (std::uint64_t{tensor.height} * tensor.width > (std::uint64_t{1} << 56U) / tensor.channels)
    {
        fail(pointer + "/shape", "has more than 2^56 elements", "correct its shape");
    }
}

void check_layer(const Header& header, const TracedLayer& layer, const std::string& pointer)
{
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

void check_block(const Header& header, const Block& block, const std::string& pointer)
{
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

} // namespace

void check_header(const Header& header)
{
    if (header.tiles > kMaxTiles || header.memory_ports > kMaxMemoryPorts)
    {
        fail(header.tiles > kMaxTiles ? "/tiles" : "/memory_ports", "is too great",
             "the limits are 1048576 tiles and 65536 memory ports");
    }
    Faults faults;
    faults.attempt(
        [&]
        {
            check_units(header);
            if (header.window > header.operations)
            {
                fail("/window",
                     "is greater than the number of operations, " +
                         std::to_string(header.operations),
                     "give the greatest distance in lines between an operation and its "
                     "predecessor on the same unit");
            }
        });
    const auto check_all = [&](const auto& list, const std::string& pointer, const auto& check)
    {
        for (std::size_t i = 0; i < list.size(); ++i)
        {
            faults.attempt([&] { check(list[i], pointer + std::to_string(i)); });
        }
    };
    check_all(header.tensors, "/network/tensors/", check_tensor);
    check_all(header.layers, "/network/layers/",
              [&](const TracedLayer& layer, const std::string& pointer)
              { check_layer(header, layer, pointer); });
    check_all(header.blocks, "/placement/blocks/",
              [&](const Block& block, const std::string& pointer)
              { check_block(header, block, pointer); });
    faults.require_none();
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
