// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tessera::cli
{

/// From now on SIGINT, SIGTERM and SIGHUP request an interrupt (base/interrupt.h) instead of ending
/// the process; a second one ends it. To the very end of the process: one that comes when the work
/// is done changes nothing any more.
void catch_signals();

} // namespace tessera::cli
