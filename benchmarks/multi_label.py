"""What a yes or no a label is worth without calibration, by the rule in use and by a fitted line.

    python benchmarks/multi_label.py          # about one minute

Photographs with the built-in model: 69 labels and the 5 words of `BROAD` that are no folder, so
that many pictures have several right labels. Slope and shift are fitted by weighted logistic
regression: right pairs of picture and label count as much as if one label of three were right,
which suits sets of 2 to 20 labels. Every figure is cross-fitted: 5 folds of the folders and 5 of
the labels, so that neither the picture nor the label that is judged took part in the fit; the
median of 20 partitions. Label sets: 200 draws of K words, judged on the pictures that show one of
them at least; F1 over all yes and no at the default threshold. Intervals: 95 %, from 1,000
resamples of the folders. mAP: mean over labels of the average precision; a line through the logits
cannot change it. Shapes: the small CLIP of the tests, by its family's own rule; nothing is fitted
on it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import unseen
from unseen.prediction import score

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from transductive import SPOILED  # noqa: E402

import shapes  # noqa: E402

PREVALENCE = 1 / 3  # of right labels, which the fit assumes
FOLDS, PARTITIONS, DRAWS, RESAMPLES = 5, 20, 200, 1000
SIZES = (2, 5, 10, 20)
MAMMALS = [
    "bison",
    "cat",
    "cow",
    "dog",
    "gibbon",
    "giraffe",
    "hedgehog",
    "horse",
    "jaguar",
    "kangaroo",
    "koala",
    "lemur",
    "moose",
    "panda",
    "pig",
    "polar_bear",
    "red_panda",
    "sheep",
]
BIRDS = ["bird", "chicken", "duck", "owl", "parrot"]
REPTILES = ["chameleon", "crocodile", "komodo_dragon"]
BROAD = {
    "animal": [*MAMMALS, *BIRDS, *REPTILES, "bee", "crab", "fish"],
    "mammal": MAMMALS,
    "bird": BIRDS,  # a folder too
    "reptile": REPTILES,
    "building": [
        "castle",
        "cathedral",
        "igloo",
        "pagoda",
        "pyramid",
        "skyscraper",
        "tower",
        "windmill",
    ],
    "tool": [
        "hammer",
        "measuring_tape",
        "nail_clipper",
        "pliers",
        "scissors",
        "screwdriver",
        "wrench",
    ],
}


def photographs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits (n, k), what is right (n, k), the folder of each picture (n,)."""
    classifier = unseen.load()
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    folders = [file.parent.name for file in files]
    fine = sorted(set(folders))
    words = [*fine, *(word for word in BROAD if word not in fine)]
    compiled = classifier.compile([word.replace("_", " ") for word in words])
    rows = classifier.encode_images(files)
    right = np.array([[f == w or f in BROAD.get(w, ()) for w in words] for f in folders])
    groups = np.array([fine.index(folder) for folder in folders])
    return _logits(rows, compiled), right, groups


def _logits(rows: np.ndarray, compiled: unseen.CompiledLabels) -> np.ndarray:
    cosines, neutral = rows @ compiled.matrix.T, rows @ compiled.neutral.T
    return score.multi_label_logits(cosines, neutral, compiled.score)


