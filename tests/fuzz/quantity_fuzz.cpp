// SPDX-License-Identifier: Apache-2.0
#include "base/quantity.h"
#include "fuzz_input.h"

using namespace tessera;

/// First byte: what is read; the rest: its text. What is accepted is printed and read back alike.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    constexpr unsigned kDimensions = 5;
    if (size == 0)
    {
        return 0;
    }
    const std::string_view text = fuzz::text_of(data + 1, size - 1);
    const unsigned kind = data[0] % (kDimensions + 1);
    fuzz::refuses_or_accepts(
        [&]
        {
            if (kind == kDimensions)
            {
                const Duration duration = parse_duration(text, {"fuzz", 1, ""});
                const Duration again = parse_duration(print_duration(duration), {"fuzz", 1, ""});
                fuzz::require(again.cycles == duration.cycles && again.ticks == duration.ticks,
                              "a duration is printed as it was read");
                return;
            }
            const auto dimension = static_cast<Dimension>(kind);
            const std::uint64_t value = parse_quantity(dimension, text, {"fuzz", 1, ""});
            fuzz::require(
                parse_quantity(dimension, print_quantity(dimension, value), {"", 0, ""}) == value,
                "a quantity is printed as it was read");
        });
    return 0;
}
