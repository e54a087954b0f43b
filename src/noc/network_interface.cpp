// SPDX-License-Identifier: Apache-2.0
#include "noc/network_interface.h"

#include <algorithm>
#include <stdexcept>

namespace tessera::noc
{

NetworkInterface::NetworkInterface(const MeshShape& shape, WakeIndex index, NodeId node,
                                   const PacketFormat& format, const Multicast& multicast,
                                   MessageTable& messages, FabricListener& listener)
    : shape_(shape),
      index_(index),
      node_(node),
      format_(format),
      multicast_(&multicast),
      messages_(&messages),
      listener_(&listener),
      ready_vcs_(shape.vcs == kMaskBits ? ~Mask{0} : bit(shape.vcs) - 1),
      credits_(shape.vcs, shape.vc_depth),
      arriving_(shape.vcs, kNone)
{
}

void NetworkInterface::connect(Router& router, std::uint32_t port)
{
    router_ = &router;
    port_ = port;
}

void NetworkInterface::send(const Transfer& transfer)
{
    if (sending_)
    {
        throw std::logic_error("node " + std::to_string(node_.value()) +
                               " sends before its last transfer has left");
    }
    if (transfer.to.empty())
    {
        throw std::logic_error("a transfer without destination");
    }
    sending_ = true;
    last_left_ = false;
    tag_ = transfer.tag;
    bytes_ = transfer.bytes;
    multicast_->plan(transfer, legs_);
    leg_ = 0;
    next_leg();

    const std::uint64_t cycle = shape_.wheel->edge(shape_.domain);
    const Tick edge = shape_.wheel->clock(shape_.domain).tick_of(cycle);
    if (edge == shape_.wheel->now())
    {
        inject(cycle);
    }
    else
    {
        shape_.wheel->wake_at(index_, Phase::arrive, edge);
    }
}

void NetworkInterface::next_leg()
{
    const Leg& leg = legs_[leg_];
    leg_flits_left_ = format_.flits(bytes_);
    leg_payload_left_ = bytes_ == 0 ? 0 : format_.payload_flits(bytes_);
    packet_flits_left_ = 0;
    at_head_ = true;
    flit_.destination = leg.to;
    flit_.message =
        messages_->open({leg_flits_left_, tag_, static_cast<std::uint32_t>(leg.destination)});
}

void NetworkInterface::wake(Phase /*phase*/)
{
    const std::uint64_t cycle = shape_.wheel->edge(shape_.domain);
    const auto slot = static_cast<std::uint32_t>(cycle % kSlots);
    if ((credits_in_mask_ & bit(slot)) != 0)
    {
        credits_in_mask_ &= ~bit(slot);
        ++credits_[credits_in_[slot]];
        ready_vcs_ |= bit(credits_in_[slot]);
    }
    if (sending_)
    {
        if (last_left_)
        {
            sending_ = false;
            listener_->sent(tag_);
        }
        else
        {
            inject(cycle);
        }
    }
    if ((arrived_mask_ & bit(slot)) != 0)
    {
        arrived_mask_ &= ~bit(slot);
        const MessageTable::Message message = (*messages_)[arrived_[slot]];
        messages_->close(arrived_[slot]);
        listener_->delivered(message.tag, message.destination);
    }
}

void NetworkInterface::report_disorder() const
{
    throw std::logic_error("node " + std::to_string(node_.value()) +
                           " received the flits of two packets mixed up in one virtual channel");
}

bool NetworkInterface::choose_vc()
{
    if (ready_vcs_ == 0)
    {
        return false;
    }
    flit_.vc = static_cast<std::uint8_t>(round_robin(ready_vcs_, next_vc_));
    next_vc_ = after(flit_.vc, shape_.vcs);
    return true;
}

void NetworkInterface::log_flit(Log& log) const
{
    log.write(shape_.wheel->now(), Topic::flit, shape_.wheel->name(index_),
              std::string(flit_.head ? "head " : "") + (flit_.tail ? "tail " : "") + "flit to " +
                  shape_.geometry->name(flit_.destination) + " enters the mesh on vc " +
                  std::to_string(flit_.vc));
}

void NetworkInterface::inject(std::uint64_t cycle)
{
    const bool room = at_head_ ? choose_vc() : (ready_vcs_ & bit(flit_.vc)) != 0;
    if (!room)
    {
        shape_.touched_interfaces->touch(node_.index());
        if (!blocked_)
        {
            blocked_ = true;
            blocked_since_ = shape_.wheel->now();
        }
        return; // the next credit wakes this unit
    }
    if (blocked_)
    {
        blocked_ = false;
        link_.stall(blocked_since_, shape_.wheel->now() - blocked_since_);
    }
    if (at_head_)
    {
        const std::uint64_t payload =
            std::min<std::uint64_t>(leg_payload_left_, format_.packet_flits - format_.header_flits);
        leg_payload_left_ -= payload;
        packet_flits_left_ = std::max<std::uint64_t>(1, payload + format_.header_flits);
    }
    flit_.head = at_head_;
    flit_.tail = --packet_flits_left_ == 0;
    at_head_ = flit_.tail;
    if (--credits_[flit_.vc] == 0)
    {
        ready_vcs_ &= ~bit(flit_.vc);
    }
    link_.carry(shape_.wheel->now(), shape_.cycle_length->of(cycle));
    shape_.touched_interfaces->touch(node_.index());
    if (Log* const log = shape_.wheel->log(Topic::flit))
    {
        log_flit(*log);
    }
    router_->put_flit(port_, flit_, cycle, kInjectCycles);
    if (--leg_flits_left_ == 0)
    {
        if (++leg_ == legs_.size())
        {
            last_left_ = true;
        }
        else
        {
            next_leg();
        }
    }
    shape_.wheel->wake_in(index_, Phase::arrive, shape_.domain, 1);
}

} // namespace tessera::noc
