// SPDX-License-Identifier: Apache-2.0
#include "compiler/in_flight.h"

#include "base/integer.h"
#include "compiler/emit.h"
#include "compiler/forecast.h"

#include <algorithm>

namespace tessera::compiler
{
namespace
{

/// While the first of them is on its way, the busiest unit works on all.
Tick fewest(const SingleImage& one)
{
    return std::max<Tick>(ceil_div(one.latency, std::max<Tick>(one.work, 1)), 1);
}

} // namespace

SingleImage alone(Plan& plan, std::size_t stage)
{
    plan.set_level(stage, 0);
    Emitter emitter(plan, nullptr);
    emitter.emit(stage, Pipeline{});
    const Forecast forecast(emitter);
    return {forecast.makespan(), forecast.work(forecast.busiest()), forecast.busiest()};
}

Flight keeping_busy(Plan& plan, std::uint32_t images)
{
    Flight result{pipelined(plan, images), std::nullopt};
    if (images == 1)
    {
        return result;
    }
    const bool no_more = one_at_a_time(plan);
    for (std::size_t stage = 0; stage < plan.stages().size(); ++stage)
    {
        const SingleImage one = alone(plan, stage);
        const auto its = static_cast<std::uint32_t>(std::min<Tick>(fewest(one), images));
        result.pipeline.in_flight = no_more ? 1 : std::max(result.pipeline.in_flight, its);
        if (!result.one || fewest(*result.one) < fewest(one))
        {
            result.one = one;
        }
    }
    return result;
}

} // namespace tessera::compiler
