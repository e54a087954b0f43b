// SPDX-License-Identifier: Apache-2.0
#include "base/h5.h"

#include "base/descriptor.h"
#include "base/input_file.h"
#include "base/memory.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <new>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <vector>

namespace tessera::h5
{
namespace
{

std::recursive_mutex& library_mutex()
{
    static std::recursive_mutex mutex;
    return mutex;
}

/// Of the innermost entry of the library's error stack.
struct Innermost
{
    std::string text;
    bool memory = false;
};

herr_t take_innermost(unsigned /*depth*/, const H5E_error2_t* error, void* into)
{
    auto& found = *static_cast<Innermost*>(into);
    if (found.text.empty() && error->desc != nullptr)
    {
        found.text = error->desc;
        found.memory = error->maj_num == H5E_RESOURCE &&
                       (error->min_num == H5E_NOSPACE || error->min_num == H5E_CANTALLOC);
    }
    return 0;
}

/// The system's reason in what the library's file driver says, and what to do about it.
std::string system_reason(const std::string& text)
{
    constexpr std::string_view mark = "errno = ";
    const std::size_t at = text.find(mark);
    if (at == std::string::npos)
    {
        return "";
    }
    const int reason = std::atoi(text.c_str() + at + mark.size());
    const std::string remedy = remedy_of(reason);
    return ": " + std::generic_category().message(reason) + (remedy.empty() ? "" : "; ") + remedy;
}

/// What the library says of its last failure.
struct LibraryFailure
{
    std::string message;
    bool memory = false; ///< there was none
};

LibraryFailure library_failure()
{
    Innermost found;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, &found);
    H5Eclear2(H5E_DEFAULT);
    // What follows is of no use to anybody: time, descriptor, heap addresses.
    LibraryFailure failure{
        found.text.substr(0, std::min(found.text.find(": time ="), found.text.find('\n'))), false};
    const std::string reason = system_reason(found.text);
    // Where there is no memory, the entry with the reason may not have been made either.
    failure.memory = found.memory || (reason.empty() && !has_memory());
    failure.message = failure.message.empty() ? "unknown HDF5 error" : failure.message + reason;
    return failure;
}

/// Throws IoError("cannot <what>: <HDF5's own words>"), or std::bad_alloc.
[[noreturn]] void fail(const std::string& what, const LibraryFailure& failure)
{
    if (failure.memory)
    {
        throw std::bad_alloc();
    }
    throw IoError("cannot " + what + ": " + failure.message);
}

/// Of handles that could not be closed. The library and its lock are one a process, too.
struct FailedCloses
{
    std::uint64_t count = 0;
    LibraryFailure last;
};

FailedCloses& failed_closes()
{
    static FailedCloses all;
    return all;
}

/// Texts have a fixed length: those of variable length lie in a heap that the library reads without
/// checking it, so that a damaged file could crash the reader.
Handle text_type(std::size_t size)
{
    Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "make a string type");
    check(H5Tset_size(type.get(), std::max<std::size_t>(size, 1)), "make a string type");
    check(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "make a string type");
    check(H5Tset_cset(type.get(), H5T_CSET_UTF8), "make a string type");
    return type;
}

/// A link in /proc to what is in no folder: a memfd, or a file that was deleted while it was open.
bool is_nameless(const std::string& path)
{
    std::error_code failed;
    if (!std::filesystem::is_symlink(path, failed))
    {
        return false;
    }
    static_cast<void>(std::filesystem::canonical(path, failed));
    return static_cast<bool>(failed);
}

Handle scalar()
{
    return {H5Screate(H5S_SCALAR), H5Sclose, "make a dataspace"};
}

} // namespace

void require_room()
{
    constexpr std::size_t room = std::size_t{8} << 20U;
    if (!has_memory(room))
    {
        throw std::bad_alloc();
    }
}

