// SPDX-License-Identifier: Apache-2.0
#include "tessera/platform.h"

namespace tessera
{

tlm::tlm_extension_base* MemoryAccess::clone() const
{
    return new MemoryAccess(*this); // the payload it is for deletes it
}

void MemoryAccess::copy_from(const tlm::tlm_extension_base& other)
{
    *this = static_cast<const MemoryAccess&>(other);
}

tlm::tlm_extension_base* MvmRequest::clone() const
{
    return new MvmRequest(*this); // the payload it is for deletes it
}

void MvmRequest::copy_from(const tlm::tlm_extension_base& other)
{
    *this = static_cast<const MvmRequest&>(other);
}

} // namespace tessera
