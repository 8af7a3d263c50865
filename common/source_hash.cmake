# Writes OUT: a header with one hash of every source file, the compiler and its flags.
file(GLOB_RECURSE files ${ROOT}/common/*.[ch] ${ROOT}/ps/*.[ch] ${ROOT}/worker/*.[ch]
     ${ROOT}/sampler/*.[ch] ${ROOT}/deploy/*.[ch] ${ROOT}/proto/*.proto)
list(SORT files)
set(all "${COMPILER}")
foreach(file ${files} ${ROOT}/CMakeLists.txt)
  file(SHA256 ${file} hash)
  string(APPEND all ${hash})
endforeach()
string(SHA256 digest "${all}")
string(SUBSTRING ${digest} 0 16 digest)
file(WRITE ${OUT} "#define WEFT_SOURCE_HASH \"${digest}\"\n")