Lock::Lock() : guard_(library_mutex())
{
    static const herr_t no_exit_handler = []
    {
        require_room(); // to initialise itself
        // At exit the library would flush what could not be written (a full disk), and crash on it.
        return H5dont_atexit();
    }();
    static_cast<void>(no_exit_handler);
    // The library prints its error stack to stderr unless told not to; check() reports instead.
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

void renew_lock_in_child()
{
    new (&library_mutex()) std::recursive_mutex;
}

Handle::Handle(hid_t id, Closer closer, const std::string& what) : id_(id), closer_(closer)
{
    if (id < 0)
    {
        fail(what, library_failure());
    }
}

Handle& Handle::operator=(Handle&& other) noexcept
{
    if (this != &other)
    {
        reset();
        id_ = std::exchange(other.id_, H5I_INVALID_HID);
        closer_ = other.closer_;
    }
    return *this;
}

void Handle::reset()
{
    if (id_ >= 0)
    {
        const Lock lock;
        if (closer_(std::exchange(id_, H5I_INVALID_HID)) < 0)
        {
            FailedCloses& failed = failed_closes();
            ++failed.count;
            failed.last = library_failure();
        }
    }
}

CloseWatch::CloseWatch()
{
    const Lock lock;
    before_ = failed_closes().count;
}

void CloseWatch::check(const std::string& what) const
{
    const Lock lock;
    if (failed_closes().count != before_)
    {
        fail(what, failed_closes().last);
    }
}

void check(herr_t status, const std::string& what)
{
    if (status < 0)
    {
        fail(what, library_failure());
    }
}

Handle open_file(const std::string& path)
{
    struct stat info = {};
    if (stat(path.c_str(), &info) != 0)
    {
        throw IoError("cannot open " + path + ": " +
                      std::strerror(errno)); // NOLINT(concurrency-mt-unsafe)
    }
    require_regular(path);
    // What the system refuses says nothing about the file.
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid() || !file.close())
    {
        const int reason = errno;
        throw IoError("cannot open " + path + ": " + std::generic_category().message(reason) +
                      (reason == EMFILE ? "; " + remedy_of(reason) : ""));
    }
    const Lock lock;
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "set up " + path);
    if (is_nameless(path))
    {
        // The usual driver insists on resolving a link to the name of a file.
        check(H5Pset_fapl_stdio(access.get()), "set up " + path);
    }
    require_room();
    const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get());
    if (id < 0)
    {
        const LibraryFailure failure = library_failure();
        if (failure.memory)
        {
            throw std::bad_alloc();
        }
        const std::string& message = failure.message;
        throw InputError({path, 0, ""},
                         "not a readable HDF5 file of " + std::to_string(info.st_size) +
                             " bytes: " + message,
                         message.find("already open for write") == std::string::npos
                             ? "it may have been cut short; write or copy it again (`tessera h5 "
                               "recover` copies what is left of results)"
                             : "whoever wrote it may have been killed; `tessera h5 recover` copies "
                               "what is in it");
    }
    return {id, H5Fclose, "open " + path};
}

namespace
{

Handle create_file(const std::string& temporary, const std::string& path)
{
    const Lock lock;
    require_room();
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "set up " + path);
    check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18), "set up " + path);
    const Handle timeless = without_times(H5P_FILE_CREATE);
    return {H5Fcreate(temporary.c_str(), H5F_ACC_TRUNC, timeless.get(), access.get()), H5Fclose,
            "create " + path};
}

} // namespace

Output::Output(const std::filesystem::path& path, Existing existing)
    : file_(path, existing), handle_(create_file(file_.temporary().string(), path.string()))
{
}

void Output::flush() const
{
    const Lock lock;
    watch_.check("write " + file_.path().string());
    check(H5Fflush(handle_.get(), H5F_SCOPE_GLOBAL), "write " + file_.path().string());
}

OutputFile Output::finish()
{
    const Lock lock;
    flush();
    handle_.reset();
    watch_.check("write " + file_.path().string());
    return std::move(file_);
}

void Output::publish()
{
    finish().publish();
}

std::string link_name(const std::string& name)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::string link;
    for (const char character : name)
    {
        const auto code = static_cast<unsigned char>(character);
        if (code < 0x20 || code == 0x7F || character == '/' || character == '%' || name == ".")
        {
            link += {'%', digits[code / 16], digits[code % 16]};
        }
        else
        {
            link += character;
        }
    }
    return link.empty() ? "%" : link;
}

