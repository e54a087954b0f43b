// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"

#include "base/json.h"
#include "base/nearest.h"
#include "config/chip_keys.h"
#include "config/effects.h"
#include "tessera/installation.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

namespace tessera::config
{
namespace
{

using nlohmann::json;
namespace fs = std::filesystem;

constexpr std::size_t kDeepest = 16; // files that extend or include each other

bool starts_with(const std::string& text, const std::string& prefix)
{
    return text.compare(0, prefix.size(), prefix) == 0;
}

bool ends_with(const std::string& text, const std::string& suffix)
{
    return text.size() >= suffix.size() &&
           text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0;
}

/// A word that can name a shipped chip or a preset, and never leads out of a folder.
bool is_plain_name(const std::string& text)
{
    return !text.empty() && text.front() != '.' && !ends_with(text, ".json") &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_-.") == std::string::npos;
}

bool is_file(const fs::path& path)
{
    std::error_code ignored;
    return fs::is_regular_file(path, ignored);
}

fs::path configs_folder()
{
    return fs::path(data_directory()) / "configs";
}

std::string shipped_path(const std::string& name)
{
    return (configs_folder() / (name + ".json")).string();
}

std::string list_of_shipped(const std::string& name)
{
    std::vector<std::string> names;
    try
    {
        names = shipped();
    }
    catch (const IoError& error)
    {
        return std::string("Give a path: ") + error.what();
    }
    const std::optional<std::string> meant = nearest(name, names);
    return (meant ? "did you mean \"" + *meant + "\"? " : "") +
           "Give a path or a shipped chip: " + joined(names);
}

std::string dotted(const std::string& section, const std::string& member)
{
    return section.empty() ? member : section + '.' + member;
}

json wrapped(const std::string& member, json value)
{
    json object = json::object();
    object[member] = std::move(value);
    return object;
}

[[noreturn]] void unknown_key(const std::string& section, const std::string& member,
                              const Place& place)
{
    const std::vector<std::string> siblings = members_of(section);
    if (const std::optional<std::string> meant = nearest(member, siblings))
    {
        throw InputError(place, "unknown key \"" + member + '"',
                         "did you mean \"" + *meant + "\"?");
    }
    // Perhaps the right key in the wrong section.
    for (const Key& key : keys())
    {
        if (ends_with(key.path, '.' + member))
        {
            throw InputError(place, "unknown key \"" + member + '"',
                             "did you mean \"" + key.path + "\"?");
        }
    }
    throw InputError(place, "unknown key \"" + member + '"', "known here: " + joined(siblings));
}

/// Puts the values of a config's files and overrides together, remembering where each came from.
class Composer
{
public:
    /// Reads a file and remembers that it was read.
    [[nodiscard]] JsonDocument read_file(const std::string& path)
    {
        files_.push_back(path);
        return load_json(path);
    }

    /// Reads a chip file. Contract: called once per composer for the outermost file, before any
    /// override.
    void read_chip(const JsonDocument& document)
    {
        name_ = fs::path(document.file()).stem().string();
        file_ = document.file();
        read_chip(document, true);
    }

    void read_override(const std::string& assignment)
    {
        const std::size_t equals = assignment.find('=');
        const std::string path = assignment.substr(0, equals);
        if (equals == std::string::npos || path.empty() || path.front() == '.' ||
            path.back() == '.' || path.find("..") != std::string::npos)
        {
            throw UsageError("--set " + assignment +
                             ": not of the form key=value; write for example --set noc.vcs=4");
        }
        if (path == "extends" || path == "$schema")
        {
            throw UsageError("--set " + assignment + ": \"" + path +
                             "\" belongs in a file; name that chip itself instead");
        }
        const std::string file = "--set " + assignment;
        json value = by_setvalue(assignment.substr(equals + 1), file);
        for (std::size_t end = path.size(); end != std::string::npos;)
        {
            const std::size_t dot = path.rfind('.', end - 1);
            const std::size_t begin = dot == std::string::npos ? 0 : dot + 1;
            value = wrapped(path.substr(begin, end - begin), std::move(value));
            end = dot;
        }
        const JsonDocument document(file, std::move(value), 0, {});
        overriding_ = true;
        stack_.push_back({file, fs::path(file_).parent_path()});
        read_section(document, document.value(), "", "");
        stack_.pop_back();
        overriding_ = false;
    }

