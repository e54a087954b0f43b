// SPDX-License-Identifier: Apache-2.0
#include "chip/ports.h"

#include "base/integer.h"
#include "chip/flight.h"

#include <algorithm>

namespace tessera::chip
{

void Ports::ask(Flight& flight, PortClient& client)
{
    asking_.push_back({&flight, &client});
    wheel_.wake_now(index_, Phase::allocate);
}

void Ports::release()
{
    ++free_;
    if (!queue_.empty())
    {
        wheel_.wake_now(index_, Phase::allocate);
    }
}

Tick Ports::end(Tick from, std::uint64_t bytes) const
{
    return work_end(clock_, from, Duration::of_cycles(ceil_div(bytes, bytes_per_cycle_)));
}

void Ports::wake(Phase /*phase*/)
{
    std::sort(asking_.begin(), asking_.end(),
              [](const Request& a, const Request& b) { return unit_order(*a.flight, *b.flight); });
    queue_.insert(queue_.end(), asking_.begin(), asking_.end());
    asking_.clear();
    while (free_ != 0 && !queue_.empty())
    {
        --free_;
        const Request request = queue_.front();
        queue_.pop_front();
        if (Log* const log = wheel_.log(Topic::port))
        {
            log->write(wheel_.now(), Topic::port, wheel_.name(index_),
                       wheel_.name(request.flight->unit.value()) + " gets a port for operation " +
                           std::to_string(request.flight->op.id.value()));
        }
        request.client->port_granted(*request.flight);
    }
}

} // namespace tessera::chip
