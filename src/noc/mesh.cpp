// SPDX-License-Identifier: Apache-2.0
#include "noc/kinds.h"
#include "noc/multicast.h"
#include "noc/network_interface.h"
#include "noc/router.h"
#include "tessera/error.h"

#include <algorithm>

namespace tessera::noc
{
namespace
{

constexpr std::uint32_t opposite(Direction direction)
{
    switch (direction)
    {
    case Direction::east:
        return static_cast<std::uint32_t>(Direction::west);
    case Direction::west:
        return static_cast<std::uint32_t>(Direction::east);
    case Direction::south:
        return static_cast<std::uint32_t>(Direction::north);
    case Direction::north:
        break;
    }
    return static_cast<std::uint32_t>(Direction::south);
}

void require(bool condition, const char* pointer, const std::string& problem,
             const std::string& remedy)
{
    if (!condition)
    {
        throw InputError({"", 0, pointer}, problem, remedy);
    }
}

void check(const config::ChipConfig& chip, const Geometry& geometry)
{
    const config::ChipConfig::Noc& noc = chip.noc;
    require(geometry.tiles() > 0, "/tiles", "the mesh has no tiles", "give at least one of each");
    require(noc.vcs >= 1 && noc.vcs <= kMaskBits, "/noc/vcs", "must lie between 1 and 32",
            "give another number of virtual channels");
    require(noc.vc_depth >= 1, "/noc/vc_depth", "must be at least 1",
            "5 flits keep a link busy with one virtual channel");
    require(noc.flit_bits >= 1, "/noc/flit_bits", "must be at least 1",
            "give the width of a link in bits");
    require(noc.packet_flits > noc.header_flits, "/noc/packet_flits",
            "must be greater than noc.header_flits", "a packet needs room for data");
    require(noc.routing_delay <= 1, "/noc/routing_delay", "must be 0 or 1",
            "give 1 for a route-computation stage, 0 for look-ahead routing");
    for (std::uint32_t router = 0; router < geometry.tiles(); ++router)
    {
        require(geometry.nodes_at(router).size() <= kMaskBits - kLocal, "/memory/ports",
                "a router would get more than 32 ports", "give fewer memory ports");
    }
}

/// Routers in a grid with a network interface per node, flit by flit.
class Mesh : public Fabric
{
public:
    Mesh(const config::ChipConfig& chip, Wheel& wheel, WakeIndex first, FabricListener& listener)
        : geometry_(chip),
          routing_(make_routing(chip.noc.routing)),
          multicast_(make_multicast("serial")),
          clock_(chip.noc.clock),
          format_{chip.noc.flit_bits, chip.noc.packet_flits, chip.noc.header_flits},
          shape_{&wheel,
                 0,
                 &geometry_,
                 routing_.get(),
                 chip.noc.vcs,
                 chip.noc.vc_depth,
                 chip.noc.routing_delay,
                 &cycle_length_,
                 &touched_routers_,
                 &touched_interfaces_},
          cycle_length_(clock_)
    {
        check(chip, geometry_);
        shape_.domain = wheel.add_domain(clock_);
        routers_.reserve(geometry_.tiles());
        for (std::uint32_t router = 0; router < geometry_.tiles(); ++router)
        {
            routers_.emplace_back(shape_, first + router, router);
            wheel.attach(first + router, routers_.back(), router_name(router));
        }
        const WakeIndex first_interface = first + geometry_.tiles();
        interfaces_.reserve(geometry_.nodes());
        for (std::uint32_t node = 0; node < geometry_.nodes(); ++node)
        {
            const NodeId id(node);
            interfaces_.emplace_back(shape_, first_interface + node, id, format_, *multicast_,
                                     messages_, listener);
            NetworkInterface& interface = interfaces_.back();
            Router& router = routers_[geometry_.router_of(id)];
            const std::uint32_t port = kLocal + geometry_.local_of(id);
            router.connect(port, interface);
            interface.connect(router, port);
            wheel.attach(first_interface + node, interface, interface_name(id));
        }
        connect_neighbours();
        std::size_t link = geometry_.nodes();
        for (const Router& router : routers_)
        {
            first_link_.push_back(link);
            for (std::uint32_t output = 0; output < router.ports(); ++output)
            {
                link += router.connected(output) ? 1 : 0;
            }
        }
    }

    void send(const Transfer& transfer) override
    {
        interfaces_[transfer.from.index()].send(transfer);
    }

    [[nodiscard]] Tick zero_load(const Transfer& transfer, Tick start) const override
    {
        return clock_.after(start, zero_load_cycles(transfer)) - start;
    }

    [[nodiscard]] std::vector<LinkSummary> links(Tick at) const override
    {
        std::vector<LinkSummary> all;
        const auto add = [&](std::string name, const LinkFigures& figures) {
            all.push_back({std::move(name), figures.flits, figures.busy, figures.stalled});
        };
        for (std::uint32_t node = 0; node < geometry_.nodes(); ++node)
        {
            const NodeId id(node);
            add(geometry_.name(id) + "->" + router_name(geometry_.router_of(id)),
                interfaces_[node].figures(at));
        }
        for (std::uint32_t from = 0; from < geometry_.tiles(); ++from)
        {
            const Router& router = routers_[from];
            for (std::uint32_t output = 0; output < router.ports(); ++output)
            {
                if (router.connected(output))
                {
                    add(router_name(from) + "->" + far_name(from, output),
                        router.figures(output, at));
                }
            }
        }
        return all;
    }

    void watch() override
    {
        touched_routers_.start(routers_.size());
        touched_interfaces_.start(interfaces_.size());
    }

