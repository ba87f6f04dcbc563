"""A tuning of the small trained CLIP, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

import tunings
import unseen
from unseen.learning.tune.training import TuneProgress


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tunings.folder_of(tmp_path_factory.mktemp("tune") / "grainy")


@pytest.fixture(scope="session")
def leash(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tunings.clean(tmp_path_factory.mktemp("tune") / "clean")


@pytest.fixture(scope="session")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip, device="cpu")


@pytest.fixture(scope="session")
def tuned(
    classifier: unseen.Classifier,
    data: Path,
    leash: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[unseen.TuneReport, list[TuneProgress]]:
    folder = tmp_path_factory.mktemp("tune") / "out"
    steps: list[TuneProgress] = []
    options = tunings.options(leash=leash)
    report = unseen.tune(classifier, data, folder, options, on_progress=steps.append)
    assert report.decision == "tuned", (report, report.curve, report.before, report.after)
    return report, steps
