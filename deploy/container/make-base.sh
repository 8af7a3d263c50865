#!/bin/sh
# make-base.sh - a minimal Debian 12 as a local image, of Debian's packages alone: for machines that reach no image
# registry.  Needs mmdebstrap and buildah.
#
#     deploy/container/make-base.sh [IMAGE]        default: localhost/debian:12-slim
#
# Options of buildah for where images are go into BUILDAH, e.g. BUILDAH='buildah --root DIR --storage-driver vfs'.
set -eu
image=${1:-localhost/debian:12-slim}
buildah=${BUILDAH:-buildah}
work=$(mktemp -d "${TMPDIR:-/tmp}/make-base.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

# What an image does not need is left out, as the official slim image does.
mmdebstrap --quiet --variant=minbase \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=ca-certificates bookworm "$work/base.tar" \
    'deb http://deb.debian.org/debian bookworm main' \
    'deb http://deb.debian.org/debian bookworm-updates main' \
    'deb http://deb.debian.org/debian-security bookworm-security main'
container=$($buildah from scratch)
$buildah add --quiet "$container" "$work/base.tar" / >/dev/null
$buildah config --cmd '["bash"]' --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
$buildah commit --quiet "$container" "$image" >/dev/null
$buildah rm "$container" >/dev/null
echo "$image is there"
