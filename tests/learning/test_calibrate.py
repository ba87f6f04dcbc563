"""Calibration: the right numbers, the coverage that is promised, and refusals."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFilter
from scipy.optimize import minimize_scalar
from scipy.stats import betabinom, binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, precision_score

import shapes
import unseen
from unseen.learning.calibrate import calibrate
from unseen.learning.calibration_fits import (
    em_prior,
    fit_line,
    fit_temperature,
    fit_thresholds,
    mean_prior,
)
from unseen.learning.conformal_fits import conformal_reach
from unseen.prediction import score
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import beside
from unseen.prediction.conformal import METHODS, uncalibrated_probabilities

LABELS = shapes.labels()[:12]
RESAMPLES = 1000


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


def blurred(label: str, seed: int):  # type: ignore[no-untyped-def]
    return shapes.draw(shapes.scene(label), seed).filter(ImageFilter.GaussianBlur(3.5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a label, with underscores, and one that is no label."""
    root = tmp_path_factory.mktemp("labelled")
    for label in [*LABELS, "nonsense"]:
        (root / label.replace(" ", "_")).mkdir()
        drawn = LABELS[0] if label == "nonsense" else label
        for seed in range(4):
            blurred(drawn, 900 + seed).save(root / label.replace(" ", "_") / f"{seed}.png")
    return root


@pytest.fixture(scope="module")
def true_scores(clf: unseen.Classifier, photographs: Path) -> dict[str, tuple[np.ndarray, ...]]:
    """Probabilities and truth of blurred shapes, and of the photographs by the built-in model."""
    every, truth = shapes.labels(), np.repeat(np.arange(80), 5)
    compiled = clf.compile(every)
    rows = clf.encode_images([blurred(la, 700 + s) for la in every for s in range(5)])
    shaped = uncalibrated_probabilities(
        score.logits(rows @ compiled.matrix.T, clf.model.score), compiled
    )
    builtin = unseen.load()
    files = sorted(photographs.glob("*/*.jpg"))
    names = [file.parent.name.replace("_", " ") for file in files]
    labels = sorted(set(names))
    own = builtin.compile(labels)
    rows = builtin.encode_images(files)
    seen = uncalibrated_probabilities(score.logits(rows @ own.matrix.T, builtin.model.score), own)
    return {"shapes": (shaped, truth), "photographs": (seen, np.array([*map(labels.index, names)]))}


# conformal sets


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pool", ["synthetic", "shapes", "photographs"])
def test_sets_cover_as_often_as_they_say(
    pool: str, method: str, true_scores: dict[str, tuple[np.ndarray, ...]]
) -> None:
    """1,000 times: some pictures set the reach, others are judged by it.

    Of m judged ones the covered are beta-binomial; so are those of random halves of a true pool,
    where no two scores are the same. Each tail is then a binomial count over the resamples.
    """
    n, coverage = 40, 0.9
    rng = np.random.default_rng(5)
    rank = math.ceil((n + 1) * coverage)
    low, high, covered = 0, 0, []
    for _ in range(RESAMPLES):
        if pool == "synthetic":  # a model that is much too sure
            logits = rng.normal(0, 2, (n + 60, 6))
            p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
            truth = (p.cumsum(1) > rng.random((len(p), 1))).argmax(1)
            p = p**3 / (p**3).sum(1, keepdims=True)
        else:
            p, truth = true_scores[pool]
            order = rng.permutation(len(p))
            p, truth = p[order], truth[order]
        strange = METHODS[method](p)[np.arange(len(p)), truth]
        limit = conformal_reach(strange[:n], coverage)
        assert limit is not None
        inside = int((strange[n:] <= limit).sum())
        law = betabinom(len(p) - n, rank, n + 1 - rank)
        low += law.cdf(inside) <= 0.05
        high += law.sf(inside - 1) <= 0.05
        covered.append(inside / (len(p) - n))
    most = binom.ppf(0.9999, RESAMPLES, 0.05)
    assert low <= most, low
    assert high <= most or method == "aps", high  # equal sums near 1 may cover more, never less
    owed, spread = rank / (n + 1), np.std(covered) / math.sqrt(RESAMPLES)
    assert np.mean(covered) > owed - 4 * spread
    if method == "lac":
        assert np.mean(covered) < owed + 4 * spread


