"""An index × a label set: how fast all pictures of an index get their label, and at what memory.

    python benchmarks/index_classify.py                       # 1,000,000 pictures × 1,000 labels
    python benchmarks/index_classify.py --pictures 100000

The index has random vectors of length 1 in place of those of pictures, and for each an empty file
whose size and time are those of its row, so that `unseen classify INDEX -o out.parquet` finds
nothing new. Printed are: the product of all rows with all labels, its softmax and its best label,
beside the least time that the processor's best matrix product and the memory's bandwidth allow
(the larger of both, measured in the same run); the same with every answer as an object; and the
command, from start to end, with its peak memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from limits import SIZES, copy, processor, product_session, rates
from side_by_side import b32

import unseen
from unseen.index.index import Index
from unseen.index.model_rows import add_row
from unseen.index.vectors import search
from unseen.prediction import score
from unseen.prediction.decision import Decision
from unseen.system.cpu import usable

FOLDER_FILES = 1000
COMMAND = """
import atexit, sys
from pathlib import Path
def peak():
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    print("peak", status["VmHWM"].split()[0], file=sys.stderr)
atexit.register(peak)
from unseen.__main__ import main
main()
"""


def fill(root: Path, encoder: unseen.Encoder, count: int, *, files: bool = True) -> None:
    """An index of `count` pictures with random vectors; `files`: with an empty file for each."""
    generator = np.random.default_rng(0)
    with Index(root) as index:
        database = index.database
        model = add_row(database, encoder)
        for first in range(0, count, FOLDER_FILES):
            folder = root / f"{first // FOLDER_FILES:04}"
            if files:
                folder.mkdir()
            numbers = range(first, min(first + FOLDER_FILES, count))
            vectors = generator.standard_normal(
                (len(numbers), encoder.model.dimension), dtype=np.float32
            )
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            halves = vectors.astype("<f2")
            rows = []
            for number in numbers:
                path, when = folder / f"{number:07}.jpg", 0
                if files:
                    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
                    when = path.stat().st_mtime_ns
                rows.append((f"{folder.name}/{path.name}", when))
            contents = [number.to_bytes(16, "big") for number in numbers]
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO picture (model, content, bytes, width, height, embedding) "
                "VALUES (?, ?, 0, 4000, 3000, ?)",
                [(model, c, row.tobytes()) for c, row in zip(contents, halves, strict=True)],
            )
            database.executemany(
                "INSERT INTO file (path, content, size, modified_ns) VALUES (?, ?, 0, ?)",
                [(name, c, when) for c, (name, when) in zip(contents, rows, strict=True)],
            )
            database.execute("COMMIT")


def report(what: str, count: int, seconds: float, least: float, peak: str = "") -> None:
    rate = f"{count / seconds:,.0f}"
    print(f"| {what} | {seconds:.1f} s | {rate} | {least / seconds:.0%} | {peak} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--labels", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where there is room for 2 KB a picture")
    options = parser.parse_args()
    names = [f"a kind of thing, number {i}" for i in range(options.labels)]
    classifier = unseen.load(b32())
    compiled = classifier.compile(names)
    bests = rates([product_session(size, "fp32", usable()) for size in SIZES])
    peak, bandwidth = max(bests.values()), rates([copy()])["copy"]
    operations = 2.0 * options.pictures * options.labels * classifier.model.dimension
    moved = 2.0 * options.pictures * classifier.model.dimension  # half-precision rows, read once
    least = max(operations / peak, moved / bandwidth)
    print(f"{processor()}, {usable()} cores: {peak / 1e9:.0f} GFLOPS, {bandwidth / 1e9:.1f} GB/s")
    print(f"{options.pictures:,} pictures x {options.labels:,} labels: {least:.2f} s at least")
    print("| | time | pictures a second | of the limit | peak memory |")
    print("|---|---|---|---|---|")
    root = Path(tempfile.mkdtemp(dir=options.folder)).resolve()
    try:
        fill(root, classifier.encoder, options.pictures)
        with Index(root) as index:
            view = index.view(classifier)
            matrix = view.matrix()
            start = time.perf_counter()
            for block in search.products(matrix, compiled.matrix):
                score.single_label(block, compiled.score).argmax(1)
            report("vectors → best label", len(matrix), time.perf_counter() - start, least)
            start = time.perf_counter()
            count = sum(p.ok for p in view.classify(compiled, Decision(top_k=1)))
            report("rows → predictions", count, time.perf_counter() - start, least)
        label_file, output = root / "labels.txt", root / "out.parquet"
        label_file.write_text("\n".join(names), "utf-8")
        arguments = ["classify", str(root), "-l", str(label_file), "-m", str(b32())]
        command = [sys.executable, "-c", COMMAND, *arguments, "-o", str(output), "-q"]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(done.stderr)
        memory = int(done.stderr.split("peak ")[1].split()[0]) / 1024
        report("unseen classify INDEX -o out.parquet", count, seconds, least, f"{memory:,.0f} MB")
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
