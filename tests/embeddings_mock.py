#!/usr/bin/env python3
"""An OpenAI-compatible embeddings endpoint on loopback that misbehaves as it is asked to.

    embeddings_mock.py        prints its port, and ends with its standard input

The first part of the path chooses: POST /shuffled/v1/embeddings.  Shapes of answers and errors are
those of llama.cpp, vLLM, TEI and Ollama.  GET /shuffled/log: the requests so far, as JSON.
A vector is a function of its text, DIM numbers: its bytes' count, then its bytes / 4.
"""
import base64
import http.server
import json
import struct
import sys
import threading
import time

DIM = 8
TOO_LONG = 40  # characters


def vector(text, dim=DIM):
    data = text.encode()
    return [float(len(data))] + [data[k] / 4 if k < len(data) else 0.0 for k in range(dim - 1)]


def openai_error(status, message, kind):
    """llama.cpp, newer vLLM, Ollama."""
    return status, {"error": {"code": status, "message": message, "type": kind}}


def tei_error(status, message, kind):
    return status, {"message": message, "code": status, "type": kind}


def vllm_error(status, message):
    return status, {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": status}


class State:
    def __init__(self):
        self.lock = threading.Lock()
        self.requests = {}  # scenario -> what came

    def add(self, scenario, request):
        with self.lock:
            log = self.requests.setdefault(scenario, [])
            log.append(request)
            return len(log)

    def log(self, scenario):
        with self.lock:
            return list(self.requests.get(scenario, []))


def proper(request, dim=DIM):
    rows = []
    for i, text in enumerate(request["input"]):
        values = vector(text, dim)
        if request.get("encoding_format") == "base64":
            values = base64.b64encode(struct.pack(f"<{dim}f", *values)).decode()
        rows.append({"object": "embedding", "index": i, "embedding": values})
    return 200, {"object": "list", "data": rows, "model": request["model"],
                 "usage": {"prompt_tokens": 1, "total_tokens": 1}}


def spoilt(request, value):
    """A text that holds `bad` gets `value` as its fourth number."""
    status, answer = proper(request)
    for text, row in zip(request["input"], answer["data"]):
        if "bad" in text:
            row["embedding"][3] = value
    return status, answer


def refuse_long(request, error):
    for text in request["input"]:
        if len(text) > TOO_LONG:
            return error
    return proper(request)


def shuffled(request):
    status, answer = proper(request)
    answer["data"].reverse()
    answer["data"].append(answer["data"].pop(0))
    return status, answer


def short_answer(request):
    status, answer = proper(request)
    answer["data"].pop()
    return status, answer


def double_index(request):
    status, answer = proper(request)
    answer["data"][-1]["index"] = 0
    return status, answer


def numbered(request, **index):
    status, answer = proper(request)
    for row in answer["data"]:
        row.update(index)
    return status, answer


LLAMA_LONG = openai_error(500, "input (3002 tokens) is too large to process. increase the physical batch size",
                          "server_error")
VLLM_LONG = vllm_error(400, "This model's maximum context length is 512 tokens. However, you requested 1451 tokens "
                            "in the input for embedding generation. Please reduce the length of the input.")
TEI_LONG = tei_error(413, "Input validation error: `inputs` must have less than 512 tokens. Given: 600", "Validation")
TEI_BUSY = tei_error(429, "Model is overloaded", "overloaded")
LOADING = openai_error(503, "Loading model", "unavailable_error")
NO_MODEL = openai_error(404, 'model "small" not found, try pulling it first', "not_found_error")
NO_KEY = openai_error(401, "Invalid API Key", "authentication_error")


def many(request):
    if len(request["input"]) > 4:
        return tei_error(413, f"batch size {len(request['input'])} > maximum allowed batch size 4", "Validation")
    return proper(request)


def keyed(request):
    return proper(request) if request["authorization"] == "Bearer s3cret-key" else NO_KEY


SCENARIOS = {  # name -> answer to the n-th request: (status, JSON or bytes[, headers])
    "fine": lambda r, n: proper(r),
    "slow": lambda r, n: (time.sleep(0.05), proper(r))[1],
    "shuffled": lambda r, n: shuffled(r),
    "short": lambda r, n: short_answer(r),
    "double": lambda r, n: double_index(r),
    "far": lambda r, n: numbered(r, index=99),
    "textual": lambda r, n: numbered(r, index="0"),
    "null": lambda r, n: spoilt(r, None),
    "nan": lambda r, n: spoilt(r, float("nan")),
    "large": lambda r, n: spoilt(r, 1e39),
    "long_llama": lambda r, n: refuse_long(r, LLAMA_LONG),
    "long_vllm": lambda r, n: refuse_long(r, VLLM_LONG),
    "long_tei": lambda r, n: refuse_long(r, TEI_LONG),
    "many_tei": lambda r, n: many(r),
    "busy": lambda r, n: TEI_BUSY + ({"Retry-After": "1"},) if n <= 2 else proper(r),
    "busy_for_ever": lambda r, n: TEI_BUSY + ({"Retry-After": "100000"},),
    "loading": lambda r, n: LOADING if n == 1 else proper(r),
    "broken_once": lambda r, n: openai_error(500, "oops", "server_error") if n == 1 else proper(r),
    "broken": lambda r, n: openai_error(500, "out of \x1b[31mmemory\n\"now\"", "server_error"),
    "no_model": lambda r, n: NO_MODEL,
    "moved": lambda r, n: (302, {}, {"Location": "http://127.0.0.1:1/"}),
    "html": lambda r, n: (200, b"<html>welcome</html>"),
    "dims": lambda r, n: proper(r, DIM if n == 1 else DIM - 2),
    "huge": lambda r, n: (200, b'{"data": [' + b" " * (64 << 20)),
    "values": lambda r, n: (200, b"[" + b"0," * 20000 + b"0]"),
    "keyed": lambda r, n: keyed(r),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def scenario(self):
        return self.path.split("/")[1]

    def send(self, status, body, headers=None, cut=False):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data[:len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True

    def drip(self):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" ")
                time.sleep(0.02)
        except OSError:
            self.close_connection = True

    def do_GET(self):
        self.send(200, self.server.state.log(self.scenario()))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request["authorization"] = self.headers.get("Authorization", "")
        name = self.scenario()
        n = self.server.state.add(name, request)
        try:
            if name == "drip":
                self.drip()
            elif name == "cut":
                self.send(*proper(request), cut=n == 1)
            else:
                self.send(*SCENARIOS[name](request, n))
        except OSError:  # the client hung up
            self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """A client that hung up."""


def start():
    """A server in a thread; its port is server.server_address[1]."""
    server = Server(("127.0.0.1", 0), Handler)
    server.state = State()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    print(start().server_address[1], flush=True)
    sys.stdin.read()
