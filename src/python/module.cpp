// SPDX-License-Identifier: Apache-2.0
#include "config/load.h"
#include "tessera/error.h"
#include "values/calibrate.h"
#include "values/crossbars.h"

#include <nlohmann/json.hpp>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// The numerics of crossbars for Python: NumPy arrays in and out, for training that knows the noise.

namespace tessera::python
{
namespace
{

namespace py = pybind11;

using numerics::Matrix;
using values::Analogue;
using values::IntegerNetwork;

Matrix<std::int32_t> matrix_of(const py::array& array, const char* what)
{
    if (array.dtype().kind() != 'i' && array.dtype().kind() != 'u')
    {
        throw py::type_error(std::string(what) + " are of type " +
                             std::string(py::str(array.dtype())) + "; give whole numbers");
    }
    if (array.ndim() != 2 || array.size() == 0)
    {
        throw py::value_error(std::string(what) + " must be a matrix that is not empty");
    }
    const py::array_t<std::int64_t, py::array::c_style | py::array::forcecast> wide(array);
    const auto view = wide.unchecked<2>();
    Matrix<std::int32_t> matrix(static_cast<std::size_t>(view.shape(0)),
                                static_cast<std::size_t>(view.shape(1)));
    for (py::ssize_t row = 0; row < view.shape(0); ++row)
    {
        for (py::ssize_t column = 0; column < view.shape(1); ++column)
        {
            const std::int64_t value = view(row, column);
            if (value < INT32_MIN || value > INT32_MAX)
            {
                throw py::value_error(std::string(what) + " have " + std::to_string(value) +
                                      ", which 32 bits cannot hold");
            }
            matrix(static_cast<std::size_t>(row), static_cast<std::size_t>(column)) =
                static_cast<std::int32_t>(value);
        }
    }
    return matrix;
}

/// A dense layer alone, whose sums nobody finishes.
IntegerNetwork network_of(const Matrix<std::int32_t>& weights, std::int32_t least,
                          std::int32_t most, const Analogue& analogue)
{
    const nlohmann::json text{
        {"name", "weights"},
        {"weight_bits", analogue.weight_bits()},
        {"activation_bits", analogue.input_bits()},
        {"layers",
         {{{"name", "inputs"}, {"kind", "input"}, {"shape", {1, 1, weights.rows()}}},
          {{"name", "products"}, {"kind", "dense"}, {"channels", weights.columns()}}}}};
    IntegerNetwork integers;
    integers.network = network::parse(text.dump(), "weights");
    integers.layers.resize(2);
    integers.layers[0].least = least;
    integers.layers[0].most = most;
    integers.layers[1].weights = weights;
    integers.layers[1].bias.assign(weights.columns(), 0);
    integers.layers[1].ratio = {values::Ratio::of(1)};
    return integers;
}

/// Weights in the macros of one programmed chip.
class Programmed
{
public:
    Programmed(const config::ChipConfig& chip, const Analogue& analogue,
               const Matrix<std::int32_t>& weights, std::pair<std::int32_t, std::int32_t> range,
               std::uint64_t seed, const Matrix<std::int32_t>& calibration)
        : range_(range),
          rows_(weights.rows()),
          columns_(weights.columns()),
          crossbars_(made(chip, analogue, network_of(weights, range.first, range.second, analogue),
                          seed, calibration))
    {
    }

    [[nodiscard]] Matrix<std::int64_t> multiply(const Matrix<std::int32_t>& inputs,
                                                std::uint32_t image, std::uint32_t first) const
    {
        check(inputs);
        return crossbars_.multiply(kProducts, inputs, image, first);
    }
    [[nodiscard]] std::size_t rows() const { return rows_; }
    [[nodiscard]] std::size_t columns() const { return columns_; }

private:
    static constexpr LayerId kProducts{1};

    static values::Crossbars made(const config::ChipConfig& chip, const Analogue& analogue,
                                  const IntegerNetwork& integers, std::uint64_t seed,
                                  const Matrix<std::int32_t>& calibration)
    {
        const std::vector<values::Piece> pieces = values::pieces_of(integers, chip);
        if (pieces.empty())
        {
            throw InputError({chip.name, 0, "/mapping/on_crossbar"}, "has no dense layers",
                             "list dense");
        }
        std::vector<values::Map<std::int32_t>> images;
        for (std::size_t i = 0; i < calibration.rows(); ++i)
        {
            images.emplace_back(calibration.row(i), calibration.row(i) + calibration.columns());
        }
        if (images.empty() && analogue.needs_calibration())
        {
            throw UsageError("the chip's converters are calibrated: give calibrate=inputs");
        }
        return {integers, pieces,
                images.empty() ? analogue
                               : values::calibrated(analogue, integers, pieces, images, seed, 1),
                seed, 1};
    }
    void check(const Matrix<std::int32_t>& inputs) const
    {
        if (inputs.columns() != rows_)
        {
            throw py::value_error("inputs have " + std::to_string(inputs.columns()) +
                                  " values for " + std::to_string(rows_) + " rows of weights");
        }
        for (std::size_t i = 0; i < inputs.rows(); ++i)
        {
            const auto [least, most] =
                std::minmax_element(inputs.row(i), inputs.row(i) + inputs.columns());
            if (*least < range_.first || *most > range_.second)
            {
                throw py::value_error("inputs are beyond " + std::to_string(range_.first) + ".." +
                                      std::to_string(range_.second) +
                                      ", the range that was said of them");
            }
        }
    }

