// SPDX-License-Identifier: Apache-2.0
#include "fuzz_input.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

/// Feeds a fuzz target the files given, and those of the folders given: the seed corpus and what
/// was found earlier. Fails when there are none, or by the target's own abort.
int main(int argc, char** argv)
{
    namespace fs = std::filesystem;
    std::vector<fs::path> files;
    for (int i = 1; i < argc; ++i)
    {
        if (fs::is_regular_file(argv[i]))
        {
            files.emplace_back(argv[i]);
        }
        if (!fs::is_directory(argv[i]))
        {
            continue; // nothing was found yet
        }
        for (const fs::directory_entry& entry : fs::directory_iterator(argv[i]))
        {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    for (const fs::path& file : files)
    {
        std::cout << file.string() << std::endl; // at once: the next line may never come
        std::ifstream stream(file, std::ios::binary);
        const std::vector<char> bytes((std::istreambuf_iterator<char>(stream)),
                                      std::istreambuf_iterator<char>());
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    }
    return files.empty() ? 1 : 0;
}
