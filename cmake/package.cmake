# SPDX-License-Identifier: Apache-2.0
# `cpack -G DEB` makes two packages: tessera (program and data) and libtessera-dev.
set(CPACK_PACKAGE_NAME tessera)
set(CPACK_PACKAGE_VENDOR "The Tessera developers")
set(CPACK_PACKAGE_CONTACT "The Tessera developers <tessera@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR DEB TGZ)
set(CPACK_COMPONENTS_ALL runtime development)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
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
  "tessera (= ${PROJECT_VERSION}-1), libhdf5-dev, libfmt-dev, libsimdjson-dev, zlib1g-dev, pkg-config")
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
include(CPack)
