// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/h5.h"
#include "record/chunk_label.h"

#include <cstddef>
#include <string>

/// HDF5 files that a kill at any moment leaves whole: a file driver that decides in which order
/// the library's writes reach the file. Only H5Fflush commits: blocks that nothing refers to yet go
/// to the file at once; what changes blocks of the last commit is held back until then, and goes
/// out so that every reference points at something that is already there. What is in the file is at
/// every moment a file of its own. No lock is taken, so that readers may open it meanwhile.
namespace tessera::record::store
{

enum class Format : unsigned char
{
    plain, ///< library version bounds 1.8: opens with every tool
    live   ///< 1.10: what reading by SWMR needs; after H5Fstart_swmr_write the library orders
           ///< the writes itself. The mark that the file is being written never reaches the disk:
           ///< it would keep tools from opening what a killed run leaves
};

/// Creates or replaces `path`. Throws IoError.
[[nodiscard]] h5::Handle create(const std::string& path, Format format);
/// Opens a file made by create() for changes. Throws IoError.
[[nodiscard]] h5::Handle reopen(const std::string& path);

/// Writes a chunk of a dataset of one dimension, as it shall be in the file, with its label before
/// it. `first`: the chunk's first element. Contract: `file` is of create() or reopen(), and holds
/// `dataset`; the chunk is new, and `label` says its size. Throws IoError("cannot
/// <what>: ...").
void write_chunk(hid_t file, hid_t dataset, hsize_t first, const std::byte* bytes,
                 const ChunkLabel& label, const std::string& what);

/// From now on nothing reaches the file, which stays what the last flush made of it: for closing
/// after a failed write. Contract: `file` is of create() or reopen().
void abandon(hid_t file);

} // namespace tessera::record::store
