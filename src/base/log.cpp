// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/log_pattern.h"
#include "base/nearest.h"
#include "base/output_file.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fnmatch.h>
#include <iterator>
#include <ostream>
#include <utility>

namespace tessera
{
namespace
{

struct TopicEntry
{
    const char* name;
    const char* doc;
};
constexpr std::array<TopicEntry, kTopics> kEntries = {{
    {"op", "operations become ready, start and end"},
    {"noc", "transfers enter the interconnect, have left, and arrive"},
    {"flit", "flits enter the mesh and pass routers (units r3, t3.port, mem0.port)"},
    {"buffer", "space of a tile (unit t3) is asked for, granted, waited for, given back"},
    {"port", "ports of a tile's buffer (unit t3.ports) are taken"},
    {"memory", "accesses of the external memory (unit mem0)"},
    {"wheel", "every wake of every unit"},
}};
constexpr const char* kAll = "all";

} // namespace

const char* name_of(Topic topic)
{
    return kEntries.at(static_cast<unsigned>(topic)).name;
}

std::vector<std::string> topic_names()
{
    std::vector<std::string> names = {kAll};
    for (const TopicEntry& entry : kEntries)
    {
        names.emplace_back(entry.name);
    }
    return names;
}

std::string topic_list()
{
    std::string text;
    for (const TopicEntry& entry : kEntries)
    {
        text += fmt::format("{:<8}{}\n", entry.name, entry.doc);
    }
    return text + R"(all     every topic

--log TOPIC[,TOPIC]...[@GLOB][,...]: a glob holds for all topics before it, back to the glob
before; topics without one are logged of all units. It names a unit (t1.m0, t1.vec, t1.ni, mem0) or
what a unit is a part of (t1), with * and ? as in a shell:
  op                   operations of all units
  op,buffer@t1         operations and space of tile 1
  op@t1.m*,buffer@t2   operations of the macros of tile 1, space of tile 2
  op@*,buffer@t2       operations of all units, space of tile 2
)";
}

namespace
{

/// Adds the topics of a word. Throws UsageError when it names none.
void add_topics(const std::string& word, LogPattern& pattern)
{
    bool found = false;
    for (unsigned i = 0; i < kTopics; ++i)
    {
        if (word == kAll || word == kEntries.at(i).name)
        {
            pattern.topics.push_back(static_cast<Topic>(i));
            found = true;
        }
    }
    pattern.all = pattern.all || word == kAll;
    if (!found)
    {
        throw UsageError("unknown log topic '" + word + "'; " + did_you_mean(word, topic_names()) +
                         "`tessera run --log list` lists them");
    }
}

/// "t0.m0, ..., mem3": the first and the last of each kind of name, which are alike but for their
/// numbers.
std::string examples(const std::vector<std::string>& names)
{
    const auto form = [](const std::string& name)
    {
        std::string letters;
        std::copy_if(name.begin(), name.end(), std::back_inserter(letters),
                     [](char c) { return c < '0' || c > '9'; });
        return letters;
    };
    std::vector<std::string> forms;
    std::vector<std::pair<std::string, std::string>> ends;
    for (const std::string& name : names)
    {
        const auto known = std::find(forms.begin(), forms.end(), form(name));
        if (known == forms.end())
        {
            forms.push_back(form(name));
            ends.emplace_back(name, name);
            continue;
        }
        ends[static_cast<std::size_t>(known - forms.begin())].second = name;
    }
    std::string text;
    for (const auto& [first, last] : ends)
    {
        text += (text.empty() ? "" : ", ") + first + (first == last ? "" : " to " + last);
    }
    return text;
}

} // namespace

std::vector<LogPattern> log_patterns(const std::vector<std::string>& texts)
{
    std::vector<LogPattern> patterns;
    for (const std::string& text : texts)
    {
        LogPattern pattern;
        for (std::size_t begin = 0; begin <= text.size();)
        {
            const std::size_t end = std::min(text.find(',', begin), text.size());
            const std::string word = text.substr(begin, end - begin);
            const std::size_t at = word.find('@');
            add_topics(word.substr(0, at), pattern);
            pattern.text += (pattern.text.empty() ? "" : ",") + word;
            begin = end + 1;
            if (at == std::string::npos)
            {
                continue;
            }
            pattern.glob = word.substr(at + 1);
            if (pattern.glob.empty())
            {
                throw UsageError("log pattern '" + word +
                                 "' names no unit after the @; give a glob, as in " +
                                 word.substr(0, at) + "@t3*");
            }
            patterns.push_back(std::move(pattern));
            pattern = {};
        }
        if (!pattern.topics.empty())
        {
            patterns.push_back(std::move(pattern));
        }
    }
    return patterns;
}

bool names_unit(const std::string& glob, const std::string& unit)
{
    for (std::size_t end = 0; end != std::string::npos;)
    {
        end = unit.find('.', end + 1);
        if (fnmatch(glob.c_str(), unit.substr(0, end).c_str(), 0) == 0)
        {
            return true;
        }
    }
    return false;
}

void check_units(const std::vector<LogPattern>& patterns,
                 const std::array<std::vector<std::string>, kTopics>& units)
{
    for (const LogPattern& pattern : patterns)
    {
        std::vector<std::string> candidates;
        for (const Topic topic : pattern.topics)
        {
            const auto& its = units.at(static_cast<unsigned>(topic));
            candidates.insert(candidates.end(), its.begin(), its.end());
        }
        const bool found =
            std::any_of(candidates.begin(), candidates.end(),
                        [&](const std::string& unit) { return names_unit(pattern.glob, unit); });
        if (found || (pattern.all && pattern.glob == "*"))
        {
            continue;
        }
        if (candidates.empty())
        {
            throw UsageError("--log " + pattern.text + ": this chip has no unit of that topic");
        }
        std::string topics;
        for (const Topic topic : pattern.topics)
        {
            topics += (topics.empty() ? "" : ", ") + std::string(name_of(topic));
        }
        throw UsageError("--log " + pattern.text + ": the glob '" + pattern.glob +
                         "' names no unit of " + (pattern.all ? kAll : topics) + "; " +
                         did_you_mean(pattern.glob, candidates) + "they are called " +
                         examples(candidates));
    }
}

Log::Log(const std::vector<std::string>& patterns, std::ostream& out) : out_(out)
{
    for (const std::string& pattern : patterns)
    {
        add(pattern);
    }
}

void Log::add(const std::string& pattern)
{
    for (const LogPattern& its : log_patterns({pattern}))
    {
        for (const Topic topic : its.topics)
        {
            rules_.at(static_cast<unsigned>(topic)).globs.push_back(its.glob);
        }
    }
}

void Log::write(Tick now, Topic topic, const std::string& unit, const std::string& message)
{
    Rule& rule = rules_[static_cast<unsigned>(topic)];
    const auto [entry, fresh] = rule.known.try_emplace(unit, false);
    if (fresh)
    {
        entry->second =
            std::any_of(rule.globs.begin(), rule.globs.end(),
                        [&](const std::string& glob) { return names_unit(glob, unit); });
    }
    if (!entry->second)
    {
        return;
    }
    // One write a line: simulations in several threads may share a stream.
    out_ << fmt::format("{} {} {} {}\n", now, unit, name_of(topic), message);
    if (!out_)
    {
        throw_io_error("write", "the log", errno);
    }
}

} // namespace tessera
