// SPDX-License-Identifier: Apache-2.0
#include "record/critical_path.h"

#include "record/names.h"
#include "tessera/error.h"

#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

namespace tessera::record
{
namespace
{

constexpr std::uint64_t kNone = ~std::uint64_t{0};
constexpr const char* kOperations = "/ops";

std::string name_of_operation(std::uint64_t id)
{
    return "operation " + std::to_string(id);
}

/// The one predecessor of every operation, by id. Ids are nearly always 0 .. n-1: those are looked
/// up in a table; what lies far beyond is kept aside.
class Causes
{
public:
    explicit Causes(const ResultReader& reader)
        : reader_(reader), table_limit_(4 * reader.count<OpRecord>() + 1024)
    {
        reader.for_each<OpRecord>([this](const OpRecord& record) { add(record); });
        std::sort(beyond_.begin(), beyond_.end());
        const auto twice =
            std::adjacent_find(beyond_.begin(), beyond_.end(),
                               [](const auto& a, const auto& b) { return a.first == b.first; });
        if (twice != beyond_.end())
        {
            reader.fail(kOperations, name_of_operation(twice->first) + " is there twice");
        }
    }

    /// The operation that ends last; nothing in an empty recording.
    [[nodiscard]] const std::optional<OpRecord>& last() const { return last_; }

    /// Ids from `id` back along `because`; stops at an operation that was not
    /// recorded. Empty: there is no operation `id`.
    [[nodiscard]] std::vector<std::uint64_t> chain(std::uint64_t id) const
    {
        std::vector<std::uint64_t> ids;
        for (auto because = find(id); because.has_value(); because = find(id))
        {
            if (ids.size() == reader_.count<OpRecord>())
            {
                reader_.fail(kOperations, "operations are each other's cause, " +
                                              name_of_operation(id) + " among them");
            }
            ids.push_back(id);
            id = *because;
        }
        return ids;
    }

private:
    /// What no operation has as its cause, as ids rise by one at a time.
    static constexpr std::uint64_t kAbsent = kNone - 1;

    void add(const OpRecord& record)
    {
        if (record.id == kNone || record.because == kAbsent)
        {
            reader_.fail(kOperations, "holds an impossible operation id");
        }
        if (!last_ || record.end > last_->end ||
            (record.end == last_->end && record.id < last_->id))
        {
            last_ = record;
        }
        if (record.id >= table_limit_)
        {
            beyond_.emplace_back(record.id, record.because);
            return;
        }
        if (record.id >= table_.size())
        {
            table_.resize(record.id + 1, kAbsent);
        }
        if (table_[record.id] != kAbsent)
        {
            reader_.fail(kOperations, name_of_operation(record.id) + " is there twice");
        }
        table_[record.id] = record.because;
    }

    [[nodiscard]] std::optional<std::uint64_t> find(std::uint64_t id) const
    {
        if (id < table_.size())
        {
            return table_[id] == kAbsent ? std::nullopt : std::optional(table_[id]);
        }
        const auto found = std::lower_bound(beyond_.begin(), beyond_.end(),
                                            std::pair<std::uint64_t, std::uint64_t>(id, 0));
        return found == beyond_.end() || found->first != id ? std::nullopt
                                                            : std::optional(found->second);
    }

