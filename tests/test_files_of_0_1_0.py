"""Files that 0.1.0 wrote are opened as ever: tests/fixtures/0.1.0/README.md says what they are.

The judge is 0.1.0 itself: answers.json holds what it printed when it was asked about these files.
"""

from __future__ import annotations

import csv
import json
import lzma
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

import unseen

FIXTURES = Path(__file__).parent / "fixtures"
WRITTEN = FIXTURES / "0.1.0"
QUESTIONS = json.loads((WRITTEN / "questions.json").read_text("utf-8"))
ANSWERS = json.loads((WRITTEN / "answers.json").read_text("utf-8"))
MODEL = ("-m", "../shapes-clip")
LABELS = ("-l", "red,circle,square,heart")
CHANGING = {"versions", "started", "bytes"}  # keys that differ from run to run
TOLERANCE = 1e-4


def copied(folder: Path) -> Path:
    """A copy of the files, with times of its own as in a fresh checkout, and the model beside."""
    copy = folder / "0.1.0"
    shutil.copytree(WRITTEN, copy, copy_function=shutil.copy)
    shutil.copytree(FIXTURES / "shapes-clip", folder / "shapes-clip")
    content = lzma.decompress((copy / "distilled.onnx.xz").read_bytes())
    (copy / "distilled.onnx").write_bytes(content)
    return copy


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that change nothing."""
    return copied(tmp_path_factory.mktemp("files"))


@pytest.fixture
def copied_files(tmp_path: Path) -> Path:
    return copied(tmp_path)


def run(folder: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Runs a command in the folder of the files; it ends with `code`, and without a traceback."""
    command = [sys.executable, "-m", "unseen", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, encoding="utf-8")
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def differences(before: Any, today: Any, where: str = "") -> Iterator[str]:
    """Where an answer differs from that of 0.1.0. New keys are no difference."""
    if isinstance(before, dict) and isinstance(today, dict):
        for key in before.keys() - CHANGING:
            if key not in today:
                yield f"{where}: {key} is missing"
            elif key == "error" and isinstance(before[key], str) and before[key]:
                # The rest is in the words of Pillow.
                if "broken.jpg" not in str(today[key]):
                    yield f"{where}: {today[key]!r} in place of an error"
            else:
                yield from differences(before[key], today[key], f"{where}/{key}")
    elif isinstance(before, list) and isinstance(today, list):
        # A new figure of a report is as good as a new key.
        if len(before) > len(today) or (len(before) < len(today) and where != "/metrics"):
            yield f"{where}: {len(today)} in place of {len(before)}"
        for position, pair in enumerate(zip(before, today, strict=False)):
            yield from differences(*pair, f"{where}[{position}]")
    elif isinstance(before, str) and isinstance(today, str):
        if relative(before) != relative(today):
            yield f"{where}: {today!r} in place of {before!r}"
    elif isinstance(before, float) and isinstance(today, (int, float)):
        if abs(before - today) > TOLERANCE:
            yield f"{where}: {today} in place of {before}"
    elif before != today:
        yield f"{where}: {today!r} in place of {before!r}"


def relative(text: str) -> str:
    """A path below the folder of the files, wherever that is; any other text as it is."""
    return text.replace("\\", "/").rpartition("/0.1.0/")[2]


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a result file."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: number_of(cell) for key, cell in row.items()} for row in csv.DictReader(file)]


def number_of(cell: str) -> str | float:
    try:
        return float(cell)
    except ValueError:
        return cell


# A yes or no without calibration has another neutral point since: its answers are judged below.
MULTI_LABEL = "labels: thresholds"


# Where 0.1.0 left a label out whose nonconformity, a sum of all probabilities, is the reach, 1, but
# for the last bit.
ROUNDED = {"calibration: aps": ["[2]/likely: 3 in place of 2"]}


@pytest.mark.parametrize("name", [name for name in QUESTIONS if name != MULTI_LABEL])
def test_the_answer_is_that_of_0_1_0(name: str, files: Path) -> None:
    answer = ANSWERS[name]
    today = json.loads(run(files, *QUESTIONS[name], code=answer["code"]).stdout)
    assert list(differences(answer["output"], today)) == ROUNDED.get(name, [])


