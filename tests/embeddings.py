#!/usr/bin/env python3
"""`features.encoder: openai` from end to end: weft prepare against embeddings_mock.py.

    tests/embeddings.py --bin build/dev/bin

Killed or stopped in the middle, the next run encodes only the rest; a bad item is named with its line;
a second run needs no server; the key is nowhere in what is printed and written.
"""
import argparse
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time

import embeddings_mock

ITEMS = 600
KEY = "s3cret-key"


class Job:
    """A folder with a small catalogue."""

    def __init__(self, binary, server, scenario, items=ITEMS, bad_line=None):
        self.weft = os.path.join(binary, "weft")
        self.server, self.scenario = server, scenario
        self.parent = tempfile.TemporaryDirectory(prefix="weft-embeddings-")  # goes with the job
        self.folder = self.parent.name
        self.texts = set()
        with open(self.path("items.tsv"), "w", encoding="utf-8") as file:
            file.write("item_id\titem_type\ttext\n")
            for i in range(items):
                text = f"title {i}"
                if i + 2 == bad_line:
                    text += " of more than forty characters, which is too long"
                self.texts.add(text)
                file.write(f"i{i}\tbook\t{text}\n")
        with open(self.path("interactions.tsv"), "w", encoding="utf-8") as file:
            file.write("user_id\titem_id\ttimestamp\n")
            for i in range(items * 4):
                file.write(f"u{i % 50}\ti{i * 7 % items}\t{1000 + i}\n")
        with open(self.path("key"), "w", encoding="utf-8") as file:
            file.write(KEY + "\n")
        os.chmod(self.path("key"), 0o600)
        with open(self.path("job.yaml"), "w", encoding="utf-8") as file:
            file.write("job: embeddings\nwork_dir: work\ngraph: {partitions: 2}\n"
                       "data: {items: {path: items.tsv}, interactions: {path: interactions.tsv}}\n"
                       "features:\n  encoder: openai\n"
                       "  openai: {model: small, batch: 16, retries: 1, key_file: key}\n")

    def path(self, name):
        return os.path.join(self.folder, name)

    def command(self, *sets, verb="prepare"):
        port = self.server.server_address[1] if self.server else 1
        url = f"features.openai.url=http://127.0.0.1:{port}/{self.scenario}/v1/embeddings"
        words = [self.weft, verb, "-c", self.path("job.yaml")]
        for extra in (url,) + sets:
            words += ["--set", extra]
        return words

    def run(self, *sets, verb="prepare"):
        done = subprocess.run(self.command(*sets, verb=verb), capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    def start(self, *sets):
        return subprocess.Popen(self.command(*sets), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def sent(self):
        """Texts that the server was sent, in order, with repeats."""
        return [t for r in self.server.state.log(self.scenario) for t in r["input"]]

    def wait_for(self, texts, process):
        while len(self.sent()) < texts:
            expect(process.poll() is None, "ended early:", process.returncode)
            time.sleep(0.01)


def expect(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def resumes(binary, stop, status):
    """Ends the first run in the middle by `stop`; the second asks only for the rest."""
    server = embeddings_mock.start()
    job = Job(binary, server, "slow")
    process = job.start()
    job.wait_for(150, process)
    process.send_signal(stop)
    out, _ = process.communicate(timeout=60)
    expect(process.returncode == status, "ended with", process.returncode, out)
    first = job.sent()
    expect(len(first) < ITEMS, "all texts were sent before the end")
    code, out = job.run()
    expect(code == 0, out)
    expect("openai, 8 numbers" in out, out)
    sent = job.sent()
    expect(set(sent) == job.texts, "not every text was encoded")
    again = len(sent) - len(set(sent))
    expect(again <= 16 + 1, again, "texts were sent twice; a request holds 16, the first asks for the width")
    return job


def a_killed_run_goes_on(binary):
    resumes(binary, signal.SIGKILL, -signal.SIGKILL)


def a_stopped_run_goes_on(binary):
    resumes(binary, signal.SIGINT, 128 + signal.SIGINT)


def a_bad_item_is_named_with_its_line(binary):
    server = embeddings_mock.start()
    job = Job(binary, server, "long_vllm", items=100, bad_line=42)
    code, out = job.run()
    expect(code == 2, code, out)
    expect("items.tsv:42: item `i40`: the text cannot be encoded: HTTP 400: This model's maximum" in out, out)
    expect("the same command goes on from there" in out, out)
    code, out = job.run("features.openai.max_chars=20")  # other texts to the model: all again
    expect(code == 0, out)


def a_second_run_needs_no_server(binary):
    server = embeddings_mock.start()
    job = Job(binary, server, "keyed", items=60)
    code, out = job.run()
    expect(code == 0, out)
    server.shutdown()
    server.server_close()
    job.server = None
    code, out = job.run()  # the store is complete
    expect(code == 0 and "complete already" in out, out)
    code, out = job.run("graph.max_degree=10")  # another store, from the cache
    expect(code == 0 and "complete already" not in out, out)
    code, out = job.run("features.openai.model=other", "features.openai.retries=0")
    expect(code == 1 and "connect" in out, code, out)


def the_key_is_nowhere(binary):
    server = embeddings_mock.start()
    job = Job(binary, server, "keyed", items=60)
    code, out = job.run("log.level=debug")
    expect(code == 0, out)
    shown = subprocess.run([job.weft, "config", "--print", *job.command()[2:]], capture_output=True, text=True,
                           timeout=60)
    expect(shown.returncode == 0 and job.path("key") in shown.stdout, shown.stdout, shown.stderr)
    expect(KEY not in out + shown.stdout + shown.stderr, "the key is printed")
    for folder, _, files in os.walk(job.path("work")):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                expect(KEY.encode() not in file.read(), "the key is in", name)
    with open(job.path("key"), "w", encoding="utf-8") as file:
        file.write("wr0ng\n")
    code, out = job.run("features.openai.model=other")
    expect(code == 1 and "HTTP 401: Invalid API Key" in out and "wr0ng" not in out, code, out)


def a_changed_model_is_refused(binary):
    server = embeddings_mock.start()
    job = Job(binary, server, "dims", items=60)
    code, out = job.run()
    expect(code == 2 and "6 numbers where others have 8" in out, code, out)


def an_unknown_certificate_is_refused(binary):
    server = embeddings_mock.start()
    job = Job(binary, server, "fine", items=20)
    key, certificate = job.path("tls.key"), job.path("tls.crt")
    if not shutil.which("openssl"):
        print("SKIPPED: there is no openssl to make a certificate")
        return
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate,
                    "-days", "2", "-subj", "/CN=localhost"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    url = f"features.openai.url=https://localhost:{server.server_address[1]}/fine/v1/embeddings"
    code, out = job.run(url)
    expect(code == 1 and "certificate" in out and "embedding_retry" not in out, code, out)
    expect(not job.sent(), "texts went to a server that nobody knows")


def plan_and_doctor_know_the_width(binary):
    server = embeddings_mock.start()
    job = Job(binary, server, "fine", items=60)
    note = "vectors of 1024 numbers are assumed"
    code, out = job.run(verb="plan")
    expect(code == 0 and note in out and not job.sent(), code, out)
    code, out = job.run(verb="doctor")
    expect("openai, 8 numbers a text" in out, code, out)
    expect(job.run()[0] == 0, "prepare")
    code, out = job.run("graph.max_degree=10", verb="plan")
    expect(code == 0 and note not in out, code, out)
    code, out = job.run("features.openai.url=http://127.0.0.1:1/v1/embeddings", verb="doctor")
    expect(code == 1 and "fail  encoder" in out, code, out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    binary = os.path.abspath(parser.parse_args().bin)
    for case in (a_killed_run_goes_on, a_stopped_run_goes_on, a_bad_item_is_named_with_its_line,
                 a_second_run_needs_no_server, the_key_is_nowhere, a_changed_model_is_refused,
                 an_unknown_certificate_is_refused, plan_and_doctor_know_the_width):
        start = time.monotonic()
        case(binary)
        print(f"{case.__name__}: fine, {time.monotonic() - start:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
