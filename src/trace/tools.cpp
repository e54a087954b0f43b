// SPDX-License-Identifier: Apache-2.0
#include "trace/tools.h"

#include "base/interrupt.h"
#include "tessera/error.h"
#include "trace/h5_trace.h"
#include "trace/reader.h"
#include "trace/text.h"
#include "trace/text_file.h"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

namespace tessera::trace
{
namespace
{

using Json = nlohmann::ordered_json;

enum class Encoding : std::uint8_t
{
    text,
    h5
};

Encoding encoding_of(const std::string& path)
{
    if (ends_with(path, ".h5"))
    {
        return Encoding::h5;
    }
    if (ends_with(path, ".jsonl") || ends_with(path, ".jsonl.gz"))
    {
        return Encoding::text;
    }
    throw UsageError("cannot tell how to write " + path +
                     ": give it a name ending in .trace.jsonl, .trace.jsonl.gz or .trace.h5");
}

/// A datum in the buffer of one tile.
struct DatumKey
{
    std::uint64_t producer;
    std::uint32_t node;
    friend bool operator==(const DatumKey& a, const DatumKey& b)
    {
        return a.producer == b.producer && a.node == b.node;
    }
};

struct DatumHash
{
    std::size_t operator()(const DatumKey& key) const noexcept
    {
        const std::uint64_t mixed = (key.producer ^ std::uint64_t{key.node} << 40U) *
                                    0x9e37'79b9'7f4a'7c15U; // 2^64 divided by the golden ratio
        return static_cast<std::size_t>(mixed ^ mixed >> 32U);
    }
};

struct Datum
{
    std::uint64_t bytes;
    std::uint64_t line;
    std::uint32_t uses_left;
};

/// The data alive after every line.
class LiveData
{
public:
    /// Ends one use of a datum and returns it as it is after that. Nothing: this tile holds no such
    /// datum, or all its uses are over.
    std::optional<Datum> use(OpId producer, NodeId tile)
    {
        const auto found = data_.find({producer.value(), tile.value()});
        if (found == data_.end())
        {
            return std::nullopt;
        }
        --found->second.uses_left;
        const Datum datum = found->second;
        if (datum.uses_left == 0)
        {
            data_.erase(found);
        }
        return datum;
    }
    [[nodiscard]] bool holds(OpId producer, NodeId tile) const
    {
        return data_.count({producer.value(), tile.value()}) != 0;
    }
    void make(OpId producer, NodeId tile, std::uint64_t bytes, std::uint64_t line,
              std::uint32_t uses)
    {
        if (uses != 0)
        {
            data_.emplace(DatumKey{producer.value(), tile.value()}, Datum{bytes, line, uses});
            greatest_ = std::max<std::uint64_t>(greatest_, data_.size());
        }
    }
    /// Adds what `operation` makes.
    void make_results(const Operation& operation, NodeId tile, std::uint64_t line)
    {
        if (operation.kind == OpKind::mvm || operation.kind == OpKind::vec)
        {
            make(operation.id, tile, operation.bytes, line, operation.uses);
        }
        if (operation.kind == OpKind::move || operation.kind == OpKind::load)
        {
            for (const Destination& destination : operation.to)
            {
                make(operation.id, destination.at, operation.bytes, line, destination.uses);
            }
        }
    }
    [[nodiscard]] std::uint64_t greatest() const { return greatest_; }
    [[nodiscard]] const std::unordered_map<DatumKey, Datum, DatumHash>& data() const
    {
        return data_;
    }

private:
    std::unordered_map<DatumKey, Datum, DatumHash> data_;
    std::uint64_t greatest_ = 0;
};

/// Which ids exist: one entry per stretch without gaps.
class IdSet
{
public:
    void add(std::uint64_t id)
    {
        if (!stretches_.empty() && stretches_.back().second == id)
        {
            ++stretches_.back().second;
            return;
        }
        stretches_.emplace_back(id, id + 1);
    }
    [[nodiscard]] bool contains(std::uint64_t id) const
    {
        const auto behind = std::upper_bound(stretches_.begin(), stretches_.end(), id,
                                             [](std::uint64_t value, const auto& stretch)
                                             { return value < stretch.first; });
        return behind != stretches_.begin() && id < std::prev(behind)->second;
    }

private:
    std::vector<std::pair<std::uint64_t, std::uint64_t>> stretches_; ///< half-open
};

class Checker
{
public:
    Checker(const std::string& path, std::unique_ptr<Reader> reader);
    CheckReport run();

private:
    [[noreturn]] void fail(std::uint64_t line, const std::string& pointer,
                           const std::string& problem, const std::string& remedy) const
    {
        throw InputError({path_, line, pointer}, problem, remedy);
    }
    [[nodiscard]] std::string tile_name(NodeId node) const
    {
        return node_name(node, reader_->header().tiles);
    }
    void check_order(const Operation& operation) const;
    void check_operands(const Operation& operation, NodeId tile);
    void check_block(const Operation& operation);
    void check_leftovers() const;

