# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the program and its data (component runtime), the libraries
# (component development).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Of Debian's Python, below the prefix. Modules compiled for it are loaded by no other.
set(TESSERA_PYTHONDIR lib/python3/dist-packages CACHE PATH "Where the Python package is installed")

set(TESSERA_MAINTAINER "The Tessera developers <tessera@example.org>" CACHE STRING "Who packages are by")

# What the library knows of places (src/base/install.cpp): how folders of an installation lie to each other, and
# where it goes if nobody says otherwise.
file(RELATIVE_PATH from_header ${CMAKE_INSTALL_FULL_INCLUDEDIR}/tessera ${CMAKE_INSTALL_FULL_DATADIR}/tessera)
if(IS_ABSOLUTE "${CMAKE_INSTALL_DATADIR}")
  set(TESSERA_DATA_NAME share/tessera)
else()
  set(TESSERA_DATA_NAME ${CMAKE_INSTALL_DATADIR}/tessera)
endif()
function(tessera_depth name least) # of the deepest of these folders below its prefix
  set(depth ${least})
  foreach(folder ${ARGN})
    if(NOT IS_ABSOLUTE "${folder}")
      string(REGEX MATCHALL "[^/]+" parts "${folder}")
      list(LENGTH parts parts)
      if(parts GREATER depth)
        set(depth ${parts})
      endif()
    endif()
  endforeach()
  set(${name} ${depth} PARENT_SCOPE)
endfunction()
tessera_depth(program_depth 1 ${CMAKE_INSTALL_BINDIR})
tessera_depth(module_depth 2 ${CMAKE_INSTALL_LIBDIR} ${TESSERA_PYTHONDIR}/tessera)
set(TESSERA_DATA_PLACES
  TESSERA_DATA_FROM_HEADER="${from_header}" TESSERA_DATA_NAME="${TESSERA_DATA_NAME}"
  TESSERA_INSTALLED_DATA="${CMAKE_INSTALL_FULL_DATADIR}/tessera"
  TESSERA_PROGRAM_DEPTH=${program_depth} TESSERA_MODULE_DEPTH=${module_depth}
  TESSERA_IS_SHARED=$<BOOL:${BUILD_SHARED_LIBS}>)

# A symbolic link that leads on where a source tree is copied or moved with the build tree in it.
function(tessera_link target link)
  cmake_path(IS_PREFIX PROJECT_SOURCE_DIR "${PROJECT_BINARY_DIR}" inside)
  if(inside)
    cmake_path(GET link PARENT_PATH folder)
    file(RELATIVE_PATH target ${folder} ${target})
  endif()
  file(CREATE_LINK ${target} ${link} SYMBOLIC)
endfunction()

# In the build tree: what will be installed finds the source's data around or beside itself, as it will there; other
# programs (tests, and those of projects that have this one as a subdirectory) are told, too.
function(tessera_tree_data)
  cmake_path(SET link NORMALIZE ${PROJECT_BINARY_DIR}/${TESSERA_DATA_NAME})
  cmake_path(GET link PARENT_PATH folder)
  file(MAKE_DIRECTORY ${folder})
  tessera_link(${PROJECT_SOURCE_DIR} ${link})
  add_library(tessera_tree_data OBJECT ${PROJECT_SOURCE_DIR}/cmake/tree_data.cpp)
  target_compile_definitions(tessera_tree_data PRIVATE TESSERA_TREE_DATA="${PROJECT_SOURCE_DIR}")
  set(program $<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>)
  set(installed $<BOOL:$<TARGET_PROPERTY:TESSERA_INSTALLED>>)
  target_sources(tessera_options INTERFACE
    $<$<AND:${program},$<NOT:${installed}>>:$<TARGET_OBJECTS:tessera_tree_data>>)
endfunction()

