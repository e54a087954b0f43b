// SPDX-License-Identifier: Apache-2.0
#include "base/input_file.h"

#include "base/interrupt.h"
#include "tessera/error.h"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace tessera
{
namespace
{

[[noreturn]] void fail(const std::string& what, const std::string& path)
{
    throw IoError("cannot " + what + ' ' + path + ": " + std::generic_category().message(errno));
}

/// Pipes that a process holds open have no name: their path in /proc leads nowhere.
bool has_name(const std::string& path)
{
    std::error_code failed;
    const std::filesystem::path name = std::filesystem::canonical(path, failed);
    return !failed && std::filesystem::is_fifo(name, failed);
}

void check_kind(const std::string& path, mode_t mode, InputFile::Pipes pipes)
{
    const auto refuse = [&](const char* problem, const char* remedy) {
        throw InputError({path, 0, ""}, problem, remedy);
    };
    if (S_ISREG(mode))
    {
        return;
    }
    if (S_ISDIR(mode))
    {
        refuse("is a folder", "give a file");
    }
    if (!S_ISFIFO(mode))
    {
        refuse("is a device or socket", "give a file");
    }
    if (pipes == InputFile::Pipes::refuse)
    {
        refuse("is a pipe, and this is read more than once", "write it to a file first");
    }
    if (has_name(path))
    {
        refuse("is a named pipe", "give a file, or an open pipe as `<(command)` makes it");
    }
}

} // namespace

void require_regular(const std::string& path)
{
    struct stat info = {};
    if (stat(path.c_str(), &info) == 0)
    {
        check_kind(path, info.st_mode, InputFile::Pipes::refuse);
    }
}

InputFile::InputFile(const std::string& path, Pipes pipes) : path_(path)
{
    struct stat info = {};
    // Before opening it, too: opening alone can set off what a device does, and fails for sockets.
    if (stat(path.c_str(), &info) != 0)
    {
        fail("open", path);
    }
    check_kind(path, info.st_mode, pipes);
    file_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file_ < 0)
    {
        fail("open", path);
    }
    try
    {
        if (fstat(file_, &info) != 0)
        {
            fail("open", path);
        }
        check_kind(path, info.st_mode, pipes);
        if (S_ISFIFO(info.st_mode) && fcntl(file_, F_SETFL, 0) != 0) // from here on, wait
        {
            fail("read", path);
        }
    }
    catch (...)
    {
        ::close(file_);
        throw;
    }
}

InputFile::~InputFile()
{
    ::close(file_);
}

std::size_t InputFile::read(char* into, std::size_t size)
{
    std::size_t done = 0;
    while (done < size)
    {
        const ssize_t count = ::read(file_, into + done, size - done);
        if (count < 0 && errno == EINTR)
        {
            throw_if_interrupted(); // nobody may be going to write to a pipe any more
            continue;
        }
        if (count < 0)
        {
            fail("read", path_);
        }
        if (count == 0)
        {
            break;
        }
        done += static_cast<std::size_t>(count);
    }
    return done;
}

void InputFile::skip(std::size_t bytes)
{
    if (lseek(file_, static_cast<off_t>(bytes), SEEK_CUR) < 0)
    {
        fail("read", path_);
    }
}

std::string InputFile::read_all(std::size_t most)
{
    constexpr std::size_t kChunk = 65536;
    std::string text;
    for (std::size_t count = 1; count != 0 && text.size() < most;)
    {
        const std::size_t had = text.size();
        text.resize(std::min(most, had + std::max(kChunk, had / 2)));
        count = read(text.data() + had, text.size() - had);
        text.resize(had + count);
    }
    return text;
}

} // namespace tessera
