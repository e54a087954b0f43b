// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"
#include "network/network.h"
#include "tessera/error.h"

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

/// Networks and chips that no one would think of.
namespace tessera::test
{

using nlohmann::json;

/// Seeded dice.
class Dice
{
public:
    explicit Dice(std::uint32_t seed) : random_(seed) {}
    std::uint32_t operator()(std::uint32_t first, std::uint32_t last)
    {
        return first + static_cast<std::uint32_t>(random_() % (last - first + 1));
    }
    template <class List> auto pick(const List& list)
    {
        return list[(*this)(0, static_cast<std::uint32_t>(list.size()) - 1)];
    }

private:
    std::mt19937 random_;
};

inline json random_layer(Dice& dice, const network::Network& so_far)
{
    static const std::vector<std::string> kinds{
        "conv2d", "conv2d",     "conv2d",     "conv2d",     "dense",       "max_pool",
        "add",    "mul",        "concat",     "concat",     "split",       "upsample",
        "pad",    "reshape",    "transpose",  "softmax",    "layer_norm",  "global_average_pool",
        "matmul", "activation", "activation", "batch_norm", "average_pool"};
    const auto& layers = so_far.layers;
    // Mostly the last layer, sometimes an old one: chains, skips and branches.
    const auto choose = [&]
    {
        const auto last = static_cast<std::uint32_t>(layers.size() - 1);
        return dice(0, 2) == 0 ? dice(0, last) : last;
    };
    const std::uint32_t from = choose();
    const network::Shape& shape = layers[from].output;
    json layer{
        {"name", "l" + std::to_string(layers.size()) + "-" + std::to_string(dice(0, 1u << 30))},
        {"kind", dice.pick(kinds)},
        {"inputs", {layers[from].name}}};
    const std::string kind = layer["kind"];
    if (kind == "conv2d")
    {
        layer["channels"] = dice(1, 7);
        layer["kernel"] = {dice(1, 3), dice(1, 3)};
        layer["stride"] = {dice(1, 2), dice(1, 2)};
        layer["dilation"] = dice(0, 3) == 0 ? 2 : 1;
        layer["padding"] = dice(0, 2) == 0 ? "valid" : "same";
        if (dice(0, 4) == 0)
        {
            layer["groups"] = dice(0, 2) == 0 && shape.channels % 2 == 0 ? 2 : shape.channels;
            layer["channels"] = shape.channels * dice(1, 3);
        }
    }
    else if (kind == "dense")
    {
        layer["channels"] = dice(1, 9);
    }
    else if (kind == "max_pool" || kind == "average_pool")
    {
        layer["kernel"] = dice(1, 3);
        layer["stride"] = dice(1, 2);
        layer["padding"] = "same";
    }
    else if (kind == "add" || kind == "mul" || kind == "concat")
    {
        layer["inputs"].push_back(layers[choose()].name);
        if (kind == "concat" && dice(0, 1) == 0)
        {
            layer["axis"] = "height";
        }
    }
    else if (kind == "split")
    {
        const std::uint32_t begin = dice(0, shape.channels - 1);
        layer["range"] = {begin, dice(begin + 1, shape.channels)};
    }
    else if (kind == "upsample")
    {
        layer["scale"] = 2;
    }
    else if (kind == "pad")
    {
        layer["padding"] = {dice(0, 2), dice(0, 2), dice(0, 2), dice(0, 2)};
    }
    else if (kind == "reshape")
    {
        const std::vector<json> shapes{{1, 1, shape.elements()},
                                       {shape.height * shape.width, 1, shape.channels},
                                       {shape.width, shape.height, shape.channels},
                                       {shape.height, 1, shape.width * shape.channels}};
        layer["shape"] = dice.pick(shapes);
    }
    else if (kind == "transpose")
    {
        layer["axes"] = dice.pick(
            std::vector<std::string>{"height,width", "height,channels", "width,channels"});
    }
    else if (kind == "softmax")
    {
        layer["axis"] = dice(0, 1) == 0 ? "channels" : "height";
    }
    else if (kind == "matmul")
    {
        layer["inputs"].push_back(layers[choose()].name);
        layer["transpose_second"] = dice(0, 1) == 0;
    }
    else if (kind == "activation")
    {
        layer["function"] = "relu";
    }
    return layer;
}

inline network::Network random_network(Dice& dice)
{
    json text{{"name", "random"},
              {"layers",
               {{{"name", "image"},
                 {"kind", "input"},
                 {"shape", {dice(1, 9), dice(0, 2) == 0 ? 1 : dice(1, 9), dice(1, 6)}}},
                {{"name", "first"}, {"kind", "conv2d"}, {"channels", dice(1, 6)}, {"kernel", 1}}}}};
    network::Network network = network::parse(text.dump(), "random.json");
    const std::uint32_t wanted = dice(1, 9);
    for (std::uint32_t attempt = 0; attempt < 40 && network.layers.size() < wanted + 2; ++attempt)
    {
        json more = text;
        more["layers"].push_back(random_layer(dice, network));
        try
        {
            network::Network longer = network::parse(more.dump(), "random.json");
            if (longer.layers.back().output.elements() > 2000)
            {
                continue;
            }
            // A folded batch_norm leaves nothing for later layers to name.
            if (longer.layers.size() == more["layers"].size())
            {
                network = std::move(longer);
                text = std::move(more);
            }
        }
        catch (const InputError&)
        {
            // The dice gave shapes that do not match.
        }
    }
    return network;
}

inline config::ChipConfig random_chip(Dice& dice)
{
    config::ChipConfig chip;
    chip.tiles = {16, 16, dice(1, 9)};
    chip.macro.rows = dice(3, 20);
    chip.macro.columns = dice(1, 6);
    chip.memory.ports = dice(1, 3);
    chip.buffer.capacity = config::kUnlimited;
    if (dice(0, 2) == 0)
    {
        chip.mapping.on_crossbar = {"conv2d"};
    }
    if (dice(0, 1) == 0)
    {
        chip.mapping.depthwise = "crossbar";
    }
    chip.mapping.placement = dice.pick(std::vector<std::string>{"row-major", "snake"});
    return chip;
}

/// One or two blocks of attention, with operands that are whole, parts of one layer, or have their
/// heads apart; now and then between sequences of different lengths, or without a softmax.
inline network::Network random_attention(Dice& dice)
{
    const std::uint32_t heads = dice(1, 3);
    const std::uint32_t depth = dice(1, 7);
    const std::uint32_t length = dice(1, 40);
    const bool other = dice(0, 2) == 0;
    const std::uint32_t keys = other ? dice(1, 40) : length;
    json layers = {{{"name", "x"}, {"kind", "input"}, {"shape", {length, 1, dice(1, 9)}}},
                   {{"name", "y"}, {"kind", "input"}, {"shape", {keys, 1, dice(1, 9)}}}};
    std::string state = "x";
    const auto add = [&layers](json layer)
    {
        layers.push_back(layer);
        return layer["name"].get<std::string>();
    };
    const std::uint32_t count = dice(1, 2);
    for (std::uint32_t i = 0; i < count; ++i)
    {
        const std::string at = "b" + std::to_string(i) + ".";
        const std::string memory = other ? "y" : state;
        std::string q = at + "q";
        std::string k = at + "k";
        std::string v = at + "v";
        const std::uint32_t width = heads * depth;
        if (dice(0, 2) == 0)
        {
            add({{"name", at + "kv"},
                 {"kind", "dense"},
                 {"inputs", {memory}},
                 {"channels", 2 * width}});
            add({{"name", k}, {"kind", "split"}, {"inputs", {at + "kv"}}, {"range", {0, width}}});
            add({{"name", v},
                 {"kind", "split"},
                 {"inputs", {at + "kv"}},
                 {"range", {width, 2 * width}}});
        }
        else
        {
            for (const std::string& name : {k, v})
            {
                add({{"name", name}, {"kind", "dense"}, {"inputs", {memory}}, {"channels", width}});
            }
        }
        add({{"name", q}, {"kind", "dense"}, {"inputs", {state}}, {"channels", width}});
        for (std::string* operand : {&q, &k, &v})
        {
            if (dice(0, 2) == 0)
            {
                const std::string from = *operand;
                *operand = add({{"name", from + ".apart"},
                                {"kind", "reshape"},
                                {"inputs", {from}},
                                {"shape", {operand == &q ? length : keys, heads, depth}}});
            }
        }
        std::string scores = add({{"name", at + "scores"},
                                  {"kind", "matmul"},
                                  {"inputs", {q, k}},
                                  {"heads", heads},
                                  {"transpose_second", true}});
        if (dice(0, 3) == 0)
        {
            scores = add({{"name", at + "scale"},
                          {"kind", "activation"},
                          {"function", "relu"},
                          {"inputs", {scores}}});
        }
        if (dice(0, 3) != 0)
        {
            scores = add({{"name", at + "softmax"}, {"kind", "softmax"}, {"inputs", {scores}}});
        }
        const std::string context = add({{"name", at + "context"},
                                         {"kind", "matmul"},
                                         {"inputs", {scores, v}},
                                         {"heads", heads}});
        state = dice(0, 2) == 0 ? context
                                : add({{"name", at + "project"},
                                       {"kind", "dense"},
                                       {"inputs", {context}},
                                       {"channels", dice(1, 9)}});
    }
    if (!other)
    {
        layers.erase(1);
    }
    return network::parse(json{{"name", "attention"}, {"layers", layers}}.dump(), "attention.json");
}

/// Attention as the dice say: on vector units, in crossbars or in digital macros of any size.
inline void choose_attention(Dice& dice, config::ChipConfig& chip)
{
    chip.mapping.attention =
        dice.pick(std::vector<std::string>{"vector", "crossbar", "crossbar", "digital"});
    chip.tiles.macros = 16; // room for every network of random_attention()
    chip.digital.tile_columns = dice(chip.mapping.attention == "digital" ? 6 : 0, 8);
    chip.digital.macro.rows = dice(3, 20);
    chip.digital.macro.columns = dice(2, 20);
}

inline std::string describe(const network::Network& network)
{
    std::string text;
    for (const network::Layer& layer : network.layers)
    {
        text += layer.name + ' ' + name_of(layer.kind) + " (";
        for (const LayerId input : layer.inputs)
        {
            text += ' ' + network[input].name;
        }
        text += " ) " + std::to_string(layer.output.height) + 'x' +
                std::to_string(layer.output.width) + 'x' + std::to_string(layer.output.channels) +
                '\n';
    }
    return text;
}

} // namespace tessera::test
