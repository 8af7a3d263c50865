#!/usr/bin/env python3
"""deploy/weft_model.py against what weft exports: the towers give items.npy and users.npy again, and the
lists are those of recommendations.tsv.

    tests/loader.py --bin build/dev/bin
"""
import argparse
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "deploy"))
SKIPPED = 77

CONFIG = """job: loader
work_dir: work
features: {encoder: hash, ngram_dim: 64}
data: {items: {attributes: [shelf]}}
graph: {partitions: 2}
hgnn: {dims: [32, 32], random_features: 16, batch: 128, max_steps: 6, negatives: 32}
two_tower: {dims: [48, 32], batch: 128, max_steps: 6, item_id: 16, uniform_negatives: 32}
validate: {every: 3}
evaluate: {baselines: [popularity], bootstrap: 100}
"""
VARIANTS = {
    "default": [],
    "texts for z, no skip, no ids": ["two_tower.use_z=false", "two_tower.skip=none", "two_tower.item_id=0",
                                     "history.pool=both"],
    "no popularity, no text in the skip": ["two_tower.popularity=false", "two_tower.skip_text=false",
                                           "history.pool=per_type", "history.max_items=5"],
    "no texts": ["features.encoder=none"],
}


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, **options)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def make_data(binary, folder):
    """A generated catalogue with an attribute that one item lacks."""
    run(os.path.join(binary, "weft"), "synth", "--users", "150", "--items", "120", "--types", "3", "--interactions",
        "3000", "--seed", "1", "--out", "data", cwd=folder)
    path = os.path.join(folder, "data", "items.tsv")
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    with open(path, "w", encoding="utf-8") as file:
        for i, line in enumerate(lines):
            shelf = "shelf" if i == 0 else "" if i == 7 else f"s{i % 5}"
            file.write(f"{line}\t{shelf}\n")
    with open(os.path.join(folder, "job.yaml"), "w", encoding="utf-8") as file:
        file.write(CONFIG)


def check_lists(weft_model, out):
    """recommend gives the rows of recommendations.tsv; a history's vector is the user's."""
    import numpy
    m = weft_model.Model(out)
    header, rows = weft_model.read_table(os.path.join(out, "recommendations.tsv"))
    assert header == ["user_id", "type", "rank", "item_id", "score"], header
    wanted = {}
    for user, kind, _, item, score in rows:
        wanted.setdefault((user, kind), []).append((item, float(score)))
    for (user, kind), items in list(wanted.items())[:200]:
        found = m.recommend(user, len(items), kind)
        assert len(found) == len(items), (user, kind)
        for (a, x), (b, y) in zip(found, items):
            assert abs(x - y) < 1e-4 and (a == b or abs(x - y) < 1e-5), (user, kind, a, x, b, y)
    item = m.item_ids[3]
    assert item not in [i for i, _ in m.similar(item)]
    vector = m.user_vector(m.item_ids[:4])
    assert vector.shape == (m.user_vectors.shape[1],) and numpy.isfinite(vector).all()
    return len(wanted)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    binary = os.path.abspath(parser.parse_args().bin)
    try:
        import weft_model
    except ModuleNotFoundError as error:
        print(f"SKIPPED: {error}")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="weft-loader-") as folder:
        make_data(binary, folder)
        for i, (name, sets) in enumerate(VARIANTS.items()):
            words = [w for s in sets for w in ("--set", s)]
            run(os.path.join(binary, "weft"), "train", "-c", "job.yaml", "--data", "data", "--in-process", "--out",
                f"out{i}", "--set", f"work_dir={folder}/work{i}", *words, cwd=folder)
            said = run(sys.executable, os.path.join(ROOT, "deploy", "weft_model.py"), "check", f"out{i}", "--data",
                       "data", cwd=folder)
            assert "the towers agree" in said, said
            lists = check_lists(weft_model, os.path.join(folder, f"out{i}"))
            print(f"{name}: {said.splitlines()[0]}; {said.splitlines()[1]}; {lists} lists")
        # A spoilt vector is noticed.
        with open(os.path.join(folder, "out0", "users.npy"), "r+b") as file:
            file.seek(-4, os.SEEK_END)
            file.write(b"\0\0\x80\x40")
        done = subprocess.run([sys.executable, os.path.join(ROOT, "deploy", "weft_model.py"), "check", "out0", "--data",
                               "data"], cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1 and "differ by more" in done.stdout, done.stdout
    return 0


if __name__ == "__main__":
    sys.exit(main())
