// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "fuzz_input.h"

#include <algorithm>

using namespace tessera;

namespace
{

/// Every value has a line of the text, and none that comes before its container's.
void check_lines(const JsonDocument& document, const nlohmann::json& value,
                 const std::string& pointer, std::uint64_t above, std::uint64_t last)
{
    const std::uint64_t line = document.place(pointer).line;
    fuzz::require(line >= above && line <= last, "lines rise from a container to its members");
    if (value.is_structured())
    {
        std::size_t index = 0;
        for (const auto& member : value.items())
        {
            check_lines(
                document, member.value(),
                pointer_to(pointer, value.is_array() ? std::to_string(index) : member.key()), line,
                last);
            ++index;
        }
    }
}

} // namespace

/// Accepts nothing that the JSON library refuses, and reads the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text = fuzz::text_of(data, size);
    fuzz::refuses_or_accepts(
        [&]
        {
            const JsonDocument document = parse_json(text, "fuzz");
            fuzz::require(document.value() == nlohmann::json::parse(text),
                          "the same value as the library reads");
            const auto lines =
                static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n')) + 1;
            check_lines(document, document.value(), "", 1, lines);
        });
    return 0;
}
