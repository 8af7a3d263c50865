#!/bin/bash
# Proves: the Debian package is built, names the libraries it needs, is installed by dpkg into a root of
# its own, runs from there, and leaves nothing when it is removed.
#
#     tests/hosts/test_deb.sh BUILD
set -eu
build=$1
[ "$(id -u)" = 0 ] || { echo "skipped: dpkg installs for root only"; exit 77; }
command -v dpkg-shlibdeps >/dev/null || { echo "skipped: dpkg-shlibdeps is not installed (dpkg-dev)"; exit 77; }
folder=$(mktemp -d /tmp/weft-deb-XXXXXX)
trap 'rm -rf "$folder"' EXIT
fail() {
    echo "FAILED: $*"
    exit 1
}
(cd "$build" && cpack -G DEB -B "$folder/made") >"$folder/log" 2>&1 || { cat "$folder/log"; fail "cpack"; }
deb=$(ls "$folder"/made/weft_*.deb)

depends=$(dpkg-deb -f "$deb" Depends)
for library in libzmq5 libopenblas0-pthread liblmdb0 libmicrohttpd12 libyaml-0-2 libprotobuf-c1 libjansson4 libcurl4 \
    libutf8proc2 zlib1g libc6 adduser; do
    grep -qE "(^|, )$library( |,|\$)" <<<"$depends" || fail "it does not depend on $library: $depends"
done

# A root that knows what this machine has of them, so that dependencies are checked for real.
root=$folder/root
mkdir -p "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/triggers"
for package in $(sed 's/([^)]*)//g; s/,//g' <<<"$depends"); do
    if [ "$package" = libopenblas0 ]; then # stands for any variant, which the one of the build is
        dpkg-query -s libopenblas0-pthread | sed 's/^Package: .*/Package: libopenblas0/; /^Provides:/d'
    else
        dpkg-query -s "$package" || fail "$package is not installed here"
    fi
    echo
done >"$root/var/lib/dpkg/status"
dpkg_in_root() {
    dpkg --root="$root" --force-script-chrootless --log=/dev/null "$@" >"$folder/log" 2>&1
}
dpkg_in_root -i "$deb" || { grep -v "files list" "$folder/log"; fail "dpkg -i"; }
[ "$(dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Status}' weft)" = "install ok installed" ] || fail "not installed"
[ -d "$root/etc/weft" ] || fail "/etc/weft was not made"
grep -q '^ExecStart=/usr/bin/weft-ps ' "$root/usr/lib/systemd/system/weft-ps@.service" || fail "the unit names another folder"
"$root/usr/bin/weft" --version | grep -q '^numerics' || fail "weft --version"
"$root/usr/bin/weft" config -c "$root/usr/share/weft/configs/quickstart.yaml" >/dev/null || fail "weft config"
if file "$root/usr/bin/weft" 2>/dev/null | grep -q 'not stripped'; then fail "it is not stripped"; fi

dpkg_in_root -r weft || { grep -v "files list" "$folder/log"; fail "dpkg -r"; }
left=$(cd "$root" && find usr etc -mindepth 1 2>/dev/null | grep weft || true)
[ -z "$left" ] || fail "left behind: $left"

# Without a library it is refused.
sed -i 's/^Package: libzmq5$/Package: not-libzmq5/' "$root/var/lib/dpkg/status"
if dpkg_in_root -i "$deb"; then fail "it was installed without libzmq5"; fi
grep -q 'depends on libzmq5' "$folder/log" || { cat "$folder/log"; fail "it does not say that libzmq5 is missing"; }
echo "built, installed, run and removed"
