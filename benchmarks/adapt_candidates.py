"""Two more candidates of an adapter, held against those that there are (learning/few_shot.py).

    python benchmarks/adapt_candidates.py                   # accuracy, on the same draws
    python benchmarks/adapt_candidates.py --noise           # a fifth of the labels are wrong
    python benchmarks/adapt_candidates.py --chance          # labels that were drawn by lot
    python benchmarks/adapt_candidates.py --some            # half of the labels have no pictures
    python benchmarks/adapt_candidates.py --time            # seconds to make one
    python benchmarks/adapt_candidates.py --judge           # the formulas against scikit-learn's
    python benchmarks/adapt_candidates.py --only digits     # collections whose name has this in it

- gda: Gaussian discriminant analysis with one covariance, beside the texts (Wang et al. 2024,
  arXiv:2402.04087). Of n examples with the covariance S within labels,
  P = ((n - 1) S / tr S + I)^-1; a label's row is P m and its bias -½ mᵀ P m, m the mean of its
  examples. P is, but for a factor, the estimate of Kubokawa & Srivastava (2008).
- kernel ridge: what is left of the answer after the texts', by ridge regression with a Gaussian
  kernel (Bendou et al. 2025, arXiv:2501.11175):
  f(x) = texts(x) + k(x, X) (K + λ I)^-1 (Y - texts(X)).

Each line is so many draws of examples; what is classified was never an example. `now` is the
accuracy with the methods there are; `+ gda` and `+ kernel ridge` what changes with one more, in
points of top-1, with the 95 % interval over the draws (Student's t); `kept` in how many draws
zero-shot was kept, and `won` in how many the new candidate was taken.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import adapt
import numpy as np
from scipy.stats import t as student
from sklearn.covariance import EmpiricalCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.kernel_ridge import KernelRidge

import unseen
from unseen.labels.compiled import CompiledLabels
from unseen.labels.example_cache import Cache
from unseen.learning import few_shot
from unseen.learning.adapt import _gained, fit_adapter
from unseen.learning.few_shot import Examples, Fitted
from unseen.learning.gate import LEVEL, chance_of_gain, chance_of_labels
from unseen.learning.trials import Trial, cross_validated
from unseen.models.model import Score
from unseen.prediction.adapter import ZERO_SHOT

DRAWS = 10
SHOTS = (2, 4, 8, 16)
LEAST = 1e-12  # of a sum of squares that something is divided by


def gda(examples: Examples, *, w: float) -> Fitted:
    """The text's row, and that of the discriminant, as long together as those of prototypes are.

    A bias needs no place of its own: pictures lie in a cone, so that their product with u = P m /
    mᵀ P m, m the mean of all, is about 1.
    """
    rows, bias, means = discriminant(examples)
    centre, direction = means.mean(0), rows.mean(0)
    level = direction / max(float(direction @ centre), LEAST)
    added = rows - direction
    length = np.linalg.norm(means - centre) / max(float(np.linalg.norm(added)), LEAST)
    added += np.outer(bias - bias.mean(), level)
    return Fitted((examples.texts + w * length * added).astype(np.float32))


def discriminant(examples: Examples) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows (k, d) and biases (k,) of the labels, each as likely, and the means (k, d)."""
    x = examples.images.astype(np.float64)
    means = np.zeros((len(examples.texts), x.shape[1]))
    np.add.at(means, examples.label_ids, x)
    means /= examples.count[:, None]
    residuals = x - means[examples.label_ids]
    squares = max(float((residuals**2).sum()), LEAST)  # n · tr S
    precision = residuals.T @ residuals * ((len(x) - 1) / squares) + np.eye(x.shape[1])
    rows = np.linalg.solve(precision, means.T).T
    return rows, -0.5 * (rows * means).sum(1), means


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
NEW: dict[str, tuple[Callable[..., Fitted], Grid]] = {
    "gda": (gda, tuple({"w": w} for w in (1 / 3, 1.0, 3.0, 10.0, 30.0))),
    "kernel ridge": (
        kernel_ridge,
        tuple({"gamma": g, "penalty": p} for g in (0.5, 2.0, 8.0) for p in (0.03, 0.3, 3.0)),
    ),
}


@contextmanager
def among(*names: str) -> Iterator[None]:
    """These are candidates, too."""
    before = dict(few_shot.METHODS)
    few_shot.METHODS.update({name: NEW[name] for name in names})
    try:
        yield
    finally:
        few_shot.METHODS.clear()
        few_shot.METHODS.update(before)


Relabel = Callable[[CompiledLabels, adapt.Draw, np.random.Generator], adapt.Draw]
SETS: tuple[tuple[str, ...], ...] = ((), ("gda",), ("kernel ridge",))


