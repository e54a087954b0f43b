// SPDX-License-Identifier: Apache-2.0
namespace tessera
{

// Compiled into programs that are built in this tree and not installed: their data are the tree's.
extern const char* const kLinkedInstallation;
const char* const kLinkedInstallation = TESSERA_TREE_DATA;

} // namespace tessera
