// SPDX-License-Identifier: Apache-2.0
#include "trace/h5_trace.h"

#include "base/h5_guard.h"
#include "base/interrupt.h"
#include "base/json.h"
#include "trace/header.h"
#include "trace/text_file.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

namespace tessera::trace
{
namespace
{

constexpr std::size_t kWriterMemory = std::size_t{64} << 20U;
constexpr std::uint64_t kLeastBlock = 4096;
constexpr std::uint64_t kGreatestBlock = std::uint64_t{1} << 20U;

struct UnitRow
{
    std::uint64_t operations;
    std::uint64_t words;
};

h5::Handle row_type()
{
    h5::Compound type(sizeof(Row));
    type.add("id", offsetof(Row, id), H5T_NATIVE_UINT64)
        .add("bytes", offsetof(Row, bytes), H5T_NATIVE_UINT64)
        .add("n", offsetof(Row, n), H5T_NATIVE_UINT32)
        .add("uses", offsetof(Row, uses), H5T_NATIVE_UINT32)
        .add("block", offsetof(Row, block), H5T_NATIVE_UINT32)
        .add("layer", offsetof(Row, layer), H5T_NATIVE_UINT32)
        .add("image", offsetof(Row, image), H5T_NATIVE_UINT32)
        .add("in", offsetof(Row, in), H5T_NATIVE_UINT16)
        .add("after", offsetof(Row, after), H5T_NATIVE_UINT16)
        .add("to", offsetof(Row, to), H5T_NATIVE_UINT16)
        .add("function", offsetof(Row, function), H5T_NATIVE_UINT16)
        .add("kind", offsetof(Row, kind), H5T_NATIVE_UINT8)
        .add("bits", offsetof(Row, bits), H5T_NATIVE_UINT8)
        .add("flags", offsetof(Row, flags), H5T_NATIVE_UINT8)
        .add("arguments", offsetof(Row, arguments), H5T_NATIVE_UINT8);
    return {H5Tcopy(type.get()), H5Tclose, "make a compound type"};
}

h5::Compound unit_type()
{
    h5::Compound type(sizeof(UnitRow));
    type.add("operations", offsetof(UnitRow, operations), H5T_NATIVE_UINT64)
        .add("words", offsetof(UnitRow, words), H5T_NATIVE_UINT64);
    return type;
}

/// A contiguous dataset of so many records, with its place in the file taken at once, so that a
/// file that is cut short is too short.
h5::Handle create_array(hid_t file, const std::string& name, hid_t type, std::uint64_t count)
{
    const hsize_t size = count;
    const h5::Handle space(H5Screate_simple(1, &size, nullptr), H5Sclose, "size " + name);
    const h5::Handle setup = h5::without_times(H5P_DATASET_CREATE);
    h5::check(H5Pset_alloc_time(setup.get(), H5D_ALLOC_TIME_EARLY), "set up " + name);
    h5::check(H5Pset_fill_time(setup.get(), H5D_FILL_TIME_NEVER), "set up " + name);
    return {
        H5Dcreate2(file, name.c_str(), type, space.get(), H5P_DEFAULT, setup.get(), H5P_DEFAULT),
        H5Dclose, "create dataset " + name};
}

void write_range(hid_t dataset, hid_t type, std::uint64_t first, std::uint64_t count,
                 const void* from)
{
    if (count == 0)
    {
        return;
    }
    const h5::Handle space(H5Dget_space(dataset), H5Sclose, "read a dataset's size");
    const hsize_t start = first;
    const hsize_t size = count;
    h5::check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &size, nullptr),
              "select records");
    const h5::Handle memory(H5Screate_simple(1, &size, nullptr), H5Sclose, "select records");
    h5::check(H5Dwrite(dataset, type, memory.get(), space.get(), H5P_DEFAULT, from),
              "write records");
}

std::string functions_text()
{
    nlohmann::json list = nlohmann::json::array();
    for (const Function& function : functions())
    {
        list.push_back({function.name, function.arguments});
    }
    return list.dump();
}

} // namespace

void H5Sizes::add(const Operation& operation)
{
    scratch_.clear();
    words_[operation.at.index()] += words_of(pack(operation, scratch_));
}

