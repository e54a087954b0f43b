// SPDX-License-Identifier: Apache-2.0
#include "noc/routing.h"

#include "tessera/error.h"

namespace tessera::noc
{
namespace
{

Direction along_row(Position here, Position destination)
{
    return here.column < destination.column ? Direction::east : Direction::west;
}

Direction along_column(Position here, Position destination)
{
    return here.row < destination.row ? Direction::south : Direction::north;
}

class ColumnsFirst : public Routing
{
public:
    [[nodiscard]] Direction next(Position here, Position destination) const override
    {
        return here.column != destination.column ? along_row(here, destination)
                                                 : along_column(here, destination);
    }
};

class RowsFirst : public Routing
{
public:
    [[nodiscard]] Direction next(Position here, Position destination) const override
    {
        return here.row != destination.row ? along_column(here, destination)
                                           : along_row(here, destination);
    }
};

} // namespace

std::unique_ptr<Routing> make_routing(const std::string& name)
{
    if (name == "xy")
    {
        return std::make_unique<ColumnsFirst>();
    }
    if (name == "yx")
    {
        return std::make_unique<RowsFirst>();
    }
    throw InputError({"", 0, "/noc/routing"}, "unknown routing \"" + name + "\"",
                     "give one of: xy, yx");
}

} // namespace tessera::noc
