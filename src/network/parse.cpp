// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "base/nearest.h"
#include "network/fold.h"
#include "network/kinds.h"
#include "network/network.h"
#include "network/object_reader.h"
#include "network/onnx/import.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace tessera::network
{
namespace
{

using nlohmann::json;

constexpr JsonLimits kLimits{std::size_t{64} << 20U, 8}; // the format itself is 4 deep
constexpr std::size_t kMaxLayers = 100'000;

/// Names go into unit names, tables and HDF5 paths of other programs.
void check_name(const ObjectReader& object, const std::string& name)
{
    constexpr std::size_t kLongest = 256;
    constexpr std::string_view kAllowed =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:/-";
    if (name.empty() || name.size() > kLongest ||
        name.find_first_not_of(kAllowed) != std::string::npos)
    {
        object.fail("name", in_quotes(name) + " is not a name",
                    "use 1 to 256 letters, digits and _ . : / -");
    }
}

class Parser
{
public:
    explicit Parser(JsonDocument document) : document_(std::move(document))
    {
        for (const KindRule& rule : kind_rules())
        {
            rules_.emplace(name_of(rule.kind), &rule);
            kinds_.emplace_back(name_of(rule.kind));
            known_keys_.push_back(rule.keys);
            known_keys_.back().insert(known_keys_.back().begin(), {"name", "kind", "inputs"});
        }
    }

    Network run()
    {
        const ObjectReader top(document_, document_.value(), "", "a network");
        top.allow_only({"format", "version", "name", "source", "activation_bits", "weight_bits",
                        "layers", "outputs"});
        if (top.has("format"))
        {
            (void)top.choice("format", {"tessera-network"});
        }
        if (top.has("version"))
        {
            (void)top.choice("version", {"1.0"});
        }
        network_.name = top.text("name");
        check_name(top, network_.name);
        network_.source = top.has("source") ? top.text("source") : "";
        network_.activation_bits = top.number_or("activation_bits", 8, 1, 32);
        network_.weight_bits = top.number_or("weight_bits", 8, 1, 32);
        read_layers(top);
        read_outputs(top);
        std::vector<Weights> none;
        fold_batch_norms(network_, none);
        return std::move(network_);
    }

private:
    void read_layers(const ObjectReader& top)
    {
        const json& layers = top.at("layers");
        if (!layers.is_array() || layers.empty())
        {
            top.fail("layers", "must be an array with at least one layer",
                     "list the layers, each after those it reads");
        }
        if (layers.size() > kMaxLayers)
        {
            top.fail("layers", "has more than " + std::to_string(kMaxLayers) + " layers",
                     "divide the network");
        }
        network_.layers.reserve(layers.size());
        for (std::size_t i = 0; i < layers.size(); ++i)
        {
            ObjectReader object(document_, layers[i], pointer_to("/layers", std::to_string(i)),
                                "a layer");
            network_.layers.push_back(read_layer(object, layers));
            used_.push_back(false);
        }
        if (std::all_of(network_.layers.begin(), network_.layers.end(),
                        [](const Layer& layer) { return layer.kind == LayerKind::input; }))
        {
            top.fail("layers", "are all inputs", "add a layer that computes something");
        }
    }

    Layer read_layer(ObjectReader& object, const json& all)
    {
        Layer layer;
        layer.name = object.text("name");
        check_name(object, layer.name);
        const auto id = static_cast<std::uint32_t>(network_.layers.size());
        if (!ids_.emplace(layer.name, LayerId(id)).second)
        {
            object.fail("name",
                        in_quotes(layer.name) + " is already the name of layer " +
                            std::to_string(ids_.at(layer.name).index()),
                        "give every layer a name of its own");
        }
        const KindRule& rule = *rules_.at(object.choice("kind", kinds_));
        layer.kind = rule.kind;
        object.rename("a layer of kind " + std::string(name_of(rule.kind)));
        object.allow_only(known_keys_[static_cast<std::size_t>(&rule - kind_rules().data())]);

        read_inputs(object, rule, all, layer);
        std::vector<Shape> operands;
        for (const LayerId input : layer.inputs)
        {
            operands.push_back(network_[input].output);
            used_[input.index()] = true;
        }
        rule.read(object, operands, layer);
        return layer;
    }

    void read_inputs(const ObjectReader& object, const KindRule& rule, const json& all,
                     Layer& layer)
    {
        if (rule.most_inputs == 0)
        {
            if (object.has("inputs"))
            {
                object.fail("inputs", "is given for an input of the network", "remove it");
            }
            return;
        }
        if (!object.has("inputs"))
        {
            if (rule.least_inputs > 1)
            {
                object.fail("inputs", "is missing",
                            "name at least " + std::to_string(rule.least_inputs) + " layers");
            }
            if (network_.layers.empty())
            {
                object.fail("has no layer before it to read", "begin with a layer of kind input");
            }
            layer.inputs.emplace_back(static_cast<std::uint32_t>(network_.layers.size() - 1));
            return;
        }
        const json& names = object.at("inputs");
        if (!names.is_array() || names.size() < rule.least_inputs ||
            names.size() > rule.most_inputs)
        {
            const std::string count = std::to_string(rule.least_inputs);
            object.fail("inputs",
                        "must be an array of " +
                            (rule.least_inputs == rule.most_inputs ? count : count + " or more") +
                            " layer names",
                        "write [\"name\", ...]");
        }
        for (std::size_t k = 0; k < names.size(); ++k)
        {
            if (!names[k].is_string())
            {
                object.fail_at("inputs", k,
                               "must be the name of a layer, not " +
                                   std::string(type_name(names[k])),
                               "write it in double quotes");
            }
            const auto& name = names[k].get_ref<const std::string&>();
            const auto found = ids_.find(name);
            if (found == ids_.end() || found->second.index() == network_.layers.size())
            {
                object.fail_at("inputs", k, wrong_input(name, layer.name, all),
                               remedy_for_input(name, layer.name, all));
            }
            layer.inputs.push_back(found->second);
        }
    }

    /// Is there a layer of this name anywhere in the file?
    static bool in_file(const std::string& name, const json& all)
    {
        return std::any_of(all.begin(), all.end(),
                           [&](const json& layer)
                           {
                               return layer.is_object() && layer.contains("name") &&
                                      layer["name"].is_string() &&
                                      layer["name"].get_ref<const std::string&>() == name;
                           });
    }

    static std::string wrong_input(const std::string& name, const std::string& reader,
                                   const json& all)
    {
        if (name == reader)
        {
            return in_quotes(name) + " is the layer itself";
        }
        return in_quotes(name) + (in_file(name, all) ? " comes later in the file" : " is no layer");
    }

    [[nodiscard]] std::string remedy_for_input(const std::string& name, const std::string& reader,
                                               const json& all) const
    {
        if (name == reader || in_file(name, all))
        {
            return "list every layer after those it reads; a network has no cycles";
        }
        return did_you_mean(name, names(network_.layers.size())) + "name an earlier layer";
    }

    [[nodiscard]] std::vector<std::string> names(std::size_t count) const
    {
        std::vector<std::string> result;
        for (std::size_t i = 0; i < count; ++i)
        {
            result.push_back(network_.layers[i].name);
        }
        return result;
    }

    void read_outputs(const ObjectReader& top)
    {
        if (top.has("outputs"))
        {
            const json& outputs = top.at("outputs");
            if (!outputs.is_array() || outputs.empty())
            {
                top.fail("outputs", "must be an array of layer names",
                         "or leave it out: then what no layer reads is an output");
            }
            for (std::size_t k = 0; k < outputs.size(); ++k)
            {
                read_output(top, outputs[k], k);
            }
        }
        for (std::size_t i = 0; i < network_.layers.size(); ++i)
        {
            if (used_[i])
            {
                continue;
            }
            const Layer& layer = network_.layers[i];
            if (top.has("outputs") || layer.kind == LayerKind::input)
            {
                fail_in(document_, pointer_to("/layers", std::to_string(i)),
                        in_quotes(layer.name) + " is read by no layer",
                        layer.kind == LayerKind::input ? "remove it or read it"
                                                       : "remove it or add it to outputs");
            }
            network_.outputs.emplace_back(static_cast<std::uint32_t>(i));
        }
    }

    void read_output(const ObjectReader& top, const json& value, std::size_t k)
    {
        const std::string name = value.is_string() ? value.get<std::string>() : "";
        const auto found = ids_.find(name);
        if (found == ids_.end())
        {
            top.fail_at("outputs", k, in_quotes(name) + " is no layer",
                        did_you_mean(name, names(network_.layers.size())) +
                            "give the name of a layer");
        }
        const bool is_input = network_[found->second].kind == LayerKind::input;
        if (is_input || !outputs_.insert(found->second.index()).second)
        {
            top.fail_at("outputs", k,
                        in_quotes(name) +
                            (is_input ? " is an input of the network" : " is given twice"),
                        "remove it");
        }
        network_.outputs.push_back(found->second);
        used_[found->second.index()] = true;
    }

    JsonDocument document_;
    std::unordered_map<std::string, const KindRule*> rules_;
    std::vector<std::string> kinds_;
    std::vector<std::vector<std::string>> known_keys_; ///< by position in kind_rules()
    Network network_;
    std::unordered_map<std::string, LayerId> ids_;
    std::vector<bool> used_;                  ///< read by a layer or named as an output
    std::unordered_set<std::size_t> outputs_; ///< named as such
};

} // namespace

Network parse(const std::string& text, const std::string& file)
{
    return Parser(parse_json(text, file, kLimits)).run();
}

Network load(const std::string& path, BatchAxis batch_axis)
{
    if (onnx::is_onnx(path))
    {
        return onnx::import(onnx::read_graph(path, onnx::Values::small), batch_axis).network;
    }
    Network network = Parser(load_json(path, kLimits)).run();
    network.files = {path};
    return network;
}

WeightedNetwork load_with_weights(const std::string& path, BatchAxis batch_axis)
{
    if (onnx::is_onnx(path))
    {
        onnx::Imported imported =
            onnx::import(onnx::read_graph(path, onnx::Values::all), batch_axis);
        return {std::move(imported.network), std::move(imported.weights)};
    }
    Network network = load(path);
    std::vector<Weights> weights(network.layers.size());
    return {std::move(network), std::move(weights)};
}

} // namespace tessera::network
