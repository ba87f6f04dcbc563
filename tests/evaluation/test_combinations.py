"""What cannot be used is refused before a picture is encoded, and what was computed is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

import shapes
import unseen
from running import ROOT
from running import unseen as run
from unseen.errors import LabelError, ModelError, SourceError, UnseenError
from unseen.evaluation.evaluation import Choice, Comparison, compare
from unseen.system.embedding_cache import contents

MODEL = ROOT / "tests/fixtures/shapes-clip"
LABELS = ["a blue star", "a red circle"]
pytestmark = pytest.mark.usefixtures("fresh_home")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label in LABELS:
        (tmp_path / "labelled" / label).mkdir(parents=True)
        for seed in range(4):
            path = tmp_path / "labelled" / label / f"{seed}.png"
            shapes.draw(shapes.scene(label), seed).save(path)
    return tmp_path / "labelled"


def calibration_of(clf: unseen.Classifier, folder: Path, labels: list[str]) -> unseen.Calibration:
    calibration = unseen.calibrate(clf, folder, labels, coverage=None)
    clf.encoder._embeddings.close()
    (contents().path).unlink()
    return calibration


def test_all_models_are_looked_for_first(folder: Path) -> None:
    done = run("eval", folder, "-m", MODEL, "-m", "org/nowhere", code=2)
    assert "org/nowhere" in done.stderr and done.stdout == ""
    assert contents().embeddings == 0


def test_what_fits_nowhere_is_refused_first(folder: Path) -> None:
    clf = unseen.load(MODEL)
    other = calibration_of(clf, folder, [*LABELS, "a green square"])
    with pytest.raises(LabelError, match="does not fit the labels"):
        compare([clf], folder, Comparison(calibrations=[Choice("none"), Choice("c", other)]))
    with pytest.raises(SourceError, match="none is left to judge"):
        compare([clf], folder, Comparison(labels=[Choice("l", ["a tree", "a house"])]))
    assert contents().embeddings == 0


def test_what_fits_elsewhere_is_left_out_where_it_does_not(folder: Path) -> None:
    clf = unseen.load(MODEL)
    fitting = calibration_of(clf, folder, LABELS)
    comparison = Comparison(
        labels=[Choice("two", LABELS), Choice("three", [*LABELS, "a green square"])],
        calibrations=[Choice("none"), Choice("c", fitting)],
    )
    report = compare([clf], folder, comparison, on_read=lambda summary: None)
    combinations = [(c["labels_from"], c["calibration"]) for c in report.candidates]
    assert combinations == [("two", None), ("two", "c"), ("three", None)]
    # Of two models the one that it was not made for.
    builtin = unseen.LoadOptions("builtin")
    options = [unseen.LoadOptions(str(MODEL)), builtin]
    comparison = Comparison(calibrations=[Choice("none"), Choice("c", fitting)])
    with pytest.warns(unseen.UnseenWarning, match="builtin without c"):
        report = compare(options, folder, comparison)
    models = [(Path(c["model"]).name, c["calibration"]) for c in report.candidates]
    assert models == [("shapes-clip", None), ("shapes-clip", "c"), ("builtin", None)]


def test_what_the_others_answered_is_kept(folder: Path) -> None:
    clf, broken = unseen.load(MODEL), unseen.load(MODEL)

    def fails(*_: object, **__: object) -> None:
        raise ModelError("its network has no memory")

    broken.encoder.stream_images = fails  # type: ignore[method-assign,assignment]
    errors: list[UnseenError] = []
    report = compare([clf, broken, clf], folder, on_error=errors.append)
    assert len(report.candidates) == 2 and [str(e) for e in errors] == ["its network has no memory"]
    with pytest.raises(ModelError, match="no memory"):
        compare([broken, clf], folder, on_error=errors.append)  # nothing to keep yet
