// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/h5.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

/// What stands between HDF5 files from elsewhere and the library that reads them.
namespace tessera::h5
{

/// Runs `action`, which opens and looks at the file `path`, in a child process first: the library
/// (1.10) does not survive every malformed file, and gives some of them gigabytes. Throws what
/// `action` throws there, and InputError when the child crashed or took more than 512 MiB or more
/// CPU time than 3 s and a second for every 4 MiB of the file. Contract: the caller holds a Lock;
/// `action` changes nothing that outlives the process. Costs a fork, about a millisecond.
void survive(const std::string& path, const std::function<void()>& action);

/// Opens a dataset whose data lie in the file `path` itself and are no more than it can hold: no
/// links to elsewhere, no external or virtual storage, no filters but shuffle, deflate and
/// checksum, at most `rank` dimensions, chunks of at most 64 MiB. `name` is an absolute path in the
/// file. Throws InputError naming what is wrong there, IoError.
[[nodiscard]] Handle open_checked(hid_t file, const std::string& path, const std::string& name,
                                  int rank = 1);

/// Throws InputError unless the attribute of `object` is one text of fixed length, of at most 64
/// KiB, or (`integer`) one whole number. `place`: of the object in the file.
void check_attribute(hid_t object, const std::string& path, const std::string& place,
                     const std::string& name, bool integer);

} // namespace tessera::h5
