#!/bin/bash
# Runs the fuzz targets (tests/fuzz/fuzz_*.c) under ASan and UBSan, one per core at a time.
#
#     tests/fuzz.sh [--instrumented] SECONDS [TARGET ...]      e.g.  tests/fuzz.sh 3600 fuzz_config
#
# SECONDS is per target.  --instrumented builds protobuf-c and libyaml from Debian's source packages
# with the same sanitizers and coverage, so that the fuzzer sees into them; their sources come by a
# private apt configuration in build/fuzz-libs.  What a run learns is kept in the build's
# tests/corpus, what it fails on in tests/findings.  Ends with "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
root=$PWD folder=build/fuzz libs=$PWD/build/fuzz-libs

usage() {
    sed -n '4p' "$0" >&2
    exit 2
}

# Debian's sources of $1, patched, as $libs/src/$1.
get_source() {
    [ -d "$libs/src/$1" ] && return
    mkdir -p "$libs"/{lists/partial,cache/archives/partial,src}
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
        "http://deb.debian.org/debian $(. /etc/os-release && echo "$VERSION_CODENAME") main" \
        >"$libs/sources.list"
    local apt=(apt-get -qq -o "Dir::Etc::SourceList=$libs/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$libs/lists"
        -o "Dir::Cache=$libs/cache" -o APT::Sandbox::User=)
    [ -s "$libs/lists/updated" ] || { "${apt[@]}" update && date >"$libs/lists/updated"; } || return
    (cd "$libs/src" && "${apt[@]}" source "$1" && mv "$1"-*/ "$1")
}

# A static library $1 from the C files after the flags, with its pkg-config file.
build_library() {
    local name=$1 package=$2 version=$3 object
    shift 3
    mkdir -p "$libs/$name" "$libs/pkgconfig"
    rm -f "$libs/lib$name.a"
    for object in "$@"; do
        [ -f "$object" ] || continue
        # shellcheck disable=SC2086  # a list of words
        clang $flags -c "$object" -o "$libs/$name/$(basename "$object" .c).o" || return
    done
    ar rcs "$libs/lib$name.a" "$libs/$name"/*.o || return
    printf 'Name: %s\nDescription: instrumented\nVersion: %s\nLibs: -L%s -l%s\nCflags: -I%s\n' \
        "$package" "$version" "$libs" "$name" "$include" >"$libs/pkgconfig/$package.pc"
}

# Not checked in them: protobuf-c shifts bytes into the sign bit of an int and treats NULL as an array
# of nothing, which every compiler that it has takes.
build_libraries() {
    local common="-O1 -g -fno-omit-frame-pointer -fPIC -w
        -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
        -fno-sanitize=shift,pointer-overflow,nonnull-attribute"
    get_source protobuf-c && get_source libyaml || return
    include=$libs/src/protobuf-c flags="$common -I$libs/src/protobuf-c"
    build_library protobuf-c libprotobuf-c "$(pkg-config --modversion libprotobuf-c)" \
        "$libs/src/protobuf-c/protobuf-c/protobuf-c.c" || return
    include=$libs/src/libyaml/include
    flags="$common -I$include -DYAML_VERSION_MAJOR=0 -DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5
        -DYAML_VERSION_STRING=\"0.2.5\" -DYAML_DECLARE_STATIC"
    build_library yaml yaml-0.1 "$(pkg-config --modversion yaml-0.1)" "$libs"/src/libyaml/src/*.c
}

instrumented=
[ "${1:-}" = --instrumented ] && instrumented=yes && shift
[[ "${1:-}" =~ ^[0-9]+$ ]] || usage
seconds=$1
shift
for target in "$@"; do
    [ -f "tests/fuzz/$target.c" ] || { echo "no target $target in tests/fuzz" >&2; exit 2; }
done
deploy/install-packages.sh --fuzz || exit 1
if [ -n "$instrumented" ]; then
    folder=build/fuzz-instrumented
    build_libraries || { echo "the instrumented libraries could not be built" >&2; exit 1; }
    export PKG_CONFIG_PATH=$libs/pkgconfig
fi
log=$(mktemp)
if ! { cmake --preset fuzz -B "$folder" "-DWEFT_FUZZ_SECONDS=$seconds" &&
    cmake --build "$folder"; } >"$log" 2>&1; then
    tail -n 40 "$log"
    rm -f "$log"
    exit 1
fi
only=$(IFS='|' && echo "$*")
ctest --test-dir "$folder" -L fuzz -R "^(${only:-.*})\$" -j"$(nproc)" --output-on-failure 2>&1 |
    tee "$log" | grep --line-buffered -vE '^ *Start +[0-9]+|^$'
passed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+:.* Passed ' "$log")
failed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+:.*\*\*\*' "$log")
rm -f "$log"
ls -l "$root/$folder"/tests/findings/* 2>/dev/null
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
