// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "trace/header.h"

namespace tessera::trace
{
namespace
{

using Json = nlohmann::json;

std::string quoted(const std::string& text, const std::string& pointer)
{
    try
    {
        return Json(text).dump();
    }
    catch (const Json::exception&)
    {
        throw InputError({"", 0, pointer}, "is not UTF-8 text", "encode it as UTF-8");
    }
}

/// Writes the members of one object or list with commas between them.
class Members
{
public:
    explicit Members(std::string& out) : out_(out) {}
    std::string& key(const std::string& name)
    {
        separate();
        return out_ += '"' + name + "\":";
    }
    std::string& item()
    {
        separate();
        return out_;
    }

private:
    void separate()
    {
        if (!first_)
        {
            out_ += ',';
        }
        first_ = false;
    }
    std::string& out_;
    bool first_ = true;
};

std::string range(std::uint32_t begin, std::uint32_t end)
{
    return '[' + std::to_string(begin) + ',' + std::to_string(end) + ']';
}

std::string network_text(const Header& header)
{
    std::string out = "{";
    Members members(out);
    if (!header.network.empty())
    {
        members.key("name") += quoted(header.network, "/network/name");
    }
    if (!header.tensors.empty())
    {
        members.key("tensors") += '[';
        Members list(out);
        for (const Tensor& tensor : header.tensors)
        {
            list.item() += "{\"name\":" + quoted(tensor.name, "/network/tensors") + ",\"shape\":[" +
                           std::to_string(tensor.height) + ',' + std::to_string(tensor.width) +
                           ',' + std::to_string(tensor.channels) +
                           "],\"bits\":" + std::to_string(tensor.bits) + '}';
        }
        out += ']';
    }
    if (!header.layers.empty())
    {
        members.key("layers") += '[';
        Members list(out);
        for (const TracedLayer& layer : header.layers)
        {
            list.item() += "{\"name\":" + quoted(layer.name, "/network/layers") +
                           ",\"kind\":" + quoted(layer.kind, "/network/layers");
            if (layer.output.valid())
            {
                out += ",\"output\":" + std::to_string(layer.output.value());
            }
            if (layer.vectors != 0)
            {
                out += ",\"vectors\":" + std::to_string(layer.vectors);
            }
            out += ",\"input_bits\":" + std::to_string(layer.input_bits) + '}';
        }
        out += ']';
    }
    return out + '}';
}

std::string blocks_text(const Header& header)
{
    std::string out = "{\"blocks\":[";
    Members list(out);
    for (const Block& block : header.blocks)
    {
        list.item() += '{';
        Members members(out);
        if (block.layer.valid())
        {
            members.key("layer") += std::to_string(block.layer.value());
        }
        if (block.copy != 0)
        {
            members.key("copy") += std::to_string(block.copy);
        }
        members.key("rows") += range(block.row_begin, block.row_end);
        members.key("columns") += range(block.column_begin, block.column_end);
        members.key("at") += '"' + header.units[block.at.index()].name(header.tiles) + '"';
        if (block.row_at != 0 || block.column_at != 0)
        {
            members.key("corner") += range(block.row_at, block.column_at);
        }
        if (block.replicas != 1)
        {
            members.key("replicas") += std::to_string(block.replicas);
        }
        if (block.references != 0)
        {
            members.key("references") += std::to_string(block.references);
        }
        out += '}';
    }
    return out + "]}";
}

} // namespace

std::string header_text(const Header& header)
{
    std::string out = R"({"format":"tessera-trace","version":"1.0","producer":)" +
                      quoted(header.producer, "/producer");
    if (!header.network.empty() || !header.tensors.empty() || !header.layers.empty())
    {
        out += ",\"network\":" + network_text(header);
    }
    if (!header.mapping.empty())
    {
        out += ",\"mapping\":{";
        Members members(out);
        for (const auto& [key, value] : header.mapping)
        {
            members.item() += quoted(key, "/mapping") + ':' + quoted(value, "/mapping");
        }
        out += '}';
    }
    if (!header.blocks.empty())
    {
        out += ",\"placement\":" + blocks_text(header);
    }
    out += ",\"tiles\":" + std::to_string(header.tiles) +
           ",\"memory_ports\":" + std::to_string(header.memory_ports) +
           ",\"counts\":{\"operations\":" + std::to_string(header.operations) + ",\"units\":{";
    Members members(out);
    for (const TracedUnit& unit : header.units)
    {
        members.key(unit.name(header.tiles)) += std::to_string(unit.operations);
    }
    return out + "}},\"window\":" + std::to_string(header.window) + '}';
}

} // namespace tessera::trace
