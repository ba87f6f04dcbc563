"""Fine-tuning with a leash (src/unseen/learning/tune) against what else there is, on drawn shapes.

    python benchmarks/tune.py              # the table, under two minutes on two cores
    python benchmarks/tune.py --command    # what `unseen tune` makes of the same pictures
    python benchmarks/tune.py --drawn      # drawn pictures as the leash: what each α forgets
    python benchmarks/tune.py --full-size  # steps of B/32, SigLIP and RN50 of random weights
    python benchmarks/tune.py --students   # small classifiers of the same pictures (`distil`)
    python benchmarks/tune.py --kill 8     # kill -9 at random moments: no half folder, same bytes

The model is the small trained CLIP of the tests. It learns 40 of 80 labels from 16 grainy pictures
each; what judges was drawn anew. `seen` and `novel`: grainy pictures of labels that it learnt and
of the other 40, among the labels of their half. `clean`: pictures as the model was trained on,
among all 80. The leash are 320 clean scenes without labels.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
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
from unseen.learning.tune import model_folder, report_text
from unseen.learning.tune import network as networks
from unseen.learning.tune.card import base_facts
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


def students() -> None:
    """Small classifiers of the same pictures, taught by the original and by a tuned model."""
    bench = Bench()
    images = {name: bench.tests[name][0] for name in ("seen",)}
    pairs = [
        (Image.fromarray(pixels), bench.seen[i])
        for pixels, i in zip(bench.train.pixels, bench.train.label_ids, strict=True)
    ]
    objective = Objective("softmax", bench.clf.model.score.scale, 0, 10)
    changes = bench.trained(objective, quick(120))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "tuned"
        card = {"base": base_facts(bench.clf.model)}
        model_folder.write(bench.clf.model, folder, changes, card, "")
        teachers = {"the original": bench.clf, "the tuned": unseen.load(folder, device="cpu")}
        for title, teacher in teachers.items():
            began = time.process_time()
            made = unseen.distil(teacher, pairs, unseen.DistilOptions(side=128, threads=1))
            seconds = time.process_time() - began
            made.save(Path(place) / "small.onnx")
            small = unseen.load(Path(place) / "small.onnx")
            test = images["seen"]
            answers = small.classify_many([Image.fromarray(pixels) for pixels in test.pixels])
            right = sum(
                answer.label == bench.seen[i]
                for answer, i in zip(answers, test.label_ids, strict=True)
            )
            size = len(made.content) / 1e6
            line(
                f"distil, taught by {title}, {size:.0f} MB",
                {"seen": (right, len(test.label_ids))},
                seconds,
            )


SIGLIP = {"layers": 12, "width": 768, "heads": 12, "mlp": 4}
RN50: dict[str, Any] = {
    "embed_dim": 1024,
    "vision_cfg": {
        "layers": [3, 4, 6, 3],
        "width": 64,
        "head_width": 64,
        "image_size": 224,
        "patch_size": None,
    },
}
# The rule of each, and how many labelled and ordinary pictures are in a step.
FULL: dict[str, tuple[str, int, int]] = {
    "B/32": ("softmax", 16, 4),
    "SigLIP B/16": ("sigmoid", 6, 2),
    "RN50": ("softmax", 6, 2),
}


def full_size(name: str) -> None:
    """Steps of one net of true shape and random weights on this processor, in its own process."""
    import broken_torchvision

    broken_torchvision.mend()
    import checkpoints
    import hf_checkpoints
    import openclip_checkpoints

    makers: dict[str, Callable[[Path], Path]] = {
        "B/32": lambda folder: checkpoints.clip(folder, "B32", layers=12, heads=12, width=768),
        "SigLIP B/16": lambda folder: hf_checkpoints.siglip(folder, **SIGLIP),
        "RN50": lambda folder: openclip_checkpoints.openclip(folder, RN50),
    }
    rule, size, leash = FULL[name]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = makers[name](Path(place) / "model")
        model = unseen.load(folder, device="cpu").model
        shape = model.image_network().inputs[0].shape[1:]
        pixels = rng.integers(0, 256, (size + leash, *shape), dtype=np.uint8)
        rows = rng.standard_normal((size + leash, model.dimension)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        for blocks in (3, 0):
            options = TuneOptions(blocks=blocks)
            network = networks.trainable_network(model, options, "cpu")
            trainer = Trainer(network, Objective(rule, 10.0, 0.0, 1.0))
            values, eye = network.lower(pixels), np.eye(size, dtype=bool)
            batch = Batch(values, rows[:size], eye, rows[size:])
            began = time.process_time()
            losses = [trainer.step(batch, 1e-4).whole for _ in range(2)]
            seconds = (time.process_time() - began) / 2
            losses.append(trainer.gradient(batch).whole)
            trained = f"{blocks} blocks" if blocks else "all"
            print(
                f"{name}, {trained}, {network.trained_values / 1e6:.1f} million values: "
                f"{seconds:.2f} s of a core a step of {size + leash} pictures, {peak():.0f} MB at "
                "most, loss " + " ".join(f"{loss:.3f}" for loss in losses),
                flush=True,
            )
            del trainer, network


# kill -9

CHILD = """
import sys
import tunings, unseen
model, data, leash, out = sys.argv[1:]
options = tunings.options(leash=leash, refit=True)
report = unseen.tune(unseen.load(model, device="cpu"), data, out, options)
assert report.decision == "tuned", report
"""


def killed(times: int, seed: int = 0) -> None:
    """SIGKILL at moments drawn at random over a whole run; then it goes on, or begins again."""
    import tunings

    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        data, leash = tunings.folder_of(root / "grainy"), tunings.clean(root / "clean")
        whole = root / "reference" / "out"
        began = time.monotonic()
        _child(data, leash, whole).wait()
        seconds = time.monotonic() - began
        expected = _bytes(whole)
        target, moments = root / "killed" / "out", []
        while len(moments) < times:
            if target.exists():  # killed between the last two things that it does
                shutil.rmtree(target.parent)
            child = _child(data, leash, target)
            moment = float(rng.uniform(0.05, 0.95) * seconds)
            try:
                child.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
                moments.append(moment)
                there = (
                    sorted(path.name for path in target.parent.iterdir())
                    if target.parent.is_dir()
                    else []
                )
                print(f"killed after {moment:.1f} s: {', '.join(there) or 'nothing'}", flush=True)
                assert not target.exists() or _bytes(target) == expected
            else:
                assert child.returncode == 0 and _bytes(target) == expected
                shutil.rmtree(target)
        assert _child(data, leash, target).wait() == 0
        same = _bytes(target) == expected
        rest = [path.name for path in target.parent.iterdir()]
        print(
            f"{times} kills in runs of {seconds:.1f} s: the same bytes: {same}; beside it: {rest}"
        )
        assert same and rest == ["out"]


def _child(data: Path, leash: Path, target: Path) -> subprocess.Popen[bytes]:
    target.parent.mkdir(exist_ok=True)
    arguments = [sys.executable, "-W", "ignore", "-c", CHILD, str(FIXTURE)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen([*arguments, str(data), str(leash), str(target)], env=environment)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def peak() -> float:
    """Megabytes that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--command", action="store_true")
    parser.add_argument("--drawn", action="store_true")
    parser.add_argument("--full-size", nargs="?", const="all", choices=["all", *FULL])
    parser.add_argument("--students", action="store_true")
    parser.add_argument("--kill", type=int, metavar="TIMES")
    chosen = parser.parse_args()
    if chosen.full_size == "all":  # each in a process of its own, for its memory
        for name in FULL:
            subprocess.run([sys.executable, __file__, "--full-size", name], check=True)
    elif chosen.full_size:
        full_size(chosen.full_size)
    elif chosen.students:
        students()
    elif chosen.kill:
        killed(chosen.kill)
    elif chosen.drawn:
        without_leash()
    elif chosen.command:
        command()
    else:
        table()
