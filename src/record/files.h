// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

/// Files that are there as a whole or not at all, also after a power cut. All throw IoError.
namespace tessera::record
{

/// Returns when the file's or folder's content is on the disk.
void sync_to_disk(const std::filesystem::path& path);
/// Renames within one folder and syncs it.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);
/// Writes `text` under a hidden temporary name beside `path`, then renames.
void write_whole_file(const std::filesystem::path& path, const std::string& text);

} // namespace tessera::record
