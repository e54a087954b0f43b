// SPDX-License-Identifier: Apache-2.0
// Of builds without libonnx.
#include "network/network.h"
#include "tessera/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera::network
{
namespace
{

TEST(NoOnnx, NamesThePackage)
{
    const std::string path = TESSERA_SOURCE_DIR "/tests/unit/network/onnx/lenet5.onnx";
    try
    {
        (void)load(path);
        FAIL();
    }
    catch (const InputError& error)
    {
        EXPECT_EQ(error.code(), ExitCode::bad_input);
        EXPECT_THAT(error.what(), testing::HasSubstr(path));
        EXPECT_THAT(error.what(), testing::HasSubstr("libonnx-dev"));
    }
    EXPECT_THROW((void)load("no_such.onnx"), IoError);
}

} // namespace
} // namespace tessera::network
