"""What a calibration from few pictures is worth: on shapes that were spoilt, and on photographs.

    python benchmarks/calibrate.py            # about three minutes

Each line is the mean over 100 draws of n labelled pictures from the pool (30 for thresholds and
priors); the others of the pool are what it is judged by. NLL: mean negative log-likelihood of the
right label. ECE: expected calibration error, 15 bins of equal width. `worse`: draws where the NLL
rose. P, R, F1 are over all yes and no of all labels. Priors: the change of top-1 in points, with
that of the worst draw, and the NLL afterwards. Shapes: 80 labels, 10 pictures of each; photographs:
117 pictures, 69 labels.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import unseen
from unseen.learning.calibration_fits import (
    PRIORS,
    conformal_reach,
    fit_line,
    fit_temperature,
    fit_thresholds,
)
from unseen.prediction import score
from unseen.prediction.calibration import METHODS

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from transductive import SPOILED  # noqa: E402

import shapes  # noqa: E402

DRAWS = 100
EACH = 10
COVERAGE = 0.9
SKEW = 40.0  # how much more often the most frequent label is there than the rarest


def pools() -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """A name, logits (n, k), those of several labels, yes without calibration, truth (n,)."""
    classifier = unseen.load(ROOT / "tests" / "fixtures" / "shapes-clip")
    labels = shapes.labels()
    truth = np.repeat(np.arange(len(labels)), EACH)
    compiled = classifier.compile(labels)
    for name in ("as trained on *", "coarse *", "blurred", "tinted"):
        size, spoil = SPOILED[name]
        rng = np.random.default_rng(0)
        rows = classifier.encode_images(
            spoil(shapes.draw(shapes.scene(label, size), 40_000 + seed), rng)
            for label in labels
            for seed in range(EACH)
        )
        yield (f"shapes, {name.removesuffix(' *')}", *_logits(classifier, compiled, rows), truth)
    classifier = unseen.load()
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    names = [file.parent.name.replace("_", " ") for file in files]
    labels = sorted(set(names))
    compiled = classifier.compile(labels)
    rows = classifier.encode_images(files)
    truth = np.array([labels.index(name) for name in names])
    yield ("photographs", *_logits(classifier, compiled, rows), truth)


def _logits(classifier, compiled, rows):
    cosines, rule = score.cosines(rows, compiled.matrix), classifier.model.score
    neutral = score.cosines(rows, compiled.neutral)
    several = score.multi_label_logits(cosines, neutral, rule)
    yes = score.yes_no_logits(several, rule, compiled.competitors) >= 0
    return score.logits(cosines, rule), several, yes


def nll(p: np.ndarray, truth: np.ndarray) -> float:
    return float(-np.log(np.maximum(p[np.arange(len(p)), truth], 1e-12)).mean())


def ece(p: np.ndarray, truth: np.ndarray) -> float:
    says, right = p.max(1), p.argmax(1) == truth
    bins = np.minimum((says * 15).astype(int), 14)
    return float(
        sum(abs(right[bins == b].mean() - says[bins == b].mean()) * (bins == b).mean()
            for b in set(bins))
    )  # fmt: skip


def draws(n: int, of: int, count: int = DRAWS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for draw in range(count):
        order = np.random.default_rng([draw, n]).permutation(of)
        yield order[:n], order[n:]


def one_hot(truth: np.ndarray, k: int) -> np.ndarray:
    return np.eye(k, dtype=bool)[truth]


def temperature(name: str, logits: np.ndarray, truth: np.ndarray) -> None:
    right = one_hot(truth, logits.shape[1])
    accuracy = (logits.argmax(1) == truth).mean()
    for n in (5, 10, 20, 50, 100):
        if n > 0.6 * len(truth):
            continue
        rows = []
        for seen, rest in draws(n, len(truth)):
            t = fit_temperature(logits[seen], right[seen])
            before, after = score.softmax(logits[rest]), score.softmax(logits[rest] / np.float32(t))
            own = truth[rest]
            rows.append((t, nll(before, own), nll(after, own), ece(before, own), ece(after, own)))
        t, b, a, eb, ea = np.mean(rows, 0)
        worse = np.mean([row[2] > row[1] + 1e-4 for row in rows])
        print(
            f"| {name} | {accuracy:.1%} | {n} | {t:.2f} | {b:.3f} → {a:.3f} | {eb:.3f} → {ea:.3f} "
            f"| {worse:.0%} |"
        )


def sets(name: str, logits: np.ndarray, truth: np.ndarray) -> None:
    exact = logits.astype(np.float64)
    p = np.exp(exact - exact.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    for method, strange in METHODS.items():
        scores = strange(p)
        own = scores[np.arange(len(p)), truth]
        for n in (20, 50, 100):
            if n > 0.6 * len(truth):
                continue
            rows = []
            for seen, rest in draws(n, len(truth)):
                within = scores[rest] <= conformal_reach(own[seen], COVERAGE)
                plain = within[np.arange(len(rest)), truth[rest]].mean()
                within[np.arange(len(rest)), p[rest].argmax(1)] = True
                covered = within[np.arange(len(rest)), truth[rest]].mean()
                rows.append((plain, covered, within.sum(1).mean(), np.median(within.sum(1))))
            plain, covered, mean, median = np.mean(rows, 0)
            owed = np.ceil((n + 1) * COVERAGE) / (n + 1)
            print(
                f"| {name} | {method} | {n} | {owed:.1%} | {plain:.1%} | {covered:.1%} | "
                f"{mean:.1f} | {median:.0f} |"
            )


def several(name: str, logits: np.ndarray, given: np.ndarray, truth: np.ndarray) -> None:
    yes = one_hot(truth, logits.shape[1])
    for wanted in (None, 0.9):
        for n in (20, 50, 200):
            if n > 0.6 * len(truth):
                continue
            rows = []
            for seen, rest in draws(n, len(truth), 30):
                t, shift = fit_line(logits[seen], yes[seen])
                after = score.sigmoid((logits / t + shift).astype(np.float32))
                found = np.array(fit_thresholds(after[seen], yes[seen], wanted), np.float32)
                said = after[rest] >= found
                plain = given[rest]
                rows.append([*_quality(plain, yes[rest]), *_quality(said, yes[rest])])
            b = np.nanmean(rows, 0)
            print(
                f"| {name} | {'F1' if wanted is None else f'precision {wanted}'} | {n} "
                f"| {b[0]:.2f}, {b[1]:.2f}, {b[2]:.2f} | {b[3]:.2f}, {b[4]:.2f}, {b[5]:.2f} |"
            )


def _quality(said: np.ndarray, yes: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall, F1 over all labels."""
    right = (said & yes).sum()
    return (
        right / said.sum() if said.any() else np.nan,
        right / yes.sum(),
        2 * right / (said.sum() + yes.sum()),
    )


