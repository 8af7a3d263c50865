#!/usr/bin/env python3
"""Proves: kustomize and helm render the same objects, which Kubernetes' types accept and whose commands, keys, ports
and probes exist; and the dev overlay's containers, started as a node would, train to the end - through a moved
scheduler, a server that is evicted, and workers that come and go - to the same bytes as `weft train` alone.

    test_kubernetes.py BIN_DIR WORK_DIR

Exit code 77: what it needs is not here."""
import filecmp
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
try:
    import manifests
except ImportError as e:
    print(f"SKIPPED: {e}")
    sys.exit(77)
import pods

from manifests import Failed, check

PROBES = 7701
# The dev overlay's job, cut down to a test's time.
SMALLER = (("hgnn: {max_steps: 200}", "hgnn: {max_steps: 40, dims: [32, 32], batch: 64}"),
           ("two_tower: {max_steps: 200}", "two_tower: {max_steps: 40, dims: [64, 32], batch: 128}"),
           ("validate: {every: 50}", "validate: {every: 20}\nevaluate: {bootstrap: 100}"))
FEWER = (("--users=1000", "--users=300"), ("--items=600", "--items=200"), ("--interactions=30000", "--interactions=6000"))


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(77)


def replaced(text, pairs):
    for a, b in pairs:
        check(a in text, f"no `{a}` to replace")
        text = text.replace(a, b)
    return text


class Cluster:
    """The objects of one rendering, as pods."""

    def __init__(self, node, objects, work):
        self.node, self.objects, self.work = node, objects, work
        self.config = self.config_map()
        self.secrets = {"weft-keys": self.keys(), "weft-token": self.token()}

    def config_map(self):
        text = next(o for (k, _), o in self.objects.items() if k == "ConfigMap")["data"]["weft.yaml"]
        path = os.path.join(self.work, "config", "weft.yaml")
        os.makedirs(os.path.dirname(path))
        with open(path, "w", encoding="utf-8") as f:
            f.write(replaced(text, SMALLER))
        return path

    def keys(self):
        folder = os.path.join(self.work, "keys")
        manifests.run([os.path.join(self.node.bin_dir, "weft"), "keygen", "--out", folder])
        return folder

    def token(self):
        folder = os.path.join(self.work, "token")
        os.makedirs(folder)
        with open(os.path.join(folder, "token"), "w", encoding="ascii") as f:
            f.write(os.urandom(16).hex())
        return folder

    def source(self, pod, volume, mount):
        """The path here of what a volume holds."""
        if "secret" in volume:
            s = volume["secret"]
            folder = self.secrets[s["secretName"]]
            names = [i["key"] for i in s["items"]] if "items" in s else os.listdir(folder)
            return self.node.secret(f"{pod}-{volume['name']}", {n: os.path.join(folder, n) for n in names})
        if "configMap" in volume:
            check(mount["subPath"] == "weft.yaml", "another file of the ConfigMap")
            return self.config
        if "persistentVolumeClaim" in volume:
            return self.node.volume(volume["persistentVolumeClaim"]["claimName"])
        return self.node.volume(f"{pod}-{volume['name']}")  # emptyDir, ephemeral, a claim of the StatefulSet's

    def mounts(self, pod, spec, container, own):
        volumes = {v["name"]: v for v in spec.get("volumes", [])}
        volumes.update({t["metadata"]["name"]: {"name": t["metadata"]["name"]} for t in own})
        out = []
        for m in container["volumeMounts"]:
            v = volumes[m["name"]]
            writable = not (m.get("readOnly") or v.get("persistentVolumeClaim", {}).get("readOnly") or "secret" in v)
            out.append((m["mountPath"], self.source(pod, v, m), writable))
        return out

    def pod(self, kind, name, hostname, which=None):
        """One of an object's pods, not started."""
        o = self.objects[kind, name]
        spec = o["spec"]["template"]["spec"]
        c = which or spec["containers"][0]
        own = o["spec"].get("volumeClaimTemplates", [])
        p = pods.Pod(self.node, hostname, c["command"] + c.get("args", []), self.mounts(hostname, spec, c, own),
                     os.path.join(self.work, hostname + ".log"))
        p.spec, p.container, p.object = spec, c, o
        p.again = lambda: self.start(kind, name, hostname)
        return p

    def start(self, kind, name, hostname):
        p = self.pod(kind, name, hostname)
        if name == "weft-scheduler":
            self.node.name("weft-scheduler", p.address)
        p.start()
        return p

    def evict(self, p):
        """As the API server deletes a pod; the exit code."""
        hook = p.container.get("lifecycle", {}).get("preStop")
        grace = p.spec["terminationGracePeriodSeconds"]
        if hook:
            code, text = p.run(hook["exec"]["command"], grace)
            check(code == 0, f"{p.hostname}: preStop ended with {code}: {text}")
        return p.stop(grace)


