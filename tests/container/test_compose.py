#!/usr/bin/env python3
"""Proves: deploy/container/compose.yaml is one that docker-compose takes, and its services, started as an engine would
(a network namespace each, names for services, read-only but for the volume, uid 10001), train to the end and end.

    test_compose.py BIN_DIR WORK_DIR

Exit code 77: what it needs is not here.  The image itself: tests/container/build_image.sh."""
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "kubernetes"))
try:
    import yaml
except ImportError as e:
    print(f"SKIPPED: {e}")
    sys.exit(77)
import pods

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "deploy", "container")
# A test's time.
SMALLER = (("hgnn: {max_steps: 200}", "hgnn: {max_steps: 20, dims: [32, 32], batch: 64}"),
           ("two_tower: {max_steps: 200}", "two_tower: {max_steps: 20, dims: [64, 32], batch: 128}"),
           ("validate: {every: 50}", "validate: {every: 10}\nevaluate: {bootstrap: 100}"))


def check(condition, text):
    if not condition:
        print(f"FAILED: {text}")
        sys.exit(1)


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(77)


def services():
    with open(os.path.join(FOLDER, "compose.yaml"), encoding="utf-8") as f:
        return yaml.safe_load(f)["services"]


def check_compose():
    if not shutil.which("docker-compose"):
        print("SKIPPED in part: docker-compose is not installed")
        return
    done = subprocess.run(["docker-compose", "-f", os.path.join(FOLDER, "compose.yaml"), "config", "-q"],
                          capture_output=True, text=True)
    check(done.returncode == 0, f"docker-compose config: {done.stderr}")


def check_service(name, s):
    check(s["read_only"] and s["cap_drop"] == ["ALL"] and s["user"].startswith(f"{pods.UID}:"), f"{name}: not confined")
    check(s["stop_grace_period"] == "30s", f"{name}: no time to leave")
    volumes = [v.split(":")[:2] for v in s["volumes"]]
    check(volumes == [["weft", "/var/lib/weft"], ["./weft.yaml", "/etc/weft/weft.yaml"]], f"{name}: other volumes")


def smaller_config(work):
    with open(os.path.join(FOLDER, "weft.yaml"), encoding="utf-8") as f:
        text = f.read()
    for a, b in SMALLER:
        check(a in text, f"no `{a}` to replace")
        text = text.replace(a, b)
    path = os.path.join(work, "weft.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


class Cluster:
    def __init__(self, node, work):
        self.node, self.work, self.config = node, work, smaller_config(work)

    def start(self, name, service, copy=0):
        hostname = f"{name}-{copy}"
        mounts = [("/var/lib/weft", self.node.volume("weft"), True), ("/etc/weft/weft.yaml", self.config, False),
                  ("/tmp", self.node.volume(f"tmp-{hostname}"), True)]
        words = [w.replace("--users 1000 --items 600", "--users 300 --items 200").replace("30000", "6000")
                 for w in service["command"]]
        p = pods.Pod(self.node, hostname, words, mounts, os.path.join(self.work, hostname + ".log"),
                     service.get("working_dir", "/"))
        self.node.name(name, p.address)
        p.start()
        return p


def run(node, work, all_services):
    cluster = Cluster(node, work)
    setup = cluster.start("setup", all_services["setup"])
    check(setup.process.wait(60) == 0, f"setup: {setup.output()}")
    started = {}
    for name, s in all_services.items():
        if name != "setup":
            for i in range(s.get("deploy", {}).get("replicas", 1)):
                started[f"{name}-{i}"] = cluster.start(name, s, i)
    probed = {h: p for h, p in started.items() if not h.startswith("train")}
    for h, p in probed.items():
        health = all_services[h.rsplit("-", 1)[0]]["healthcheck"]["test"]
        check(health[0] == "CMD", f"{h}: no command as health check")
        pods.wait_for(30, f"{h} is healthy", lambda p=p, health=health: p.run(health[1:], 20)[0] == 0)
    train = started["train-0"]
    pods.wait_for(200, "the results", lambda: train.process.poll() is not None)
    check(train.process.returncode == 0, f"train: {train.process.returncode}\n{train.output()[-3000:]}")
    for h, p in probed.items():
        check(p.process.wait(30) == 0, f"{h} ended with {p.process.returncode}:\n{p.output()[-2000:]}")
    check(os.path.exists(os.path.join(node.volume("weft"), "out", "run.json")), "no results")


def main():
    bin_dir, work = (os.path.abspath(p) for p in sys.argv[1:3])
    check_compose()
    all_services = services()
    for name, s in all_services.items():
        check_service(name, s)
    if pods.missing():
        skip(f"to start the services: {', '.join(pods.missing())}")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    try:
        node = pods.Node(work, bin_dir)
    except PermissionError as e:
        skip(str(e))
    try:
        run(node, work, all_services)
    except TimeoutError as e:
        check(False, str(e))
    finally:
        node.close()
    print(f"{len(all_services)} services train to the end, and end")


if __name__ == "__main__":
    main()
