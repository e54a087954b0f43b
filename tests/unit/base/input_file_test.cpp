// SPDX-License-Identifier: Apache-2.0
#include "base/input_file.h"

#include "tessera/error.h"

#include <array>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace tessera
{
namespace
{

using testing::HasSubstr;
namespace fs = std::filesystem;

class InputFileTest : public testing::Test
{
protected:
    InputFileTest() : folder_(fs::path(testing::TempDir()) / ("input_" + std::to_string(getpid())))
    {
        fs::create_directories(folder_);
    }
    ~InputFileTest() override { fs::remove_all(folder_); }

    [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
    std::string put(const std::string& name, const std::string& text) const
    {
        std::ofstream(path(name), std::ios::binary) << text;
        return path(name);
    }
    static std::string refusal(const std::string& path, InputFile::Pipes pipes)
    {
        try
        {
            const InputFile file(path, pipes);
        }
        catch (const InputError& error)
        {
            EXPECT_EQ(error.place().file, path);
            return error.what();
        }
        return "";
    }

private:
    fs::path folder_;
};

TEST_F(InputFileTest, ReadsRegularFiles)
{
    const std::string text = std::string(200'000, 'x') + '\0' + "end";
    InputFile file(put("a", text), InputFile::Pipes::refuse);
    EXPECT_EQ(file.read_all(text.size() + 1), text);
    EXPECT_EQ(file.read_all(1), "") << "it is at its end";
    InputFile part(path("a"), InputFile::Pipes::refuse);
    EXPECT_EQ(part.read_all(3), "xxx");
    std::array<char, 4> more{};
    EXPECT_EQ(part.read(more.data(), more.size()), more.size());
    InputFile empty(put("b", ""), InputFile::Pipes::refuse);
    EXPECT_EQ(empty.read_all(10), "");
}

TEST_F(InputFileTest, RefusesWhatCouldBlockOrNeverEnd)
{
    EXPECT_THAT(refusal(path(""), InputFile::Pipes::read), HasSubstr("is a folder; give a file"));
    ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
    EXPECT_THAT(refusal(path("pipe"), InputFile::Pipes::read), HasSubstr("is a named pipe"));
    EXPECT_THAT(refusal(path("pipe"), InputFile::Pipes::refuse), HasSubstr("is a pipe"));
    fs::create_symlink("pipe", path("link"));
    EXPECT_THAT(refusal(path("link"), InputFile::Pipes::read), HasSubstr("is a named pipe"));
    EXPECT_THAT(refusal("/dev/zero", InputFile::Pipes::read), HasSubstr("is a device"));
    EXPECT_THAT(refusal("/dev/null", InputFile::Pipes::read), HasSubstr("is a device"));

    const int server = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    path("s").copy(address.sun_path, sizeof(address.sun_path) - 1);
    ASSERT_EQ(bind(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_THAT(refusal(path("s"), InputFile::Pipes::read), HasSubstr("socket"));
    close(server);
}

TEST_F(InputFileTest, SaysWhatIsNotThere)
{
    EXPECT_THROW(InputFile(path("none"), InputFile::Pipes::read), IoError);
    fs::create_symlink("loop", path("loop"));
    EXPECT_THROW(InputFile(path("loop"), InputFile::Pipes::read), IoError);
}

TEST_F(InputFileTest, ReadsAnOpenPipeWhereAllowed)
{
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    ASSERT_EQ(write(ends[1], "text", 4), 4);
    close(ends[1]);
    const std::string open = "/proc/self/fd/" + std::to_string(ends[0]);
    EXPECT_THAT(refusal(open, InputFile::Pipes::refuse), HasSubstr("read more than once"));
    EXPECT_EQ(InputFile(open, InputFile::Pipes::read).read_all(100), "text");
    close(ends[0]);
}

} // namespace
} // namespace tessera