def test_a_yes_of_0_1_0_has_both_background_labels_against_it(files: Path) -> None:
    """p, against their mean alone, is today p / (p + 2 (1 - p)); from the same thresholds on."""
    before = ANSWERS[MULTI_LABEL]["output"]
    today = json.loads(run(files, *QUESTIONS[MULTI_LABEL]).stdout)
    thresholds = {"circle": 0.3, "square": 0.5}
    for old, new in zip(before, today, strict=True):
        scores = {row["label"]: row["score"] for row in old["ranking"]}
        expected = {label: p / (p + 2 * (1 - p)) for label, p in scores.items()}
        expected = {label: p for label, p in expected.items() if p >= thresholds[label]}
        found = {row["label"]: row["score"] for row in new["ranking"]}
        assert found == pytest.approx(expected, abs=TOLERANCE)
        assert new["unknown"] == (not expected)


# label sets, adapters and the index, from Python


def test_a_label_set_is_loaded_by_the_library(files: Path) -> None:
    labels = unseen.CompiledLabels.load(files / "labels-background.safetensors")
    circle, square, *background = labels.labels
    assert (circle.name, circle.threshold, square.name) == ("circle", 0.3, "square")
    assert labels.prompts[0] == ("a circle", "a picture of a round thing")
    assert [label.name for label in background] == ["something else", "an empty picture"]
    assert all(label.background for label in background)
    classifier = unseen.load(files.parent / "shapes-clip")
    answers = ANSWERS["labels: background"]["output"]
    predictions = classifier.classify_many([files / row["source"] for row in answers], labels)
    for answer, prediction in zip(answers, predictions, strict=True):
        assert prediction.unknown == answer["unknown"]
        assert prediction.score == pytest.approx(answer["score"], abs=TOLERANCE)


@pytest.mark.parametrize("method", ["zero-shot", "prototypes", "cache", "probe"])
def test_an_adapter_is_loaded_by_the_library(method: str, files: Path) -> None:
    adapter = files / f"adapter-{method}.safetensors"
    classifier = unseen.load(files.parent / "shapes-clip", adapter=adapter)
    answers = ANSWERS[f"adapter: {method}"]["output"]
    predictions = classifier.classify_many([files / row["source"] for row in answers])
    for answer, prediction in zip(answers, predictions, strict=True):
        assert prediction.label == answer["label"]
        assert prediction.score == pytest.approx(answer["score"], abs=TOLERANCE)


@pytest.mark.parametrize("name", ["labels-shapes", "adapter-probe"])
def test_a_file_for_another_model_is_refused_in_one_line(name: str, files: Path) -> None:
    option = "-l" if name.startswith("labels") else "--adapter"
    done = run(files, "classify", "examples", option, f"{name}.safetensors", "-q", code=2)
    (line,) = done.stderr.splitlines()
    assert "shapes-clip" in line and "unseen" in line


def test_an_index_is_opened_by_the_library(files: Path) -> None:
    with unseen.Index(files / "photos", create=False) as index:
        facts = index.info()
    (model,) = facts.models
    assert (facts.files, model.pictures, model.errors) == (7, 5, 1)
    assert model.name == MODEL[1]


def test_no_picture_of_an_index_is_looked_at_twice(copied_files: Path) -> None:
    report = json.loads(run(copied_files, "index", "photos", *MODEL, "--json").stdout)
    assert (report["encoded"], report["failed"], report["missing"]) == (0, 0, 0)
    assert report["known"] == 7  # their times are others, their content is not


# results