def of_each(labels: CompiledLabels, draw: adapt.Draw, seed: int) -> list[tuple[float, str]]:
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
    with among(*NEW):
        trials = cross_validated(examples, held_out, seed)
    results, known = [unchanged], {}
    for names in SETS:
        own = [trial for trial in trials if trial.method not in NEW or trial.method in names]
        gains = np.array([before.losses - trial.losses for trial in own])
        _, trial = _gained(before, own, chance_of_gain(gains))
        key = trial.method, str(trial.settings)
        if trial is not before and key not in known:
            with among(*NEW):
                fit, grid = few_shot.METHODS[trial.method]
                fitted = None  # a probe begins where the one before it came to
                for settings in grid[: 1 + grid.index(trial.settings)]:
                    more = {"start": fitted.rows} if fit is few_shot.probe and fitted else {}
                    fitted = fit(examples, **settings, **more)
            answers = fitted.similarities(draw.images).argmax(1)
            known[key] = float((answers == draw.truth).mean())
        results.append(unchanged if trial is before else (known[key], trial.method))
    return results


def compared(
    only: Sequence[str], shots: Sequence[int], draws: int, relabel: Relabel | None = None
) -> None:
    """A line for each collection and count of examples, and what all say together."""
    head = "".join(f"  {'+ ' + s[0]:>14} {'95 %':>16} {'worst':>6} kept won" for s in SETS[1:])
    print(f"{'pictures':26} {'shots':>5} {'zero-shot':>9} {'now':>6} kept{head}")
    every: dict[tuple[str, ...], list[float]] = {s: [] for s in SETS[1:]}
    for collection in adapt.of_all(only):
        for count in shots:
            if count > max(collection.most, 4):
                continue
            results = []
            for seed in range(draws):
                draw = collection.draw(count, seed)
                if relabel is not None:
                    rng = np.random.default_rng([seed, count, 1])
                    draw = relabel(collection.labels, draw, rng)
                results.append(of_each(collection.labels, draw, seed))
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


def made_up() -> None:
    """Ten labels of which six have 8 pictures each, as tests/learning/test_adapt.py makes them."""
    rows = []
    for seed in range(5):
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
        answers = [labels.similarities(images)]
        for more in ((), ("gda",)):
            with among(*more):
                made = fit_adapter(images[examples], truth[examples], labels)
            answers.append(made.apply(labels).similarities(images))
        rest = np.ones(len(truth), dtype=bool)
        rest[examples] = False
        right = [a.argmax(1) == truth for a in answers]
        rows.append([r[m].mean() for m in (rest & (truth < 6), truth >= 6) for r in right])
    print(f"{'made up':26} {8:5}  " + "   ".join(f"{f:6.1f}" for f in 100 * np.mean(rows, axis=0)))


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def some(only: Sequence[str], draws: int) -> None:
    """All labels are asked for, and half of them have example pictures."""
    print(
        f"{'pictures':26} {'shots':>5}  with pictures: zero, now, + gda; without: zero, now, + gda"
    )
    made_up()
    for collection in adapt.of_all(only):
        labels = collection.labels
        for count in (2, 8):
            rows = []
            for seed in range(draws):
                k = len(labels.labels)
                taught = np.random.default_rng(seed).permutation(k) < k // 2
                draw = collection.draw(min(count, collection.most), seed)
                inside, known = taught[draw.owners], taught[draw.truth]
                answers = [labels.similarities(draw.images)]
                for names in ((), ("gda",)):
                    with among(*names):
                        examples, owners = draw.examples[inside], draw.owners[inside]
                        made = fit_adapter(examples, owners, labels, seed=seed)
                    answers.append(made.apply(labels).similarities(draw.images))
                right = [a.argmax(1) == draw.truth for a in answers]
                rows.append([r[m].mean() for m in (known, ~known) for r in right])
            figures = 100 * np.mean(rows, axis=0)
            print(
                f"{collection.name:26} {count:5}  "
                + "   ".join(f"{figure:6.1f}" for figure in figures),
                flush=True,
            )


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
    rows, bias, _ = discriminant(examples)
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
    """With the methods there are, and with each of the new ones."""
    for names in ((), *((name,) for name in NEW)):
        print(f"with {', '.join(names) or 'the methods there are'}:")
        with among(*names):
            adapt.seconds()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", default=[], help="collections of this name")
    parser.add_argument("--draws", type=int, default=DRAWS)
    for mode in ("noise", "chance", "some", "time", "judge"):
        parser.add_argument(f"--{mode}", action="store_true")
    arguments = parser.parse_args()
    start = time.perf_counter()
    if arguments.time:
        seconds()
    elif arguments.judge:
        judged()
    elif arguments.some:
        some(arguments.only, arguments.draws)
    elif arguments.noise:
        compared(arguments.only, (2, 4, 8), arguments.draws, adapt.with_noise(0.2))
    elif arguments.chance:
        compared(arguments.only, (2, 4), arguments.draws, adapt.by_lot)
    else:
        compared(arguments.only, SHOTS, arguments.draws)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
