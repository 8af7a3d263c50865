#!/usr/bin/env python3
"""Proves: every file of configs/ runs as it is, to a result: prepared, trained, evaluated and exported on a small
generated catalogue, with fewer steps and in a folder of its own; nothing else of the file is changed.

    config_runs.py BIN_DIR SOURCE_DIR"""
import json
import os
import random
import socket
import subprocess
import sys
import tempfile

BIN, SOURCE = sys.argv[1], sys.argv[2]
SHORT = ["hgnn.max_steps=2", "two_tower.max_steps=2", "validate.every=2", "evaluate.bootstrap=100",
         "features.encoder=hash"]  # hash: the weights of `embedded` need not be here
problems = []


def run(*words):
    return subprocess.run(words, capture_output=True, text=True, timeout=240)


def weft(*words):
    return run(os.path.join(BIN, "weft"), *words)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def write_movielens(folder):
    """The layout of GroupLens' files."""
    random.seed(1)
    os.makedirs(folder)
    with open(os.path.join(folder, "movies.csv"), "w", encoding="utf-8") as file:
        file.write("movieId,title,genres\n")
        file.writelines(f'{i},"Film, The {i} (199{i % 10})",Drama|{"Comedy" if i % 2 else "War"}\n' for i in range(80))
    with open(os.path.join(folder, "ratings.csv"), "w", encoding="utf-8") as file:
        file.write("userId,movieId,rating,timestamp\n")
        for user in range(60):
            for movie in random.sample(range(80), 20):
                file.write(f"{user},{movie},{random.choice(['2.0', '4.0', '5.0'])},{900000000 + random.randrange(10**7)}\n")


def train(name, folder, *extra):
    sets = [word for value in [f"work_dir={folder}/{name}", *SHORT] for word in ("--set", value)]
    ran = weft("train", "-c", os.path.join(SOURCE, "configs", f"{name}.yaml"), *sets, *extra)
    report = os.path.join(folder, name, "out", "report.json")
    if ran.returncode != 0 or not os.path.exists(os.path.join(folder, name, "out", "run.json")):
        problems.append(f"{name}: exit {ran.returncode}: {ran.stderr[-2000:]}")
        return
    with open(report, encoding="utf-8") as file:
        stages = [stage["stage"] for stage in json.load(file)["training"]]
    if stages[:2] != ["hgnn", "two_tower"]:
        problems.append(f"{name}: trained {stages}")


def main():
    names = {name[:-5] for name in os.listdir(os.path.join(SOURCE, "configs")) if name.endswith(".yaml")}
    with tempfile.TemporaryDirectory() as folder:
        made = weft("synth", "--users", "150", "--items", "120", "--types", "2", "--interactions", "3000", "--seed",
                    "1", "--out", f"{folder}/data")
        keys = weft("keygen", "--out", f"{folder}/keys")
        assert made.returncode == 0 and keys.returncode == 0, made.stderr + keys.stderr
        write_movielens(f"{folder}/ml")
        extra = {
            "movielens": ["--set", f"data.items.path={folder}/ml/movies.csv", "--set",
                          f"data.interactions.path={folder}/ml/ratings.csv"],
            "cluster": ["--data", f"{folder}/data", "--set", f"cluster.scheduler=tcp://127.0.0.1:{free_port()}", "--set",
                        f"security.keys={folder}/keys", "--set", "http.bind=127.0.0.1:0", "--set",
                        f"checkpoint.dir={folder}/checkpoints"],
        }
        for name in sorted(names):
            train(name, folder, *extra.get(name, ["--data", f"{folder}/data"]))
    missing = {"laptop", "cluster", "movielens", "quickstart", "catalogue", "paper"} - names
    problems.extend(f"configs/{name}.yaml is missing" for name in sorted(missing))
    print("\n".join(problems) or f"{len(names)} configurations ran")
    sys.exit(1 if problems else 0)


main()