    [[nodiscard]] ChipConfig finish(const std::vector<std::string>& functions) const
    {
        ChipConfig chip;
        if (is_plain_name(name_))
        {
            chip.name = name_;
        }
        apply("clock", chip);
        chip.macro.clock = chip.digital.macro.clock = chip.vector.clock = chip.buffer.clock =
            chip.noc.clock = chip.clock;
        for (const auto& [path, leaf] : leaves_)
        {
            apply(path, chip);
        }
        chip.files = files_;
        for (const auto& [path, leaf] : leaves_)
        {
            chip.places[path] = leaf.place;
        }
        const GivenKeys given = given_keys();
        settle_converters(chip, given);
        check_together(chip, functions,
                       [this](const std::vector<std::string>& paths) { return place_of(paths); });
        check_effects(chip, given);
        return chip;
    }

private:
    struct Leaf
    {
        const Key* key;
        json value;
        Place place;
        std::size_t order; ///< larger: given later
        bool by_set;       ///< by --set
    };

    /// A file that is being read.
    struct Reading
    {
        std::string identity;
        fs::path home; ///< folder whose presets/ it may use
    };

    void apply(const std::string& path, ChipConfig& chip) const
    {
        const auto found = leaves_.find(path);
        if (found != leaves_.end())
        {
            const Leaf& leaf = found->second;
            leaf.key->write(chip, leaf.value, *leaf.key, leaf.place);
        }
    }

    [[nodiscard]] GivenKeys given_keys() const
    {
        GivenKeys given;
        for (const auto& [path, leaf] : leaves_)
        {
            given[path] = {leaf.place, leaf.order, leaf.by_set, leaf.value.is_null()};
        }
        return given;
    }

    /// Where the last given of these keys was given; where none was, the first one's place in the
    /// outermost file.
    [[nodiscard]] Place place_of(const std::vector<std::string>& paths) const
    {
        const Leaf* last = nullptr;
        for (const std::string& path : paths)
        {
            const auto found = leaves_.find(path);
            if (found != leaves_.end() && (last == nullptr || found->second.order > last->order))
            {
                last = &found->second;
            }
        }
        if (last != nullptr)
        {
            return last->place;
        }
        std::string pointer = '/' + paths.front();
        std::replace(pointer.begin(), pointer.end(), '.', '/');
        return {file_, 0, pointer};
    }

    static json by_setvalue(const std::string& text, const std::string& file)
    {
        const bool meant_as_json =
            !text.empty() && std::string("{[\"").find(text[0]) != std::string::npos;
        try
        {
            return parse_json(text, file).value();
        }
        catch (const InputError&)
        {
            if (meant_as_json)
            {
                throw;
            }
            try
            {
                (void)json(text).dump();
            }
            catch (const json::exception&)
            {
                throw InputError({file, 0, ""}, "is not UTF-8 text", "encode it as UTF-8");
            }
            return text;
        }
    }

    void read_chip(const JsonDocument& document, bool outermost)
    {
        const json& chip = document.value();
        if (!chip.is_object())
        {
            throw InputError(document.place(""),
                             std::string("a chip config must not be ") + type_name(chip),
                             "write an object: { \"tiles\": { ... }, ... }");
        }
        stack_.push_back({identity(document.file()), fs::path(document.file()).parent_path()});
        const auto base = chip.find("extends");
        if (base != chip.end())
        {
            const Place place = document.place("/extends");
            const JsonDocument extended = read_file(base_path(*base, document.file(), place));
            check_entry(extended.file(), place);
            read_chip(extended, false);
        }
        read_section(document, chip, "", "");
        if (!outermost)
        {
            leaves_.erase("name"); // inherited, these would mislead
            leaves_.erase("description");
        }
        stack_.pop_back();
    }