    std::pair<std::int32_t, std::int32_t> range_;
    std::size_t rows_;
    std::size_t columns_;
    values::Crossbars crossbars_;
};

/// A chip's crossbars, as its config or with other errors.
class Chip
{
public:
    Chip(const std::string& name, const std::vector<std::string>& settings)
        : config_(config::load(name, settings)), analogue_(values::analogue_of(config_))
    {
    }
    [[nodiscard]] Chip with(const Analogue& analogue) const
    {
        Chip other = *this;
        other.analogue_ = analogue;
        return other;
    }
    [[nodiscard]] const Analogue& analogue() const { return analogue_; }
    [[nodiscard]] const config::ChipConfig& config() const { return config_; }
    [[nodiscard]] std::vector<std::string> sources() const
    {
        std::vector<std::string> names;
        for (const values::Source& source : values::sources(analogue_))
        {
            names.push_back(source.name);
        }
        return names;
    }
    [[nodiscard]] Chip only(const std::string& name) const
    {
        for (const values::Source& source : values::sources(analogue_))
        {
            if (source.name == name)
            {
                return with(source.analogue);
            }
        }
        throw py::key_error("the chip has no source of errors '" + name + "'; see sources()");
    }

private:
    config::ChipConfig config_;
    Analogue analogue_;
};

std::unique_ptr<Programmed> program(const Chip& chip, const py::array& weights,
                                    std::pair<std::int32_t, std::int32_t> range, std::uint64_t seed,
                                    const py::object& calibrate)
{
    const Matrix<std::int32_t> matrix = matrix_of(weights, "weights");
    Matrix<std::int32_t> calibration;
    if (!calibrate.is_none())
    {
        calibration = matrix_of(calibrate.cast<py::array>(), "calibrate");
        if (calibration.columns() != matrix.rows())
        {
            throw py::value_error("calibrate must have a value per row of weights in each row");
        }
    }
    const py::gil_scoped_release release;
    return std::make_unique<Programmed>(chip.config(), chip.analogue(), matrix, range, seed,
                                        calibration);
}

py::array_t<std::int64_t> multiply(const Programmed& programmed, const py::array& inputs,
                                   std::uint32_t image, std::uint32_t first)
{
    const Matrix<std::int32_t> matrix = matrix_of(inputs, "inputs");
    Matrix<std::int64_t> sums;
    {
        const py::gil_scoped_release release;
        sums = programmed.multiply(matrix, image, first);
    }
    py::array_t<std::int64_t> result({sums.rows(), sums.columns()});
    std::copy(sums.row(0), sums.row(0) + sums.rows() * sums.columns(), result.mutable_data());
    return result;
}

} // namespace
} // namespace tessera::python

// The name that pybind11 gives a module's function.
PYBIND11_MODULE(tessera, module) // NOLINT
{
    namespace py = pybind11;
    using namespace pybind11::literals;
    using tessera::python::Chip;
    using tessera::python::Programmed;

    module.doc() = "Crossbars of RRAM cells, converters and AiDAC macros on NumPy arrays.";
    py::register_exception<tessera::Error>(module, "Error", PyExc_ValueError);

    py::class_<Chip>(module, "Chip", "A chip's crossbars and what they do to values.")
        .def(py::init<const std::string&, const std::vector<std::string>&>(), "config"_a,
             "set"_a = std::vector<std::string>(),
             "config: a shipped chip or a file; set: keys that are different, as of --set.")
        .def_property_readonly(
            "weight_bits", [](const Chip& chip) { return chip.analogue().weight_bits(); },
            "Bits of a weight with its sign.")
        .def_property_readonly(
            "input_bits", [](const Chip& chip) { return chip.analogue().input_bits(); },
            "Bits of an input.")
        .def(
            "noiseless",
            [](const Chip& chip) { return chip.with(tessera::values::noiseless(chip.analogue())); },
            "The same chip with perfect cells and wires: finite converters are left.")
        .def(
            "lossless",
            [](const Chip& chip) { return chip.with(tessera::values::lossless(chip.analogue())); },
            "The same chip with converters that lose nothing, too.")
        .def("sources", &Chip::sources, "Names of the chip's sources of errors.")
        .def("only", &Chip::only, "source"_a, "The same chip with one source of errors.")
        .def("program", &tessera::python::program, "weights"_a,
             "inputs"_a = std::pair<std::int32_t, std::int32_t>(0, 255), "seed"_a = 1,
             "calibrate"_a = py::none(),
             "Writes a matrix of whole numbers, inputs x outputs, into as many macros as it needs. "
             "inputs: least and greatest input there will be; seed: names the programmed chip and "
             "all noise on it; calibrate: inputs that converter ranges are chosen for.");

    py::class_<Programmed>(module, "Programmed", "Weights in the cells of a chip.")
        .def_property_readonly(
            "shape", [](const Programmed& its) { return std::pair(its.rows(), its.columns()); },
            "Inputs x outputs.")
        .def("__call__", &tessera::python::multiply, "inputs"_a, "image"_a = 0, "first"_a = 0,
             "Products of vectors (rows of whole numbers) as the macros hand them on, in units of "
             "the exact product. Vector i is number first + i of the image: its noise depends on "
             "that alone. Cells that fluctuate start anew with every call.");
}
