// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"
#include "config/load.h"
#include "numerics/model_reader.h"
#include "tessera/error.h"
#include "tessera/installation.h"
#include "tessera/version.h"
#include "values/calibrate.h"
#include "values/crossbars.h"

#include <nlohmann/json.hpp>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
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

/// As tessera/arguments.py hands them on.
using Integers = py::array_t<std::int32_t, py::array::c_style>;

Matrix<std::int32_t> matrix_of(const Integers& array)
{
    const auto view = array.unchecked<2>();
    Matrix<std::int32_t> matrix(static_cast<std::size_t>(view.shape(0)),
                                static_cast<std::size_t>(view.shape(1)));
    std::copy(array.data(), array.data() + array.size(), matrix.row(0));
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
            throw UsageError("inputs have " + std::to_string(inputs.columns()) + " values for " +
                             std::to_string(rows_) + " rows of weights");
        }
        for (std::size_t i = 0; i < inputs.rows(); ++i)
        {
            const auto [least, most] =
                std::minmax_element(inputs.row(i), inputs.row(i) + inputs.columns());
            if (*least < range_.first || *most > range_.second)
            {
                throw UsageError("inputs are beyond " + std::to_string(range_.first) + ".." +
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
    explicit Chip(config::ChipConfig config)
        : config_(std::move(config)), analogue_(values::analogue_of(config_))
    {
    }
    static Chip load(const std::string& name, const std::vector<std::string>& settings)
    {
        return Chip(config::load(name, settings));
    }
    static Chip parse(const std::string& text, const std::string& file)
    {
        return Chip(config::parse(text, file));
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
        throw UsageError("the chip has no source of errors '" + name + "'; see sources()");
    }

    /// Every file that is read beside the config.
    [[nodiscard]] std::vector<std::string> model_files() const { return values::validate(config_); }

private:
    config::ChipConfig config_;
    Analogue analogue_;
};

std::unique_ptr<Programmed> program(const Chip& chip, const Integers& weights, std::int32_t least,
                                    std::int32_t most, std::uint64_t seed,
                                    const std::optional<Integers>& calibrate)
{
    const Matrix<std::int32_t> matrix = matrix_of(weights);
    const Matrix<std::int32_t> calibration =
        calibrate ? matrix_of(*calibrate) : Matrix<std::int32_t>();
    if (calibrate && calibration.columns() != matrix.rows())
    {
        throw UsageError("calibrate must have a value per row of weights in each row: it has " +
                         std::to_string(calibration.columns()) + " for " +
                         std::to_string(matrix.rows()));
    }
    const std::pair range(least, most);
    const py::gil_scoped_release release;
    return std::make_unique<Programmed>(chip.config(), chip.analogue(), matrix, range, seed,
                                        calibration);
}

py::array_t<std::int64_t> multiply(const Programmed& programmed, const Integers& inputs,
                                   std::uint32_t image, std::uint32_t first)
{
    const Matrix<std::int32_t> matrix = matrix_of(inputs);
    Matrix<std::int64_t> sums;
    {
        const py::gil_scoped_release release;
        sums = programmed.multiply(matrix, image, first);
    }
    py::array_t<std::int64_t> result({sums.rows(), sums.columns()});
    std::copy(sums.row(0), sums.row(0) + sums.rows() * sums.columns(), result.mutable_data());
    return result;
}

/// The class of tessera/errors.py for an exit code.
const char* class_of(ExitCode code)
{
    switch (code)
    {
    case ExitCode::usage:
        return "UsageError";
    case ExitCode::bad_input:
        return "InputError";
    case ExitCode::simulation:
        return "SimulationError";
    case ExitCode::io:
        return "IoError";
    case ExitCode::interrupted:
        return "Interrupted";
    case ExitCode::ok:
        break;
    }
    return "Error";
}

void raise(const char* name, const std::string& message)
{
    // File names may be of any bytes.
    const auto text = py::reinterpret_steal<py::object>(PyUnicode_DecodeUTF8(
        message.data(), static_cast<py::ssize_t>(message.size()), "backslashreplace"));
    PyErr_SetObject(py::module_::import("tessera.errors").attr(name).ptr(), text.ptr());
}

/// Whatever is thrown is a tessera.Error, but for errors of Python's own.
void translate(std::exception_ptr thrown)
{
    try
    {
        std::rethrow_exception(std::move(thrown));
    }
    catch (const Error& error)
    {
        raise(class_of(error.code()), error.what());
    }
    catch (const std::bad_alloc&)
    {
        raise("OutOfMemory", "out of memory");
    }
    catch (const py::error_already_set&)
    {
        throw;
    }
    catch (const py::builtin_exception&)
    {
        throw;
    }
    catch (const std::exception& error)
    {
        raise("Error", std::string("internal error: ") + error.what());
    }
}

} // namespace
} // namespace tessera::python

// What the package tessera (the folder beside this file) is made with: it checks arguments.
// The name is pybind11's for a module's function.
PYBIND11_MODULE(_tessera, module) // NOLINT
{
    namespace py = pybind11;
    using namespace pybind11::literals;
    using tessera::python::Chip;
    using tessera::python::Programmed;

    module.doc() = "The compiled part of the package tessera. Use that.";
    py::register_local_exception_translator(&tessera::python::translate);
    module.def("version", &tessera::version);
    module.def("data_directory", &tessera::data_directory);

    py::class_<Chip>(module, "Chip")
        .def_static("load", &Chip::load)
        .def_static("parse", &Chip::parse)
        .def_property_readonly("name", [](const Chip& chip) { return chip.config().name; })
        .def_property_readonly("weight_bits",
                               [](const Chip& chip) { return chip.analogue().weight_bits(); })
        .def_property_readonly("input_bits",
                               [](const Chip& chip) { return chip.analogue().input_bits(); })
        .def("effective",
             [](const Chip& chip) { return tessera::config::effective(chip.config()).dump(); })
        .def("model_files", &Chip::model_files)
        .def("noiseless", [](const Chip& chip)
             { return chip.with(tessera::values::noiseless(chip.analogue())); })
        .def("lossless",
             [](const Chip& chip) { return chip.with(tessera::values::lossless(chip.analogue())); })
        .def("sources", &Chip::sources)
        .def("only", &Chip::only)
        .def("program", &tessera::python::program);

    py::class_<Programmed>(module, "Programmed")
        .def_property_readonly("shape", [](const Programmed& its)
                               { return std::pair(its.rows(), its.columns()); })
        .def("multiply", &tessera::python::multiply);
}