    std::string path_;
    std::unique_ptr<Reader> reader_;
    CheckReport report_;
    LiveData live_;
    IdSet ids_;
    std::vector<std::vector<BlockId>> held_; ///< by unit: the blocks in the macro
};

Checker::Checker(const std::string& path, std::unique_ptr<Reader> reader)
    : path_(path), reader_(std::move(reader))
{
    const Header& header = reader_->header();
    held_.resize(header.units.size());
    for (std::uint32_t i = 0; i < header.blocks.size(); ++i)
    {
        std::vector<BlockId>& held = held_[header.blocks[i].at.index()];
        const auto in_the_way = [&](BlockId other)
        { return overlap(header.blocks[i], header.blocks[other.index()]); };
        if (std::none_of(held.begin(), held.end(), in_the_way))
        {
            held.emplace_back(i);
        }
    }
    report_.units = header.units.size();
    report_.blocks = header.blocks.size();
    report_.declared_window = header.window;
}

void Checker::check_order(const Operation& operation) const
{
    for (std::size_t i = 0; i < operation.after.size(); ++i)
    {
        if (!ids_.contains(operation.after[i].value()))
        {
            fail(reader_->line(), "/after/" + std::to_string(i),
                 "there is no operation " + std::to_string(operation.after[i].value()),
                 "name an operation of an earlier line");
        }
    }
}

void Checker::check_operands(const Operation& operation, NodeId tile)
{
    const std::uint64_t line = reader_->line();
    const auto pointer = [](std::size_t i) { return "/in/" + std::to_string(i); };
    for (std::size_t i = 0; i < operation.in.size(); ++i)
    {
        const OpId producer = operation.in[i];
        const auto datum = live_.use(producer, tile);
        if (!datum)
        {
            const std::string name = "operation " + std::to_string(producer.value());
            if (!ids_.contains(producer.value()))
            {
                fail(line, pointer(i), "there is no " + name,
                     "name an operation of an earlier line");
            }
            fail(line, pointer(i),
                 "tile " + tile_name(tile) + " holds no result of " + name +
                     ": it never came there, or all its uses are over",
                 "move it there, or count this use at its producer");
        }
        if (operation.into == static_cast<std::int32_t>(i) && operation.bytes > datum->bytes)
        {
            fail(line, "/into",
                 "a result of " + std::to_string(operation.bytes) +
                     " bytes does not fit into the " + std::to_string(datum->bytes) +
                     " bytes of operand " + std::to_string(i),
                 "leave `into` out");
        }
    }
    if (operation.into >= 0)
    {
        ++report_.in_place;
        const OpId operand = operation.in[static_cast<std::size_t>(operation.into)];
        report_.in_place_shared += live_.holds(operand, tile) ? 1 : 0;
    }
}

void Checker::check_block(const Operation& operation)
{
    std::vector<BlockId>& held = held_[operation.at.index()];
    if (operation.kind == OpKind::program && !operation.block.valid())
    {
        held.clear(); // nothing is said of where the operand goes
    }
    else if (operation.kind == OpKind::program)
    {
        const std::vector<Block>& blocks = reader_->header().blocks;
        const Block& written = blocks[operation.block.index()];
        held.erase(std::remove_if(held.begin(), held.end(),
                                  [&](BlockId other)
                                  { return overlap(written, blocks[other.index()]); }),
                   held.end());
        held.push_back(operation.block);
    }
    else if (operation.kind == OpKind::mvm && operation.block.valid() &&
             std::find(held.begin(), held.end(), operation.block) == held.end())
    {
        const std::vector<Block>& blocks = reader_->header().blocks;
        const auto instead =
            std::find_if(held.begin(), held.end(),
                         [&](BlockId other) {
                             return overlap(blocks[operation.block.index()], blocks[other.index()]);
                         });
        fail(reader_->line(), "/block",
             "the macro holds " +
                 (instead == held.end() ? "weights written from an operand"
                                        : "block " + std::to_string(instead->value())) +
                 ", not block " + std::to_string(operation.block.value()),
             "program the block first; of blocks placed on the same cells only the first is there "
             "from the beginning");
    }
}

void Checker::check_leftovers() const
{
    const std::pair<const DatumKey, Datum>* first = nullptr;
    for (const auto& entry : live_.data())
    {
        if (first == nullptr || entry.second.line < first->second.line ||
            (entry.second.line == first->second.line && entry.first.node < first->first.node))
        {
            first = &entry;
        }
    }
    if (first != nullptr)
    {
        fail(first->second.line, "/uses",
             "the result of operation " + std::to_string(first->first.producer) + " in tile " +
                 tile_name(NodeId(first->first.node)) + " is read " +
                 std::to_string(first->second.uses_left) + " times less than its uses say",
             "correct `uses`: the datum would never leave its buffer");
    }
}

CheckReport Checker::run()
{
    const Header& header = reader_->header();
    const LineFormat format(header);
    Tally tally(header);
    std::string text = header_text(header) + '\n';
    std::uint32_t crc = 0;
    Operation operation;
    while (reader_->next(operation))
    {
        const NodeId tile = header.units[operation.at.index()].node;
        check_order(operation);
        check_operands(operation, tile);
        check_block(operation);
        live_.make_results(operation, tile, reader_->line());
        ids_.add(operation.id.value());
        tally.add(operation);
        ++report_.operations;
        ++report_.kinds[static_cast<std::size_t>(operation.kind)];
        report_.operands += operation.in.size();
        report_.orders += operation.after.size();
        report_.values = report_.values &&
                         (operation.kind != OpKind::mvm || operation.block.valid()) &&
                         ((operation.kind != OpKind::mvm && operation.kind != OpKind::vec) ||
                          operation.ofm.has_value());
        format.append(text, operation);
        if (text.size() > (1U << 16U))
        {
            crc = crc32_of(crc, text.data(), text.size());
            text.clear();
        }
    }
    crc = crc32_of(crc, text.data(), text.size());
    // Readers of text have compared the checksum already, of the lines as they stand if need be.
    if (is_hdf5(first_bytes(path_, 8)) && crc != reader_->declared_crc())
    {
        throw InputError({path_, 0, "/crc32"},
                         "is " + hex(reader_->declared_crc()) + ", but the contents have " +
                             hex(crc),
                         "the file is damaged: write or copy it again");
    }
    check_leftovers();
    report_.window = tally.window();
    report_.greatest_live = live_.greatest();
    report_.crc = hex(crc);
    return report_;
}

/// Lower bound of the power-of-two class of a value: 0, 1, 2, 4, 8, ...
std::uint64_t class_of(std::uint64_t value)
{
    std::uint64_t bound = value == 0 ? 0 : 1;
    while (bound != 0 && bound <= value / 2)
    {
        bound *= 2;
    }
    return bound;
}

Json histogram_json(const std::map<std::uint64_t, std::uint64_t>& histogram)
{
    Json result = Json::object();
    for (const auto& [bound, count] : histogram)
    {
        const std::uint64_t last = bound < 2 ? bound : 2 * bound - 1;
        result[bound == last ? std::to_string(bound)
                             : std::to_string(bound) + "-" + std::to_string(last)] = count;
    }
    return result;
}

struct LayerCounts
{
    std::array<std::uint64_t, kOpKinds> kinds{};
    std::uint64_t vectors = 0;
    std::uint64_t elements = 0;
    std::uint64_t moved = 0;
};

Json kinds_json(const std::array<std::uint64_t, kOpKinds>& kinds)
{
    Json result = Json::object();
    for (std::size_t kind = 0; kind < kOpKinds; ++kind)
    {
        result[name_of(static_cast<OpKind>(kind))] = kinds[kind];
    }
    return result;
}

void copy_lines(const std::string& in, const std::string& out, Existing existing)
{
    TextReader reader(in);
    Operation operation;
    while (reader.next(operation))
    {
    }
    LineInput lines(in);
    TextOutput output(out, existing);
    while (lines.next())
    {
        output.write(lines.line());
        output.write("\n");
    }
    output.commit();
}

template <class Writer> void copy_operations(Reader& reader, Writer& writer)
{
    Operation operation;
    while (reader.next(operation))
    {
        writer.write(operation);
    }
    writer.finish();
}

std::vector<std::uint64_t> count_words(const std::string& path)
{
    const std::unique_ptr<Reader> reader = open_in_order(path);
    H5Sizes sizes(reader->header());
    Operation operation;
    while (reader->next(operation))
    {
        sizes.add(operation);
    }
    return sizes.words();
}

} // namespace

CheckReport check(const std::string& path)
{
    return check(path, open_in_order(path));
}

CheckReport check(const std::string& path, std::unique_ptr<Reader> reader)
{
    return Checker(path, std::move(reader)).run();
}

Json CheckReport::json() const
{
    return {{"operations", operations},
            {"kinds", kinds_json(kinds)},
            {"units", units},
            {"blocks", blocks},
            {"operands", operands},
            {"orders", orders},
            {"in_place", in_place},
            {"in_place_shared", in_place_shared},
            {"window", window},
            {"declared_window", declared_window},
            {"greatest_live", greatest_live},
            {"crc32", crc},
            {"values", values}};
}

std::string CheckReport::text() const
{
    std::string out =
        fmt::format("{} operations on {} units, {} blocks\n", operations, units, blocks);
    for (std::size_t kind = 0; kind < kOpKinds; ++kind)
    {
        if (kinds[kind] != 0)
        {
            out += fmt::format("  {:<8} {}\n", name_of(static_cast<OpKind>(kind)), kinds[kind]);
        }
    }
    out += fmt::format("{} operands, each in the tile that reads it; all uses counted right\n",
                       operands);
    out +=
        fmt::format("{} order dependencies; up to {} data alive at once\n", orders, greatest_live);
    if (in_place != 0)
    {
        out += fmt::format("{} results in place ({} of operands that others read later)\n",
                           in_place, in_place_shared);
    }
    out += fmt::format("window {} ({} declared), checksum {}\n", window, declared_window, crc);
    out += values ? "complete enough for values\n"
                  : "for time and energy only: blocks or regions are left out\n";
    return out;
}

void check_name(const std::string& path)
{
    static_cast<void>(encoding_of(path));
}

void convert(const std::string& in, const std::string& out, bool canonical, Existing existing)
{
    if (encoding_of(out) == Encoding::h5)
    {
        const std::vector<std::uint64_t> words = count_words(in);
        const std::unique_ptr<Reader> reader = open_in_order(in);
        H5Writer writer(out, reader->header(), words, existing);
        copy_operations(*reader, writer);
    }
    else if (!canonical && !is_hdf5(first_bytes(in, 8)))
    {
        copy_lines(in, out, existing);
    }
    else
    {
        const std::unique_ptr<Reader> reader = open_in_order(in);
        TextWriter writer(out, reader->header(), existing);
        copy_operations(*reader, writer);
    }
}

Json stats(const std::string& path)
{
    const std::unique_ptr<Reader> reader = open_in_order(path);
    const Header& header = reader->header();
    Tally tally(header);
    LiveData live;
    std::array<std::uint64_t, kOpKinds> kinds{};
    std::array<std::uint64_t, kOpKinds> bytes{};
    std::vector<LayerCounts> layers(header.layers.size() + 1); // the last one: no layer
    std::map<std::uint64_t, std::uint64_t> fan_in;
    std::map<std::uint64_t, std::uint64_t> lifetimes;
    std::uint64_t greatest_fan_in = 0;
    std::uint64_t greatest_lifetime = 0;
    Operation operation;
    while (reader->next(operation))
    {
        const auto kind = static_cast<std::size_t>(operation.kind);
        const NodeId tile = header.units[operation.at.index()].node;
        const bool is_store = operation.kind == OpKind::store;
        const std::uint64_t moved =
            operation.bytes * (operation.to.empty() ? 1 : operation.to.size());
        tally.add(operation);
        ++kinds[kind];
        bytes[kind] += moved;
        ++fan_in[class_of(operation.in.size())];
        greatest_fan_in = std::max<std::uint64_t>(greatest_fan_in, operation.in.size());
        for (const OpId producer : operation.in)
        {
            const auto datum = live.use(producer, tile);
            if (datum && datum->uses_left == 0)
            {
                const std::uint64_t lifetime = reader->line() - datum->line;
                ++lifetimes[class_of(lifetime)];
                greatest_lifetime = std::max(greatest_lifetime, lifetime);
            }
        }
        live.make_results(operation, tile, reader->line());
        LayerCounts& layer =
            operation.layer.valid() ? layers[operation.layer.index()] : layers.back();
        ++layer.kinds[kind];
        layer.vectors += operation.kind == OpKind::mvm ? operation.n : 0;
        layer.elements += operation.kind == OpKind::vec ? operation.n : 0;
        layer.moved += operation.kind == OpKind::move || is_store || operation.kind == OpKind::load
                           ? moved
                           : 0;
    }
    Json units = Json::object();
    constexpr std::array<const char*, kUnitKinds> kNames = {"macros", "vector_units",
                                                            "network_interfaces", "memory_ports"};
    for (std::size_t kind = 0; kind < kUnitKinds; ++kind)
    {
        units[kNames[kind]] = std::count_if(
            header.units.begin(), header.units.end(),
            [&](const TracedUnit& unit) { return static_cast<std::size_t>(unit.kind) == kind; });
    }
    Json table = Json::array();
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        const LayerCounts& layer = layers[i];
        const bool none = i == header.layers.size();
        if (none && layer.kinds == LayerCounts().kinds)
        {
            continue;
        }
        table.push_back({{"layer", none ? Json() : Json(i)},
                         {"name", none ? "" : header.layers[i].name},
                         {"kind", none ? "" : header.layers[i].kind},
                         {"operations", kinds_json(layer.kinds)},
                         {"vectors", layer.vectors},
                         {"elements", layer.elements},
                         {"bytes_moved", layer.moved}});
    }
    return {{"producer", header.producer},
            {"network", header.network},
            {"tiles", header.tiles},
            {"memory_ports", header.memory_ports},
            {"units", units},
            {"blocks", header.blocks.size()},
            {"operations", header.operations},
            {"kinds", kinds_json(kinds)},
            {"bytes", kinds_json(bytes)},
            {"fan_in", {{"greatest", greatest_fan_in}, {"histogram", histogram_json(fan_in)}}},
            {"lifetime_lines",
             {{"greatest", greatest_lifetime}, {"histogram", histogram_json(lifetimes)}}},
            {"greatest_live", live.greatest()},
            {"window", tally.window()},
            {"declared_window", header.window},
            {"layers", table}};
}