    const ResultReader& reader_;
    std::uint64_t table_limit_;
    std::vector<std::uint64_t> table_;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> beyond_;
    std::optional<OpRecord> last_;
};

/// Fetches the records of `ids`, in that order, in one pass over the file.
std::vector<OpRecord> fetch(const ResultReader& reader, const std::vector<std::uint64_t>& ids)
{
    std::vector<std::pair<std::uint64_t, std::size_t>> wanted(ids.size());
    for (std::size_t i = 0; i < ids.size(); ++i)
    {
        wanted[i] = {ids[i], i};
    }
    std::sort(wanted.begin(), wanted.end());
    // Most operations are not on the path: one bit settles that for most of them.
    constexpr std::uint64_t kMask = (std::uint64_t{1} << 24U) - 1;
    std::vector<bool> maybe(kMask + 1, false);
    for (const std::uint64_t id : ids)
    {
        maybe[id & kMask] = true;
    }
    std::vector<OpRecord> records(ids.size());
    reader.for_each<OpRecord>(
        [&](const OpRecord& record)
        {
            if (!maybe[record.id & kMask])
            {
                return;
            }
            const auto found = std::lower_bound(
                wanted.begin(), wanted.end(), std::pair<std::uint64_t, std::size_t>(record.id, 0));
            if (found != wanted.end() && found->first == record.id)
            {
                records[found->second] = record;
            }
        });
    return records;
}

/// Adds up shares by (what, layer).
class Shares
{
public:
    void add(const std::string& what, const std::string& layer, Tick time)
    {
        add({what, layer, time, 1});
    }
    void add(const PathPart& part)
    {
        if (part.time != 0)
        {
            PathPart& sum = parts_[{part.what, part.layer}];
            sum.what = part.what;
            sum.layer = part.layer;
            sum.time += part.time;
            sum.count += part.count;
        }
    }
    /// Longest first; equals by name.
    [[nodiscard]] std::vector<PathPart> sorted() const
    {
        std::vector<PathPart> result;
        for (const auto& [key, part] : parts_)
        {
            result.push_back(part);
        }
        std::stable_sort(result.begin(), result.end(),
                         [](const PathPart& a, const PathPart& b) { return a.time > b.time; });
        return result;
    }

private:
    std::map<std::pair<std::string, std::string>, PathPart> parts_;
};

/// What the time before the first operation of the path was.
const char* name_of_beginning(const ResultReader& reader, const OpRecord& first)
{
    switch (static_cast<Cause>(first.cause))
    {
    case Cause::none:
        return "start";
    case Cause::release:
        return "release";
    default:
        if (reader.header().closed)
        {
            reader.fail(kOperations, name_of_operation(first.id) + " was caused by " +
                                         name_of_operation(first.because) + ", which is not there");
        }
        return "not recorded";
    }
}

void require_consistent(const ResultReader& reader, const OpRecord& record)
{
    const auto cause = static_cast<Cause>(record.cause);
    const bool has_none = cause == Cause::none || cause == Cause::release;
    if (has_none != (record.because == kNone))
    {
        reader.fail(kOperations, name_of_operation(record.id) + " has cause \"" + name_of(cause) +
                                     "\" and " + (has_none ? "a" : "no") + " predecessor");
    }
}

} // namespace

CriticalPath critical_path(const ResultReader& reader)
{
    CriticalPath result;
    const ResultHeader& header = reader.header();
    const bool recorded = header.level >= ActivityLevel::unit;
    result.span = header.summary.span;
    Tick last = 0;
    std::vector<std::uint64_t> ids;
    {
        const Causes causes(reader);
        if (causes.last().has_value())
        {
            last = causes.last()->end;
            ids = causes.chain(causes.last()->id);
        }
    }
    if (header.closed && recorded &&
        (header.summary.complete ? last != result.span : last > result.span))
    {
        reader.fail("/@span_ps", "is " + std::to_string(result.span) +
                                     ", but the last operation ends at " + std::to_string(last));
    }
    // A killed run did not come to say how long it was, or says it of fewer operations.
    result.span = std::max(result.span, last);
    result.operations = ids.size();
    const std::vector<OpRecord> path = fetch(reader, ids);
    Shares shares;
    shares.add("nothing in flight", "-", recorded ? result.span - last : 0);
    Tick upper = last; // what lies after it has been shared out
    for (std::size_t i = 0; i < path.size(); ++i)
    {
        const OpRecord& record = path[i];
        require_consistent(reader, record);
        if (record.start > upper)
        {
            reader.fail(kOperations, name_of_operation(record.id) +
                                         " starts after the operation that it caused");
        }
        const std::string& layer = reader.layer_name(record.layer);
        const std::string kind = trace::name_of(static_cast<trace::OpKind>(record.kind));
        const Tick running = upper - record.start;
        const Tick contention = std::min(record.wait, running);
        shares.add(kind, layer, running - contention);
        shares.add(kind + " contention", layer, contention);
        upper = record.start;
        if (i + 1 < path.size())
        {
            const Tick caused = std::min(path[i + 1].end, upper);
            shares.add("alignment", layer, upper - caused);
            upper = caused;
        }
        else
        {
            shares.add(name_of_beginning(reader, record), layer, upper);
        }
    }
    result.parts = shares.sorted();
    return result;
}

std::vector<PathPart> by_cause(const std::vector<PathPart>& parts)
{
    Shares shares;
    for (const PathPart& part : parts)
    {
        shares.add({part.what, "", part.time, part.count});
    }
    return shares.sorted();
}

std::vector<PathPart> by_layer(const std::vector<PathPart>& parts)
{
    Shares shares;
    for (const PathPart& part : parts)
    {
        shares.add({"", part.layer, part.time, part.count});
    }
    return shares.sorted();
}

std::vector<PathChange> compare(const CriticalPath& before, const CriticalPath& after)
{
    std::map<std::pair<std::string, std::string>, PathChange> changes;
    const auto change_of = [&](const PathPart& part) -> PathChange&
    {
        PathChange& change = changes[{part.what, part.layer}];
        change.what = part.what;
        change.layer = part.layer;
        return change;
    };
    for (const PathPart& part : before.parts)
    {
        change_of(part).before = part.time;
    }
    for (const PathPart& part : after.parts)
    {
        change_of(part).after = part.time;
    }
    std::vector<PathChange> result;
    result.reserve(changes.size());
    for (const auto& [key, change] : changes)
    {
        result.push_back(change);
    }
    const auto size = [](const PathChange& change)
    { return std::max(change.before, change.after) - std::min(change.before, change.after); };
    std::stable_sort(result.begin(), result.end(),
                     [&](const PathChange& a, const PathChange& b) { return size(a) > size(b); });
    return result;
}

Chain explain(const ResultReader& reader, std::uint64_t id, std::uint64_t limit)
{
    std::vector<std::uint64_t> ids;
    {
        const Causes causes(reader);
        ids = causes.chain(id);
    }
    if (ids.empty())
    {
        throw UsageError("there is no " + name_of_operation(id) + " in " + reader.path());
    }
    const std::uint64_t length = ids.size();
    ids.resize(std::min(length, std::max<std::uint64_t>(limit, 1)));
    return {fetch(reader, ids), length};
}

} // namespace tessera::record
