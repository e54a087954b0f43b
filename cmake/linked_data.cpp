// SPDX-License-Identifier: Apache-2.0
namespace tessera
{

// Compiled into every program that links tessera::tessera: tells the library where the chips and
// networks of this installation are.
extern const char* const kLinkedData;
const char* const kLinkedData = TESSERA_LINKED_DATA;

} // namespace tessera
