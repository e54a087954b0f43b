// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <utility>

namespace tessera
{

/// Owns a file descriptor.
class Descriptor
{
public:
    Descriptor() = default;
    explicit Descriptor(int id) : id_(id) {}
    Descriptor(Descriptor&& other) noexcept : id_(std::exchange(other.id_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept
    {
        std::swap(id_, other.id_);
        return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() { static_cast<void>(close()); }

    [[nodiscard]] int get() const { return id_; }
    [[nodiscard]] bool valid() const { return id_ >= 0; }
    /// Writes all of it. False: errno tells why. Throws Error(ExitCode::interrupted) when a signal
    /// asked for that while the other end was slow to read.
    [[nodiscard]] bool write(std::string_view bytes) const;
    /// Waits for the disk, where there is one behind it. False: errno tells why.
    [[nodiscard]] bool sync() const;
    /// False: errno tells why; some file systems report a full disk only here.
    [[nodiscard]] bool close();

private:
    int id_ = -1;
};

} // namespace tessera
