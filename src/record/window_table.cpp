// SPDX-License-Identifier: Apache-2.0
#include "record/window_table.h"

#include "base/input_file.h"
#include "base/json.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <string_view>
#include <utility>

namespace tessera::record
{
namespace
{

constexpr std::size_t kMostBytes = std::size_t{1} << 30U;

/// One line of the file, read with a message for everything that is not as it should be.
class Line
{
public:
    Line(std::string file, std::uint64_t number, std::string_view text)
        : file_(std::move(file)), number_(number), document_(parse(text))
    {
        if (!document_.value().is_object())
        {
            fail("", "must be an object, not " + std::string(type_name(document_.value())));
        }
    }

    [[nodiscard]] std::uint64_t whole(const std::string& key) const
    {
        return whole(document_.value(), "", key);
    }
    [[nodiscard]] double real(const std::string& key) const
    {
        return real(document_.value(), "", key);
    }
    /// Calls `look(name, item, pointer)` for the items of a list.
    template <class Look> void for_each(const std::string& key, const Look& look) const
    {
        const nlohmann::json& list = at(document_.value(), "", key);
        if (!list.is_array())
        {
            fail("/" + key, "must be a list");
        }
        for (std::size_t i = 0; i < list.size(); ++i)
        {
            const std::string pointer = "/" + key + "/" + std::to_string(i);
            const nlohmann::json& name = at(list[i], pointer, "name");
            if (!name.is_string())
            {
                fail(pointer + "/name", "must be text");
            }
            look(name.get<std::string>(), list[i], pointer);
        }
    }
    /// Name and figure of the item of a list whose `figure` is the greatest; nothing in an empty
    /// one.
    [[nodiscard]] std::pair<std::string, double> greatest(const std::string& key,
                                                          const std::string& figure) const
    {
        std::pair<std::string, double> best;
        for_each(
            key,
            [&](const std::string& name, const nlohmann::json& item, const std::string& pointer)
            {
                const double value = real(item, pointer, figure);
                if (value > best.second)
                {
                    best = {name, value};
                }
            });
        return best;
    }
    [[nodiscard]] double real(const nlohmann::json& in, const std::string& pointer,
                              const std::string& key) const
    {
        const nlohmann::json& value = at(in, pointer, key);
        if (!value.is_number() || value.get<double>() < 0)
        {
            fail(pointer + "/" + key, "must be a number from 0");
        }
        return value.get<double>();
    }
    [[nodiscard]] std::uint64_t whole(const nlohmann::json& in, const std::string& pointer,
                                      const std::string& key) const
    {
        const nlohmann::json& value = at(in, pointer, key);
        if (!value.is_number_unsigned())
        {
            fail(pointer + "/" + key, "must be a whole number from 0");
        }
        return value.get<std::uint64_t>();
    }
    [[noreturn]] void fail(const std::string& pointer, const std::string& problem) const
    {
        throw InputError({file_, number_, pointer}, problem, "run again with --stats-every");
    }

private:
    [[nodiscard]] JsonDocument parse(std::string_view text) const
    {
        try
        {
            return parse_json(text, file_);
        }
        catch (const InputError& error)
        {
            throw InputError({file_, number_, error.place().pointer}, error.problem(),
                             error.remedy());
        }
    }
    [[nodiscard]] const nlohmann::json& at(const nlohmann::json& in, const std::string& pointer,
                                           const std::string& key) const
    {
        if (!in.is_object() || !in.contains(key))
        {
            fail(pointer, "has no \"" + key + "\"");
        }
        return in.at(key);
    }

    std::string file_;
    std::uint64_t number_;
    JsonDocument document_;
};

Cell text_cell(const std::string& text)
{
    return text.empty() ? Cell{} : Cell{text};
}

/// Bytes in every buffer at the end of a window.
using Held = std::map<std::string, double>;

/// Name and mean bytes of the fullest buffer in a window; `held` becomes what is there at its end.
std::pair<std::string, double> fullest(const Line& line, Held& held)
{
    std::pair<std::string, double> best;
    const auto look = [&best](const std::string& name, double mean)
    {
        if (mean > best.second)
        {
            best = {name, mean};
        }
    };
    std::map<std::string, std::pair<double, double>> changed; // mean, and bytes at the end
    line.for_each(
        "buffers",
        [&](const std::string& name, const nlohmann::json& item, const std::string& pointer) {
            changed[name] = {line.real(item, pointer, "mean"), line.real(item, pointer, "bytes")};
        });
    for (const auto& [name, bytes] : held)
    {
        if (changed.count(name) == 0)
        {
            look(name, bytes);
        }
    }
    for (const auto& [name, figures] : changed)
    {
        look(name, figures.first);
        held[name] = figures.second;
    }
    return best;
}

std::vector<Cell> row_of(const Line& line, std::uint64_t begin, Held& held)
{
    const std::uint64_t end = line.whole("end");
    if (line.whole("begin") != begin || end < begin)
    {
        line.fail("", "must begin where the window before it ended, and end later");
    }
    const std::uint64_t windows = line.whole("windows");
    if (windows == 0 || (end - begin) % windows != 0)
    {
        line.fail("/windows", "must be a number of windows of equal length");
    }
    const double length = static_cast<double>(end - begin);
    const auto [layer, macro_time] = line.greatest("layers", "macro_time");
    const auto [link, busy] = line.greatest("links", "busy");
    const auto [buffer, mean] = fullest(line, held);
    return {TimeCell{begin},
            TimeCell{end},
            windows,
            line.whole("operations"),
            line.whole("mvm_vectors"),
            line.whole("events"),
            ShareCell{line.real("utilization")},
            text_cell(layer),
            text_cell(link),
            link.empty() || length == 0 ? Cell{} : Cell{ShareCell{busy / length}},
            text_cell(buffer),
            buffer.empty() ? Cell{} : Cell{mean}};
}

} // namespace

Table window_table(const std::string& path)
{
    namespace fs = std::filesystem;
    std::error_code error;
    const std::string file =
        fs::is_directory(path, error) ? (fs::path(path) / "windows.jsonl").string() : path;
    if (!fs::exists(file, error))
    {
        throw InputError({file, 0, ""}, "is not there",
                         "only runs with --stats-every write windows");
    }
    const std::string content = InputFile(file, InputFile::Pipes::refuse).read_all(kMostBytes);
    if (content.size() == kMostBytes)
    {
        throw InputError({file, 0, ""}, "is larger than a GiB",
                         "give a longer time to --stats-every");
    }
    Table table{"Windows",
                {time("begin"), time("end"), number("windows"), number("operations"),
                 number("mvm_vectors"), number("events"), share("utilization"),
                 text("busiest layer"), text("busiest link"), share("link_busy"),
                 text("fullest buffer"), number("buffer_mean_B")},
                {},
                ""};
    std::uint64_t begin = 0;
    std::uint64_t windows = 0;
    Held held;
    std::size_t at = 0;
    for (std::size_t end = 0; (end = content.find('\n', at)) != std::string::npos; at = end + 1)
    {
        const Line line(file, table.rows.size() + 1,
                        std::string_view(content).substr(at, end - at));
        table.rows.push_back(row_of(line, begin, held));
        begin = line.whole("end");
        windows += line.whole("windows");
    }
    table.note = std::to_string(windows) + " of them" +
                 (at == content.size() ? "" : "; the last one is not complete");
    return table;
}

} // namespace tessera::record
