"""No figure is of pictures that the candidate has learnt from, unless it says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import shapes
import unseen
from running import ROOT
from running import unseen as run
from unseen.errors import LabelError
from unseen.evaluation.evaluation import Choice, Comparison, compare
from unseen.prediction.calibration import Calibration

MODEL = ROOT / "tests" / "fixtures" / "shapes-clip"
KINDS = ["red circle", "red square", "red star", "blue circle", "green heart", "blue ring"]


def save(path: Path, kind: str, seed: int) -> None:
    """So coarse that the model is often wrong."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = shapes.draw(shapes.scene(kind), seed).resize((7, 7), Image.Resampling.BOX)
    picture.resize((64, 64)).save(path)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Examples, and a folder of copies of them under other names beside as many others."""
    examples, both = (tmp_path_factory.mktemp(name) for name in ("examples", "both"))
    for kind in KINDS:
        label = f"a_{kind.replace(' ', '_')}"
        for seed in range(4):
            save(examples / label / f"{seed}.png", kind, seed)
            save(both / label / f"new-{seed}.png", kind, 50 + seed)
            shutil.copy(examples / label / f"{seed}.png", both / label / f"copy-{seed}.png")
    return examples, both


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load(MODEL)


@pytest.fixture(scope="module")
def adapter(classifier: unseen.Classifier, folders: tuple[Path, Path]) -> unseen.Adapter:
    made = unseen.adapt(classifier, folders[0])
    assert made.method != "zero-shot" and len(made.facts["example_digests"]) == 24
    return made


def adapted(adapter: unseen.Adapter, *values: unseen.Adapter | None) -> Comparison:
    return Comparison(adapters=[Choice("mine" if value else "none", value) for value in values])


def test_copies_of_examples_are_left_out_for_all_candidates(
    classifier: unseen.Classifier, folders: tuple[Path, Path], adapter: unseen.Adapter
) -> None:
    report = compare([classifier], folders[1], adapted(adapter, None, adapter))
    assert report.pictures == 24 and report.left_out["seen_in_training"] == 24
    assert [one["seen_in_training"] for one in report.candidates] == [0, 0]
    alone = sorted(folders[1].rglob("new-*.png"))
    pairs = [(path, path.parent.name.replace("_", " ")) for path in alone]
    plain = unseen.evaluate(classifier, pairs)
    for name, figure in plain.figures.items():
        assert report.figures[name].value == pytest.approx(figure.value, abs=1e-6)
    assert "left out, as a candidate learnt from them: 24 pictures" in str(report)
    assert f"right on {adapter.held_out['right']} of 24 pictures held out" in str(report)


def test_where_nothing_else_is_there_the_figures_say_so(
    classifier: unseen.Classifier,
    folders: tuple[Path, Path],
    adapter: unseen.Adapter,
    tmp_path: Path,
) -> None:
    report = compare([classifier], folders[0], adapted(adapter, None, adapter))
    assert report.pictures == 24 and report.left_out["seen_in_training"] == 0
    assert [one["seen_in_training"] for one in report.candidates] == [0, 24]
    assert "B seen in training: 24 of 24; judge it on others" in str(report)
    report.to_html(tmp_path / "report.html")
    assert "seen in training" in (tmp_path / "report.html").read_text("utf-8")


def test_an_adapter_that_changes_nothing_has_learnt_from_nothing(
    classifier: unseen.Classifier, folders: tuple[Path, Path], adapter: unseen.Adapter
) -> None:
    kept = replace(adapter, method="zero-shot", rows=adapter.rows[:0], cache=None)
    report = compare([classifier], folders[0], adapted(adapter, kept))
    assert report.candidates[0]["seen_in_training"] == 0


def test_a_calibration_knows_its_pictures_and_those_of_the_adapter(
    classifier: unseen.Classifier,
    folders: tuple[Path, Path],
    adapter: unseen.Adapter,
    tmp_path: Path,
) -> None:
    own = unseen.load(MODEL, adapter=adapter)
    with pytest.warns(unseen.UnseenWarning, match="24 pictures taught the model or its adapter"):
        calibration = unseen.calibrate(own, folders[1], coverage=None)
    assert calibration.pictures == len(calibration.example_digests) == 24
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == calibration
    report = unseen.evaluate(own, folders[1], [*adapter.labels], calibration=calibration)
    assert report.candidates[0]["seen_in_training"] == 48
    with pytest.raises(LabelError, match="0 pictures are new"), pytest.warns(unseen.UnseenWarning):
        unseen.calibrate(own, folders[0])
    data = calibration.to_data()
    del data["example_digests"]  # a file of 0.1.0
    assert Calibration.from_data(data, "here").example_digests == ()


def test_the_command_says_it(
    folders: tuple[Path, Path], adapter: unseen.Adapter, tmp_path: Path
) -> None:
    adapter.save(tmp_path / "mine.safetensors")
    mine = ("--adapter", tmp_path / "mine.safetensors")
    done = run("eval", folders[0], "-m", MODEL, *mine)
    assert "seen in training: 24 of 24; judge it on others" in done.stdout
    done = run(
        "eval", folders[1], "-m", MODEL, "--adapter", tmp_path / "mine.safetensors", "--json"
    )
    document = json.loads(done.stdout)
    assert document["left_out"]["seen_in_training"] == 24
    assert document["candidates"][0]["held_out"]["pictures"] == 24
