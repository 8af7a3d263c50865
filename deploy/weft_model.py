#!/usr/bin/env python3
"""Reads what `weft train` exports, and runs its towers: numpy and nothing else.

    import weft_model
    m = weft_model.Model("work/quickstart/out")
    m.recommend("user-1", k=10)                      # [(item_id, score)], without what the user has
    m.similar("podcast-2", k=10)
    u = m.user_vector(["audiobook-1", "podcast-2"])  # of a history that no training has seen
    m.item_vectors @ u                               # scores of all items

    weft_model.py check DIR [--data DATA] [--tolerance 1e-4]

check computes every item's and user's vector again from model.safetensors, and compares them with items.npy
and users.npy.  DATA holds the users.tsv and items.tsv of the training; it is needed where attributes are
features.
"""
import argparse
import csv
import gzip
import json
import mmap
import os
import sys

import numpy as np

DTYPES = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2")}
COUNT_SCALE = np.float32(0.3)


def read_safetensors(path):
    """(tensors by name, metadata).  Tensors are views of the mapped file."""
    with open(path, "rb") as file:
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length].decode())
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, t in header.items():
        begin, end = t["data_offsets"]
        dtype = DTYPES[t["dtype"]]
        array = np.frombuffer(data, dtype, (end - begin) // dtype.itemsize, 8 + length + begin)
        tensors[name] = array.reshape(t["shape"])
    return tensors, metadata


def read_config(text):
    """The keys of an exported config.yaml, "two_tower.dims": [512, 256].  Not for YAML in general."""
    keys, stack = {}, []
    for line in text.splitlines():
        key, _, value = line.strip().partition(":")
        depth = (len(line) - len(line.lstrip())) // 2
        stack[depth:] = [key.strip('"')]
        value = value.strip()
        if value:
            try:
                keys[".".join(stack)] = json.loads(value)
            except json.JSONDecodeError:
                keys[".".join(stack)] = value
    return keys


def unescape(value):
    """A value of a TSV of weft's: \\t \\r \\n and \\\\ stand for what they say."""
    if "\\" not in value:
        return value
    out, at = [], 0
    while at < len(value):
        pair = value[at:at + 2]
        out.append({"\\t": "\t", "\\r": "\r", "\\n": "\n", "\\\\": "\\"}.get(pair, value[at]))
        at += 2 if pair in ("\\t", "\\r", "\\n", "\\\\") else 1
    return "".join(out)


def read_table(path):
    """Header and rows of an input or output table: .tsv, .csv, .gz of them."""
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
        if ".csv" in os.path.basename(path):
            rows = list(csv.reader(file))
        else:
            rows = [[unescape(v) for v in line.rstrip("\r\n").split("\t")] for line in file if line.strip("\r\n")]
    return rows[0], rows[1:]


def normalise(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


class Model:
    """The folder that `weft train` exports into."""

    def __init__(self, folder):
        self.folder = folder
        self.tensors, self.metadata = read_safetensors(self.path("model.safetensors"))
        if self.metadata.get("format") != "weft-model-1":
            raise ValueError(f"{folder}: format {self.metadata.get('format')!r} is not weft-model-1")
        self.config = read_config(self.metadata["config"])
        self.types = json.loads(self.metadata["types"])
        self.attributes = json.loads(self.metadata["attributes"])
        header, rows = read_table(self.path("items.tsv"))
        self.item_ids = [r[header.index("item_id")] for r in rows]
        self.item_types = np.array([self.types.index(r[header.index("item_type")]) for r in rows], int)
        header, rows = read_table(self.path("users.tsv"))
        self.user_ids = [r[header.index("user_id")] for r in rows]
        self.item_row = {name: i for i, name in enumerate(self.item_ids)}
        self.user_row = {name: i for i, name in enumerate(self.user_ids)}
        self.item_vectors, self.user_vectors = self.load("items.npy"), self.load("users.npy")
        self.seen = self.load("seen_indptr.npy"), self.load("seen_items.npy")
        self.history = self.load("history_indptr.npy"), self.load("history_items.npy")
        self.use_z = self.config["two_tower.use_z"]
        self.v = self.load("item_embeddings.npy") if self.use_z else self.text()

    def path(self, name):
        return os.path.join(self.folder, name)

    def load(self, name):
        return np.load(self.path(name), mmap_mode="r")

    def tensor(self, name):
        return self.tensors.get("two_tower." + name)

    def text(self):
        """[items, d]; d is 0 where no text enters the towers, as with features.encoder: none."""
        text = self.tensors.get("text.vectors", np.zeros((len(self.item_ids), 0)))
        return text.astype(np.float32)

    # ---- Using the vectors ----

    def best(self, scores, k, item_type, without):
        scores = np.array(scores, np.float32)
        if item_type is not None:
            scores[self.item_types != self.types.index(item_type)] = -np.inf
        scores[list(without)] = -np.inf
        order = np.argsort(-scores, kind="stable")[:k]
        return [(self.item_ids[i], float(scores[i])) for i in order if scores[i] > -np.inf]

    def recommend(self, user_id, k=10, item_type=None):
        row = self.user_row[user_id]
        indptr, items = self.seen
        seen = items[indptr[row]:indptr[row + 1]]
        return self.best(self.item_vectors @ self.user_vectors[row], k, item_type, seen)

    def similar(self, item_id, k=10, item_type=None):
        """By the towers' vectors without their last coordinate, popularity."""
        row, d = self.item_row[item_id], self.config["two_tower.dims"][-1]
        return self.best(self.item_vectors[:, :d] @ self.item_vectors[row, :d], k, item_type, [row])

    # ---- The towers ----

    def tower(self, side, x, skip):
        layers = len(self.config["two_tower.dims"])
        for k in range(1, layers + 1):
            x = x @ self.tensor(f"{side}.{k}.w").T + self.tensor(f"{side}.{k}.b")
            x = np.maximum(x, 0) if k < layers else x
        if self.tensor("skip.w") is not None:
            x = x + skip @ self.tensor("skip.w").T
        return normalise(x)

    def embed_attributes(self, side, values, n):
        """values: {key: [value of each row]}; a value that training did not know is row 0."""
        parts = []
        for key, known in self.attributes[side].items():
            table = self.tensor(f"attribute.{side}.{key}")
            if table is None:
                continue
            if values is None or key not in values:
                raise ValueError(f"the {side} attribute {key!r} is a feature of this model: give its values")
            index = {value: i + 1 for i, value in enumerate(known)}
            parts.append(table[[index.get(v, 0) for v in values[key]]])
        return np.hstack(parts + [np.zeros((n, 0), np.float32)])

    def skip_has_text(self):
        return self.use_z and self.config["two_tower.skip"] == "shared" and self.config["two_tower.skip_text"]

    def embed_users(self, histories, attributes=None, dense=None):
        """Vectors [n, d] of users with these histories, lists of item rows, the latest last."""
        n, types, v_dim = len(histories), len(self.types), self.v.shape[1]
        ids = self.tensor("item_id")
        text = self.text() if self.skip_has_text() else np.zeros((len(self.v), 0), np.float32)
        rows = np.concatenate([np.asarray(h, int) for h in histories] + [np.zeros(0, int)])
        user = np.repeat(np.arange(n), [len(h) for h in histories])
        counts = np.zeros((n, types), np.float32)
        np.add.at(counts, (user, self.item_types[rows]), 1)
        by_type = np.zeros((n, types, v_dim), np.float32)
        np.add.at(by_type, (user, self.item_types[rows]), self.v[rows])

        def mean(values):
            total = np.zeros((n, values.shape[1]), np.float32)
            np.add.at(total, user, values[rows])
            return total / np.maximum(counts.sum(1, keepdims=True), 1)

        pooled = mean(self.v)
        pooled_id = mean(ids) if ids is not None else np.zeros((n, 0), np.float32)
        logs = COUNT_SCALE * np.log1p(counts)
        pool = self.config["history.pool"]
        parts = [pooled] if pool != "per_type" else []
        if pool != "all":
            parts.append((by_type / np.maximum(counts, 1)[:, :, None]).reshape(n, -1))
        known = self.embed_attributes("user", attributes, n)
        parts += [pooled_id, logs, known]
        if dense is not None:
            parts.append(np.asarray(dense, np.float32))
        x = np.hstack(parts)
        width = self.tensor("user.1.w").shape[1]
        if x.shape[1] != width:
            raise ValueError(f"the user input has {x.shape[1]} numbers and the model {width}: dense vectors?")
        out = self.tower("user", x, np.hstack([pooled, mean(text), pooled_id]))
        if self.tensor("popularity.w") is None:
            return out
        if known.shape[1] == 0 and dense is None:  # of whom nothing is known
            out[counts.sum(1) == 0] = 0
        last = logs @ self.tensor("popularity.w").reshape(-1) + self.tensor("popularity.b").reshape(-1)
        return np.hstack([out, last[:, None]])

    def embed_items(self, attributes=None):
        """Vectors [items, d] of all items.  attributes: {key: [value of each item]}."""
        n, ids, kind = len(self.item_ids), self.tensor("item_id"), self.item_types
        positives = self.tensor("positives")
        unknown = (positives == 0) & (self.config["two_tower.item_drop"] > 0)
        v = np.array(self.v)
        ids = np.array(ids) if ids is not None else np.zeros((n, 0), np.float32)
        ids[unknown] = 0
        if self.use_z:
            v[unknown] = 0
        text = self.text()
        item_text = text if self.use_z and self.config["two_tower.use_text"] else text[:, :0]
        table = self.tensor("type")
        type_part = table[kind] if table is not None else np.zeros((n, 0), np.float32)
        x = np.hstack([v, item_text, type_part, self.embed_attributes("item", attributes, n), ids])
        out = self.tower("item", x, np.hstack([v, text if self.skip_has_text() else text[:, :0], ids]))
        if self.tensor("popularity.w") is None:
            return out
        last = COUNT_SCALE * np.log1p(positives)
        learned = self.tensor("popularity.unknown")
        if learned is not None:
            last = np.where(unknown, learned.reshape(-1)[kind], last)
        return np.hstack([out, last[:, None]])

    def user_vector(self, items, attributes=None, dense=None):
        """Of one user with this history of item ids, the latest last.  attributes: {key: value}."""
        wanted, most = self.config["history.types"], self.config["history.max_items"]
        rows = [self.item_row[i] for i in items]
        rows = [r for r in rows if wanted == "all" or self.types[self.item_types[r]] in wanted]
        rows = rows[-most:] if most else rows
        values = None if attributes is None else {k: [v] for k, v in attributes.items()}
        if values is None and self.attributes["user"]:
            values = {k: [""] for k in self.attributes["user"]}  # unknown
        return self.embed_users([rows], values, None if dense is None else [dense])[0]


# ---- Comparing ----

def find_table(folder, name):
    for ending in (".tsv", ".tsv.gz", ".csv", ".csv.gz"):
        path = os.path.join(folder, name + ending)
        if os.path.exists(path):
            return path
    raise FileNotFoundError(f"{folder}: no {name}.tsv or .csv")


def user_attributes(path, user_ids, keys):
    """{key: [value of each user]} of a users file: columns, or fields `key=value`."""
    header, rows = read_table(path)
    found = {}
    for row in rows:
        fields = dict(f.split("=", 1) for f in row[1:] if "=" in f)
        fields.update({h: v for h, v in zip(header, row) if h in keys})
        found[row[header.index("user_id")]] = fields
    return {key: [found.get(u, {}).get(key, "") for u in user_ids] for key in keys}


def item_attributes(path, item_ids, keys):
    header, rows = read_table(path)
    column = header.index("item_id")
    found = {row[column]: row for row in rows}
    return {key: [found[i][header.index(key)] for i in item_ids] for key in keys}


def check(folder, data, tolerance):
    m = Model(folder)
    users = items = None
    if m.attributes["user"] and data:
        users = user_attributes(find_table(data, "users"), m.user_ids, m.attributes["user"])
    if not data and (m.attributes["user"] or m.attributes["item"]):
        raise ValueError("attributes are features of this model: give --data, the folder that it was trained on")
    if m.attributes["item"] and data:
        items = item_attributes(find_table(data, "items"), m.item_ids, m.attributes["item"])
    indptr, rows = m.history
    histories = [rows[indptr[u]:indptr[u + 1]] for u in range(len(m.user_ids))]
    worst = 0.0
    for name, again, exported in (("items.npy", m.embed_items(items), m.item_vectors),
                                  ("users.npy", m.embed_users(histories, users), m.user_vectors)):
        difference = float(np.abs(again - exported).max()) if exported.size else 0.0
        worst = max(worst, difference)
        print(f"{name}: {exported.shape[0]} vectors of {exported.shape[1]}, largest difference {difference:.2g}")
    print("the towers agree" if worst <= tolerance else f"they differ by more than {tolerance:g}")
    return 0 if worst <= tolerance else 1


def main():
    parser = argparse.ArgumentParser(description="Runs the towers of an export again and compares.")
    parser.add_argument("command", choices=["check"])
    parser.add_argument("folder")
    parser.add_argument("--data", help="folder of the training's users.tsv and items.tsv")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    a = parser.parse_args()
    try:
        return check(a.folder, a.data, a.tolerance)
    except (OSError, ValueError, KeyError) as error:
        print(f"weft_model: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
