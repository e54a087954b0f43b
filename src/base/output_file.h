// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/error.h"

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// Files that are there as a whole or not at all, also after a power cut: everything that Tessera
/// writes goes through here, but for the streams that are followed while they grow.
namespace tessera
{

/// Throws IoError("cannot <what> <path>: <the system's reason>; <what to do>") for an errno,
/// std::bad_alloc for ENOMEM.
[[noreturn]] void throw_io_error(const std::string& what, const std::filesystem::path& path,
                                 int reason);
/// What a person can do about an errno; empty where nothing is known.
[[nodiscard]] std::string remedy_of(int reason);
/// Throws `error` as it is if it names the file, else "cannot write <file>: <error>".
[[noreturn]] void throw_named(const std::filesystem::path& file, const IoError& error);

/// Adds the file to an IoError of `action` that does not name it: libraries know it by another
/// name, or by none.
template <class Action>
auto naming(const std::filesystem::path& file, Action action) -> decltype(action())
{
    try
    {
        return action();
    }
    catch (const IoError& error)
    {
        throw_named(file, error);
    }
}

/// A hidden name, new in this process, in the folder of `path`: for what will bear that one.
[[nodiscard]] std::filesystem::path temporary_beside(const std::filesystem::path& path);

/// What happens to a file that is there when another one gets its name.
enum class Existing : unsigned char
{
    replace,
    keep ///< publishing fails, also when it appeared meanwhile
};

/// A file on its way: what is written lies under a hidden name in the target's folder until
/// publish(). An older file of that name stays what it is until then. A symbolic link stays one:
/// what it points to is replaced. What is no regular file (a pipe, a device), and what a process
/// has open (/dev/stdout), is written to as it stands.
class OutputFile
{
public:
    /// Throws UsageError for a folder, IoError when the file cannot be made.
    explicit OutputFile(std::filesystem::path path, Existing existing = Existing::replace);
    /// A file that lies whole under another name in the same file system, where it stays unless it
    /// is published. Throws UsageError where `path` is something else than a regular file.
    static OutputFile adopt(const std::filesystem::path& whole, std::filesystem::path path,
                            Existing existing = Existing::replace);
    OutputFile(OutputFile&&) noexcept;
    OutputFile& operator=(OutputFile&&) = delete;
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;
    /// Removes what was not published.
    ~OutputFile();

    /// As it was given: for messages.
    [[nodiscard]] const std::filesystem::path& path() const;
    /// Where the bytes lie until publish(): for libraries that open files by name. Throws
    /// UsageError where the output is no regular file.
    [[nodiscard]] const std::filesystem::path& temporary() const;
    /// A descriptor of its own on the bytes so far, for libraries that write to and close one.
    /// Throws IoError.
    [[nodiscard]] int duplicate();

    /// Throws IoError.
    void write(std::string_view text);
    /// Puts all on the disk, under the hidden name still: what can fail of publish() for want of
    /// room has then not failed. Throws IoError.
    void complete();
    /// Puts all on the disk under its name. After a failure an older file is there as it was, or
    /// none. Throws IoError.
    void publish();

private:
    friend void publish(std::vector<OutputFile>& files);
    class Impl;
    explicit OutputFile(std::unique_ptr<Impl> impl);

    std::unique_ptr<Impl> impl_;
};

/// Is there a file that an OutputFile of this name would replace?
[[nodiscard]] bool is_replaceable(const std::filesystem::path& path);

/// Publishes several files, all or none. Throws IoError.
void publish(std::vector<OutputFile>& files);

/// Writes a whole file. Throws IoError.
void write_file(const std::filesystem::path& path, std::string_view text);

struct NamedText
{
    std::string name; ///< of a file
    std::string text;
};
/// Writes several files into a folder, which is made if it is not there: all or none. Throws
/// IoError.
void write_files(const std::filesystem::path& folder, const std::vector<NamedText>& texts,
                 Existing existing);

/// For who computes for long before there is something to write. Throws IoError where `file` could
/// not be made, as far as the system tells before; `makes_folders`: missing ones will be made.
void require_writable(const std::filesystem::path& file, bool makes_folders);

/// Does a file of this name hold what was on its way to `name` in the same folder when a process
/// was killed?
[[nodiscard]] bool is_temporary_of(const std::string& file, const std::string& name);

/// Returns when the content of a file or folder is on the disk. Throws IoError.
void sync_to_disk(const std::filesystem::path& path);
/// Renames within one folder; the new name is on the disk when the folder is synced next. Throws
/// IoError.
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);
/// Renames within one folder and syncs it. Throws IoError.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);
/// Makes a file of `size` bytes whose room on the disk is there. Throws IoError.
void reserve_file(const std::filesystem::path& path, std::size_t size);
/// Writes `text` into the file `reserved`, which takes no more room, and renames it to `path`.
/// Contract: reserve_file() made it at least as long as the text. Throws IoError.
void write_into_reserved(const std::filesystem::path& reserved, const std::filesystem::path& path,
                         std::string_view text);

} // namespace tessera
