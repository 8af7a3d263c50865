#!/usr/bin/env python3
"""Proves: configs/reference.md and configs/schema.json are what this build prints; every file of configs/ is
valid for the schema and for weft, and what the schema refuses weft refuses, too.

    config_files.py WEFT SOURCE_DIR"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile

try:
    import jsonschema
    import yaml
except ImportError as missing:
    print(f"skipped: {missing}; deploy/install-packages.sh --tests installs it")
    sys.exit(77)

WEFT, SOURCE = sys.argv[1], sys.argv[2]
CONFIGS = os.path.join(SOURCE, "configs")
BAD = [  # YAML, and the key that weft must name
    ("hgn: {}", "hgn"), ("hgnn: {dimz: [1]}", "hgnn.dimz"), ("seed: -1", "seed"), ("seed: one", "seed"),
    ("seed: 1.5", "seed"), ("seed: '1'", "seed"), ("hgnn: {dims: []}", "hgnn.dims"),
    ("hgnn: {dims: [0, 1]}", "hgnn.dims"), ("hgnn: {dims: [1,1,1,1,1,1,1,1,1]}", "hgnn.dims"),
    ("hgnn: {in_batch: 1}", "hgnn.in_batch"), ("hgnn: {loss: sofmax}", "hgnn.loss"),
    ("hgnn: {temperature: 0}", "hgnn.temperature"), ("hgnn: {neighbour_drop: 1}", "hgnn.neighbour_drop"),
    ("hgnn: {init_from: x}", "hgnn.init_from"), ("split: {holdout_fraction: 1}", "split.holdout_fraction"),
    ("graph: {partitions: 4097}", "graph.partitions"), ("graph: {relations: [[a]]}", "graph.relations"),
    ("graph: {partitioner: metis}", "graph.partitioner"), ("graph: {relations: []}", "graph.relations"),
    ("data: {kinds: {x: {role: []}}}", "data.kinds.x"), ("data: {kinds: {x: {roles: [grap]}}}", "data.kinds.x"),
    ("data: {items: {columns: {text: {const: x}}}}", "data.items.columns.text"),
    ("data: {items: {columns: {text: []}}}", "data.items.columns.text"), ("data: {types: [a, a]}", "data.types"),
    ("data: {types: ['a b']}", "data.types"), ("history: {types: some}", "history.types"),
    ("worker: {cache: 64}", "worker.cache"), ("worker: {cache: 64MB}", "worker.cache"),
    ("worker: {cache: 064MiB}", "worker.cache"), ("train: {stall_timeout: 30}", "train.stall_timeout"),
    ("train: {stall_timeout: 1.5s}", "train.stall_timeout"), ("features: {openai: {timeout: 0}}",
                                                              "features.openai.timeout"),
    ("prepare: {memory: 0}", "prepare.memory"), ("evaluate: {baselines: [als]}", "evaluate.baselines"),
    ("evaluate: {baselines: [ease, ease]}", "evaluate.baselines"), ("checkpoint: {copies: 3}", "checkpoint.copies"),
    ("cluster: {scheduler: '127.0.0.1:7700'}", "cluster.scheduler"),
    ("cluster: {scheduler: tcp://10.0.0.1}", "cluster.scheduler"),
    ("cluster: {scheduler: 'tcp://10.0.0.1:7700 '}", "cluster.scheduler"),
    ("cluster: {advertise: '10.0.0.1:7700'}", "cluster.advertise"), ("http: {bind: localhost}", "http.bind"),
    ("http: {process_bind: '7701'}", "http.process_bind"),
    ("features: {openai: {url: 'ftp://host/v1'}}", "features.openai.url"),
    ("train: {wire: bf16}", "train.wire"), ("job: 5.5\nhgnn: 5", "hgnn"), ("[1, 2]", ""), ("seed: .nan", "seed"),
]
problems = []


class Loader(yaml.SafeLoader):
    """YAML 1.2, as editors and weft read it: PyYAML takes `off` for false and `1e-3` for a text."""


Loader.yaml_implicit_resolvers = {}
Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), list("tf"))
Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(null|~|)$"), ["n", "~", ""])
Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile("^[-+]?[0-9]+$"), list("-+0123456789"))
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?|\.(inf|nan))$"), list("-+.0123456789"))


def weft(*arguments):
    return subprocess.run([WEFT, *arguments], capture_output=True, text=True, timeout=60)


def check_generated(name, option):
    printed = weft("config", option).stdout
    with open(os.path.join(CONFIGS, name), encoding="utf-8") as file:
        if file.read() != printed:
            problems.append(f"configs/{name} is not what `weft config {option}` prints: build the target config_files")
    return printed


def load(text):
    return yaml.load(text, Loader) or {}


def main():
    check_generated("reference.md", "--docs")
    schema = json.loads(check_generated("schema.json", "--schema"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    files = sorted(glob.glob(os.path.join(CONFIGS, "*.yaml")))
    for path in files:
        with open(path, encoding="utf-8") as file:
            problems.extend(f"{path}: {error.message}" for error in validator.iter_errors(load(file.read())))
        run = weft("config", "-c", path)
        if run.returncode != 0:
            problems.append(f"{path}: {run.stderr}")
            continue
        # What is in force, written out whole, is valid, too.
        problems.extend(f"{path}, printed: {error.message}" for error in validator.iter_errors(load(run.stdout)))
    with tempfile.TemporaryDirectory() as folder:
        for text, key in BAD:
            path = os.path.join(folder, "bad.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text + "\n")
            if validator.is_valid(load(text)):
                problems.append(f"the schema accepts {text!r}")
            run = weft("config", "-c", path)
            if run.returncode != 2 or not re.search(rf"bad\.yaml:\d+:\d+: {re.escape(key)}", run.stderr):
                problems.append(f"weft on {text!r}: exit {run.returncode}: {run.stderr}")
    print("\n".join(problems) or f"{len(files)} files are valid, {len(BAD)} are not")
    sys.exit(1 if problems or len(files) < 6 else 0)


main()