    static std::string base_path(const json& base, const std::string& file, const Place& place)
    {
        if (!base.is_string() || base.get_ref<const std::string&>().empty())
        {
            throw InputError(
                place, std::string("must not be ") + (base.is_string() ? "empty" : type_name(base)),
                "give a path relative to this file, or a shipped chip");
        }
        const auto& name = base.get_ref<const std::string&>();
        // A config that came from elsewhere must not make this program read just any file.
        if (!is_plain_name(name) && (fs::path(name).is_absolute() || !ends_with(name, ".json") ||
                                     name.find('\0') != std::string::npos))
        {
            throw InputError(place,
                             in_quotes(name) + " is neither a shipped chip nor the path of "
                                               "a .json file relative to this one",
                             list_of_shipped(name));
        }
        std::string path = is_plain_name(name) ? shipped_path(name)
                                               : (fs::path(file).parent_path() / name).string();
        if (!is_file(path))
        {
            throw InputError(place, "there is no chip config \"" + name + '"',
                             list_of_shipped(name));
        }
        return path;
    }

    static std::string identity(const std::string& file)
    {
        std::error_code failed;
        const fs::path path = fs::weakly_canonical(file, failed);
        return failed ? file : path.string();
    }

    void check_entry(const std::string& file, const Place& place) const
    {
        const auto is_same = [same = identity(file)](const Reading& reading)
        { return reading.identity == same; };
        if (std::any_of(stack_.begin(), stack_.end(), is_same))
        {
            throw InputError(place, "the config includes itself through " + file,
                             R"(break the circle of "extends" and "$preset")");
        }
        if (stack_.size() >= kDeepest)
        {
            throw InputError(place,
                             "more than " + std::to_string(kDeepest) + " files include each other",
                             R"(flatten the chain of "extends" and "$preset")");
        }
    }

    /// `section` is the path in the chip ("macro.adc"), `pointer` the one in the file.
    void read_section(const JsonDocument& document, const json& members, const std::string& section,
                      const std::string& pointer)
    {
        const bool preset_allowed = !section.empty();
        if (preset_allowed && members.contains("$preset"))
        {
            read_preset(document, members["$preset"], section, pointer_to(pointer, "$preset"));
        }
        for (const auto& [member, value] : members.items())
        {
            const bool of_file =
                section.empty() && pointer.empty() && (member == "extends" || member == "$schema");
            if (starts_with(member, "x-") || of_file || (preset_allowed && member == "$preset"))
            {
                continue;
            }
            read_member(document, member, value, section, pointer_to(pointer, member));
        }
    }

    void read_member(const JsonDocument& document, const std::string& member, const json& value,
                     const std::string& section, const std::string& pointer)
    {
        const std::string path = dotted(section, member);
        if (member.find('.') != std::string::npos)
        {
            throw InputError(document.place(pointer), "unknown key \"" + member + '"',
                             "in a file, write sections as nested objects");
        }
        const Key* const key = find_key(path);
        if (key != nullptr)
        {
            read_value(document, *key, value, pointer);
        }
        else if (!is_section(path))
        {
            unknown_key(section, member, document.place(pointer));
        }
        else if (!value.is_object())
        {
            throw InputError(document.place(pointer),
                             std::string("must not be ") + type_name(value),
                             "write an object with some of " + joined(members_of(path)));
        }
        else
        {
            read_section(document, value, path, pointer);
        }
    }

    void read_value(const JsonDocument& document, const Key& key, const json& value,
                    const std::string& pointer)
    {
        if (key.type == KeyType::costs && value.is_object())
        {
            for (const auto& [function, cost] : value.items())
            {
                if (!starts_with(function, "x-"))
                {
                    Place place = document.place(pointer_to(pointer, function));
                    place.pointer = pointer; // the key adds the function's name itself
                    keep(key.path + '/' + function, key, wrapped(function, cost), place);
                }
            }
            return;
        }
        keep(key.path, key, value, document.place(pointer));
    }

    void keep(const std::string& path, const Key& key, const json& value, const Place& place)
    {
        key.write(scratch_, value, key, place); // checks it while its file is at hand
        leaves_[path] = {&key, value, place, given_++, overriding_};
    }