def test_reach_is_the_rank_that_the_theory_names() -> None:
    strange = np.arange(1, 20) / 20
    assert conformal_reach(strange, 0.9) == 0.9  # the 18th of 19
    assert conformal_reach(strange[:9], 0.9) == 9 / 20
    assert conformal_reach(strange[:8], 0.9) is None


def test_adaptive_scores_are_the_mass_down_to_the_label() -> None:
    p = np.array([[0.2, 0.5, 0.3]])
    np.testing.assert_allclose(METHODS["aps"](p), [[1.0, 0.5, 0.8]])
    np.testing.assert_allclose(METHODS["lac"](p), [[0.8, 0.5, 0.7]])


# temperature and line


def drawn(n: int, t: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and truths as often as softmax(logits / t) says."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (n, 5))
    p = score.softmax(logits / t)
    return logits, np.eye(5, dtype=bool)[(p.cumsum(1) > rng.random((n, 1))).argmax(1)]


def test_the_temperature_is_found() -> None:
    logits, right = drawn(4000, 2.5, 0)
    found = fit_temperature(logits, right)
    assert found == pytest.approx(2.5, rel=0.06)

    def judge(log_t: float) -> float:
        p = np.exp(logits / math.exp(log_t))
        p /= p.sum(1, keepdims=True)
        return 4000 * log_loss(right.argmax(1), p, labels=range(5)) + 0.5 * (log_t / 0.5) ** 2

    best = minimize_scalar(judge, bounds=(-3, 3), method="bounded").x
    assert found == pytest.approx(math.exp(best), rel=1e-3)


def test_few_pictures_move_it_little() -> None:
    """Five right answers are no reason to be certain, and one wrong one none to despair."""
    logits = np.full((5, 3), [4.0, 0, 0])
    sure = fit_temperature(logits, np.eye(3, dtype=bool)[[0] * 5])
    assert 0.8 < sure < 1
    many = fit_temperature(np.tile(logits, (100, 1)), np.eye(3, dtype=bool)[[0] * 500])
    assert many < sure
    wrong = fit_temperature(logits * 10, np.eye(3, dtype=bool)[[1] + [0] * 4])
    assert 1 < wrong < 20


def test_the_line_is_that_of_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(0, 3, (3000, 2))
    yes = rng.random(x.shape) < 1 / (1 + np.exp(-(0.5 * x - 2)))
    temperature, shift = fit_line(x, yes)
    judge = LogisticRegression(C=np.inf).fit(x.reshape(-1, 1), yes.ravel())
    assert 1 / temperature == pytest.approx(judge.coef_[0, 0], rel=0.01)
    assert shift == pytest.approx(judge.intercept_[0], rel=0.01)


def test_thresholds_for_f1_are_the_best_there_are() -> None:
    rng = np.random.default_rng(2)
    yes = rng.random((60, 3)) < 0.3
    p = np.where(yes, rng.beta(3, 2, yes.shape), rng.beta(2, 3, yes.shape)).astype(np.float32)
    found = fit_thresholds(p, yes)
    for j in range(3):
        every = max(f1_score(yes[:, j], p[:, j] >= t) for t in np.unique(p[:, j]))
        assert f1_score(yes[:, j], p[:, j] >= np.float32(found[j])) == pytest.approx(every)


def test_a_wanted_precision_is_reached_on_other_pictures() -> None:
    rng = np.random.default_rng(3)

    def some(n: int) -> tuple[np.ndarray, np.ndarray]:
        yes = rng.random((n, 4)) < 0.3
        return np.where(yes, rng.beta(5, 2, yes.shape), rng.beta(2, 4, yes.shape)), yes

    reached = []
    for _ in range(60):
        found = np.array(fit_thresholds(*some(80), 0.9))
        assert (found < 1).all()
        p, yes = some(400)
        reached.append(precision_score(yes.ravel(), (p >= found).ravel()))
    assert np.mean(reached) >= 0.9
    nothing = fit_thresholds(np.array([[0.9], [0.8]]), np.array([[False], [False]]), 0.9)
    assert nothing == [1.0]  # never a yes


def test_a_label_with_few_pictures_takes_the_common_threshold() -> None:
    p = np.array([[0.9, 0.4], [0.8, 0.1], [0.7, 0.1], [0.2, 0.1]])
    yes = np.array([[1, 1], [1, 0], [1, 0], [0, 0]], bool)
    own, common = fit_thresholds(p, yes)
    assert own == pytest.approx(0.45) and common == pytest.approx(0.3)


# without labels


def test_em_finds_how_frequent_labels_are() -> None:
    rng = np.random.default_rng(4)
    part = np.array([0.7, 0.2, 0.1])
    truth = rng.choice(3, 6000, p=part)
    # Two normal classes a distance apart: the logits of even classes are known exactly.
    centres = np.array([[0, 0], [2, 0], [0, 2]])
    x = centres[truth] + rng.normal(size=(6000, 2))
    logits = -0.5 * ((x[:, None] - centres) ** 2).sum(-1)
    np.testing.assert_allclose(np.exp(em_prior(logits)) / 3, part, atol=0.02)


def test_the_mean_correction_takes_away_what_a_label_has_of_itself() -> None:
    rng = np.random.default_rng(6)
    logits = rng.normal(size=(3000, 4)) + np.array([0, 3, 0, -1])
    moved = logits + mean_prior(logits)
    assert np.ptp(moved.mean(0)) < 0.1
    assert np.ptp(mean_prior(logits[:1])) < np.ptp(logits[:1])  # one picture says little


# the whole


def test_classify_is_calibrated(clf: unseen.Classifier, folder: Path, tmp_path: Path) -> None:
    with pytest.warns(unseen.UnseenWarning, match="nonsense"):
        made = calibrate(clf, folder, LABELS)
    assert made.pictures == 48 and made.likely is not None
    made.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == made
    picture = blurred(LABELS[3], 5)
    before = clf.classify(picture, LABELS)
    after = clf.classify(picture, LABELS, calibration=tmp_path / "c.json")
    logits = clf.model.score.scale * np.array([s.cosine for s in before.ranking])
    wanted = np.exp(logits / made.temperature) / np.exp(logits / made.temperature).sum()
    np.testing.assert_allclose([s.score for s in after.ranking], wanted, atol=1e-5)
    assert after.likely is not None and after.likely[0] == after.label
    assert after.to_dict()["likely"] == [*after.likely] and "likely" not in before.to_dict()
    assert [*after[0]] == ["score", "label"]  # the shape of the pipeline
    p = np.array([s.score for s in before.ranking])
    inside = {s.label for s in before.ranking if 1 - s.score <= made.likely.reach + 1e-6}
    assert {*after.likely} == inside | {before.ranking[int(p.argmax())].label}


def test_several_labels_from_a_csv(clf: unseen.Classifier, tmp_path: Path) -> None:
    labels = ["a red circle", "a blue star", "a green square"]
    rows = ["path,label"]
    for seed in range(12):
        things = tuple(shapes.scene(labels[i]).things[0] for i in (seed % 3, (seed + 1) % 3))
        shapes.draw(shapes.Scene(things, "left of"), seed).save(tmp_path / f"{seed}.png")
        rows += [f"{seed}.png,{labels[seed % 3]}", f"{seed}.png,{labels[(seed + 1) % 3]}"]
    (tmp_path / "truth.csv").write_text("\n".join(rows), "utf-8")
    made = calibrate(clf, tmp_path / "truth.csv", labels, multi_label=True)
    assert made.thresholds is not None and [*made.thresholds] == labels
    assert made.threshold_goal == "f1"
    right = []
    for seed in range(12):
        prediction = clf.classify(
            tmp_path / f"{seed}.png", labels, multi_label=True, calibration=made
        )
        for s in prediction.ranking:
            assert s.score >= made.thresholds[s.label]
        said = {s.label for s in prediction.ranking}
        right.append(said == {labels[seed % 3], labels[(seed + 1) % 3]})
    assert np.mean(right) >= 0.7
    with pytest.raises(unseen.SourceError, match="several labels"):
        calibrate(clf, tmp_path / "truth.csv", labels)


def test_background_is_calibrated_as_one_answer(clf: unseen.Classifier) -> None:
    labels, other = LABELS[:4], LABELS[4:]
    pairs = [
        (blurred(la, 20 + s), la if la in labels else "unknown") for la in LABELS for s in (0,)
    ]
    made = calibrate(clf, pairs, labels, background=other, coverage=0.8)
    assert made.pictures == 12
    prediction = clf.classify(blurred(other[0], 3), labels, background=other, calibration=made)
    assert sum(s.score for s in prediction.ranking) == pytest.approx(1, abs=1e-5)
    assert prediction.likely is not None and "unknown" in prediction.likely


def test_unlabelled_pictures_help_where_all_are_moved_alike(clf: unseen.Classifier) -> None:
    every = shapes.labels()
    pictures = [blurred(label, 300 + s) for label in every for s in range(2)]
    truth = np.repeat(every, 2)
    made = calibrate(clf, pictures, every, prior="mean")
    before, after = (
        np.mean([p.label == t for p, t in zip(found, truth, strict=True)])
        for found in (
            clf.classify_many(pictures, every),
            clf.classify_many(pictures, every, calibration=made),
        )
    )
    assert after > before + 0.05, (before, after)


def test_what_does_not_fit_is_refused(clf: unseen.Classifier, folder: Path, tmp_path: Path) -> None:
    picture = blurred(LABELS[0], 1)
    pairs = [(blurred(label, 1), label) for label in LABELS]
    made = calibrate(clf, pairs, LABELS, coverage=None)
    for wrong, reason in (
        ({"labels": LABELS[:-1]}, "other labels"),
        ({"labels": LABELS, "template": "a {}"}, "other labels"),
        ({"labels": LABELS, "multi_label": True}, "one label a picture"),
    ):
        with pytest.raises(unseen.LabelError, match=reason):
            clf.classify(picture, calibration=made, **wrong)  # type: ignore[arg-type]
    with pytest.raises(unseen.LabelError, match="made for the model"):
        unseen.load().classify(picture, LABELS, calibration=made)
    with pytest.raises(unseen.LabelError, match="too few"):
        calibrate(clf, pairs[:4], LABELS)
    with pytest.warns(unseen.UnseenWarning, match="need 19"):
        assert calibrate(clf, pairs, LABELS, coverage=0.95).likely is None
    with pytest.raises(unseen.LabelError, match="coverage"):
        calibrate(clf, pairs, LABELS, coverage=1.0)
    with pytest.raises(unseen.SourceError, match="no such folder"):
        calibrate(clf, tmp_path / "missing", LABELS)
    data = made.to_data()
    for name, change in {
        "format": "other",
        "temperature": -1,
        "prior": {"x": 0.0},
        "likely": {"coverage": 0.9, "method": "x", "reach": 1},
        "surprise": 1,
    }.items():
        path = tmp_path / "bad.json"
        path.write_text(json.dumps({**data, name: change}), "utf-8")
        with pytest.raises(unseen.LabelError, match=r"not a calibration|damaged"):
            Calibration.load(path)


def test_where_it_lies() -> None:
    assert beside("a/labels.txt") == Path("a/labels.calibration.json")