def is_ready(p):
    check(p.process.poll() is None, f"{p.hostname} ended with {p.process.poll()}:\n{p.output()[-2000:]}")
    return p.get(PROBES, "/readyz")[0] == 200


def run_jobs_first_container(cluster):
    job = cluster.objects["Job", "weft-prepare"]
    synth = json.loads(replaced(json.dumps(job["spec"]["template"]["spec"]["initContainers"][0]), FEWER))
    p = cluster.pod("Job", "weft-prepare", "weft-prepare-0", synth)
    p.start()
    check(p.process.wait(60) == 0, f"synth: {p.output()}")


def status(cluster, scheduler):
    with open(os.path.join(cluster.secrets["weft-token"], "token"), encoding="ascii") as f:
        token = f.read()
    request = urllib.request.Request(f"http://{scheduler.address}:{PROBES}/api/v1/status",
                                     headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as r:
            return json.load(r)
    except OSError:
        return {}


def has_got_on(cluster, scheduler, stage):
    """True once the job is at least in `stage` with a few steps done."""
    order = ("hgnn", "embed", "two_tower", "two_tower_no_z", "vectors", "evaluate", "export")
    s = status(cluster, scheduler)
    at = s.get("stage")
    return at in order and (order.index(at) > order.index(stage) or (at == stage and s.get("step", 0) >= 5))


def train_in_pods(cluster):
    """The dev overlay from nothing to its results; what happens meanwhile happens to real clusters."""
    run_jobs_first_container(cluster)
    train = cluster.start("Job", "weft-train", "weft-train-0")  # the order does not matter
    workers = [cluster.start("Deployment", "weft-worker", f"weft-worker-{i}") for i in range(2)]
    server = cluster.start("StatefulSet", "weft-ps", "weft-ps-0")
    sampler = cluster.start("StatefulSet", "weft-sampler", "weft-sampler-0")
    for p in workers + [server, sampler]:
        pods.wait_for(30, f"{p.hostname} is alive", lambda p=p: p.get(PROBES, "/healthz")[0] == 200)
        check(p.get(PROBES, "/readyz")[0] == 503, f"{p.hostname} is ready without a scheduler")
    scheduler = cluster.start("StatefulSet", "weft-scheduler", "weft-scheduler-0")
    pods.wait_for(30, "the scheduler is alive", lambda: scheduler.get(PROBES, "/healthz")[0] == 200)
    check(scheduler.get(PROBES, "/readyz")[0] == 503, "the scheduler is ready without a job")
    prepare = cluster.start("Job", "weft-prepare", "weft-prepare-1")
    check(prepare.process.wait(120) == 0, f"prepare: {prepare.output()}")
    for p in workers + [server, sampler, scheduler]:
        pods.wait_for(60, f"{p.hostname} is ready", lambda p=p: is_ready(p))
    check_metrics(cluster, scheduler)
    pods.wait_for(120, "training", lambda: has_got_on(cluster, scheduler, "hgnn"))

    check(cluster.evict(workers.pop()) == 0, "a worker does not leave well")
    workers.append(cluster.start("Deployment", "weft-worker", "weft-worker-2"))
    check(cluster.evict(server) == 0, "a server does not leave well")
    server = server.again()
    pods.wait_for(60, "the server is back", lambda: is_ready(server))
    check(cluster.evict(scheduler) == 0, "the scheduler does not leave well")
    others = [server, sampler] + workers
    for p in others:  # it told them that it stops; the kubelet starts them again
        check(p.process.wait(30) == 0, f"{p.hostname} ended with {p.process.poll()}")
    others = [p.again() for p in others]
    time.sleep(1)
    scheduler = scheduler.again()  # at another address
    for p in others + [scheduler]:
        pods.wait_for(60, f"{p.hostname} is ready again", lambda p=p: is_ready(p))
    pods.wait_for(180, "the results", lambda: train.process.poll() is not None)
    check(train.process.returncode == 0, f"weft train: {train.process.returncode}\n{train.output()[-3000:]}")
    check(status(cluster, scheduler).get("state") == "DONE", "the job is not done")
    for p in others + [scheduler]:
        check(cluster.evict(p) == 0, f"{p.hostname} does not leave well:\n{p.output()[-1500:]}")


def check_metrics(cluster, scheduler):
    metric = cluster_metric()
    code, text = scheduler.get(PROBES, "/metrics")  # without a token
    check(code == 200 and re.search(rf"^{metric}( |{{)", text, re.M), f"the autoscaler's {metric} is not exported")
    check(scheduler.get(PROBES, "/api/v1/status")[0] == 401, "the status needs no token")


def cluster_metric():
    hpa = manifests.render_kustomize("base")["HorizontalPodAutoscaler", "weft-worker"]
    return hpa["spec"]["metrics"][0]["external"]["metric"]["name"]


def train_alone(cluster, out):
    """The same plan without a cluster: in one process."""
    data = cluster.node.volume("weft-data")
    sets = {"data.items.path": f"{data}/items.tsv", "data.interactions.path": f"{data}/interactions.tsv",
            "work_dir": f"{cluster.work}/alone", "cluster.scheduler": "", "security.keys": "", "http.token_file": "",
            "http.bind": "127.0.0.1:0", "store.source": "", "store.local": "", "checkpoint.dir": ""}
    words = [w for k, v in sets.items() for w in ("--set", f"{k}={v}")]
    manifests.run([os.path.join(cluster.node.bin_dir, "weft"), "train", "--in-process", "-c", cluster.config, "--out", out]
                  + words)


def check_same_results(a, b):
    names = sorted(set(os.listdir(a)) | set(os.listdir(b)))
    for n in names:
        if n != "run.json":
            check(os.path.exists(f"{a}/{n}") and os.path.exists(f"{b}/{n}") and
                  filecmp.cmp(f"{a}/{n}", f"{b}/{n}", shallow=False), f"{n} differs from that of one process")
    check("run.json" in names and len(names) > 10, f"not a whole result: {names}")


def main():
    bin_dir, work = (os.path.abspath(p) for p in sys.argv[1:3])
    get = os.path.join(os.path.dirname(os.path.abspath(__file__)), "get-tools.sh")
    if subprocess.run(["sh", get]).returncode != 0:
        skip("kubectl and helm cannot be had")
    if not shutil.which("node"):
        skip("node is not installed")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    rendered = manifests.check_all(bin_dir, work)
    print("kustomize and helm agree:", ", ".join(f"{v} {len(o)} objects" for v, o in rendered.items()))
    if pods.missing():
        skip(f"to start the pods: {', '.join(pods.missing())}")
    try:
        node = pods.Node(work, bin_dir)
    except PermissionError as e:
        skip(str(e))
    try:
        cluster = Cluster(node, rendered["dev"], work)
        train_in_pods(cluster)
        train_alone(cluster, os.path.join(work, "alone-out"))
        check_same_results(os.path.join(node.volume("weft-results"), "weft"), os.path.join(work, "alone-out"))
        print("the dev overlay trains, and its results are those of one process")
    finally:
        node.close()


if __name__ == "__main__":
    try:
        main()
    except (Failed, TimeoutError) as e:
        print(f"FAILED: {e}")
        sys.exit(1)
