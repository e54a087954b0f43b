// SPDX-License-Identifier: Apache-2.0
#include "base/output_file.h"

#include "base/h5.h"
#include "base/output_stream.h"
#include "tessera/error.h"
#include "unit/temporary_folder.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <set>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace tessera
{
namespace
{

namespace fs = std::filesystem;

class OutputFileTest : public testing::Test
{
protected:
    [[nodiscard]] fs::path at(const std::string& name) const { return folder_ / name; }
    [[nodiscard]] std::set<std::string> names() const
    {
        std::set<std::string> all;
        for (const auto& entry : fs::directory_iterator(folder_))
        {
            all.insert(entry.path().filename().string());
        }
        return all;
    }

    test::TemporaryFolder owner_;
    fs::path folder_ = owner_.path();
};

using test::content_of;

using Names = std::set<std::string>;

TEST_F(OutputFileTest, BearsItsNameOnlyWhenItIsPublished)
{
    OutputFile file(at("a"));
    file.write("text");
    EXPECT_EQ(names().count("a"), 0U);
    EXPECT_EQ(names().size(), 1U);
    EXPECT_EQ(names().begin()->front(), '.');
    EXPECT_TRUE(is_temporary_of(*names().begin(), "a"));
    file.publish();
    EXPECT_EQ(names(), Names{"a"});
    EXPECT_EQ(content_of(at("a")), "text");
}

TEST_F(OutputFileTest, LeavesNothingWithoutThat)
{
    {
        OutputFile file(at("a"));
        file.write(std::string(1 << 20, 'x'));
    }
    EXPECT_EQ(names(), Names{});
}

TEST_F(OutputFileTest, HoldsWhateverIsWrittenInOrder)
{
    // Around the size of the buffer, in one piece and in several.
    constexpr std::size_t size = std::size_t{1} << 17U;
    for (const std::size_t length : {std::size_t{0}, size - 1, size, size + 1, 3 * size + 5})
    {
        std::string text(length, ' ');
        for (std::size_t i = 0; i < length; ++i)
        {
            text[i] = static_cast<char>(i * 31 % 251);
        }
        for (const std::size_t part : {std::size_t{1000}, size, size + 1, length + 1})
        {
            OutputFile file(at("a"));
            for (std::size_t i = 0; i < length; i += part)
            {
                file.write(std::string_view(text).substr(i, part));
            }
            file.publish();
            EXPECT_EQ(content_of(at("a")), text) << length << " in parts of " << part;
        }
    }
}

TEST_F(OutputFileTest, KeepsAnOlderFileUntilThen)
{
    write_file(at("a"), "old");
    chmod(at("a").c_str(), 0640);
    {
        OutputFile file(at("a"));
        file.write("new");
        EXPECT_EQ(content_of(at("a")), "old");
    }
    EXPECT_EQ(content_of(at("a")), "old");
    write_file(at("a"), "new");
    EXPECT_EQ(content_of(at("a")), "new");
    EXPECT_EQ(names(), Names{"a"});
    struct stat info = {};
    stat(at("a").c_str(), &info);
    EXPECT_EQ(info.st_mode & 0777U, 0640U);
}

TEST_F(OutputFileTest, KeepsAFileThatAppearsMeanwhileUnlessItMayReplace)
{
    {
        OutputFile file(at("a"), Existing::keep);
        file.write("new");
        write_file(at("a"), "of somebody else");
        EXPECT_THROW(file.publish(), UsageError);
    }
    EXPECT_EQ(content_of(at("a")), "of somebody else");
    EXPECT_EQ(names(), Names{"a"});
    EXPECT_THROW(write_files(folder_, {{"b", "new"}, {"a", "new"}}, Existing::keep), UsageError);
    EXPECT_EQ(names(), Names{"a"});
    OutputFile file(at("b"), Existing::keep);
    file.write("new");
    file.publish();
    EXPECT_EQ(content_of(at("b")), "new");
}

TEST_F(OutputFileTest, GivesNoRightToActAsSomebodyElse)
{
    write_file(at("a"), "old");
    // With its owner the file keeps these.
    chmod(at("a").c_str(), 04750);
    write_file(at("a"), "new");
    struct stat info = {};
    stat(at("a").c_str(), &info);
    EXPECT_EQ(info.st_mode & 07777U, 04750U);
    if (geteuid() == 0)
    {
        ASSERT_EQ(chown(at("a").c_str(), 12345, 23456), 0);
        chmod(at("a").c_str(), 04750);
        write_file(at("a"), "newer");
        stat(at("a").c_str(), &info);
        EXPECT_EQ(info.st_uid, 12345U);
        EXPECT_EQ(info.st_gid, 23456U);
        EXPECT_EQ(info.st_mode & 07777U, 04750U);
    }
}

TEST_F(OutputFileTest, LeavesNoFolderThatItMadeInVain)
{
    const std::string too_long(256, 'n');
    EXPECT_THROW(write_files(at("made"), {{"a", ""}, {too_long, ""}}, Existing::keep), IoError);
    EXPECT_EQ(names(), Names{});
}

TEST_F(OutputFileTest, ReplacesWhatALinkPointsTo)
{
    fs::create_directory(at("d"));
    write_file(at("d/a"), "old");
    fs::create_symlink("d/a", at("l"));
    fs::create_symlink("l", at("m"));
    fs::create_symlink("d/new", at("n"));
    write_file(at("m"), "new");
    write_file(at("n"), "made");
    EXPECT_TRUE(fs::is_symlink(at("l")) && fs::is_symlink(at("m")) && fs::is_symlink(at("n")));
    EXPECT_EQ(content_of(at("d/a")), "new");
    EXPECT_EQ(content_of(at("d/new")), "made");
    EXPECT_EQ(names(), (Names{"d", "l", "m", "n"}));
    fs::create_symlink("o", at("o"));
    EXPECT_THROW(write_file(at("o"), ""), IoError);
}

TEST_F(OutputFileTest, HasNamesAsLongAsTheSystemTakes)
{
    const std::string longest(255, 'n');
    write_file(at(longest), "text");
    EXPECT_EQ(content_of(at(longest)), "text");
    EXPECT_THROW(write_file(at(longest + "n"), "text"), IoError);
    EXPECT_EQ(names(), Names{longest});
}

TEST_F(OutputFileTest, IsWrittenToAsItStandsWhereItIsNoRegularFile)
{
    ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
    std::string got;
    std::thread reader([&] { got = content_of(at("pipe")); });
    write_file(at("pipe"), "text");
    reader.join();
    EXPECT_EQ(got, "text");
    EXPECT_EQ(names(), Names{"pipe"});
    try
    {
        write_file("/dev/full", "text");
        ADD_FAILURE() << "a full device took something";
    }
    catch (const IoError& error)
    {
        EXPECT_NE(std::string(error.what()).find("/dev/full: No space left"), std::string::npos)
            << error.what();
    }
    EXPECT_NO_THROW(write_file("/dev/null", "text"));
    EXPECT_THROW(OutputFile::adopt(at("pipe"), "/dev/null"), UsageError);
    EXPECT_FALSE(is_replaceable("/dev/null"));
    EXPECT_FALSE(is_replaceable(at("none")));
    // What a process has open, whatever it is, is no file of a folder.
    write_file(at("open"), "old ");
    const int open_file = open(at("open").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    ASSERT_GE(open_file, 0);
    for (const char* folder : {"/dev/fd/", "/proc/self/fd/"})
    {
        const std::string name = folder + std::to_string(open_file);
        EXPECT_FALSE(is_replaceable(name));
        write_file(name, "new ");
    }
    close(open_file);
    EXPECT_EQ(content_of(at("open")), "old new new ");
    EXPECT_TRUE(is_replaceable(at("open")));
    fs::remove(at("open"));
    EXPECT_THROW(static_cast<void>(OutputFile("/dev/null").temporary()), UsageError);
    EXPECT_THROW(h5::Output("/dev/null"), UsageError);
    EXPECT_THROW(OutputFile{folder_}, UsageError);
}

TEST_F(OutputFileTest, SaysWhyItCannotBeMadeAndWhatToDo)
{
    try
    {
        const OutputFile file(at("none/a"));
        ADD_FAILURE() << "made a file in no folder";
    }
    catch (const IoError& error)
    {
        EXPECT_EQ(std::string(error.what()),
                  "cannot create " + at("none/a").string() +
                      ": No such file or directory; make the folder first, or name another place");
    }
    EXPECT_THROW(OutputFile("/proc/none"), IoError);
}

TEST_F(OutputFileTest, AppearsTogetherWithOthersOrNotAtAll)
{
    write_file(at("a"), "old a");
    const auto make = [&](const std::string& name)
    {
        OutputFile file(at(name));
        file.write("new " + name);
        return file;
    };
    {
        std::vector<OutputFile> files;
        files.push_back(make("a"));
        files.push_back(make("b"));
        files.push_back(make("c"));
        fs::create_directory(at("c")); // nothing can be renamed to that
        EXPECT_THROW(publish(files), IoError);
    }
    EXPECT_EQ(content_of(at("a")), "old a");
    EXPECT_EQ(names(), (Names{"a", "c"}));
    fs::remove(at("c"));
    std::vector<OutputFile> files;
    files.push_back(make("a"));
    files.push_back(make("b"));
    publish(files);
    EXPECT_EQ(content_of(at("a")), "new a");
    EXPECT_EQ(content_of(at("b")), "new b");
    EXPECT_EQ(names(), (Names{"a", "b"}));
}

TEST_F(OutputFileTest, AdoptsAFileThatStaysUnlessItIsPublished)
{
    write_file(at("a.part"), "text");
    {
        const OutputFile file = OutputFile::adopt(at("a.part"), at("a"));
    }
    EXPECT_EQ(names(), Names{"a.part"});
    {
        std::vector<OutputFile> files;
        files.push_back(OutputFile::adopt(at("a.part"), at("a")));
        files.emplace_back(at("b"));
        fs::create_directory(at("b"));
        EXPECT_THROW(publish(files), IoError);
    }
    EXPECT_EQ(names(), (Names{"a.part", "b"}));
    OutputFile::adopt(at("a.part"), at("a")).publish();
    EXPECT_EQ(names(), (Names{"a", "b"}));
    EXPECT_EQ(content_of(at("a")), "text");
}

TEST_F(OutputFileTest, OfHdf5IsPublishedWhole)
{
    {
        const h5::Lock lock;
        h5::Output file(at("a.h5"));
        h5::set_attribute(file.get(), "answer", std::uint64_t{42});
        file.flush();
        EXPECT_FALSE(fs::exists(at("a.h5")));
        file.publish();
    }
    EXPECT_EQ(names(), Names{"a.h5"});
    const h5::Lock lock;
    EXPECT_EQ(h5::integer_attribute(h5::open_file(at("a.h5").string()).get(), "answer"), 42U);
}

TEST_F(OutputFileTest, OfHdf5LeavesNothingWhenItIsGivenUp)
{
    {
        const h5::Output file(at("a.h5"));
        h5::set_attribute(file.get(), "answer", std::uint64_t{42});
    }
    EXPECT_EQ(names(), Names{});
}

TEST_F(OutputFileTest, IsWrittenIntoRoomThatIsReserved)
{
    reserve_file(at("room"), 1000);
    EXPECT_EQ(fs::file_size(at("room")), 1000U);
    write_file(at("a"), "old");
    write_into_reserved(at("room"), at("a"), "new");
    EXPECT_EQ(content_of(at("a")), "new");
    EXPECT_EQ(names(), Names{"a"});
    EXPECT_THROW(write_into_reserved(at("room"), at("a"), "newer"), IoError);
    EXPECT_EQ(content_of(at("a")), "new");
}

TEST_F(OutputFileTest, WhatCannotBeWrittenIsKnownBefore)
{
    EXPECT_NO_THROW(require_writable(at("a"), false));
    EXPECT_NO_THROW(require_writable("a", false)); // in this folder
    EXPECT_THROW(require_writable(at("none/a"), false), IoError);
    EXPECT_NO_THROW(require_writable(at("none/of/them/a"), true));
    EXPECT_FALSE(fs::exists(at("none")));
    write_file(at("file"), "");
    EXPECT_THROW(require_writable(at("file/a"), false), IoError);
    EXPECT_THROW(require_writable(at("file/none/a"), true), IoError);
}

TEST(TemporaryName, IsKnownOfItsFileOnly)
{
    EXPECT_TRUE(is_temporary_of(".a.12-3.tmp", "a"));
    EXPECT_FALSE(is_temporary_of(".b.12-3.tmp", "a"));
    EXPECT_FALSE(is_temporary_of(".a.b.12-3.tmp", "a"));
    EXPECT_FALSE(is_temporary_of("a.12-3.tmp", "a"));
    EXPECT_FALSE(is_temporary_of(".a..tmp", "a"));
}

TEST_F(OutputFileTest, StreamsThatGrowTellTheirFirstFailure)
{
    write_file(at("log"), "older lines");
    OutputStream log(at("log"));
    EXPECT_EQ(content_of(at("log")), "older lines");
    log.begin();
    log << "one" << std::endl;
    EXPECT_EQ(content_of(at("log")), "one\n");
    log << std::string(100'000, 'x');
    log.close();
    EXPECT_EQ(fs::file_size(at("log")), 100'004U);
    OutputStream full("/dev/full");
    full << "short";
    EXPECT_NO_THROW(full.require_good());
    try
    {
        full.close();
        ADD_FAILURE() << "a full device took something";
    }
    catch (const IoError& error)
    {
        EXPECT_NE(std::string(error.what()).find("No space left"), std::string::npos);
    }
    EXPECT_THROW(OutputStream(at("none/log")), IoError);
}

} // namespace
} // namespace tessera