std::string name_of_link(const std::string& link)
{
    const auto digit = [](char character)
    { return character <= '9' ? character - '0' : character - 'A' + 10; };
    std::string name;
    for (std::size_t i = 0; i < link.size(); ++i)
    {
        if (link[i] != '%')
        {
            name += link[i];
        }
        else if (i + 2 < link.size())
        {
            name += static_cast<char>(digit(link[i + 1]) * 16 + digit(link[i + 2]));
            i += 2;
        }
    }
    return name;
}

Handle without_times(hid_t kind)
{
    Handle properties(H5Pcreate(kind), H5Pclose, "set up an object");
    check(H5Pset_obj_track_times(properties.get(), static_cast<hbool_t>(false)),
          "set up an object");
    return properties;
}

Handle create_group(hid_t parent, const std::string& name)
{
    const Handle timeless = without_times(H5P_GROUP_CREATE);
    return {H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, timeless.get(), H5P_DEFAULT), H5Gclose,
            "create group " + name};
}

Handle open_group(hid_t parent, const std::string& name)
{
    return {H5Gopen2(parent, name.c_str(), H5P_DEFAULT), H5Gclose, "open group " + name};
}

Handle open_dataset(hid_t parent, const std::string& name)
{
    return {H5Dopen2(parent, name.c_str(), H5P_DEFAULT), H5Dclose, "open dataset " + name};
}

bool exists(hid_t parent, const std::string& name)
{
    return H5Lexists(parent, name.c_str(), H5P_DEFAULT) > 0;
}

Handle create_dataset(hid_t parent, const std::string& name, hid_t type,
                      const std::vector<hsize_t>& shape)
{
    const Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                       H5Sclose, "size " + name);
    const Handle timeless = without_times(H5P_DATASET_CREATE);
    return {H5Dcreate2(parent, name.c_str(), type, space.get(), H5P_DEFAULT, timeless.get(),
                       H5P_DEFAULT),
            H5Dclose, "create dataset " + name};
}

Handle create_growing(hid_t parent, const std::string& name, hid_t type,
                      const std::vector<hsize_t>& record)
{
    const auto axes = static_cast<int>(record.size());
    std::vector<hsize_t> none = record;
    std::vector<hsize_t> most = record;
    none.front() = 0;
    most.front() = H5S_UNLIMITED;
    const Handle space(H5Screate_simple(axes, none.data(), most.data()), H5Sclose, "size " + name);
    const Handle properties = without_times(H5P_DATASET_CREATE);
    check(H5Pset_chunk(properties.get(), axes, record.data()), "set up " + name);
    return {H5Dcreate2(parent, name.c_str(), type, space.get(), H5P_DEFAULT, properties.get(),
                       H5P_DEFAULT),
            H5Dclose, "create dataset " + name};
}

void append(hid_t dataset, hid_t memory_type, hsize_t index, const std::vector<hsize_t>& record,
            const void* data)
{
    std::vector<hsize_t> size = record;
    size.front() = index + 1;
    check(H5Dset_extent(dataset, size.data()), "extend a dataset");
    const Handle space(H5Dget_space(dataset), H5Sclose, "read a dataset's size");
    std::vector<hsize_t> start(record.size(), 0);
    start.front() = index;
    check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, record.data(),
                              nullptr),
          "select a record");
    const Handle memory(H5Screate_simple(static_cast<int>(record.size()), record.data(), nullptr),
                        H5Sclose, "select a record");
    check(H5Dwrite(dataset, memory_type, memory.get(), space.get(), H5P_DEFAULT, data),
          "write a record");
}

void write_array(hid_t parent, const std::string& name, hid_t type, std::uint64_t count,
                 const void* data)
{
    const Handle dataset = create_dataset(parent, name, type, {count});
    if (count != 0)
    {
        check(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), "write " + name);
    }
}

std::uint64_t length(hid_t dataset)
{
    const Handle space(H5Dget_space(dataset), H5Sclose, "read a dataset's size");
    const hssize_t points = H5Sget_simple_extent_npoints(space.get());
    return points < 0 ? 0 : static_cast<std::uint64_t>(points);
}

void read_range(hid_t dataset, hid_t memory_type, std::uint64_t first, std::uint64_t count,
                void* into)
{
    if (count == 0)
    {
        return;
    }
    const Handle space(H5Dget_space(dataset), H5Sclose, "read a dataset's size");
    const hsize_t start = first;
    const hsize_t size = count;
    check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, &start, nullptr, &size, nullptr),
          "select records");
    const Handle memory(H5Screate_simple(1, &size, nullptr), H5Sclose, "select records");
    check(H5Dread(dataset, memory_type, memory.get(), space.get(), H5P_DEFAULT, into),
          "read records " + std::to_string(first) + " to " + std::to_string(first + count));
}

