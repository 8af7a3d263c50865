"""A real training run for the tests of this folder: a small catalogue, `weft train` with processes."""
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

SKIP = 77  # the exit status that ctest shows as skipped

CONFIG = """\
job: {job}
work_dir: work
features: {{encoder: hash, ngram_dim: 32}}
graph: {{partitions: 6}}
hgnn:
  {{dims: [16, 12], fanout: [4, 3], fanout_total: 10, random_features: 8, negatives: 20, batch: 24,
   max_steps: {steps}, epochs: 100000, patience: 100000, balance_floor: 100}}
two_tower:
  {{dims: [24, 16], item_id: 8, uniform_negatives: 24, batch: 32, max_steps: 20, epochs: 9}}
train: {{microbatches_per_step: 4}}
validate: {{every: 20}}
evaluate: {{ease_items: 100, bootstrap: 100, baselines: [popularity]}}
checkpoint: {{every: 3s}}
cluster: {{workers: 3, samplers: 2, servers: 2}}
"""


def need(*programs):
    """Skips the test, saying so, where a program is missing."""
    for program in programs:
        if subprocess.run(["sh", "-c", f"command -v {program}"], stdout=subprocess.DEVNULL).returncode:
            print(f"skipped: {program} is not installed (deploy/install-packages.sh --tests)")
            sys.exit(SKIP)


def wait_for(what, condition, seconds=60):
    """The first true value of condition(); fails the test if none comes."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


def fetch(url):
    """The body, or None while nobody answers."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None


class Training:
    """`weft train` in `folder`; ends with the block, whatever happens in it."""

    def __init__(self, binaries, folder, job="watch", steps=100000, extra=()):
        self.binaries, self.folder = binaries, folder
        with open(os.path.join(folder, "job.yaml"), "w", encoding="utf-8") as file:
            file.write(CONFIG.format(job=json.dumps(job), steps=steps))
        subprocess.run([self.program("weft"), "synth", "--users", "150", "--items", "120", "--types", "3",
                        "--interactions", "3000", "--seed", "1", "--out", "data"],
                       cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=60)
        self.log = open(os.path.join(folder, "train.log"), "w", encoding="utf-8")
        self.process = subprocess.Popen([self.program("weft"), "train", "-c", "job.yaml", "--data", "data", *extra],
                                        cwd=folder, stdout=self.log, stderr=self.log, start_new_session=True)
        self.url = None

    def program(self, name):
        return os.path.join(self.binaries, name)

    def __enter__(self):
        try:
            self.url = wait_for("the status endpoint", self.read_url)
        except BaseException:
            self.end()
            raise
        return self

    def read_url(self):
        assert self.process.poll() is None, "weft train ended: " + self.said()
        try:
            with open(os.path.join(self.folder, "work/run/url"), encoding="utf-8") as file:
                return file.read().strip()
        except FileNotFoundError:
            return None

    def said(self):
        with open(os.path.join(self.folder, "train.log"), encoding="utf-8") as file:
            return file.read()

    def status(self):
        text = fetch(self.url + "/api/v1/status")
        return json.loads(text) if text else None

    def wait_step(self, step, stage="hgnn", seconds=90):
        def there():
            status = self.status()
            stages = status["stages"] if status else []
            if not {stage, status and status["stage"]} <= set(stages):  # the plan is not known yet
                return False
            later = stages.index(status["stage"]) > stages.index(stage)
            return later or (status["stage"] == stage and status["step"] >= step)
        wait_for(f"step {step} of {stage}", there, seconds)

    def pid_of(self, peer):
        status = self.status()
        return next(p["pid"] for kind in ("workers", "servers", "samplers") for p in status[kind] if p["id"] == peer)

    def scheduler_pid(self):
        text = subprocess.run(["pgrep", "-s", str(self.process.pid), "-f", "weft-scheduler"],
                              capture_output=True, text=True, check=False).stdout.split()
        return int(text[0]) if text else None

    def stop(self):
        """Ends the job with Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        self.log.close()

    def __exit__(self, kind, value, trace):
        self.end()
        if kind:
            print("--- what weft train said\n" + self.said()[-4000:])
