// SPDX-License-Identifier: Apache-2.0
#include "base/output_file.h"

#include "base/descriptor.h"
#include "base/interrupt.h"
#include "tessera/error.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <new>
#include <optional>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace tessera
{
namespace
{

namespace fs = std::filesystem;

constexpr std::size_t kBuffer = std::size_t{1} << 17U;
/// Of the target's name in that of its temporary, so that the longest names have one too.
constexpr std::size_t kLongestPart = 200;

Descriptor open_descriptor(const fs::path& path, int flags)
{
    constexpr mode_t everybody = 0666; // as far as the umask lets
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
    return Descriptor(::open(path.c_str(), flags | O_CLOEXEC, everybody));
}

std::string prefix_of(const std::string& name)
{
    return "." + name.substr(0, kLongestPart) + ".";
}

fs::path folder_of(const fs::path& path)
{
    return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

/// The file that a path leads to through symbolic links; nothing for what a process has open
/// (/dev/stdout, /dev/fd/3), which has no place in a folder.
std::optional<fs::path> end_of_links(fs::path path)
{
    constexpr int most = 40; // as the system
    for (int links = 0; links < most; ++links)
    {
        std::error_code none; // no such folder: creating the file will say so
        const std::string folder = fs::canonical(folder_of(path), none).string() + '/';
        if (folder.rfind("/proc/", 0) == 0)
        {
            return std::nullopt;
        }
        const fs::path next = fs::read_symlink(path, none);
        if (none)
        {
            return path; // no link: their end
        }
        path = next.is_absolute() ? next : path.parent_path() / next;
    }
    throw_io_error("open", path, ELOOP);
}

/// Is this what file systems say that do not know a way of renaming?
bool is_unknown(int reason)
{
    return reason == EINVAL || reason == ENOSYS || reason == EOPNOTSUPP;
}

void sync_folder(const fs::path& folder, const fs::path& file)
{
    const Descriptor opened = open_descriptor(folder, O_RDONLY | O_DIRECTORY);
    // A folder in which one may write but not read cannot be waited for.
    if (!opened.valid() && errno == EACCES)
    {
        return;
    }
    if (!opened.valid() || !opened.sync())
    {
        throw_io_error("write", file, errno);
    }
}

} // namespace

std::string remedy_of(int reason)
{
    switch (reason)
    {
    case ENOSPC:
    case EDQUOT:
        return "make room there, or name another place";
    case EFBIG:
        return "raise the limit on the size of files (ulimit -f), or name another place";
    case EACCES:
    case EPERM:
    case EROFS:
        return "name a place that you may write to";
    case ENOENT:
    case ENOTDIR:
        return "make the folder first, or name another place";
    case ENAMETOOLONG:
        return "give a shorter name";
    case EMFILE:
    case ENFILE:
        return "raise the limit on open files (ulimit -n)";
    case EIO:
        return "look at the disk: the system's log tells more";
    default:
        return "";
    }
}

void throw_io_error(const std::string& what, const fs::path& path, int reason)
{
    if (reason == ENOMEM)
    {
        throw std::bad_alloc();
    }
    const std::string remedy = remedy_of(reason);
    throw IoError("cannot " + what + " " + path.string() + ": " +
                  std::generic_category().message(reason) + (remedy.empty() ? "" : "; ") + remedy);
}

void throw_named(const fs::path& file, const IoError& error)
{
    const std::string text = error.what();
    if (text.find(file.string()) != std::string::npos)
    {
        throw error;
    }
    const std::string_view cannot = "cannot write ";
    const bool writing = text.compare(0, cannot.size(), cannot) == 0;
    throw IoError("cannot write " + file.string() + ": " +
                  (writing ? text.substr(cannot.size()) : text));
}

fs::path temporary_beside(const fs::path& path)
{
    static std::atomic<unsigned> next{0};
    const std::string number = std::to_string(getpid()) + "-" + std::to_string(next.fetch_add(1));
    return path.parent_path() / (prefix_of(path.filename().string()) + number + ".tmp");
}

bool is_replaceable(const fs::path& path)
{
    std::error_code none; // not there, or not to be known: nothing to replace
    return fs::is_regular_file(path, none) && end_of_links(path).has_value();
}

class OutputFile::Impl
{
public:
    Impl(fs::path path, Existing existing) : path_(std::move(path)), existing_(existing)
    {
        struct stat info = {};
        const bool exists = stat(path_.c_str(), &info) == 0;
        if (exists && S_ISDIR(info.st_mode))
        {
            throw UsageError(path_.string() + " is a folder; name a file");
        }
        const std::optional<fs::path> target = end_of_links(path_);
        if (!target || (exists && !S_ISREG(info.st_mode)))
        {
            open_as_it_stands();
            return;
        }
        target_ = *target;
        create(exists ? &info : nullptr);
    }
    /// Adopts `whole`.
    Impl(fs::path whole, fs::path path, Existing existing)
        : path_(std::move(path)), existing_(existing), temporary_(std::move(whole)), adopted_(true)
    {
        std::error_code none; // not there
        const fs::file_status status = fs::status(path_, none);
        const std::optional<fs::path> target = end_of_links(path_);
        if (!target || (fs::exists(status) && !fs::is_regular_file(status)))
        {
            refuse();
        }
        target_ = *target;
    }
    Impl(const Impl&) = delete;
    Impl& operator=(const Impl&) = delete;
    ~Impl() { discard(); }

    [[nodiscard]] const fs::path& path() const { return path_; }
    [[nodiscard]] bool regular() const { return !target_.empty(); }
    [[nodiscard]] const fs::path& temporary() const
    {
        if (!regular())
        {
            refuse();
        }
        return temporary_;
    }
    [[nodiscard]] int duplicate()
    {
        flush();
        // NOLINTNEXTLINE(cppcoreguidelines-pro-type-vararg)
        const int copy = fcntl(file_.get(), F_DUPFD_CLOEXEC, 0);
        if (copy < 0)
        {
            fail("write", errno);
        }
        return copy;
    }

    void write(std::string_view text)
    {
        if (buffer_.size() + text.size() > kBuffer)
        {
            flush();
        }
        if (text.size() > kBuffer)
        {
            put(text);
            return;
        }
        buffer_.append(text);
    }

    /// Everything is on the disk, under the hidden name.
    void complete()
    {
        if (!file_.valid())
        {
            return; // done before
        }
        flush();
        if (!file_.sync() || !file_.close())
        {
            fail("write", errno);
        }
    }
    /// Contract: complete.
    void expose()
    {
        if (!regular())
        {
            return;
        }
        if (existing_ == Existing::keep)
        {
            expose_beside_nothing();
            return;
        }
        struct stat older = {};
        const bool replaces = lstat(target_.c_str(), &older) == 0 && S_ISREG(older.st_mode);
        replaced_ = replaces && exchange();
        // Where the file system cannot exchange, what is replaced is gone when syncing fails.
        if (replaces && !replaced_ && !is_unknown(errno))
        {
            fail("write", errno);
        }
        if (!replaced_ && std::rename(temporary_.c_str(), target_.c_str()) != 0)
        {
            fail("write", errno);
        }
        exposed_ = true;
        sync_folder(folder_of(target_), path_);
    }
    /// Takes expose() back, as far as the system lets.
    void conceal() noexcept
    {
        if (exposed_ && replaced_)
        {
            static_cast<void>(exchange());
        }
        else if (exposed_)
        {
            static_cast<void>(std::rename(target_.c_str(), temporary_.c_str()));
        }
        exposed_ = false;
        replaced_ = false;
    }
    /// Removes what is under the hidden name: the new file or, after expose(), the older one.
    void discard() noexcept
    {
        static_cast<void>(file_.close());
        if (regular() && (replaced_ || (!exposed_ && !adopted_)))
        {
            static_cast<void>(unlink(temporary_.c_str())); // a hidden file more, if it stays
        }
        replaced_ = false;
        exposed_ = true;
    }

private:
    [[noreturn]] void refuse() const
    {
        throw UsageError(path_.string() + " is no regular file, as this format needs");
    }

    [[noreturn]] void fail(const char* what, int reason) const
    {
        throw_io_error(what, path_, reason);
    }

    /// A pipe may wait for who reads it.
    void open_as_it_stands()
    {
        do
        {
            file_ = open_descriptor(path_, O_WRONLY | O_APPEND | O_NOCTTY);
            throw_if_interrupted();
        } while (!file_.valid() && errno == EINTR);
        if (!file_.valid())
        {
            fail("open", errno);
        }
    }

    /// expose() where nothing may be replaced.
    void expose_beside_nothing()
    {
        bool done = renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(),
                              RENAME_NOREPLACE) == 0;
        if (!done && is_unknown(errno))
        {
            // File systems that do not know this: a look, and then a moment in which one may
            // appear.
            struct stat other = {};
            errno = EEXIST;
            done = lstat(target_.c_str(), &other) != 0 &&
                   std::rename(temporary_.c_str(), target_.c_str()) == 0;
        }
        if (!done && errno == EEXIST)
        {
            throw UsageError(path_.string() +
                             " has appeared meanwhile; give --force to replace it");
        }
        if (!done)
        {
            fail("write", errno);
        }
        exposed_ = true;
        sync_folder(folder_of(target_), path_);
    }

    /// `older`: the file to be replaced, whose owner and permissions the new one gets; null: none.
    void create(const struct stat* older)
    {
        do
        {
            temporary_ = temporary_beside(target_);
            file_ = open_descriptor(temporary_, O_RDWR | O_CREAT | O_EXCL);
        } while (!file_.valid() && errno == EEXIST);
        if (!file_.valid())
        {
            const int reason = errno;
            target_.clear(); // nothing to remove
            fail("create", reason);
        }
        if (older == nullptr)
        {
            return;
        }
        // Who may not give files away keeps it, and no right to act as somebody else goes with it.
        const bool same_owner = fchown(file_.get(), older->st_uid, older->st_gid) == 0;
        const mode_t permissions = same_owner ? 07777 : 0777;
        if (fchmod(file_.get(), older->st_mode & permissions) != 0)
        {
            const int reason = errno;
            discard();
            fail("create", reason);
        }
    }

    /// Swaps the hidden file and the older one. False: errno tells why.
    [[nodiscard]] bool exchange() const noexcept
    {
        return renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(),
                         RENAME_EXCHANGE) == 0;
    }

    void flush()
    {
        put(buffer_);
        buffer_.clear();
    }
    void put(std::string_view text) const
    {
        if (!file_.write(text))
        {
            fail("write", errno);
        }
    }

    fs::path path_;
    Existing existing_;
    fs::path target_; ///< empty: no regular file, written to as it stands
    fs::path temporary_;
    Descriptor file_;
    std::string buffer_;
    bool exposed_ = false;  ///< the new file bears its name, nothing or ...
    bool replaced_ = false; ///< ... the older file the hidden one
    bool adopted_ = false;
};

