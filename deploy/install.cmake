# What `cmake --install` puts where, and the Debian package (`cpack -G DEB` in the build folder).
include(GNUInstallDirs)

# The units name the folder of the binaries, which is known when they are installed only.
install(CODE "
  set(source \"${CMAKE_SOURCE_DIR}/deploy/systemd\")
  set(made \"${CMAKE_BINARY_DIR}/systemd\")
  set(WEFT_BINDIR \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR})")
install(CODE [[
  file(READ ${source}/hardening.in WEFT_HARDENING)
  string(STRIP "${WEFT_HARDENING}" WEFT_HARDENING)
  file(GLOB units ${source}/*.service.in)
  foreach(unit ${units})
    get_filename_component(name ${unit} NAME_WLE)
    configure_file(${unit} ${made}/${name} @ONLY)
    file(INSTALL ${made}/${name} DESTINATION ${CMAKE_INSTALL_PREFIX}/lib/systemd/system)
  endforeach()]])
install(FILES deploy/systemd/weft.target DESTINATION lib/systemd/system)
install(FILES deploy/systemd/weft.sysusers DESTINATION lib/sysusers.d RENAME weft.conf)

install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/weft)
install(PROGRAMS deploy/get-encoder.sh deploy/weft_model.py DESTINATION ${CMAKE_INSTALL_DATADIR}/weft)
install(FILES deploy/completion/weft DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
# The completion of `weft` is loaded for the others by links.
foreach(name weft-scheduler weft-ps weft-sampler weft-worker)
  install(CODE "file(MAKE_DIRECTORY \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
    file(CREATE_LINK weft \$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/bash-completion/completions/${name} SYMBOLIC)")
endforeach()

# Manual pages are made of what the binaries say; the guide.
install(CODE "
  execute_process(COMMAND \"${CMAKE_SOURCE_DIR}/deploy/man/make-pages.sh\" \"${CMAKE_BINARY_DIR}/bin\" \"${CMAKE_BINARY_DIR}/man1\"
                  COMMAND_ERROR_IS_FATAL ANY)
  file(GLOB pages \"${CMAKE_BINARY_DIR}/man1/*.1.gz\")
  file(INSTALL \${pages} DESTINATION \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_MANDIR}/man1)")
install(FILES deploy/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# ---- The Debian package ----

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weft)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "weft authors <weft@weft.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "trainer of recommendations on a cluster of ordinary machines")
set(CPACK_PACKAGE_DESCRIPTION "Trains item embeddings by link prediction on a graph of items, and a two-tower
model of users and items on top of them, with samplers, workers and parameter
servers that may come, go and die without changing the result.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# OpenBLAS comes in variants; the numerics are those of the one with pthreads.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser, libopenblas0-pthread")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS npm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/debian/postinst
    ${CMAKE_SOURCE_DIR}/deploy/debian/prerm ${CMAKE_SOURCE_DIR}/deploy/debian/postrm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
configure_file(deploy/debian/changelog.in ${CMAKE_BINARY_DIR}/debian/changelog @ONLY)
install(FILES deploy/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR})
# Made here, for a build of the programs alone makes nothing else.
install(CODE "
  execute_process(COMMAND gzip -9nkf \"${CMAKE_BINARY_DIR}/debian/changelog\" COMMAND_ERROR_IS_FATAL ANY)
  file(INSTALL \"${CMAKE_BINARY_DIR}/debian/changelog.gz\" DESTINATION \${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR})")
install(FILES deploy/debian/lintian DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides RENAME weft)
include(CPack)
