"""What a notebook gets is what the command prints: evaluate, calibrate, adapt and distil."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.cells import cell_len
from safetensors import safe_open

import shapes
import unseen
from running import ROOT
from running import unseen as run
from unseen.annotation.labelling import Labelling
from unseen.annotation.training_set import training_set_of
from unseen.datasets.read_summary import ReadSummary
from unseen.evaluation.evaluation import Choice, Comparison, compare
from unseen.evaluation.report import Gate
from unseen.evaluation.report_text import lines
from unseen.learning.distil.model_card import Teacher

MODEL = ROOT / "tests" / "fixtures" / "shapes-clip"
KINDS = ["red circle", "red square", "red star", "blue circle"]
CHANGING = {"started", "date", "made"}  # keys that differ from run to run


def same(value: Any) -> Any:
    """Without the time of day."""
    if isinstance(value, dict):
        return {key: same(v) for key, v in value.items() if key not in CHANGING}
    return [same(v) for v in value] if isinstance(value, list) else value


def content(file: Path) -> Any:
    """Of a safetensors file, whose metadata have no order."""
    with safe_open(file, "numpy") as opened:
        metadata = {k: v for k, v in opened.metadata().items() if k != "facts"}
        facts = same(json.loads(opened.metadata()["facts"]))
        return metadata, facts, {k: opened.get_tensor(k).tobytes() for k in opened.keys()}  # noqa: SIM118


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures so coarse that the model is often wrong; one is broken, one has no label."""
    folder = tmp_path_factory.mktemp("shapes")
    for kind in KINDS:
        (folder / f"a_{kind.replace(' ', '_')}").mkdir()
        for seed in range(10):
            picture = shapes.draw(shapes.scene(kind), seed).resize((7, 7), Image.Resampling.BOX)
            picture.resize((64, 64)).save(folder / f"a_{kind.replace(' ', '_')}" / f"{seed}.png")
    (folder / "a_blue_circle" / "broken.png").write_bytes(b"\x89PNG broken")
    shapes.draw(shapes.scene("red ring"), 0).save(folder / "loose.png")
    return folder


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load(MODEL)


@pytest.fixture(scope="module")
def report(classifier: unseen.Classifier, folder: Path) -> unseen.EvaluationReport:
    with pytest.warns(unseen.UnseenWarning, match="1 of 42 pictures could not be read"):
        return unseen.evaluate(classifier, folder)


def test_evaluate_is_what_the_command_prints(report: unseen.EvaluationReport, folder: Path) -> None:
    printed = json.loads(run("eval", folder, "-m", MODEL, "--json", code=1).stdout)
    assert [*report.to_dict()] == [*printed]  # in this order, too
    assert same(json.loads(json.dumps(report.to_dict()))) == same(printed)
    assert run("eval", folder, "-m", MODEL, code=1).stdout == f"{report}\n"


