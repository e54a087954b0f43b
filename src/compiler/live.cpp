// SPDX-License-Identifier: Apache-2.0
#include "compiler/live.h"

#include "base/interrupt.h"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

namespace tessera::compiler
{
namespace
{

/// Bytes that are alive from one step to another, both included.
class Lives
{
public:
    void add(Tick from, Tick to, std::uint64_t bytes)
    {
        changes_.emplace_back(from, false, bytes);
        changes_.emplace_back(to, true, bytes);
    }
    [[nodiscard]] std::uint64_t most()
    {
        std::sort(changes_.begin(), changes_.end());
        std::uint64_t now = 0;
        std::uint64_t most = 0;
        for (const auto& [at, ends, bytes] : changes_)
        {
            now = ends ? now - bytes : now + bytes;
            most = std::max(most, now);
        }
        return most;
    }

private:
    std::vector<std::tuple<Tick, bool, std::uint64_t>> changes_; ///< what begins comes first
};

using Reads = std::vector<std::optional<SetReads>>; ///< by layer that is computed

/// How many sets of a layer, in its order, must be made before each set of the others can be: by
/// layer and set, 0: none.
std::vector<std::vector<std::uint32_t>> needs_of(const Plan& plan, const Reads& reads, LayerId from)
{
    std::vector<std::vector<std::uint32_t>> needs(reads.size());
    const SetReads& own = *reads[from.index()];
    needs[from.index()].resize(own.sequence.size());
    for (std::uint32_t i = 0; i < own.sequence.size(); ++i)
    {
        needs[from.index()][own.sequence[i]] = i + 1;
    }
    for (std::size_t layer = from.index() + 1; layer < reads.size(); ++layer)
    {
        if (!reads[layer])
        {
            continue;
        }
        const SetReads& its = *reads[layer];
        std::vector<std::uint32_t>& made = needs[layer];
        made.assign(plan[LayerId(static_cast<std::uint32_t>(layer))].grid.tasks(), 0);
        for (std::size_t i = 0; i < its.sequence.size(); ++i)
        {
            std::uint32_t& need = made[its.sequence[i]];
            its.for_each(i,
                         [&](const Task& task)
                         {
                             const std::vector<std::uint32_t>& read = needs[task.layer.index()];
                             need = read.empty() ? need : std::max(need, read[task.index]);
                         });
        }
    }
    return needs;
}

} // namespace

std::vector<LiveData> live_data(const Plan& plan, const Timetable& timetable)
{
    Reads reads(plan.graph().size());
    std::set<std::pair<LayerId, LayerId>> pairs;
    for (const Stage& stage : plan.stages())
    {
        for (const LayerId id : stage)
        {
            reads[id.index()] = reads_of(plan, id);
            for (const Task& task : reads[id.index()]->tasks)
            {
                pairs.emplace(task.layer, id);
            }
        }
    }
    std::vector<LiveData> result;
    std::vector<std::vector<std::uint32_t>> needs;
    LayerId known = LayerId::none();
    for (const auto& [from, to] : pairs)
    {
        throw_if_interrupted();
        if (!(known == from))
        {
            needs = needs_of(plan, reads, from);
            known = from;
        }
        const Grid& grid = plan[from].grid;
        const SetReads& its = *reads[to.index()];
        // By set of `from`: the last step of `to` that reads it, and its planned end.
        std::vector<std::optional<std::size_t>> last(grid.tasks());
        std::vector<Tick> until(grid.tasks(), 0);
        std::vector<std::uint32_t> made_by(its.sequence.size()); // a step: so many of `from`
        std::uint32_t made = 0;
        for (std::size_t i = 0; i < its.sequence.size(); ++i)
        {
            made = std::max(made, needs[to.index()][its.sequence[i]]);
            made_by[i] = made;
            const Tick ends = timetable[{to, its.sequence[i]}].end;
            its.for_each(i,
                         [&](const Task& task)
                         {
                             if (task.layer == from)
                             {
                                 last[task.index] = i;
                                 until[task.index] = std::max(until[task.index], ends);
                             }
                         });
        }
        Lives least;
        Lives planned;
        LiveData live{from, to};
        for (std::uint32_t set = 0; set < grid.tasks(); ++set)
        {
            if (!last[set])
            {
                continue;
            }
            const std::uint64_t bytes = (grid.task(set).elements() * grid.bits + 7) / 8;
            const auto first =
                std::lower_bound(made_by.begin(), made_by.end(), needs[from.index()][set]);
            least.add(static_cast<Tick>(first - made_by.begin()), *last[set], bytes);
            planned.add(timetable[{from, set}].end, until[set], bytes);
            live.all += bytes;
        }
        live.least = least.most();
        live.planned = planned.most();
        result.push_back(live);
    }
    return result;
}

} // namespace tessera::compiler
