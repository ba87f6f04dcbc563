"""Names are bytes: one that is no UTF-8, or looks like an escape, goes in and comes back out."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from pyarrow import parquet

import shapes
import unseen
from unseen.datasets.readers import read_annotations
from unseen.index.location import FILE, FOLDER
from unseen.index.stored import embeddings_of
from unseen.results import read
from unseen.system.printable import escaped, unescaped

LABELS = ["red circle", "blue star"]
NAMES = [b"\xff\x80.png", b"line\nbreak\x1b[31m.png", rb"\udcff.png", rb"a\u005cb.png"]


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Below a folder whose own name is no UTF-8, a folder for each label, as odd."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/ph\xf6tos"))
    for seed, name in enumerate(NAMES):
        path = root / os.fsdecode(b"red circle\xfe") / os.fsdecode(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shapes.draw(shapes.scene("red circle"), seed).save(path)
        except (OSError, ValueError):
            pytest.skip("this file system takes UTF-8 only")
    path.with_name(os.fsdecode(b"\xfe.jpg")).write_bytes(b"broken")
    return root


def names(folder: Path) -> set[str]:
    return {
        str(path) for path in folder.rglob("*.*") if FOLDER not in path.parts and path.is_file()
    }


def test_an_index_gives_the_names_of_the_files(folder: Path, classifier: unseen.Classifier) -> None:
    with unseen.Index(folder) as index:
        assert index.update(classifier.encoder).encoded == len(NAMES)
        assert index.update(classifier.encoder).unchanged == len(NAMES) + 1
        hits = index.view().search("a red circle")
        assert {str(index.path(path)) for hit in hits for path in hit.paths} < names(folder)
        below = folder / os.fsdecode(b"red circle\xfe")
        assert index.update(classifier.encoder, [below]).missing == 0
    for part in (folder, below):
        plain = list(classifier.encoder.stream_images(part))
        stored = list(embeddings_of(part, classifier.encoder))
        assert {e.name for e in stored} == {e.name for e in plain} == names(folder)
        assert {str(e.error) for e in stored} == {str(e.error) for e in plain}


def test_the_database_is_text_that_every_program_reads(
    folder: Path, classifier: unseen.Classifier, tmp_path: Path
) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        index.export(tmp_path / "index.parquet")
    database = sqlite3.connect(folder / FOLDER / FILE)
    paths = {path for (path,) in database.execute("SELECT path FROM file")}
    database.close()
    assert {str(folder / unescaped(path)) for path in paths} == names(folder)
    assert set(parquet.read_table(tmp_path / "index.parquet")["path"].to_pylist()) == paths


def test_a_file_that_went_is_missing(folder: Path, classifier: unseen.Classifier) -> None:
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        shutil.rmtree(folder / os.fsdecode(b"red circle\xfe"))
        assert index.update(classifier.encoder).missing == len(NAMES) + 1


def test_labelling_and_organizing(
    folder: Path, classifier: unseen.Classifier, tmp_path: Path
) -> None:
    with unseen.label(classifier, folder, LABELS) as labelling:
        paths = {path for picture in labelling.pictures() for path in picture.paths}
        assert {str(folder / path) for path in paths} == names(folder)
    organized = unseen.organize(classifier, folder, LABELS, tmp_path / "into")
    assert {step.source for step in organized.steps} == names(folder) - {
        str(folder / os.fsdecode(b"red circle\xfe/\xfe.jpg"))
    }
    assert all(Path(step.target).is_file() for step in organized.steps)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json"])
def test_results_give_the_names_of_the_files(
    kind: str, folder: Path, classifier: unseen.Classifier, tmp_path: Path
) -> None:
    path = tmp_path / f"answers.{kind}"
    unseen.classify_to_file(classifier, folder, LABELS, path)
    path.read_text("utf-8")
    assert {prediction.source for prediction in read(path)} == names(folder)
    if kind == "json":
        assert {row["source"] for row in json.loads(path.read_text("utf-8"))} == names(folder)
        return
    again = unseen.classify_to_file(classifier, folder, LABELS, path, resume=True)
    assert (again.pictures, again.earlier) == (0, len(NAMES) + 1)


def test_a_table_names_them(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = [(escaped(name), "red circle") for name in sorted(names(folder))]
        csv.writer(file).writerows([("path", "label"), *rows])
    assert {str(a.path) for a in read_annotations(table)} == names(folder)
