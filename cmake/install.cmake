# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the program and its data (component runtime), the libraries
# (component development).
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(TESSERA_DATADIR ${CMAKE_INSTALL_FULL_DATADIR}/tessera) # known to the library

function(tessera_install)
  set(runtime COMPONENT runtime)
  set(development COMPONENT development)
  set(docdir ${CMAKE_INSTALL_DATADIR}/doc/tessera)
  set(devdocdir ${CMAKE_INSTALL_DATADIR}/doc/libtessera-dev)
  set(packagedir ${CMAKE_INSTALL_LIBDIR}/cmake/tessera)

  install(TARGETS tessera RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} ${runtime})
  foreach(folder configs models traces)
    install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder} DESTINATION ${CMAKE_INSTALL_DATADIR}/tessera ${runtime})
  endforeach()

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
    COMMAND ${CMAKE_COMMAND} -E touch ${generated}/stamp
    DEPENDS tessera ${PROJECT_SOURCE_DIR}/CHANGELOG.md VERBATIM
    COMMENT "Writing manual pages and completions")
  add_custom_target(tessera_manual ALL DEPENDS ${generated}/stamp)
  install(DIRECTORY ${generated}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR} ${runtime})
  install(FILES ${generated}/tessera.bash RENAME tessera
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions ${runtime})
  install(FILES ${generated}/_tessera DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/vendor-completions ${runtime})
  install(FILES ${generated}/tessera.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d ${runtime})
  install(FILES README.md LICENSE CITATION.cff ${generated}/changelog.gz DESTINATION ${docdir} ${runtime})
  install(FILES cmake/copyright DESTINATION ${docdir} ${runtime})
  install(FILES cmake/copyright ${generated}/changelog.gz DESTINATION ${devdocdir} ${development})

  install(DIRECTORY include/tessera DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} ${development}
    FILES_MATCHING PATTERN "*.h")
  foreach(library library platform)
    install(TARGETS tessera_${library} EXPORT tessera_${library}
      ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} ${development}
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
    ${PROJECT_BINARY_DIR}/cmake/tessera-config-version.cmake cmake/linked_data.cpp
    DESTINATION ${packagedir} ${development})

  if(TESSERA_HAS_ISAL)
    set(isal_requires " libisal")
  endif()
  if(TESSERA_HAS_ONNX) # which pkg-config does not know
    set(onnx_requires " protobuf")
    set(onnx_libs " -lonnx_proto")
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
