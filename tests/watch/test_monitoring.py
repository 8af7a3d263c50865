#!/usr/bin/env python3
"""Proves: the metrics of every process are what promtool accepts, with few labels; every expression of
the dashboard and of the alerts has an answer from a real Prometheus that scrapes a real run; each alert
has its line in the runbook; `weft status --watch` follows the run; TensorBoard's files can be read.

    test_monitoring.py BINARIES
"""
import fcntl
import glob
import json
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.parse

from training import Training, fetch, need, wait_for

HERE = os.path.dirname(os.path.abspath(__file__))
MONITORING = os.path.join(os.path.dirname(os.path.dirname(HERE)), "deploy", "monitoring")
LABELS = {"role", "index", "stage", "op", "phase", "le", "version", "commit"}


def promtool(*words, text=None):
    done = subprocess.run(["promtool", *words], input=text, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, " ".join(words) + "\n" + done.stdout + done.stderr
    return done.stdout + done.stderr


def rules():
    promtool("check", "config", os.path.join(MONITORING, "prometheus.yml"))
    promtool("test", "rules", os.path.join(MONITORING, "alerts_test.yml"))
    with open(os.path.join(MONITORING, "alerts.yml"), encoding="utf-8") as file:
        alerts = re.findall(r"- alert: (\w+)", file.read())
    with open(os.path.join(MONITORING, "README.md"), encoding="utf-8") as file:
        headings = re.findall(r"^### (\w+)$", file.read(), re.M)
    with open(os.path.join(MONITORING, "alerts_test.yml"), encoding="utf-8") as file:
        tested = set(re.findall(r"alertname: (\w+)", file.read()))
    assert len(alerts) >= 8 and alerts == headings, (alerts, headings)
    assert set(alerts) == tested, set(alerts) ^ tested


def text_is_good(url):
    """What promtool says nothing about, and few series."""
    def measured():
        answer = fetch(url + "/metrics")
        return answer if answer and re.search(r'_seconds_bucket\{.*le="\+Inf"\} [1-9]', answer) else None
    text = wait_for("a histogram with something in it", measured)
    complaints = promtool("check", "metrics", text=text)
    assert not complaints.strip(), complaints
    lines = [line for line in text.split("\n") if line and line[0] != "#"]
    labels = set(re.findall(r'[{,](\w+)="', "\n".join(lines)))
    assert labels <= LABELS, labels - LABELS
    assert len(lines) < 1000, len(lines)


def urls_of_processes(training):
    """From the logs, which say where each process answers."""
    def find():
        urls = []
        for path in glob.glob(os.path.join(training.folder, "work/logs/*.log")):
            if "scheduler" not in path:
                with open(path, encoding="utf-8") as file:
                    urls += re.findall(r"status_endpoint url=(http://\S+)", file.read())[-1:]
        return urls if len(urls) == 7 else None
    return wait_for("7 processes", find)


def plan_rules(training):
    """The file that `weft plan --rules` writes for this job."""
    path = os.path.join(training.folder, "plan_rules.yml")
    with open(path, "w", encoding="utf-8") as file:
        subprocess.run([training.program("weft"), "plan", "-c", "job.yaml", "--data", "data", "--rules"],
                       cwd=training.folder, stdout=file, check=True, timeout=60)
    promtool("check", "rules", path)
    return path


class Prometheus:
    def __init__(self, folder, scheduler, processes, plan):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.base = f"http://127.0.0.1:{s.getsockname()[1]}"
        place = lambda url: '"' + url.split("//")[1] + '"'
        config = os.path.join(folder, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
                       f"rule_files: ['{MONITORING}/alerts.yml', '{plan}']\nscrape_configs:\n"
                       f"- {{job_name: weft, static_configs: [{{targets: [{place(scheduler)}]}}]}}\n"
                       f"- {{job_name: weft-processes, static_configs: [{{targets: [{','.join(map(place, processes))}]}}]}}\n")
        self.log = open(os.path.join(folder, "prometheus.log"), "w", encoding="utf-8")
        self.process = subprocess.Popen(["prometheus", "--config.file=" + config, "--storage.tsdb.path=" + folder + "/tsdb",
                                         "--web.listen-address=" + self.base.split("//")[1]], stdout=self.log, stderr=self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.log.close()

    def api(self, path, **parameters):
        text = fetch(self.base + "/api/v1/" + path + "?" + urllib.parse.urlencode(parameters))
        return json.loads(text)["data"] if text else None

    def query(self, expression):
        data = self.api("query", query=expression)
        assert data is not None, expression
        return data["result"]


def expressions():
    with open(os.path.join(MONITORING, "dashboard.json"), encoding="utf-8") as file:
        board = json.load(file)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) and all(panel["title"] for panel in board["panels"])
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def dashboard(prometheus):
    def answers(expression):
        return prometheus.query(expression.replace("$__rate_interval", "20s").replace("$job", "weft").replace("$processes", "weft-processes"))
    wanted = list(expressions())
    assert len(wanted) > 40
    for title, expression in wanted:
        wait_for(f"{title}: {expression}", lambda: answers(expression), 40)
    return len(wanted)


def alerts(prometheus):
    def evaluated():
        groups = prometheus.api("rules")["groups"]
        every = [rule for group in groups for rule in group["rules"]]
        return every if len(every) == 15 and all(rule["health"] != "unknown" for rule in every) else None
    for rule in wait_for("the rules", evaluated):
        assert rule["health"] == "ok", rule
    planned = {row["metric"]["role"] for row in prometheus.query("weft:plan_memory_bytes")}
    assert planned == {"ps", "sampler", "worker"}, planned


def rollback(training, prometheus):
    os.kill(training.pid_of("ps-1"), signal.SIGKILL)
    wait_for("a rollback", lambda: prometheus.query("weft_rollbacks_total == 1"))
    wait_for("its time", lambda: prometheus.query("weft_rollback_duration_seconds_count == 1"))


# ---- weft status --watch ----

def watch(training):
    """On a terminal and as lines of JSON; the caller ends them."""
    command = [training.program("weft"), "status", "-c", "job.yaml", "--watch"]
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 120, 0, 0))
    view = subprocess.Popen(command, cwd=training.folder, stdout=slave, stderr=slave, stdin=slave)
    os.close(slave)
    text = []
    reader = threading.Thread(target=read_all, args=(master, text))
    reader.start()
    lines = subprocess.Popen(command + ["--json"], cwd=training.folder, stdout=subprocess.PIPE, text=True)
    return view, reader, text, lines


