// SPDX-License-Identifier: Apache-2.0
// Cuts a file shorter and shorter, and recovers what is left, for a test that looks at it:
//     cutter FILE COPIES
// Reads lengths, a line each, none longer than the last. Answers each with a line: exit code and
// message of recovering FILE, cut to this length, into a file of the folder COPIES that is called
// by the length.
#include "record/recover.h"
#include "tessera/error.h"

#include <filesystem>
#include <iostream>
#include <string>

int main(int count, char** words)
{
    const std::vector<std::string> arguments(words, words + count);
    if (arguments.size() != 3)
    {
        std::cerr << "usage: cutter FILE COPIES\n";
        return 2;
    }
    std::uintmax_t length = 0;
    while (std::cin >> length)
    {
        try
        {
            std::filesystem::resize_file(arguments[1], length);
            tessera::record::recover_file(arguments[1], std::filesystem::path(arguments[2]) /
                                                            std::to_string(length));
            std::cout << "0 recovered" << '\n';
        }
        catch (const tessera::Error& error)
        {
            std::cout << static_cast<int>(error.code()) << ' ' << error.what() << '\n';
        }
    }
    return 0;
}