H5Writer::H5Writer(const std::string& path, const Header& header,
                   const std::vector<std::uint64_t>& words, Existing existing)
    : path_(path),
      existing_(existing),
      header_(header),
      format_(header_),
      rules_(header_),
      tally_(header_),
      limit_(std::clamp(kWriterMemory / std::max<std::size_t>(header_.units.size(), 1),
                        std::size_t{kLeastBlock}, std::size_t{kGreatestBlock}))
{
    try
    {
        check_header(header_);
        text_ = header_text(header_) + '\n';
        naming(path_, [&] { create(words); });
    }
    catch (const Malformed& problem)
    {
        throw InputError({path_, 1, problem.pointer}, problem.problem, problem.remedy);
    }
}

void H5Writer::create(const std::vector<std::uint64_t>& words)
{
    const h5::Lock lock;
    file_.emplace(path_, existing_);
    h5::set_attribute(file_->get(), "format", "tessera-trace");
    h5::set_attribute(file_->get(), "version", "1.0");
    h5::write_text(file_->get(), "header", header_text(header_));
    h5::write_text(file_->get(), "functions", functions_text());
    std::vector<UnitRow> units;
    std::uint64_t operations = 0;
    std::uint64_t all_words = 0;
    for (std::size_t unit = 0; unit < header_.units.size(); ++unit)
    {
        units.push_back({header_.units[unit].operations, words.at(unit)});
        Stream& stream = streams_.emplace_back();
        stream.row = operations;
        stream.word = all_words;
        stream.rows_left = units.back().operations;
        stream.words_left = units.back().words;
        operations += stream.rows_left;
        all_words += stream.words_left;
    }
    h5::write_array(file_->get(), "units", unit_type().get(), units.size(), units.data());
    ops_ = create_array(file_->get(), "ops", row_type().get(), operations);
    words_ = create_array(file_->get(), "words", H5T_NATIVE_UINT64, all_words);
}

void H5Writer::write(Operation& operation)
{
    throw_if_interrupted();
    try
    {
        rules_.check(operation);
        tally_.add(operation);
        Stream& stream = streams_[operation.at.index()];
        stream.rows.push_back(pack(operation, stream.words));
        if (stream.rows.size() * sizeof(Row) + stream.words.size() * sizeof(std::uint64_t) >=
            limit_)
        {
            naming(path_, [&] { flush(stream); });
        }
    }
    catch (const Malformed& problem)
    {
        throw InputError({path_, tally_.operations() + 2, problem.pointer}, problem.problem,
                         problem.remedy);
    }
    format_.append(text_, operation);
    if (text_.size() >= kLeastBlock * 16)
    {
        crc_ = crc32_of(crc_, text_.data(), text_.size());
        text_.clear();
    }
}

void H5Writer::flush(Stream& stream)
{
    if (stream.words.size() > stream.words_left)
    {
        throw Malformed{"", "needs more words than were announced", "announce what H5Sizes counts"};
    }
    const h5::Lock lock;
    write_range(ops_.get(), row_type().get(), stream.row, stream.rows.size(), stream.rows.data());
    write_range(words_.get(), H5T_NATIVE_UINT64, stream.word, stream.words.size(),
                stream.words.data());
    stream.row += stream.rows.size();
    stream.rows_left -= stream.rows.size();
    stream.word += stream.words.size();
    stream.words_left -= stream.words.size();
    stream.rows.clear();
    stream.words.clear();
}

void H5Writer::finish()
{
    const h5::Lock lock;
    for (std::size_t unit = 0; unit < streams_.size(); ++unit)
    {
        Stream& stream = streams_[unit];
        naming(path_, [&] { flush(stream); });
        if (stream.rows_left != 0 || stream.words_left != 0)
        {
            throw InputError({path_, 1, "/counts/units"},
                             header_.units[unit].name(header_.tiles) +
                                 " has fewer operations than announced",
                             "correct the header's counts.units");
        }
    }
    naming(path_,
           [&]
           {
               const std::uint32_t crc = crc32_of(crc_, text_.data(), text_.size());
               h5::set_attribute(file_->get(), "crc32", hex(crc));
               ops_.reset();
               words_.reset();
               file_->publish();
           });
}

H5Source::H5Source(const std::string& path, std::uint64_t memory) : path_(path)
{
    const h5::Lock lock;
    (void)first_bytes(path, 0); // nothing but regular files
    h5::survive(path,
                [&]
                {
                    open(path, memory);
                    read_for_trial();
                });
    open(path, memory);
    rules_.emplace(header_);
}

void H5Source::open(const std::string& path, std::uint64_t memory)
{
    file_ = h5::open_file(path);
    try
    {
        read_header();
        read_functions();
        read_units(memory);
    }
    catch (const IoError& error)
    {
        fail("", error.what());
    }
}