std::string stats_text(const Json& stats)
{
    const auto number = [](const Json& json) { return json.get<std::uint64_t>(); };
    const auto text = [](const Json& json) { return json.get<std::string>(); };
    std::string out = fmt::format(
        "network {}, made by {}\n{} tiles, {} memory ports, {} blocks\n",
        stats["network"].get<std::string>().empty() ? "(unnamed)" : text(stats["network"]),
        text(stats["producer"]), number(stats["tiles"]), number(stats["memory_ports"]),
        number(stats["blocks"]));
    out += fmt::format("\n{:<8} {:>14} {:>20}\n", "kind", "operations", "bytes of results");
    for (const auto& item : stats["kinds"].items())
    {
        out += fmt::format("{:<8} {:>14} {:>20}\n", item.key(), number(item.value()),
                           number(stats["bytes"][item.key()]));
    }
    out += fmt::format("{:<8} {:>14}\n", "all", number(stats["operations"]));
    for (const auto& [key, title] : {std::pair{"fan_in", "operands per operation"},
                                     std::pair{"lifetime_lines", "lifetime of data, in lines"}})
    {
        out += fmt::format("\n{}, at most {}\n", title, number(stats[key]["greatest"]));
        for (const auto& item : stats[key]["histogram"].items())
        {
            out += fmt::format("  {:<20} {:>14}\n", item.key(), number(item.value()));
        }
    }
    out += fmt::format("\nup to {} data alive at once; window {} ({} declared)\n",
                       number(stats["greatest_live"]), number(stats["window"]),
                       number(stats["declared_window"]));
    out += fmt::format("\n{:<24} {:<12} {:>10} {:>14} {:>10} {:>14} {:>10} {:>16}\n", "layer",
                       "kind", "mvm", "vectors", "vec", "elements", "move", "bytes moved");
    for (const Json& layer : stats["layers"])
    {
        out += fmt::format("{:<24} {:<12} {:>10} {:>14} {:>10} {:>14} {:>10} {:>16}\n",
                           layer["layer"].is_null() ? "(no layer)" : text(layer["name"]),
                           text(layer["kind"]), number(layer["operations"]["mvm"]),
                           number(layer["vectors"]), number(layer["operations"]["vec"]),
                           number(layer["elements"]), number(layer["operations"]["move"]),
                           number(layer["bytes_moved"]));
    }
    return out;
}

