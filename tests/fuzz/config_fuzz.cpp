// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"
#include "fuzz_input.h"

#include <nlohmann/json.hpp>
#include <vector>

using namespace tessera;

/// A chip file, then, behind NUL bytes, overrides. The effective config of what is accepted is
/// accepted too, and is its own effective config.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view all = fuzz::text_of(data, size);
    const std::string_view text = all.substr(0, all.find('\0'));
    std::vector<std::string> overrides;
    for (std::size_t begin = text.size(); begin < all.size();)
    {
        const std::size_t end = std::min(all.find('\0', begin + 1), all.size());
        overrides.emplace_back(all.substr(begin + 1, end - begin - 1));
        begin = end;
    }
    fuzz::refuses_or_accepts(
        [&]
        {
            const config::ChipConfig chip =
                config::parse(std::string(text), "fuzz.json", overrides);
            const std::string dump = config::effective(chip).dump();
            std::string again;
            try
            {
                again = config::effective(config::parse(dump, "again.json")).dump();
            }
            catch (const Error& error)
            {
                fuzz::require(false, error.what());
            }
            fuzz::require(dump == again, "an effective config is its own effective config");
        });
    return 0;
}
