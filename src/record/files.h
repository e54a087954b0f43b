// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

/// Files that are there as a whole or not at all, also after a power cut. All throw IoError.
namespace tessera::record
{

/// Returns when the file's or folder's content is on the disk.
void sync_to_disk(const std::filesystem::path& path);
/// Renames within one folder; the new name is on the disk when the folder is synced next.
void rename_file(const std::filesystem::path& from, const std::filesystem::path& to);
/// Renames within one folder and syncs it.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);
/// Makes a file of `size` bytes whose room on the disk is there.
void reserve_file(const std::filesystem::path& path, std::size_t size);
/// Writes `text` into the file `reserved`, which takes no more room, and renames it to `path`.
/// Contract: reserve_file() made it at least as long as the text.
void write_into_reserved(const std::filesystem::path& reserved, const std::filesystem::path& path,
                         const std::string& text);
/// Writes `text` under a hidden temporary name beside `path`, then renames.
void write_whole_file(const std::filesystem::path& path, const std::string& text);

/// A folder that nobody else locks: other processes, and other objects in this one. Ends with the
/// process, however that ends.
class FolderLock
{
public:
    /// Contract: the folder is there.
    explicit FolderLock(const std::filesystem::path& folder);
    FolderLock(const FolderLock&) = delete;
    FolderLock& operator=(const FolderLock&) = delete;
    ~FolderLock();

    /// Somebody else has it. File systems that know no locks never say so.
    [[nodiscard]] bool taken() const { return taken_; }

private:
    int id_ = -1;
    bool taken_ = false;
};

} // namespace tessera::record
