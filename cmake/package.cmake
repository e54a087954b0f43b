# SPDX-License-Identifier: Apache-2.0
# `cpack -G DEB` makes the packages tessera (program and data), libtessera-dev and, where the module is built,
# python3-tessera.
set(CPACK_PACKAGE_NAME tessera)
set(CPACK_PACKAGE_VENDOR "The Tessera developers")
set(CPACK_PACKAGE_CONTACT "${TESSERA_MAINTAINER}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_COMPONENTS_ALL runtime development)
if(TESSERA_HAS_PYTHON)
  list(APPEND CPACK_COMPONENTS_ALL python)
endif()
if(BUILD_SHARED_LIBS) # a package of their own would need a name that changes with them: an archive has all
  list(APPEND CPACK_COMPONENTS_ALL libraries)
  set(CPACK_GENERATOR TGZ)
endif()
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(revision 1)
set(exactly "(= ${PROJECT_VERSION}-${revision})")
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${revision})
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME tessera)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION science)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_DEPENDS libopenblas0) # loaded, not linked
set(CPACK_DEBIAN_RUNTIME_PACKAGE_RECOMMENDS "hdf5-tools, python3-h5py")
set(CPACK_COMPONENT_RUNTIME_DESCRIPTION
"Crossbar macros with their converters, vector units, finite buffers, a
flit-level network-on-chip and external memory; every operation, wait and
busy cycle of a run is recorded in HDF5.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libtessera-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS
  "tessera ${exactly}, libhdf5-dev, libfmt-dev, libsimdjson-dev, zlib1g-dev, pkg-config")
if(TESSERA_HAS_ISAL)
  string(APPEND CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS ", libisal-dev")
endif()
if(TESSERA_HAS_ONNX)
  string(APPEND CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS ", libonnx-dev, libprotobuf-dev")
endif()
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS libsystemc-dev)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
"Headers and static libraries: simulate from C++, or put a chip with TLM-2.0
sockets into a SystemC platform.")

if(TESSERA_HAS_PYTHON)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_NAME python3-tessera)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SECTION python)
  set(CPACK_DEBIAN_PYTHON_PACKAGE_SHLIBDEPS ON)
  math(EXPR next "${Python_VERSION_MINOR} + 1")
  set(CPACK_DEBIAN_PYTHON_PACKAGE_DEPENDS "tessera ${exactly}, libopenblas0, python3-numpy, \
python3 (>= ${Python_VERSION_MAJOR}.${Python_VERSION_MINOR}~), python3 (<< ${Python_VERSION_MAJOR}.${next})")
  set(CPACK_COMPONENT_PYTHON_DESCRIPTION
"Matrices go into the cells of a chip, vectors come out as its macros hand
them on: NumPy arrays in and out, for training that knows the noise.")
  # Python's own tools compile the modules, and take away again what they made.
  set(CPACK_DEBIAN_PYTHON_PACKAGE_CONTROL_EXTRA
    ${PROJECT_SOURCE_DIR}/cmake/python/postinst ${PROJECT_SOURCE_DIR}/cmake/python/prerm)
endif()
include(CPack)
