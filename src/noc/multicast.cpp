// SPDX-License-Identifier: Apache-2.0
#include "noc/multicast.h"

#include "tessera/error.h"

namespace tessera::noc
{
namespace
{

class Serial : public Multicast
{
public:
    void plan(const Transfer& transfer, std::vector<Leg>& legs) const override
    {
        legs.clear();
        for (std::size_t i = 0; i < transfer.to.size(); ++i)
        {
            legs.push_back({transfer.to[i], i});
        }
    }
};

} // namespace

std::unique_ptr<Multicast> make_multicast(const std::string& name)
{
    if (name == "serial")
    {
        return std::make_unique<Serial>();
    }
    throw InputError({"", 0, "/noc/multicast"}, "unknown multicast \"" + name + "\"",
                     "give one of: serial");
}

} // namespace tessera::noc
