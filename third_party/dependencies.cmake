# SPDX-License-Identifier: Apache-2.0
# How each dependency is found. Versions, licences and reasons: packages.txt beside this file.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(Boost 1.74 REQUIRED COMPONENTS program_options)
find_package(HDF5 1.10 REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
find_package(fmt 9 REQUIRED)
find_package(tsl-robin-map 1.0 REQUIRED)
# Debian ships SystemC without a CMake package.
pkg_check_modules(SYSTEMC REQUIRED IMPORTED_TARGET systemc)
pkg_check_modules(SIMDJSON REQUIRED IMPORTED_TARGET simdjson)
pkg_check_modules(OPENBLAS REQUIRED openblas)

# Third-party headers are not ours to keep free of warnings.
add_library(tessera_hdf5 INTERFACE)
target_include_directories(tessera_hdf5 SYSTEM INTERFACE ${HDF5_INCLUDE_DIRS})
target_link_libraries(tessera_hdf5 INTERFACE ${HDF5_C_LIBRARIES})

# Loaded when it is needed (src/numerics/blas.h), not linked.
add_library(tessera_openblas INTERFACE)
target_include_directories(tessera_openblas SYSTEM INTERFACE ${OPENBLAS_INCLUDE_DIRS})
target_link_libraries(tessera_openblas INTERFACE ${CMAKE_DL_LIBS})

# Optional. What it packs, any zlib unpacks.
set(TESSERA_HAS_ISAL OFF)
if(TESSERA_ISAL)
  pkg_check_modules(ISAL QUIET IMPORTED_TARGET libisal)
  if(ISAL_FOUND)
    set(TESSERA_HAS_ISAL ON)
  else()
    message(STATUS "Recording by zlib, six times slower to pack: libisal-dev is not installed")
  endif()
endif()

# Optional. The module is for Debian's Python, which pybind11-dev is made for.
set(TESSERA_HAS_PYTHON OFF)
if(TESSERA_PYTHON)
  set(PYBIND11_FINDPYTHON ON)
  set(Python_ROOT_DIR /usr)
  find_package(Python 3.9 QUIET COMPONENTS Interpreter Development.Module)
  if(Python_Development.Module_FOUND)
    find_package(pybind11 2.10 QUIET CONFIG)
  endif()
  if(pybind11_FOUND)
    set(TESSERA_HAS_PYTHON ON)
  else()
    message(STATUS "Without the Python module: pybind11-dev and python3-dev are not both installed")
  endif()
endif()

# Optional. ONNX's own CMake package does not look for the protobuf that it links.
set(TESSERA_HAS_ONNX OFF)
if(TESSERA_ONNX)
  find_package(Protobuf 3.21 QUIET)
  if(Protobuf_FOUND)
    find_package(ONNX 1.12 QUIET CONFIG)
  endif()
  if(ONNX_FOUND)
    set(TESSERA_HAS_ONNX ON)
  else()
    message(STATUS "Without ONNX import: libonnx-dev and libprotobuf-dev are not both installed")
  endif()
endif()