/// Reads something of everything, so that conversions are tried, and all of what is not simply
/// there but found through an index and filters.
void H5Source::read_for_trial() const
{
    if (h5::length(ops_.get()) != 0)
    {
        Row row = {};
        h5::read_range(ops_.get(), row_type_.get(), 0, 1, &row);
    }
    if (h5::length(words_.get()) != 0)
    {
        std::uint64_t word = 0;
        h5::read_range(words_.get(), H5T_NATIVE_UINT64, 0, 1, &word);
    }
    for (const h5::Handle* const dataset : {&ops_, &words_})
    {
        const h5::Handle creation(H5Dget_create_plist(dataset->get()), H5Pclose, "read a layout");
        if (H5Pget_layout(creation.get()) != H5D_CHUNKED)
        {
            continue;
        }
        const h5::Handle type(H5Dget_type(dataset->get()), H5Tclose, "read a type");
        const std::uint64_t size = H5Tget_size(type.get());
        const std::uint64_t records = h5::length(dataset->get());
        const std::uint64_t block = std::max<std::uint64_t>(kGreatestBlock / size, 1);
        std::vector<char> bytes(block * size);
        for (std::uint64_t first = 0; first < records; first += block)
        {
            h5::read_range(dataset->get(), type.get(), first, std::min(block, records - first),
                           bytes.data());
        }
    }
}

void H5Source::fail(const std::string& pointer, const std::string& problem,
                    const std::string& remedy) const
{
    throw InputError({path_, 0, pointer}, problem, remedy);
}

void H5Source::fail(const Cursor& cursor, const Malformed& problem) const
{
    const std::uint64_t row =
        cursor.next_row - static_cast<std::uint64_t>(cursor.rows_end - cursor.row);
    fail("/ops/" + std::to_string(row) + problem.pointer, problem.problem, problem.remedy);
}

void H5Source::read_header()
{
    for (const char* name : {"format", "version", "crc32"})
    {
        if (!h5::has_attribute(file_.get(), name))
        {
            fail("/", "lacks the attribute \"" + std::string(name) + "\": it is not a trace",
                 "give a trace (*.trace.jsonl, *.trace.jsonl.gz or *.trace.h5)");
        }
        h5::check_attribute(file_.get(), path_, "/", name, false);
    }
    if (h5::text_attribute(file_.get(), "format") != "tessera-trace")
    {
        fail("/format", "is not \"tessera-trace\"", "give a trace");
    }
    const std::string version = h5::text_attribute(file_.get(), "version");
    if (version != "1.0")
    {
        fail("/version", "version " + version + " is not known", "this program reads version 1.0");
    }
    const std::string crc = h5::text_attribute(file_.get(), "crc32");
    const auto [end, error] = std::from_chars(crc.data(), crc.data() + crc.size(), crc_, 16);
    if (crc.size() != 8 || error != std::errc() || end != crc.data() + crc.size())
    {
        fail("/crc32", "is not a checksum", "write 8 lower-case hex digits");
    }
    for (const char* name : {"/header", "/functions"})
    {
        require_scalar(h5::open_checked(file_.get(), path_, name), name);
    }
    header_ = parse_header(h5::read_text(file_.get(), "header"), path_ + ":/header");
    ops_ = h5::open_checked(file_.get(), path_, "/ops");
    words_ = h5::open_checked(file_.get(), path_, "/words");
    row_type_ = row_type();
    check_members(ops_, row_type_.get(), "/ops");
    const h5::Handle word(H5Dget_type(words_.get()), H5Tclose, "read the type of words");
    if (H5Tget_class(word.get()) != H5T_INTEGER)
    {
        fail("/words", "does not hold whole numbers");
    }
}

void H5Source::require_scalar(const h5::Handle& dataset, const std::string& name) const
{
    const h5::Handle space(H5Dget_space(dataset.get()), H5Sclose, "read a size");
    if (H5Sget_simple_extent_npoints(space.get()) != 1)
    {
        fail(name, "is not a single text");
    }
}

/// Every member that is to be read is there, and is a whole number.
void H5Source::check_members(const h5::Handle& dataset, hid_t wanted, const std::string& name) const
{
    const h5::Handle type(H5Dget_type(dataset.get()), H5Tclose, "read the type of " + name);
    if (H5Tget_class(type.get()) != H5T_COMPOUND)
    {
        fail(name, "does not hold compound records");
    }
    const int members = H5Tget_nmembers(wanted);
    for (int i = 0; i < members; ++i)
    {
        char* const spelled = H5Tget_member_name(wanted, static_cast<unsigned>(i));
        const std::string text = spelled;
        H5free_memory(spelled);
        const int index = H5Tget_member_index(type.get(), text.c_str());
        if (index < 0)
        {
            fail(name, "lacks the member \"" + text + "\"");
        }
        if (H5Tget_member_class(type.get(), static_cast<unsigned>(index)) != H5T_INTEGER)
        {
            fail(name + "/" + text, "is not a whole number");
        }
    }
}

