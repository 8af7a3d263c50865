#!/usr/bin/env python3
"""Trains on several hosts, cuts and spoils the network between them, and compares the bytes.

    tests/network/network.py --bin DIR --work DIR [--steps N] [--blows N] [--seed N] [--cases A,B]

Every role is started by itself on a host of its own: a network namespace with one Ethernet device,
plugged into a switch that this program is (switch.py).  tcp, with CURVE keys of `weft keygen`.
Cases, each a training of its own:

    calm        nothing is done to it
    partition   hosts are cut off from all others for a while, one after the other
    one_way     they are not heard, or do not hear
    slow        every frame is late by chance, so that frames overtake each other; some are lost, some
                come twice
    move        servers, samplers and workers are killed, and come back on another host
    all         all of that, in turn

Ends with 0 only if every file of the result but run.json has the bytes of an undisturbed
`weft train --in-process`, every process has ended by itself with 0, and after each blow the job went
on.  Needs root, namespaces and /dev/net/tun; ends with 77 where they are not to be had.
"""
import argparse
import filecmp
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
from switch import Host, Link, Switch, can_have_hosts

GO_ON_S = 90  # within which the job must commit again once a blow is over
END_S = 120
PORT = 7700
ROLES = [("scheduler", 0), ("ps", 0), ("ps", 1), ("sampler", 0), ("worker", 0), ("worker", 1)]
CASES = ["calm", "partition", "one_way", "slow", "move", "all"]
SPOILT = Link(delay_s=0.002, jitter_s=0.01, loss=0.01, repeats=0.01)


def config_text(options, work, scheduler):
    data = os.path.join(options.work, "data")
    return f"""job: network
work_dir: {work}
data:
  items: {{path: {data}/items.tsv}}
  interactions: {{path: {data}/interactions.tsv}}
  users: {{path: {data}/users.tsv}}
features: {{encoder: hash, ngram_dim: 32}}
hgnn: {{dims: [32, 16], batch: 64, max_steps: {options.steps}, epochs: 10000}}
two_tower: {{dims: [32, 16], batch: 128, max_steps: {options.steps}, epochs: 10000}}
validate: {{every: {max(5, options.steps // 4)}}}
checkpoint: {{every: 1s}}
evaluate: {{baselines: [popularity, two_tower_no_z], bootstrap: 100}}
cluster: {{scheduler: "{scheduler}", servers: 2, samplers: 1, workers: 2}}
"""


def tail(path, lines=25):
    try:
        with open(path, errors="replace") as f:
            return "".join(f.readlines()[-lines:])
    except OSError:
        return ""


class Failure(Exception):
    pass


class Cluster:
    """The processes of one training, each on its host."""

    def __init__(self, options, name, hosts):
        self.options, self.hosts = options, hosts
        self.work = os.path.join(options.work, name)
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(os.path.join(self.work, "logs"))
        self.config = os.path.join(self.work, "network.yaml")
        self.address = f"tcp://{hosts[0].address}:{PORT}"
        with open(self.config, "w") as f:
            f.write(config_text(options, self.work, self.address))
            f.write(f"security: {{keys: {os.path.join(options.work, 'keys')}}}\n")
        self.process = {}
        self.place = dict(zip(ROLES, hosts))

    def log(self, role):
        return os.path.join(self.work, "logs", f"{role[0]}-{role[1]}.log")

    def start(self, role):
        words = [os.path.join(self.options.bin, "weft-" + role[0])]
        if role[0] == "worker":
            words += ["--scheduler", self.address, "--keys", os.path.join(self.options.work, "keys")]
        else:
            words += ["-c", self.config]
        if role[0] in ("ps", "sampler"):
            words += ["--index", str(role[1])]
        with open(self.log(role), "ab") as log:
            self.process[role] = self.place[role].start(words, log)

    def steps(self):
        """How much was committed: lines, of which a rollback takes some away."""
        try:
            with open(os.path.join(self.work, "run", "steps.jsonl")) as f:
                return [line for line in f if line.endswith("\n")]
        except OSError:
            return []

    def is_over(self):
        return self.process[ROLES[0]].poll() is not None

    def check_lives(self):
        for role, process in self.process.items():
            if process.poll() not in (None, 0):
                raise Failure(f"{role[0]}-{role[1]} ended with {process.returncode}:\n" +
                              tail(self.log(role)))

    def wait_to_go_on(self, what):
        """Seconds until something is committed."""
        before, start = self.steps(), time.monotonic()
        while not self.is_over() and self.steps()[-1:] == before[-1:]:
            self.check_lives()
            if time.monotonic() > start + GO_ON_S:
                logs = "\n".join(f"--- {r[0]}-{r[1]}\n{tail(self.log(r), 8)}" for r in ROLES)
                raise Failure(f"{what}: nothing was committed for {GO_ON_S} s\n{logs}")
            time.sleep(0.05)
        return time.monotonic() - start

    def wait_to_end(self):
        end = time.monotonic() + END_S + GO_ON_S
        while any(p.poll() is None for p in self.process.values()):
            self.check_lives()
            if time.monotonic() > end:
                left = [f"{r[0]}-{r[1]}" for r, p in self.process.items() if p.poll() is None]
                raise Failure(f"still there: {', '.join(left)}\n" + tail(self.log(ROLES[0])))
            time.sleep(0.05)
        self.check_lives()

    def kill(self):
        for process in self.process.values():
            if process.poll() is None:
                process.kill()
            process.wait()


