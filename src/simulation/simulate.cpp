// SPDX-License-Identifier: Apache-2.0
#include "simulation/run.h"

namespace tessera
{

RunResult simulate(const ChipModel& chip, const Program& program, const RunOptions& options)
{
    simulation::Run run(chip, program, options, {});
    return run.execute(chip::run_native);
}

} // namespace tessera
