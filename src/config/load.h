// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "config/chip_config.h"

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace tessera::config
{

/// Reads, composes and validates a chip config.
///
/// `path_or_name`: see resolve_path(). `overrides`: "noc.vcs=4" each, applied in order after the
/// file; the value is JSON if it reads as JSON, else text ("clock=1.2 GHz"). `functions`: names
/// that `vector.cost` may use; empty: any identifier.
///
/// Composition, later wins: what the file `extends` (a path relative to the file, or a shipped
/// chip), `$preset` of a section (presets/<section>/<name>.json beside the file, else shipped), the
/// keys of the file, `overrides`. `name` (default: the file's stem) and `description` are not
/// inherited.
///
/// Throws InputError naming file, line, JSON pointer and remedy; IoError; UsageError for an
/// override that is not of the form key=value.
[[nodiscard]] ChipConfig load(const std::string& path_or_name,
                              const std::vector<std::string>& overrides = {},
                              const std::vector<std::string>& functions = {});
/// The same from text. `file` is used in messages, for the default of `name`, and as what paths in
/// `extends` are relative to.
[[nodiscard]] ChipConfig parse(const std::string& text, const std::string& file,
                               const std::vector<std::string>& overrides = {},
                               const std::vector<std::string>& functions = {});

/// A shipped chip's name ("tiny") or a path, as a path. Throws InputError listing the shipped chips
/// for a name that is neither.
[[nodiscard]] std::string resolve_path(const std::string& name);
/// Names of the shipped chips, sorted. Throws IoError where their folder cannot be read.
[[nodiscard]] std::vector<std::string> shipped();

/// Every key with its value in canonical form. parse(effective(c).dump()) gives c again, and the
/// same dump byte for byte.
[[nodiscard]] nlohmann::json effective(const ChipConfig& chip);
/// Values of the keys that a mapping depends on, by path: {"macro.rows", "256"}.
[[nodiscard]] std::map<std::string, std::string> mapping_keys(const ChipConfig& chip);

/// JSON Schema (draft 2020-12) of a chip config, as text.
[[nodiscard]] std::string schema();
/// Reference of all keys, in Markdown.
[[nodiscard]] std::string reference_page();

} // namespace tessera::config