def priors(name: str, logits: np.ndarray, truth: np.ndarray) -> None:
    k = logits.shape[1]
    cases = {"even": None, "skewed": SKEW, "a quarter of the labels": 0.0}
    for kind, skew in cases.items():
        rows = []
        for draw in range(30):
            rng = np.random.default_rng([draw, 3])
            rank = rng.permutation(k)
            if skew is None:
                keep = np.ones(len(truth), bool)
            elif skew:
                part = skew ** (-rank / (k - 1))
                keep = rng.random(len(truth)) < part[truth]
            else:
                keep = rank[truth] < k // 4
            some, own = logits[keep], truth[keep]
            row = [len(own), (some.argmax(1) == own).mean(), nll(score.softmax(some), own)]
            for correct in PRIORS.values():
                moved = some + correct(some)
                row += [(moved.argmax(1) == own).mean(), nll(score.softmax(moved), own)]
            rows.append(row)
        rows = np.array(rows)
        n, before, b_nll, *rest = rows.mean(0)
        cells = " | ".join(
            f"{(rest[2 * i] - before) * 100:+.1f} "
            f"({(rows[:, 3 + 2 * i] - rows[:, 1]).min() * 100:+.1f}), "
            f"{rest[2 * i + 1]:.2f}"
            for i in range(len(PRIORS))
        )
        print(f"| {name} | {kind} | {n:.0f} | {before:.1%}, {b_nll:.2f} | {cells} |")


def head(title: str, *columns: str) -> None:
    print(f"\n## {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")


def main() -> None:
    warnings.simplefilter("ignore")
    every = [*pools()]
    head("temperature", "pool", "right", "n", "T", "NLL", "ECE", "worse")
    for name, logits, _, _, truth in every:
        temperature(name, logits, truth)
    columns = ("n", "owed", "covered", "with the best", "mean size", "median")
    head(f"sets, {COVERAGE:.0%}", "pool", "method", *columns)
    for name, logits, _, _, truth in every:
        sets(name, logits, truth)
    head("several labels", "pool", "for", "n", "P, R, F1 at 0.5", "after")
    for name, _, logits, given, truth in every:
        several(name, logits, given, truth)
    head("priors", "pool", "collection", "pictures", "zero-shot", *PRIORS)
    for name, logits, _, _, truth in every:
        priors(name, logits, truth)


if __name__ == "__main__":
    main()
