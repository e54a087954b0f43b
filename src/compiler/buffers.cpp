// SPDX-License-Identifier: Apache-2.0
#include "compiler/buffers.h"

#include "base/interrupt.h"
#include "compiler/traffic.h"
#include "config/macro_timing.h"
#include "tessera/error.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>

namespace tessera::compiler
{
namespace
{

using trace::CompactOperation;
using trace::CompactTrace;
using trace::OpKind;

/// When the data of a stage are gone. What reads a list of operands reads each of them, so this
/// follows the lists and what is in them, however many operations read them.
class Releases
{
public:
    Releases(const Emitter& emitter, std::size_t first)
        : emitter_(emitter), operations_(emitter.operations()), first_(first)
    {
        find_bases();
        list_readers();
        release_lists();
        list_arrivals();
    }
    /// Appends the operations to wait for until the datum is gone, rising. Uses that operations of
    /// one vector unit end are over with the last of them, because it works on one at a time. A
    /// macro may overlap operations, so an mvm is replaced by the accumulation that waits for it.
    void append(OpId id, std::size_t arrival, std::vector<OpId>& out)
    {
        const std::size_t begin = lists_of_.begin[arrival];
        const std::size_t end = lists_of_.begin[arrival + 1];
        if (begin == end)
        {
            out.push_back(id);
            return;
        }
        merged_.clear();
        for (std::size_t i = begin; i < end; ++i)
        {
            const std::size_t list = lists_of_.entries[i];
            merged_.insert(merged_.end(), releases_.begin() + offset(release_begin_[list]),
                           releases_.begin() + offset(release_begin_[list + 1]));
        }
        if (end - begin > 1)
        {
            keep_last(merged_, 0);
        }
        const std::size_t before = out.size();
        for (const Release& release : merged_)
        {
            out.push_back(release.by);
        }
        std::sort(out.begin() + offset(before), out.end());
    }
    /// Of a transfer in a tile, or of what an operation leaves in its own.
    [[nodiscard]] std::size_t arrival_of(const CompactOperation& operation, NodeId tile) const
    {
        return operations_.arrives(operation) ? operations_.arrival(operation, tile) - arrival_base_
                                              : local(operation.id);
    }
    [[nodiscard]] std::size_t arrival_of(CompactTrace::Arrival arrival) const
    {
        return arrival - arrival_base_;
    }
    [[nodiscard]] std::size_t local(OpId id) const
    {
        return operations_.arrivals() - arrival_base_ + id.index() - first_;
    }

private:
    struct Release
    {
        UnitId vector; ///< none(): not by a vector unit
        OpId by;
    };
    /// Lists of numbers, by a number.
    struct Table
    {
        std::vector<std::size_t> begin;
        std::vector<std::uint32_t> entries;
        /// `each` calls what it is given with pairs of numbers, twice the same.
        template <typename Each> void fill(std::size_t size, Each each)
        {
            begin.assign(size + 1, 0);
            each([this](std::size_t at, std::uint32_t /*entry*/) { ++begin[at + 1]; });
            std::partial_sum(begin.begin(), begin.end(), begin.begin());
            entries.resize(begin.back());
            std::vector<std::size_t> next(begin.begin(), begin.end() - 1);
            each([&](std::size_t at, std::uint32_t entry) { entries[next[at]++] = entry; });
        }
    };

