"""What a calibration from few pictures is worth: on shapes that were spoilt, and on photographs.

    python benchmarks/calibrate.py              # about four minutes
    python benchmarks/calibrate.py --promises   # what is left, each label, and answers: a minute

Each line is the mean over 100 draws of n labelled pictures from the pool (30 for thresholds and
priors, 300 for answers); the others of the pool are what it is judged by. NLL: mean negative
log-likelihood of the right label. ECE: expected calibration error, 15 bins of equal width. `worse`:
draws where the NLL rose. P, R, F1 are over all yes and no of all labels. Priors: the change of
top-1 in points, with that of the worst draw, and the NLL afterwards. Shapes: 80 labels, 10 pictures
of each; photographs: 117 pictures, 69 labels; kinds: those of animals, buildings and tools.

Each label: the coverage of the worst label over all draws, with its 95 % interval over the draws.
Answers: how many of all pictures are answered, how many of these are wrong, and in how many draws
more than was promised, with its 95 % interval; refused: of no threshold it was shown. `made` and
`unequal` are made-up scores, of which there are as many as one likes.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import unseen
from unseen.evaluation.bootstrap import proportion
from unseen.learning.calibration_fits import (
    PRIORS,
    fit_line,
    fit_temperature,
    fit_thresholds,
)
from unseen.learning.conformal_fits import (
    CONFIDENCE,
    conformal_reach,
    fit_sets,
    selective_threshold,
)
from unseen.learning.remaining_error import remaining_error
from unseen.prediction import score
from unseen.prediction.conformal import METHODS

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support"), str(ROOT / "benchmarks")]

from label import KINDS  # noqa: E402
from transductive import SPOILED  # noqa: E402

import shapes  # noqa: E402

DRAWS = 100
ANSWER_DRAWS = 300
FEW_KINDS = ("animal", "building", "tool")
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


def unequal(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Made-up probabilities of ten labels, one of which the model knows badly."""
    rng = np.random.default_rng([seed, 7])
    truth = rng.integers(10, size=n)
    logits = rng.normal(0, 1, (n, 10))
    logits[np.arange(n), truth] += np.where(truth == 9, 0.5, 4.0)
    return score.softmax64(logits), truth


def each_label(name: str, p: np.ndarray, truth: np.ndarray) -> None:
    """The coverage of the worst label, with one reach for all and with one for each."""
    names = [str(i) for i in range(p.shape[1])]
    right = one_hot(truth, len(names))
    half = len(truth) // 2
    for conditional in (False, True):
        rows, sizes, own = [], [], []
        for seen, rest in draws(half, len(truth)):
            made = fit_sets(
                p[seen], right[seen], names, COVERAGE, "lac", class_conditional=conditional
            )
            within = made.in_sets(p[rest], names)
            covered = within[right[rest]]
            with np.errstate(invalid="ignore"):
                by_label = [covered[truth[rest] == i].mean() for i in range(len(names))]
            rows.append([covered.mean(), *by_label])
            sizes.append(within.sum(1).mean())
            own.append(len(made.reach_by_label or ()))
        means = np.nanmean(rows, 0)
        worst = 1 + int(np.nanargmin(means[1:]))
        spread = 1.96 * np.nanstd(rows, 0)[worst] / np.sqrt(len(rows))
        kind = f"of each label ({np.mean(own):.1f} of {len(names)} have their own)"
        print(
            f"| {name} | {half} | {kind if conditional else 'of all'} | {means[0]:.1%} "
            f"| {means[worst]:.1%} ± {100 * spread:.1f} | {np.mean(sizes):.2f} |"
        )


def answers(
    name: str, draw: Callable[[int], tuple[np.ndarray, ...]], n: int, allowed: float
) -> None:
    """`draw(seed)`: surety and right of what is learnt from, then of what it is judged by."""
    rows, refused = [], 0
    for seed in range(ANSWER_DRAWS):
        sure, right, others, others_right = draw(seed)
        threshold = selective_threshold(sure, right, allowed, CONFIDENCE)
        if threshold is None:
            refused += 1
            continue
        given = others > threshold
        rows.append((given.mean(), (~others_right[given]).mean() if given.any() else 0.0))
    if not rows:
        print(f"| {name} | {n} | {allowed:.0%} | {refused} of {ANSWER_DRAWS} | | | | |")
        return
    shares = np.array(rows)
    broken = int((shares[:, 1] > allowed).sum())
    low, high = proportion(broken, ANSWER_DRAWS)
    print(
        f"| {name} | {n} | {allowed:.0%} | {refused} of {ANSWER_DRAWS} | {shares[:, 0].mean():.0%} "
        f"| {shares[:, 1].mean():.1%} | {broken} of {ANSWER_DRAWS} ({low:.1%} to {high:.1%}) "
        f"| {broken / len(rows):.0%} |"
    )


