// SPDX-License-Identifier: Apache-2.0
// Every model of one operator in Debian's libonnx-testdata is imported or refused, as
// onnx_testdata.txt lists; what is imported has the shape that the model declares.
#include "network/onnx/import.h"

#include "onnx_file.h"
#include "tessera/error.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

namespace tessera::network
{
namespace
{

namespace fs = std::filesystem;

constexpr const char* kFolder = "/usr/share/libonnx-testdata/data";
constexpr const char* kList = TESSERA_SOURCE_DIR "/tests/unit/network/onnx_testdata.txt";

bool has_one_operator(const ::onnx::ModelProto& model)
{
    return std::count_if(model.graph().node().begin(), model.graph().node().end(),
                         [](const auto& node) { return node.op_type() != "Constant"; }) == 1;
}

std::vector<std::int64_t> declared_extents(const ::onnx::ValueInfoProto& output)
{
    std::vector<std::int64_t> extents;
    for (const auto& dimension : output.type().tensor_type().shape().dim())
    {
        extents.push_back(dimension.dim_value());
    }
    return extents;
}

/// Is the first extent that of a batch, times others, and the rest as declared?
bool merged(const std::vector<std::int64_t>& made, const std::vector<std::int64_t>& declared,
            const std::vector<std::string>& notes)
{
    const bool batch = std::any_of(notes.begin(), notes.end(),
                                   [](const std::string& note)
                                   { return note.find("for a batch") != std::string::npos; });
    return batch && made.size() == declared.size() && declared[0] % made[0] == 0 &&
           std::equal(made.begin() + 1, made.end(), declared.begin() + 1);
}

/// "imported", or why not.
std::string outcome(const ::onnx::ModelProto& model)
{
    try
    {
        const onnx::Imported imported = onnx::import(
            onnx::decode_graph(model.SerializeAsString(), "model.onnx", onnx::Values::all));
        std::string result = "imported";
        for (std::size_t k = 0; k < imported.outputs.size(); ++k)
        {
            const auto& output = imported.outputs[k];
            std::vector<std::int64_t> made = output.view.extents();
            std::vector<std::int64_t> declared =
                declared_extents(model.graph().output(static_cast<int>(k)));
            if (made != declared && made.size() > 1 && made.size() == declared.size() &&
                made[0] == 1 && declared[0] > 1)
            {
                result = "imported, one image of " + std::to_string(declared[0]);
                declared[0] = 1;
            }
            if (made != declared && merged(made, declared, imported.network.notes))
            {
                result = "imported, one image of a batch in axis 0";
                declared = made;
            }
            EXPECT_EQ(made, declared) << output.name;
            const Shape& shape = imported.network[output.view.layer].output;
            EXPECT_EQ(static_cast<std::int64_t>(shape.elements()), output.view.elements());
        }
        EXPECT_EQ(imported.weights.size(), imported.network.layers.size());
        return result;
    }
    catch (const InputError& error)
    {
        return "refused: " + error.problem();
    }
}

TEST(Testdata, IsImportedAsListed)
{
    if (!fs::exists(kFolder))
    {
        GTEST_SKIP() << "libonnx-testdata is not installed";
    }
    std::map<std::string, std::string> outcomes;
    for (const auto& suite : fs::directory_iterator(kFolder))
    {
        for (const auto& folder : fs::directory_iterator(suite))
        {
            const std::string path = folder.path().string();
            ::onnx::ModelProto plain;
            if (!fs::exists(path + "/model.onnx") ||
                !plain.ParseFromString(bytes_of(path + "/model.onnx")) || !has_one_operator(plain))
            {
                continue;
            }
            SCOPED_TRACE(path);
            outcomes[suite.path().filename().string() + '/' + folder.path().filename().string()] =
                outcome(model_in(path));
        }
    }
    std::ostringstream made;
    for (const auto& [name, text] : outcomes)
    {
        made << name << ": " << text << '\n';
    }
    std::cout << std::count_if(outcomes.begin(), outcomes.end(),
                               [](const auto& one) { return one.second[0] == 'i'; })
              << " of " << outcomes.size() << " models are imported\n";
    // To renew the list, look at the difference and copy this file over it.
    const std::string copy = testing::TempDir() + "onnx_testdata.txt";
    std::ofstream(copy) << made.str();
    std::istringstream now(made.str());
    std::ifstream before(kList);
    std::string line;
    std::string listed;
    for (std::size_t number = 1; std::getline(before, listed); ++number)
    {
        ASSERT_TRUE(std::getline(now, line)) << kList << " lists more than there is; see " << copy;
        ASSERT_EQ(line, listed) << kList << ':' << number << "; see " << copy;
    }
    EXPECT_FALSE(std::getline(now, line)) << line << " is not in " << kList << "; see " << copy;
    EXPECT_FALSE(outcomes.empty());
}

} // namespace
} // namespace tessera::network
