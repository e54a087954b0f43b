// SPDX-License-Identifier: Apache-2.0
#include "fuzz_input.h"
#include "h5_mutator.h"
#include "record/inspect.h"
#include "record/reader.h"

using namespace tessera;

/// A result file: what `tessera inspect` does with it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const fuzz::H5Session session;
    const fuzz::MemoryFile file(fuzz::text_of(data, size));
    fuzz::refuses_or_accepts(
        [&]
        {
            const record::ResultReader reader(file.path());
            std::uint64_t records = 0;
            const auto count = [&](const auto& /*record*/) { ++records; };
            reader.for_each<OpRecord>(count);
            reader.for_each<DependencyRecord>(count);
            reader.for_each<IntervalRecord>(count);
            reader.for_each<StallRecord>(count);
            reader.for_each<CycleRecord>(count);
            (void)record::overview(reader);
        });
    return 0;
}
