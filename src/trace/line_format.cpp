// SPDX-License-Identifier: Apache-2.0
#include "trace/line_format.h"

#include <fmt/format.h>
#include <zlib.h>

namespace tessera::trace
{
namespace
{

void append_number(std::string& out, std::uint64_t value)
{
    const fmt::format_int text(value);
    out.append(text.data(), text.size());
}

void append_number(std::string& out, std::string_view key, std::uint64_t value)
{
    out += key;
    append_number(out, value);
}

template <class List, class Append>
void append_list(std::string& out, std::string_view key, const List& list, Append append)
{
    out += key;
    bool first = true;
    for (const auto& item : list)
    {
        if (!first)
        {
            out += ',';
        }
        first = false;
        append(item);
    }
    out += ']';
}

} // namespace

LineFormat::LineFormat(const Header& header) : tiles_(header.tiles)
{
    names_.reserve(header.units.size());
    for (const TracedUnit& unit : header.units)
    {
        names_.push_back('"' + unit.name(header.tiles) + '"');
    }
}

void LineFormat::append(std::string& out, const Operation& operation) const
{
    const auto id = [&](OpId value) { append_number(out, value.value()); };
    const auto bound = [&](std::uint32_t value) { append_number(out, value); };
    append_number(out, R"({"id":)", operation.id.value());
    out += R"(,"op":")";
    out += name_of(operation.kind);
    out += R"(","at":)";
    out += names_[operation.at.index()];
    if (operation.block.valid())
    {
        append_number(out, ",\"block\":", operation.block.value());
    }
    if (operation.ofm)
    {
        append_list(out, ",\"ofm\":[", operation.ofm->bounds, bound);
    }
    if (operation.n != 0 || operation.kind == OpKind::vec)
    {
        append_number(out, ",\"n\":", operation.n);
    }
    if (operation.bits != 0)
    {
        append_number(out, ",\"bits\":", operation.bits);
    }
    if (operation.bytes != 0)
    {
        append_number(out, ",\"bytes\":", operation.bytes);
    }
    if (operation.uses != 0)
    {
        append_number(out, ",\"uses\":", operation.uses);
    }
    if (!operation.in.empty())
    {
        append_list(out, ",\"in\":[", operation.in, id);
    }
    if (!operation.after.empty())
    {
        append_list(out, ",\"after\":[", operation.after, id);
    }
    if (operation.into >= 0)
    {
        append_number(out, ",\"into\":", static_cast<std::uint64_t>(operation.into));
    }
    if (!operation.to.empty())
    {
        append_list(out, ",\"to\":[", operation.to,
                    [&](const Destination& destination)
                    {
                        const std::uint32_t node = destination.at.value();
                        out += R"({"at":")";
                        append_number(out, node < tiles_ ? "t" : "mem",
                                      node < tiles_ ? node : node - tiles_);
                        out += '"';
                        if (destination.uses != 0)
                        {
                            append_number(out, ",\"uses\":", destination.uses);
                        }
                        out += '}';
                    });
    }
    if (operation.release != 0)
    {
        append_number(out, ",\"release\":", operation.release);
    }
    if (operation.start_hint)
    {
        append_number(out, ",\"start\":", *operation.start_hint);
    }
    if (operation.layer.valid() && !operation.block.valid())
    {
        append_number(out, ",\"layer\":", operation.layer.value());
    }
    if (operation.image != 0)
    {
        append_number(out, ",\"img\":", operation.image);
    }
    if (operation.kind == OpKind::vec)
    {
        out += ",\"fn\":\"";
        out += functions()[operation.function].name;
        out += '"';
    }
    if (!operation.arguments.empty())
    {
        const char* separator = ",\"args\":{\"";
        for (const auto& [name, value] : operation.arguments)
        {
            out += separator;
            out += name;
            out += "\":";
            const fmt::format_int text(value);
            out.append(text.data(), text.size());
            separator = ",\"";
        }
        out += '}';
    }
    if (operation.tensor.valid())
    {
        append_number(out, ",\"tensor\":", operation.tensor.value());
    }
    if (operation.box)
    {
        append_list(out, ",\"box\":[", operation.box->bounds, bound);
    }
    if (operation.address)
    {
        append_number(out, ",\"address\":", *operation.address);
    }
    out += "}\n";
}

std::string hex(std::uint32_t crc)
{
    return fmt::format("{:08x}", crc);
}

std::string end_line(std::uint64_t operations, std::uint32_t crc)
{
    return fmt::format("{{\"end\":true,\"ops\":{},\"crc32\":\"{}\"}}\n", operations, hex(crc));
}

std::uint32_t crc32_of(std::uint32_t crc, const char* data, std::size_t size)
{
    return static_cast<std::uint32_t>(
        crc32_z(crc, reinterpret_cast<const unsigned char*>(data), size)); // NOLINT(*reinterpret*)
}

} // namespace tessera::trace