def test_the_parts_of_a_report(report: unseen.EvaluationReport, tmp_path: Path) -> None:
    assert report.kind == "single" and report.pictures == 40 and not report.rough
    top1 = report.figures["top1"]
    assert top1.low < top1.value < top1.high  # type: ignore[operator]
    assert {row["label"] for row in report.labels} == {f"a {kind}" for kind in KINDS}
    wrong = sum(pair["count"] for pair in report.confused)
    assert wrong == round(40 * (1 - top1.value)) > 0  # type: ignore[operator]
    assert len(report.mistakes) == min(24, wrong)
    assert report.groups == []
    assert report.left_out["unlabelled"] == 1
    checked = report.check([Gate("top1", 0.0), Gate("ece", 0.0, at_least=False), Gate("x", 0)])
    assert [gate["met"] for gate in checked.gates] == [True, False, False]
    assert report.gates == ()
    report.to_html(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "a red star" in page and "data:image/jpeg" in page


def test_a_notebook_shows_a_table_in_which_names_are_text(
    classifier: unseen.Classifier, folder: Path
) -> None:
    labels = ["<b>star</b>", "a red circle"]
    files = [next((folder / f"a_red_{shape}").iterdir()) for shape in ("star", "circle")]
    pairs = [*zip(files, labels, strict=True)]
    report = unseen.evaluate(classifier, pairs, labels, template="{} <i>")
    table = report._repr_html_()
    assert "<th>top-1</th>" in table and "<i>" not in table and "&lt;i&gt;" in table


def test_several_candidates_are_those_of_the_command(folder: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a red circle\na red square\na red star\na blue circle\n")
    table = tmp_path / "t.csv"
    with table.open("w", newline="") as file:
        rows = [(p, p.parent.name.replace("_", " "), p.stem) for p in folder.glob("*/[0-3].png")]
        csv.writer(file).writerows([("path", "label", "seed"), *sorted(rows)])
    found = json.loads(
        run("eval", table, "-m", MODEL, "-l", labels, "-l", "a red circle,a red star",
            "--template", "{}", "--template", "a photo of {}", "--group", "seed",
            "--min-group", 2, "--json").stdout
    )  # fmt: skip
    summaries: list[ReadSummary] = []
    few = "a red circle,a red star"
    comparison = Comparison(
        labels=[Choice(str(labels), labels), Choice(few, few)],
        templates=[Choice(t, t) for t in ("{}", "a photo of {}")],
        group="seed",
        min_group=2,
    )
    report = compare([unseen.load(MODEL)], table, comparison, on_read=summaries.append)
    assert same(json.loads(json.dumps(report.to_dict()))) == same(found)
    assert len(report.candidates) == 4 and len(report.groups) == 4
    assert summaries[0].unmatched == {"a blue circle": 4, "a red square": 4}


def test_calibrate_is_what_the_command_writes(
    classifier: unseen.Classifier, folder: Path, tmp_path: Path
) -> None:
    labels = ["a red circle", "a red square", "a red star", "a blue circle"]
    for multi in (False, True):
        written = tmp_path / f"{multi}.json"
        given = ("-l", ",".join(labels), "-o", written, *["--multi"][: int(multi)])
        run("calibrate", folder, "-m", MODEL, *given, code=1)  # one picture is broken
        summaries: list[ReadSummary] = []
        calibration = unseen.calibrate(
            classifier, folder, labels, multi_label=multi, on_read=summaries.append
        )
        calibration.save(tmp_path / "own.json")
        assert (tmp_path / "own.json").read_bytes() == written.read_bytes()
        assert [path.name for path in summaries[0].unreadable] == ["broken.png"]


def test_adapt_is_what_the_command_writes(
    classifier: unseen.Classifier, folder: Path, tmp_path: Path
) -> None:
    written = tmp_path / "mine.safetensors"
    done = run("adapt", folder, "-m", MODEL, "-o", written, "--shots", 5, "--json", code=1)
    with pytest.warns(unseen.UnseenWarning, match="1 pictures have no label"):
        adapter = unseen.adapt(classifier, folder, shots=5)
    printed = json.loads(done.stdout)
    assert printed["labels"] == [*adapter.labels] and printed["method"] == adapter.method
    assert same(json.loads(json.dumps(adapter.facts))).items() <= same(printed).items()
    adapter.save(tmp_path / "own.safetensors")
    assert content(tmp_path / "own.safetensors") == content(written)


def test_distil_has_the_figures_of_the_command(folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for kind in KINDS[:3]:
        (photos / kind).mkdir(parents=True)
        for seed in range(4):
            shapes.draw(shapes.scene(kind), seed).save(photos / kind / f"{seed}.png")
    run("label", photos, "-m", MODEL, "-l", ",".join(f"a {kind}" for kind in KINDS[:3]))
    done = run("distil", photos, "-o", tmp_path / "a.onnx", "--unsure", "--side", 128,
               "--no-latency", "--anyway", "--json")  # fmt: skip
    with Labelling.open(photos) as labelling:
        made_of = labelling.manifest
        training_set = training_set_of(labelling, unsure=True)
    teacher = Teacher.of(made_of["model"], made_of["revision"], made_of["fingerprint"])
    distilled = unseen.distil(teacher, training_set, unseen.DistilOptions(side=128))
    assert same(json.loads(json.dumps(distilled.card))) == same(json.loads(done.stdout))


def test_a_training_set_of_a_folder_has_the_teachers_word(classifier: unseen.Classifier) -> None:
    labels = ["a red circle", "a red star"]
    drawn = [(shapes.draw(shapes.scene(label), seed), label) for label in labels for seed in (1, 2)]
    pairs = [*drawn[:3], (drawn[3][0], [])]  # nobody labelled the last one
    training_set = unseen.TrainingSet.read(pairs, labels, teacher=classifier)
    assert [p.label_id for p in training_set.pictures] == [0, 0, 1, None]
    for picture, (image, _) in zip(training_set.pictures, drawn, strict=True):
        scores = {s.label: s.score for s in classifier.classify(image, labels).ranking}
        assert picture.probabilities == pytest.approx([scores[label] for label in labels], abs=1e-5)
    with pytest.warns(unseen.UnseenWarning, match="1 pictures have no label"):
        plain = unseen.TrainingSet.read(pairs, labels)
    assert len(plain.pictures) == 3 and plain.left_out == {"no label": 1}
    assert all(picture.probabilities is None for picture in plain.pictures)


def test_columns_are_as_wide_as_a_terminal_shows_them() -> None:
    figure = {"value": 0.5, "low": 0.4, "high": 0.6}
    names = ["plain", "猫と犬", "e\u0301te\u0301", "ｆｕｌｌ"]
    candidate = {
        "letter": "A",
        "model": "builtin",
        "template": None,
        "figures": {"top1": figure},
        "groups": [
            {"name": name, "pictures": 30, "figures": {"top1": figure}, "gaps": {}}
            for name in names
        ],
    }
    document = {
        "source": "t.csv",
        "pictures": 120,
        "metrics": [{"name": "top1", "title": "top-1", "higher": True, "percent": True}],
        "group": {"column": "kind", "least": 30, "metric": "top1"},
        "candidates": [candidate],
    }
    rows = [line for line in lines(document, 80) if line.endswith("(40.0 … 60.0)")][1:]
    assert len({cell_len(row) for row in rows}) == 1 and len(rows) == len(names)