void H5Source::read_functions()
{
    const JsonDocument document =
        parse_json(h5::read_text(file_.get(), "functions"), path_ + ":/functions");
    const nlohmann::json& list = document.value();
    if (!list.is_array())
    {
        fail("/functions", "is not a list of [name,[arguments]]");
    }
    for (const nlohmann::json& entry : list)
    {
        const std::string pointer = "/functions/" + std::to_string(function_.size());
        if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string())
        {
            fail(pointer, "is not [name,[arguments]]");
        }
        const auto function = find_function(entry[0].get<std::string>());
        // A function or argument that is no longer known matters only where it is used.
        function_.push_back(function && entry[1] == functions()[*function].arguments
                                ? *function
                                : std::uint16_t{0xffff});
    }
}

void H5Source::read_units(std::uint64_t memory)
{
    std::vector<UnitRow> units(header_.units.size());
    const h5::Handle dataset = h5::open_checked(file_.get(), path_, "/units");
    check_members(dataset, unit_type().get(), "/units");
    if (h5::length(dataset.get()) != units.size())
    {
        fail("/units", "has " + std::to_string(h5::length(dataset.get())) +
                           " entries, but the header lists " + std::to_string(units.size()) +
                           " units");
    }
    h5::read_range(dataset.get(), unit_type().get(), 0, units.size(), units.data());
    const std::uint64_t all_words = h5::length(words_.get());
    std::uint64_t operations = 0;
    std::uint64_t words = 0;
    std::uint64_t active = 0;
    cursors_.resize(units.size());
    for (std::size_t unit = 0; unit < units.size(); ++unit)
    {
        const std::string pointer = "/units/" + std::to_string(unit);
        if (units[unit].operations != header_.units[unit].operations)
        {
            fail(pointer + "/operations", "is not the number in the header");
        }
        if (units[unit].words > all_words - words)
        {
            fail(pointer + "/words", "is more than /words holds");
        }
        Cursor& cursor = cursors_[unit];
        starts_.push_back({operations, words});
        cursor.next_row = operations;
        cursor.next_word = words;
        operations += units[unit].operations;
        words += units[unit].words;
        cursor.last_row = operations;
        cursor.last_word = words;
        active += units[unit].operations != 0 ? 1 : 0;
    }
    starts_.push_back({operations, words});
    if (h5::length(ops_.get()) != operations)
    {
        fail("/ops", "has " + std::to_string(h5::length(ops_.get())) +
                         " records, but the header counts " + std::to_string(operations));
    }
    if (all_words != words)
    {
        fail("/words", "has " + std::to_string(all_words) + " words, but /units counts " +
                           std::to_string(words));
    }
    block_bytes_ =
        std::clamp(memory / std::max<std::uint64_t>(active, 1), kLeastBlock, kGreatestBlock);
}

