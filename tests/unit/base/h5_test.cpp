// SPDX-License-Identifier: Apache-2.0
#include "base/h5.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <filesystem>
#include <set>
#include <string>
#include <unistd.h>
#include <vector>

namespace tessera::h5
{
namespace
{

/// Names that are paths to HDF5, or nearly, and some that look like what they become.
const std::vector<std::string> kNames{
    "1/f noise", "1%2Ff noise",    "/",    "//",     ".",   "%2E", "..", "", "%", "%25", "a/",
    "/7/Gemm",   "tab\tnewline\n", "kT/C", "größer", "./x", "a.b"};

TEST(LinkName, IsAnotherForEveryNameAndLeadsBack)
{
    std::set<std::string> links;
    for (const std::string& name : kNames)
    {
        const std::string link = link_name(name);
        EXPECT_EQ(link.find('/'), std::string::npos) << name;
        EXPECT_EQ(name_of_link(link), name);
        links.insert(link);
    }
    EXPECT_EQ(links.size(), kNames.size());
    EXPECT_EQ(link_name("plain name, with.dot"), "plain name, with.dot");
    EXPECT_EQ(link_name("1/f noise"), "1%2Ff noise");
    EXPECT_EQ(name_of_link(link_name(std::string("a\0b", 3))), std::string("a\0b", 3));
}

TEST(LinkName, NamesDatasetsSideBySide)
{
    const std::string path = testing::TempDir() + "link_names.h5";
    {
        const Lock lock;
        Output file(path);
        for (std::size_t i = 0; i < kNames.size(); ++i)
        {
            const auto number = static_cast<std::uint64_t>(i);
            write_array(file.get(), link_name(kNames[i]), H5T_NATIVE_UINT64, 1, &number);
        }
        file.publish();
    }
    const Lock lock;
    const Handle file = open_file(path);
    for (std::size_t i = 0; i < kNames.size(); ++i)
    {
        const Handle dataset = open_dataset(file.get(), link_name(kNames[i]));
        std::uint64_t number = 0;
        read_range(dataset.get(), H5T_NATIVE_UINT64, 0, 1, &number);
        EXPECT_EQ(number, i) << kNames[i];
    }
    std::filesystem::remove(path);
}

TEST(GrowingDataset, KeepsEveryRecord)
{
    const std::string path = testing::TempDir() + "growing.h5";
    {
        const Lock lock;
        Output file(path);
        Handle dataset = create_growing(file.get(), "rows", H5T_STD_U8LE, {1, 3});
        EXPECT_EQ(length(dataset.get()), 0U);
        for (unsigned char row = 0; row < 4; ++row)
        {
            const std::vector<unsigned char> record(3, row);
            append(dataset.get(), H5T_NATIVE_UCHAR, row, {1, 3}, record.data());
            EXPECT_EQ(length(dataset.get()), 3U * (row + 1U));
        }
        dataset.reset();
        file.publish();
    }
    const Lock lock;
    const Handle file = open_file(path);
    const Handle dataset = open_dataset(file.get(), "rows");
    std::vector<unsigned char> all(12);
    check(H5Dread(dataset.get(), H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()),
          "read");
    EXPECT_EQ(all, (std::vector<unsigned char>{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3}));
    std::filesystem::remove(path);
}

/// A file that is in no folder any more, by its link in /proc.
TEST(OpenFile, NeedsNoName)
{
    const std::string path = testing::TempDir() + "nameless.h5";
    {
        const Lock lock;
        const std::uint64_t number = 7;
        Output file(path);
        write_array(file.get(), "numbers", H5T_NATIVE_UINT64, 1, &number);
        file.publish();
    }
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(descriptor, 0);
    const std::string link = "/proc/self/fd/" + std::to_string(descriptor);
    for (const bool named : {true, false})
    {
        if (!named)
        {
            std::filesystem::remove(path);
        }
        const Lock lock;
        const Handle file = open_file(link);
        std::uint64_t number = 0;
        read_range(open_dataset(file.get(), "numbers").get(), H5T_NATIVE_UINT64, 0, 1, &number);
        EXPECT_EQ(number, 7U) << named;
    }
    ::close(descriptor);
}

} // namespace
} // namespace tessera::h5
