// SPDX-License-Identifier: Apache-2.0
#include "trace/seal.h"

#include "base/json.h"
#include "trace/text.h"
#include "trace/text_file.h"
#include "trace/tools.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

namespace tessera::trace
{
namespace
{

using Json = nlohmann::ordered_json; // keys stay where their author put them

/// What the lines of a text say, as far as a header needs it.
struct Survey
{
    std::string header;                         ///< as it stands
    std::map<std::string, std::uint64_t> units; ///< operations by unit
    std::uint64_t operations = 0;
    std::uint64_t window = 0;
    std::uint64_t end = 0; ///< number of the last line, if that is one; 0: there is none
};

/// Members that are texts, of a line that is JSON; what is not is judged by the parser.
std::string member(const nlohmann::json& line, const char* key)
{
    return line.is_object() && line.contains(key) && line[key].is_string()
               ? line[key].get<std::string>()
               : "";
}

Survey survey(const std::string& path)
{
    LineInput input(path);
    if (!input.next())
    {
        throw InputError({path, 0, ""}, "the file is empty",
                         "the first line of a trace is its header, one JSON object");
    }
    Survey all;
    all.header = input.line();
    std::unordered_map<std::string, std::uint64_t> latest; ///< by unit, counted from 1
    while (all.end == 0 && input.next())
    {
        const auto line = nlohmann::json::parse(input.line(), nullptr, false);
        const std::string unit = member(line, "at");
        if (line.is_object() && line.contains("end"))
        {
            all.end = input.number();
        }
        else if (!unit.empty() && member(line, "op").rfind("x-", 0) != 0)
        {
            ++all.operations;
            ++all.units[unit];
            std::uint64_t& before = latest[unit];
            all.window = std::max(all.window, all.operations - before);
            before = all.operations;
        }
    }
    return all;
}

/// The header with what it lacks. Throws InputError for one that is wrong otherwise.
std::string completed(const Survey& all, const std::string& path)
{
    // Says what is wrong, and where, in more detail than the other parser.
    const JsonDocument document = parse_json(all.header, path);
    const bool counted = document.value().is_object() && document.value().contains("counts");
    const bool measured = document.value().is_object() && document.value().contains("window");
    if (!document.value().is_object() || (counted && measured))
    {
        return all.header;
    }
    if (all.end != 0)
    {
        throw InputError({path, all.end, "/end"},
                         std::string("is there, but the header lacks `") +
                             (counted ? "window" : "counts") + "`, which it was made with",
                         "remove this line: seal adds it again");
    }
    Json header = Json::parse(all.header);
    const Json window = measured ? header["window"] : Json();
    if (!counted)
    {
        header["counts"] = {{"operations", 0}, {"units", Json::object()}};
    }
    header["window"] = 0;
    const Header rest = parse_header(text_of(header), path); // before anything is made of it
    std::uint64_t operations = rest.operations;
    if (!counted)
    {
        // Names that are no units are left to their lines, which are judged later.
        for (const auto& [unit, count] : all.units)
        {
            if (parse_unit(unit, rest.tiles, rest.memory_ports))
            {
                header["counts"]["units"][unit] = count;
                operations += count;
            }
        }
        header["counts"]["operations"] = operations;
    }
    header["window"] = measured ? window : Json(std::min(all.window, operations));
    return text_of(header);
}

/// Operations of a text without a last line, under a header made for it.
class OpenReader final : public Reader
{
public:
    OpenReader(const std::string& path, const std::string& header_text)
        : input_(path), header_(parse_header(header_text, path)), parser_(header_), tally_(header_)
    {
        input_.next();
    }

    [[nodiscard]] const Header& header() const override { return header_; }
    [[nodiscard]] std::uint64_t line() const override { return input_.number(); }
    [[nodiscard]] std::uint32_t declared_crc() const override { return 0; }

    bool next(Operation& operation) override
    {
        while (input_.next())
        {
            try
            {
                const std::string_view line = input_.line();
                const Line kind =
                    parser_.parse(line.data(), line.size(), input_.capacity(), operation, end_);
                if (kind == Line::operation)
                {
                    tally_.add(operation);
                    return true;
                }
            }
            catch (const Malformed& problem)
            {
                refuse_syntax();
                throw InputError({input_.path(), input_.number(), shown(problem.pointer)},
                                 shown(problem.problem), problem.remedy);
            }
        }
        if (tally_.operations() != header_.operations)
        {
            throw InputError({input_.path(), 1, "/counts/operations"},
                             "is " + std::to_string(header_.operations) + ", but there are " +
                                 std::to_string(tally_.operations()) + " operations",
                             "leave `counts` out: seal adds it");
        }
        return false;
    }

private:
    /// Throws InputError where the line is no JSON: the survey has counted no such line, and what
    /// the parser says of its beginning would mislead.
    void refuse_syntax() const
    {
        const std::string_view line = input_.line();
        if (nlohmann::json::accept(line.begin(), line.end()))
        {
            return;
        }
        try
        {
            static_cast<void>(parse_json(line, input_.path()));
        }
        catch (const InputError& error)
        {
            throw InputError({input_.path(), input_.number(), ""}, error.problem(), error.remedy());
        }
    }

    LineInput input_;
    const Header header_;
    LineParser parser_;
    Tally tally_;
    EndLine end_;
};

/// Lines of a text as they stand, and their checksum.
class Copy
{
public:
    Copy(const std::string& path, Existing existing) : output_(path, existing) {}

    void line(std::string_view text)
    {
        write(text);
        write("\n");
    }
    void end(std::uint64_t operations)
    {
        output_.write(R"({"end":true,"ops":)" + std::to_string(operations) + R"(,"crc32":")" +
                      hex(crc_) + "\"}\n");
    }
    void commit() { output_.commit(); }

private:
    void write(std::string_view text)
    {
        crc_ = crc32_of(crc_, text.data(), text.size());
        output_.write(text);
    }
    TextOutput output_;
    std::uint32_t crc_ = 0;
};

} // namespace

void seal(const std::string& in, const std::string& out, Existing existing)
{
    if (!ends_with(out, ".jsonl") && !ends_with(out, ".jsonl.gz"))
    {
        throw UsageError("seal writes text: give " + out +
                         " a name ending in .trace.jsonl or .trace.jsonl.gz (`tessera trace "
                         "convert` makes .trace.h5 of that)");
    }
    const Survey all = survey(in);
    const std::string header = completed(all, in);
    if (all.end != 0)
    {
        static_cast<void>(check(in));
    }
    const std::uint64_t operations =
        all.end != 0 ? 0 : check(in, std::make_unique<OpenReader>(in, header)).operations;
    LineInput input(in);
    Copy copy(out, existing);
    copy.line(header);
    input.next();
    while (input.next())
    {
        copy.line(input.line());
    }
    if (all.end == 0)
    {
        copy.end(operations);
    }
    copy.commit();
}

} // namespace tessera::trace
