// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"
#include "tessera/values.h"
#include "unit/simulation_fixture.h"

#include <sstream>

namespace tessera::cli
{
namespace
{

class Interface : public tessera::testing::SimulationTest
{
};

TEST_F(Interface, RunsWithValuesLeaveTheSameBytes)
{
    const std::string images =
        std::string(TESSERA_SOURCE_DIR) + "/tests/oracle/fashion-200-images-idx3-ubyte.gz";
    std::ostringstream out;
    std::ostringstream err;
    const int code = run({"run",
                          "--network",
                          "lenet5-fashion",
                          "--chip",
                          "aidac",
                          "--values",
                          images,
                          "--values-first",
                          "7",
                          "--images",
                          "2",
                          "--calibrate",
                          images,
                          "--calibrate-first",
                          "50",
                          "--calibrate-images",
                          "2",
                          "--seed",
                          "5",
                          "--kernel",
                          "native",
                          "-q",
                          "-o",
                          path("cli").string()},
                         {out, err});
    ASSERT_EQ(code, 0) << err.str();

    const ChipModel chip("aidac");
    const QuantizedNetwork network("lenet5-fashion");
    ValueOptions values;
    values.calibration = network.images(images, 50, 2);
    RunOptions options;
    options.folder = path("api");
    options.seed = 5;
    static_cast<void>(simulate(chip,
                               Program::compile("lenet5-fashion", chip, {"layer-by-layer", 2}),
                               network, network.images(images, 7, 2), values, options));
    for (const char* file : {"/activity.h5", "/stats.json", "/values.h5"})
    {
        EXPECT_EQ(content(std::string("cli") + file), content(std::string("api") + file)) << file;
    }
}

} // namespace
} // namespace tessera::cli