def fit(logits: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope and shift by weighted logistic regression (Newton's method)."""
    x = np.stack([logits.ravel().astype(np.float64), np.ones(logits.size)], 1)
    y = right.ravel().astype(np.float64)
    weight = np.where(y > 0, PREVALENCE / y.mean(), (1 - PREVALENCE) / (1 - y.mean()))
    at = np.zeros(2)
    for _ in range(100):
        p = 1 / (1 + np.exp(-(x @ at)))
        hessian = (x * (weight * p * (1 - p))[:, None]).T @ x
        step = np.linalg.solve(hessian, x.T @ (weight * (p - y)))
        at = at - step * min(1, 2 / np.abs(step).max())
        if np.abs(step).max() < 1e-10:
            break
    return float(at[0]), float(at[1])


def cross_fitted(
    logits: np.ndarray, right: np.ndarray, groups: np.ndarray, seed: int
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Logits of each pair by a line that saw neither its picture nor its label, and the lines."""
    rng = np.random.default_rng([seed, 20])
    n, k = logits.shape
    fold_of_label = rng.permutation(k) % FOLDS
    fold_of_picture = (rng.permutation(groups.max() + 1) % FOLDS)[groups]
    fitted, lines = np.empty((n, k)), []
    for own in range(FOLDS):
        for other in range(FOLDS):
            train = np.ix_(fold_of_picture != own, fold_of_label != other)
            test = np.ix_(fold_of_picture == own, fold_of_label == other)
            slope, shift = fit(logits[train], right[train])
            fitted[test] = slope * logits[test] + shift
            lines.append((slope, shift))
    return fitted, lines


def average_precision(scores: np.ndarray, right: np.ndarray) -> float:
    ordered = right[np.argsort(-scores, kind="stable")]
    return float((np.cumsum(ordered) / np.arange(1, len(ordered) + 1))[ordered].mean())


def mean_average_precision(logits: np.ndarray, right: np.ndarray) -> float:
    columns = np.flatnonzero(right.any(0))
    return float(np.mean([average_precision(logits[:, j], right[:, j]) for j in columns]))


def at_default(
    logits: np.ndarray, right: np.ndarray, groups: np.ndarray, size: int | None
) -> tuple[float, float, float, float, float]:
    """Precision, recall, F1 and the ends of its interval, of yes from a probability of 0.5 on."""
    k = right.shape[1]
    rng = np.random.default_rng([0 if size is None else size])
    counts = np.zeros((3, groups.max() + 1))
    for _ in range(1 if size is None else DRAWS):
        own = np.arange(k) if size is None else rng.choice(k, size, replace=False)
        yes, true = logits[:, own] >= 0, right[:, own]
        shown = true.any(1)
        for row, what in enumerate((yes & true, yes & ~true, ~yes & true)):
            np.add.at(counts[row], groups[shown], what[shown].sum(1))
    hits, wrong, missed = counts.sum(1)
    resampled = rng.multinomial(counts.shape[1], np.full(counts.shape[1], 1 / counts.shape[1]),
                                RESAMPLES) @ counts.T  # fmt: skip
    scores = 2 * resampled[:, 0] / (2 * resampled[:, 0] + resampled[:, 1] + resampled[:, 2])
    low, high = np.quantile(scores, [0.025, 0.975])
    f1 = 2 * hits / (2 * hits + wrong + missed)
    return hits / max(hits + wrong, 1), hits / (hits + missed), f1, float(low), float(high)


def table(
    name: str, right: np.ndarray, groups: np.ndarray, kinds: dict[str, Callable[[], np.ndarray]]
) -> None:
    for size in (*SIZES, None):
        for kind, make in kinds.items():
            logits = make()
            precision, recall, f1, low, high = at_default(logits, right, groups, size)
            print(
                f"| {name} | {size or right.shape[1]} | {kind} "
                f"| {mean_average_precision(logits, right):.3f} | {precision:.2f} | {recall:.2f} "
                f"| {f1:.2f} ({low:.2f}–{high:.2f}) |"
            )


def main() -> None:
    logits, right, groups = photographs()
    lines = [
        line for seed in range(PARTITIONS) for line in cross_fitted(logits, right, groups, seed)[1]
    ]
    low, high = np.quantile(np.array(lines), [0.025, 0.975], axis=0)
    slope, shift = fit(logits, right)
    print(
        f"fitted on all: slope {slope:.2f}, shift {shift:.2f}; the {len(lines)} cross-fits lie in "
        f"{low[0]:.2f}…{high[0]:.2f} and {low[1]:.2f}…{high[1]:.2f}; by the family's rule they are "
        f"1 and {-np.log(5):.2f}"
    )
    print("| pictures | labels | scores | mAP | precision | recall | F1 (95 %) |")
    print("|---|---|---|---|---|---|---|")
    fitted = np.array([cross_fitted(logits, right, groups, s)[0] for s in range(PARTITIONS)])
    table("photographs", right, groups, {
        "before": lambda: logits,
        "the family's rule": lambda: logits - np.log(5),
        "fitted, cross-fitted": lambda: np.median(fitted, 0),
    })  # fmt: skip
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    labels = shapes.labels()
    compiled = classifier.compile(labels)
    truth = np.repeat(np.arange(len(labels)), 5)
    for name in ("as trained on *", "blurred"):
        size, spoil = SPOILED[name]
        rng = np.random.default_rng(0)
        rows = classifier.encode_images(
            spoil(shapes.draw(shapes.scene(label, size), 40_000 + seed), rng)
            for label in labels
            for seed in range(5)
        )
        raw = _logits(rows, compiled)
        table(f"shapes, {name.removesuffix(' *')}", np.eye(len(labels), dtype=bool)[truth], truth, {
            "before": lambda raw=raw: raw,
            "the family's rule": lambda raw=raw: score.yes_no_logits(
                raw, compiled.score, len(compiled.neutral)
            ),
        })  # fmt: skip


if __name__ == "__main__":
    main()
