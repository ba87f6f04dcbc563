"""What `unseen diff` costs: two made-up runs of many rows, compared in a process of its own.

python benchmarks/diff.py                  # 1,000,000 rows, CSV
python benchmarks/diff.py --rows 100000 --format jsonl
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from unseen.prediction.prediction import Prediction, Scored
from unseen.results import write

LABELS = [f"label {i}" for i in range(100)]
CHANGED = 0.01
CODE = """
import resource, sys, time
from pathlib import Path
from unseen.results.compare import diff
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
found = diff(Path(sys.argv[1]), Path(sys.argv[2]))
seconds = time.perf_counter() - start
more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
print(f"{found.both:,} pictures, {len(found.flips):,} flips: {seconds:.1f} s, {more:,.0f} MB")
"""


def predictions(rows: int, changed: float) -> Iterator[Prediction]:
    rng, flip = random.Random(1), random.Random(2)
    for i in range(rows):
        first, second = rng.sample(LABELS, 2)
        if flip.random() < changed:
            first, second = second, first
        ranking = (Scored(first, 0.6, 0.3), Scored(second, 0.3, 0.2))
        yield Prediction(f"photos/{i // 1000:05}/{i:08}.jpg", ranking)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--format", choices=("csv", "jsonl"), default="csv")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.{given.format}" for name in "ab"]
        for path, changed in zip(paths, (0.0, CHANGED), strict=True):
            write(predictions(given.rows, changed), path, top_k=2)
        subprocess.run([sys.executable, "-c", CODE, *map(str, paths)], check=True)


if __name__ == "__main__":
    main()
