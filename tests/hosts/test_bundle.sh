#!/bin/bash
# Proves: `weft bundle` of a running job with keys and a token holds what helps - status, logs, the
# configuration in force - and not a byte of a secret, even where one has got into a log.
#
#     tests/hosts/test_bundle.sh BUILD
set -eu
bin=$1/bin
folder=$(mktemp -d /tmp/weft-bundle-XXXXXX)
job=
finish() {
    [ -z "$job" ] || kill "$job" 2>/dev/null || true
    wait
    rm -rf "$folder"
}
trap finish EXIT
cd "$folder"
fail() {
    echo "FAILED: $*"
    exit 1
}

"$bin/weft" synth --users 60 --items 40 --types 2 --interactions 900 --seed 3 --out data >/dev/null
"$bin/weft" keygen --out keys >/dev/null
printf 'a-token-of-the-operator-1234\n' >token
printf 'sk-api-key-of-an-encoder-5678 \t\n' >api-key # blanks at its end are not the key's
chmod 600 token api-key
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >job.yaml <<END
job: secret work
work_dir: work
data: {items: {path: data/items.tsv}, interactions: {path: data/interactions.tsv}, order: none}
features: {encoder: hash, openai: {key_file: api-key}}
hgnn: {dims: [8, 8], batch: 32, max_steps: 100000, epochs: 100000, patience: 100000}
validate: {every: 100000}
cluster: {scheduler: "tcp://127.0.0.1:$port"}
security: {keys: keys}
http: {token_file: token}
END
timeout 120 "$bin/weft" train -c job.yaml >train.out 2>&1 &
job=$!
for _ in $(seq 600); do
    "$bin/weft" status -c job.yaml --json 2>/dev/null | grep -q '"state": *"RUNNING"' && break
    kill -0 $job || { cat train.out; fail "weft train ended"; }
    sleep 0.1
done

# What should never be there.
secret=$(sed -n 's/^secret //p' keys/worker.key)
{
    echo "it said $secret and Authorization: Bearer some-bearer-token-abc to http://me:pass-word@host/"
    cat token
} >>work/logs/worker-0.log

"$bin/weft" bundle -c job.yaml --out bundle.tar.gz --json >said || fail "weft bundle ends with $?"
tar -xzf bundle.tar.gz
python3 - <<'END'
import gzip, json, os, re, stat
said = json.load(open("said"))
assert said["running"] and said["masked"] >= 4 and said["unread_secrets"] == 0, said
assert stat.S_IMODE(os.stat("bundle.tar.gz").st_mode) == 0o600
secrets = [b"a-token-of-the-operator-1234", b"sk-api-key-of-an-encoder-5678", b"some-bearer-token-abc", b"pass-word"]
for name in os.listdir("keys"):
    if name.endswith(".key"):
        secrets.append(re.search(rb"secret (.*)\n", open("keys/" + name, "rb").read()).group(1))
assert len(secrets) == 9
data = gzip.open("bundle.tar.gz").read()
for secret in secrets:
    assert len(secret) >= 8 and secret not in data, secret
names = {os.path.relpath(os.path.join(d, f), "weft-bundle") for d, _, files in os.walk("weft-bundle") for f in files}
wanted = {"CONTENTS.txt", "machine.txt", "config.yaml", "status.json", "metrics.txt", "files.txt", "run/steps.jsonl",
          "run/config.yaml", "logs/scheduler-0.log", "logs/ps-0.log", "logs/sampler-0.log", "logs/worker-0.log"}
assert wanted <= names, wanted - names
assert not [n for n in names if "token" in n or n.endswith((".key", ".npy", ".mdb"))], names
status = json.load(open("weft-bundle/status.json"))
assert status["job"] == "secret work" and status["stage"] == "hgnn", status
assert "it said ****" in open("weft-bundle/logs/worker-0.log").read()
assert "keys: " in open("weft-bundle/config.yaml").read()  # where they are may be said
contents = open("weft-bundle/CONTENTS.txt").read()
for name in wanted - {"CONTENTS.txt"}:
    assert name in contents, name
END

# Without the job, and where there is nothing at all.
"$bin/weft" stop -c job.yaml >/dev/null 2>&1 || fail "weft stop"
wait $job || true
job=
"$bin/weft" bundle -c job.yaml >said 2>&1 || fail "without the job: $(cat said)"
grep -q 'the job does not run' said || fail "without the job: $(cat said)"
tar -xzOf weft-bundle-secret_work-2*Z.tar.gz weft-bundle/status.json | grep -q '"stopped_by": "weft stop"' ||
    fail "the bundle of a stopped job does not say how it ended"
rm -rf work
"$bin/weft" bundle -c job.yaml --out empty.tar.gz >said 2>&1 || fail "without work_dir: $(cat said)"
tar -tzf empty.tar.gz | grep -q weft-bundle/config.yaml || fail "an empty bundle has no config.yaml"
code=0
"$bin/weft" bundle -c job.yaml --out none/x.tar.gz >said 2>&1 || code=$?
[ $code = 1 ] && grep -q 'none/x.tar.gz: cannot write' said || fail "a folder that is not there: $code, $(cat said)"
echo "no secret in it"
