// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "unit/chip_fixture.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

namespace tessera::chip::testing
{

/// A test with AiDAC models in a file of its own.
class AidacFile : public ::testing::Test
{
protected:
    using Constants = std::vector<std::pair<std::string, double>>; ///< by name in the file

    AidacFile()
    {
        const auto* const test = ::testing::UnitTest::GetInstance()->current_test_info();
        path_ = std::filesystem::path(::testing::TempDir()) /
                (std::string("tessera-") + test->test_suite_name() + test->name() + ".json");
    }
    ~AidacFile() override { std::filesystem::remove(path_); }

    /// A small chip of macros of 256 x 64 with 8-bit operands, aidac-28nm but for some constants.
    [[nodiscard]] config::ChipConfig chip(const Constants& constants) const
    {
        std::ofstream file(path_);
        file.precision(17);
        file << R"({"format": "tessera-aidac", "version": "1.0", "name": "variant",
 "extends": "aidac-28nm", "constants": {)";
        const char* separator = "";
        for (const auto& [name, value] : constants)
        {
            file << separator << '"' << name << R"(": {"value": )" << value
                 << R"(, "source": "test", "status": "assumed"})";
            separator = ", ";
        }
        file << "}}";
        file.close();
        config::ChipConfig chip = small_chip();
        chip.macro.kind = "aidac";
        chip.macro.rows = 256;
        chip.macro.columns = 64;
        chip.macro.aidac.model = path_.string();
        return chip;
    }

private:
    std::filesystem::path path_;
};

} // namespace tessera::chip::testing
