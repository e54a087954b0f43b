// SPDX-License-Identifier: Apache-2.0
#include "record/files.h"

#include "tessera/error.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>

namespace tessera::record
{
namespace
{

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& path)
{
    throw IoError("cannot " + what + " " + path.string() + ": " +
                  std::generic_category().message(errno));
}

class Descriptor
{
public:
    Descriptor(const std::filesystem::path& path, int flags, const std::string& what)
        : id_(open(path.c_str(), flags | O_CLOEXEC,
                   0666)) // NOLINT(cppcoreguidelines-pro-type-vararg)
    {
        if (id_ < 0)
        {
            fail(what, path);
        }
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor()
    {
        if (id_ >= 0)
        {
            ::close(id_);
        }
    }

    [[nodiscard]] int get() const { return id_; }
    /// Some file systems report a full disk only here.
    [[nodiscard]] bool close()
    {
        const int id = id_;
        id_ = -1;
        return ::close(id) == 0;
    }

private:
    int id_;
};

/// `path`: for the message.
void write_all(const Descriptor& file, const std::string& text, const std::filesystem::path& path)
{
    std::size_t written = 0;
    while (written < text.size())
    {
        const ssize_t count = ::write(file.get(), text.data() + written, text.size() - written);
        if (count < 0 && errno != EINTR)
        {
            fail("write", path);
        }
        written += count < 0 ? 0 : static_cast<std::size_t>(count);
    }
}

/// Syncs and closes.
void finish(Descriptor& file, const std::filesystem::path& path)
{
    if ((fsync(file.get()) != 0 && errno != EINVAL) || !file.close())
    {
        fail("write", path);
    }
}

} // namespace

void sync_to_disk(const std::filesystem::path& path)
{
    const Descriptor file(path, O_RDONLY, "open");
    // File systems without fsync say EINVAL: there is nothing to wait for.
    if (fsync(file.get()) != 0 && errno != EINVAL)
    {
        fail("write", path);
    }
}

void rename_file(const std::filesystem::path& from, const std::filesystem::path& to)
{
    std::error_code error;
    std::filesystem::rename(from, to, error);
    if (error)
    {
        throw IoError("cannot rename " + from.string() + " to " + to.string() + ": " +
                      error.message());
    }
}

void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to)
{
    rename_file(from, to);
    sync_to_disk(to.has_parent_path() ? to.parent_path() : std::filesystem::path("."));
}

void reserve_file(const std::filesystem::path& path, std::size_t size)
{
    Descriptor file(path, O_WRONLY | O_CREAT | O_TRUNC, "create");
    // Written, not allocated: what is only allocated may still need room when it is written.
    write_all(file, std::string(size, ' '), path);
    finish(file, path);
}

void write_into_reserved(const std::filesystem::path& reserved, const std::filesystem::path& path,
                         const std::string& text)
{
    Descriptor file(reserved, O_WRONLY, "open");
    write_all(file, text, path);
    if (ftruncate(file.get(), static_cast<off_t>(text.size())) != 0)
    {
        fail("write", path);
    }
    finish(file, path);
    rename_durably(reserved, path);
}

void write_whole_file(const std::filesystem::path& path, const std::string& text)
{
    const std::filesystem::path temporary =
        path.parent_path() / ("." + path.filename().string() + ".tmp");
    try
    {
        Descriptor file(temporary, O_WRONLY | O_CREAT | O_TRUNC, "create");
        write_all(file, text, path);
        finish(file, path);
    }
    catch (const IoError&)
    {
        std::error_code ignored; // the first error is the one to report
        std::filesystem::remove(temporary, ignored);
        throw;
    }
    rename_durably(temporary, path);
}

FolderLock::FolderLock(const std::filesystem::path& folder)
    : id_(open(folder.c_str(), // NOLINT(cppcoreguidelines-pro-type-vararg)
               O_RDONLY | O_DIRECTORY | O_CLOEXEC))
{
    if (id_ < 0)
    {
        fail("open folder", folder);
    }
    taken_ = flock(id_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

FolderLock::~FolderLock()
{
    ::close(id_);
}

} // namespace tessera::record
