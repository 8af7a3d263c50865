#!/bin/sh
# build_image.sh - proves: deploy/container/Containerfile builds, of Debian's packages alone, and what it makes trains as
# a user without privileges.  About ten minutes and 3 GB; needs root, buildah and mmdebstrap (no engine, no registry).
#
#     tests/container/build_image.sh [WORK_DIR]        default: build/image; what is there already is used again
set -eu
top=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
work=${1:-$top/build/image}
for tool in buildah mmdebstrap; do
    command -v "$tool" >/dev/null || { echo "build_image: $tool is not installed" >&2; exit 77; }
done
mkdir -p "$work"
work=$(realpath "$work")
BUILDAH="buildah --root $work/root --runroot $work/run --storage-driver vfs"
export BUILDAH
base=localhost/debian:12-slim
image=localhost/weft:dev

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

$BUILDAH inspect --type image "$base" >/dev/null 2>&1 || "$top/deploy/container/make-base.sh" "$base"
$BUILDAH bud --isolation chroot --pull-never --layers=false --build-arg "BASE=$base" \
    --ignorefile "$top/deploy/container/Containerfile.containerignore" \
    -f "$top/deploy/container/Containerfile" -t "$image" "$top"

user=$($BUILDAH inspect --type image --format '{{.OCIv1.Config.User}}' "$image")
[ "$user" = 10001:10001 ] || fail "the image's user is '$user'"
container=$($BUILDAH from --pull-never "$image")
trap '$BUILDAH rm "$container" >/dev/null' EXIT INT TERM
rm -rf "$work/volume"
install -d -o 10001 -g 10001 "$work/volume"
in_image() {
    $BUILDAH run --isolation chroot -v "$work/volume:/var/lib/weft" "$container" -- "$@"
}

in_image sh -c 'ldd /usr/bin/weft* | grep "not found"' && fail "libraries are missing"
in_image sh -c 'command -v cc gcc cmake' && fail "the compiler is in the image"
in_image sh -c 'touch /usr/x 2>/dev/null' && fail "the user may write to the image"
in_image weft --version
in_image weft synth --users 300 --items 200 --types 2 --interactions 6000 --seed 1 --out /var/lib/weft/data
printf '%s\n' 'work_dir: /var/lib/weft/work' 'features: {encoder: hash}' 'hgnn: {max_steps: 20}' \
    'two_tower: {max_steps: 20}' 'validate: {every: 10}' >"$work/volume/job.yaml"
in_image weft train -c /var/lib/weft/job.yaml --data /var/lib/weft/data --workers 2 --servers 2 --out /var/lib/weft/out
[ -f "$work/volume/out/run.json" ] || fail "no results"
owner=$(stat -c %u "$work/volume/out/run.json")
[ "$owner" = 10001 ] || fail "the results belong to $owner"
echo "the image builds and trains"
