"""Sets of each label, and answers of which few are wrong: held on draws that were not looked at."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFilter
from scipy.stats import betabinom, binom

import shapes
import unseen
from unseen.errors import LabelError, UnseenWarning
from unseen.learning.conformal_fits import (
    CONFIDENCE,
    binomial_cdf,
    fewest_answers,
    fit_selective,
    fit_sets,
    selective_threshold,
)
from unseen.prediction import score
from unseen.prediction.conformal import SelectiveClassifier, uncalibrated_probabilities

DRAWS = 400
KINDS = {
    "animal": "bee bird bison cat chameleon chicken cow crab crocodile dog duck fish gibbon "
    "giraffe hedgehog horse jaguar kangaroo koala komodo_dragon lemur moose owl panda parrot pig "
    "polar_bear red_panda sheep",
    "building": "amphitheater aqueduct castle cathedral dam igloo pagoda pyramid skyscraper tower "
    "triumphal_arch windmill",
    "tool": "hammer measuring_tape nail_clipper pliers scissors screwdriver wrench",
}

Pool = tuple[np.ndarray, np.ndarray, list[str]]


@pytest.fixture(scope="module")
def pools(shapes_clip: Path, photographs: Path) -> dict[str, Pool]:
    """Probabilities (n, k), what is right (n,), the labels: spoilt shapes, and photographs."""
    labels = shapes.labels()[:8]
    small = unseen.load(shapes_clip)
    drawn = [
        shapes.draw(shapes.scene(label), 3000 + seed).filter(ImageFilter.GaussianBlur(4))
        for label in labels
        for seed in range(40)
    ]
    kind_of = {name: kind for kind, names in KINDS.items() for name in names.split()}
    files = [f for f in sorted(photographs.glob("*/*.jpg")) if f.parent.name in kind_of]
    truth = [kind_of[file.parent.name] for file in files]
    return {
        "shapes": _pool(small, drawn, np.repeat(labels, 40).tolist(), labels),
        "photographs": _pool(unseen.load(), files, truth, [*KINDS]),
    }


def _pool(classifier: unseen.Classifier, pictures, truth: list[str], labels: list[str]) -> Pool:  # type: ignore[no-untyped-def]
    compiled = classifier.compile(labels)
    cosines = classifier.encode_images(pictures) @ compiled.matrix.T
    p = uncalibrated_probabilities(score.logits(cosines, compiled.score), compiled)
    return p, np.array([labels.index(name) for name in truth]), labels


def one_hot(truth: np.ndarray, k: int) -> np.ndarray:
    return np.eye(k, dtype=bool)[truth]


def mondrian(p: np.ndarray, truth: np.ndarray, others: np.ndarray, coverage: float) -> np.ndarray:
    """Class-conditional least ambiguous sets, written apart: plain loops, one quantile a label."""
    sets = np.zeros(others.shape, dtype=bool)
    pooled = sorted(1 - row[label] for row, label in zip(p, truth, strict=True))
    for label in range(p.shape[1]):
        own = sorted(1 - row[label] for row, t in zip(p, truth, strict=True) if t == label)
        rank = math.ceil((len(own) + 1) * coverage)
        if rank > len(own):
            own, rank = pooled, math.ceil((len(pooled) + 1) * coverage)
        sets[:, label] = 1 - others[:, label] <= own[rank - 1]
    for row, best in zip(sets, others.argmax(1), strict=True):
        row[best] = True
    return sets


@pytest.mark.filterwarnings("ignore:.*fewer than")
@pytest.mark.parametrize("name", ["shapes", "photographs"])
def test_class_conditional_sets_are_those_of_another_implementation(
    name: str, pools: dict[str, Pool]
) -> None:
    p, truth, labels = pools[name]
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(p))
        seen, rest = np.split(order, [len(p) // 2])
        right = one_hot(truth[seen], len(labels))
        made = fit_sets(p[seen], right, labels, 0.8, "lac", class_conditional=True)
        assert made is not None
        wanted = mondrian(p[seen], truth[seen], p[rest], 0.8)
        np.testing.assert_array_equal(made.in_sets(p[rest], labels), wanted)


@pytest.mark.filterwarnings("ignore:.*fewer than")
@pytest.mark.parametrize("name", ["shapes", "photographs"])
def test_each_label_is_covered_as_often_as_is_said(name: str, pools: dict[str, Pool]) -> None:
    """Of the pictures of a label that set nothing, the covered are beta-binomial, draw by draw."""
    p, truth, labels = pools[name]
    coverage = 0.8
    below, draws = np.zeros(len(labels)), np.zeros(len(labels))
    shares: list[list[float]] = [[] for _ in labels]
    for seed in range(DRAWS):
        order = np.random.default_rng([seed, 1]).permutation(len(p))
        seen, rest = np.split(order, [len(p) // 2])
        right = one_hot(truth[seen], len(labels))
        made = fit_sets(p[seen], right, labels, coverage, "lac", class_conditional=True)
        assert made is not None and made.reach_by_label is not None
        inside = (1 - p[rest] <= made.reaches(labels))[np.arange(len(rest)), truth[rest]]
        for i, label in enumerate(labels):
            n, own = int((truth[seen] == i).sum()), truth[rest] == i
            if label not in made.reach_by_label or not own.any():
                continue
            rank = math.ceil((n + 1) * coverage)
            covered = int(inside[own].sum())
            below[i] += betabinom(int(own.sum()), rank, n + 1 - rank).cdf(covered) <= 0.05
            draws[i] += 1
            shares[i].append(covered / own.sum())
    assert (draws > DRAWS / 2).all()
    assert (below <= binom.ppf(0.9999, draws, 0.05)).all(), below
    for own in shares:
        assert np.mean(own) >= coverage - 4 * np.std(own) / math.sqrt(len(own))


def test_a_label_that_the_average_forgets_is_covered_by_its_own_sets() -> None:
    """Nine labels that are easy and one that is hard: the average is kept, the hard one is not."""
    labels = [f"label {i}" for i in range(10)]
    marginal, own = [], []
    for seed in range(60):
        p, truth = unequal(np.random.default_rng(seed), 1200)
        right, hard = one_hot(truth, 10), truth[600:] == 9
        for results, conditional in ((marginal, False), (own, True)):
            made = fit_sets(p[:600], right[:600], labels, 0.9, "lac", class_conditional=conditional)
            assert made is not None
            covered = made.in_sets(p[600:], labels)[right[600:]]
            results.append((covered.mean(), covered[hard].mean()))
    assert np.mean(marginal, 0)[0] >= 0.9 and np.mean(marginal, 0)[1] < 0.6
    assert np.mean(own, 0)[1] >= 0.88


def unequal(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A model that knows the last of ten labels badly."""
    truth = rng.integers(10, size=n)
    logits = rng.normal(0, 1, (n, 10))
    logits[np.arange(n), truth] += np.where(truth == 9, 0.5, 4.0)
    p = np.exp(logits)
    return p / p.sum(1, keepdims=True), truth


