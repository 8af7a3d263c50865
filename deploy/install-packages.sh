#!/bin/sh
# Installs the Debian packages weft is built from; with --tests also what its tests need,
# with --fuzz what its fuzz targets need, too.
set -eu
packages="build-essential cmake ninja-build pkg-config libzmq3-dev libprotobuf-c-dev
  protobuf-c-compiler libopenblas-pthread-dev liblmdb-dev libyaml-dev libmicrohttpd-dev
  librandom123-dev libxxhash-dev zlib1g-dev libcurl4-openssl-dev libjansson-dev libutf8proc-dev"
if [ "${1:-}" = --tests ] || [ "${1:-}" = --fuzz ]; then
    packages="$packages check python3 python3-jsonschema python3-yaml clang-format fiu-utils"
    packages="$packages systemd man-db python3-numpy openssl iproute2 bubblewrap"
fi
if [ "${1:-}" = --fuzz ]; then
    packages="$packages clang libclang-rt-dev llvm dpkg-dev"
fi
optional=
if [ "${1:-}" = --tests ] || [ "${1:-}" = --fuzz ]; then
    optional="docker-compose chromium chromium-driver prometheus"
    optional="$optional slurmctld slurmd slurm-client munge" # tests/hosts/test_slurm.sh
fi
missing_of() {
    for p in "$@"; do
        dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || printf ' %s' "$p"
    done
}
# shellcheck disable=SC2086  # lists of words
missing=$(missing_of $packages) extra=$(missing_of $optional)
[ -n "$missing$extra" ] || exit 0
sudo=
if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
install() {
    echo "installing: $*"
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
$sudo apt-get update -qq
# shellcheck disable=SC2086
[ -z "$missing" ] || install $missing
# shellcheck disable=SC2086
[ -z "$extra" ] || install $extra || echo "could not be installed, tests that need them skip:$extra"