OutputFile::OutputFile(fs::path path, Existing existing)
    : impl_(std::make_unique<Impl>(std::move(path), existing))
{
}

OutputFile::OutputFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

OutputFile OutputFile::adopt(const fs::path& whole, fs::path path, Existing existing)
{
    return OutputFile(std::make_unique<Impl>(whole, std::move(path), existing));
}

OutputFile::OutputFile(OutputFile&&) noexcept = default;

OutputFile::~OutputFile() = default;

const fs::path& OutputFile::path() const
{
    return impl_->path();
}

const fs::path& OutputFile::temporary() const
{
    return impl_->temporary();
}

int OutputFile::duplicate()
{
    return impl_->duplicate();
}

void OutputFile::write(std::string_view text)
{
    impl_->write(text);
}

void OutputFile::complete()
{
    impl_->complete();
}

void OutputFile::publish()
{
    std::vector<OutputFile> all;
    all.push_back(std::move(*this));
    tessera::publish(all);
}

void publish(std::vector<OutputFile>& files)
{
    for (OutputFile& file : files)
    {
        file.impl_->complete();
    }
    try
    {
        for (OutputFile& file : files)
        {
            file.impl_->expose();
        }
    }
    catch (...)
    {
        for (OutputFile& file : files)
        {
            file.impl_->conceal();
        }
        throw;
    }
    for (OutputFile& file : files)
    {
        file.impl_->discard();
    }
}

