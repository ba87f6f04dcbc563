"""How time and memory grow: with pictures, labels, the size of a picture, and cores.

    python benchmarks/growth.py                 # about 15 minutes on two cores, 3 GB of disk
    python benchmarks/growth.py --axes labels megapixels
    python benchmarks/growth.py --largest 1e4   # no axis goes further

Every point is a process of its own, with the cores that its row names, and its peak memory (VmHWM).
The exponent p of time ~ n^p is fitted to the last three points of each axis by least squares of the
logarithms; near 1 a thing twice as large takes twice as long. Axes:

  pictures    JPEGs of 0.1 megapixels, decoded and encoded by a B/32, 100 labels
  rows        pictures of an index of random vectors × 100 labels: their answers
  prompts     labels that are encoded by the text net, none of them known
  labels      labels whose vectors are known × 1,000 pictures whose vectors are known
  megapixels  one JPEG: decoded and preprocessed as a B/32 takes it
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import ROOT, b32

import unseen
from unseen.labels.label_set import Label
from unseen.prediction.decision import Decision
from unseen.prediction.predict import predict
from unseen.system.cpu import usable

PRECISION = "int8"
FITTED = 3  # points, the last ones


def pictures(count: int, work: Path) -> Callable[[], object]:
    path = jpeg(work, 0.1)
    classifier = unseen.load(b32(), precision=PRECISION)
    labels = classifier.compile(named(classifier, 100))
    next(classifier.classify_many([path], labels))
    return lambda: sum(p.ok for p in classifier.classify_many([path] * count, labels))


def rows(count: int, work: Path) -> Callable[[], object]:
    from unseen.index.index import Index

    classifier = unseen.load(b32())
    labels = named(classifier, 100)
    index = Index(work / f"rows-{count}")
    return lambda: sum(p.ok for p in index.view(classifier).classify(labels, Decision(top_k=1)))


def prompts(count: int, work: Path) -> Callable[[], object]:
    encoder = unseen.load(b32()).encoder
    encoder.encode_once(["warm"])
    texts = [f"a photo of a kind of thing, number {i}" for i in range(count)]
    return lambda: encoder.encode_once(texts)


def labels(count: int, work: Path) -> Callable[[], object]:
    classifier = unseen.load(b32())
    compiled = named(classifier, count)
    vectors = unit(np.random.default_rng(1), 1000, classifier.model.dimension)
    names = [str(i) for i in range(len(vectors))]
    step = max(1, 2**21 // count)  # as `classify_to_file` does

    def run() -> None:
        for start in range(0, len(names), step):
            part = slice(start, start + step)
            predict(names[part], vectors[part], compiled, Decision(top_k=1))

    return run


def megapixels(size: float, work: Path) -> Callable[[], object]:
    path = jpeg(work, size)
    encoder = unseen.load(b32()).encoder
    return lambda: encoder.pixels(path)


@dataclass(frozen=True)
class Axis:
    """What grows: the values, what is measured, and how often."""

    values: Sequence[float]
    prepare: Callable[..., Callable[[], object]]
    repeats: int = 1
    cores: tuple[int, ...] = (1, 2)


AXES = {
    "pictures": Axis((10**2, 3 * 10**2, 10**3), pictures),
    "rows": Axis((10**3, 10**4, 10**5, 10**6), rows),
    "prompts": Axis((1, 10, 10**2, 10**3), prompts),
    "labels": Axis((1, 10, 10**2, 10**3, 10**4, 10**5), labels),
    "megapixels": Axis((0.1, 0.3, 1, 3, 12, 24, 48), megapixels, 5, (1,)),
}


def unit(generator: np.random.Generator, count: int, dimension: int) -> np.ndarray:
    vectors = generator.standard_normal((count, dimension), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def named(classifier: unseen.Classifier, count: int) -> unseen.CompiledLabels:
    """A label set with random vectors."""
    vectors = unit(np.random.default_rng(0), count, classifier.model.dimension)
    words = [Label(f"thing {i}", (f"thing {i}",)) for i in range(count)]
    return unseen.CompiledLabels.of_vectors(words, vectors, classifier.model)


def jpeg(work: Path, size: float) -> str:
    """A photograph of so many megapixels."""
    path = work / f"{size:g}.jpg"
    if not path.is_file():
        image = Image.open(ROOT / "examples" / "cat.jpg").convert("RGB")
        across = round((size * 1e6 * 4 / 3) ** 0.5)
        image.resize((across, across * 3 // 4), Image.Resampling.BICUBIC).save(path, quality=90)
    return str(path)


def make(axis: str, value: float, work: Path) -> None:
    """What a point needs on disk, made before it is measured."""
    if axis == "megapixels":
        jpeg(work, value)
    if axis == "rows" and not (work / f"rows-{value:g}").exists():
        from index_classify import fill

        root = work / f"rows-{int(value)}"
        root.mkdir()
        fill(root, unseen.load(b32()).encoder, int(value), files=False)


def point(axis: str, value: float, work: Path) -> None:
    """Measure one point, in this process, and print it."""
    row = AXES[axis]
    run = row.prepare(value if axis == "megapixels" else int(value), work)
    times = []
    for _ in range(row.repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    print(sorted(times)[len(times) // 2], int(status["VmHWM"].split()[0]) / 1024)


def exponent(values: Sequence[float], times: Sequence[float]) -> float:
    """p of time ~ value^p, over the last points."""
    logs = np.log(values[-FITTED:]), np.log(times[-FITTED:])
    return float(np.polyfit(*logs, 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--axes", nargs="+", choices=[*AXES], default=[*AXES])
    parser.add_argument("--largest", type=float, default=1e6)
    parser.add_argument("--point", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point:
        axis, value, work = options.point
        point(axis, float(value), Path(work))
        return
    b32()
    work = Path(tempfile.mkdtemp())
    fits = []
    print("| what grows | to | cores | time | a unit | peak memory |\n|---|---|---|---|---|---|")
    try:
        for name in options.axes:
            axis = AXES[name]
            values = [value for value in axis.values if value <= options.largest]
            for cores in (count for count in axis.cores if count <= usable()):
                times, peaks = [], []
                for value in values:
                    make(name, value, work)
                    seconds, peak = measured(name, value, work, cores)
                    times.append(seconds)
                    peaks.append(peak)
                    print(
                        f"| {name} | {value:,g} | {cores} | {seconds:.4g} s | "
                        f"{1e6 * seconds / value:,.0f} µs | {peak:,.0f} MB |",
                        flush=True,
                    )
                if len(values) > 1:
                    fit = exponent(values, times), exponent(values, peaks)
                    fits.append(f"| {name} | {cores} | {fit[0]:.2f} | {fit[1]:.2f} |")
            shutil.rmtree(work)
            work.mkdir()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("\n| what grows | cores | exponent of time | of memory |\n|---|---|---|---|")
    print("\n".join(fits))


def measured(name: str, value: float, work: Path, cores: int) -> tuple[float, float]:
    """Seconds and peak megabytes of a point, in a process with so many cores."""
    allowed = sorted(os.sched_getaffinity(0))[:cores]
    command = ["taskset", "-c", ",".join(map(str, allowed)), sys.executable, __file__]
    command += ["--point", name, str(value), str(work)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    seconds, peak = map(float, done.stdout.split()[-2:])
    return seconds, peak


if __name__ == "__main__":
    main()
