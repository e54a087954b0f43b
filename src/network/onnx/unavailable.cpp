// SPDX-License-Identifier: Apache-2.0
// Takes the place of decode.cpp in builds without libonnx.
#include "network/onnx/graph.h"

#include "base/input_file.h"
#include "tessera/error.h"

namespace tessera::network::onnx
{
namespace
{

[[noreturn]] void give_up(const std::string& file)
{
    throw InputError({file, 0, ""}, "is an ONNX file, and this build cannot read them",
                     "install libonnx-dev and libprotobuf-dev and build again, or give a network "
                     "in JSON");
}

} // namespace

bool can_decode()
{
    return false;
}

Graph read_graph(const std::string& file, Values /*values*/)
{
    (void)InputFile(file, InputFile::Pipes::refuse);
    give_up(file);
}

Graph decode_graph(const std::string& /*bytes*/, const std::string& file, Values /*values*/)
{
    give_up(file);
}

} // namespace tessera::network::onnx
