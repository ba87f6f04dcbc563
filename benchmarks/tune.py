"""Fine-tuning with a leash (src/unseen/learning/tune) against what else there is, on drawn shapes.

    python benchmarks/tune.py              # the table, under two minutes on two cores
    python benchmarks/tune.py --command    # what `unseen tune` makes of the same pictures
    python benchmarks/tune.py --drawn      # drawn pictures as the leash: what each α forgets
    python benchmarks/tune.py --full-size  # steps of a B/32 of random weights: seconds, memory

The model is the small trained CLIP of the tests. It learns 40 of 80 labels from 16 grainy pictures
each; what judges was drawn anew. `seen` and `novel`: grainy pictures of labels that it learnt and
of the other 40, among the labels of their half. `clean`: pictures as the model was trained on,
among all 80. The leash are 320 clean scenes without labels.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import unseen
from unseen.evaluation.bootstrap import proportion
from unseen.learning.adapt import fit_adapter
from unseen.learning.tune import network as networks
from unseen.learning.tune import report_text
from unseen.learning.tune.options import TuneOptions
from unseen.learning.tune.pictures import drawn as drawn_here
from unseen.learning.tune.training import Batches, Lesson, learning_rate
from unseen.models.weights.changes import Changes, stored_changes
from unseen.runtimes.trainer import Batch, Objective, Trainer

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from transductive import grainy  # noqa: E402

import shapes  # noqa: E402

EACH, TEST, CLEAN, LEASH = 16, 10, 4, 320
FIXTURE = ROOT / "tests" / "fixtures" / "shapes-clip"


class CrossEntropy(Objective):
    """Plain fine-tuning: the softmax over all labels, from pictures to texts alone."""

    def contrast(
        self, images: torch.Tensor, texts: torch.Tensor, positive: torch.Tensor
    ) -> torch.Tensor:
        rows = (self.scale * images @ texts.T).log_softmax(1)
        return -(positive * rows).sum(1).mean()


@dataclass(frozen=True)
class Pictures:
    """Pixels as the net takes them, and the label of each."""

    pixels: np.ndarray
    label_ids: np.ndarray


def drawn(clf: unseen.Classifier, labels: Sequence[str], each: int, seed: int, noisy: bool) -> Any:
    pixels, ids = [], []
    rng = np.random.default_rng(seed)
    for label_id, label in enumerate(labels):
        for number in range(each):
            picture = shapes.draw(shapes.scene(label), 1000 * seed + number)
            pixels.append(clf.encoder.pixels(grainy(picture, rng) if noisy else picture))
            ids.append(label_id)
    return Pictures(np.stack(pixels), np.array(ids))


def scenes(clf: unseen.Classifier) -> np.ndarray:
    import random

    rng = random.Random(7)
    pictures = [shapes.draw(shapes.random_scene(rng, pairs=0.3), 9000 + i) for i in range(LEASH)]
    return np.stack([clf.encoder.pixels(picture) for picture in pictures])


class Bench:
    """The pictures of the table, and what each net is right about."""

    def __init__(self, seed: int = 0) -> None:
        self.clf = unseen.load(FIXTURE, device="cpu")
        every = shapes.labels()
        order = np.random.default_rng(seed).permutation(80)
        self.seen = [every[i] for i in sorted(order[:40])]
        self.novel = [every[i] for i in sorted(order[40:])]
        self.train = drawn(self.clf, self.seen, EACH, 1, True)
        self.leash = scenes(self.clf)
        self.tests = {
            "seen": (drawn(self.clf, self.seen, TEST, 2, True), self.texts(self.seen)),
            "novel": (drawn(self.clf, self.novel, TEST, 3, True), self.texts(self.novel)),
            "clean": (drawn(self.clf, every, CLEAN, 4, False), self.texts(every)),
        }
        self.before = self.embedder({}, 0.0)

    def texts(self, labels: Sequence[str]) -> np.ndarray:
        return self.clf.compile(labels).matrix

    def embedder(self, changes: Changes, share: float) -> Any:
        return networks.embedder(self.clf.model, changes, share, "cpu")

    def figures(self, embed: Callable[[np.ndarray], np.ndarray]) -> dict[str, tuple[int, int]]:
        counts = {}
        for name, (pictures, texts) in self.tests.items():
            answers = (embed(pictures.pixels) @ texts.T).argmax(1)
            counts[name] = int((answers == pictures.label_ids).sum()), len(answers)
        return counts

    def trained(self, objective: Objective, options: TuneOptions, whole: bool = False) -> Changes:
        model = self.clf.model
        trainer = Trainer(networks.trainable_network(model, options, "cpu"), objective)
        lesson = Lesson(
            "bench",
            self.train.pixels,
            self.leash,
            np.arange(len(self.train.label_ids)),
            np.arange(len(self.leash) if objective.leash else 0),
            [(int(i),) for i in self.train.label_ids],
            self.texts(self.seen),
            self.before(self.leash),
        )
        with tempfile.TemporaryDirectory() as folder:
            batches = Batches(trainer.network, lesson, options, Path(folder))
            for step in range(options.steps or 0):
                batch = batches.batch(step)
                if whole:  # cross-entropy is over all labels
                    rows = self.train.label_ids[batches._rows(step)]
                    batch = type(batch)(
                        batch.values, lesson.texts, np.eye(40, dtype=bool)[rows], batch.anchors
                    )
                rate = learning_rate(step, options.steps or 1, options.learning_rate or 1e-4)
                trainer.step(batch, rate)
        return stored_changes(model.image_network(), trainer.network.changes())


def table() -> None:
    bench = Bench()
    score = bench.clf.model.score
    print(f"{'':38} {'seen':>22} {'novel':>22} {'clean':>22} {'s':>6}")
    line("before", bench.figures(bench.before), 0.0)
    began = time.perf_counter()
    adapter_line(bench, began)
    scale = score.scale
    runs: list[tuple[str, Objective, TuneOptions, bool, Sequence[float]]] = [
        ("cross-entropy, 60 steps", CrossEntropy("softmax", scale), quick(60), True, (1.0,)),
        ("FLYP's loss, 60 steps", Objective("softmax", scale), quick(60), False, (1.0, 0.5)),
        ("LoRA 4, 60 steps", Objective("softmax", scale), quick(60, 4), False, (1.0,)),
        ("leash 10, 120 steps", Objective("softmax", scale, 0, 10), quick(120), False, (1.0, 0.5)),
    ]
    for name, objective, options, whole, shares in runs:
        began = time.perf_counter()
        changes = bench.trained(objective, options, whole)
        seconds = time.perf_counter() - began
        for share in shares:
            title = name if share == 1 else f"  … WiSE-FT, α = {share:g}"
            line(title, bench.figures(bench.embedder(changes, share)), seconds)


def quick(steps: int, rank: int | None = None) -> TuneOptions:
    rate = 1e-4 if rank is None else 1e-3
    return TuneOptions(steps=steps, rank=rank, learning_rate=rate, blocks=0)


def adapter_line(bench: Bench, began: float) -> None:
    compiled = bench.clf.compile(bench.seen)
    adapter = fit_adapter(bench.before(bench.train.pixels), bench.train.label_ids, compiled)
    counts = {}
    for name, labels in (("seen", bench.seen), ("novel", bench.novel), ("clean", None)):
        pictures, _ = bench.tests[name]
        fitted = adapter.apply(bench.clf.compile(labels or shapes.labels()))
        answers = fitted.similarities(bench.before(pictures.pixels)).argmax(1)
        counts[name] = int((answers == pictures.label_ids).sum()), len(answers)
    line(f"adapter ({adapter.method})", counts, time.perf_counter() - began)


def line(name: str, counts: dict[str, tuple[int, int]], seconds: float) -> None:
    cells = []
    for right, of in counts.values():
        low, high = proportion(right, of)
        cells.append(f"{right / of:.3f} ({low:.3f}-{high:.3f})")
    print(
        f"{name:38} " + " ".join(f"{cell:>22}" for cell in cells) + f" {seconds:6.1f}", flush=True
    )


def command() -> None:
    """The same pictures through `unseen.tune`, with a leash and without."""
    bench = Bench()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "clean").mkdir()
        for number, pixels in enumerate(bench.leash):
            Image.fromarray(pixels).save(root / "clean" / f"{number}.png")
        pairs = [
            (Image.fromarray(pixels), bench.seen[i])
            for pixels, i in zip(bench.train.pixels, bench.train.label_ids, strict=True)
        ]
        print(f"{'':38} {'seen':>22} {'novel':>22} {'clean':>22} {'s':>6}")
        line("before", bench.figures(bench.before), 0.0)
        for name, leash in (("with a leash", root / "clean"), ("drawn pictures", None)):
            began = time.perf_counter()
            options = TuneOptions(leash=leash)
            report = unseen.tune(bench.clf, pairs, root / name.replace(" ", "-"), options)
            seconds = time.perf_counter() - began
            print("\n".join(report_text.tuned(report)), flush=True)
            if report.folder is None:
                continue
            other = unseen.load(report.folder, device="cpu")
            embed = networks.embedder(other.model, {}, 0.0, "cpu")
            line(f"unseen tune, {name}, α = {report.alpha:g}", bench.figures(embed), seconds)


def without_leash() -> None:
    """Pictures that are drawn stand for ordinary ones: how well does that hold the clean ones?"""
    bench = Bench()
    bench.leash = np.stack([bench.clf.encoder.pixels(drawn_here(i)) for i in range(128)])
    scale = bench.clf.model.score.scale
    changes = bench.trained(Objective("softmax", scale, 0, 10), quick(120))
    for share in (0.25, 0.5, 0.75, 1.0):
        line(f"drawn leash, α = {share:g}", bench.figures(bench.embedder(changes, share)), 0.0)


def full_size() -> None:
    """Steps of a B/32 of random weights on this processor: the last three blocks, then all."""
    import broken_torchvision

    broken_torchvision.mend()
    import checkpoints

    size, leash = 16, 4
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = checkpoints.clip(Path(place) / "b32", "B32", layers=12, heads=12, width=768)
        model = unseen.load(folder, device="cpu").model
        pixels = rng.integers(0, 256, (size + leash, 224, 224, 3), dtype=np.uint8)
        rows = rng.standard_normal((size + leash, model.dimension)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for blocks in (3, 0):
            options = TuneOptions(blocks=blocks)
            network = networks.trainable_network(model, options, "cpu")
            trainer = Trainer(network, Objective("softmax", 10.0, 0.0, 1.0))
            values, eye = network.lower(pixels), np.eye(size, dtype=bool)
            batch = Batch(values, rows[:size], eye, rows[size:])
            began = time.perf_counter()
            losses = [trainer.step(batch, 1e-4).whole for _ in range(3)]
            seconds = (time.perf_counter() - began) / 3
            print(
                f"B/32, {blocks or 12} blocks, {network.trained_values / 1e6:.1f} million values: "
                f"{seconds:.2f} s a step of {size + leash} pictures, {peak():.0f} MB at most, loss "
                + " ".join(f"{loss:.3f}" for loss in losses),
                flush=True,
            )
            del trainer, network


def peak() -> float:
    """Megabytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", action="store_true")
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--full-size", action="store_true")
    chosen = parser.parse_args()
    if chosen.full_size:
        full_size()
    elif chosen.drawn:
        without_leash()
    elif chosen.command:
        command()
    else:
        table()
