// SPDX-License-Identifier: Apache-2.0
#include "fuzz_input.h"
#include "h5_mutator.h"
#include "trace/reader.h"
#include "trace/tools.h"

using namespace tessera;

/// A trace in HDF5: in order, as the checker reads it, and what passes, by unit, as for a run.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    constexpr std::string_view kSignature = "\x89HDF\r\n\x1a\n";
    std::string bytes(fuzz::text_of(data, size));
    bytes.replace(0, std::min(bytes.size(), kSignature.size()), kSignature);
    const fuzz::H5Session session;
    const fuzz::MemoryFile file(bytes);
    fuzz::refuses_or_accepts(
        [&]
        {
            (void)trace::check(file.path());
            const auto source = trace::open(file.path());
            trace::Operation operation;
            for (std::uint32_t unit = 0; unit < source->header().units.size(); ++unit)
            {
                while (source->next(UnitId(unit), operation))
                {
                }
            }
        });
    return 0;
}