    [[nodiscard]] static std::ptrdiff_t offset(std::size_t position)
    {
        return static_cast<std::ptrdiff_t>(position);
    }
    /// Where lists and arrivals of the stage begin.
    void find_bases()
    {
        list_base_ = operations_.lists();
        arrival_base_ = operations_.arrivals();
        for (std::size_t i = first_; i < operations_.size(); ++i)
        {
            const CompactOperation& operation = operations_[OpId(i)];
            operations_.for_each_list(operation, [this](CompactTrace::List list)
                                      { list_base_ = std::min(list_base_, list.index()); });
            operations_.for_each_arrival(
                operation, [this](CompactTrace::Arrival arrival)
                { arrival_base_ = std::min<std::size_t>(arrival_base_, arrival); });
        }
    }
    void list_readers()
    {
        readers_.fill(operations_.lists() - list_base_,
                      [this](auto add)
                      {
                          for (std::size_t i = first_; i < operations_.size(); ++i)
                          {
                              operations_.for_each_list(operations_[OpId(i)],
                                                        [&](CompactTrace::List list) {
                                                            add(list.index() - list_base_,
                                                                static_cast<std::uint32_t>(i));
                                                        });
                          }
                      });
    }
    void release_lists()
    {
        release_begin_.push_back(0);
        for (std::size_t list = 0; list + 1 < readers_.begin.size(); ++list)
        {
            const std::size_t before = releases_.size();
            for (std::size_t r = readers_.begin[list]; r < readers_.begin[list + 1]; ++r)
            {
                releases_.push_back(release(OpId(readers_.entries[r])));
            }
            keep_last(releases_, before);
            release_begin_.push_back(releases_.size());
        }
    }
    [[nodiscard]] Release release(OpId reader) const
    {
        const CompactOperation* by = &operations_[reader];
        if (by->kind == OpKind::mvm)
        {
            by = &operations_[emitter_.note(reader).release];
        }
        return {by->kind == OpKind::vec ? by->at : UnitId::none(), by->id};
    }
    /// Of each vector unit the last operation from position `before` on.
    static void keep_last(std::vector<Release>& releases, std::size_t before)
    {
        const auto first = releases.begin() + offset(before);
        if (releases.end() - first < 2)
        {
            return;
        }
        std::sort(first, releases.end(),
                  [](const Release& a, const Release& b)
                  { return a.vector != b.vector ? a.vector < b.vector : a.by < b.by; });
        auto kept = first;
        for (auto its = first; its != releases.end(); ++its)
        {
            if (!its->vector.valid() || its + 1 == releases.end() ||
                (its + 1)->vector != its->vector)
            {
                *kept++ = *its;
            }
        }
        releases.erase(kept, releases.end());
    }
    void list_arrivals()
    {
        lists_of_.fill(operations_.arrivals() - arrival_base_ + operations_.size() - first_,
                       [this](auto add)
                       {
                           for (std::size_t list = 0; list + 1 < readers_.begin.size(); ++list)
                           {
                               if (readers_.begin[list] == readers_.begin[list + 1])
                               {
                                   continue;
                               }
                               const OpId reader(readers_.entries[readers_.begin[list]]);
                               const NodeId tile = emitter_.node_of(operations_[reader].at);
                               const auto [begin, end] = operations_.ids(CompactTrace::List(
                                   static_cast<std::uint32_t>(list + list_base_)));
                               for (const std::uint32_t* id = begin; id != end; ++id)
                               {
                                   if (*id >= first_)
                                   {
                                       add(arrival_of(operations_[OpId(*id)], tile),
                                           static_cast<std::uint32_t>(list));
                                   }
                               }
                           }
                       });
    }

