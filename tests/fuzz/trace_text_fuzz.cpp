// SPDX-License-Identifier: Apache-2.0
#include "fuzz_input.h"
#include "trace/line_format.h"
#include "trace/reader.h"
#include "trace/text.h"
#include "trace/text_file.h"
#include "trace/tools.h"

#include <algorithm>
#include <cstring>
#include <sstream>
#include <vector>
#include <zlib.h>

using namespace tessera;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

#ifdef TESSERA_FUZZ

namespace
{

/// Makes the checksum of the last line right again: behind it lies most of what can go wrong.
void seal(std::string& text)
{
    static const std::string kKey = "\"crc32\":\"";
    const std::size_t end = text.rfind("{\"end\"");
    if (end == std::string::npos)
    {
        return;
    }
    const std::size_t key = text.find(kKey, end);
    if (key == std::string::npos || text.size() < key + kKey.size() + 8)
    {
        return;
    }
    text.replace(key + kKey.size(), 8, trace::hex(trace::crc32_of(0, text.data(), end)));
}

std::string inflated(std::string_view bytes)
{
    std::string text(1U << 16U, '\0');
    z_stream stream = {};
    inflateInit2(&stream, 31);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data())); // NOLINT
    stream.avail_in = static_cast<uInt>(bytes.size());
    stream.next_out = reinterpret_cast<Bytef*>(text.data());
    stream.avail_out = static_cast<uInt>(text.size());
    inflate(&stream, Z_FINISH);
    text.resize(stream.total_out);
    inflateEnd(&stream);
    return text;
}

std::string deflated(std::string_view text)
{
    std::string bytes(text.size() + 1000, '\0');
    z_stream stream = {};
    deflateInit2(&stream, 1, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data())); // NOLINT
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
    stream.avail_out = static_cast<uInt>(bytes.size());
    deflate(&stream, Z_FINISH);
    bytes.resize(stream.total_out);
    deflateEnd(&stream);
    return bytes;
}

} // namespace

/// Changes the text, also that inside of gzip data, and mostly repairs the checksums around it.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned seed)
{
    const bool compressed = trace::is_gzip(fuzz::text_of(data, size));
    if (seed % 8 == 0)
    {
        return LLVMFuzzerMutate(data, size, most);
    }
    std::string text(fuzz::text_of(data, size));
    if (compressed)
    {
        text = inflated(text);
    }
    const std::size_t old = text.size();
    text.resize(std::max(old, most));
    text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), old, text.size()));
    seal(text);
    if (compressed != (seed % 64 == 1)) // now and then the other form
    {
        text = deflated(text);
    }
    text.resize(std::min(text.size(), most));
    std::memcpy(data, text.data(), text.size());
    return text.size();
}

#endif

/// A trace as JSON Lines, plain or compressed, read by unit, as for a run. What is accepted is
/// written in canonical form, and that is accepted, and is its own canonical form.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (trace::is_hdf5(fuzz::text_of(data, size)))
    {
        return 0;
    }
    const fuzz::MemoryFile file(fuzz::text_of(data, size));
    const auto canonical = [](const std::string& path)
    {
        const auto reader = trace::open_in_order(path);
        std::ostringstream text;
        trace::TextWriter writer(text, reader->header());
        trace::Operation operation;
        while (reader->next(operation))
        {
            writer.write(operation);
        }
        writer.finish();
        return text.str();
    };
    fuzz::refuses_or_accepts(
        [&]
        {
            const auto source = trace::open(file.path());
            trace::Operation operation;
            for (std::uint32_t unit = 0; unit < source->header().units.size(); ++unit)
            {
                while (source->next(UnitId(unit), operation))
                {
                }
            }
            const std::string text = canonical(file.path());
            const fuzz::MemoryFile again(text);
            std::string twice;
            try
            {
                twice = canonical(again.path());
            }
            catch (const Error& error)
            {
                fuzz::require(false, error.what());
            }
            fuzz::require(text == twice, "the canonical form is its own canonical form");
            (void)trace::check(file.path());
        });
    return 0;
}
