"""Can the evidence of docs/unknown.md be measured for labels that an adapter changed?

    python benchmarks/unknown_adapted.py     # about two minutes

Some labels have examples, and an adapter made of them; pictures of the other labels are *near*,
those of another kind *far*. The evidence is measured in two ways: by the rows of the texts, as
without an adapter, and by the adapter's own, with the everyday words moved as it moves the texts of
other labels.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from adapt import SPOILED  # noqa: E402

import shapes  # noqa: E402
import unseen  # noqa: E402
from unseen.datasets.readers import read_annotations  # noqa: E402
from unseen.learning.adapt import fit_adapter  # noqa: E402
from unseen.prediction.adapter import ZERO_SHOT  # noqa: E402
from unseen.prediction.open_set import NOTHING_SHIFT, evidence  # noqa: E402
from unseen.prediction.prediction import LEAST_EVIDENCE  # noqa: E402

DRAWS = 10


@dataclass(frozen=True)
class Draw:
    """Labels with examples; what is classified, and its labels; pictures of none of them."""

    labels: list[str]
    examples: np.ndarray
    owners: list[int]
    known: np.ndarray
    truth: list[int]
    unknown: dict[str, np.ndarray]


def of_photographs(classifier: unseen.Classifier) -> Iterator[Draw]:
    """Eight of the labels with three photographs or more: half of each are examples."""
    pictures = read_annotations(ROOT / "tests" / "photographs")
    rows = classifier.encode_images([one.path for one in pictures])
    label = np.array([one.labels[0] for one in pictures])
    far = classifier.encode_images(shapes.draw(shapes.scene(name), 1) for name in shapes.labels())
    names, count = np.unique(label, return_counts=True)
    for seed in range(DRAWS):
        rng = np.random.default_rng(seed)
        known = sorted(rng.choice(names[count >= 3], 8, replace=False).tolist())
        learn, rest = [], []
        for name in known:
            mine = rng.permutation(np.flatnonzero(label == name))
            half = max(2, len(mine) // 2)
            learn, rest = [*learn, *mine[:half]], [*rest, *mine[half:]]
        owners, truth = ([known.index(label[i]) for i in some] for some in (learn, rest))
        near = rows[~np.isin(label, known)]
        yield Draw(known, rows[learn], owners, rows[rest], truth, {"near": near, "far": far})


def of_shapes(classifier: unseen.Classifier, kind: str) -> Iterator[Draw]:
    """Twenty of the labels, with four examples each."""
    names, rng = shapes.labels(), np.random.default_rng(0)
    rows = classifier.encode_images(
        SPOILED[kind](shapes.draw(shapes.scene(name), 30_000 + seed), rng)
        for name in names
        for seed in range(10)
    )
    far = classifier.encode_images(str(ROOT / "tests" / "photographs"))
    label, number = np.repeat(np.arange(len(names)), 10), np.tile(np.arange(10), len(names))
    for seed in range(DRAWS):
        known = np.random.default_rng(seed).choice(len(names), 20, replace=False).tolist()
        mine = np.isin(label, known)
        learn, rest = mine & (number < 4), mine & (number >= 4)
        owners, truth = ([known.index(i) for i in label[some]] for some in (learn, rest))
        named = [names[i] for i in known]
        unknown = {"near": rows[~mine], "far": far}
        yield Draw(named, rows[learn], owners, rows[rest], truth, unknown)


def line(name: str, classifier: unseen.Classifier, draws: Iterator[Draw]) -> None:
    """AUROC, the known kept and the unknown passed, by texts and by the adapter; the mean."""
    ground, found, kept_zero = classifier.reference_set(), {"near": [], "far": []}, 0
    for seed, draw in enumerate(draws):
        compiled = classifier.compile(draw.labels)
        adapter = fit_adapter(draw.examples, draw.owners, compiled, seed=seed)
        kept_zero += adapter.method == ZERO_SHOT
        adapted = adapter.apply(compiled)

        def by_texts(rows: np.ndarray, texts: np.ndarray = compiled.matrix) -> np.ndarray:
            return evidence(rows, texts, ground)

        def by_adapter(
            rows: np.ndarray, of=adapted, by=adapter, texts: np.ndarray = compiled.matrix
        ) -> np.ndarray:  # type: ignore[no-untyped-def]
            if of.adapted is None:
                return by_texts(rows)
            own, concepts = of.similarities(rows), by._text(ground.concepts)
            if not ground.knows_words:
                usual = [of.similarities(ground.nothing), ground.nothing @ concepts.T]
                scores = [(own.max(1) - u.max(1).mean()) / u.max(1).std() for u in usual]
                return np.mean(scores, axis=0) + NOTHING_SHIFT
            words = rows @ concepts.T
            below = ground.concepts_below(ground.nearest_words(texts))
            best = np.stack([words[:, row].max(1, initial=-2) for row in below], axis=1)
            score = ((own + np.maximum(own, best)) / 2).max(1)
            return (score - words.mean(1)) / words.std(1)

        right = (adapted.similarities(draw.known).argmax(1) == draw.truth).mean()
        for what, others in draw.unknown.items():
            row = [right]
            for way in (by_texts, by_adapter):
                known, unknown = way(draw.known), way(others)
                there = np.repeat([1, 0], [len(known), len(unknown)])
                row.append(roc_auc_score(there, np.concatenate([known, unknown])))
                row += [(known >= LEAST_EVIDENCE).mean(), (unknown >= LEAST_EVIDENCE).mean()]
            found[what].append(row)
    for what, rows in found.items():
        right, *means = (100 * np.mean(rows, axis=0)).round().astype(int)
        texts, own = (" / ".join(map(str, part)) for part in (means[:3], means[3:]))
        print(f"| {name}, {what} | {right} | {kept_zero} | {texts} | {own} |")


def main() -> None:
    print("| pictures | right | zero-shot kept | by texts | by the adapter |")
    print("|---|---|---|---|---|")
    built_in = unseen.load()
    line("photographs", built_in, of_photographs(built_in))
    small = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    for kind in SPOILED:
        line(f"shapes, {kind}", small, of_shapes(small, kind))


if __name__ == "__main__":
    main()