def read_all(master, parts):
    try:
        while part := os.read(master, 65536):
            parts.append(part)
    except OSError:
        pass  # the other end is closed
    os.close(master)


def watched(view, reader, parts, lines):
    answers = [json.loads(line) for line in lines.communicate(timeout=30)[0].strip().split("\n")]
    assert view.wait(timeout=30) == 0 and lines.returncode == 0
    reader.join(timeout=30)
    text = b"".join(parts).decode()
    frames = text.split("\033[H")
    assert len(frames) > 4, text
    assert text.count("\033[H\033[J") == 1, "the screen is cleared once, at the start"
    assert text.startswith("\033[?25l") and text.endswith("\033[?25h"), "the cursor is hidden, and comes back"
    assert any("job      watch" in frame and "worker-2" in frame for frame in frames)
    assert len(answers) > 2 and answers[-1]["step"] > answers[0]["step"]


# ---- TensorBoard ----

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        size, check = struct.unpack_from("<QI", data, at)
        assert check == masked(data[at:at + 8]), path
        body = data[at + 12:at + 12 + size]
        assert struct.unpack_from("<I", data, at + 12 + size)[0] == masked(body), path
        yield body
        at += 16 + size


def fields(data):
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        else:
            size = {1: 8, 5: 4}.get(kind) or varint()
            value = data[at:at + size]
            at += size
        yield key >> 3, value


def events(folder):
    """{(step, tag): value} of every scalar that counts: what a START takes back is dropped."""
    found = {}
    for path in sorted(glob.glob(folder + "/*tfevents*")):
        for i, record in enumerate(records(path)):
            event = dict(fields(record))
            if i == 0:
                assert event[3] == b"brain.Event:2"
                continue
            assert time.time() - 600 < struct.unpack("<d", event[1])[0] < time.time() + 60
            if 7 in event:
                assert dict(fields(event[7])) == {1: 1}
                found = {key: value for key, value in found.items() if key[0] < event[2]}
            for _, value in fields(event.get(5, b"")):
                scalar = dict(fields(value))
                found[event[2], scalar[1].decode()] = struct.unpack("<f", scalar[2])[0]
    return found


def tensorboard(training):
    found = events(os.path.join(training.folder, "work/run/tensorboard/hgnn"))
    with open(os.path.join(training.folder, "work/run/metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    losses = [(line["step"], line["loss"]) for line in lines if line["kind"] == "step"]
    valid = [(line["step"], line["value"]) for line in lines if line["kind"] == "valid"]
    for tag, wanted in (("train/loss", losses), ("validation/mrr_100", valid)):
        mine = sorted((step, value) for (step, name), value in found.items() if name == tag)
        assert [step for step, _ in mine] == [step for step, _ in wanted], (tag, len(mine), len(wanted))
        assert all(abs(a - b) < 1e-5 * abs(b) + 1e-6 for (_, a), (_, b) in zip(mine, wanted)), tag
    assert losses and valid
    tags = {name for _, name in found}
    assert {"train/examples_per_second", "train/step_seconds", "train/learning_rate"} <= tags
    assert any(tag.startswith("validation/mrr_100/") for tag in tags)


def main():
    need("promtool", "prometheus")
    rules()
    with tempfile.TemporaryDirectory() as work:
        with Training(sys.argv[1], work) as training:
            processes = urls_of_processes(training)
            training.wait_step(25)
            with Prometheus(work, training.url, processes, plan_rules(training)) as prometheus:
                watching = watch(training)
                for url in [training.url] + processes:
                    text_is_good(url)
                n = dashboard(prometheus)
                alerts(prometheus)
                rollback(training, prometheus)
            training.stop()
            watched(*watching)
            tensorboard(training)
    print(f"{n} expressions of the dashboard have answers")


if __name__ == "__main__":
    main()