/// Loads the next rows of a unit and their words. Contract: the buffer is used up.
bool H5Source::refill(Cursor& cursor)
{
    throw_if_interrupted();
    const std::uint64_t rows_left = cursor.last_row - cursor.next_row;
    const std::uint64_t words_left = cursor.last_word - cursor.next_word;
    if (rows_left == 0)
    {
        if (words_left != 0)
        {
            fail("/words/" + std::to_string(cursor.next_word), "belongs to no operation");
        }
        cursor = Cursor();
        return false;
    }
    // So many rows that they and their words may be expected to fill the block.
    const std::uint64_t mean = sizeof(Row) + (words_left * sizeof(std::uint64_t)) / rows_left;
    const std::uint64_t rows = std::clamp<std::uint64_t>(block_bytes_ / mean, 1, rows_left);
    const std::uint64_t most = std::min<std::uint64_t>(block_bytes_, rows_left * mean);
    const auto reserve = [&](std::uint64_t words, std::uint64_t kept)
    {
        if (cursor.capacity < words)
        {
            // NOLINTNEXTLINE(*avoid-c-arrays): not initialised, the file is read into it
            std::unique_ptr<std::uint64_t[]> larger(new std::uint64_t[words]);
            if (kept != 0)
            {
                std::memcpy(larger.get(), cursor.buffer.get(), kept);
            }
            cursor.buffer = std::move(larger);
            cursor.capacity = words;
        }
    };
    reserve(std::max(rows * kRowWords, most / sizeof(std::uint64_t)), 0);
    const h5::Lock lock;
    try
    {
        h5::read_range(ops_.get(), row_type_.get(), cursor.next_row, rows, cursor.buffer.get());
        const auto* const first = reinterpret_cast<const Row*>(cursor.buffer.get()); // NOLINT
        std::uint64_t words = words_of(first[0]);
        std::uint64_t used = 1;
        // Rows with far more words than the average are left for the next block.
        for (; used < rows; ++used)
        {
            const std::uint64_t more = words_of(first[used]);
            if ((words + more) * sizeof(std::uint64_t) + rows * sizeof(Row) > 2 * block_bytes_)
            {
                break;
            }
            words += more;
        }
        if (words > words_left)
        {
            fail("/ops/" + std::to_string(cursor.next_row),
                 "claims more words than its unit has left");
        }
        reserve(rows * kRowWords + words, rows * sizeof(Row));
        std::uint64_t* const behind = cursor.buffer.get() + rows * kRowWords;
        h5::read_range(words_.get(), H5T_NATIVE_UINT64, cursor.next_word, words, behind);
        cursor.row = reinterpret_cast<const Row*>(cursor.buffer.get()); // NOLINT
        cursor.rows_end = cursor.row + used;
        cursor.word = behind;
        cursor.next_row += used;
        cursor.next_word += words;
    }
    catch (const IoError& error)
    {
        fail("/ops/" + std::to_string(cursor.next_row), error.what());
    }
    return true;
}

void H5Source::rewind(UnitId unit)
{
    Cursor& cursor = cursors_[unit.index()];
    const Start& start = starts_[unit.index()];
    const Start& end = starts_[unit.index() + 1];
    cursor = Cursor();
    cursor.next_row = start.row;
    cursor.last_row = end.row;
    cursor.next_word = start.word;
    cursor.last_word = end.word;
}

std::optional<OpId> H5Source::peek(UnitId unit)
{
    Cursor& cursor = cursors_[unit.index()];
    if (cursor.row == cursor.rows_end && !refill(cursor))
    {
        return std::nullopt;
    }
    return OpId(cursor.row->id);
}

bool H5Source::next(UnitId unit, Operation& operation)
{
    Cursor& cursor = cursors_[unit.index()];
    if (cursor.row == cursor.rows_end && !refill(cursor))
    {
        return false;
    }
    const Row& row = *cursor.row;
    try
    {
        if (row.id < cursor.latest || row.id > kMaxNumber)
        {
            throw Malformed{"/id", "does not rise within its unit", "write the file again"};
        }
        Row known = row;
        if (row.function >= function_.size() || function_[row.function] == 0xffff)
        {
            throw Malformed{"/fn", "is a function that this program does not know",
                            "use the program that wrote the file"};
        }
        known.function = function_[row.function];
        unpack(known, cursor.word, operation);
        operation.at = unit;
        rules_->check(operation);
    }
    catch (const Malformed& problem)
    {
        fail(cursor, problem);
    }
    cursor.latest = row.id + 1;
    cursor.word += words_of(row);
    ++cursor.row;
    // With many units this one's turn comes again when its block has left the nearest cache.
    __builtin_prefetch(cursor.row);
    __builtin_prefetch(reinterpret_cast<const char*>(cursor.row + 1) - 1); // NOLINT
    __builtin_prefetch(cursor.word);
    __builtin_prefetch(cursor.word + 7);
    return true;
}

H5Reader::H5Reader(const std::string& path, std::uint64_t memory)
    : path_(path), source_(path, memory), tally_(source_.header())
{
    for (std::uint32_t unit = 0; unit < source_.header().units.size(); ++unit)
    {
        if (const auto id = source_.peek(UnitId(unit)))
        {
            heap_.emplace_back(id->value(), unit);
        }
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
}

bool H5Reader::next(Operation& operation)
{
    if (heap_.empty())
    {
        return false;
    }
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
    const UnitId unit(heap_.back().second);
    source_.next(unit, operation);
    ++line_;
    try
    {
        tally_.add(operation);
    }
    catch (const Malformed& problem)
    {
        throw InputError({path_, 0, "/ops" + problem.pointer}, problem.problem, problem.remedy);
    }
    if (const auto id = source_.peek(unit))
    {
        heap_.back().first = id->value();
        std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
    else
    {
        heap_.pop_back();
    }
    return true;
}

} // namespace tessera::trace
