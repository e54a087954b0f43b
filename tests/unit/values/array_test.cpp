// SPDX-License-Identifier: Apache-2.0
#include "values/array.h"

#include "config/load.h"
#include "unit/compiler/random_network.h"

#include <gtest/gtest.h>

#include <cmath>

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

} // namespace
} // namespace tessera::values
