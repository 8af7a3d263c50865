#!/bin/sh
# make-pages.sh - writes a (gzipped) manual page for each command, from what its --help says.
#
#     deploy/man/make-pages.sh BIN OUT       BIN: folder of the binaries; OUT: where man1 is
#
# NAME.roff beside this script follows the options of NAME's page, common.roff those of every page.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
bin=$1 out=$2
mkdir -p "$out"
version=$("$bin/weft" -V | sed -n 1p)

commands=$("$bin/weft" --help | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p')

# page NAME WHAT COMMAND...: NAME.1; WHAT: the line behind the name
about=
page() {
    name=$1 what=$2
    shift 2
    {
        "$@" --help | awk -v name="$name" -v version="$version" -v what="$what" -v about="$about" -f "$here/page.awk"
        [ ! -f "$here/$name.roff" ] || cat "$here/$name.roff"
        cat "$here/common.roff"
    } | gzip -9n >"$out/$name.1.gz.part"
    mv "$out/$name.1.gz.part" "$out/$name.1.gz"
}

for command in $commands; do
    what=$("$bin/weft" --help | sed -n "s/^  $command  *//p")
    page "weft-$command" "$what" "$bin/weft" "$command"
done
about="weft trains item embeddings by link prediction on a graph of items, and a two-tower model of users and items on top: \
on one machine, or on many whose processes come, go and die, with the same result."
page weft "train recommendations on a cluster of ordinary machines" "$bin/weft"
about=
page weft-scheduler "the control plane of one job" "$bin/weft-scheduler"
page weft-ps "a parameter server of a job" "$bin/weft-ps"
page weft-sampler "serves partitions of a prepared graph" "$bin/weft-sampler"
page weft-worker "computes gradients for a job" "$bin/weft-worker"