def made_up(kind: str, n: int) -> Callable[[int], tuple[np.ndarray, ...]]:
    """As many pictures as one likes; what is true of a threshold is counted on 100,000 of them."""

    def one(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        sure = rng.random(count)
        wrong = {
            "surer is better": 0.5 * (1 - sure) ** 2,
            "the surest are wrong": np.where(sure > 0.9, 0.3, np.where(sure > 0.3, 0.02, 0.5)),
            "as wrong everywhere": np.full(count, 0.06),
        }[kind]
        return sure, rng.random(count) >= wrong

    others = one(100_000, np.random.default_rng(1))
    return lambda seed: (*one(n, np.random.default_rng([seed, n])), *others)


def of_pool(p: np.ndarray, truth: np.ndarray, n: int) -> Callable[[int], tuple[np.ndarray, ...]]:
    sure, right = p.max(1), p.argmax(1) == truth

    def draw(seed: int) -> tuple[np.ndarray, ...]:
        order = np.random.default_rng([seed, n, 5]).permutation(len(p))
        seen, rest = order[:n], order[n:]
        return sure[seen], right[seen], sure[rest], right[rest]

    return draw


def left_over(name: str, logits: np.ndarray, truth: np.ndarray) -> None:
    """The calibration error that cross-validation says is left, against that of other pictures."""
    right = one_hot(truth, logits.shape[1])
    before = score.softmax(logits)
    for n in (20, 50, 100):
        if n > 0.6 * len(truth):
            continue
        rows = []
        for seen, rest in draws(n, len(truth), 30):

            def fit(rows: np.ndarray, seen: np.ndarray = seen) -> object:
                t = fit_temperature(logits[seen][rows], right[seen][rows])
                return lambda others: score.softmax64(logits[seen][others] / t)

            said = remaining_error(before[seen], truth[seen], fit)
            t = fit_temperature(logits[seen], right[seen])
            after = score.softmax(logits[rest] / np.float32(t))
            rows.append((said.before, said.after, said.by_chance,
                         ece(before[rest], truth[rest]), ece(after, truth[rest])))  # fmt: skip
        a, b, c, d, e = np.mean(rows, 0)
        print(f"| {name} | {n} | {a:.1%} → {b:.1%} | {c:.1%} | {d:.1%} → {e:.1%} |")


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


def with_few_labels(every: list[tuple]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Probabilities and truth of pools that have pictures enough of each label."""
    yield ("unequal", *unequal(2000, 0))
    for name, logits, _, _, truth in every:
        # 80 labels, "a red circle": blurred forms look alike, and so do tinted colours.
        word = {"shapes, blurred": 2, "shapes, tinted": 1}.get(name)
        if word is not None:
            words = [label.split()[word] for label in shapes.labels()]
            order = sorted(set(words))
            own = np.array([order.index(one) for one in words])
            p = score.softmax64(logits)
            by_word = np.stack([p[:, own == i].sum(1) for i in range(len(order))], 1)
            yield f"{name}, {'colours' if word == 1 else 'forms'}", by_word, own[truth]
    kind_of = {name: kind for kind, names in KINDS.items() for name in names.split()}
    files = sorted((ROOT / "tests" / "photographs").glob("*/*.jpg"))
    files = [file for file in files if kind_of.get(file.parent.name, "kitchenware") in FEW_KINDS]
    classifier = unseen.load()
    compiled = classifier.compile([*FEW_KINDS])
    cosines = score.cosines(classifier.encode_images(files), compiled.matrix)
    truth = np.array([FEW_KINDS.index(kind_of[file.parent.name]) for file in files])
    yield "photographs, kinds", score.softmax64(score.logits(cosines, compiled.score)), truth


def head(title: str, *columns: str) -> None:
    print(f"\n## {title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")


def promises(every: list[tuple]) -> None:
    """What is left of the error, each label's sets, and answers of which few are wrong."""
    head("what is left", "pool", "n", "ECE, held out", "by chance", "ECE of others")
    for name, logits, _, _, truth in every:
        left_over(name, logits, truth)
    head(f"each label, {COVERAGE:.0%}", "pool", "n", "reach", "covered", "worst label", "mean size")
    for name, p, truth in with_few_labels(every):
        each_label(name, p, truth)
    columns = (
        "n",
        "may be wrong",
        "refused",
        "answered",
        "wrong of these",
        "promise broken",
        "of those made",
    )
    head(f"answers, confidence {CONFIDENCE:.0%}", "pool", *columns)
    for kind in ("surer is better", "the surest are wrong", "as wrong everywhere"):
        for n, allowed in ((100, 0.1), (300, 0.1), (1000, 0.05), (5000, 0.01)):
            answers(f"made: {kind}", made_up(kind, n), n, allowed)
    for name, logits, _, _, truth in every:
        p = score.softmax64(logits)
        for n, allowed in ((50, 0.1), (50, 0.2), (400, 0.01), (400, 0.1), (400, 0.2)):
            if n <= 0.6 * len(truth):
                answers(name, of_pool(p, truth, n), n, allowed)


def main() -> None:
    warnings.simplefilter("ignore")
    every = [*pools()]
    promises(every)
    if "--promises" in sys.argv[1:]:
        return
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
