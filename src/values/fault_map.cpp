// SPDX-License-Identifier: Apache-2.0
#include "values/fault_map.h"

#include "base/json.h"
#include "numerics/model_reader.h"

namespace tessera::values
{
namespace
{

constexpr unsigned kMost = 1U << 30U;

StuckCell cell_of(numerics::ModelReader reader)
{
    StuckCell cell;
    cell.layer = reader.text("layer");
    cell.row = reader.count("row", 0, kMost);
    cell.column = reader.count("column", 0, kMost);
    cell.cell = reader.count("cell", 0, kMost);
    cell.copy = reader.find("copy") != nullptr ? reader.count("copy", 0, kMost) : 0;
    cell.replica = reader.find("replica") != nullptr ? reader.count("replica", 0, kMost) : 0;
    cell.fault = reader.word("stuck", {"on", "off"}) == "on" ? numerics::Fault::stuck_on
                                                             : numerics::Fault::stuck_off;
    reader.finish();
    return cell;
}

} // namespace

FaultMap load_fault_map(const std::string& path)
{
    const JsonDocument document = load_json(path);
    numerics::ModelReader root(document, document.value(), "");
    static_cast<void>(root.word("format", {"tessera-faults"}));
    static_cast<void>(root.word("version", {"1.0"}));
    const nlohmann::json& list = root.get("cells");
    if (!list.is_array())
    {
        root.fail("/cells", std::string("must not be ") + type_name(list),
                  "list the stuck cells, an object each");
    }
    FaultMap map{path, {}};
    for (std::size_t i = 0; i < list.size(); ++i)
    {
        map.cells.push_back(cell_of({document, list[i], "/cells/" + std::to_string(i)}));
    }
    root.finish();
    return map;
}

} // namespace tessera::values