void write_text(hid_t parent, const std::string& name, const std::string& text)
{
    const Handle type = text_type(text.size());
    const Handle space = scalar();
    const Handle timeless = without_times(H5P_DATASET_CREATE);
    const Handle dataset(H5Dcreate2(parent, name.c_str(), type.get(), space.get(), H5P_DEFAULT,
                                    timeless.get(), H5P_DEFAULT),
                         H5Dclose, "create dataset " + name);
    check(H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, text.c_str()),
          "write " + name);
}

namespace
{

/// Reads one string of fixed length through `read`.
template <class Read>
std::string read_string(hid_t object, const Handle& type, const std::string& name, Read read)
{
    constexpr std::size_t longest = std::size_t{1} << 30U;
    const std::size_t size = H5Tget_size(type.get());
    if (H5Tget_class(type.get()) != H5T_STRING || H5Tis_variable_str(type.get()) != 0 ||
        size == 0 || size > longest)
    {
        std::array<char, 4096> file{};
        H5Fget_name(object, file.data(), file.size());
        throw InputError({file.data(), 0, "/" + name}, "is not a text of fixed length",
                         "write the file again");
    }
    std::string text(size, '\0');
    read(text.data());
    return text.substr(0, text.find('\0'));
}

} // namespace

std::string read_text(hid_t parent, const std::string& name)
{
    const Handle dataset = open_dataset(parent, name);
    const Handle type(H5Dget_type(dataset.get()), H5Tclose, "read " + name);
    return read_string(
        dataset.get(), type, name,
        [&](char* into)
        {
            check(H5Dread(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, into),
                  "read " + name);
        });
}

void set_attribute(hid_t object, const std::string& name, std::uint64_t value)
{
    const Handle space = scalar();
    const Handle attribute(
        H5Acreate2(object, name.c_str(), H5T_NATIVE_UINT64, space.get(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose, "create attribute " + name);
    check(H5Awrite(attribute.get(), H5T_NATIVE_UINT64, &value), "write attribute " + name);
}

void set_attribute(hid_t object, const std::string& name, double value)
{
    const Handle space = scalar();
    const Handle attribute(
        H5Acreate2(object, name.c_str(), H5T_NATIVE_DOUBLE, space.get(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose, "create attribute " + name);
    check(H5Awrite(attribute.get(), H5T_NATIVE_DOUBLE, &value), "write attribute " + name);
}

void set_attribute(hid_t object, const std::string& name, const std::string& value)
{
    const Handle type = text_type(value.size());
    const Handle space = scalar();
    const Handle attribute(
        H5Acreate2(object, name.c_str(), type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose, "create attribute " + name);
    check(H5Awrite(attribute.get(), type.get(), value.c_str()), "write attribute " + name);
}

bool has_attribute(hid_t object, const std::string& name)
{
    return H5Aexists(object, name.c_str()) > 0;
}

std::uint64_t integer_attribute(hid_t object, const std::string& name)
{
    const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose,
                           "open attribute " + name);
    std::uint64_t value = 0;
    check(H5Aread(attribute.get(), H5T_NATIVE_UINT64, &value), "read attribute " + name);
    return value;
}

std::string text_attribute(hid_t object, const std::string& name)
{
    const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose,
                           "open attribute " + name);
    const Handle type(H5Aget_type(attribute.get()), H5Tclose, "read attribute " + name);
    return read_string(
        attribute.get(), type, name,
        [&](char* into)
        { check(H5Aread(attribute.get(), type.get(), into), "read attribute " + name); });
}

Compound::Compound(std::size_t size)
    : type_(H5Tcreate(H5T_COMPOUND, size), H5Tclose, "make a compound type")
{
}

Compound& Compound::add(const std::string& name, std::size_t offset, hid_t type)
{
    check(H5Tinsert(type_.get(), name.c_str(), offset, type), "add member " + name);
    return *this;
}

} // namespace tessera::h5
