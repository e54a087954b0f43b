// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/output_file.h"

#include <hdf5.h>

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

/// Thin RAII over the HDF5 C API: the trace and the results share it.
namespace tessera::h5
{

/// Debian's HDF5 is built without thread safety: whoever calls into it holds this lock.
class Lock
{
public:
    /// Throws std::bad_alloc when the library has no room to begin with.
    Lock();

private:
    std::unique_lock<std::recursive_mutex> guard_;
};

/// To be called first in a child that a holder of a Lock has forked: there the lock still belongs
/// to a thread of the parent.
void renew_lock_in_child();

/// Owns an hid_t and closes it with the function that belongs to it.
class Handle
{
public:
    using Closer = herr_t (*)(hid_t);
    Handle() = default;
    /// Throws IoError("cannot <what>: <HDF5's own words>"), or std::bad_alloc, when `id` is
    /// negative.
    Handle(hid_t id, Closer closer, const std::string& what);
    Handle(Handle&& other) noexcept
        : id_(std::exchange(other.id_, H5I_INVALID_HID)), closer_(other.closer_)
    {
    }
    Handle& operator=(Handle&& other) noexcept;
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { reset(); }

    [[nodiscard]] hid_t get() const { return id_; }
    [[nodiscard]] bool valid() const { return id_ >= 0; }
    /// Closes. What fails is noted for every CloseWatch.
    void reset();

private:
    hid_t id_ = H5I_INVALID_HID;
    Closer closer_ = nullptr;
};

/// Sees whether a Handle could not be closed since this was made: the library writes some of the
/// data only then, and a destructor cannot tell.
class CloseWatch
{
public:
    CloseWatch();
    /// Throws IoError("cannot <what>: ..."), with HDF5's words for the last failure.
    void check(const std::string& what) const;

private:
    std::uint64_t before_;
};

/// Throws IoError("cannot <what>: <HDF5's own words>"), or std::bad_alloc, when `status` is
/// negative.
void check(herr_t status, const std::string& what);

/// To be called before the library initialises itself, opens or makes a file: it does not bear it
/// when it then finds no memory (its cache of metadata alone takes 2 MiB). Throws std::bad_alloc.
void require_room();

/// Opens for reading. Throws InputError for a file that is not HDF5 or is truncated (with its
/// length), IoError when it cannot be read at all.
[[nodiscard]] Handle open_file(const std::string& path);
/// A file that is there as a whole or not at all (OutputFile), with library version bounds (V18,
/// V18): it opens with every tool.
class Output
{
public:
    /// Throws UsageError, IoError.
    explicit Output(const std::filesystem::path& path, Existing existing = Existing::replace);

    [[nodiscard]] hid_t get() const { return handle_.get(); }
    /// What was written so far survives a kill of the process, under the hidden name. Throws
    /// IoError.
    void flush() const;
    /// Closes the file and puts it under its name. Contract: all that was opened in it is closed.
    /// Throws IoError.
    void publish();
    /// Closes the file, for publish() of several.
    [[nodiscard]] OutputFile finish();

private:
    OutputFile file_;
    CloseWatch watch_;
    Handle handle_;
};

/// What a link of an object is called that people call `name`. A slash would be a path, a dot alone
/// the group itself: these, control characters and the per cent sign itself become %XX, and no name
/// at all a per cent sign alone. Different names give different links.
[[nodiscard]] std::string link_name(const std::string& name);
/// The name that link_name() made `link` of.
[[nodiscard]] std::string name_of_link(const std::string& link);

/// Creation properties of an object that does not note when it was made: equal runs make equal
/// files.
[[nodiscard]] Handle without_times(hid_t kind);

[[nodiscard]] Handle create_group(hid_t parent, const std::string& name);
[[nodiscard]] Handle open_group(hid_t parent, const std::string& name);
[[nodiscard]] Handle open_dataset(hid_t parent, const std::string& name);
[[nodiscard]] bool exists(hid_t parent, const std::string& name);

/// A dataset of fixed size, which does not note when it was made.
[[nodiscard]] Handle create_dataset(hid_t parent, const std::string& name, hid_t type,
                                    const std::vector<hsize_t>& shape);
/// One of no records, in chunks of `record`, whose first axis (1) grows with append().
[[nodiscard]] Handle create_growing(hid_t parent, const std::string& name, hid_t type,
                                    const std::vector<hsize_t>& record);
/// Writes record number `index` of a dataset that has that many before it.
void append(hid_t dataset, hid_t memory_type, hsize_t index, const std::vector<hsize_t>& record,
            const void* data);
/// A one-dimensional dataset of fixed size; `memory_type` is also the type on disk.
void write_array(hid_t parent, const std::string& name, hid_t type, std::uint64_t count,
                 const void* data);
[[nodiscard]] std::uint64_t length(hid_t dataset);
/// Reads `count` records from `first` into `into`.
void read_range(hid_t dataset, hid_t memory_type, std::uint64_t first, std::uint64_t count,
                void* into);

/// A scalar dataset of fixed length. read_text() throws InputError for anything else.
void write_text(hid_t parent, const std::string& name, const std::string& text);
[[nodiscard]] std::string read_text(hid_t parent, const std::string& name);
void set_attribute(hid_t object, const std::string& name, std::uint64_t value);
void set_attribute(hid_t object, const std::string& name, double value);
void set_attribute(hid_t object, const std::string& name, const std::string& value);
[[nodiscard]] std::uint64_t integer_attribute(hid_t object, const std::string& name);
[[nodiscard]] std::string text_attribute(hid_t object, const std::string& name);
[[nodiscard]] bool has_attribute(hid_t object, const std::string& name);

/// Builder of compound types: member name, offset, native type.
class Compound
{
public:
    explicit Compound(std::size_t size);
    Compound& add(const std::string& name, std::size_t offset, hid_t type);
    [[nodiscard]] hid_t get() const { return type_.get(); }

private:
    Handle type_;
};

} // namespace tessera::h5
