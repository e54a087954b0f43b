// SPDX-License-Identifier: Apache-2.0
#include "base/h5_guard.h"
#include "tessera/error.h"

#include <new>

/// Stands in for src/base/h5_survive.cpp in the libFuzzer programs: the trial runs in the process
/// itself, which costs no fork and may end it. tools/fuzz starts it again, and gives what ended it
/// to the same target with the real guard.
void tessera::h5::survive(const std::string& path, const std::function<void()>& action)
{
    try
    {
        action();
    }
    catch (const InputError&)
    {
        throw;
    }
    catch (const IoError&)
    {
        throw;
    }
    catch (const std::bad_alloc&)
    {
        throw InputError({path, 0, ""}, "takes more memory than any sound file of its size",
                         "write or copy it again");
    }
    catch (...) // NOLINT(bugprone-empty-catch): as in the guard, the caller will see it for itself
    {
    }
}
