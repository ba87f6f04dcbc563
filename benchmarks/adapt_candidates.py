"""Discriminant analysis among the methods of an adapter, and kernel ridge, which is not.

    python benchmarks/adapt_candidates.py                   # accuracy, on the same draws
    python benchmarks/adapt_candidates.py --fewest          # on which the minimum was chosen
    python benchmarks/adapt_candidates.py --noise           # a fifth of the labels are wrong
    python benchmarks/adapt_candidates.py --chance          # labels that were drawn by lot
    python benchmarks/adapt_candidates.py --some            # half of the labels have no pictures
    python benchmarks/adapt_candidates.py --time            # seconds to make one
    python benchmarks/adapt_candidates.py --judge           # the formulas against scikit-learn's
    python benchmarks/adapt_candidates.py --only digits     # collections whose name has this in it

- gda: as learning/few_shot.py has it, tried where every label has `FEWEST_OF_GDA` pictures. That
  number was chosen on `--fewest`, where it is tried from two on: other labels and other damage than
  in the table.
- kernel ridge: what is left of the answer after the texts', by ridge regression with a Gaussian
  kernel (Bendou et al. 2025, arXiv:2501.11175):
  f(x) = texts(x) + k(x, X) (K + λ I)^-1 (Y - texts(X)).

Each line is so many draws of examples; what is classified was never an example. `three` is the
accuracy with prototypes, cache and probe; `+ gda` (what `unseen adapt` does) and `+ kernel ridge`
what changes with one more, in points of top-1, with the 95 % interval over the draws (Student's t);
`kept` in how many draws zero-shot was kept, and `won` in how many the new candidate was taken.

`--some` teaches half of the labels and asks for all: by an adapter that was made for all of them
(gda is not tried), by one for the taught labels alone (its fallback answers), and by the rows of
gda without that fallback.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import adapt
import examples as examples_benchmark
import numpy as np
from scipy.stats import t as student
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_ridge import KernelRidge

import shapes
import unseen
from unseen.labels.compiled import CompiledLabels
from unseen.labels.example_cache import Cache
from unseen.learning import few_shot
from unseen.learning.adapt import _gained, fit_adapter
from unseen.learning.few_shot import FEWEST_OF_GDA, GDA, LEAST, Examples, Fitted
from unseen.learning.gate import LEVEL, chance_of_labels
from unseen.learning.trials import Trial, cross_validated
from unseen.models.model import Score
from unseen.prediction.adapter import ZERO_SHOT

DRAWS = 10
SHOTS = (2, 4, 8, 16)


@dataclass(frozen=True, eq=False)
class Dual(Cache):
    """Examples with a coefficient for every label, (m, k)."""

    coefficients: np.ndarray | None = None

    def logits(self, cosines: np.ndarray, k: int) -> np.ndarray:
        affinity = np.exp(-np.float32(self.beta) * (1 - cosines))
        return np.asarray(affinity @ self.coefficients, dtype=np.float32)


def kernel_ridge(examples: Examples, *, gamma: float, penalty: float) -> Fitted:
    """The texts, and every example with a coefficient for each label. exp(-gamma |x - x'|²)."""
    coefficients = dual(examples, gamma=gamma, penalty=penalty)
    ids = np.arange(len(examples.images), dtype=np.int32)
    return Fitted(examples.texts, Dual(examples.images, ids, 1.0, 2 * gamma, coefficients))


def dual(examples: Examples, *, gamma: float, penalty: float) -> np.ndarray:
    """(n, k): what every example adds for each label, in cosines of the texts.

    Answers are -1/k, and 1 more for the right label; the cosines, less their mean, are made as near
    to that as one factor makes them. Each label counts alike.
    """
    x, k = examples.images.astype(np.float64), len(examples.texts)
    answers = np.eye(k)[examples.label_ids] - 1 / k
    cosines = x @ examples.texts.T.astype(np.float64)
    cosines -= cosines.mean(1, keepdims=True)
    factor = float((cosines * answers).sum()) / max(float((cosines**2).sum()), LEAST)
    factor = max(factor, 1.0)  # texts that say nothing, or the contrary, still are no 0
    kernel = np.exp(-gamma * np.maximum(2 - 2 * x @ x.T, 0))
    costs = penalty / (len(x) * examples.weight[:, 0].astype(np.float64))
    solved = np.linalg.solve(kernel + np.diag(costs), answers - factor * cosines)
    return np.asarray(solved / factor, dtype=np.float32)


Grid = tuple[dict[str, float], ...]
KERNEL_RIDGE = "kernel ridge"
GRID: Grid = tuple({"gamma": g, "penalty": p} for g in (0.5, 2.0, 8.0) for p in (0.03, 0.3, 3.0))
THREE = ("prototypes", "cache", "probe")


@contextmanager
def methods(*names: str) -> Iterator[None]:
    """These are the candidates."""
    before = dict(few_shot.METHODS)
    every = before | {KERNEL_RIDGE: (kernel_ridge, GRID)}
    few_shot.METHODS.clear()
    few_shot.METHODS.update({name: every[name] for name in names})
    try:
        yield
    finally:
        few_shot.METHODS.clear()
        few_shot.METHODS.update(before)


Relabel = Callable[[CompiledLabels, adapt.Draw, np.random.Generator], adapt.Draw]
SETS: tuple[tuple[str, ...], ...] = ((), (GDA,), (KERNEL_RIDGE,))


def of_each(
    labels: CompiledLabels, draw: adapt.Draw, seed: int, fewest: int
) -> list[tuple[float, str]]:
    """Right after, and the method: zero-shot, and what `fit_adapter` makes with each of `SETS`.

    As `fit_adapter`, but that the folds are computed once for all of them.
    """
    texts, scale = labels.matrix, labels.score.scale
    examples = Examples(draw.examples, draw.owners.astype(np.int64), texts, scale)
    right = float((labels.similarities(draw.images).argmax(1) == draw.truth).mean())
    unchanged = right, ZERO_SHOT
    held_out = examples.count[examples.label_ids] > 1
    if chance_of_labels(examples) > LEVEL:
        return [unchanged] * (1 + len(SETS))
    zero = np.float32(scale) * (draw.examples @ texts.T)
    before = Trial(ZERO_SHOT, {}, zero[held_out], examples.label_ids[held_out])
    every = (*THREE, *((GDA,) if examples.count.min() >= fewest else ()), KERNEL_RIDGE)
    results, known = [unchanged], {}
    with methods(*every):
        trials = cross_validated(examples, held_out, every, seed)
        for names in SETS:
            own = [trial for trial in trials if trial.method in (*THREE, *names)]
            _, trial, _ = _gained(before, own)
            key = trial.method, str(trial.settings)
            if trial is not before and key not in known:
                fits = few_shot.candidates(examples, [trial.method])
                fitted = next(f for _, settings, f in fits if settings == trial.settings)
                answers = fitted.similarities(draw.images).argmax(1)
                known[key] = float((answers == draw.truth).mean())
            results.append(unchanged if trial is before else (known[key], trial.method))
    return results


def compared(
    collections: Iterable[adapt.Collection],
    shots: Sequence[int],
    draws: int,
    relabel: Relabel | None = None,
    fewest: int = FEWEST_OF_GDA,
) -> None:
    """A line for each collection and count of examples, and what all say together."""
    head = "".join(f"  {'+ ' + s[0]:>14} {'95 %':>16} {'worst':>6} kept won" for s in SETS[1:])
    print(f"{'pictures':26} {'shots':>5} {'zero-shot':>9} {'three':>6} kept{head}")
    every: dict[tuple[str, ...], list[float]] = {s: [] for s in SETS[1:]}
    for collection in collections:
        for count in shots:
            if count > max(collection.most, 4):
                continue
            results = []
            for seed in range(draws):
                draw = collection.draw(count, seed)
                if relabel is not None:
                    rng = np.random.default_rng([seed, count, 1])
                    draw = relabel(collection.labels, draw, rng)
                results.append(of_each(collection.labels, draw, seed, fewest))
            zero, now, *others = ([row[i] for row in results] for i in range(1 + len(SETS)))
            before = np.array([right for right, _ in now])
            line = f"{collection.name:26} {count:5} {100 * np.mean([r for r, _ in zero]):9.1f} "
            line += f"{100 * before.mean():6.1f} {kept(now):4}"
            for names, rows in zip(SETS[1:], others, strict=True):
                gain = 100 * (np.array([right for right, _ in rows]) - before)
                every[names].append(float(gain.mean()))
                half = student.ppf(0.975, draws - 1) * gain.std(ddof=1) / np.sqrt(draws)
                won = sum(method in names for _, method in rows)
                mean = gain.mean()
                line += f"  {mean:+14.1f} ({mean - half:+6.1f} …{mean + half:+6.1f})"
                line += f" {gain.min():+6.1f} {kept(rows):4} {won:3}"
            print(line, flush=True)
    for names, gains in every.items():
        print(
            f"{names[0]}: mean of {len(gains)} lines {np.mean(gains):+.2f}, better in "
            f"{sum(g > 0.05 for g in gains)}, worse in {sum(g < -0.05 for g in gains)}"
        )


def kept(rows: Sequence[tuple[float, str]]) -> int:
    """How often zero-shot was."""
    return sum(method == ZERO_SHOT for _, method in rows)


def for_the_choice() -> Iterator[adapt.Collection]:
    """On which the minimum was chosen: damage that the table does not have with these labels."""
    adapt.SPOILED.update(examples_benchmark.SPOILED)
    damage = [*examples_benchmark.SPOILED, "tinted", "blurred"]
    yield from adapt.of_shapes([f"a {shape}" for shape in shapes.SHAPES], damage)


def made_up(seed: int) -> tuple[CompiledLabels, adapt.Draw, np.ndarray]:
    """Ten labels of which six have 8 pictures each, as tests/learning/test_adapt.py makes them."""
    rng = np.random.default_rng(seed)
    centres, truth = rng.normal(size=(10, 48)), np.repeat(np.arange(10), 40)
    images = unit(centres[truth] + 1.2 * rng.normal(size=(400, 48)) + 3 * np.eye(48)[0])
    texts = unit(centres + 2.5 * rng.normal(size=(10, 48)) + 3 * np.eye(48)[1])
    names = unseen.LabelSet.of([f"label {i}" for i in range(10)]).labels
    prompts = tuple((label.name,) for label in names)
    score = Score("softmax", 50.0)
    labels = CompiledLabels(names, prompts, texts, texts, "", None, "", stored_score=score)
    chosen = np.random.default_rng(seed)
    drawn = [chosen.permutation(np.flatnonzero(truth == label))[:8] for label in range(6)]
    examples = np.concatenate(drawn)
    rest = np.ones(len(truth), dtype=bool)
    rest[examples] = False
    draw = adapt.Draw(images[examples], truth[examples], images[rest], truth[rest])
    return labels, draw, np.arange(10) < 6


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def half_taught(
    collection: adapt.Collection, count: int, seed: int
) -> tuple[CompiledLabels, adapt.Draw, np.ndarray]:
    """A draw in which every second label, by lot, has examples, and which these are."""
    k = len(collection.labels.labels)
    taught = np.random.default_rng(seed).permutation(k) < k // 2
    draw = collection.draw(min(count, collection.most), seed)
    inside = taught[draw.owners]
    examples, owners = draw.examples[inside], draw.owners[inside]
    return collection.labels, adapt.Draw(examples, owners, draw.images, draw.truth), taught


def some(only: Sequence[str], draws: int) -> None:
    """All labels are asked for, and half of them have example pictures."""
    columns = "zero-shot, made for all, for the taught, gda alone"
    print(f"{'pictures':26} {'shots':>5}  taught: {columns}; others: the same; gda of draws")
    some_of("made up", 8, [made_up(seed) for seed in range(draws)])
    for collection in adapt.of_all(only):
        for count in (2, 8):
            cases = [half_taught(collection, count, seed) for seed in range(draws)]
            some_of(collection.name, count, cases)


def some_of(
    name: str, count: int, cases: Sequence[tuple[CompiledLabels, adapt.Draw, np.ndarray]]
) -> None:
    """One line of `some`."""
    rows, won = [], 0
    for seed, (labels, draw, taught) in enumerate(cases):
        ids = np.flatnonzero(taught)
        own = replace(
            labels,
            labels=tuple(labels.labels[i] for i in ids),
            prompts=tuple(labels.prompts[i] for i in ids),
            matrix=labels.matrix[ids],
        )
        whole = fit_adapter(draw.examples, draw.owners, labels, seed=seed)
        part = fit_adapter(draw.examples, np.searchsorted(ids, draw.owners), own, seed=seed)
        won += part.method == GDA
        made = [whole, part, replace(part, fallback=None)]
        answers = [labels, *(adapter.apply(labels) for adapter in made)]
        right = [a.similarities(draw.images).argmax(1) == draw.truth for a in answers]
        known = taught[draw.truth]
        rows.append([r[m].mean() for m in (known, ~known) for r in right])
    figures = "  ".join(f"{figure:5.1f}" for figure in 100 * np.mean(rows, axis=0))
    print(f"{name:26} {count:5}  {figures}  {won} of {len(cases)}", flush=True)


def judged() -> None:
    """Both formulas against scikit-learn's, on made-up pictures, as many of each label."""
    rng = np.random.default_rng(0)
    owners = np.arange(60) % 5
    x = rng.normal(size=(5, 24))[owners] + 1.5 * rng.normal(size=(60, 24))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    texts = np.zeros((5, 24), np.float32)
    examples = Examples(x, owners, texts, 1.0)
    trace = np.mean([np.trace(np.cov(x[owners == c].T, bias=True)) for c in range(5)])
    lda = LinearDiscriminantAnalysis(
        "lsqr", priors=np.full(5, 0.2), covariance_estimator=Shrunk((len(x) - 1) / trace)
    ).fit(x.astype(np.float64), owners)
    rows, bias, _ = examples.discriminant
    bias_difference = np.abs(bias - np.log(5) - lda.intercept_).max()
    print(f"gda: rows differ by {np.abs(rows - lda.coef_).max():.1e}, biases {bias_difference:.1e}")
    ridge = KernelRidge(alpha=0.3, kernel="rbf", gamma=2.0).fit(x, np.eye(5)[owners] - 0.2)
    ours = kernel_ridge(examples, gamma=2.0, penalty=0.3).similarities(x)
    print(f"kernel ridge: answers differ by {np.abs(ours - ridge.predict(x)).max():.1e}")


class Shrunk(EmpiricalCovariance):
    """Of one label's pictures, towards the unit matrix by what is known of all."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def fit(self, x: np.ndarray, y: None = None) -> Shrunk:
        self.covariance_ = self.factor * np.cov(x.T, bias=True) + np.eye(x.shape[1])
        return self


def seconds() -> None:
    """With the three methods, with all that there are, and with kernel ridge."""
    for names in ((), (GDA,), (KERNEL_RIDGE,)):
        print(f"with {', '.join((*THREE, *names))}:")
        with methods(*THREE, *names):
            adapt.seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", default=[], help="collections of this name")
    parser.add_argument("--draws", type=int, default=DRAWS)
    for mode in ("fewest", "noise", "chance", "some", "time", "judge"):
        parser.add_argument(f"--{mode}", action="store_true")
    arguments = parser.parse_args()
    start = time.perf_counter()
    only, draws = arguments.only, arguments.draws
    if arguments.time:
        seconds()
    elif arguments.judge:
        judged()
    elif arguments.some:
        some(only, draws)
    elif arguments.fewest:
        compared(for_the_choice(), (2, 3, 4, 8, 16), draws, fewest=2)
    elif arguments.noise:
        compared(adapt.of_all(only), (2, 4, 8), draws, adapt.with_noise(0.2))
    elif arguments.chance:
        compared(adapt.of_all(only), (2, 4), draws, adapt.by_lot)
    else:
        compared(adapt.of_all(only), SHOTS, draws)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
