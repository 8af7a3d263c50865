#!/bin/bash
# Proves: deploy/slurm/weft.sbatch, given to a real slurmctld with three slurmd on this machine, trains as
# a heterogeneous job, is queued again in the middle of it after a checkpoint, goes on from there, and
# ends with the bytes of an undisturbed run.
#
#     tests/hosts/test_slurm.sh BUILD
set -eu
build=$1
source=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
[ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 77; }
export PATH=$build/bin:$PATH:/usr/sbin
for tool in slurmctld slurmd sbatch munged; do
    command -v $tool >/dev/null || { echo "skipped: $tool is not installed (slurmctld slurmd slurm-client munge)"; exit 77; }
done
folder=$(mktemp -d /tmp/weft-slurm-XXXXXX)
chmod 755 "$folder"
pids=()
# Every process that has our folder in its words or its environment, or a file in it open.
ours() {
    {
        grep -ls -- "$folder" /proc/[0-9]*/cmdline /proc/[0-9]*/environ
        find /proc/[0-9]*/fd -lname "$folder/*" 2>/dev/null
    } | sed -E 's|^/proc/([0-9]+)/.*|\1|' | grep -vx $$ | sort -u || true
}
finish() {
    [ -z "${job:-}" ] || scancel "$job" 2>/dev/null || true
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    sleep 1
    for pid in $(ours); do kill -9 "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' TERM INT
show() {
    tail -n 60 "$folder"/job/*.log "$folder"/*.log "$folder"/job/work/logs/*.log 2>/dev/null || true
}
fail() {
    show
    echo "FAILED: $*"
    exit 1
}
skip() {
    show
    echo "skipped: $*"
    exit 77
}

# ---- Slurm, with everything of it in one folder ----
host=$(hostname -s)
port=$((30000 + $$ % 20000))
mkdir -p "$folder/state" "$folder/job" "$folder/munge"
chmod 700 "$folder/munge"
dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 status=none
chmod 400 "$folder/munge/key"
cat >"$folder/slurm.conf" <<END
ClusterName=weft
FirstJobId=$((1 + $$ % 9000))
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CryptoType=crypto/munge
StateSaveLocation=$folder/state
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.%n.pid
SlurmdSpoolDir=$folder/slurmd.%n
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,bf_resolution=1,sched_interval=1
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
JobRequeue=1
KillWait=10
NodeName=n[1-3] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 3))] CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
export SLURM_CONF=$folder/slurm.conf
munged --foreground --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" \
    --pid-file="$folder/munge/pid" --log-file="$folder/munged.log" --seed-file="$folder/munge/seed" >"$folder/munged.log" 2>&1 &
pids+=($!)
for _ in $(seq 50); do [ -S "$folder/munge/socket" ] && break; sleep 0.1; done
[ -S "$folder/munge/socket" ] || skip "munged does not start"
slurmctld -D >"$folder/ctld.out.log" 2>&1 &
pids+=($!)
for node in n1 n2 n3; do
    mkdir -p "$folder/slurmd.$node"
    slurmd -N $node -D >"$folder/$node.out.log" 2>&1 &
    pids+=($!)
done
for _ in $(seq 200); do
    [ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = 3 ] && break
    sleep 0.1
done
[ "$(sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = 3 ] || skip "slurmctld and slurmd do not start here"

# ---- The job ----
cd "$folder/job"
weft synth --users 120 --items 90 --types 3 --interactions 2500 --seed 3 --out data >/dev/null
cat >job.yaml <<'END'
job: slurm
work_dir: work
seed: 7
data:
  items: {path: data/items.tsv}
  interactions: {path: data/interactions.tsv}
  users: {path: data/users.tsv}
features: {encoder: hash, ngram_dim: 32}
graph: {partitions: 5}
hgnn: {dims: [16, 12], fanout: [4, 3], fanout_total: 10, random_features: 8, negatives: 20, batch: 24, max_steps: 600,
  epochs: 5000, patience: 0, balance_floor: 100, optimizer: {warmup_steps: 3}}
two_tower: {dims: [24, 16], item_id: 8, type_embedding: 4, attribute_embedding: 4, uniform_negatives: 24, batch: 32,
  max_steps: 12, epochs: 9, optimizer: {warmup_steps: 3}}
train: {microbatches_per_step: 3, chunks_per_slot: 2}
validate: {every: 200}
evaluate: {baselines: [popularity, two_tower_no_z], bootstrap: 100}
checkpoint: {every: 0}
END
weft train -c job.yaml --in-process --set work_dir=alone >alone.log 2>&1 || fail "the undisturbed run"

# The script as it is, with smaller components.
sed -e 's/^#SBATCH --ntasks=2 .*/#SBATCH --ntasks=2 --cpus-per-task=1 --mem=500M/' \
    -e 's/^#SBATCH --ntasks=8 .*/#SBATCH --ntasks=2 --cpus-per-task=2 --mem=500M/' "$source/deploy/slurm/weft.sbatch" >weft.sbatch
job=$(sbatch --parsable weft.sbatch job.yaml --set cluster.virtual_shards=16 2>"$folder/sbatch.log") || fail "sbatch"
job=${job%%;*}
steps() {
    grep -c '"stage":"hgnn"' work/run/steps.jsonl 2>/dev/null || true
}
state() {
    squeue -h -j "$job" -o %T 2>/dev/null | head -n 1
}
for _ in $(seq 900); do
    [ "$(steps)" -ge 8 ] 2>/dev/null && break
    [ -n "$(state)" ] || fail "the job ended before it trained"
    sleep 0.1
done
[ "$(steps)" -ge 8 ] || fail "it does not train"
# What Slurm sends before the time is over.
scancel --batch --signal=USR1 "$job"
for _ in $(seq 600); do
    grep -q 'a checkpoint, then requeue' weft-"$job".log && ! [ "$(state)" = RUNNING ] && break
    sleep 0.1
done
ls work/checkpoints/*/manifest.json >/dev/null 2>&1 || fail "no checkpoint was made"
at=$(steps)
[ "$at" -lt 600 ] || fail "the stage was over before it was asked to stop"
# Slurm would hold it back for a minute and a half.  In the second it was stopped in it may not start, and
# what the backfill has once looked at keeps its time: held, it is not looked at.
for _ in $(seq 100); do
    [ "$(squeue -h -j "$job" -o %T | sort -u)" = PENDING ] && break
    sleep 0.1
done
scontrol hold "$job" || true
sleep 1.5
for component in 0 1; do scontrol update JobId="$job+$component" StartTime=now || true; done
scontrol release "$job" || true
for _ in $(seq 1500); do
    [ -n "$(state)" ] || break
    sleep 0.1
done
[ -z "$(state)" ] || fail "the job does not end: $(state)"
grep -q 'start 2: 2 servers and samplers, 2 workers' weft-"$job".log || fail "it was not started a second time"
[ -s work/out/run.json ] || fail "no result"

# The same bytes, and nothing done twice from the start.
for file in alone/out/*; do
    name=$(basename "$file")
    [ "$name" = run.json ] || cmp "$file" "work/out/$name" || fail "$name differs from the undisturbed run's"
done
[ "$(grep -c '"stage":"hgnn","epoch":1,"step":1,' work/run/steps.jsonl)" = 1 ] || fail "it began from the start again"
job=
echo "requeued after $at of 600 steps; the same bytes"
