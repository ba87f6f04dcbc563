"""How an index grows: bytes a picture, and how long it takes to ask, with synthetic vectors.

    python benchmarks/index_scale.py                  # 10,000, 100,000, 1,000,000 of 512 numbers
    python benchmarks/index_scale.py --sizes 10000

Rows are written as `unseen index` writes them, with vectors drawn around 1,000 centres in place of
looking at pictures, and paths of 43 letters. The first question makes the derived matrix; others
are medians of five. Peak memory is that of a process of its own that asks (VmHWM).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

DIMENSION, LABELS = 512, 100

ASK = """
import json, statistics, sys, time
from pathlib import Path
import numpy as np
from unseen.models.model import Score
from unseen.prediction import score
from unseen.index import schema
from unseen.index.vectors import matrix as derived, search
folder = Path(sys.argv[1])
database = schema.connect(folder / "index.sqlite")
rng = np.random.default_rng(1)
queries = rng.standard_normal((int(sys.argv[2]), int(sys.argv[3])), dtype=np.float32)
queries /= np.linalg.norm(queries, axis=1, keepdims=True)
def timed(work, rounds=5):
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
start = time.perf_counter()
rows = derived.matrix(database, folder, 1)
made = time.perf_counter() - start
def label():
    for block in search.products(rows, queries):
        score.single_label(block, Score("softmax", 100.0)).argmax(1)
def ask():
    search.nearest(derived.matrix(database, folder, 1), queries[0], 50)
found = {"made": made, "search": timed(ask), "labels": timed(label)}
if sys.argv[4] == "True":
    from unseen.index.vectors import approximate
    start = time.perf_counter()
    approximate.nearest(rows, folder, 1, queries[0], 10)
    found["graph made"] = time.perf_counter() - start
    # New pictures of the same kind: the centres are those that the rows were drawn around.
    centres = np.random.default_rng(0).standard_normal((1000, int(sys.argv[3])), dtype=np.float32)
    near = centres[rng.integers(1000, size=100)]
    near = near + rng.standard_normal(near.shape, dtype=np.float32)
    near /= np.linalg.norm(near, axis=1, keepdims=True)
    hits, times = 0, []
    for query in near:
        exact, _ = search.nearest(rows, query, 10)
        start = time.perf_counter()
        guess, _ = approximate.nearest(rows, folder, 1, query, 10)
        times.append(time.perf_counter() - start)
        hits += len({*exact.tolist()} & {*guess.tolist()})
    found["recall"], found["graph search"] = hits / 1000, statistics.median(times)
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
found["peak"] = next((int(l.split()[1]) / 1024 for l in lines if l.startswith("VmHWM")), None)
print(json.dumps(found))
"""


def fill(folder: Path, count: int) -> float:
    """An index of `count` synthetic pictures → the seconds of writing it."""
    from unseen.index import schema

    database = schema.connect(folder / "index.sqlite")
    database.execute(
        "INSERT INTO model (name, fingerprint, preprocess, precision, dimension) "
        "VALUES ('synthetic', 'none', 'none', 'fp32', ?)",
        (DIMENSION,),
    )
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((1000, DIMENSION), dtype=np.float32)
    start = time.perf_counter()
    for first in range(0, count, 64):  # as `unseen index` commits
        numbers = range(first, min(first + 64, count))
        noise = rng.standard_normal((len(numbers), DIMENSION), dtype=np.float32)
        rows = centres[rng.integers(1000, size=len(numbers))] + noise
        halves = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype("<f2")
        contents = [hashlib.sha256(str(n).encode()).digest()[:16] for n in numbers]
        database.execute("BEGIN IMMEDIATE")
        database.executemany(
            "INSERT INTO picture (model, content, bytes, width, height, taken, embedding) "
            "VALUES (1, ?, 3000000, 4000, 3000, '2024-05-06T07:08:09', ?)",
            [(c, row.tobytes()) for c, row in zip(contents, halves, strict=True)],
        )
        database.executemany(
            "INSERT INTO file (path, content, size, modified_ns) VALUES (?, ?, 3000000, ?)",
            [
                (f"2024/holidays by the sea/IMG_{n:010}.jpg", c, 1700000000 * 10**9 + n)
                for n, c in zip(numbers, contents, strict=True)
            ],
        )
        database.execute("COMMIT")
    seconds = time.perf_counter() - start
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where there is room: 2.5 GB for 1,000,000")
    parser.add_argument("--approximate", action="store_true", help="the graph of neighbours too")
    options = parser.parse_args()
    print(
        "pictures | writing | database, bytes a picture | matrix, bytes | made in | "
        f"one search | {LABELS} labels for all | peak memory"
    )
    for count in options.sizes:
        folder = Path(tempfile.mkdtemp(dir=options.folder))
        try:
            seconds = fill(folder, count)
            size = (folder / "index.sqlite").stat().st_size / count
            command = [sys.executable, "-c", ASK, str(folder), str(LABELS), str(DIMENSION)]
            command.append(str(options.approximate))
            done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
            if done.returncode:
                sys.exit(done.stderr)
            found = json.loads(done.stdout)
            files = (folder / f"vectors-1{suffix}" for suffix in (".f16", ".ids"))
            derived = sum(path.stat().st_size for path in files) / count
            peak = "" if found["peak"] is None else f"{found['peak']:.0f} MB"
            cells = (
                f"{count:,}",
                f"{seconds:.1f} s",
                f"{size:.0f}",
                f"{derived:.0f}",
                f"{found['made']:.2f} s",
                f"{1000 * found['search']:.0f} ms",
                f"{found['labels']:.2f} s",
                peak,
            )
            print(" | ".join(cells), flush=True)
            if options.approximate:
                print(
                    f"  a graph of neighbours: made in {found['graph made']:.0f} s, one search "
                    f"{1000 * found['graph search']:.1f} ms, recall@10 {found['recall']:.3f}, "
                    f"{(folder / 'vectors-1.graph').stat().st_size / count:.0f} bytes a picture",
                    flush=True,
                )
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