@pytest.mark.parametrize("name", ["stopped.jsonl", "killed.jsonl", "stopped.csv"])
def test_an_interrupted_run_goes_on(name: str, copied_files: Path) -> None:
    out = copied_files / name
    begun = out.read_text("utf-8").splitlines()[:3]
    command = ("classify", "photos", *LABELS, *MODEL, "--top", 3, "-o", name, "--resume")
    run(copied_files, *command, "--no-index")
    assert out.read_text("utf-8").splitlines()[:3] == begun
    whole = rows_of(WRITTEN / f"whole{out.suffix}")
    assert list(differences(whole, rows_of(out))) == []
    manifest = json.loads((copied_files / f"{name}.run.json").read_text("utf-8"))
    assert manifest["complete"] and (manifest["pictures"], manifest["errors"]) == (7, 1)


def test_other_labels_do_not_go_on_with_a_run(copied_files: Path) -> None:
    before = (copied_files / "stopped.jsonl").read_bytes()
    command = ("classify", "photos", "-l", "red,blue", *MODEL, "--top", 3)
    done = run(copied_files, *command, "-o", "stopped.jsonl", "--resume", code=2)
    assert "labels" in done.stderr and "--overwrite" in done.stderr
    assert (copied_files / "stopped.jsonl").read_bytes() == before


@pytest.mark.parametrize("how", ["copy", "move"])
def test_files_that_were_put_into_folders_go_back(how: str, copied_files: Path) -> None:
    undo = copied_files / "sorted" / "undo.jsonl"
    undo.parent.mkdir()
    steps = [
        json.loads(line.replace("/ROOT", copied_files.as_posix()))
        for line in (copied_files / f"undo-{how}.jsonl").read_text("utf-8").splitlines()
    ]
    undo.write_text("".join(json.dumps(step) + "\n" for step in steps), "utf-8")
    for step in steps:
        Path(step["target"]).parent.mkdir(exist_ok=True)
        (shutil.copy if how == "copy" else shutil.move)(step["source"], step["target"])
    run(copied_files, "organize", "--undo", undo)
    assert len(steps) == 6
    assert all(Path(step["source"]).is_file() for step in steps)
    assert [path.name for path in undo.parent.iterdir()] == ["undo.jsonl"]


# labellings and data sets


def test_an_export_takes_the_place_of_one_of_0_1_0(copied_files: Path) -> None:
    command = ("label", "export", "photos", "-o", "export", "--format", "csv", "--reviewed-only")
    assert "--overwrite" in run(copied_files, *command, code=2).stderr
    run(copied_files, *command, "--overwrite")
    assert rows_of(copied_files / "export/labels.csv") == rows_of(WRITTEN / "export/labels.csv")


def test_decisions_outlive_proposing_anew(copied_files: Path) -> None:
    before = ANSWERS["labelling: info"]["output"]
    command = ("label", "photos", "-l", "circle,square", *MODEL, "--json")
    today = json.loads(run(copied_files, *command, code=1).stdout)  # 1: for the broken picture
    assert today["verdicts"] == before["verdicts"] and today["reviewed"] == before["reviewed"]
    assert [*today["labels"]] == ["circle", "square", "star"]


# embeddings


def vectors(path: Path) -> tuple[Any, list[str], dict[str, str]]:
    """Rows, names and facts of a file of embeddings, as other programs read them."""
    if path.suffix == ".npy":
        facts = json.loads(path.with_suffix(".json").read_text("utf-8"))
        return np.load(path), facts.pop("names"), facts
    if path.suffix == ".safetensors":
        with safe_open(path, framework="numpy") as file:
            facts = file.metadata()
            return file.get_tensor("embeddings"), json.loads(facts.pop("names")), facts
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(path)
    facts = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    return np.array(table["embedding"].to_pylist()), table["name"].to_pylist(), facts


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "parquet"])
def test_embeddings_are_written_as_0_1_0_wrote_them(suffix: str, files: Path) -> None:
    out = files / f"today.{suffix}"
    run(files, "embed", "photos", *MODEL, "-o", out.name, code=1)
    rows, names, facts = vectors(WRITTEN / f"vectors.{suffix}")
    rows_today, names_today, facts_today = vectors(out)
    np.testing.assert_allclose(rows_today, rows, rtol=0, atol=TOLERANCE)
    assert (names_today, facts_today) == (names, facts)
