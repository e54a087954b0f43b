// SPDX-License-Identifier: Apache-2.0
#include <tessera/tessera.h>

#include <iostream>

int main()
try
{
    const tessera::ChipModel chip("clsa-256", {"noc.vcs=2"});
    const auto program = tessera::Program::compile("lenet5", chip);
    tessera::RunOptions options;
    options.folder = "lenet5";
    options.replace = true;
    options.level = tessera::ActivityLevel::stage;
    const tessera::Summary summary = tessera::simulate(chip, program, options).summary;
    std::cout << chip.name() << ": " << summary.span << " ps, " << summary.crossbars
              << " crossbars\n";

    const tessera::Results results(options.folder);
    tessera::Tick computing = 0;
    results.for_each<tessera::IntervalRecord>(
        [&](const tessera::IntervalRecord& record)
        {
            if (record.stage == static_cast<std::uint8_t>(tessera::Stage::mvm))
                computing += record.count * (record.end - record.begin);
        });
    std::cout << "its crossbars computed for " << computing << " ps\n";
}
catch (const tessera::Error& error)
{
    std::cerr << error.what() << '\n';
    return static_cast<int>(error.code());
}
