"""What the piles of `unseen label` are worth, and the order in which pictures are reviewed.

    python benchmarks/label.py           # both, about a minute
    python benchmarks/label.py --speed   # proposing and asking for the next pictures, by size

Piles: how many pictures are sure from a threshold on, and how many of those are right, with
Wilson's 95 % interval. Order: of all mistakes of the model, how many are among the first pictures
that are looked at: at random (the mean of 200 draws), the most doubtful first, and as `unseen
label review` asks, doubtful and unlike, each fifth a draw from the sure pile. In brackets: how many
labels the pictures looked at have in truth.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import unseen
from unseen.annotation import active_learning
from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Proposal
from unseen.annotation.propose import propose
from unseen.evaluation.bootstrap import proportion

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from transductive import blurred, grainy  # noqa: E402

import shapes  # noqa: E402

SURE = (0.5, 0.8, 0.9, 0.95)
LOOKED = (0.1, 0.2, 0.4)  # parts of a folder
DRAWS = 200


@dataclass(frozen=True)
class Folder:
    """A labelled folder, by name; `truth` by picture."""

    name: str
    labelling: Labelling
    truth: dict[str, str]


def photographs(into: Path) -> Folder:
    """The labelled photographs of the tests, and the built-in model."""
    classifier = unseen.load()
    source = ROOT / "tests" / "photographs"
    labels = sorted(p.name.replace("_", " ") for p in source.iterdir() if p.is_dir())
    (into / "photographs").symlink_to(source)
    (into / "photographs-labelling").mkdir()
    folder = into / "photographs-labelling"
    for path in source.glob("*/*"):
        (folder / path.parent.name).mkdir(exist_ok=True)
        (folder / path.parent.name / path.name).symlink_to(path)
    return _proposed("photographs, built-in", folder, classifier, labels)


def drawn(into: Path, name: str, spoil: object) -> Folder:
    """Spoiled shapes of held-out combinations, and the small trained CLIP."""
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    rng = np.random.default_rng(0)
    for label in shapes.labels(held_out=True):
        folder = into / name / label
        folder.mkdir(parents=True)
        for seed in range(20):
            picture = shapes.draw(shapes.scene(label), 40_000 + seed)
            spoil(picture, rng).save(folder / f"{seed}.png")  # type: ignore[operator]
    return _proposed(f"{name} shapes", into / name, classifier, shapes.labels(held_out=True))


def _proposed(name: str, folder: Path, classifier: unseen.Classifier, labels: list[str]) -> Folder:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        labelling = Labelling(folder, create=True)
        propose(labelling, index, classifier, classifier.compile(labels), classifier.decision())
    truth = {p.id: p.paths[0].split("/")[0].replace("_", " ") for p in labelling.pictures()}
    return Folder(name, labelling, truth)


def piles(folder: Folder) -> Iterator[str]:
    pictures = list(folder.labelling.pictures())
    right = np.array([p.proposed == folder.truth[p.id] for p in pictures])
    best = np.array([p.score for p in pictures])
    yield f"{folder.name}: {len(right)} pictures, {right.mean():.1%} right"
    for sure in SURE:
        kept = best >= sure
        if kept.all():
            continue
        low, high = proportion(int(right[kept].sum()), int(kept.sum()))
        yield (
            f"  sure from {sure:4.2f}: {kept.mean():4.0%} of them, {right[kept].mean():6.1%} right "
            f"({low:.0%} to {high:.0%}); of the others {right[~kept].mean():6.1%}"
        )


def orders(folder: Folder) -> Iterator[str]:
    labelling = folder.labelling
    pictures = {p.id: p for p in labelling.pictures()}
    wrong = {i for i, p in pictures.items() if p.proposed != folder.truth[i]}
    ids = [*pictures]
    doubts = active_learning.uncertainty(labelling.scores(ids))
    rng = np.random.default_rng(0)
    ways = {
        "at random": [[ids[i] for i in rng.permutation(len(ids))] for _ in range(DRAWS)],
        "doubtful first": [[ids[i] for i in np.argsort(-doubts, kind="stable")]],
        "as review asks": [reviewed(labelling, len(ids), folder)],
    }
    shown = "".join(f"{part:>14.0%}" for part in LOOKED)
    yield f"{folder.name}: {len(wrong)} mistakes; looked at{shown}"
    for way, walks in ways.items():
        cells = ""
        for part in LOOKED:
            count = round(part * len(ids))
            found = np.mean([len(wrong & {*walk[:count]}) for walk in walks]) / len(wrong)
            labels = np.mean([len({folder.truth[i] for i in walk[:count]}) for walk in walks])
            cells += f"{found:>9.0%} ({labels:2.0f})"
        yield f"  {way:31}{cells}"


def reviewed(labelling: Labelling, count: int, folder: Folder) -> list[str]:
    """The order in which pictures are shown when each is decided before the next."""
    order = []
    while len(order) < count and (shown := labelling.queue(5)):
        for picture in shown:
            labelling.decide(picture.id, "skip")
            order.append(picture.id)
    while labelling.undo():
        pass
    return order


def speed() -> None:
    """Of made-up rows: 512 numbers, 100 labels."""
    print("pictures   proposing s   next 20, ms   after 1,000 decisions, ms   file MB")
    for count in (1_000, 10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            rng = np.random.default_rng(0)
            labelling = Labelling(folder, create=True)
            names = [f"label {n}" for n in range(100)]
            began = time.perf_counter()
            labelling.propose({"asked": names}, names, _made_up(count, rng))
            proposing = time.perf_counter() - began
            times = []
            for _ in range(2):
                some = []
                for _ in range(5):
                    began = time.perf_counter()
                    shown = labelling.queue(20)
                    some.append(time.perf_counter() - began)
                times.append(1000 * float(np.median(some)))
                for picture in labelling.queue(min(1000, count // 2)) if len(times) == 1 else shown:
                    labelling.decide(picture.id, "skip")
            size = labelling.path.stat().st_size / 1e6
            print(f"{count:8} {proposing:13.1f} {times[0]:13.0f} {times[1]:27.0f} {size:9.1f}")
            labelling.close()


def _made_up(count: int, rng: np.random.Generator) -> Iterator[Proposal]:
    for number in range(count):
        vector = rng.normal(size=512).astype(np.float32)
        scores = rng.dirichlet(np.full(100, 0.02)).astype(np.float32)
        pile = "sure" if scores.max() >= 0.8 else "unsure"
        paths = (f"{number:07}.jpg",)
        vector /= np.linalg.norm(vector)
        yield Proposal(number.to_bytes(16, "big"), paths, 640, 480, vector, scores, pile)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speed", action="store_true")
    if parser.parse_args().speed:
        speed()
        return
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder)
        folders = [
            photographs(into),
            drawn(into, "blurred", blurred),
            drawn(into, "grainy", grainy),
        ]
        for one in folders:
            print(*piles(one), sep="\n")
        print()
        for one in folders:
            print(*orders(one), sep="\n")


if __name__ == "__main__":
    main()
