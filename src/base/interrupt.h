// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A wish from outside, say from a signal handler, that the process stop what it is doing. Whoever
/// works for long looks at it now and then. Nothing in the libraries makes the wish: programs do.
namespace tessera
{

/// May be called from a signal handler.
void request_interrupt() noexcept;
void forget_interrupt() noexcept;
[[nodiscard]] bool interrupt_requested() noexcept;
/// Throws Error(ExitCode::interrupted). A relaxed load and a branch: cheap enough for every
/// operation of a trace.
void throw_if_interrupted();

} // namespace tessera
