// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace tessera
{

/// Folder that holds configs/, models/ and traces/: the environment's TESSERA_DATA, else that of
/// the installation that the program was compiled with, or that the program, libtessera.so or the
/// Python module lies in (so that a moved installation stays whole); programs of a source tree's
/// build find that of the tree that they lie in, wherever it was copied or moved to. For those
/// which lie in none, where packages put it.
[[nodiscard]] std::string data_directory();

#ifndef TESSERA_IN_TREE
/// Where this header was when the program was compiled: the library finds by it the data of the
/// same installation. Part of every program that includes it, used or not.
[[gnu::used]] inline const char* const kLinkedInstallation = __FILE__;
#endif

} // namespace tessera
