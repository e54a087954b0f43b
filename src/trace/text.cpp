// SPDX-License-Identifier: Apache-2.0
#include "trace/text.h"

#include <algorithm>
#include <cstring>
#include <sys/stat.h>

namespace tessera::trace
{
namespace
{

/// So many lines of foreign kinds are allowed in any trace. (Compressed, an endless number of them
/// takes no space.)
constexpr std::uint64_t kMostIgnored = 100'000;
constexpr std::size_t kFlushAt = std::size_t{1} << 18U;

bool is_regular(const std::string& path)
{
    struct stat info = {};
    return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

Header checked(const Header& header, const std::string& file)
{
    try
    {
        check_header(header);
    }
    catch (const Malformed& problem)
    {
        throw InputError({file, 1, problem.pointer}, problem.problem, problem.remedy);
    }
    return header;
}

} // namespace

Tally::Tally(const Header& header) : header_(&header)
{
    units_.reserve(header.units.size());
    for (const TracedUnit& unit : header.units)
    {
        units_.push_back({unit.operations, 0});
    }
}

void Tally::add(const Operation& operation)
{
    if (latest_.valid() && !(latest_ < operation.id))
    {
        throw Malformed{"/id",
                        "is " + std::to_string(operation.id.value()) +
                            ", but the operation before has " + std::to_string(latest_.value()),
                        "ids rise from line to line"};
    }
    Unit& own = units_[operation.at.index()];
    if (own.left == 0)
    {
        const TracedUnit& unit = header_->units[operation.at.index()];
        throw Malformed{"/at",
                        unit.name(header_->tiles) + " has more operations than the " +
                            std::to_string(unit.operations) + " of the header's counts.units",
                        "correct the count"};
    }
    ++operations_;
    const std::uint64_t distance = operations_ - own.latest;
    if (distance > header_->window)
    {
        throw Malformed{"/at",
                        "comes " + std::to_string(distance) +
                            " lines after the operation before it on the same unit, but the "
                            "header's window is " +
                            std::to_string(header_->window),
                        "correct the window: it counts from the header line for the first "
                        "operation of a unit"};
    }
    window_ = std::max(window_, distance);
    --own.left;
    own.latest = operations_;
    latest_ = operation.id;
}

TextReader::TextReader(const std::string& path) : TextReader(path, true) {}

TextReader::TextReader(const std::string& path, bool compare_checksum)
    : input_(path), compare_checksum_(compare_checksum)
{
    if (!input_.next())
    {
        throw InputError({path, 0, ""}, "the file is empty",
                         "the first line of a trace is its header, one JSON object");
    }
    if (!input_.complete())
    {
        throw InputError({path, 1, ""}, "the file ends within its first line",
                         "copy or write the file again");
    }
    header_ = std::make_unique<Header>(parse_header(input_.line(), path));
    parser_.emplace(*header_);
    tally_.emplace(*header_);
    if (header_->operations == 0)
    {
        finish();
    }
}

InputError TextReader::located(const Malformed& problem) const
{
    const Place place = {input_.path(), input_.number(), shown(problem.pointer)};
    if (!input_.complete())
    {
        return {place, "the file ends within this line: " + shown(problem.problem),
                "copy or write the file again"};
    }
    return {place, shown(problem.problem), problem.remedy};
}

Line TextReader::read_line(Operation& operation)
{
    for (;;)
    {
        if (!input_.next())
        {
            throw InputError({input_.path(), input_.number(), ""},
                             "the file ends without its last line, after " +
                                 std::to_string(tally_->operations()) + " of " +
                                 std::to_string(header_->operations) + " operations",
                             "copy or write the file again");
        }
        const std::string_view line = input_.line();
        try
        {
            const Line kind =
                parser_->parse(line.data(), line.size(), input_.capacity(), operation, end_);
            if (kind == Line::ignored)
            {
                if (++ignored_ > kMostIgnored && ignored_ > header_->operations)
                {
                    throw Malformed{"/op", "more lines are to be ignored than there are operations",
                                    "keep what is not for Tessera in a file of its own"};
                }
                continue;
            }
            if (kind == Line::operation)
            {
                tally_->add(operation);
            }
            if (kind == Line::operation && !input_.complete())
            {
                throw Malformed{"", "the last line is missing", ""};
            }
            return kind;
        }
        catch (const Malformed& problem)
        {
            throw located(problem);
        }
    }
}

bool TextReader::next(Operation& operation)
{
    if (finished_)
    {
        return false;
    }
    if (read_line(operation) == Line::end)
    {
        throw InputError({input_.path(), input_.number(), "/end"},
                         "the trace ends after " + std::to_string(tally_->operations()) + " of " +
                             std::to_string(header_->operations) + " operations",
                         "correct the header's counts or add what is missing");
    }
    line_ = input_.number();
    if (tally_->operations() == header_->operations)
    {
        finish();
    }
    return true;
}

void TextReader::finish()
{
    const std::string& path = input_.path();
    if (read_line(scratch_) == Line::operation)
    {
        throw InputError({path, input_.number(), ""},
                         "there are more operations than the " +
                             std::to_string(header_->operations) + " of the header",
                         "correct counts.operations");
    }
    const std::uint64_t last = input_.number();
    if (end_.operations != header_->operations)
    {
        throw InputError({path, last, "/ops"},
                         "is " + std::to_string(end_.operations) + ", but the header says " +
                             std::to_string(header_->operations),
                         "make them agree");
    }
    const std::uint32_t raw = input_.crc_before();
    if (input_.next())
    {
        throw InputError({path, input_.number(), ""}, "something follows the last line",
                         "remove it: nothing may follow the line with \"end\"");
    }
    finished_ = true;
    if (!compare_checksum_ || raw == end_.crc)
    {
        return;
    }
    // Not the bytes as they stand; then the file has to be a differently written form of those that
    // were summed up, and only reading it again can tell.
    const std::uint32_t canonical = is_regular(path) ? canonical_crc() : raw;
    if (canonical != end_.crc)
    {
        throw InputError({path, last, "/crc32"},
                         "is " + hex(end_.crc) + ", but the lines before have " + hex(raw) +
                             ", and " + hex(canonical) + " in canonical form",
                         "the file is damaged or was edited: write it again, or correct the "
                         "checksum");
    }
}

std::uint32_t TextReader::canonical_crc() const
{
    TextReader again(input_.path(), false);
    const LineFormat format(again.header());
    std::string text = header_text(again.header()) + '\n';
    std::uint32_t crc = 0;
    Operation operation;
    while (again.next(operation))
    {
        format.append(text, operation);
        if (text.size() >= kFlushAt)
        {
            crc = crc32_of(crc, text.data(), text.size());
            text.clear();
        }
    }
    return crc32_of(crc, text.data(), text.size());
}

TextWriter::TextWriter(const Header& header, std::string name)
    : name_(std::move(name)),
      header_(checked(header, name_)),
      format_(header_),
      rules_(header_),
      tally_(header_),
      buffer_(header_text(header_) + '\n')
{
    buffer_.reserve(buffer_.size() + 2 * kFlushAt);
}

TextWriter::TextWriter(const std::string& path, const Header& header, Existing existing)
    : TextWriter(header, path)
{
    file_.emplace(path, existing);
}

TextWriter::TextWriter(std::ostream& stream, const Header& header) : TextWriter(header, "")
{
    stream_ = &stream; // NOLINT(cppcoreguidelines-prefer-member-initializer): it delegates
}

TextWriter::~TextWriter() = default;

void TextWriter::write(Operation& operation)
{
    try
    {
        rules_.check(operation);
        tally_.add(operation);
    }
    catch (const Malformed& problem)
    {
        throw InputError({name_, tally_.operations() + 2, problem.pointer}, problem.problem,
                         problem.remedy);
    }
    format_.append(buffer_, operation);
    if (buffer_.size() >= kFlushAt)
    {
        crc_ = crc32_of(crc_, buffer_.data(), buffer_.size());
        flush();
    }
}

void TextWriter::flush()
{
    if (file_)
    {
        file_->write(buffer_);
    }
    else if (!stream_->write(buffer_.data(), static_cast<std::streamsize>(buffer_.size())))
    {
        throw IoError("cannot write the trace to its stream");
    }
    buffer_.clear();
}

void TextWriter::finish()
{
    if (tally_.operations() != header_.operations)
    {
        throw InputError({name_, 1, "/counts/operations"},
                         "is " + std::to_string(header_.operations) + ", but " +
                             std::to_string(tally_.operations()) + " operations were written",
                         "correct it");
    }
    crc_ = crc32_of(crc_, buffer_.data(), buffer_.size());
    buffer_ += end_line(tally_.operations(), crc_);
    flush();
    if (file_)
    {
        file_->commit();
    }
    else if (!stream_->flush())
    {
        throw IoError("cannot write the trace to its stream");
    }
}

TextSource::TextSource(const std::string& path, std::uint64_t limit)
    : reader_(path), limit_(limit), queues_(reader_.header().units.size())
{
    if (reader_.header().window > limit_)
    {
        too_far(1, "the trace needs a window of " + std::to_string(reader_.header().window) +
                       " operations, more than the limit of " + std::to_string(limit_));
    }
}

void TextSource::too_far(std::uint64_t line, const std::string& problem) const
{
    const std::string& path = reader_.path();
    const std::string stem = path.substr(0, path.size() - (ends_with(path, ".jsonl")      ? 6
                                                           : ends_with(path, ".jsonl.gz") ? 9
                                                                                          : 0));
    throw InputError({path, line, line == 1 ? "/window" : ""}, problem,
                     "convert it: tessera trace convert " + path + " " + stem + ".h5");
}

void TextSource::keep(const Operation& operation)
{
    if (kept_ == limit_)
    {
        too_far(reader_.line(), "more than " + std::to_string(limit_) +
                                    " operations have to be kept until their units need them");
    }
    ++kept_;
    words_.assign(kRowWords, 0);
    const Row row = pack(operation, words_);
    std::memcpy(words_.data(), &row, sizeof(row));
    queues_.push(operation.at.index(), words_.data(), words_.size());
}

bool TextSource::next(UnitId unit, Operation& operation)
{
    if (!queues_.empty(unit.index()))
    {
        Row row = {};
        std::array<std::uint64_t, kRowWords> raw{};
        queues_.pop(unit.index(), raw.data(), raw.size());
        std::memcpy(&row, raw.data(), sizeof(row));
        words_.resize(words_of(row));
        queues_.pop(unit.index(), words_.data(), words_.size());
        unpack(row, words_.data(), operation);
        operation.at = unit;
        --kept_;
        return true;
    }
    while (reader_.left(unit) != 0)
    {
        reader_.next(operation);
        if (operation.at == unit)
        {
            return true;
        }
        keep(operation);
    }
    return false;
}

/// In the order of the lines: nothing is kept.
bool TextSource::images_left(const TellImages& tell)
{
    Operation operation;
    const auto told = [&]
    { return operation.kind == OpKind::program || tell(operation.image, operation.image); };
    for (std::uint32_t unit = 0; unit < header().units.size(); ++unit)
    {
        while (!queues_.empty(unit))
        {
            operation.clear();
            static_cast<void>(next(UnitId(unit), operation));
            if (!told())
            {
                return false;
            }
        }
    }
    for (operation.clear(); reader_.next(operation); operation.clear())
    {
        if (!told())
        {
            return false;
        }
    }
    return true;
}

} // namespace tessera::trace
