// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/json.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tessera::network
{

/// Throws InputError for what is, or should be, at `pointer`.
[[noreturn]] void fail_in(const JsonDocument& document, const std::string& pointer,
                          const std::string& problem, const std::string& remedy);

/// Typed, checked access to the members of one JSON object. Everything that does not fit throws
/// InputError with the member's place.
class ObjectReader
{
public:
    /// `what` names the object in messages: "a conv2d layer". Throws if `value` is not an object.
    ObjectReader(const JsonDocument& document, const nlohmann::json& value, std::string pointer,
                 std::string what);

    void rename(std::string what) { what_ = std::move(what); }
    /// Every member must be one of `known`.
    void allow_only(const std::vector<std::string>& known) const;
    [[nodiscard]] bool has(const std::string& key) const { return value_.contains(key); }
    /// Throws if the member is missing.
    [[nodiscard]] const nlohmann::json& at(const std::string& key) const;

    /// A whole number in [least, most].
    [[nodiscard]] std::uint32_t number(const std::string& key, std::uint32_t least,
                                       std::uint32_t most) const;
    [[nodiscard]] std::uint32_t number_or(const std::string& key, std::uint32_t fallback,
                                          std::uint32_t least, std::uint32_t most) const;
    /// Array of `sizes` whole numbers in [least, most]; with `or_number` a lone number is an array
    /// of one.
    [[nodiscard]] std::vector<std::uint32_t> numbers(const std::string& key,
                                                     const std::vector<std::size_t>& sizes,
                                                     std::uint32_t least, std::uint32_t most,
                                                     bool or_number) const;
    /// A number for both, or [height, width].
    [[nodiscard]] std::pair<std::uint32_t, std::uint32_t>
    pair(const std::string& key, std::uint32_t least, std::uint32_t most) const;
    [[nodiscard]] bool flag_or(const std::string& key, bool fallback) const;
    [[nodiscard]] std::string text(const std::string& key) const;
    /// One of `allowed`.
    [[nodiscard]] std::string choice(const std::string& key,
                                     const std::vector<std::string>& allowed) const;

    [[noreturn]] void fail(const std::string& key, const std::string& problem,
                           const std::string& remedy) const;
    /// About the object as a whole.
    [[noreturn]] void fail(const std::string& problem, const std::string& remedy) const;
    [[noreturn]] void fail_at(const std::string& key, std::size_t index, const std::string& problem,
                              const std::string& remedy) const;

private:
    [[nodiscard]] std::uint32_t whole(const nlohmann::json& value, const std::string& pointer,
                                      std::uint32_t least, std::uint32_t most) const;

    const JsonDocument& document_;
    const nlohmann::json& value_;
    std::string pointer_;
    std::string what_;
};

/// "a, b or c"
[[nodiscard]] std::string any_of(const std::vector<std::string>& choices);

} // namespace tessera::network
