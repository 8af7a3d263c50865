#!/bin/bash
# Proves: what `cmake --install` writes is whole and works from there: the programs, units that systemd
# accepts without a word, manual pages without a warning, and a completion that a real bash loads.
#
#     tests/hosts/test_install.sh BUILD
set -u
build=$1
folder=$(mktemp -d /tmp/weft-install-XXXXXX)
trap 'rm -rf "$folder"' EXIT
failures=0
fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}
# expect WHAT PATTERN TEXT
expect() {
    grep -qE -- "$2" <<<"$3" || fail "$1: no match of \"$2\" in: $3"
}

cmake --install "$build" --prefix "$folder/usr" >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
bin=$folder/usr/bin

# ---- Of a build of the programs alone, as deploy/quickstart.sh makes it; in a folder with a space ----
source=$(dirname -- "$0")/../..
cmake -S "$source" -B "$folder/the programs" -G Ninja >"$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
mkdir -p "$folder/the programs/bin"
cp "$build"/bin/* "$folder/the programs/bin"
cmake --install "$folder/the programs" --prefix "$folder/alone" >"$folder/log" 2>&1 ||
    { cat "$folder/log"; fail "cmake --install of the programs alone"; }
said=$(cd "$folder/alone" 2>/dev/null && find . -type f -o -type l | sort)
wanted=$(cd "$folder/usr" && find . -type f -o -type l | sort)
[ "$said" = "$wanted" ] || fail "the programs alone install other files: $(diff <(echo "$wanted") <(echo "$said"))"
expect "changelog.gz" '^weft \([0-9.]+\)' "$(zcat "$folder/usr/share/doc/weft/changelog.gz")"
rm -rf "$folder/alone" "$folder/the programs"

# ---- Programs ----
for program in weft weft-scheduler weft-ps weft-sampler weft-worker; do
    said=$("$bin/$program" --version) || fail "$program --version ends with $?"
    for line in '^weft [0-9.]+$' '^commit +([0-9a-f]{12}(-dirty)?|unknown)$' '^features +curve' \
        '^numerics +openblas-[0-9.]+/(HASWELL|NEHALEM) glibc-[0-9.]+ weft-[0-9a-f]{16}$'; do
        expect "$program --version" "$line" "$said"
    done
done
said=$("$bin/weft" train --version --json) || fail "weft train --version --json ends with $?"
python3 -c 'import json, sys; v = json.loads(sys.argv[1]); assert {"weft", "commit", "numerics", "features"} <= set(v)' \
    "$said" || fail "--version --json: $said"
expect "installed configurations" 'seed: 1' "$("$bin/weft" config -c "$folder/usr/share/weft/configs/quickstart.yaml")"

# ---- Units ----
units=$folder/usr/lib/systemd/system
names=$(ls "$units")
for name in weft-scheduler.service weft-ps@.service weft-sampler@.service weft-worker@.service weft.target; do
    expect "installed units" "^$name\$" "$names"
done
if command -v systemd-analyze >/dev/null; then
    # Another name for `man`: its page is looked for, too.
    for unit in "$units"/*; do
        instance=${unit/@./@0.}
        said=$(MANPATH=$folder/usr/share/man SYSTEMD_UNIT_PATH="$units:" systemd-analyze verify "$(basename "$instance")" 2>&1)
        [ -z "$said" ] || fail "systemd-analyze verify $(basename "$unit"): $said"
    done
    for unit in "$units"/*.service; do
        said=$(systemd-analyze security --offline=true --threshold=20 "$unit" 2>&1 | tail -n 1)
        expect "systemd-analyze security $(basename "$unit")" 'OK' "$said"
    done
else
    echo "left out: systemd-analyze is not installed"
fi

# ---- Manual pages ----
for command in '' $("$bin/weft" --help | sed -n 's/^  \([a-z]*\)  *[A-Z].*/-\1/p') -scheduler -ps -sampler -worker; do
    page=$folder/usr/share/man/man1/weft$command.1.gz
    [ -s "$page" ] || { fail "weft$command has no manual page"; continue; }
    command -v man >/dev/null || continue
    said=$(LC_ALL=C.UTF-8 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
    [ -z "$said" ] || fail "$page: $said"
done
page=$(zcat "$folder/usr/share/man/man1/weft-train.1.gz" | tr -d '\\')
expect "weft-train.1" '^.B -f, --fresh$' "$page"
command -v man >/dev/null || echo "left out: man is not installed"

# ---- Completion ----
# complete WORD ...: what bash offers for the last word
complete_in_bash() {
    env -i PATH="$bin:/usr/bin:/bin" HOME="$folder" bash --norc -c '
        completion=$1
        shift
        . "$completion"
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _weft
        printf "%s\n" "${COMPREPLY[@]}"' bash "$folder/usr/share/bash-completion/completions/weft" "$@" 2>&1
}
said=$(complete_in_bash weft '')
expect "commands" '^checkpoint$' "$said"
expect "commands" '^--version$' "$said"
said=$(complete_in_bash weft tr)
[ "$said" = train ] || fail "\"weft tr\" is completed by: $said"
said=$(complete_in_bash weft train --fre)
[ "$said" = --fresh ] || fail "\"weft train --fre\" is completed by: $said"
expect "options with a value" '^--out=$' "$(complete_in_bash weft train --o)"
expect "options of a role" '^--index=$' "$(complete_in_bash weft-ps --i)"
expect "words of checkpoint" '^verify$' "$(complete_in_bash weft checkpoint v)"
said=$(complete_in_bash weft train -c "$folder/usr/share/weft/configs/quickstart.yaml" --set hgnn.max)
[ "$said" = hgnn.max_steps= ] || fail "\"--set hgnn.max\" is completed by: $said"
said=$(complete_in_bash weft train -c "$folder/usr/share/weft/configs/quickstart.yaml" --set val)
expect "--set val" '^validate.items=$' "$said"
if grep -q '^value' <<<"$said"; then fail "--set: \"value\" is no key"; fi
expect "a file" 'share/weft/configs/movielens.yaml$' "$(complete_in_bash weft train -c "$folder/usr/share/weft/configs/movi")"
said=$(complete_in_bash weft nonsense --x)
[ -z "$said" ] || fail "nonsense is completed by: $said"

# ---- It runs from there ----
"$bin/weft" synth --users 60 --items 40 --types 2 --interactions 900 --seed 3 --out "$folder/data" >"$folder/log" 2>&1 &&
    timeout 100 "$bin/weft" train -c "$folder/usr/share/weft/configs/quickstart.yaml" --data "$folder/data" \
        --set "work_dir=$folder/work" --set features.encoder=hash --set 'hgnn.dims=[8, 8]' --set 'two_tower.dims=[16, 8]' \
        --set hgnn.max_steps=3 --set two_tower.max_steps=3 >"$folder/log" 2>&1 ||
    { cat "$folder/log"; fail "weft train ends with $?"; }
[ -s "$folder/work/out/report.json" ] || fail "no report"

[ "$failures" = 0 ] && echo "everything is there"
exit $((failures > 0))