void write_file(const fs::path& path, std::string_view text)
{
    OutputFile file(path);
    file.write(text);
    file.publish();
}

void write_files(const fs::path& folder, const std::vector<NamedText>& texts, Existing existing)
{
    std::error_code failure;
    const bool made = fs::create_directories(folder, failure);
    if (failure)
    {
        throw_io_error("make folder", folder, failure.value());
    }
    try
    {
        std::vector<OutputFile> files;
        for (const NamedText& its : texts)
        {
            files.emplace_back(folder / its.name, existing).write(its.text);
            files.back().complete();
        }
        publish(files);
    }
    catch (...)
    {
        if (made)
        {
            rmdir(folder.c_str()); // does nothing unless it is empty
        }
        throw;
    }
}

void require_writable(const fs::path& file, bool makes_folders)
{
    const auto folder_of = [](const fs::path& path)
    { return path.has_parent_path() ? path.parent_path() : fs::path("."); };
    fs::path folder = folder_of(file);
    std::error_code none; // not to be known: access() says why
    while (makes_folders && !fs::exists(folder, none) && folder.has_relative_path())
    {
        folder = folder_of(folder);
    }
    if (fs::exists(folder, none) && !fs::is_directory(folder, none))
    {
        throw_io_error("create", file, ENOTDIR);
    }
    if (access(folder.c_str(), W_OK | X_OK) != 0)
    {
        throw_io_error("create", file, errno);
    }
}

