// SPDX-License-Identifier: Apache-2.0
#include "values/array.h"

#include "config/load.h"
#include "tessera/error.h"
#include "unit/compiler/random_network.h"
#include "values/integer_network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>

namespace tessera::values
{
namespace
{

using numerics::Matrix;

constexpr InputRange kUnsigned = {0, 255};
constexpr InputRange kSigned = {-128, 127};

struct Products
{
    Matrix<std::int32_t> weights;
    Matrix<std::int32_t> inputs;
    std::vector<numerics::VectorIdentity> vectors;
    Matrix<std::int64_t> exact;
};

/// Inputs like those that activations give: many of them small.
Products random_products(std::size_t rows, std::size_t columns, std::size_t count, bool has_sign)
{
    test::Dice dice(5);
    Products its;
    its.weights = Matrix<std::int32_t>(rows, columns);
    its.inputs = Matrix<std::int32_t>(count, rows);
    its.exact = Matrix<std::int64_t>(count, columns);
    for (std::size_t row = 0; row < rows; ++row)
    {
        for (std::size_t column = 0; column < columns; ++column)
        {
            its.weights(row, column) = static_cast<std::int32_t>(dice(0, 255)) - 128;
        }
        for (std::size_t i = 0; i < count; ++i)
        {
            const auto input = static_cast<std::int32_t>(dice(0, 40));
            its.inputs(i, row) = has_sign ? input - 20 : input;
        }
    }
    for (std::size_t i = 0; i < count; ++i)
    {
        its.vectors.push_back({0, static_cast<std::uint32_t>(i)});
        for (std::size_t column = 0; column < columns; ++column)
        {
            for (std::size_t row = 0; row < rows; ++row)
            {
                its.exact(i, column) += std::int64_t{its.inputs(i, row)} * its.weights(row, column);
            }
        }
    }
    return its;
}

double rms_error(const Array& array, const Products& products)
{
    const Matrix<std::int64_t> sums = array.sums(products.inputs, products.vectors, {});
    double squares = 0;
    for (std::size_t i = 0; i < sums.rows(); ++i)
    {
        for (std::size_t column = 0; column < sums.columns(); ++column)
        {
            squares +=
                std::pow(static_cast<double>(sums(i, column) - products.exact(i, column)), 2);
        }
    }
    return std::sqrt(squares / static_cast<double>(sums.rows() * sums.columns()));
}

TEST(AidacArray, TrimmedColumnsSayNothingOfNoInputs)
{
    Analogue analogue = analogue_of(config::load("aidac"));
    analogue.aidac->errors = numerics::AidacErrors::none();
    analogue.aidac->errors.converter = true;
    Products products = random_products(100, 40, 8, false);
    products.inputs = Matrix<std::int32_t>(8, 100);
    products.exact = Matrix<std::int64_t>(8, 40);
    const auto raw = make_array(analogue, 0, kUnsigned, products.weights, {3, 0, 0});
    analogue.aidac->trim = true;
    const auto trimmed = make_array(analogue, 0, kUnsigned, products.weights, {3, 0, 0});
    EXPECT_GT(rms_error(*raw, products), 100) << "converters have offsets";
    EXPECT_EQ(rms_error(*trimmed, products), 0);
}

TEST(AidacArray, TrimmingLowersTheError)
{
    Analogue analogue = analogue_of(config::load("aidac"));
    const Products products = random_products(300, 40, 60, false);
    const auto raw = make_array(analogue, 0, kUnsigned, products.weights, {3, 0, 0});
    analogue.aidac->trim = true;
    const auto trimmed = make_array(analogue, 0, kUnsigned, products.weights, {3, 0, 0});
    EXPECT_LT(rms_error(*trimmed, products), rms_error(*raw, products));
}

TEST(AidacArray, PerfectOnesAreExactForInputsOfBothSigns)
{
    for (const char* signs : {"offset", "paired"})
    {
        const Analogue analogue = lossless(
            analogue_of(config::load("aidac", {std::string("macro.aidac.signs=") + signs})));
        const Products products = random_products(300, 40, 20, true);
        const auto array = make_array(analogue, 0, kSigned, products.weights, {3, 0, 0});
        EXPECT_EQ(rms_error(*array, products), 0) << signs;
    }
}

/// Weights whose sums are the greatest and least that there can be, and such inputs: all at their
/// ends, of both signs or of one alone.
Products extreme_products(std::size_t rows, unsigned weight_bits, unsigned input_bits)
{
    const std::int32_t half = 1 << (weight_bits - 1);
    const std::int32_t most = (1 << input_bits) - 1;
    Products its;
    its.weights = Matrix<std::int32_t>(rows, 4);
    its.inputs = Matrix<std::int32_t>(5, rows);
    for (std::size_t row = 0; row < rows; ++row)
    {
        its.weights(row, 0) = -half;
        its.weights(row, 1) = half - 1;
        its.weights(row, 2) = row % 2 == 0 ? -half : half - 1;
        its.weights(row, 3) = row == 0 ? -half : 0;
        its.inputs(0, row) = most;
        its.inputs(1, row) = -most;
        its.inputs(2, row) = row % 2 == 0 ? most : -most;
        its.inputs(3, row) = row % 2 == 0 ? most : 0;
        its.inputs(4, row) = row == 0 ? 1 : -most;
    }
    its.vectors.resize(5);
    its.exact = exact_product(its.inputs, its.weights, 1);
    return its;
}

/// The greatest deviation from whole numbers.
std::int64_t worst(const Array& array, const Products& its)
{
    const Matrix<std::int64_t> sums = array.sums(its.inputs, its.vectors, {});
    std::int64_t most = 0;
    for (std::size_t i = 0; i < sums.rows(); ++i)
    {
        for (std::size_t c = 0; c < sums.columns(); ++c)
        {
            most = std::max(most, std::abs(sums(i, c) - its.exact(i, c)));
        }
    }
    return most;
}

TEST(AidacArrays, KeepOperandsAtTheirEndsWithinWhatTheCheckSays)
{
    std::size_t lossless = 0;
    std::size_t shapes = 0;
    for (unsigned weight_bits = 1; weight_bits <= 8; ++weight_bits)
    {
        for (unsigned input_bits = 1; input_bits <= 8; ++input_bits)
        {
            for (const char* signs : {"offset", "paired"})
            {
                for (const std::size_t rows : {std::size_t{3}, std::size_t{128}, std::size_t{200}})
                {
                    const config::ChipConfig chip = config::load(
                        "aidac", {"macro.weight_bits=" + std::to_string(weight_bits),
                                  "macro.input_bits=" + std::to_string(input_bits),
                                  "macro.rows=" + std::to_string(rows), "macro.columns=32",
                                  std::string("macro.aidac.signs=") + signs});
                    std::optional<Analogue> analogue;
                    try
                    {
                        analogue = noiseless(analogue_of(chip));
                    }
                    catch (const InputError&)
                    {
                        continue; // inputs of more units than a row has
                    }
                    SCOPED_TRACE(std::to_string(weight_bits) + " and " +
                                 std::to_string(input_bits) + " bits, " + signs + ", " +
                                 std::to_string(rows) + " rows");
                    const Products its = extreme_products(rows, weight_bits, input_bits);
                    const std::int32_t most = (1 << input_bits) - 1;
                    const std::string told = remarks(chip).front();
                    const auto needed =
                        static_cast<unsigned>(std::stoul(told.substr(told.find(" of ") + 4)));
                    numerics::AidacModel& model = analogue->aidac->model;
                    for (const unsigned bits : {needed, needed - 1, 8U, 16U})
                    {
                        if (bits < 2 || bits > 16)
                        {
                            continue;
                        }
                        model.tdc_bits = bits;
                        const auto array = make_array(*analogue, 0, {-most, most}, its.weights, {});
                        const std::int64_t lost = worst(*array, its);
                        if (bits >= needed)
                        {
                            EXPECT_EQ(lost, 0) << bits;
                            ++lossless;
                            continue;
                        }
                        // A step at the ends, in each of two passes.
                        const double step =
                            numerics::AidacBlock(model, analogue->aidac->scheme, its.weights)
                                .step();
                        EXPECT_LE(static_cast<double>(lost), 2 * (step + 0.5)) << bits;
                    }
                    ++shapes;
                }
            }
        }
    }
    EXPECT_GT(shapes, 250U);
    EXPECT_GT(lossless, 200U);
}

TEST(NonLinearArrays, SumsAreThoseOfTheCurrentsAtTheReadVoltage)
{
    for (const char* bits : {"1", "4"})
    {
        Analogue analogue = analogue_of(
            config::load("clsa-256", {"macro.cell.device=rram-50-225", "macro.cell.read_volts=0.4",
                                      std::string("macro.dac.bits=") + bits, "macro.cell.bits=4",
                                      "macro.weight_bits=4", "macro.cell.signs=differential"}));
        analogue.steps.clear();
        Products its;
        its.weights = Matrix<std::int32_t>(200, 1, 5);
        its.inputs = Matrix<std::int32_t>(1, 200, 15);
        its.vectors = {{0, 0}};
        const auto array = make_array(analogue, 0, kUnsigned, its.weights, {});
        // The pair holds levels 5 and 0 of 50..225 uS.
        const auto current = [&](double us)
        {
            const double x = std::log10(us * 1e-6);
            const double v = 0.4;
            const double second = 0.007063 + x * (0.005711 + x * (0.001541 + x * 0.0001388));
            const double third = 0.001297 + x * (0.0006792 + x * 8.871e-05);
            return us * 1e-6 * v + second * v * v + third * v * v * v;
        };
        const double step = (225 - 50) / 15.0;
        const double level = (current(50 + 5 * step) - current(50)) / 0.4 * 1e6 / step;
        const std::int64_t per_slice = std::llround(200 * level * (bits[0] == '1' ? 1 : 15));
        const std::int64_t expected = bits[0] == '1' ? 15 * per_slice : per_slice;
        EXPECT_EQ(array->sums(its.inputs, its.vectors, {})(0, 0), expected) << bits;
        EXPECT_NE(expected, 200 * 5 * 15) << "terms matter in this test";
    }
}

TEST(NonLinearArrays, WiresAndEveryWayOfReadingComeThroughTheConfig)
{
    const Products its = random_products(100, 6, 4, false);
    for (const char* read : {"row-voltage", "row-voltage-floating", "gated-1t1r"})
    {
        Analogue analogue = analogue_of(config::load(
            "clsa-256",
            {"macro.cell.device=rram-50-225", std::string("macro.cell.read=") + read,
             "macro.cell.row_ohm=1", "macro.cell.column_ohm=1", "macro.cell.sense_ohm=5"}));
        analogue.steps.clear();
        const auto error_at = [&](double volts)
        {
            analogue.read_volts = volts;
            return rms_error(*make_array(analogue, 0, kUnsigned, its.weights, {}), its);
        };
        const double bent = error_at(0.4);
        const double hardly = error_at(1e-6);
        analogue.device->non_linear.reset();
        const double straight = error_at(0.4);
        EXPECT_NEAR(hardly, straight, 0.01 * straight) << read;
        EXPECT_GT(std::abs(bent - straight), 0.05 * straight) << read;
    }
}

/// A block is read with its reference column whether it fills the macro's columns or not.
TEST(OffsetArrays, HaveRoomForTheReferenceBesideAllColumns)
{
    const Products its = random_products(30, 6, 4, false);
    for (const char* read : {"row-voltage", "row-voltage-floating", "gated-1t1r"})
    {
        const auto sums = [&](std::size_t columns)
        {
            Analogue analogue = analogue_of(config::load(
                "clsa-256", {"macro.cell.device=generic", "macro.cell.signs=offset",
                             std::string("macro.cell.read=") + read, "macro.cell.row_ohm=5",
                             "macro.cell.column_ohm=5", "macro.rows=30",
                             "macro.columns=" + std::to_string(columns)}));
            EXPECT_EQ(numerics::array_columns(analogue.scheme), columns * 4 + 1);
            analogue.steps.clear();
            return make_array(analogue, 0, kUnsigned, its.weights, {})
                ->sums(its.inputs, its.vectors, {});
        };
        const Matrix<std::int64_t> filled = sums(6);
        EXPECT_TRUE(filled == sums(7)) << read;
        EXPECT_TRUE(filled == sums(100)) << read;
        EXPECT_FALSE(filled == its.exact) << "wires matter in this test";
    }
}

} // namespace
} // namespace tessera::values
