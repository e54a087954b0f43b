// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include "base/nearest.h"
#include "base/output_file.h"
#include "tessera/error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <fnmatch.h>
#include <ostream>

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
    return text;
}

Log::Log(const std::vector<std::string>& patterns, std::ostream& out) : out_(out)
{
    for (const std::string& text : patterns)
    {
        for (std::size_t begin = 0; begin <= text.size();)
        {
            const std::size_t end = std::min(text.find(',', begin), text.size());
            add(text.substr(begin, end - begin));
            begin = end + 1;
        }
    }
}

void Log::add(const std::string& pattern)
{
    const std::size_t at = pattern.find('@');
    const std::string topic = pattern.substr(0, at);
    const std::string glob = at == std::string::npos ? "*" : pattern.substr(at + 1);
    if (glob.empty())
    {
        throw UsageError("log pattern '" + pattern +
                         "' names no unit after the @; give a glob, as in " + topic + "@t3*");
    }
    bool found = false;
    for (unsigned i = 0; i < kTopics; ++i)
    {
        if (topic == kAll || topic == kEntries.at(i).name)
        {
            rules_.at(i).globs.push_back(glob);
            found = true;
        }
    }
    if (!found)
    {
        throw UsageError("unknown log topic '" + topic + "'; " +
                         did_you_mean(topic, topic_names()) +
                         "`tessera run --log list` lists them");
    }
}

void Log::write(Tick now, Topic topic, const std::string& unit, const std::string& message)
{
    Rule& rule = rules_[static_cast<unsigned>(topic)];
    const auto [entry, fresh] = rule.known.try_emplace(unit, false);
    if (fresh)
    {
        entry->second = std::any_of(rule.globs.begin(), rule.globs.end(),
                                    [&](const std::string& glob)
                                    { return fnmatch(glob.c_str(), unit.c_str(), 0) == 0; });
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