# What every package says about itself.
function(tessera_install_notices package component)
  set(generated ${PROJECT_BINARY_DIR}/generated)
  install(FILES ${PROJECT_SOURCE_DIR}/cmake/copyright ${generated}/changelog.gz ${generated}/changelog.Debian.gz
    DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
endfunction()

function(tessera_install)
  set(runtime COMPONENT runtime)
  set(development COMPONENT development)
  set(docdir ${CMAKE_INSTALL_DATADIR}/doc/tessera)
  set(packagedir ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)

  # Whatever needs libtessera.so finds it from its own place, wherever the prefix is.
  if(BUILD_SHARED_LIBS)
    foreach(target tessera tessera_python)
      if(TARGET ${target})
        set(folder ${CMAKE_INSTALL_FULL_BINDIR})
        if(target STREQUAL "tessera_python")
          cmake_path(SET folder NORMALIZE ${CMAKE_INSTALL_PREFIX}/${TESSERA_PYTHONDIR}/tessera)
        endif()
        file(RELATIVE_PATH to_libraries ${folder} ${CMAKE_INSTALL_FULL_LIBDIR})
        set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN/${to_libraries}")
      endif()
    endforeach()
  endif()
  install(TARGETS tessera RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} ${runtime})
  if(TESSERA_HAS_PYTHON)
    set(python COMPONENT python)
    install(DIRECTORY src/python/tessera DESTINATION ${TESSERA_PYTHONDIR} ${python}
      FILES_MATCHING PATTERN "*.py" PATTERN "*.pyi" PATTERN "py.typed" PATTERN "__pycache__" EXCLUDE)
    install(TARGETS tessera_python LIBRARY DESTINATION ${TESSERA_PYTHONDIR}/tessera ${python})
    tessera_install_notices(python3-tessera python)
  endif()
  foreach(folder configs models traces)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_DATADIR}/tessera ${runtime})
  endforeach()

  string(TIMESTAMP date "%a, %d %b %Y 00:00:00 +0000" UTC)
  configure_file(cmake/changelog.Debian.in ${PROJECT_BINARY_DIR}/cmake/changelog.Debian @ONLY)

  # Manual pages and completions come out of the program's own option tables.
  find_program(GZIP gzip REQUIRED)
  set(generated ${PROJECT_BINARY_DIR}/generated)
  add_custom_command(OUTPUT ${generated}/stamp
    COMMAND ${CMAKE_COMMAND} -E rm -rf ${generated}
    COMMAND tessera help --pages ${generated}/man1
    COMMAND sh -c "${GZIP} -9n ${generated}/man1/*.1"
    COMMAND tessera completion bash > ${generated}/tessera.bash
    COMMAND tessera completion zsh > ${generated}/_tessera
    COMMAND tessera completion fish > ${generated}/tessera.fish
    COMMAND ${GZIP} -9nc ${PROJECT_SOURCE_DIR}/CHANGELOG.md > ${generated}/changelog.gz
    COMMAND ${GZIP} -9nc ${PROJECT_BINARY_DIR}/cmake/changelog.Debian > ${generated}/changelog.Debian.gz
    COMMAND ${CMAKE_COMMAND} -E touch ${generated}/stamp
    DEPENDS tessera ${PROJECT_SOURCE_DIR}/CHANGELOG.md ${PROJECT_BINARY_DIR}/cmake/changelog.Debian VERBATIM
    COMMENT "Writing manual pages and completions")
  add_custom_target(tessera_manual ALL DEPENDS ${generated}/stamp)
  install(DIRECTORY ${generated}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} ${runtime})
  install(FILES ${generated}/tessera.bash RENAME tessera
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions ${runtime})
  install(FILES ${generated}/_tessera DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions ${runtime})
  install(FILES ${generated}/tessera.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d ${runtime})
  install(FILES README.md CITATION.cff DESTINATION ${docdir} ${runtime})
  install(DIRECTORY docs DESTINATION ${docdir} ${runtime} FILES_MATCHING PATTERN "*.md")
  install(FILES LICENSE DESTINATION ${docdir} COMPONENT license) # which Debian has already
  tessera_install_notices(tessera runtime)
  tessera_install_notices(libtessera-dev development)

  install(DIRECTORY include/tessera DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${development}
    FILES_MATCHING PATTERN "*.h")
  foreach(library library platform)
    install(TARGETS tessera_${library} EXPORT tessera_${library}
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} ${development}
      LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT libraries NAMELINK_COMPONENT development
      INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
    install(EXPORT tessera_${library} NAMESPACE tessera:: FILE tessera-${library}.cmake
      DESTINATION ${packagedir} ${development})
  endforeach()
  set(datadir ${CMAKE_INSTALL_DATADIR}/tessera)
  configure_package_config_file(cmake/tessera-config.cmake.in ${PROJECT_BINARY_DIR}/cmake/tessera-config.cmake
    INSTALL_DESTINATION ${packagedir} PATH_VARS datadir)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/cmake/tessera-config-version.cmake
    COMPATIBILITY SameMinorVersion) # before 1.0 a minor version may change anything
  install(FILES ${PROJECT_BINARY_DIR}/cmake/tessera-config.cmake
    ${PROJECT_BINARY_DIR}/cmake/tessera-config-version.cmake
    DESTINATION ${packagedir} ${development})

  # Who links a static library links what it needs, too.
  set(needed "")
  set(needed_libs "")
  if(NOT BUILD_SHARED_LIBS)
    set(needed "Requires: hdf5 simdjson fmt zlib")
    set(needed_libs " -pthread")
    if(TESSERA_HAS_ISAL)
      string(APPEND needed " libisal")
    endif()
    if(TESSERA_HAS_ONNX) # which pkg-config does not know
      string(APPEND needed " protobuf")
      set(needed_libs " -lonnx_proto -pthread")
    endif()
    string(APPEND needed "\n")
  endif()
  # pkg-config files know their prefix by where they lie.
  file(RELATIVE_PATH to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" to_prefix "${to_prefix}")
  foreach(file tessera tessera-platform)
    configure_file(cmake/${file}.pc.in ${PROJECT_BINARY_DIR}/cmake/${file}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/cmake/${file}.pc
      DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig ${development})
  endforeach()
endfunction()

# Reference of the public headers: `cmake --build ... --target docs`.
function(tessera_docs)
  configure_file(cmake/Doxyfile.in ${PROJECT_BINARY_DIR}/cmake/Doxyfile @ONLY)
  find_program(DOXYGEN doxygen)
  if(DOXYGEN)
    add_custom_target(docs COMMAND ${DOXYGEN} ${PROJECT_BINARY_DIR}/cmake/Doxyfile
      WORKING_DIRECTORY ${PROJECT_BINARY_DIR} VERBATIM COMMENT "Writing ${PROJECT_BINARY_DIR}/docs/html")
  endif()
endfunction()
