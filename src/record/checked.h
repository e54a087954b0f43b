// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/h5.h"
#include "record/schema.h"
#include "tessera/error.h"

#include <cstdint>
#include <string>

namespace tessera::record
{

/// Larger chunks were not written by this program.
inline constexpr std::uint64_t kMostChunkBytes = std::uint64_t{64} << 20U;
inline constexpr const char* kDamagedRemedy =
    "it was not written by this version, or is damaged: run again";

/// Reads one file and turns every failure into an InputError that names the place.
class Checked
{
public:
    /// `path`: what messages call the file; it outlives this.
    Checked(const std::string& path, hid_t file) : path_(path), file_(file) {}

    [[noreturn]] void fail(const std::string& where, const std::string& problem) const;

    // NOLINTNEXTLINE(modernize-use-nodiscard): most actions return nothing
    template <class Action> auto guard(const std::string& where, Action action) const
    {
        try
        {
            return action();
        }
        catch (const IoError& error)
        {
            fail(where, error.what());
        }
    }

    [[nodiscard]] h5::Handle dataset(const std::string& where) const;

    /// Whether the object and all groups above it are there.
    [[nodiscard]] bool present(const std::string& where) const;

    /// Number of records of a one-dimensional dataset whose data are really there.
    [[nodiscard]] std::uint64_t length(const h5::Handle& dataset, std::size_t record_size,
                                       const std::string& where) const;

    /// A scalar text of fixed length.
    [[nodiscard]] std::string text(const std::string& where) const;

    [[nodiscard]] std::uint64_t integer(hid_t object, const std::string& where,
                                        const std::string& name) const;

    [[nodiscard]] double real(hid_t object, const std::string& where,
                              const std::string& name) const;

    [[nodiscard]] std::string text_attribute(hid_t object, const std::string& where,
                                             const std::string& name) const;

    /// Checks that a compound type has the members of `layout`, and returns the layout as it is in
    /// the file: texts may have any length, and everything may lie elsewhere.
    [[nodiscard]] Layout layout(const h5::Handle& type, const Layout& expected) const;

    [[nodiscard]] Rows rows(const Layout& expected) const;

private:
    [[nodiscard]] h5::Handle open_attribute(hid_t object, const std::string& place,
                                            const std::string& name) const;

    void read_attribute(hid_t object, const std::string& where, const std::string& name,
                        H5T_class_t type_class, hid_t memory, void* into) const;

    void require_scalar(hid_t id, const std::string& place) const;

    [[nodiscard]] std::size_t text_size(const h5::Handle& type, const std::string& place) const;

    [[nodiscard]] std::uint64_t checked_length(const h5::Handle& dataset, std::size_t record_size,
                                               const std::string& where) const;

    [[nodiscard]] Layout checked_layout(const h5::Handle& type, const Layout& expected) const;

    [[nodiscard]] bool matches(const h5::Handle& type, Field& field,
                               const std::string& where) const;

    const std::string& path_;
    hid_t file_;
};

} // namespace tessera::record
