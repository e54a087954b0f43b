// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/json.h"

#include <optional>
#include <string>
#include <vector>

namespace tessera::numerics
{

/// One object of a model file: every key is asked for, what is left over is an error.
class ModelReader
{
public:
    /// Throws InputError when the value is no object.
    ModelReader(const JsonDocument& document, const nlohmann::json& value, std::string pointer);

    /// Throws InputError at a JSON pointer.
    [[noreturn]] void fail(const std::string& pointer, const std::string& problem,
                           const std::string& remedy) const;
    [[nodiscard]] const std::string& pointer() const { return pointer_; }

    /// Null where the key is not there.
    const nlohmann::json* find(const char* key);
    const nlohmann::json& get(const char* key);
    double number(const char* key, double least, double most);
    double number(const char* key, double least, double most, double otherwise);
    [[nodiscard]] double number_of(const nlohmann::json& value, const std::string& pointer,
                                   double least, double most) const;
    unsigned count(const char* key, unsigned least, unsigned most);
    std::string text(const char* key);
    std::string word(const char* key, const std::vector<std::string>& words);
    ModelReader object(const char* key);
    std::optional<ModelReader> part(const char* key);
    /// Where the figures of this object are from: "source" and "status".
    void sourced();
    /// Throws InputError for a key that nobody has asked for.
    void finish() const;

private:
    const JsonDocument& document_;
    const nlohmann::json& value_;
    std::string pointer_;
    std::vector<std::string> known_;
};

/// What a figure of a model may rest on: cited, derived, assumed, calibrated.
[[nodiscard]] const std::vector<std::string>& statuses();

/// Path of a model: `name` itself if it is one, else a file of models/`folder`. Throws InputError
/// that lists those there are; `what`: what such a model is called; `asked`: where the name stands.
[[nodiscard]] std::string find_model(const std::string& folder, const std::string& what,
                                     const std::string& name, const Place& asked);

} // namespace tessera::numerics