def test_labels_with_too_few_pictures_are_named_and_take_the_reach_of_all() -> None:
    labels = ["cat", "dog", "owl"]
    rng = np.random.default_rng(0)
    truth = np.array([0] * 12 + [1] * 12 + [2] * 4)
    p = rng.dirichlet(np.ones(3), len(truth))
    with pytest.warns(UnseenWarning, match=r"1 of 3 labels .* 9 pictures .*: owl \(4\)"):
        made = fit_sets(p, one_hot(truth, 3), labels, 0.9, "lac", class_conditional=True)
    assert made is not None and made.reach_by_label is not None
    assert set(made.reach_by_label) == {"cat", "dog"}
    assert made.reaches(labels)[2] == made.reach
    with pytest.raises(LabelError, match="no label has the 9 pictures"):
        fit_sets(p[8:20], one_hot(truth[8:20], 3), labels, 0.9, "lac", class_conditional=True)


# answers of which few are wrong


def surer_is_better(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    s = rng.random(n)
    return s, rng.random(n) < 0.5 + 0.5 * s


def surest_are_wrong(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Where the model is surest it errs, then it does not, then it does."""
    s = rng.random(n)
    return s, rng.random(n) >= np.where(s > 0.9, 0.4, np.where(s > 0.3, 0.02, 0.5))


def always_alike(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A little more wrong than is allowed, however sure."""
    return rng.random(n), rng.random(n) >= 0.11


@pytest.mark.parametrize("draw", [surer_is_better, surest_are_wrong, always_alike])
@pytest.mark.parametrize("n", [60, 300])
def test_the_share_of_wrong_answers_is_kept_as_often_as_is_said(draw, n: int) -> None:  # type: ignore[no-untyped-def]
    """What is true of a threshold is counted on 200,000 pictures that did not choose it."""
    sure, right = draw(np.random.default_rng(10), 200_000)
    order = np.argsort(-sure)
    share = np.cumsum(~right[order]) / np.arange(1, len(order) + 1)
    broken = made = 0
    for seed in range(DRAWS):
        threshold = selective_threshold(*draw(np.random.default_rng([seed, 2]), n), 0.1, CONFIDENCE)
        if threshold is None:
            continue
        made += 1
        answered = int((sure > threshold).sum())
        broken += answered > 0 and share[answered - 1] > 0.1
    assert broken <= binom.ppf(0.9999, DRAWS, 1 - CONFIDENCE), broken
    assert made > DRAWS / 2 or draw is not surer_is_better or n < 300


@pytest.mark.parametrize("name", ["shapes", "photographs"])
def test_it_is_kept_on_pictures_too(name: str, pools: dict[str, Pool]) -> None:
    p, truth, labels = pools[name]
    broken = made = 0
    for seed in range(DRAWS):
        order = np.random.default_rng([seed, 3]).permutation(len(p))
        seen, rest = np.split(order, [len(p) // 2])
        try:
            rule = fit_selective(p[seen], one_hot(truth[seen], len(labels)), labels, 0.2)
        except LabelError:
            continue
        made += 1
        answered = rule.answers(p, labels)
        wrong = answered & (p.argmax(1) != truth)
        broken += wrong.sum() > 0.2 * answered.sum()
        assert answered[rest].mean() > 0
    assert made > DRAWS / 4
    assert broken <= binom.ppf(0.9999, DRAWS, 1 - CONFIDENCE), broken


def test_what_cannot_be_shown_is_refused() -> None:
    labels, rng = ["cat", "dog"], np.random.default_rng(0)
    p = np.sort(rng.dirichlet(np.ones(2), 300), axis=1)[:, ::-1]
    right = one_hot(np.zeros(300, int), 2)
    assert fewest_answers(0.01, 0.9) == 230 and 0.99**230 <= 0.1 < 0.99**229
    with pytest.raises(LabelError, match=r"100 answers are too few .* at least"):
        fit_selective(p[:100], right[:100], labels, 0.01)
    wrong = one_hot(np.ones(300, int), 2)
    with pytest.raises(LabelError, match=r"do not show that at most 10\.0% of the answers"):
        fit_selective(p, wrong, labels, 0.1)
    all_right = fit_selective(p, right, labels, 0.05)
    assert all_right.answers(p, labels).all()


def test_a_picture_of_the_background_is_no_answer() -> None:
    rule = SelectiveClassifier(0.1, 0.9, 0.2)
    p = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert rule.answers(p, ["cat", "unknown"]).tolist() == [True, False]


@pytest.mark.parametrize("n", [1, 7, 300, 5000])
@pytest.mark.parametrize("p", [0.01, 0.3])
def test_the_chance_of_so_few_is_that_of_scipy(n: int, p: float) -> None:
    for k in {0, n // 100, n // 10, n}:
        assert binomial_cdf(k, n, p) == pytest.approx(binom.cdf(k, n, p), rel=1e-8)


def test_answers_that_are_equally_sure_are_given_together() -> None:
    sure, right = np.full(100, 0.5), np.ones(100, bool)
    assert selective_threshold(sure, right, 0.1, 0.9) == 0.0  # all or none
    sure[:60] = 0.6
    right[60:] = False
    assert selective_threshold(sure, right, 0.1, 0.9) == 0.5
