// SPDX-License-Identifier: Apache-2.0
// A source of its own, so that programs can be linked with another survive(): the fuzz targets have
// one that stays in the process (tests/fuzz/direct_survive.cpp).
#include "base/h5_guard.h"
#include "base/json.h"
#include "base/memory.h"
#include "tessera/error.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
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

void limit(int resource, rlim_t value)
{
    struct rlimit limits = {};
    getrlimit(static_cast<__rlimit_resource>(resource), &limits);
    limits.rlim_cur = std::min(limits.rlim_max, value);
    setrlimit(static_cast<__rlimit_resource>(resource), &limits);
}

[[maybe_unused]] constexpr std::size_t kTrialMemory = std::size_t{512} << 20U;

/// The limits within which any sound file can be opened.
void limit_trial(std::uint64_t file_bytes)
{
    constexpr std::uint64_t kSeconds = 3;
    constexpr std::uint64_t kBytesPerSecond = std::uint64_t{4} << 20U; // compressed ones
    limit(RLIMIT_CPU, kSeconds + file_bytes / kBytesPerSecond);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    limit(RLIMIT_AS, address_space() + kTrialMemory);
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
    dup2(nowhere, STDOUT_FILENO); // the child has a copy of what the parent has yet to flush
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
    send(pipe, text_of(refusal));
    _exit(0);
}

/// Processor time of a child so far.
std::chrono::nanoseconds time_of(pid_t child)
{
    clockid_t clock = 0;
    timespec time{};
    if (clock_getcpuclockid(child, &clock) != 0 || clock_gettime(clock, &time) != 0)
    {
        return {};
    }
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// All that comes through the pipe until its other end is closed; nothing: the child does nothing.
/// One that does something ends by itself: its processor time is limited, however little of it a
/// busy machine grants.
std::optional<std::string> receive(int pipe, pid_t child)
{
    constexpr auto patience = std::chrono::seconds(20);
    constexpr auto nothing = std::chrono::milliseconds(1);
    auto end = std::chrono::steady_clock::now() + patience;
    auto used = time_of(child);
    std::string text;
    std::array<char, 4096> part{};
    for (;;)
    {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            end - std::chrono::steady_clock::now());
        if (left.count() <= 0)
        {
            const auto now_used = time_of(child);
            if (now_used - used < nothing)
            {
                return std::nullopt;
            }
            used = now_used;
            end = std::chrono::steady_clock::now() + patience;
            continue;
        }
        pollfd waiting{pipe, POLLIN, 0};
        const int ready = poll(&waiting, 1, static_cast<int>(left.count()));
        if (ready == 0 || (ready < 0 && errno == EINTR))
        {
            continue;
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
    const std::optional<std::string> sent = child > 0 ? receive(ends[0], child) : "";
    ::close(ends[0]);
    if (!sent)
    {
        // It has inherited a lock that nobody gives back, which says nothing about the file.
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
        if (is_limited_below(kTrialMemory))
        {
            throw std::bad_alloc(); // the limit is the process's own: nothing is known of the file
        }
        throw InputError({path, 0, ""},
                         WIFSIGNALED(status) && WTERMSIG(status) != SIGXCPU
                             ? "makes the HDF5 library fail with signal " +
                                   std::to_string(WTERMSIG(status))
                             : "takes more time or memory than any sound file of its size",
                         "the file is damaged: write or copy it again");
    }
    repeat(*sent);
}

} // namespace tessera::h5
