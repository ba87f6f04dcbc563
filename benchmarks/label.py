"""What the piles of `unseen label` are worth, and the order in which pictures are reviewed.

    python benchmarks/label.py           # both, about a minute
    python benchmarks/label.py --learn   # what the answers teach, about ten minutes
    python benchmarks/label.py --speed   # proposing and asking for the next pictures, by size

Piles: how many pictures are sure from a threshold on, and how many of those are right, with
Wilson's 95 % interval. Order: of all mistakes of the model, how many are among the first pictures
that are looked at: at random (the mean of 200 draws), the most doubtful first, and as `unseen
label review` asks, doubtful and unlike, each fifth a draw from the sure pile. In brackets: how many
labels the pictures looked at have in truth.

Learning: a person answers the queue of `unseen label review` rightly; the part of all pictures that
have the right label then, by their answer or by what is proposed, with proposals that stay as they
were and with such as are made anew as the review does it. Each draw is three quarters of a folder;
the mean over the draws, the least and the most, and the 95 % interval of the mean gain (Student's
t). *says*: how often `unseen label info` has the proposals right among the answers, each held out;
*sure*: how many pictures are in the sure pile that nobody decided, and how many of these are right.
Rows with a star were looked at while the rule was chosen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

import unseen
from unseen.annotation import active_learning
from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Proposal, pile_of
from unseen.annotation.propose import propose
from unseen.annotation.retrain import is_due, retrain
from unseen.evaluation.bootstrap import proportion
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from transductive import blurred, coarse, grainy, tinted  # noqa: E402

import shapes  # noqa: E402

SURE = (0.5, 0.8, 0.9, 0.95)
LOOKED = (0.1, 0.2, 0.4)  # parts of a folder
DRAWS = 200
ANSWERS = (20, 40, 80)
LEARNING_DRAWS = 10
PART = 0.75  # of a folder, in each of these draws
KINDS = {
    "animal": (
        "bee bird bison cat chameleon chicken cow crab crocodile dog duck fish gibbon giraffe "
        "hedgehog horse jaguar kangaroo koala komodo_dragon lemur moose owl panda parrot pig "
        "polar_bear red_panda sheep"
    ),
    "building": (
        "amphitheater aqueduct castle cathedral dam igloo pagoda pyramid skyscraper tower "
        "triumphal_arch windmill"
    ),
    "kitchenware": "coffee cup frying_pan plate spoon bucket",
    "tool": "hammer measuring_tape nail nail_clipper pliers scissors screwdriver wrench",
}


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


@dataclass(frozen=True)
class Encoded:
    """Pictures, their embeddings and labels, and what these look like to the model."""

    name: str
    pictures: list[Any]
    rows: np.ndarray
    truth: np.ndarray
    labels: CompiledLabels


def encoded() -> Iterator[Encoded]:
    """The photographs with labels of three breadths, and spoiled shapes."""
    classifier = unseen.load()
    paths = sorted((ROOT / "tests" / "photographs").glob("*/*.jp*g"))
    rows, classes = classifier.encode_images(paths), [path.parent.name for path in paths]
    kind_of = {name: kind for kind, names in KINDS.items() for name in names.split()}
    several = {name for name in classes if classes.count(name) > 1}
    for what, truth in (
        ("photographs, all labels", classes),
        ("photographs, labels of two and more", [c if c in several else "" for c in classes]),
        ("photographs, four kinds", [kind_of.get(name, "") for name in classes]),
    ):
        names = sorted({*truth} - {""})
        used = [i for i, name in enumerate(truth) if name]
        yield Encoded(
            what,
            [paths[i] for i in used],
            rows[used],
            np.array([names.index(truth[i]) for i in used]),
            classifier.compile([name.replace("_", " ") for name in names]),
        )
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    names = shapes.labels(held_out=True)
    for what, spoil in (
        ("grainy shapes *", grainy),
        ("tinted shapes *", tinted),
        ("coarse shapes *", coarse),
        ("blurred shapes *", blurred),
    ):
        rng = np.random.default_rng(0)
        pictures = [
            spoil(shapes.draw(shapes.scene(label), 40_000 + seed), rng)
            for label in names
            for seed in range(20)
        ]
        truth = np.repeat(np.arange(len(names)), 20)
        rows, labels = classifier.encode_images(pictures), classifier.compile(names)
        yield Encoded(what, pictures, rows, truth, labels)


def learning(draws: int) -> Iterator[str]:
    for pictures in encoded():
        labels = len(pictures.labels.labels)
        yield f"{pictures.name}: {len(pictures.truth)} pictures, {labels} labels"
        walks = [
            [answered(pictures, draw, learn=learn) for draw in range(draws)]
            for learn in (False, True)
        ]
        for i, count in enumerate((0, *ANSWERS)):
            plain, taught = ([walk[i] for walk in some if i < len(walk)] for some in walks)
            if not plain:
                continue
            before, after = (100 * np.array([w[0] for w in some]) for some in (plain, taught))
            gain = after - before
            width = student.ppf(0.975, len(gain) - 1) * gain.std(ddof=1) / np.sqrt(len(gain))
            says, held_out, sure, right = (
                float(np.mean([w[j] for w in taught])) for j in (1, 2, 3, 4)
            )
            yield (
                f"  {count:3} answers: {_range(before)}  made anew {_range(after)}  "
                f"gain {gain.mean():+5.1f} ± {width:.1f}, worst {gain.min():+5.1f}; "
                f"says {says:4.0%}, of the others {held_out:4.0%}; "
                f"sure {np.mean([w[3] for w in plain]):.0f} → {sure:.0f}, right {right:4.0%}"
            )


def _range(values: np.ndarray) -> str:
    return f"{values.mean():5.1f} ({values.min():.0f} … {values.max():.0f})"


def answered(
    pictures: Encoded, draw: int, *, learn: bool
) -> list[tuple[float, float, float, int, float]]:
    """After so many answers: the part that is right, of the answers (held out), of the others, how
    many of these are sure, and the part of those that is right."""
    rng = np.random.default_rng(draw)
    chosen = np.sort(rng.permutation(len(pictures.truth))[: round(PART * len(pictures.truth))])
    rows, truth = pictures.rows[chosen], pictures.truth[chosen]
    names = [label.name for label in pictures.labels.labels]
    labels = [names[i] for i in truth]
    states = []
    with tempfile.TemporaryDirectory() as folder:
        labelling = proposed(folder, rows, pictures.labels, draw)
        with labelling:
            for count in (0, *ANSWERS):
                if count <= len(rows):
                    answer(labelling, labels, count, learn=learn, seed=draw)
                    states.append(_state(labelling, labels))
    return states


def proposed(folder: str, rows: np.ndarray, labels: CompiledLabels, draw: int) -> Labelling:
    """The labelling of made-up files whose names are the places of their rows."""
    names, scores, _ = label_probabilities(rows, labels, Decision())
    piles = [pile_of(names[int(row.argmax())], float(row.max()), None, 0.9) for row in scores]
    proposals = [
        Proposal(f"{draw:8}{i:8}".encode(), (f"{i}",), 9, 9, rows[i], scores[i], piles[i])
        for i in range(len(rows))
    ]
    labelling = Labelling(folder, create=True)
    manifest = {"asked": names, "options": {"sure": 0.9}}
    labelling.propose(manifest, names, proposals, labels)
    return labelling


def answer(labelling: Labelling, truth: list[str], count: int, *, learn: bool, seed: int) -> None:
    """Answers the queue rightly until `count` are decided."""
    decided = labelling.status().reviewed
    learnt = (labelling.retrained or {}).get("decided", 0)
    while decided < count:
        pictures = labelling.queue(1)
        if not pictures:
            return
        labelling.decide(pictures[0].id, "label", truth[int(pictures[0].paths[0])])
        decided += 1
        if learn and is_due(decided, learnt):
            retrain(labelling, seed=seed)
            learnt = decided


def _state(labelling: Labelling, truth: list[str]) -> tuple[float, float, float, int, float]:
    right, open_, sure = [], [], []
    for picture in labelling.pictures():
        is_right = picture.ranking[0][0] == truth[int(picture.paths[0])]
        right.append(picture.verdict is not None or is_right)
        if picture.verdict is None:
            open_.append(is_right)
            if picture.pile == "sure":
                sure.append(is_right)
    status = labelling.status()
    says = status.right / status.judged if status.judged else float("nan")
    of_sure = float(np.mean(sure)) if sure else float("nan")
    others = float(np.mean(open_)) if open_ else float("nan")
    return float(np.mean(right)), says, others, len(sure), of_sure


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
    parser.add_argument("--learn", action="store_true")
    parser.add_argument("--draws", type=int, default=LEARNING_DRAWS)
    options = parser.parse_args()
    if options.speed:
        speed()
        return
    if options.learn:
        for line in learning(options.draws):
            print(line, flush=True)
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