    void changes(Tick at, const LookAtLink& look) override
    {
        touched_interfaces_.take(
            [&](std::uint32_t node)
            {
                look(node, interfaces_[node].figures(at));
                return interfaces_[node].changes_after(at);
            });
        touched_routers_.take(
            [&](std::uint32_t number)
            {
                const Router& router = routers_[number];
                std::size_t link = first_link_[number];
                for (std::uint32_t output = 0; output < router.ports(); ++output)
                {
                    if (router.connected(output))
                    {
                        look(link++, router.figures(output, at));
                    }
                }
                return router.changes_after(at);
            });
    }

    [[nodiscard]] std::vector<FabricUnit> units() override
    {
        std::vector<FabricUnit> all;
        for (std::uint32_t router = 0; router < geometry_.tiles(); ++router)
        {
            const Position here = geometry_.position(router);
            all.push_back({router_name(router),
                           &routers_[router],
                           {{"row", std::to_string(here.row)},
                            {"column", std::to_string(here.column)},
                            {"ports", std::to_string(routers_[router].ports())},
                            {"vcs", std::to_string(shape_.vcs)},
                            {"vc_depth", std::to_string(shape_.vc_depth)},
                            {"routing_delay", std::to_string(shape_.routing_delay)}}});
        }
        for (std::uint32_t node = 0; node < geometry_.nodes(); ++node)
        {
            all.push_back({interface_name(NodeId(node)),
                           &interfaces_[node],
                           {{"router", router_name(geometry_.router_of(NodeId(node)))},
                            {"flit_bits", std::to_string(format_.flit_bits)},
                            {"packet_flits", std::to_string(format_.packet_flits)},
                            {"header_flits", std::to_string(format_.header_flits)}}});
        }
        return all;
    }

private:
    [[nodiscard]] static std::string router_name(std::uint32_t router)
    {
        return "r" + std::to_string(router);
    }
    [[nodiscard]] std::string interface_name(NodeId node) const
    {
        return geometry_.name(node) + ".port";
    }

    [[nodiscard]] std::uint32_t neighbour(std::uint32_t router, Direction direction) const
    {
        switch (direction)
        {
        case Direction::east:
            return router + 1;
        case Direction::west:
            return router - 1;
        case Direction::south:
            return router + geometry_.columns();
        case Direction::north:
            break;
        }
        return router - geometry_.columns();
    }

    [[nodiscard]] std::string far_name(std::uint32_t router, std::uint32_t output) const
    {
        return output < kLocal ? router_name(neighbour(router, static_cast<Direction>(output)))
                               : geometry_.name(geometry_.nodes_at(router)[output - kLocal]);
    }

    void connect_neighbours()
    {
        for (std::uint32_t from = 0; from < geometry_.tiles(); ++from)
        {
            const Position here = geometry_.position(from);
            const auto connect = [&](bool exists, Direction direction)
            {
                if (exists)
                {
                    routers_[from].connect(static_cast<std::uint32_t>(direction),
                                           routers_[neighbour(from, direction)],
                                           opposite(direction));
                }
            };
            connect(here.column + 1 < geometry_.columns(), Direction::east);
            connect(here.column > 0, Direction::west);
            connect(here.row + 1 < geometry_.rows(), Direction::south);
            connect(here.row > 0, Direction::north);
        }
    }

    /// Closed form. Exact for one packet; for more when none is a single flit and there are at
    /// least two virtual channels, deep enough for the credit loop of a head (6 + routing_delay).
    /// Else the packets of one transfer get in each other's way, and this is a lower bound.
    [[nodiscard]] std::uint64_t zero_load_cycles(const Transfer& transfer) const
    {
        const std::uint64_t flits = format_.flits(transfer.bytes);
        std::uint64_t before = 0; ///< flits that leave earlier
        std::uint64_t last = 0;
        for (const NodeId to : transfer.to)
        {
            const std::uint64_t routers = geometry_.routers_between(transfer.from, to);
            const std::uint64_t packet = std::min<std::uint64_t>(flits, format_.packet_flits);
            const std::uint64_t loop = routers == 1 ? kInjectLoop : kCreditLoop;
            const std::uint64_t bubbles =
                shape_.vc_depth < loop ? (loop - shape_.vc_depth) * ((packet - 1) / shape_.vc_depth)
                                       : 0;
            last = std::max(last, (4 + shape_.routing_delay) * routers + 2 + before + flits - 1 +
                                      bubbles);
            before += flits;
        }
        return last;
    }

    /// Cycles from spending a credit to having it back.
    static constexpr std::uint64_t kCreditLoop = kSwitchToRouterCycles + kCreditCycles;
    static constexpr std::uint64_t kInjectLoop = kInjectCycles + kCreditCycles;

    Geometry geometry_;
    std::unique_ptr<Routing> routing_;
    std::unique_ptr<Multicast> multicast_;
    Clock clock_;
    PacketFormat format_;
    MeshShape shape_;
    CycleLength cycle_length_;
    TouchList touched_routers_;
    TouchList touched_interfaces_;
    std::vector<std::size_t> first_link_; ///< by router: place of its first one in links()
    MessageTable messages_;
    std::vector<Router> routers_;
    std::vector<NetworkInterface> interfaces_;
};

} // namespace

std::size_t mesh_wake_count(const config::ChipConfig& chip)
{
    return std::size_t{chip.tile_count()} * 2 + chip.memory.ports;
}

std::unique_ptr<Fabric> make_mesh(const config::ChipConfig& chip, Wheel& wheel, WakeIndex first,
                                  FabricListener& listener)
{
    return std::make_unique<Mesh>(chip, wheel, first, listener);
}

} // namespace tessera::noc
