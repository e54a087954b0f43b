// SPDX-License-Identifier: Apache-2.0
#include "platform/platform_impl.h"
#include "tessera/platform.h"

namespace tessera
{

PlatformChip::PlatformChip(const sc_core::sc_module_name& name, const ChipModel& model,
                           const PlatformOptions& options)
    : sc_module(name),
      irq("irq"),
      reset("reset"),
      impl_(std::make_unique<Impl>("io", *this, model, Impl::checked(model, options)))
{
    impl_->build_modules();
}

PlatformChip::~PlatformChip() = default;

PlatformChip::HostSocket& PlatformChip::host(unsigned number)
{
    HostSocket* const socket = impl_->hosts().socket(number);
    if (socket == nullptr)
    {
        throw UsageError("the chip has no host socket " + std::to_string(number) +
                         "; set PlatformOptions::hosts");
    }
    return *socket;
}

PlatformChip::MemorySocket& PlatformChip::memory(unsigned number)
{
    MemorySocket* const socket = impl_->memory(number);
    if (socket == nullptr)
    {
        throw UsageError("the chip has no memory port " + std::to_string(number) +
                         "; set memory.ports");
    }
    return *socket;
}

PlatformChip::MacroSocket& PlatformChip::macro(const std::string& unit)
{
    MacroSocket* const socket = impl_->macro(unit);
    if (socket == nullptr)
    {
        throw UsageError("macro '" + unit + "' has no socket; name it in foreign_macros");
    }
    return *socket;
}

unsigned PlatformChip::hosts() const
{
    return impl_->hosts().sockets();
}

std::vector<std::string> PlatformChip::memories() const
{
    return impl_->memories();
}

std::vector<std::string> PlatformChip::macros() const
{
    return impl_->macros();
}

host::Window PlatformChip::registers() const
{
    return {0, host::kRegisters};
}

host::Window PlatformChip::report() const
{
    return {host::kReportWindow, impl_->report().size()};
}

host::Window PlatformChip::program() const
{
    return {host::kProgramWindow, impl_->hosts().program().size()};
}

bool PlatformChip::running() const
{
    return impl_->running();
}

std::uint64_t PlatformChip::jobs() const
{
    return impl_->jobs();
}

const Summary& PlatformChip::summary() const
{
    return impl_->summary();
}

const std::string& PlatformChip::failure() const
{
    return impl_->failure();
}

} // namespace tessera
