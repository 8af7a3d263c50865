#!/bin/sh
# Installs the Debian packages weft is built from; with --tests also what its tests need,
# with --fuzz what its fuzz targets need, too.
set -eu
packages="build-essential cmake ninja-build pkg-config libzmq3-dev libprotobuf-c-dev
  protobuf-c-compiler libopenblas-pthread-dev liblmdb-dev libyaml-dev libmicrohttpd-dev
  librandom123-dev libxxhash-dev zlib1g-dev libcurl4-openssl-dev libjansson-dev libutf8proc-dev"
if [ "${1:-}" = --tests ] || [ "${1:-}" = --fuzz ]; then
    packages="$packages check python3 python3-jsonschema python3-yaml clang-format fiu-utils"
    packages="$packages systemd man-db iproute2"
fi
if [ "${1:-}" = --fuzz ]; then
    packages="$packages clang libclang-rt-dev llvm dpkg-dev"
fi
missing=
for p in $packages; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
sudo=
if [ "$(id -u)" != 0 ]; then sudo=sudo; fi
echo "installing:$missing"
$sudo apt-get update -qq
# shellcheck disable=SC2086  # a list of words
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
