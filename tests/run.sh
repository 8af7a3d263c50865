#!/bin/bash
# Runs the tests: dev and asan whole, tsan the unit and integration tests, release the bits tests,
# fuzz each fuzz target for 30 s, six at a time (longer, and one by one: tests/fuzz.sh).
#
#     tests/run.sh [PRESET ...]        default: dev asan tsan release fuzz
#
# Installs what it needs.  Ends with "N passed, N failed, N skipped" over all presets.
set -u
cd "$(dirname "$0")/.." || exit 1
[ $# -gt 0 ] || set -- dev asan tsan release fuzz
needs=--tests
[[ " $* " = *" fuzz "* ]] && needs=--fuzz
deploy/install-packages.sh $needs || exit 1
if command -v npm >/dev/null 2>&1; then
    deploy/get-encoder.sh || echo "the encoder's weights could not be had: its tests skip"
fi
passed=0 failed=0 skipped=0
for preset in "$@"; do
    echo "== $preset"
    log=$(mktemp)
    jobs=3 # tests of clusters wait more than they compute
    [ "$preset" = fuzz ] && jobs=6 # their time is fixed, however many share the machine
    if ! { cmake --preset "$preset" && cmake --build --preset "$preset"; } >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "$preset: the build failed"
        failed=$((failed + 1))
        rm -f "$log"
        continue
    fi
    ctest --preset "$preset" -j"$jobs" 2>&1 | tee "$log" | grep -vE '^ *Start +[0-9]+|Passed +[0-9.]+ sec$|^$'
    p=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+:.* Passed ' "$log")
    s=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+:.*\*\*\*Skipped' "$log")
    f=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+:.*\*\*\*' "$log")
    rm -f "$log"
    f=$((f - s))
    if [ "$p" = 0 ]; then
        echo "$preset: no test passed"
        f=$((f + 1))
    fi
    echo "$preset: $p passed, $f failed, $s skipped"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