    const Emitter& emitter_;
    const CompactTrace& operations_;
    std::size_t first_;
    std::size_t list_base_ = 0;
    std::size_t arrival_base_ = 0;
    Table readers_;                          ///< by list
    std::vector<Release> releases_;          ///< list by list
    std::vector<std::size_t> release_begin_; ///< by list
    Table lists_of_;                         ///< by arrival
    std::vector<Release> merged_;            // scratch
};

/// Few stages are divided further; memory for the operations of this level is taken once.
constexpr std::uint32_t kUsualLevel = 3;

/// How many divisions of a stage's data may have to be tried with as many images in flight, or
/// fewer.
std::uint64_t attempts_of(const Plan& plan, std::size_t stage, std::uint32_t in_flight)
{
    std::uint64_t halvings = 1;
    for (; in_flight > 1; in_flight = (in_flight + 1) / 2)
    {
        ++halvings;
    }
    return halvings * (plan.finest_level(stage) + 1);
}

std::uint32_t least_slots(const Ring& ring)
{
    const std::vector<Ring::Datum>& data = ring.data;
    std::size_t least = 1;
    std::size_t later = 0;
    OpId busy(0);
    for (std::size_t i = 0; i < data.size(); ++i)
    {
        // The running maximum changes nothing: what datum j < i needs, it has already got.
        busy = std::max(busy, ring.until[data[i].until_end - 1]);
        while (later < data.size() && !(busy < data[later].by))
        {
            ++later;
        }
        least = std::max(least, later - i);
    }
    return static_cast<std::uint32_t>(least);
}

} // namespace

Tick makespan_if_only_mvms(const CompactTrace& operations, std::size_t units,
                           const config::ChipConfig& chip)
{
    const Clock& clock = chip.macro.clock;
    const config::MacroTiming timing = config::macro_timing(chip.macro);
    std::vector<Tick> free(units, 0);
    std::vector<Tick> end(operations.size(), 0);
    std::vector<Tick> list_end(operations.lists(), kNever); // when all of a list has ended
    Tick makespan = 0;
    for (const CompactOperation& operation : operations)
    {
        Tick start = free[operation.at.index()];
        operations.for_each_list(operation,
                                 [&](CompactTrace::List list)
                                 {
                                     Tick& all = list_end[list.index()];
                                     if (all == kNever)
                                     {
                                         all = 0;
                                         const auto [first, last] = operations.ids(list);
                                         std::for_each(first, last,
                                                       [&](std::uint32_t id)
                                                       { all = std::max(all, end[id]); });
                                     }
                                     start = std::max(start, all);
                                 });
        operations.for_each_after(operation,
                                  [&](OpId id) { start = std::max(start, end[id.index()]); });
        Tick& its = end[operation.id.index()];
        its = start;
        if (operation.kind == OpKind::mvm)
        {
            start = clock.align(start);
            its = timing.total(operation.n).end(clock, start);
            start = (operation.n * timing.interval).end(clock, start);
        }
        free[operation.at.index()] = start;
        makespan = std::max(makespan, its);
    }
    return makespan;
}

std::uint32_t Ring::slots(std::uint32_t slack) const
{
    return least + (partial ? std::min(slack, 1U) : slack);
}

std::uint64_t Ring::bytes(std::uint32_t slack) const
{
    return std::min(total, slots(slack) * largest);
}

std::vector<Ring> rings_of(const Emitter& emitter, std::size_t first, std::uint32_t images)
{
    const CompactTrace& operations = emitter.operations();
    Releases releases(emitter, first);
    std::vector<Ring> rings;
    std::unordered_map<std::uint64_t, std::size_t> position; // by tile and stream
    const auto add = [&](const CompactOperation& operation, NodeId tile, std::size_t arrival)
    {
        const std::uint32_t stream = emitter.note(operation.id).stream;
        const auto [found, fresh] =
            position.emplace(std::uint64_t{tile.value()} << 32U | stream, rings.size());
        if (fresh)
        {
            Ring& ring = rings.emplace_back();
            ring.stream = stream;
            ring.tile = tile;
            ring.partial = emitter.partial(stream);
        }
        Ring& ring = rings[found->second];
        ring.largest = std::max(ring.largest, operation.bytes);
        ring.total += operation.bytes;
        releases.append(operation.id, arrival, ring.until);
        ring.data.push_back({operation.id, ring.until.size()});
    };
    for (std::size_t i = first; i < operations.size(); ++i)
    {
        throw_if_interrupted();
        const CompactOperation& operation = operations[OpId(i)];
        if (operation.kind == OpKind::mvm || operation.kind == OpKind::vec)
        {
            add(operation, emitter.node_of(operation.at), releases.local(operation.id));
        }
        else if (operation.kind != OpKind::store)
        {
            operations.for_each_arrival(operation,
                                        [&](CompactTrace::Arrival arrival) {
                                            add(operation, operations.destination(arrival).at,
                                                releases.arrival_of(arrival));
                                        });
        }
    }
    for (Ring& ring : rings)
    {
        ring.least = least_slots(ring);
        ring.total *= images;
    }
    return rings;
}

void bound(const Ring& ring, std::uint32_t slack, CompactTrace& operations)
{
    const std::uint32_t slots = ring.slots(slack);
    for (std::size_t i = 0; i + slots < ring.data.size(); ++i)
    {
        const OpId later = ring.data[i + slots].by;
        for (std::size_t k = i == 0 ? 0 : ring.data[i - 1].until_end; k < ring.data[i].until_end;
             ++k)
        {
            operations.add_after(later, ring.until[k]);
        }
    }
}

BufferPlan::BufferPlan(Plan& plan, std::uint32_t images, Reporter& reporter)
    : reporter_(reporter), capacity_(plan.chip().buffer.capacity), tiles_(plan.chip().tile_count())
{
    deliveries_.readers.resize(plan.graph().size());
    deliveries_.resident.assign(plan.graph().size(), 0);
    homes_.resize(plan.graph().size());
    const bool flows = plan.schedule().as_soon_as_possible();
    wanted_ = flows ? keeping_busy(plan, images) : Flight{};
    pipelines_.assign(plan.stages().size(), wanted_.pipeline);
    held_back_.assign(plan.stages().size(), false);
    std::uint64_t attempts = 0; // at most
    for (std::size_t stage = 0; stage < plan.stages().size(); ++stage)
    {
        attempts += attempts_of(plan, stage, pipelines_[stage].in_flight);
    }
    reporter_.begin("dividing data", attempts);
    for (std::size_t stage = 0; stage < plan.stages().size(); ++stage)
    {
        divide(plan, stage);
    }
    for (std::uint32_t i = 0; i < plan.graph().size(); ++i)
    {
        // Data that nobody reads have no readers yet.
        const Grid& grid = plan[LayerId(i)].grid;
        Readers& its = deliveries_.readers[i];
        its.same_stage.resize(std::size_t{grid.tasks()} * grid.groups.size());
        its.later.resize(its.same_stage.size());
    }
    settle(plan);
}

void BufferPlan::divide(Plan& plan, std::size_t stage)
{
    Emitter emitter(plan, nullptr);
    Shortage shortage;
    // Where they do not fit, fewer images are in flight: producers of the next ones are held back.
    for (Pipeline& pipeline = pipelines_[stage];; pipeline.in_flight = (pipeline.in_flight + 1) / 2)
    {
        if (divide_for(plan, stage, emitter, shortage))
        {
            return;
        }
        if (pipeline.in_flight == 1)
        {
            break;
        }
    }
    if (plan.schedule().as_soon_as_possible() && help(plan, stage, emitter, shortage))
    {
        return;
    }
    throw InputError({plan.chip().name, 0, "/buffer/capacity"},
                     "is " + std::to_string(capacity_) + " bytes, but running layer '" +
                         plan.graph().layer(plan.stages()[stage].front()).name + "' of network '" +
                         plan.graph().network().name + "' takes " + std::to_string(shortage.bytes) +
                         " bytes in tile t" + std::to_string(shortage.tile.value()) + " (" +
                         std::to_string(shortage.bytes - capacity_) + " are missing)",
                     "raise it, or spread the layer over more tiles with fewer macros each");
}

/// Chooses between holding back producers and refuges, or both, by what they cost. False: it does
/// not fit.
bool BufferPlan::help(Plan& plan, std::size_t stage, Emitter& emitter, Shortage& shortage)
{
    struct Way
    {
        Tick cost = kNever;
        bool held_back = false;
        Refuges refuges;
        std::uint32_t level = 0;
        std::uint32_t slack = 0;
    };
    Way best;
    const Refuges before = refuges_;
    for (const auto& [held_back, sheltered] :
         {std::pair(true, false), std::pair(false, true), std::pair(true, true)})
    {
        if (held_back && sheltered && best.cost != kNever)
        {
            continue; // one of them is enough
        }
        held_back_[stage] = held_back;
        refuges_ = before;
        Shortage its = held_back ? Shortage{} : shortage;
        std::optional<Fit> fit;
        if (held_back) // else it is known not to fit
        {
            reporter_.begin("holding producers back", plan.finest_level(stage) + 1);
            fit = find_level(plan, stage, emitter, its);
        }
        if (!fit && sheltered)
        {
            reporter_.begin("finding refuges for data", kShelterRounds);
            fit = shelter(plan, stage, emitter, its);
        }
        if (its.bytes < shortage.bytes)
        {
            shortage = its;
        }
        if (fit)
        {
            const Tick cost = cost_of(plan, stage, emitter, *fit);
            if (cost < best.cost)
            {
                best = {cost, held_back, refuges_, fit->level, fit->slack};
            }
        }
    }
    if (best.cost == kNever)
    {
        refuges_ = before;
        return false;
    }
    held_back_[stage] = best.held_back;
    refuges_ = best.refuges;
    const std::uint32_t images = emit_level(plan, stage, emitter, best.level);
    accept(stage, emitter, rings_of(emitter, 0, images), best.slack);
    return true;
}

/// What takes most in a tile and could wait elsewhere; nothing: the rest is needed there.
std::optional<BufferPlan::Wait> BufferPlan::longest_wait(const Emitter& emitter,
                                                         const std::vector<Ring>& rings,
                                                         NodeId tile, const Edges& tried) const
{
    std::optional<Wait> result;
    for (const Ring& ring : rings)
    {
        const std::uint64_t bytes = ring.bytes(kShelterSlack);
        if (ring.tile != tile || ring.partial || (result && bytes <= result->bytes))
        {
            continue;
        }
        const LayerId maker = emitter.layer_of(ring.stream);
        std::uint64_t longest = 0;
        Edge edge{maker, LayerId::none()};
        for (std::size_t i = 0; i < ring.data.size(); ++i)
        {
            const CompactOperation& last =
                emitter.operations()[ring.until[ring.data[i].until_end - 1]];
            const std::uint64_t wait = last.id.value() - ring.data[i].by.value();
            if (wait > longest && last.layer != maker)
            {
                longest = wait;
                edge.second = last.layer;
            }
        }
        // What has found refuge here can still go to the memory.
        const auto guest =
            std::find_if(refuges_.begin(), refuges_.end(),
                         [&](const auto& refuge)
                         { return refuge.first.first == maker && refuge.second == tile; });
        if (guest != refuges_.end())
        {
            result = Wait{guest->first, bytes, true, tile};
        }
        else if (edge.second.valid() && tried.count(edge) == 0 && refuges_.count(edge) == 0 &&
                 emitter.computes(maker))
        {
            result = Wait{edge, bytes, false, tile};
        }
    }
    return result;
}

/// Sends what waits long in full tiles to others that have room, the nearest first, or to memory.
std::optional<BufferPlan::Fit> BufferPlan::shelter(Plan& plan, std::size_t stage, Emitter& emitter,
                                                   Shortage& shortage)
{
    const std::uint32_t level = shortage.level;
    Edges tried;
    std::vector<Wait> last; // of the round before
    for (std::uint32_t round = 0; round < kShelterRounds; ++round)
    {
        throw_if_interrupted();
        reporter_.add();
        const std::uint32_t images = emit_level(plan, stage, emitter, level);
        const std::vector<Ring> rings = rings_of(emitter, 0, images);
        std::vector<std::uint64_t> bytes = space(rings, kShelterSlack);
        const auto most = std::max_element(bytes.begin(), bytes.end());
        if (*most <= capacity_)
        {
            return Fit{level, kShelterSlack};
        }
        if (*most < shortage.bytes)
        {
            shortage.bytes = *most;
            shortage.tile = NodeId(static_cast<std::uint32_t>(most - bytes.begin()));
        }
        for (const Wait& wait : last)
        {
            if (bytes[wait.tile.index()] >= wait.in_tile)
            {
                refuges_.erase(wait.edge); // it did not help
            }
        }
        last.clear();
        for (std::uint32_t tile = 0; tile < tiles_; ++tile)
        {
            if (bytes[tile] <= capacity_)
            {
                continue;
            }
            std::optional<Wait> wait = longest_wait(emitter, rings, NodeId(tile), tried);
            if (!wait)
            {
                continue;
            }
            wait->in_tile = bytes[tile];
            tried.insert(wait->edge);
            refuges_[wait->edge] = wait->guest ? NodeId::none() : room_near(plan, *wait, bytes);
            last.push_back(*wait);
        }
        if (last.empty())
        {
            const std::vector<std::uint64_t> least = space(rings, 0);
            return *std::max_element(least.begin(), least.end()) <= capacity_
                       ? std::optional(Fit{level, 0})
                       : std::nullopt;
        }
    }
    return std::nullopt;
}

/// The nearest tile that has room for what waits, which it then takes; none(): there is none.
NodeId BufferPlan::room_near(const Plan& plan, const Wait& wait,
                             std::vector<std::uint64_t>& bytes) const
{
    const Grid& grid = plan[wait.edge.first].grid;
    const std::uint64_t needed =
        std::min(wait.bytes * grid.groups.size(), (grid.shape.elements() * grid.bits + 7) / 8);
    const GridPlace here = grid_place(plan.chip(), wait.tile);
    std::uint32_t nearest = ~std::uint32_t{0};
    NodeId result;
    for (std::uint32_t tile = 0; tile < tiles_; ++tile)
    {
        const std::uint32_t way = hops(here, grid_place(plan.chip(), NodeId(tile)));
        if (way < nearest && NodeId(tile) != wait.tile && bytes[tile] + needed <= capacity_ / 4 * 3)
        {
            nearest = way;
            result = NodeId(tile);
        }
    }
    if (result.valid())
    {
        bytes[result.index()] += needed;
    }
    return result;
}

/// Planned time of one image (or all, held back) when only MVMs and memory for what waits there
/// take time.
Tick BufferPlan::cost_of(Plan& plan, std::size_t stage, Emitter& emitter, const Fit& fit)
{
    plan.set_level(stage, fit.level);
    emitter.restart();
    emit(emitter, plan, stage, tried(stage)); // what overlaps of several images counts
    for (const Ring& ring : rings_of(emitter, 0))
    {
        bound(ring, fit.slack, emitter.operations());
    }
    Tick cost = makespan_if_only_mvms(emitter.operations(), emitter.unit_count(), plan.chip());
    const config::ChipConfig::Memory& memory = plan.chip().memory;
    if (memory.channels != config::kUnlimited)
    {
        double bytes = 0;
        for (const auto& [edge, tile] : refuges_)
        {
            const Grid& grid = plan[edge.first].grid;
            bytes +=
                tile.valid() ? 0 : 2.0 * static_cast<double>(grid.shape.elements()) * grid.bits / 8;
        }
        cost += static_cast<Tick>(bytes * 1e12 /
                                  (static_cast<double>(memory.bytes_per_second) *
                                   static_cast<double>(memory.channels) * memory.ports));
    }
    return cost;
}

void BufferPlan::emit(Emitter& emitter, const Plan& plan, std::size_t stage,
                      const Pipeline& pipeline) const
{
    emitter.set_refuges(refuges_);
    if (!plan.schedule().as_soon_as_possible())
    {
        emitter.emit(stage);
    }
    else if (held_back_[stage])
    {
        for (std::uint32_t image = 0; image < pipeline.images; ++image)
        {
            emitter.work_on(image);
            emitter.emit(stage);
        }
    }
    else
    {
        emitter.emit(stage, pipeline);
    }
}

/// A few images in a row need what many do; bound_stage() makes sure.
Pipeline BufferPlan::tried(std::size_t stage) const
{
    const Pipeline& pipeline = pipelines_[stage];
    return capacity_ == config::kUnlimited
               ? Pipeline{}
               : Pipeline{std::min(pipeline.images, pipeline.in_flight + 2), pipeline.in_flight};
}

/// Returns for how many images that do the same one after the other it stands.
std::uint32_t BufferPlan::emit_level(Plan& plan, std::size_t stage, Emitter& emitter,
                                     std::uint32_t level) const
{
    plan.set_level(stage, level);
    emitter.restart();
    const Pipeline pipeline = tried(stage);
    if (!plan.schedule().as_soon_as_possible() || held_back_[stage])
    {
        emit(emitter, plan, stage, {});
        return pipeline.images;
    }
    emitter.set_refuges(refuges_);
    return emitter.emit_repeating(stage, pipeline);
}

void BufferPlan::accept(std::size_t stage, const Emitter& emitter, const std::vector<Ring>& rings,
                        std::uint32_t slack)
{
    planned_.push_back(space(rings, slack));
    slack_.push_back(slack);
    emitter.collect(stage, deliveries_.readers);
}

bool BufferPlan::divide_for(Plan& plan, std::size_t stage, Emitter& emitter, Shortage& shortage)
{
    if (capacity_ == config::kUnlimited)
    {
        (void)emit_level(plan, stage, emitter, 0); // all images are read in the same way
        accept(stage, emitter, {}, kSlack);
        return true;
    }
    const std::optional<Fit> fit = find_level(plan, stage, emitter, shortage);
    if (fit)
    {
        const std::uint32_t images =
            fit->emitted != 0 ? fit->emitted : emit_level(plan, stage, emitter, fit->level);
        accept(stage, emitter, rings_of(emitter, 0, images), fit->slack);
    }
    return fit.has_value();
}

/// Nothing: it does not fit, however it is divided.
std::optional<BufferPlan::Fit> BufferPlan::find_level(Plan& plan, std::size_t stage,
                                                      Emitter& emitter, Shortage& shortage)
{
    const std::uint32_t finest = plan.finest_level(stage);
    std::uint32_t most_copies = 1;
    for (const LayerId id : plan.stages()[stage])
    {
        most_copies = std::max(most_copies, plan[id].grid.copies());
    }
    // Copies work side by side only if each has data.
    const std::uint32_t for_copies = kSlack * most_copies;
    plan.set_level(stage, std::min(finest, kUsualLevel));
    emitter.restart();
    emitter.reserve({stage}, std::min(pipelines_[stage].images, pipelines_[stage].in_flight + 2));
    std::optional<Fit> found; // something that fits, though not into half
    std::uint64_t before = config::kUnlimited;
    for (std::uint32_t next = std::min(plan.coarsest_level(stage), finest); next <= finest; ++next)
    {
        reporter_.add();
        const std::uint32_t images = emit_level(plan, stage, emitter, next);
        const std::vector<Ring> rings = rings_of(emitter, 0, images);
        const auto most_with = [&](std::uint32_t slack)
        {
            const std::vector<std::uint64_t> bytes = space(rings, slack);
            return *std::max_element(bytes.begin(), bytes.end());
        };
        for (std::uint32_t s = for_copies; s >= kSlack; s = (s + 1) / 2)
        {
            if (most_with(s) <= capacity_ / 2)
            {
                return Fit{next, s, images};
            }
            if (s == kSlack)
            {
                break;
            }
        }
        const std::uint64_t most_wanted = most_with(kSlack);
        for (std::uint32_t s = kSlack + 1; !found && s > 0; --s)
        {
            throw_if_interrupted();
            const std::vector<std::uint64_t> bytes = space(rings, s - 1);
            const auto most = std::max_element(bytes.begin(), bytes.end());
            if (*most <= capacity_)
            {
                found = Fit{next, s - 1};
            }
            else if (*most < shortage.bytes)
            {
                // Finer sets are many more operations: they must be worth it.
                const bool finer = *most < shortage.bytes / 4 * 3;
                shortage = {*most, NodeId(static_cast<std::uint32_t>(most - bytes.begin())),
                            finer ? next : shortage.level};
            }
        }
        if (found && most_wanted > before / 10 * 9)
        {
            break; // dividing further does not help any more
        }
        before = most_wanted;
    }
    return found;
}

std::vector<std::uint64_t> BufferPlan::space(const std::vector<Ring>& rings,
                                             std::uint32_t slack) const
{
    std::vector<std::uint64_t> bytes(tiles_, 0);
    for (const Ring& ring : rings)
    {
        bytes[ring.tile.index()] += ring.bytes(slack);
    }
    return bytes;
}

/// Decides which tensors stay on the chip between stages. Between segments none does: many images
/// may have to wait, and writing needs the buffers.
void BufferPlan::settle(const Plan& plan)
{
    std::vector<LayerId> candidates;
    for (std::uint32_t i = 0; i < plan.graph().size(); ++i)
    {
        const LayerId id(i);
        const Readers& readers = deliveries_.readers[i];
        homes_[i].resize(plan[id].grid.groups.size());
        for (std::size_t d = 0; d < readers.later.size(); ++d)
        {
            std::vector<NodeId>& homes = homes_[i][plan[id].grid.group_of(d)];
            std::vector<NodeId> all;
            std::set_union(homes.begin(), homes.end(), readers.later[d].begin(),
                           readers.later[d].end(), std::back_inserter(all));
            homes = std::move(all);
        }
        if (plan.graph().has_data(id) && plan.graph().role(id) != Role::memory &&
            plan[id].last_stage > plan[id].stage &&
            plan.segment_of_stage(plan[id].last_stage) == plan[id].segment)
        {
            candidates.push_back(id);
        }
    }
    std::stable_sort(
        candidates.begin(), candidates.end(),
        [&plan](LayerId a, LayerId b)
        { return plan[a].last_stage - plan[a].stage < plan[b].last_stage - plan[b].stage; });
    for (const LayerId id : candidates)
    {
        deliveries_.resident[id.index()] = stays(plan, id) ? 1 : 0;
    }
}

/// Takes the space for a tensor if there is enough of it.
bool BufferPlan::stays(const Plan& plan, LayerId id)
{
    if (capacity_ == config::kUnlimited)
    {
        return true;
    }
    const LayerPlan& its = plan[id];
    std::map<NodeId, std::uint64_t> needed;
    for (std::size_t d = 0; d < std::size_t{its.grid.tasks()} * its.grid.groups.size(); ++d)
    {
        for (const NodeId tile : homes_[id.index()][its.grid.group_of(d)])
        {
            needed[tile] += its.grid.bytes(d);
        }
    }
    for (std::size_t stage = its.stage; stage <= its.last_stage; ++stage)
    {
        for (const auto& [tile, bytes] : needed)
        {
            if (bytes > capacity_ - planned_[stage][tile.index()])
            {
                return false;
            }
        }
    }
    for (std::size_t stage = its.stage; stage <= its.last_stage; ++stage)
    {
        for (const auto& [tile, bytes] : needed)
        {
            planned_[stage][tile.index()] += bytes;
        }
    }
    return true;
}

void BufferPlan::bound_stage(Emitter& emitter, std::size_t stage, std::size_t first) const
{
    if (capacity_ == config::kUnlimited)
    {
        return;
    }
    // Streams whose data stay beyond the stage have their whole size set aside.
    std::map<std::uint32_t, const std::vector<NodeId>*> staying;
    for (std::uint32_t i = 0; i < homes_.size(); ++i)
    {
        if (deliveries_.resident[i] != 0)
        {
            for (std::size_t group = 0; group < homes_[i].size(); ++group)
            {
                staying.emplace(emitter.stream(LayerId(i), group), &homes_[i][group]);
            }
        }
    }
    std::vector<Ring> rings = rings_of(emitter, first);
    rings.erase(std::remove_if(rings.begin(), rings.end(),
                               [&](const Ring& ring)
                               {
                                   const auto found = staying.find(ring.stream);
                                   return found != staying.end() &&
                                          std::binary_search(found->second->begin(),
                                                             found->second->end(), ring.tile);
                               }),
                rings.end());
    // More images than were tried may need a little more than planned; nothing is left over for
    // other stages then, so they may have it.
    const bool many = pipelines_[stage].images > 1;
    const auto fits = [&](std::uint32_t slack)
    {
        const std::vector<std::uint64_t> bytes = space(rings, slack);
        for (std::size_t tile = 0; tile < tiles_; ++tile)
        {
            if (bytes[tile] > (many ? capacity_ : planned_[stage][tile]))
            {
                return false;
            }
        }
        return true;
    };
    std::uint32_t slack = slack_[stage];
    while (!fits(slack))
    {
        if (!many)
        {
            throw std::logic_error("a stage takes more space than was planned for it");
        }
        if (slack == 0)
        {
            throw InputError({"", 0, "/buffer/capacity"},
                             "is too small for " + std::to_string(pipelines_[stage].images) +
                                 " images in a row",
                             "give fewer images (--images), or raise it");
        }
        --slack;
    }
    for (const Ring& ring : rings)
    {
        bound(ring, slack, emitter.operations());
    }
}

std::uint64_t BufferPlan::planned(NodeId tile) const
{
    std::uint64_t most = 0;
    for (const auto& stage : planned_)
    {
        most = std::max(most, stage[tile.index()]);
    }
    return most;
}

} // namespace tessera::compiler
