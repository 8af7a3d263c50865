#!/usr/bin/env python3
"""Kills a training in every way and compares what comes out with an undisturbed run, byte by byte.

    tests/chaos/chaos.py --bin DIR --work DIR [--kills N] [--seed N] [--steps N] [--data DIR]
                         [--set KEY=VALUE ...]

Processes of every kind are killed with -9 or paused, workers are scaled 1 -> 4 -> 2 and servers
1 -> 3 -> 2, and now and then the whole job is interrupted, or killed with everything in it, and
started again.  Prints what was done and how long the job took to commit again after each kill of a
server or of the scheduler.  Ends with 0 only if every file of the result but run.json is the same;
with train.mode ssp or asp, which promise no bits, only if the same files are there and every step of
every stage is in metrics.jsonl, once and in order.
"""
import argparse
import filecmp
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request

ROLES = ["worker", "worker", "sampler", "ps", "ps", "scheduler"]


def config_text(work, steps):
    return f"""job: chaos
work_dir: {work}
features: {{encoder: hash, ngram_dim: 64}}
hgnn: {{dims: [32, 32], batch: 128, max_steps: {steps}, epochs: 10000}}
two_tower: {{dims: [64, 32], batch: 256, max_steps: {steps}, epochs: 10000}}
validate: {{every: {max(10, steps // 10)}}}
checkpoint: {{every: 1s}}
evaluate: {{baselines: [popularity, two_tower_no_z], bootstrap: 100}}
"""


