"""`unseen classify -l … -l …`: an answer of each label set."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

import shapes
from running import unseen
from unseen.cli.app import app

SHAPES = ["-m", "tests/fixtures/shapes-clip"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, scene in enumerate(["a red circle", "a blue star"]):
        shapes.draw(shapes.scene(scene), i).save(tmp_path / f"{i}.png")
    (tmp_path / "colour.txt").write_text("red\nblue\n")
    (tmp_path / "shape.yaml").write_text("labels: {a circle: {threshold: 0.2}, a star: }\n")
    return tmp_path


def classify(folder: Path, *arguments: object) -> str:
    return unseen("classify", folder, *arguments, *SHAPES).stdout


def test_a_line_a_picture_and_columns_named_after_the_files(folder: Path) -> None:
    sets = ["-l", folder / "colour.txt", "-l", folder / "shape.yaml"]
    lines = classify(folder, *sets).splitlines()
    assert "colour: red" in lines[0] and "; shape: a circle" in lines[0]
    rows = list(csv.DictReader(io.StringIO(classify(folder, *sets, "--csv", "-", "--top", 2))))
    assert [row["colour"] for row in rows] == ["red", "blue"]
    assert [row["shape"] for row in rows] == ["a circle", "a star"]
    assert rows[0]["shape.label_2"] == "a star" and float(rows[0]["shape.score_2"]) < 0.5
    records = json.loads(classify(folder, *sets, "--json"))
    assert [r["facets"]["colour"]["label"] for r in records] == ["red", "blue"]


def test_one_set_is_as_it_was(folder: Path) -> None:
    (first, _) = json.loads(classify(folder, "-l", "colour=red,blue", "--json"))
    assert "facets" not in first and first["label"] in ("colour=red", "blue")


def test_named_sets_and_one_picture(folder: Path) -> None:
    picture = folder / "1.png"
    shown = classify(picture, "-l", "hue=red,blue", "-l", f"form={folder / 'shape.yaml'}")
    lines = shown.splitlines()
    assert lines[0] == str(picture) and lines[1] == " hue" and lines[4] == " form"
    assert lines[2].split()[0] == "blue" and lines[5].split()[:2] == ["a", "star"]


def test_yes_or_no_in_one_set(folder: Path) -> None:
    sets = ["-l", folder / "colour.txt", "-l", folder / "shape.yaml"]
    rows = json.loads(classify(folder, *sets, "--multi-set", "shape", "--json"))
    alone = json.loads(classify(folder, "-l", folder / "shape.yaml", "--multi", "--json"))
    assert [{**r["facets"]["shape"], "source": r["source"]} for r in rows] == alone


def test_from_an_index_and_to_a_file(folder: Path) -> None:
    unseen("index", folder, *SHAPES)
    out = folder / "out.jsonl"
    sets = ["-l", "colour=red,blue", "-l", folder / "shape.yaml"]
    done = unseen("classify", folder, *sets, "-o", out, *SHAPES)
    assert "from the index" in done.stderr and "2 read; colour:" in done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [r["facets"]["shape"]["label"] for r in rows] == ["a circle", "a star"]
    assert "done before" in unseen("classify", folder, *sets, "-o", out, "--resume", *SHAPES).stderr
    same = unseen("diff", out, out, "--facet", "colour", "--json").stdout
    assert json.loads(same)["changed"] == 0


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["-l", "cat", "-l", "dog"], "--labels cat has no name"),
        (["-l", "a/x.txt", "-l", "b/x.txt"], "two label sets are called 'x'"),
        (["-l", "source=cat", "-l", "x=dog"], "cannot be called 'source'"),
        (["-l", "a=cat,dog", "-l", "b=x,y", "--multi-set", "c"], "no label set 'c'"),
        (["-l", "a=cat,dog", "-l", "b=x,y", "--calibration", "c.json"], "of one label set"),
        (["-l", "cat,dog", "--multi-set", "a"], "of one set take --multi"),
    ],
)
def test_refused(arguments: list[str], words: str) -> None:
    done = run("classify", "examples/cat.jpg", *arguments, *SHAPES)
    assert done.exit_code != 0
    assert words in str(done.exception or done.output)


def test_other_commands_take_one_set() -> None:
    done = run("explain", "examples/cat.jpg", "-l", "cat,dog", "-l", "a,b")
    assert "takes one label set" in str(done.exception or done.output)
