"""The scikit-learn estimator, judged by scikit-learn and by `Classifier`."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas
import pytest
from PIL import Image
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

import shapes
import unseen
from unseen.sklearn import ZeroShotClassifier

THINGS = ["red circle", "blue star", "green square"]
LABELS = [f"a {thing}" for thing in THINGS]
SORTED = sorted(LABELS)


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    return [shapes.draw(shapes.scene(thing), seed) for seed in range(4) for thing in THINGS]


@pytest.fixture(scope="module")
def paths(pictures: list[Image.Image], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(pictures):
        picture.save(folder / f"{i:02}.png")
    return [str(path) for path in sorted(folder.iterdir())]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.array(LABELS * 4)


@pytest.fixture(scope="module")
def estimator(shapes_clip: Path) -> ZeroShotClassifier:
    return ZeroShotClassifier(LABELS, model=str(shapes_clip)).fit()


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


def test_it_answers_as_the_classifier(
    estimator: ZeroShotClassifier, clf: unseen.Classifier, paths: list[str]
) -> None:
    predictions = list(clf.classify_many(paths, LABELS))
    assert estimator.classes_.tolist() == SORTED
    assert estimator.predict(paths).tolist() == [p.label for p in predictions]
    probabilities = estimator.predict_proba(paths)
    expected = [[p.probabilities[label] for label in SORTED] for p in predictions]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(
        estimator.transform(paths), clf.encode_images(paths), rtol=0, atol=1e-6
    )


def test_decision_function_is_scale_times_cosine_up_to_a_constant(
    estimator: ZeroShotClassifier, clf: unseen.Classifier, paths: list[str]
) -> None:
    scores = estimator.decision_function(paths)
    assert scores.shape == (len(paths), 3)
    logits = clf.model.score.scale * np.array(
        [
            [next(s.cosine for s in p.ranking if s.label == label) for label in SORTED]
            for p in clf.classify_many(paths, LABELS)
        ]
    )
    difference = scores - logits
    assert np.ptp(difference, axis=1).max() < 1e-2
    np.testing.assert_array_equal(scores.argmax(1), estimator.predict_proba(paths).argmax(1))


def test_two_classes_have_one_score_whose_sign_decides(
    shapes_clip: Path, paths: list[str], truth: np.ndarray
) -> None:
    two = ZeroShotClassifier(LABELS[:2], str(shapes_clip)).fit()
    some = [path for path, label in zip(paths, truth, strict=True) if label in LABELS[:2]]
    scores = two.decision_function(some)
    assert scores.shape == (len(some),) and np.isfinite(scores).all()
    np.testing.assert_array_equal(two.classes_[(scores > 0).astype(int)], two.predict(some))
    labels = [label for label in truth if label in LABELS[:2]]
    assert roc_auc_score(labels, scores) == roc_auc_score(labels, two.predict_proba(some)[:, 1])


@pytest.mark.parametrize("kind", ["list", "str array", "object array", "series", "column"])
def test_every_kind_of_x(estimator: ZeroShotClassifier, paths: list[str], kind: str) -> None:
    some: Any = {
        "list": paths[:2],
        "str array": np.array(paths[:2]),
        "object array": np.array(paths[:2], dtype=object),
        "series": pandas.Series(paths[:2], index=[7, 3]),
        "column": pandas.DataFrame({"path": paths[:2]}),
    }[kind]
    assert estimator.predict(some).tolist() == LABELS[:2]


def test_pictures_themselves(
    estimator: ZeroShotClassifier, pictures: list[Image.Image], paths: list[str]
) -> None:
    expected = estimator.predict_proba(paths[:3])
    arrays = [np.asarray(picture) for picture in pictures[:3]]
    for x in (pictures[:3], arrays, np.stack(arrays), map(Path, paths[:3])):
        np.testing.assert_allclose(estimator.predict_proba(x), expected, atol=1e-6)
    assert estimator.predict_proba([]).shape == (0, 3)


def test_cross_validation_and_metrics(
    estimator: ZeroShotClassifier, paths: list[str], truth: np.ndarray
) -> None:
    accuracy = np.mean(estimator.predict(paths) == truth)
    assert estimator.score(paths, truth) == accuracy > 0.8
    scores = cross_val_score(estimator, paths, truth, cv=2)
    assert scores.mean() == pytest.approx(accuracy)
    losses = cross_val_score(estimator, np.array(paths), truth, cv=2, scoring="neg_log_loss")
    expected = log_loss(truth, estimator.predict_proba(paths), labels=SORTED)
    assert -losses.mean() == pytest.approx(expected, rel=1e-4)


def test_in_a_pipeline_before_another_and_last(
    estimator: ZeroShotClassifier, paths: list[str], truth: np.ndarray
) -> None:
    probe = make_pipeline(clone(estimator), LogisticRegression(C=10))
    assert probe.fit(paths, truth).score(paths, truth) == 1
    alone = make_pipeline("passthrough", clone(estimator)).fit(paths, truth)
    np.testing.assert_array_equal(alone.predict(paths), estimator.predict(paths))


def test_names_and_tables_of_features(estimator: ZeroShotClassifier, paths: list[str]) -> None:
    names = estimator.get_feature_names_out()
    assert len(names) == estimator.transform(paths[:1]).shape[1]
    table = clone(estimator).set_output(transform="pandas").fit().transform(paths[:2])
    assert list(table.columns) == list(names) and len(table) == 2


def test_a_grid_over_templates(
    estimator: ZeroShotClassifier, clf: unseen.Classifier, paths: list[str], truth: np.ndarray
) -> None:
    templates = ["{}", "not a red circle but {}, a blue star"]
    grid = GridSearchCV(estimator, {"template": templates}, cv=2, scoring="neg_log_loss")
    grid.fit(paths, truth)
    losses = []
    for template in templates:
        answers = [p.probabilities for p in clf.classify_many(paths, LABELS, template=template)]
        rows = np.float32([[answer[label] for label in SORTED] for answer in answers])
        losses.append(log_loss(truth, rows, labels=SORTED))
    np.testing.assert_allclose(-grid.cv_results_["mean_test_score"], losses, rtol=1e-3)
    assert grid.best_params_ == {"template": templates[int(np.argmin(losses))]}
    assert max(losses) > 2 * min(losses)


def test_clones_and_pickles_hold_the_parameters_and_answer_the_same(
    estimator: ZeroShotClassifier, paths: list[str]
) -> None:
    expected = estimator.predict_proba(paths[:3])  # the network is loaded now
    content = pickle.dumps(estimator)
    assert len(content) < 10_000
    np.testing.assert_array_equal(pickle.loads(content).predict_proba(paths[:3]), expected)
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params() and not hasattr(copy, "classes_")
    with pytest.raises(NotFittedError):
        copy.predict(paths)


def test_it_answers_the_same_in_other_processes(
    estimator: ZeroShotClassifier, paths: list[str]
) -> None:
    jobs = (joblib.delayed(estimator.predict_proba)(part) for part in (paths[:2], paths[2:4]))
    parts = joblib.Parallel(n_jobs=2, backend="loky")(jobs)
    np.testing.assert_allclose(np.vstack(parts), estimator.predict_proba(paths[:4]), atol=1e-6)


def test_other_parameters_count_from_the_next_fit_on(
    estimator: ZeroShotClassifier, paths: list[str]
) -> None:
    other = clone(estimator).fit()
    other.set_params(labels=["a cat", "a dog"], model="builtin").fit()
    assert other.classes_.tolist() == ["a cat", "a dog"]
    assert other.predict(["examples/cat.jpg"]).tolist() == ["a cat"]


def test_labels_come_from_y_where_there_are_no_others(
    shapes_clip: Path, paths: list[str], truth: np.ndarray
) -> None:
    estimator = ZeroShotClassifier(model=str(shapes_clip)).fit(paths, truth)
    assert estimator.classes_.tolist() == SORTED
    assert cross_val_score(estimator, paths, truth, cv=2).mean() > 0.8
    with pytest.raises(unseen.LabelError, match="no labels"):
        clone(estimator).fit()


def test_background_is_a_class_of_its_own(
    shapes_clip: Path, clf: unseen.Classifier, paths: list[str]
) -> None:
    options: dict[str, Any] = {"background": LABELS[1:]}
    estimator = ZeroShotClassifier(LABELS[:1], str(shapes_clip), **options).fit()
    assert estimator.classes_.tolist() == ["a red circle", "unknown"]
    answers = [p.label or "unknown" for p in clf.classify_many(paths, LABELS[:1], **options)]
    assert estimator.predict(paths).tolist() == answers and "unknown" in answers


def test_what_it_refuses(estimator: ZeroShotClassifier, tmp_path: Path) -> None:
    with pytest.raises(unseen.SourceError, match="list or an array"):
        estimator.predict("examples/cat.jpg")
    with pytest.raises(unseen.SourceError, match="list or an array"):
        estimator.predict(7)
    with pytest.raises(unseen.ImageError):
        estimator.predict([b"broken"])
    with pytest.raises(unseen.SourceError):
        estimator.predict(["nowhere.png"])
    for method in (estimator.predict, estimator.transform):
        with pytest.raises(unseen.SourceError, match="folder"):
            method(["examples"])
    with pytest.raises(unseen.LabelError, match=r"\{\}"):
        clone(estimator).set_params(template="no braces").fit()


@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_set_params,
        estimator_checks.check_mixin_order,
    ],
    ids=lambda check: check.__name__,
)
def test_the_checks_of_scikit_learn_that_need_no_numbers(check: Any) -> None:
    """The others fit on random numbers, which are not pictures."""
    check("ZeroShotClassifier", ZeroShotClassifier(["cat", "dog"]))
    assert is_classifier(ZeroShotClassifier())


def test_making_one_loads_no_model() -> None:
    """A model that does not exist is noticed when it is needed."""
    estimator = ZeroShotClassifier(["cat"], model="nowhere/at-all-0")
    with pytest.raises(unseen.ModelError):
        estimator.fit()


def test_without_scikit_learn_it_says_what_to_install() -> None:
    code = """
import sys, unseen
sys.modules["sklearn"] = None
try:
    import unseen.sklearn
except unseen.MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 'needs scikit-learn, which is not installed: pip install "unseen[learn]"' in done.stdout