    void read_preset(const JsonDocument& document, const json& preset, const std::string& section,
                     const std::string& pointer)
    {
        const Place place = document.place(pointer);
        if (!preset.is_string() || !is_plain_name(preset.get_ref<const std::string&>()))
        {
            throw InputError(place, preset.dump() + " is no name of a preset",
                             "give the stem of a file in presets/" + section);
        }
        const std::string file = preset.get_ref<const std::string&>() + ".json";
        const fs::path within = fs::path("presets") / section / file;
        const fs::path own = stack_.back().home / within;
        const fs::path ours = configs_folder() / within;
        const fs::path home = is_file(own) ? stack_.back().home : configs_folder();
        const fs::path path = home / within;
        if (!is_file(path))
        {
            throw InputError(place, "there is no preset " + preset.dump() + " of " + section,
                             "put it at " + own.string() + " or choose one of " +
                                 ours.parent_path().string());
        }
        check_entry(path.string(), place);
        const JsonDocument included = read_file(path.string());
        if (!included.value().is_object())
        {
            throw InputError(included.place(""),
                             std::string("a preset must not be ") + type_name(included.value()),
                             "write an object with some of " + joined(members_of(section)));
        }
        stack_.push_back({identity(path.string()), home});
        read_section(included, included.value(), section, "");
        stack_.pop_back();
    }

    std::string name_;
    std::string file_;
    std::vector<std::string> files_;     ///< all that were read
    std::map<std::string, Leaf> leaves_; ///< by path; entries of a map as "vector.cost/mish"
    std::vector<Reading> stack_;         ///< files being read, outermost first
    ChipConfig scratch_;
    std::size_t given_ = 0;
    bool overriding_ = false; ///< what is read now comes from --set
};

ChipConfig compose(Composer& composer, const JsonDocument& document,
                   const std::vector<std::string>& overrides,
                   const std::vector<std::string>& functions)
{
    composer.read_chip(document);
    for (const std::string& assignment : overrides)
    {
        composer.read_override(assignment);
    }
    return composer.finish(functions);
}

} // namespace

ChipConfig load(const std::string& path_or_name, const std::vector<std::string>& overrides,
                const std::vector<std::string>& functions)
{
    Composer composer;
    return compose(composer, composer.read_file(resolve_path(path_or_name)), overrides, functions);
}

ChipConfig parse(const std::string& text, const std::string& file,
                 const std::vector<std::string>& overrides,
                 const std::vector<std::string>& functions)
{
    Composer composer;
    return compose(composer, parse_json(text, file), overrides, functions);
}

std::string resolve_path(const std::string& name)
{
    if (is_plain_name(name))
    {
        if (is_file(shipped_path(name)))
        {
            return shipped_path(name);
        }
        if (!is_file(name))
        {
            throw InputError({name, 0, ""}, "there is no such chip", list_of_shipped(name));
        }
    }
    return name;
}

std::vector<std::string> shipped()
{
    std::vector<std::string> names;
    std::error_code failed;
    for (fs::directory_iterator at(configs_folder(), failed), end; !failed && at != end;
         at.increment(failed))
    {
        if (at->path().extension() == ".json")
        {
            names.push_back(at->path().stem().string());
        }
    }
    if (failed)
    {
        throw IoError("cannot list " + configs_folder().string() + ": " + failed.message() +
                      "; TESSERA_DATA must name the folder that holds models/ and configs/");
    }
    std::sort(names.begin(), names.end());
    return names;
}

json effective(const ChipConfig& chip)
{
    json all = json::object();
    for (const Key& key : keys())
    {
        std::string pointer = '/' + key.path;
        std::replace(pointer.begin(), pointer.end(), '.', '/');
        all[json::json_pointer(pointer)] = key.read(chip);
    }
    return all;
}

std::map<std::string, std::string> mapping_keys(const ChipConfig& chip)
{
    std::map<std::string, std::string> values;
    for (const Key& key : keys())
    {
        if (key.mapping)
        {
            const json value = key.read(chip);
            values[key.path] = value.is_string() ? value.get<std::string>() : value.dump();
        }
    }
    return values;
}

} // namespace tessera::config