void head(const std::string& path, std::uint64_t count, std::ostream& out)
{
    const std::unique_ptr<Reader> reader = open_in_order(path);
    const LineFormat format(reader->header());
    Operation operation;
    std::string line;
    for (; count != 0 && reader->next(operation); --count)
    {
        line.clear();
        format.append(line, operation);
        out << line;
    }
}

void write(const Trace& trace, const std::string& path, Existing existing)
{
    if (encoding_of(path) == Encoding::h5)
    {
        const MemorySource sound(trace); // sizes can only be taken of operations that are valid
    }
    const auto each = [&trace](const std::function<void(Operation&)>& take)
    {
        Operation operation;
        for (const Operation& original : trace.operations)
        {
            operation = original;
            take(operation);
        }
    };
    write(trace.header, each, path, existing);
}

void write(const Header& header, const EachOperation& each, const std::string& path,
           Existing existing)
{
    const auto put = [&](auto& writer)
    {
        each([&](Operation& operation) { writer.write(operation); });
        writer.finish();
    };
    if (encoding_of(path) == Encoding::text)
    {
        TextWriter writer(path, header, existing);
        put(writer);
        return;
    }
    H5Sizes sizes(header);
    each(
        [&](Operation& operation)
        {
            throw_if_interrupted();
            sizes.add(operation);
        });
    H5Writer writer(path, header, sizes.words(), existing);
    put(writer);
}

Trace load(const std::string& path)
{
    const std::unique_ptr<Reader> reader = open_in_order(path);
    Trace trace;
    trace.header = reader->header();
    Operation operation;
    while (reader->next(operation))
    {
        trace.operations.push_back(operation);
    }
    return trace;
}

} // namespace tessera::trace
