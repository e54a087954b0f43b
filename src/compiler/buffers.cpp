// SPDX-License-Identifier: Apache-2.0
#include "compiler/buffers.h"

#include "base/interrupt.h"
#include "compiler/releases.h"
#include "compiler/traffic.h"
#include "config/macro_timing.h"
#include "tessera/error.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace tessera::compiler
{
namespace
{

using trace::CompactOperation;
using trace::CompactTrace;
using trace::OpKind;

/// Where the ring of a stream in a tile is. Data of a stream go to the same tiles in turn, so the
/// next one is tried first.
class RingIndex
{
public:
    /// `fresh`: the position that it gets if it has none.
    [[nodiscard]] std::size_t find(std::uint32_t stream, NodeId tile, std::size_t fresh)
    {
        if (streams_.size() <= stream)
        {
            streams_.resize(std::size_t{stream} + 1);
        }
        Stream& its = streams_[stream];
        for (std::size_t tried = 0; tried < its.rings.size(); ++tried)
        {
            its.next = its.next + 1 < its.rings.size() ? its.next + 1 : 0;
            if (its.rings[its.next].first == tile)
            {
                return its.rings[its.next].second;
            }
        }
        its.next = its.rings.size();
        its.rings.emplace_back(tile, fresh);
        return fresh;
    }

private:
    struct Stream
    {
        std::vector<std::pair<NodeId, std::size_t>> rings;
        std::size_t next = 0; ///< found last
    };
    std::vector<Stream> streams_;
};

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
    RingIndex index;
    const auto add = [&](const CompactOperation& operation, NodeId tile, std::size_t arrival)
    {
        const std::uint32_t stream = emitter.note(operation.id).stream;
        const std::size_t position = index.find(stream, tile, rings.size());
        if (position == rings.size())
        {
            Ring& ring = rings.emplace_back();
            ring.stream = stream;
            ring.tile = tile;
            ring.partial = emitter.partial(stream);
        }
        Ring& ring = rings[position];
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

BufferPlan::BufferPlan(Plan& plan, std::uint32_t images, Reporter* reporter)
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
    begin("dividing data", attempts);
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

void BufferPlan::begin(std::string_view phase, std::uint64_t attempts) const
{
    if (reporter_ != nullptr)
    {
        reporter_->begin(phase, attempts);
    }
}

void BufferPlan::count_attempt() const
{
    if (reporter_ != nullptr)
    {
        reporter_->add();
    }
}

void BufferPlan::divide(Plan& plan, std::size_t stage)
{
    Emitter emitter(plan, nullptr);
    Shortage shortage;
    Pipeline& pipeline = pipelines_[stage];
    const std::uint32_t wanted = pipeline.in_flight;
    Least least;
    std::optional<Fit> fit;
    if (capacity_ == config::kUnlimited)
    {
        fit = Fit{0, kSlack, 0}; // all images are read in the same way
    }
    else
    {
        // One at a time is quickly tried, and where that does not fit more do not either.
        pipeline.in_flight = 1;
        const std::optional<Fit> one = find_level(plan, stage, emitter, shortage, least);
        // Where they do not fit, fewer images are in flight: producers of the next are held back.
        Shortage unused;
        for (pipeline.in_flight = wanted; !fit && one && pipeline.in_flight > 1;)
        {
            fit = find_level(plan, stage, emitter, unused, least);
            pipeline.in_flight = fit ? pipeline.in_flight : (pipeline.in_flight + 1) / 2;
        }
        pipeline.in_flight = fit ? pipeline.in_flight : 1;
        if (!fit && one)
        {
            fit = wanted == 1 ? one : Fit{one->level, one->slack, 0};
        }
    }
    if (fit)
    {
        const std::uint32_t images =
            fit->emitted != 0 ? fit->emitted : emit_level(plan, stage, emitter, fit->level);
        accept(stage, emitter,
               capacity_ == config::kUnlimited ? std::vector<Ring>{} : rings_of(emitter, 0, images),
               fit->slack);
        return;
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
            begin("holding producers back", plan.finest_level(stage) + 1);
            Least least;
            fit = find_level(plan, stage, emitter, its, least);
        }
        if (!fit && sheltered)
        {
            begin("finding refuges for data", kShelterRounds);
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
        count_attempt();
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
    const bool apart = !plan.schedule().as_soon_as_possible() || held_back_[stage];
    emitter.reserve({stage}, apart || pipeline.in_flight == 1 ? 1 : pipeline.images);
    if (apart)
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

/// Nothing: it does not fit, however it is divided.
std::optional<BufferPlan::Fit> BufferPlan::find_level(Plan& plan, std::size_t stage,
                                                      Emitter& emitter, Shortage& shortage,
                                                      Least& least)
{
    const std::uint32_t finest = plan.finest_level(stage);
    std::uint32_t most_copies = 1;
    for (const LayerId id : plan.stages()[stage])
    {
        most_copies = std::max(most_copies, plan[id].grid.copies());
    }
    // Copies work side by side only if each has data.
    const std::uint32_t for_copies = kSlack * most_copies;
    const bool alone = pipelines_[stage].in_flight == 1;
    least.resize(std::size_t{finest} + 1, 0);
    std::optional<Fit> found; // something that fits, though not into half
    std::vector<Ring> rings;
    const auto try_level = [&](std::uint32_t level)
    {
        const std::uint32_t images = emit_level(plan, stage, emitter, level);
        rings = rings_of(emitter, 0, images);
        return images;
    };
    const auto most_with = [&](std::uint32_t slack)
    {
        const std::vector<std::uint64_t> bytes = space(rings, slack);
        return *std::max_element(bytes.begin(), bytes.end());
    };
    const std::uint32_t coarsest = std::min(plan.coarsest_level(stage), finest);
    std::uint64_t before = config::kUnlimited; // what the level before takes
    for (std::uint32_t next = coarsest; next <= finest; ++next)
    {
        count_attempt();
        if (least[next] > capacity_)
        {
            continue;
        }
        const std::uint32_t images = try_level(next);
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
        least[next] = alone ? most_with(0) : least[next];
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
        if (found && !alone && next > coarsest && least[next - 1] > capacity_)
        {
            static_cast<void>(try_level(next - 1)); // it was passed over
            before = most_with(kSlack);
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
