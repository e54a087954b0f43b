// SPDX-License-Identifier: Apache-2.0
#include "compiler/barrier.h"

#include "base/interrupt.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace tessera::compiler
{
namespace
{

using trace::CompactOperation;
using trace::CompactTrace;
using trace::OpKind;

/// Transfers of each unit that no operation of their image in the stage waits for.
using Loose = std::map<UnitId, std::vector<OpId>>;

/// What is without a successor, of one image or of all.
struct Ends
{
    std::map<UnitId, OpId> latest;       ///< of units that end operations in order
    std::map<UnitId, std::size_t> loose; ///< how many transfers, up to the last

    void add(const CompactOperation& operation, const Loose& transfers)
    {
        if (operation.kind == OpKind::vec || operation.kind == OpKind::program)
        {
            latest[operation.at] = operation.id;
        }
        else
        {
            loose[operation.at] = transfers.at(operation.at).size();
        }
    }
    /// Few operations that stand for them.
    [[nodiscard]] std::vector<OpId> last(const Loose& transfers) const
    {
        std::vector<OpId> result;
        for (const auto& [unit, id] : latest)
        {
            result.push_back(id);
        }
        for (const auto& [unit, end] : loose)
        {
            const std::vector<OpId>& its = transfers.at(unit);
            for (std::size_t k = end - std::min(end, Barrier::kInFlight); k < end; ++k)
            {
                result.push_back(its[k]);
            }
        }
        return result;
    }
};

/// Which operations of a stage have a successor of their image in it: they have ended when that one
/// has.
class Links
{
public:
    Links(const CompactTrace& operations, std::size_t first)
        : operations_(operations),
          first_(first),
          has_successor_(operations.size() - first, 0),
          lists_(operations.lists(), Known::nothing)
    {
    }
    /// Adds the next operation of the stage; true: it follows one of its image in the stage.
    bool add(const CompactOperation& operation)
    {
        bool follows = false;
        operations_.for_each_list(operation,
                                  [&](CompactTrace::List list)
                                  {
                                      Known& known = lists_[list.index()];
                                      if (known == Known::nothing)
                                      {
                                          known = add(operation, list) ? Known::of_stage
                                                                       : Known::of_others;
                                      }
                                      follows = follows || known == Known::of_stage;
                                  });
        operations_.for_each_after(operation,
                                   [&](OpId id)
                                   {
                                       if (in_stage(id, operation))
                                       {
                                           follows = true;
                                           has_successor_[id.index() - first_] = 1;
                                       }
                                   });
        return follows;
    }
    [[nodiscard]] bool has_successor(OpId id) const
    {
        return has_successor_[id.index() - first_] != 0;
    }

private:
    /// Of a list: all that read it are of one image and stage.
    enum class Known : std::uint8_t
    {
        nothing,
        of_stage, ///< names operations of the stage and of its readers' image
        of_others
    };

    [[nodiscard]] bool in_stage(OpId id, const CompactOperation& of) const
    {
        return id.index() >= first_ && operations_[id].image == of.image;
    }
    bool add(const CompactOperation& operation, CompactTrace::List list)
    {
        bool follows = false;
        const auto [begin, end] = operations_.ids(list);
        for (const std::uint32_t* id = begin; id != end; ++id)
        {
            if (!in_stage(OpId(*id), operation))
            {
                continue;
            }
            follows = true;
            // The reader of one arrival of a multicast says nothing of the other arrivals, which
            // may be for later stages. (Each arrival of a load is read in its stage.)
            const CompactOperation& before = operations_[OpId(*id)];
            if (before.kind != OpKind::move || !operations_.arrives_often(before))
            {
                has_successor_[*id - first_] = 1;
            }
        }
        return follows;
    }

    const CompactTrace& operations_;
    std::size_t first_;
    std::vector<char> has_successor_; ///< by operation from `first` on
    std::vector<Known> lists_;
};

} // namespace

void Barrier::close(CompactTrace& operations, std::size_t first, std::uint32_t in_flight)
{
    if (first == operations.size())
    {
        return; // what comes next follows the stage before
    }
    Links links(operations, first);
    std::vector<OpId> starting; // a unit's work in the stage
    std::vector<OpId> entering; // a unit's work on an image
    std::vector<char> seen;
    std::set<std::pair<std::uint32_t, UnitId>> seen_image;
    for (std::size_t i = first; i < operations.size(); ++i)
    {
        throw_if_interrupted();
        const CompactOperation& operation = operations[OpId(i)];
        const bool follows = links.add(operation);
        // Units issue in order: what is behind another operation of its unit starts after it.
        const std::size_t unit = operation.at.index();
        seen.resize(std::max(seen.size(), unit + 1), 0);
        if (!follows && seen[unit] == 0)
        {
            starting.push_back(operation.id);
        }
        seen[unit] = 1;
        if (operation.image >= in_flight &&
            seen_image.emplace(operation.image, operation.at).second && !follows)
        {
            entering.push_back(operation.id);
        }
    }
    Loose transfers;
    Ends all;
    std::map<std::uint32_t, Ends> of_image;
    for (std::size_t i = first; i < operations.size(); ++i)
    {
        throw_if_interrupted();
        const CompactOperation& operation = operations[OpId(i)];
        if (links.has_successor(operation.id))
        {
            continue;
        }
        if (operation.kind != OpKind::vec && operation.kind != OpKind::program)
        {
            transfers[operation.at].push_back(operation.id);
        }
        all.add(operation, transfers);
        if (in_flight != kAll)
        {
            of_image[operation.image].add(operation, transfers);
        }
    }
    const auto wait = [&operations](OpId id, const std::vector<OpId>& for_these)
    {
        for (const OpId before : for_these)
        {
            operations.add_after(id, before);
        }
    };
    for (const OpId id : starting)
    {
        wait(id, last_);
    }
    for (const OpId id : entering)
    {
        wait(id, of_image[operations[id].image - in_flight].last(transfers));
    }
    for (const auto& [unit, its] : transfers)
    {
        for (std::size_t k = kInFlight; k < its.size(); ++k)
        {
            operations.add_after(its[k], its[k - kInFlight]);
        }
    }
    last_ = all.last(transfers);
}

} // namespace tessera::compiler