bool is_temporary_of(const std::string& file, const std::string& name)
{
    const std::string prefix = prefix_of(name);
    const std::string_view end = ".tmp";
    if (file.size() <= prefix.size() + end.size() || file.compare(0, prefix.size(), prefix) != 0 ||
        file.compare(file.size() - end.size(), end.size(), end) != 0)
    {
        return false;
    }
    const std::string number = file.substr(prefix.size(), file.size() - prefix.size() - end.size());
    return number.find_first_not_of("0123456789-") == std::string::npos;
}

void sync_to_disk(const fs::path& path)
{
    const Descriptor file = open_descriptor(path, O_RDONLY);
    if (!file.valid() || !file.sync())
    {
        throw_io_error("write", path, errno);
    }
}

void rename_file(const fs::path& from, const fs::path& to)
{
    if (std::rename(from.c_str(), to.c_str()) != 0)
    {
        throw_io_error("rename " + from.string() + " to", to, errno);
    }
}

void rename_durably(const fs::path& from, const fs::path& to)
{
    rename_file(from, to);
    sync_folder(folder_of(to), to);
}

void reserve_file(const fs::path& path, std::size_t size)
{
    Descriptor file = open_descriptor(path, O_WRONLY | O_CREAT | O_TRUNC);
    if (!file.valid())
    {
        throw_io_error("create", path, errno);
    }
    // Written, not allocated: what is only allocated may still need room when it is written.
    if (!file.write(std::string(size, ' ')) || !file.sync() || !file.close())
    {
        throw_io_error("write", path, errno);
    }
}

void write_into_reserved(const fs::path& reserved, const fs::path& path, std::string_view text)
{
    Descriptor file = open_descriptor(reserved, O_WRONLY);
    if (!file.valid() || !file.write(text) ||
        ftruncate(file.get(), static_cast<off_t>(text.size())) != 0 || !file.sync() ||
        !file.close())
    {
        throw_io_error("write", path, errno);
    }
    rename_durably(reserved, path);
}

} // namespace tessera