class Job:
    def __init__(self, options, name):
        self.bin, self.data = options.bin, options.data
        self.work = os.path.join(options.work, name)
        shutil.rmtree(self.work, ignore_errors=True)  # of an earlier run
        os.makedirs(self.work)
        self.config = os.path.join(self.work, "chaos.yaml")
        with open(self.config, "w") as f:
            f.write(config_text(self.work, options.steps))
        self.process = None
        self.sets = [word for pair in options.set for word in ("--set", pair)]

    def weft(self, *words):
        return [os.path.join(self.bin, "weft"), *words, "-c", self.config, *self.sets]

    def start(self):
        log = open(os.path.join(self.work, "driver.log"), "ab")
        self.process = subprocess.Popen(self.weft("train", "--data", self.data),
                                        stdout=log, stderr=log)

    def status(self):
        try:
            with open(os.path.join(self.work, "run", "url")) as f:
                url = f.read().strip()
            with urllib.request.urlopen(url + "/api/v1/status", timeout=1) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return None

    def command(self, *words):
        subprocess.run(self.weft(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=30, check=False)

    def children(self):
        """pid by name of the processes this driver has started."""
        found = {}
        parent = str(self.process.pid)
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    fields = f.read().rsplit(")", 1)[1].split()
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().decode().split("\0")
            except (OSError, IndexError):
                continue
            if fields[1] != parent or fields[0] == "Z":
                continue
            role = re.search(r"weft-(\w+)$", words[0])
            index = words[words.index("--index") + 1] if "--index" in words else "0"
            if role:
                found[f"{role.group(1)}-{index}"] = int(pid)
        return found


def signal_pid(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


class Chaos:
    def __init__(self, job, options):
        self.job, self.random = job, random.Random(options.seed)
        self.left, self.killed, self.recoveries = options.kills, {}, []
        self.pause_s = 2 * options.every
        self.workers, self.servers = [4, 2, 1, 3, 2], [3, 2, 1, 2]

    def count(self, what):
        self.killed[what] = self.killed.get(what, 0) + 1

    def wait_until_running(self, before):
        start = time.monotonic()
        while self.job.process.poll() is None and time.monotonic() - start < 60:
            status = self.job.status()
            if status and status["state"] in ("RUNNING", "VALIDATING", "DONE") and (
                    status["generation"], status["term"]) != before:
                return time.monotonic() - start
            time.sleep(0.05)
        return None

    def kill(self, status):
        role = self.random.choice(ROLES)
        names = [n for n in self.job.children() if n.startswith(role + "-")]
        if not names:
            return
        name = self.random.choice(sorted(names))
        pid = self.job.children().get(name)
        if not pid:
            return
        signal_pid(pid, signal.SIGKILL)
        self.count(role)
        self.left -= 1
        if role in ("ps", "scheduler") and status:
            took = self.wait_until_running((status["generation"], status["term"]))
            if took is not None:
                self.recoveries.append((took, role))

    def pause(self):
        children = self.job.children()
        names = [n for n in children if not n.startswith("scheduler")]
        if not names:
            return
        pid = children[self.random.choice(sorted(names))]
        signal_pid(pid, signal.SIGSTOP)
        time.sleep(self.random.uniform(0.2, 3))
        signal_pid(pid, signal.SIGCONT)
        self.count("paused")

    def restart(self, number):
        self.job.process.send_signal(number)
        self.job.process.wait(timeout=60)
        self.count("interrupted" if number == signal.SIGINT else "driver killed")
        if number == signal.SIGKILL:
            time.sleep(1.5)  # everybody has heard of it
        self.job.start()

    def scale(self):
        if self.workers:
            self.job.command("scale", "--workers", str(self.workers.pop(0)))
        if self.servers:
            self.job.command("scale", "--servers", str(self.servers.pop(0)))
        self.count("scaled")

    def act(self):
        status = self.job.status()
        if not status or status["stage"] in ("prepare", "evaluate", "export"):
            return
        x = self.random.random()
        if x < 0.80:
            self.kill(status)
        elif x < 0.90:
            self.pause()
        elif x < 0.95 and (self.workers or self.servers):
            self.scale()
        else:
            self.restart(self.random.choice([signal.SIGINT, signal.SIGKILL]))

    def run(self):
        self.job.start()
        while self.job.process.poll() is None:
            time.sleep(self.random.uniform(0.1, self.pause_s))
            if self.left > 0 and self.job.process.poll() is None:
                self.act()
        return self.job.process.returncode


def compare(a, b):
    names = sorted(set(os.listdir(a)) | set(os.listdir(b)))
    return [n for n in names if n != "run.json" and not (
        os.path.exists(os.path.join(a, n)) and os.path.exists(os.path.join(b, n)) and
        filecmp.cmp(os.path.join(a, n), os.path.join(b, n), shallow=False))]


def steps_of(out):
    with open(os.path.join(out, "metrics.jsonl")) as f:
        lines = [json.loads(line) for line in f]
    return [(line["stage"], line["step"]) for line in lines if line["kind"] == "step"]


def compare_steps(a, b):
    """As compare, for runs whose numbers differ."""
    other = sorted(set(os.listdir(a)) ^ set(os.listdir(b)))
    return other + ([] if steps_of(a) == steps_of(b) else ["steps of metrics.jsonl"])


def left_over(work):
    found = subprocess.run(["pgrep", "-f", "bin/weft.*" + work], stdout=subprocess.PIPE, check=False)
    return [p for p in found.stdout.decode().split() if int(p) != os.getpid()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--data", default="")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--every", type=float, default=0.7, help="seconds, mean, between two blows")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    options.work = os.path.abspath(options.work)
    if not options.data:
        options.data = os.path.join(options.work, "data")
        shutil.rmtree(options.data, ignore_errors=True)
        subprocess.run([os.path.join(options.bin, "weft"), "synth", "--users", "300", "--items",
                        "300", "--types", "2", "--interactions", "9000", "--seed", "1", "--out",
                        options.data], stdout=subprocess.DEVNULL, check=True)
    calm, wild = Job(options, "calm"), Job(options, "wild")
    calm.start()
    if calm.process.wait() != 0:
        sys.exit("the undisturbed run failed: " + os.path.join(calm.work, "driver.log"))
    chaos = Chaos(wild, options)
    code = chaos.run()
    print("did:", ", ".join(f"{n} {what}" for what, n in sorted(chaos.killed.items())))
    times = sorted(chaos.recoveries)
    if times:
        print(f"recovery of {len(times)} servers and schedulers: median "
              f"{times[len(times) // 2][0]:.2f} s, worst {times[-1][0]:.2f} s ({times[-1][1]})")
    if code != 0:
        sys.exit(f"the disturbed run ended with {code}: " + os.path.join(wild.work, "driver.log"))
    bits = not {"train.mode=ssp", "train.mode=asp"} & set(options.set)
    other = (compare if bits else compare_steps)(os.path.join(calm.work, "out"),
                                                 os.path.join(wild.work, "out"))
    processes = left_over(options.work)
    if other or processes:
        sys.exit(f"not the same: {other}; left running: {processes}")
    print("every file of the result has the same bytes" if bits else "the same files and steps")


if __name__ == "__main__":
    main()
