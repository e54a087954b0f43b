// SPDX-License-Identifier: Apache-2.0
#include "base/h5_guard.h"

#include "base/interrupt.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fcntl.h>
#include <fstream>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace tessera::h5
{
namespace
{

constexpr std::uint64_t kMostChunkBytes = std::uint64_t{64} << 20U;
/// Deflate cannot do better than 1032 : 1, so a file bounds what its chunks can hold.
constexpr std::uint64_t kMostInflation = 1032;
constexpr std::size_t kMostRecord = 4096;
constexpr std::size_t kMostAttribute = 65536;
constexpr const char* kRemedy = "write or copy the file again";

void limit(int resource, rlim_t value)
{
    struct rlimit limits = {};
    getrlimit(static_cast<__rlimit_resource>(resource), &limits);
    limits.rlim_cur = std::min(limits.rlim_max, value);
    setrlimit(static_cast<__rlimit_resource>(resource), &limits);
}

/// Address space of this process, in bytes.
[[maybe_unused]] std::uint64_t address_space()
{
    std::ifstream stream("/proc/self/statm");
    std::uint64_t pages = 0;
    stream >> pages;
    return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

/// The limits within which any sound file can be opened.
void limit_trial(std::uint64_t file_bytes)
{
    constexpr std::uint64_t kSeconds = 3;
    constexpr std::uint64_t kBytesPerSecond = std::uint64_t{4} << 20U; // compressed ones
    [[maybe_unused]] constexpr std::uint64_t kMemory = std::uint64_t{512} << 20U;
    limit(RLIMIT_CPU, kSeconds + file_bytes / kBytesPerSecond);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    limit(RLIMIT_AS, address_space() + kMemory);
#endif
}

void send(int pipe, const std::string& text)
{
    for (std::size_t done = 0; done < text.size();)
    {
        const ssize_t count = ::write(pipe, text.data() + done, text.size() - done);
        if (count < 0 && errno == EINTR)
        {
            continue;
        }
        if (count <= 0)
        {
            return;
        }
        done += static_cast<std::size_t>(count);
    }
}

/// In the child: whatever happens, it ends, and nobody sees or hears of it. How the file was
/// refused goes into the pipe, or "null".
[[noreturn]] void try_and_exit(const std::function<void()>& action, std::uint64_t file_bytes,
                               int pipe)
{
    renew_lock_in_child();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) // these are for the parent
    {
        std::signal(number, SIG_IGN);
    }
    limit_trial(file_bytes);
    const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(nowhere, STDERR_FILENO);
    nlohmann::json refusal;
    try
    {
        action();
    }
    catch (const InputError& error)
    {
        refusal = {error.place().file, error.place().line, error.place().pointer, error.problem(),
                   error.remedy()};
    }
    catch (const IoError& error)
    {
        refusal = error.what();
    }
    catch (const std::bad_alloc&)
    {
        _exit(1);
    }
    catch (...) // NOLINT(bugprone-empty-catch): the parent will see it for itself
    {
    }
    send(pipe, refusal.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    _exit(0);
}

/// All that comes through the pipe until its other end is closed; nothing: it never was.
std::optional<std::string> receive(int pipe)
{
    constexpr auto patience = std::chrono::seconds(20);
    const auto end = std::chrono::steady_clock::now() + patience;
    std::string text;
    std::array<char, 4096> part{};
    for (;;)
    {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            end - std::chrono::steady_clock::now());
        pollfd waiting{pipe, POLLIN, 0};
        if (left.count() <= 0 || poll(&waiting, 1, static_cast<int>(left.count())) == 0)
        {
            return std::nullopt;
        }
        const ssize_t count = ::read(pipe, part.data(), part.size());
        if (count < 0 && errno == EINTR)
        {
            continue;
        }
        if (count <= 0)
        {
            return text;
        }
        text.append(part.data(), static_cast<std::size_t>(count));
    }
}

/// Whether a child would be sound: the allocator of the address sanitizer does not renew its locks
/// in one, and another thread may hold them.
bool can_fork()
{
#if defined(__SANITIZE_ADDRESS__)
    std::ifstream status("/proc/self/status");
    std::string word;
    while (status >> word && word != "Threads:")
    {
    }
    int threads = 0;
    return !(status >> threads) || threads == 1;
#else
    return true;
#endif
}

/// Throws what the child threw.
void repeat(const std::string& sent)
{
    const nlohmann::json refusal = nlohmann::json::parse(sent, nullptr, false);
    if (refusal.is_string())
    {
        throw IoError(refusal.get<std::string>());
    }
    if (refusal.is_array() && refusal.size() == 5)
    {
        throw InputError({refusal[0], refusal[1], refusal[2]}, refusal[3], refusal[4]);
    }
}

/// Numbers as processors have them, enumerations of bytes, texts of fixed length. The library's
/// conversions trust everything else that a type claims.
bool plain_member(const Handle& type)
{
    const std::size_t size = H5Tget_size(type.get());
    switch (H5Tget_class(type.get()))
    {
    case H5T_INTEGER:
        return (size == 1 || size == 2 || size == 4 || size == 8) &&
               H5Tget_precision(type.get()) == 8 * size && H5Tget_offset(type.get()) == 0;
    case H5T_FLOAT:
        return H5Tequal(type.get(), H5T_IEEE_F64LE) > 0 || H5Tequal(type.get(), H5T_IEEE_F32LE) > 0;
    case H5T_ENUM:
    {
        const Handle base(H5Tget_super(type.get()), H5Tclose, "read an enumeration");
        return size == 1 && H5Tequal(base.get(), H5T_NATIVE_UINT8) > 0 &&
               H5Tget_nmembers(type.get()) <= 256;
    }
    case H5T_STRING:
        return H5Tis_variable_str(type.get()) == 0 && size != 0;
    default:
        return false;
    }
}

bool plain_type(const Handle& type)
{
    constexpr int kMostMembers = 256;
    if (H5Tget_class(type.get()) != H5T_COMPOUND)
    {
        return plain_member(type);
    }
    const int members = H5Tget_nmembers(type.get());
    std::size_t end = 0;
    for (int i = 0; i < members && members <= kMostMembers; ++i)
    {
        const auto member = static_cast<unsigned>(i);
        const Handle inner(H5Tget_member_type(type.get(), member), H5Tclose, "read a member");
        const std::size_t offset = H5Tget_member_offset(type.get(), member);
        if (!plain_member(inner) || offset < end)
        {
            return false;
        }
        end = offset + H5Tget_size(inner.get());
    }
    return members > 0 && members <= kMostMembers && end <= H5Tget_size(type.get());
}

/// Size of the file that an object lies in.
std::uint64_t file_size(hid_t object)
{
    const Handle file(H5Iget_file_id(object), H5Fclose, "find its file");
    hsize_t size = 0;
    check(H5Fget_filesize(file.get(), &size), "read the size of its file");
    return size;
}

} // namespace

void survive(const std::string& path, const std::function<void()>& action)
{
    struct stat info = {};
    std::array<int, 2> ends{-1, -1};
    if (!can_fork() || stat(path.c_str(), &info) != 0 || pipe2(ends.data(), O_CLOEXEC) != 0)
    {
        return; // the caller will meet the reason, or takes the risk
    }
    const pid_t child = fork();
    if (child == 0)
    {
        try_and_exit(action, static_cast<std::uint64_t>(info.st_size), ends[1]);
    }
    ::close(ends[1]);
    const std::optional<std::string> sent = child > 0 ? receive(ends[0]) : "";
    ::close(ends[0]);
    if (!sent)
    {
        // Its processor time would have run out if it did anything: it has inherited a lock that
        // nobody gives back, which says nothing about the file.
        kill(child, SIGKILL);
    }
    int status = 0;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
    {
    }
    if (!sent)
    {
        return;
    }
    // Who ignores SIGCHLD gets no status; but whoever lived to the end has sent something.
    if (child > 0 && (status != 0 || sent->empty()))
    {
        throw InputError({path, 0, ""},
                         WIFSIGNALED(status) && WTERMSIG(status) != SIGXCPU
                             ? "makes the HDF5 library fail with signal " +
                                   std::to_string(WTERMSIG(status))
                             : "takes more time or memory than any sound file of its size",
                         "the file is damaged: write or copy it again");
    }
    repeat(*sent);
}

Handle open_checked(hid_t file, const std::string& path, const std::string& name)
{
    const auto fail = [&](const std::string& problem) {
        throw InputError({path, 0, name}, problem, kRemedy);
    };
    for (std::size_t end = name.find('/', 1);; end = name.find('/', end + 1))
    {
        const std::string part = name.substr(0, end);
        H5L_info_t link = {};
        if (H5Lexists(file, part.c_str(), H5P_DEFAULT) <= 0 ||
            H5Lget_info(file, part.c_str(), &link, H5P_DEFAULT) < 0)
        {
            fail("is missing");
        }
        if (link.type != H5L_TYPE_HARD)
        {
            fail("is a link to somewhere else");
        }
        if (end == std::string::npos)
        {
            break;
        }
    }
    const Handle object(H5Oopen(file, name.c_str(), H5P_DEFAULT), H5Oclose, "open " + name);
    if (H5Iget_type(object.get()) != H5I_DATASET)
    {
        fail("is not a dataset");
    }
    Handle dataset = open_dataset(file, name);
    const Handle creation(H5Dget_create_plist(dataset.get()), H5Pclose, "read its layout");
    const H5D_layout_t layout = H5Pget_layout(creation.get());
    if (H5Pget_external_count(creation.get()) != 0 || layout == H5D_VIRTUAL)
    {
        fail("keeps its data in other files");
    }
    const int filters = H5Pget_nfilters(creation.get());
    for (int i = 0; i < filters; ++i)
    {
        unsigned flags = 0;
        std::size_t values = 0;
        const H5Z_filter_t filter = H5Pget_filter2(creation.get(), static_cast<unsigned>(i), &flags,
                                                   &values, nullptr, 0, nullptr, nullptr);
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE &&
            filter != H5Z_FILTER_FLETCHER32)
        {
            fail("is compressed by filter " + std::to_string(filter) +
                 ", and only shuffle, deflate and fletcher32 are read");
        }
    }
    const Handle space(H5Dget_space(dataset.get()), H5Sclose, "read its size");
    const Handle type(H5Dget_type(dataset.get()), H5Tclose, "read its type");
    const std::uint64_t size = H5Tget_size(type.get());
    const bool text = H5Tget_class(type.get()) == H5T_STRING;
    if (H5Sget_simple_extent_ndims(space.get()) > 1 || size == 0 || (!text && size > kMostRecord))
    {
        fail("is not a text or a list of records");
    }
    if (!plain_type(type))
    {
        fail("does not hold plain numbers and texts, or compound records of these, in order");
    }
    const std::uint64_t records = length(dataset.get());
    const std::uint64_t bytes = file_size(dataset.get());
    std::uint64_t most = bytes;
    if (layout == H5D_CHUNKED)
    {
        hsize_t chunk = 0;
        check(H5Pget_chunk(creation.get(), 1, &chunk), "read its chunk size");
        if (chunk == 0 || chunk > kMostChunkBytes / size)
        {
            fail("has chunks of " + std::to_string(chunk) + " records");
        }
        most = filters > 0 && bytes < ~std::uint64_t{0} / kMostInflation ? bytes * kMostInflation
                                                                         : bytes;
    }
    if (records > most / size)
    {
        fail("claims " + std::to_string(records) + " records and holds at most " +
             std::to_string(most / size));
    }
    return dataset;
}

void check_attribute(hid_t object, const std::string& path, const std::string& place,
                     const std::string& name, bool integer)
{
    const auto fail = [&](const std::string& problem) {
        throw InputError({path, 0, place + "@" + name}, problem, kRemedy);
    };
    if (!has_attribute(object, name))
    {
        fail("is missing");
    }
    const Handle attribute(H5Aopen(object, name.c_str(), H5P_DEFAULT), H5Aclose, "open " + name);
    const Handle type(H5Aget_type(attribute.get()), H5Tclose, "read the type of " + name);
    const Handle space(H5Aget_space(attribute.get()), H5Sclose, "read the size of " + name);
    const H5T_class_t kind = H5Tget_class(type.get());
    if (H5Sget_simple_extent_npoints(space.get()) != 1)
    {
        fail("is not a single value");
    }
    if (integer ? kind != H5T_INTEGER : kind != H5T_STRING || H5Tis_variable_str(type.get()) != 0)
    {
        fail(integer ? "is not a whole number" : "is not a text of fixed length");
    }
    if (!plain_member(type))
    {
        fail("is not a plain number or text");
    }
    if (H5Tget_size(type.get()) > kMostAttribute)
    {
        fail("is too long");
    }
}

} // namespace tessera::h5
