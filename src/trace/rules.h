// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/trace.h"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace tessera::trace
{

/// Something wrong with one operation or header. Whoever reads it knows the file and the line, and
/// turns it into an InputError.
struct Malformed
{
    std::string pointer; ///< JSON pointer inside the line
    std::string problem;
    std::string remedy;
};

/// Text out of a file as a message may show it: control characters escaped, cut when it is long.
[[nodiscard]] std::string shown(std::string_view text);

/// Keys of an operation's line, in canonical order. The last three belong to the last line.
enum class Key : std::uint8_t
{
    id,
    op,
    at,
    block,
    ofm,
    n,
    bits,
    bytes,
    uses,
    in,
    after,
    into,
    to,
    release,
    start,
    layer,
    img,
    fn,
    args,
    tensor,
    box,
    address,
    end,
    ops,
    crc32
};
inline constexpr unsigned kOperationKeys = static_cast<unsigned>(Key::address) + 1;
inline constexpr unsigned kKeys = static_cast<unsigned>(Key::crc32) + 1;

/// What the value of a key looks like.
enum class Form : std::uint8_t
{
    number,       ///< whole number, minimum to maximum
    text,         ///< see the documentation
    numbers,      ///< list of ids
    box,          ///< six numbers
    destinations, ///< list of {"at","uses"}
    arguments,    ///< object of whole numbers
    truth         ///< true
};

/// One key: the single source of what the parser accepts, the rules demand and the schema says.
struct Field
{
    std::string_view name;
    Form form;
    std::uint64_t minimum;
    std::uint64_t maximum;
    unsigned allowed;  ///< bit k: operations of kind k may have it
    unsigned required; ///< bit k: operations of kind k must have it
    const char* doc;
};
/// kKeys fields, indexed by Key.
[[nodiscard]] const std::vector<Field>& fields();

[[nodiscard]] constexpr unsigned bit(OpKind kind)
{
    return 1U << static_cast<unsigned>(kind);
}
[[nodiscard]] constexpr unsigned bit(Key key)
{
    return 1U << static_cast<unsigned>(key);
}
/// Bits of the keys that operations of `kind` may, and must, have.
[[nodiscard]] unsigned allowed_keys(OpKind kind);
[[nodiscard]] unsigned required_keys(OpKind kind);

/// The rules that one operation must obey whatever its neighbours are. Readers and writers of every
/// encoding apply them.
class Rules
{
public:
    explicit Rules(const Header& header);
    /// Throws Malformed. Sets `layer` of an operation with a block to the block's layer.
    void check(Operation& operation);

private:
    static void check_references(const Operation& operation);
    void check_destinations(const Operation& operation);
    void check_block(Operation& operation) const;
    void check_rest(const Operation& operation) const;
    void check_unused(const Operation& operation) const;

    const Header* header_;
    std::array<unsigned, kOpKinds> allowed_{}; ///< allowed_keys() by kind
    std::vector<NodeId> destinations_;         ///< scratch
};

} // namespace tessera::trace
