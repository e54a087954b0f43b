// SPDX-License-Identifier: Apache-2.0
#include "noc/router.h"

#include "noc/network_interface.h"

#include <utility>

namespace tessera::noc
{

Router::Router(const MeshShape& shape, WakeIndex index, std::uint32_t router)
    : shape_(shape),
      index_(index),
      router_(router),
      here_(shape.geometry->position(router)),
      ports_(kLocal + static_cast<std::uint32_t>(shape.geometry->nodes_at(router).size())),
      vcs_(shape.vcs),
      depth_(shape.vc_depth),
      buffers_(std::size_t{ports_} * vcs_ * depth_),
      input_vcs_(std::size_t{ports_} * vcs_),
      output_vcs_(std::size_t{ports_} * vcs_),
      inputs_(ports_),
      outputs_(ports_),
      requests_(std::size_t{ports_} * ports_, 0),
      contested_mask_(ports_, 0),
      chosen_vc_(ports_, 0),
      nominated_(ports_, 0),
      flits_in_(kSlots * ports_),
      credits_in_(kSlots * ports_, 0),
      links_(ports_)
{
    contested_.reserve(output_vcs_.size());
    for (OutputVc& vc : output_vcs_)
    {
        vc.credits = depth_;
    }
    for (OutputPort& output : outputs_)
    {
        output.free = vcs_ == kMaskBits ? ~Mask{0} : bit(vcs_) - 1;
    }
}

void Router::connect(std::uint32_t output, Router& neighbour, std::uint32_t neighbour_input)
{
    outputs_[output].router = &neighbour;
    outputs_[output].far_port = neighbour_input;
    neighbour.inputs_[neighbour_input].router = this;
    neighbour.inputs_[neighbour_input].far_port = output;
}

void Router::connect(std::uint32_t port, NetworkInterface& interface)
{
    outputs_[port].interface = &interface;
    outputs_[port].credit_cost = 0;
    inputs_[port].interface = &interface;
}

bool Router::connected(std::uint32_t output) const
{
    return outputs_[output].router != nullptr || outputs_[output].interface != nullptr;
}

void Router::wake(Phase /*phase*/)
{
    const std::uint64_t cycle = shape_.wheel->edge(shape_.domain);
    const std::uint64_t slot = cycle % kSlots;
    shape_.touched_routers->touch(router_);
    account_sleep(cycle);
    take_credits(slot);
    take_flits(slot);

    // Every stage decides on the state that the cycle began with (arrivals included); what it
    // changes is for the stages of the next cycle. Hence: VC allocation before the switch frees
    // VCs, its result after the switch has been allocated, and routes last.
    const Mask routed_ports = std::exchange(unrouted_, 0);
    std::array<Mask, kMaskBits> routed;
    for (Mask ports = routed_ports; ports != 0; ports &= ports - 1)
    {
        const std::uint32_t port = lowest(ports);
        routed[port] = std::exchange(inputs_[port].unrouted, 0);
    }
    if (waiting_ != 0)
    {
        allocate_vcs();
    }
    starved_ = wanted_;
    if (requesting_ != 0)
    {
        allocate_switch(cycle);
    }
    for (Mask outputs = starved_; outputs != 0; outputs &= outputs - 1)
    {
        links_[lowest(outputs)].stall(shape_.wheel->now(), shape_.cycle_length->of(cycle));
    }
    commit_vcs();
    for (Mask ports = routed_ports; ports != 0; ports &= ports - 1)
    {
        const std::uint32_t port = lowest(ports);
        for (Mask vcs = routed[port]; vcs != 0; vcs &= vcs - 1)
        {
            route(port, lowest(vcs));
        }
    }
    if (can_progress())
    {
        shape_.wheel->wake_in(index_, Phase::allocate, shape_.domain, 1);
    }
}

void Router::account_sleep(std::uint64_t cycle)
{
    if (wanted_ != 0)
    {
        // Asleep with flits that are ready: nothing has moved since.
        const Tick since = cycle_end();
        const Tick now = shape_.wheel->now();
        for (Mask outputs = now > since ? wanted_ : 0; outputs != 0; outputs &= outputs - 1)
        {
            links_[lowest(outputs)].stall(since, now - since);
        }
    }
    last_cycle_ = cycle;
}

Fabric::LinkFigures Router::figures(std::uint32_t output, Tick at) const
{
    Fabric::LinkFigures figures = links_[output].up_to(at);
    const Tick since = cycle_end();
    figures.stalled += (wanted_ & bit(output)) != 0 && at > since ? at - since : 0;
    return figures;
}

void Router::take_credits(std::uint64_t slot)
{
    for (Mask ports = std::exchange(credits_in_mask_[slot], 0); ports != 0; ports &= ports - 1)
    {
        const std::uint32_t output = lowest(ports);
        OutputVc& vc = output_vcs_[output * vcs_ + credits_in_[slot * ports_ + output]];
        if (vc.credits++ == 0 && vc.owner != kNone && input_vcs_[vc.owner].count != 0)
        {
            request(vc.owner / vcs_, vc.owner % vcs_, output);
        }
    }
}

void Router::take_flits(std::uint64_t slot)
{
    for (Mask ports = std::exchange(flits_in_mask_[slot], 0); ports != 0; ports &= ports - 1)
    {
        const std::uint32_t port = lowest(ports);
        const Flit& flit = flits_in_[slot * ports_ + port];
        const std::uint32_t number = port * vcs_ + flit.vc;
        InputVc& input = input_vcs_[number];
        std::uint32_t end = input.head + input.count;
        end = end < depth_ ? end : end - depth_;
        buffers_[std::size_t{number} * depth_ + end] = flit;
        if (input.count++ != 0)
        {
            continue;
        }
        if (!input.active)
        {
            begin_packet(port, flit.vc);
            continue;
        }
        want(input.output);
        if (output_vcs_[input.output_vc].credits != 0)
        {
            request(port, flit.vc, input.output);
        }
    }
}

/// The oldest flit of the VC is a head.
void Router::begin_packet(std::uint32_t port, std::uint32_t vc)
{
    if (shape_.routing_delay == 0)
    {
        route(port, vc);
        return;
    }
    inputs_[port].unrouted |= bit(vc);
    unrouted_ |= bit(port);
}

void Router::route(std::uint32_t port, std::uint32_t vc)
{
    const std::uint32_t number = port * vcs_ + vc;
    InputVc& input = input_vcs_[number];
    const NodeId node = buffers_[std::size_t{number} * depth_ + input.head].destination;
    const std::uint32_t target = shape_.geometry->router_of(node);
    input.output = target == router_ ? kLocal + shape_.geometry->local_of(node)
                                     : static_cast<std::uint32_t>(shape_.routing->next(
                                           here_, shape_.geometry->position(target)));
    inputs_[port].waiting |= bit(vc);
    waiting_ |= bit(port);
}

void Router::mark_overdue(InputVc& input)
{
    if (!input.overdue)
    {
        input.overdue = true;
        want(input.output);
    }
}

/// Each input VC asks for one free VC of its output port, each output VC accepts one of those that
/// ask.
void Router::allocate_vcs()
{
    const std::uint32_t count = ports_ * vcs_;
    for (Mask ports = waiting_; ports != 0; ports &= ports - 1)
    {
        const std::uint32_t port = lowest(ports);
        for (Mask vcs = inputs_[port].waiting; vcs != 0; vcs &= vcs - 1)
        {
            const std::uint32_t number = port * vcs_ + lowest(vcs);
            InputVc& input = input_vcs_[number];
            const Mask free = outputs_[input.output].free;
            if (free == 0)
            {
                mark_overdue(input);
                continue;
            }
            const std::uint32_t base = input.output * vcs_;
            const std::uint32_t next = input.next_vc - base; // wraps when it points to another port
            const std::uint32_t vc = base + round_robin(free, next < vcs_ ? next : 0);
            OutputVc& wanted = output_vcs_[vc];
            const std::uint32_t distance = number >= wanted.next_input
                                               ? number - wanted.next_input
                                               : number + count - wanted.next_input;
            const std::uint32_t place = vc - base;
            if ((contested_mask_[input.output] & bit(place)) == 0)
            {
                contested_mask_[input.output] |= bit(place);
                contested_.push_back(vc);
                wanted.best = number;
                wanted.best_distance = distance;
            }
            else if (distance < wanted.best_distance)
            {
                mark_overdue(input_vcs_[wanted.best]);
                wanted.best = number;
                wanted.best_distance = distance;
            }
            else
            {
                mark_overdue(input);
            }
        }
    }
}

void Router::commit_vcs()
{
    for (const std::uint32_t vc : contested_)
    {
        OutputVc& granted = output_vcs_[vc];
        const std::uint32_t number = granted.best;
        const std::uint32_t port = number / vcs_;
        InputVc& input = input_vcs_[number];
        OutputPort& output = outputs_[input.output];
        granted.owner = number;
        granted.next_input = after(number, ports_ * vcs_);
        input.next_vc = after(vc, ports_ * vcs_);
        input.output_vc = vc;
        input.active = true;
        if (!std::exchange(input.overdue, false))
        {
            want(input.output);
        }
        output.free &= ~bit(vc - input.output * vcs_);
        contested_mask_[input.output] = 0;
        if ((inputs_[port].waiting &= ~bit(number % vcs_)) == 0)
        {
            waiting_ &= ~bit(port);
        }
        if (granted.credits != 0)
        {
            request(port, number % vcs_, input.output);
        }
    }
    contested_.clear();
}

/// Each input port nominates one output and for it one VC, each output port accepts one input.
void Router::allocate_switch(std::uint64_t cycle)
{
    Mask contested = 0;
    for (Mask ports = requesting_; ports != 0; ports &= ports - 1)
    {
        const std::uint32_t port = lowest(ports);
        const InputPort& input = inputs_[port];
        const std::uint32_t output = round_robin(input.outputs, input.next_output);
        chosen_vc_[port] = round_robin(requests_[port * ports_ + output], input.next_vc);
        nominated_[output] |= bit(port);
        contested |= bit(output);
    }
    starved_ &= ~contested;
    for (; contested != 0; contested &= contested - 1)
    {
        const std::uint32_t output = lowest(contested);
        const std::uint32_t port =
            round_robin(std::exchange(nominated_[output], 0), outputs_[output].next_input);
        const std::uint32_t vc = chosen_vc_[port];
        inputs_[port].next_output = after(output, ports_);
        inputs_[port].next_vc = after(vc, vcs_);
        outputs_[output].next_input = after(port, ports_);
        send(port, vc, output, cycle);
    }
}

void Router::log_flit(Log& log, Flit flit, std::uint32_t port, std::uint32_t vc,
                      std::uint32_t output) const
{
    const auto name = [](std::uint32_t number)
    {
        constexpr std::array<char, kDirections> directions = {'E', 'W', 'S', 'N'};
        return number < kLocal ? std::string(1, directions[number])
                               : "L" + std::to_string(number - kLocal);
    };
    log.write(shape_.wheel->now(), Topic::flit, shape_.wheel->name(index_),
              std::string(flit.head ? "head " : "") + (flit.tail ? "tail " : "") + "flit to " +
                  shape_.geometry->name(flit.destination) + ": " + name(port) + "." +
                  std::to_string(vc) + " -> " + name(output) + "." + std::to_string(flit.vc));
}

void Router::send(std::uint32_t port, std::uint32_t vc, std::uint32_t output, std::uint64_t cycle)
{
    const std::uint32_t number = port * vcs_ + vc;
    InputVc& input = input_vcs_[number];
    OutputPort& out = outputs_[output];
    OutputVc& out_vc = output_vcs_[input.output_vc];

    Flit flit = buffers_[std::size_t{number} * depth_ + input.head];
    input.head = after(input.head, depth_);
    --input.count;
    out_vc.credits -= out.credit_cost;
    flit.vc = static_cast<std::uint8_t>(input.output_vc - output * vcs_);
    links_[output].carry(shape_.wheel->now(), shape_.cycle_length->of(cycle));
    if (Log* const log = shape_.wheel->log(Topic::flit))
    {
        log_flit(*log, flit, port, vc, output);
    }
    if (out.router != nullptr)
    {
        out.router->put_flit(out.far_port, flit, cycle, kSwitchToRouterCycles);
    }
    else
    {
        out.interface->put_flit(flit, cycle);
    }
    InputPort& in = inputs_[port];
    if (in.router != nullptr)
    {
        in.router->put_credit(in.far_port, vc, cycle);
    }
    else
    {
        in.interface->put_credit(vc, cycle);
    }

    if (flit.tail)
    {
        out_vc.owner = kNone;
        out.free |= bit(flit.vc);
        input.active = false;
        withdraw(port, vc, output);
        unwant(output);
        if (input.count != 0)
        {
            begin_packet(port, vc);
        }
        return;
    }
    if (input.count == 0)
    {
        withdraw(port, vc, output);
        unwant(output);
    }
    else if (out_vc.credits == 0)
    {
        withdraw(port, vc, output);
    }
}

bool Router::can_progress() const
{
    if ((requesting_ | unrouted_) != 0)
    {
        return true;
    }
    for (Mask ports = waiting_; ports != 0; ports &= ports - 1)
    {
        const std::uint32_t port = lowest(ports);
        for (Mask vcs = inputs_[port].waiting; vcs != 0; vcs &= vcs - 1)
        {
            if (outputs_[input_vcs_[port * vcs_ + lowest(vcs)].output].free != 0)
            {
                return true;
            }
        }
    }
    return false;
}

} // namespace tessera::noc
