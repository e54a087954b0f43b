// SPDX-License-Identifier: Apache-2.0
#include "values/integer_file.h"

#include "base/json.h"
#include "base/output_file.h"
#include "base/text.h"
#include "tessera/error.h"

#include <algorithm>
#include <filesystem>
#include <map>

namespace tessera::values
{
namespace
{

using nlohmann::json;

constexpr const char* kEnding = ".integers";

/// An object of the file, all of whose keys are asked for.
class Reader
{
public:
    Reader(const JsonDocument& document, const json& value, std::string pointer)
        : document_(document), value_(value), pointer_(std::move(pointer))
    {
        if (!value.is_object())
        {
            fail("", std::string("must not be ") + type_name(value), "give an object");
        }
    }
    [[noreturn]] void fail(const std::string& key, const std::string& problem,
                           const std::string& remedy) const
    {
        throw InputError(document_.place(key.empty() ? pointer_ : pointer_to(pointer_, key)),
                         problem, remedy);
    }
    [[nodiscard]] const json* find(const char* key) const
    {
        const auto found = value_.find(key);
        return found == value_.end() ? nullptr : &*found;
    }
    [[nodiscard]] const json& get(const char* key) const
    {
        const json* found = find(key);
        if (found == nullptr)
        {
            fail("", std::string("has no \"") + key + '"', "make the file with tessera quantize");
        }
        return *found;
    }
    [[nodiscard]] std::string text(const char* key) const
    {
        if (!get(key).is_string())
        {
            fail(key, std::string("must not be ") + type_name(get(key)), "give text");
        }
        return get(key).get<std::string>();
    }
    /// A list of whole numbers, empty if it is not there.
    [[nodiscard]] std::vector<std::int64_t> numbers(const char* key) const
    {
        const json* found = find(key);
        return found == nullptr ? std::vector<std::int64_t>() : numbers_of(*found, key);
    }
    [[nodiscard]] std::vector<std::int64_t> numbers_of(const json& list,
                                                       const std::string& key) const
    {
        if (!list.is_array())
        {
            fail(key, std::string("must not be ") + type_name(list), "give a list");
        }
        std::vector<std::int64_t> result;
        for (const json& item : list)
        {
            constexpr std::int64_t most = kMostRest;
            // What is positive is unsigned: as a signed number it could become a negative one.
            const bool fits = item.is_number_unsigned()
                                  ? item.get<std::uint64_t>() <= std::uint64_t{most}
                                  : item.is_number_integer() && item.get<std::int64_t>() >= -most;
            if (!fits)
            {
                fail(key, "holds " + item.dump() + ", no whole number in -2^60..2^60",
                     "give whole numbers");
            }
            result.push_back(item.get<std::int64_t>());
        }
        return result;
    }

private:
    const JsonDocument& document_;
    const json& value_;
    std::string pointer_;
};

json layer_json(const network::Layer& layer, const IntegerLayer& its)
{
    json out{{"name", layer.name}, {"scale", its.scale}, {"range", {its.least, its.most}}};
    if (its.weights.rows() != 0)
    {
        json rows = json::array();
        for (std::size_t row = 0; row < its.weights.rows(); ++row)
        {
            rows.push_back(std::vector<std::int32_t>(its.weights.row(row),
                                                     its.weights.row(row) + its.weights.columns()));
        }
        out["weights"] = rows;
        out["bias"] = its.bias;
    }
    if (!its.rest.empty())
    {
        out["rest"] = its.rest;
    }
    if (!its.ratio.empty())
    {
        for (const Ratio& ratio : its.ratio)
        {
            out["multiplier"].push_back(ratio.multiplier);
            out["shift"].push_back(ratio.shift);
        }
    }
    if (!its.table.empty())
    {
        out["table"] = its.table;
    }
    if (layer.kind == network::LayerKind::layer_norm)
    {
        out["epsilon"] = its.epsilon;
    }
    return out;
}

std::int32_t narrow(const Reader& reader, const std::string& key, std::int64_t value)
{
    if (value != static_cast<std::int32_t>(value))
    {
        reader.fail(key, "holds " + std::to_string(value) + ", beyond 32 bits",
                    "make the file again with tessera quantize");
    }
    return static_cast<std::int32_t>(value);
}

void read_layer(const Reader& reader, IntegerLayer& its)
{
    const json& scale = reader.get("scale");
    if (!scale.is_number())
    {
        reader.fail("scale", std::string("must not be ") + type_name(scale), "give a number");
    }
    its.scale = scale.get<double>();
    const std::vector<std::int64_t> range = reader.numbers_of(reader.get("range"), "range");
    if (range.size() != 2)
    {
        reader.fail("range", "has not two numbers", "give [least, most]");
    }
    its.least = narrow(reader, "range", range[0]);
    its.most = narrow(reader, "range", range[1]);
    if (const json* rows = reader.find("weights"))
    {
        if (!rows->is_array() || rows->empty() || !rows->front().is_array())
        {
            reader.fail("weights", "are no list of rows", "give a list of lists");
        }
        its.weights = numerics::Matrix<std::int32_t>(rows->size(), rows->front().size());
        for (std::size_t row = 0; row < rows->size(); ++row)
        {
            const auto values = reader.numbers_of((*rows)[row], "weights");
            if (values.size() != its.weights.columns())
            {
                reader.fail("weights",
                            "have rows of " + std::to_string(its.weights.columns()) + " and of " +
                                std::to_string(values.size()) + " numbers",
                            "give rows of one length");
            }
            for (std::size_t column = 0; column < values.size(); ++column)
            {
                its.weights(row, column) = narrow(reader, "weights", values[column]);
            }
        }
    }
    its.bias = reader.numbers("bias");
    its.rest = reader.numbers("rest");
    const std::vector<std::int64_t> multipliers = reader.numbers("multiplier");
    const std::vector<std::int64_t> shifts = reader.numbers("shift");
    if (multipliers.size() != shifts.size())
    {
        reader.fail("shift", "are not as many as multipliers", "give one a multiplier");
    }
    for (std::size_t i = 0; i < shifts.size(); ++i)
    {
        if (shifts[i] < 0 || shifts[i] > 62)
        {
            reader.fail("shift", "holds " + std::to_string(shifts[i]), "give 0..62");
        }
        its.ratio.push_back({multipliers[i], static_cast<unsigned>(shifts[i])});
    }
    if (const json* epsilon = reader.find("epsilon"))
    {
        its.epsilon = reader.numbers_of(json::array({*epsilon}), "epsilon")[0];
    }
    for (const std::int64_t code : reader.numbers("table"))
    {
        its.table.push_back(narrow(reader, "table", code));
    }
}

} // namespace

void save_integers(const IntegerNetwork& integers, const std::string& network, BatchAxis batch_axis,
                   const std::string& origin, const std::string& path, Existing existing)
{
    if (!is_utf8(network))
    {
        throw UsageError("the name of the network's file, " + printable(network) +
                         ", is no UTF-8: the file of whole numbers could not name it; rename it");
    }
    const bool rests = std::any_of(integers.layers.begin(), integers.layers.end(),
                                   [](const IntegerLayer& its) { return !its.rest.empty(); });
    std::string text = std::string("{\"format\":\"") + kIntegerFormat + "\",\"version\":\"" +
                       (rests ? "1.1" : "1.0") + "\",\"network\":" + json(network).dump();
    if (batch_axis != BatchAxis::automatic)
    {
        text += std::string(",\"batch_axis\":\"") + network::name_of(batch_axis) + '"';
    }
    text += ",\"origin\":" + json(origin).dump() + ",\"layers\":[\n";
    OutputFile out(path, existing);
    out.write(text);
    for (std::size_t i = 0; i < integers.layers.size(); ++i)
    {
        out.write(layer_json(integers.network.layers[i], integers.layers[i]).dump() +
                  (i + 1 < integers.layers.size() ? ",\n" : "\n"));
    }
    out.write("]}\n");
    out.publish();
}

IntegerFile load_integers(const std::string& path)
{
    const JsonDocument document = load_json(path);
    const Reader reader(document, document.value(), "");
    const std::string version = reader.text("version");
    if (reader.text("format") != kIntegerFormat || (version != "1.0" && version != "1.1"))
    {
        reader.fail("format", "is not \"" + std::string(kIntegerFormat) + "\" 1.0 or 1.1",
                    "make the file with tessera quantize");
    }
    IntegerFile file;
    file.origin = reader.text("origin");
    const std::string name = reader.text("network");
    const std::filesystem::path beside = std::filesystem::path(path).parent_path() / name;
    file.network = std::filesystem::exists(beside) ? beside.string() : network::find(name);
    if (reader.find("batch_axis") != nullptr)
    {
        const auto axis = network::find_batch_axis(reader.text("batch_axis"));
        if (!axis)
        {
            reader.fail("batch_axis", "is neither \"0\" nor \"none\"", "give one of them");
        }
        file.batch_axis = *axis;
    }
    file.integers.network = network::load(file.network, file.batch_axis);
    file.integers.network.files.push_back(path);
    const network::Network& network = file.integers.network;
    file.integers.layers.resize(network.layers.size());
    const json& layers = reader.get("layers");
    if (!layers.is_array() || layers.size() != network.layers.size())
    {
        reader.fail("layers",
                    "are not the " + std::to_string(network.layers.size()) + " layers of " +
                        file.network,
                    "make the file again with tessera quantize");
    }
    for (std::size_t i = 0; i < layers.size(); ++i)
    {
        const Reader layer(document, layers[i], "/layers/" + std::to_string(i));
        if (layer.text("name") != network.layers[i].name)
        {
            layer.fail("name", "is not \"" + network.layers[i].name + "\", as in " + file.network,
                       "make the file again with tessera quantize");
        }
        read_layer(layer, file.integers.layers[i]);
    }
    check(file.integers, path);
    return file;
}

bool is_integer_file(const std::string& path)
{
    const std::string ending = kEnding;
    return path.size() > ending.size() &&
           path.compare(path.size() - ending.size(), ending.size(), ending) == 0;
}

std::string integers_beside(const std::string& network_path)
{
    std::filesystem::path path(network_path);
    path.replace_extension(kEnding);
    return std::filesystem::exists(path) ? path.string() : std::string();
}

} // namespace tessera::values
