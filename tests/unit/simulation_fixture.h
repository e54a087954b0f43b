// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tessera/tessera.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>
#include <vector>

namespace tessera::testing
{

/// A folder for each test, gone afterwards.
class SimulationTest : public ::testing::Test
{
protected:
    SimulationTest()
    {
        const auto* const info = ::testing::UnitTest::GetInstance()->current_test_info();
        folder_ = std::filesystem::temp_directory_path() /
                  ("tessera_simulation." + std::to_string(getpid()) + "." + info->name());
        std::filesystem::create_directories(folder_);
    }
    ~SimulationTest() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::filesystem::path path(const std::string& name) const
    {
        return folder_ / name;
    }
    [[nodiscard]] std::string content(const std::string& name) const
    {
        std::ifstream in(path(name), std::ios::binary);
        EXPECT_TRUE(in.good()) << path(name);
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    }

private:
    std::filesystem::path folder_;
};

inline const std::string kChain =
    std::string(TESSERA_SOURCE_DIR) + "/traces/two-layer-chain.trace.jsonl";

/// The operations of a source, unit by unit.
inline std::vector<std::vector<trace::Operation>> drain(trace::OperationSource& source)
{
    std::vector<std::vector<trace::Operation>> all(source.header().units.size());
    trace::Operation operation;
    for (std::uint32_t unit = 0; unit < all.size(); ++unit)
    {
        operation.clear();
        while (source.next(UnitId(unit), operation))
        {
            all[unit].push_back(operation);
            operation.clear();
        }
    }
    return all;
}

inline Tick sum_of_stages(const UnitSummary& unit)
{
    Tick sum = 0;
    for (const Tick time : unit.time)
    {
        sum += time;
    }
    return sum;
}

} // namespace tessera::testing