class Blows:
    """What is done to a cluster."""

    def __init__(self, options, switch, cluster, spare):
        self.options, self.switch, self.cluster, self.spare = options, switch, cluster, spare
        self.random = random.Random(options.seed)
        self.turn = {}

    def next(self, what, choices):
        self.turn[what] = self.turn.get(what, -1) + 1
        return choices[self.turn[what] % len(choices)]

    def length(self):
        return self.random.uniform(self.options.shortest, self.options.longest)

    def cut(self, role, hears, is_heard):
        host, took = self.cluster.place[role], self.length()
        for other in self.cluster.hosts:
            if other is host:
                continue
            if not hears:
                self.switch.cut(other, host)
            if not is_heard:
                self.switch.cut(host, other)
        time.sleep(took)
        self.switch.heal()
        how = "deaf" if is_heard else "mute" if hears else "cut off"
        return f"{role[0]}-{role[1]} was {how} for {took:.1f} s"

    def partition(self):
        role = self.next("partition", [ROLES[1], ROLES[0], ROLES[4], ROLES[3]])
        return self.cut(role, hears=False, is_heard=False)

    def one_way(self):
        role = self.next("one_way", [ROLES[5], ROLES[2], ROLES[0], ROLES[3], ROLES[1]])
        deaf = self.next("deaf", [True, False])
        return self.cut(role, hears=not deaf, is_heard=deaf)

    def slow(self):
        took = self.length()
        self.switch.link = SPOILT
        time.sleep(took)
        if self.options.case == "all":
            self.switch.link = Link()
        return f"for {took:.1f} s frames were late, lost, or came twice"

    def move(self):
        role = self.next("move", [ROLES[2], ROLES[4], ROLES[3], ROLES[1]])
        process = self.cluster.process[role]
        if process.poll() is not None:
            return "nothing: it has ended"
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.spare, self.cluster.place[role] = self.cluster.place[role], self.spare
        self.cluster.start(role)
        return f"{role[0]}-{role[1]} was killed, and came back on another host"

    def all(self):
        return self.next("all", [self.partition, self.one_way, self.move, self.slow])()

    def strike(self):
        return getattr(self, self.options.case)()


def compare(a, b):
    names = sorted(set(os.listdir(a)) | set(os.listdir(b)))
    return [n for n in names if n != "run.json" and not (
        os.path.exists(os.path.join(a, n)) and os.path.exists(os.path.join(b, n)) and
        filecmp.cmp(os.path.join(a, n), os.path.join(b, n), shallow=False))]


def left_over():
    """Processes of this namespace: there should be nobody but us."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        if int(pid) != os.getpid() and words:
            found.append(words)
    return found


def weft(options, *words):
    done = subprocess.run([os.path.join(options.bin, "weft"), *words], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, timeout=600, check=False)
    if done.returncode != 0:
        raise Failure(f"weft {' '.join(words)}: {done.returncode}\n" +
                      done.stderr.decode(errors="replace")[-2000:])


def train_undisturbed(options):
    for name in ("data", "keys", "one"):
        shutil.rmtree(os.path.join(options.work, name), ignore_errors=True)
    weft(options, "synth", "--users", "200", "--items", "200", "--types", "2", "--interactions",
         "6000", "--seed", "1", "--out", os.path.join(options.work, "data"))
    weft(options, "keygen", "--out", os.path.join(options.work, "keys"))
    config = os.path.join(options.work, "one.yaml")
    with open(config, "w") as f:
        f.write(config_text(options, os.path.join(options.work, "one"), ""))
    weft(options, "train", "-c", config, "--in-process")


def run_case(options, switch, hosts):
    cluster = Cluster(options, options.case, hosts)
    blows = Blows(options, switch, cluster, hosts[len(ROLES)])
    weft(options, "prepare", "-c", cluster.config)
    start = time.monotonic()
    try:
        for role in ROLES:
            cluster.start(role)
        cluster.wait_to_go_on("the start")
        struck = 0
        while options.case != "calm" and struck < options.blows and not cluster.is_over():
            what = blows.strike()
            struck += 1
            took = cluster.wait_to_go_on(what)
            print(f"{options.case}: {what}; {took:.1f} s later it went on", flush=True)
        if options.case != "calm" and struck < options.blows:
            raise Failure(f"it ended after {struck} of {options.blows} blows: give it more --steps")
        cluster.wait_to_end()
    finally:
        cluster.kill()
        switch.heal()
        switch.link = Link()
    print(f"{options.case}: trained in {time.monotonic() - start:.1f} s", flush=True)
    # What is left to do is to evaluate and to export, which needs no network.
    weft(options, "train", "-c", cluster.config, "--set", "cluster.scheduler=", "--set",
         "security.keys=")
    other = compare(os.path.join(options.work, "one", "out"), os.path.join(cluster.work, "out"))
    if other:
        raise Failure(f"{options.case}: other bytes: {other}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--blows", type=int, default=6, help="a case")
    parser.add_argument("--longest", type=float, default=12, help="seconds of a blow")
    parser.add_argument("--shortest", type=float, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cases", default=",".join(CASES))
    options = parser.parse_args()
    if not can_have_hosts():
        print("skipped: needs root, namespaces and /dev/net/tun")
        sys.exit(77)
    options.bin, options.work = os.path.abspath(options.bin), os.path.abspath(options.work)
    os.makedirs(options.work, exist_ok=True)
    with Switch(random.Random(options.seed)) as switch:
        hosts = [Host(switch, n) for n in range(len(ROLES) + 1)]
        try:
            train_undisturbed(options)
            for options.case in options.cases.split(","):
                run_case(options, switch, hosts)
        except Failure as e:
            sys.exit(str(e))
    if left_over():
        sys.exit(f"left running: {left_over()}")
    print("every file of every result has the same bytes, and no process is left")


if __name__ == "__main__":
    main()
